/**
 * From which LSN must the log be read for a peer that holds a given version vector?
 *
 * Vectors at ascending LSNs ascend, since the log is in apply order. An entry per about 256 KiB of log keeps a re-read
 * short. The first entry is the start of what can be streamed: frames before it are trimmed, or lie before an installed
 * transfer, across which the log has a gap.
 */
import type { Lsn } from "../../protocol/words.ts";
import { covers, type ReadonlyVersionVector } from "./version-vector.ts";

const entryBytes = 256 * 1024;

interface Entry {
  readonly lsn: Lsn;
  /** Of everything before `lsn`. */
  readonly vv: ReadonlyVersionVector;
}

export class LogIndex {
  /** Never empty. */
  #entries: Entry[] = [{ lsn: 1, vv: [] }];
  #bytes = 0;

  get startLsn(): Lsn {
    return (this.#entries[0] as Entry).lsn;
  }

  get baseVv(): ReadonlyVersionVector {
    return (this.#entries[0] as Entry).vv;
  }

  /** Starts anew: nothing before `lsn` can be streamed. */
  reset(lsn: Lsn, vv: ReadonlyVersionVector): void {
    this.#entries = [{ lsn, vv: [...vv] }];
    this.#bytes = 0;
  }

  /** A record of `bytes` is about to get `lsn`; `vv` is that of all before it. */
  note(lsn: Lsn, bytes: number, vv: ReadonlyVersionVector): void {
    if (this.#bytes >= entryBytes) {
      this.#entries.push({ lsn, vv: [...vv] });
      this.#bytes = 0;
    }
    this.#bytes += bytes;
  }

  /** An entry where a segment begins: the log is trimmed by whole segments. Ascending. */
  add(lsn: Lsn, vv: ReadonlyVersionVector): void {
    if (this.#entries.length > 0 && (this.#entries[this.#entries.length - 1] as Entry).lsn >= lsn) return;
    this.#entries.push({ lsn, vv: [...vv] });
    this.#bytes = 0;
  }

  /**
   * The log begins at `firstLsn` now: no entry before it may stay, or a stream would begin at a record that is gone, for
   * ever. `vv` is that of all before `nextLsn`, and what is left when no entry is.
   */
  trimmed(firstLsn: Lsn, nextLsn: Lsn, vv: ReadonlyVersionVector): void {
    while (this.#entries.length > 0 && (this.#entries[0] as Entry).lsn < firstLsn) this.#entries.shift();
    if (this.#entries.length === 0) this.add(nextLsn, vv);
  }

  /** The last place where all before is covered by `vv`; undefined when that was trimmed: a transfer is needed. */
  startFor(vv: ReadonlyVersionVector): Lsn | undefined {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (covers(vv, (this.#entries[middle] as Entry).vv)) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? undefined : (this.#entries[low - 1] as Entry).lsn;
  }
}
