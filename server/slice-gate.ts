/**
 * Who does long work in slices asks here before each: never two slices in one round of the event loop, and none on top of a
 * turn that is already long. A client's command waits for one of them at most.
 */

/** A turn that has lasted so long, ms, is long enough. */
const turnMsMax = 0.5;
/** A loop that is always busy gives a slice this many rounds late. */
const refusalsMax = 4;

export class SliceGate {
  readonly #turnMs: () => number;
  #isTaken = false;
  readonly #free = (): void => {
    this.#isTaken = false;
  };

  /** `turnMs`: how long the turn under way lasts; 0 between turns. */
  constructor(turnMs: () => number) {
    this.#turnMs = turnMs;
  }

  /** False: not in this round, ask again in the next. `refusals`: how often this slice was told so. */
  tryTake(refusals: number): boolean {
    if (this.#isTaken || (refusals < refusalsMax && this.#turnMs() > turnMsMax)) return false;
    this.#isTaken = true;
    setImmediate(this.#free);
    return true;
  }

  /** Resolves after the pause, when a slice may run: at once, before anything else is awaited. */
  async pass(pauseMs: number): Promise<void> {
    await pause(pauseMs);
    for (let refusals = 0; !this.tryTake(refusals); refusals++) await pause(0);
  }
}

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    if (ms === 0) setImmediate(resolve);
    else setTimeout(resolve, ms);
  });
