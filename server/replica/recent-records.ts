/**
 * The newest log records in memory: consecutive LSNs in one ring of bytes, so that a stream near the log's end need not
 * read the disk. Records are copied in: kept by reference, every frame would outlive the young generation and be garbage
 * until the next full collection (measured: 60 MB of it after a load of 107 MB).
 */
import type { Lsn } from "../../protocol/words.ts";

export interface RecentRecord {
  readonly lsn: Lsn;
  readonly type: number;
  readonly bytes: Uint8Array;
}

interface Place {
  readonly lsn: Lsn;
  readonly type: number;
  readonly offset: number;
  readonly length: number;
}

export class RecentRecords {
  readonly #capacity: number;
  #ring: Buffer | undefined;
  #places: Place[] = [];
  #head = 0;
  /** Where the next record is written. */
  #end = 0;

  /** `bytesMax` 0: nothing is kept. */
  constructor(bytesMax: number) {
    this.#capacity = bytesMax;
  }

  push(record: RecentRecord): void {
    const { length } = record.bytes;
    if (length > this.#capacity / 4) {
      // A giant would push out all others; whoever needs it reads the disk.
      this.#clear();
      return;
    }
    this.#ring ??= Buffer.allocUnsafeSlow(this.#capacity);
    if (this.#end + length > this.#capacity) {
      this.#evict(this.#end, this.#capacity);
      this.#end = 0;
    }
    this.#evict(this.#end, this.#end + length);
    this.#ring.set(record.bytes, this.#end);
    this.#places.push({ lsn: record.lsn, type: record.type, offset: this.#end, length });
    this.#end += length;
    if (this.#head > 1024 && this.#head * 2 > this.#places.length) {
      this.#places = this.#places.slice(this.#head);
      this.#head = 0;
    }
  }

  #clear(): void {
    this.#places = [];
    this.#head = 0;
    this.#end = 0;
  }

  /** Drops the oldest as long as they lie within [from, to). They lie in the order of the ring. */
  #evict(from: number, to: number): void {
    for (;;) {
      const oldest = this.#places[this.#head];
      if (oldest === undefined || oldest.offset >= to || oldest.offset + oldest.length <= from) return;
      this.#head++;
    }
  }

  /** All from `lsn` on; undefined when `lsn` is no longer (or not yet) here. The bytes hold until the next push(). */
  from(lsn: Lsn): readonly RecentRecord[] | undefined {
    const ring = this.#ring;
    const first = this.#places[this.#head];
    if (ring === undefined || first === undefined || lsn < first.lsn) return undefined;
    const index = this.#head + (lsn - first.lsn);
    if (index >= this.#places.length) return undefined;
    return this.#places.slice(index).map(({ lsn: at, type, offset, length }) => ({
      lsn: at,
      type,
      bytes: ring.subarray(offset, offset + length),
    }));
  }
}
