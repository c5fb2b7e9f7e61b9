/**
 * Since when a seq of this peer's has been written: what somebody lacks is as old as its first op. Samples of (time,
 * seq) are taken now and then. The latest stay as they are; older ones are thinned out, so that all of the past is
 * covered, the far past less exactly, by little memory.
 */

const recentSamplesMax = 1024;
const oldSamplesMax = 512;

interface Sample {
  readonly atMs: number;
  readonly seq: number;
}

export class LagClock {
  /** Ascending in both. */
  #samples: Sample[] = [];

  /** `atMs`: monotonic. `seq`: of the latest write. */
  sample(atMs: number, seq: number): void {
    if (seq <= (this.#samples.at(-1)?.seq ?? 0)) return;
    this.#samples.push({ atMs, seq });
    if (this.#samples.length > 2 * recentSamplesMax) this.#thinOut();
  }

  #thinOut(): void {
    const old = this.#samples.slice(0, -recentSamplesMax);
    const [first, last] = [old[0], old.at(-1)];
    if (first === undefined || last === undefined) return;
    const gapMs = (last.atMs - first.atMs) / oldSamplesMax;
    const kept: Sample[] = [];
    for (const sample of old) {
      if (sample.atMs - (kept.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY) >= gapMs) kept.push(sample);
    }
    this.#samples = [...kept, ...this.#samples.slice(-recentSamplesMax)];
  }

  /** How long ago the first seq above `known` was written, at most the distance of two samples too short. 0: none was. */
  lagMs(known: number, nowMs: number): number {
    let [low, high] = [0, this.#samples.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#samples[middle]?.seq ?? 0) > known) high = middle;
      else low = middle + 1;
    }
    const first = this.#samples[low];
    return first === undefined ? 0 : Math.max(0, nowMs - first.atMs);
  }
}
