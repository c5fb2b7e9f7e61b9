/**
 * A circuit breaker: a peer that keeps failing what it is asked, though it is there, is left alone for a while; then a
 * probe tries it. Pure: the clock is an argument (monotonic ms).
 */

/** Failures without a success between them. */
const failuresMax = 5;
const restMsMin = 1000;
const restMsMax = 15_000;

export class Breaker {
  /** Only ever added to. */
  timesOpened = 0;
  #failures = 0;
  #restUntilMs = Number.NEGATIVE_INFINITY;
  #restMs = restMsMin;
  #isProbing = false;

  get isOpen(): boolean {
    return this.#failures >= failuresMax;
  }

  /** True: it has rested, and a probe is to be sent now. Its end must be told. */
  takeProbe(nowMs: number): boolean {
    if (!this.isOpen || this.#isProbing || nowMs < this.#restUntilMs) return false;
    this.#isProbing = true;
    return true;
  }

  onSuccess(): void {
    this.#failures = 0;
    this.#isProbing = false;
    this.#restMs = restMsMin;
  }

  onFailure(nowMs: number): void {
    this.#failures += 1;
    // What was under way when it opened fails too, and says nothing new.
    if (!this.isOpen || (nowMs < this.#restUntilMs && !this.#isProbing)) return;
    this.#isProbing = false;
    this.timesOpened += 1;
    this.#restUntilMs = nowMs + this.#restMs;
    this.#restMs = Math.min(restMsMax, this.#restMs * 2);
  }

  /** The connection is gone, and with it what failed on it. */
  reset(): void {
    this.onSuccess();
    this.#restUntilMs = Number.NEGATIVE_INFINITY;
  }
}
