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
  #entries: Entry[] = [];
  #bytes = 0;

  get startLsn(): Lsn {
    return this.#entries[0]?.lsn ?? 1;
  }

  get baseVv(): ReadonlyVersionVector {
    return this.#entries[0]?.vv ?? [];
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

  /** An entry known from a segment's header. Ascending. */
  add(lsn: Lsn, vv: ReadonlyVersionVector): void {
    this.#entries.push({ lsn, vv: [...vv] });
    this.#bytes = 0;
  }

  /** The log begins at `lsn` now. Keeps at least one entry at or after it. */
  trimmed(lsn: Lsn): void {
    while (this.#entries.length > 1 && (this.#entries[0] as Entry).lsn < lsn) this.#entries.shift();
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
