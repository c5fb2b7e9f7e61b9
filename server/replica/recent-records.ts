/** The newest log records in memory: consecutive LSNs, bounded by bytes; the oldest go first. */
import type { Lsn } from "../../protocol/words.ts";

export interface RecentRecord {
  readonly lsn: Lsn;
  readonly type: number;
  readonly bytes: Uint8Array;
}

export class RecentRecords {
  readonly #bytesMax: number;
  #records: RecentRecord[] = [];
  #head = 0;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  push(record: RecentRecord): void {
    this.#records.push(record);
    this.#bytes += record.bytes.length;
    while (this.#bytes > this.#bytesMax && this.#head < this.#records.length) {
      this.#bytes -= (this.#records[this.#head] as RecentRecord).bytes.length;
      this.#head++;
    }
    if (this.#head > 1024 && this.#head * 2 > this.#records.length) {
      this.#records = this.#records.slice(this.#head);
      this.#head = 0;
    }
  }

  /** All from `lsn` on; undefined when `lsn` is no longer (or not yet) here. */
  from(lsn: Lsn): readonly RecentRecord[] | undefined {
    const first = this.#records[this.#head];
    if (first === undefined || lsn < first.lsn) return undefined;
    const index = this.#head + (lsn - first.lsn);
    return index < this.#records.length ? this.#records.slice(index) : undefined;
  }
}
