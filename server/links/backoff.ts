/**
 * How long to wait before the next try: exponential with full jitter, so that peers that lost the same link at the same
 * moment do not come back at the same moment. https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter
 */
export interface BackoffOptions {
  /** Bound of the first wait. */
  readonly baseMs: number;
  /** Bound of every later one. */
  readonly capMs: number;
  /** In [0, 1). */
  readonly random: () => number;
}

export class Backoff {
  readonly #options: BackoffOptions;
  #failures = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  get failures(): number {
    return this.#failures;
  }

  /** Notes a failure and returns the wait after it: evenly in [0, min(cap, base * 2^failures)). */
  nextMs(): number {
    // 2^20 x base is beyond any cap; the exponent stays small so that the product stays finite.
    const boundMs = Math.min(this.#options.capMs, this.#options.baseMs * 2 ** Math.min(this.#failures, 20));
    this.#failures += 1;
    return Math.floor(this.#options.random() * boundMs);
  }

  reset(): void {
    this.#failures = 0;
  }
}
