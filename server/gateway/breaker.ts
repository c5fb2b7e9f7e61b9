/**
 * A circuit breaker: a peer that keeps failing what it is asked, though it is there, is left alone for a while; then one
 * call tries it. Pure: the clock is an argument (monotonic ms).
 */

/** Failures without a success between them. */
const failuresMax = 5;
const restMsMin = 1000;
const restMsMax = 15_000;

export class Breaker {
  /** Only ever added to. */
  timesOpened = 0;
  #failures = 0;
  #openUntilMs = Number.NEGATIVE_INFINITY;
  #restMs = restMsMin;
  /** Open, and one call was let through: what becomes of it decides. */
  #isProbing = false;

  get isOpen(): boolean {
    return this.#failures >= failuresMax;
  }

  /** Whether a call may go now; open ones let one through when they have rested. `onCall` must follow if it does. */
  mayCall(nowMs: number): boolean {
    return !this.isOpen || (!this.#isProbing && nowMs >= this.#openUntilMs);
  }

  onCall(): void {
    if (this.isOpen) this.#isProbing = true;
  }

  onSuccess(): void {
    this.#failures = 0;
    this.#isProbing = false;
    this.#restMs = restMsMin;
  }

  onFailure(nowMs: number): void {
    const wasOpen = this.isOpen;
    this.#failures += 1;
    if (!this.isOpen) return;
    if (wasOpen && !this.#isProbing) return;
    this.#isProbing = false;
    this.timesOpened += 1;
    this.#openUntilMs = nowMs + this.#restMs;
    this.#restMs = Math.min(restMsMax, this.#restMs * 2);
  }
}
