/**
 * The experts: few, and each helps one engineer at a time. Engineers wait in line.
 *
 * A pool in one process. Over several processes an expert would be a lock that all agree on: `kv.lock`.
 */
export class Experts {
  readonly #free: number[];
  readonly #waiting: ((expert: number) => void)[] = [];
  readonly count: number;
  mostAtWork = 0;

  constructor(count: number) {
    this.count = count;
    this.#free = Array.from({ length: count }, (_, expert) => expert);
  }

  /** Runs `work` with an expert of its own, who is free again afterwards whatever happens. */
  async with<Result>(work: (expert: number) => Promise<Result>): Promise<Result> {
    const expert = this.#free.shift() ?? (await new Promise<number>((resolve) => this.#waiting.push(resolve)));
    this.mostAtWork = Math.max(this.mostAtWork, this.count - this.#free.length);
    try {
      return await work(expert);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free.push(expert);
      else next(expert);
    }
  }
}
