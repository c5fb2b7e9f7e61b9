/** Holds the map still across awaits, for the few commands that need it: one after the other, all others wait. */
import { Mutex } from "async-mutex";
import type { TurnLoop } from "./turn-loop.ts";

export class MapLock {
  readonly #mutex = new Mutex();
  readonly #loop: Pick<TurnLoop, "blocked">;

  /** Ports look at the loop's `blocked` before each command: see turn.ts. */
  constructor(loop: Pick<TurnLoop, "blocked">) {
    this.#loop = loop;
  }

  exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#mutex.runExclusive(async () => {
      let free: () => void = () => {};
      this.#loop.blocked = new Promise<void>((resolve) => {
        free = resolve;
      });
      try {
        return await work();
      } finally {
        this.#loop.blocked = undefined;
        free();
      }
    });
  }
}
