/**
 * How long commands took over the last seconds: percentiles from counts in buckets, so that noting one costs a logarithm
 * and no memory. A bucket is a quarter of a doubling wide: a percentile is at most 19 % too high, never too low.
 *
 * Time is cut into slots that are used again in turn; what is older than all of them is forgotten.
 */

const slotMs = 1000;
const slotsCount = 10;
/** Bucket 0 ends at a microsecond; four a doubling, so the last begins at some 18 minutes. */
const bucketsCount = 121;
const leastMs = 0.001;

export interface LatencyReport {
  /** null: nothing was noted. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
  readonly count: number;
}

export class LatencyWindow {
  readonly #counts = new Uint32Array(slotsCount * bucketsCount);
  readonly #maxMs = new Float64Array(slotsCount);
  /** Number of the slot of time, counted from the start of the clock. */
  #slot = 0;

  /** `nowMs`: monotonic. `count` of them took `tookMs` each. */
  note(tookMs: number, count: number, nowMs: number): void {
    this.#moveTo(nowMs);
    const slot = this.#slot % slotsCount;
    const bucket = tookMs <= leastMs ? 0 : Math.min(bucketsCount - 1, Math.ceil(Math.log2(tookMs / leastMs) * 4));
    const at = slot * bucketsCount + bucket;
    this.#counts[at] = (this.#counts[at] ?? 0) + count;
    if (tookMs > (this.#maxMs[slot] ?? 0)) this.#maxMs[slot] = tookMs;
  }

  #moveTo(nowMs: number): void {
    const slot = Math.floor(nowMs / slotMs);
    if (slot <= this.#slot) return;
    // A long silence empties all of them, once.
    for (let old = Math.max(this.#slot + 1, slot - slotsCount + 1); old <= slot; old += 1) {
      const index = old % slotsCount;
      this.#counts.fill(0, index * bucketsCount, (index + 1) * bucketsCount);
      this.#maxMs[index] = 0;
    }
    this.#slot = slot;
  }

  report(nowMs: number): LatencyReport {
    this.#moveTo(nowMs);
    const buckets = new Float64Array(bucketsCount);
    let count = 0;
    this.#counts.forEach((counted, at) => {
      const bucket = at % bucketsCount;
      buckets[bucket] = (buckets[bucket] ?? 0) + counted;
      count += counted;
    });
    if (count === 0) return { p50Ms: null, p99Ms: null, maxMs: null, count };
    const maxMs = Math.max(...this.#maxMs);
    const percentile = (share: number): number => {
      let left = count * share;
      for (let bucket = 0; bucket < bucketsCount; bucket += 1) {
        left -= buckets[bucket] ?? 0;
        if (left <= 0) return Math.min(maxMs, leastMs * 2 ** (bucket / 4));
      }
      return maxMs;
    };
    return { p50Ms: percentile(0.5), p99Ms: percentile(0.99), maxMs, count };
  }
}
