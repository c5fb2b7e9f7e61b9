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

export class Digest {
  readonly sums1 = new Uint32Array(bucketCount);
  readonly sums2 = new Uint32Array(bucketCount);
  root1 = 0;
  root2 = 0;

  add(bucket: number, first: number, second: number): void {
    this.sums1[bucket] = (this.sums1[bucket] as number) + first;
    this.sums2[bucket] = (this.sums2[bucket] as number) + second;
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
