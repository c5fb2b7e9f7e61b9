/** A rate over the last seconds, from a counter sampled now and then. */
export class RateMeter {
  #lastCount = 0;
  #lastMs = 0;
  perSecond = 0;

  sample(count: number, elapsedMs: number): void {
    const spanMs = elapsedMs - this.#lastMs;
    if (spanMs < 500) return;
    this.perSecond = Math.round(((count - this.#lastCount) * 1000) / spanMs);
    this.#lastCount = count;
    this.#lastMs = elapsedMs;
  }
}
