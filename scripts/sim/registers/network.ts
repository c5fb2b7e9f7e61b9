/** Messages between simulated peers: lost, repeated, overtaken by others, cut off in either direction, late by any time. */
import type { Random } from "../random.ts";
import type { RegisterParams } from "./params.ts";

interface Flying {
  readonly from: number;
  readonly to: number;
  readonly bytes: Uint8Array;
}

export class RegisterNetwork {
  readonly #random: Random;
  readonly #params: RegisterParams;
  readonly #flying: Flying[] = [];
  /** Somewhere in the network; they come when nobody thinks of them any more. */
  readonly #late: Flying[] = [];
  /** By from * 8 + to. What is under way stays under way, and comes when the cut is healed. */
  readonly cuts = new Set<number>();
  healing = false;

  constructor(random: Random, params: RegisterParams) {
    this.#random = random;
    this.#params = params;
  }

  get size(): number {
    return this.#flying.length;
  }

  send(message: Flying, cover: (name: string) => void): void {
    if (!this.healing && this.#random.chance(this.#params.loss)) return cover("lost");
    if (this.cuts.has(message.from * 8 + message.to) && this.#random.chance(0.7)) return cover("lostByCut");
    if (this.#random.chance(this.#params.late)) {
      this.#late.push(message);
      return cover("late");
    }
    this.#flying.push(message);
    if (!this.#random.chance(this.#params.duplicates)) return;
    (this.#random.chance(this.#params.late * 4) ? this.#late : this.#flying).push(message);
    cover("duplicated");
  }

  /** The next message to arrive; undefined: none can. */
  take(isReading: (to: number) => boolean): Flying | undefined {
    if (this.#late.length > 0 && this.#random.chance(0.008)) {
      const [message] = this.#late.splice(this.#random.int(this.#late.length), 1);
      if (message !== undefined && isReading(message.to)) return message;
    }
    for (let tries = 0; tries < 4 && this.#flying.length > 0; tries++) {
      // Now and then one that was long under way, else about the oldest.
      const reach = this.#params.reorders || this.#random.chance(0.05) ? this.#flying.length : 1;
      const at = this.#random.int(reach);
      const message = this.#flying[at] as Flying;
      if (this.cuts.has(message.from * 8 + message.to) || !isReading(message.to)) {
        // Not yet: others first.
        this.#flying.splice(at, 1);
        this.#flying.push(message);
        continue;
      }
      this.#flying.splice(at, 1);
      return message;
    }
    return undefined;
  }
}
