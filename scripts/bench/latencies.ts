/** Percentiles of milliseconds, by perf_hooks' histogram: three digits, in microseconds. */
import { createHistogram } from "node:perf_hooks";

export class Latencies {
  readonly #histogram = createHistogram();

  record(ms: number): void {
    this.#histogram.record(Math.max(1, Math.round(ms * 1000)));
  }

  get count(): number {
    return this.#histogram.count;
  }

  /** Milliseconds; NaN when nothing was recorded. */
  percentile(percent: number): number {
    return this.count === 0 ? Number.NaN : this.#histogram.percentile(percent) / 1000;
  }

  get maxMs(): number {
    return this.count === 0 ? Number.NaN : this.#histogram.max / 1000;
  }
}

export const msText = (ms: number): string => (Number.isNaN(ms) ? "-" : `${ms.toFixed(2)} ms`);
