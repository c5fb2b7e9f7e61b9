/**
 * The digest: one hash of all live cells, kept up in O(1) per write.
 *
 * 65,536 buckets by key hash, each the sum (mod 2^32, two lanes) of a hash of every live cell in it. Sums, not XOR: XOR
 * is blind to pairs. Equal version vectors at an equal expiry horizon imply equal digests; when they are not, the
 * buckets say where to look.
 */
export const bucketCount = 65_536;

/** Bucket of a key: the high half of its hash (the low bits choose the map's shard). */
export const bucketOf = (keyHash: number): number => keyHash >>> 16;

/** Buckets lie in pages, made when first needed; both lanes of a bucket side by side. */
const pageBits = 8;
const pageCount = bucketCount >>> pageBits;
const pageMask = (1 << pageBits) - 1;

export class Digest {
  readonly #pages: (Uint32Array | undefined)[] = new Array<Uint32Array | undefined>(pageCount).fill(undefined);
  root1 = 0;
  root2 = 0;

  first(bucket: number): number {
    return this.#pages[bucket >>> pageBits]?.[(bucket & pageMask) * 2] ?? 0;
  }

  second(bucket: number): number {
    return this.#pages[bucket >>> pageBits]?.[(bucket & pageMask) * 2 + 1] ?? 0;
  }

  add(bucket: number, first: number, second: number): void {
    let page = this.#pages[bucket >>> pageBits];
    if (page === undefined) {
      page = new Uint32Array(2 << pageBits);
      this.#pages[bucket >>> pageBits] = page;
    }
    const at = (bucket & pageMask) * 2;
    page[at] = (page[at] as number) + first;
    page[at + 1] = (page[at + 1] as number) + second;
    this.root1 = (this.root1 + first) >>> 0;
    this.root2 = (this.root2 + second) >>> 0;
  }

  subtract(bucket: number, first: number, second: number): void {
    this.add(bucket, -first >>> 0, -second >>> 0);
  }

  /** 16 hex digits. */
  get text(): string {
    return digestText(this.root1, this.root2);
  }
}

export const digestText = (first: number, second: number): string =>
  (first >>> 0).toString(16).padStart(8, "0") + (second >>> 0).toString(16).padStart(8, "0");
