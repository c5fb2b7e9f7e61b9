/**
 * When a deleted register is purged: after it lay dead, unchanged, for long enough, and by one peer after the other.
 *
 * A dead register is kept for a time because it still remembers operation ids: a delete that is tried again must not
 * delete what was written since. Then its home peer has *every* acceptor accept it at one ballot, and only then tells them
 * to forget it and to raise their floor. With a majority instead of all, the acceptor left out could bring back what it
 * held before. A peer that is away holds purging up, never deletes.
 */
import type { RegisterHead } from "../../protocol/register-value.ts";
import type { PeerName } from "../../protocol/words.ts";
import { rankOf } from "./homes.ts";
import type { SweepJob } from "./round.ts";

/**
 * After a sweep that failed: later each time, and later at peers that come later, up to this and a little. Peers that sweep
 * one key at a time refuse each other for ever, and leave no way for anything else.
 */
const sweepAgainMsMax = 5000;

interface Dead extends SweepJob {
  dueMs: number;
  againMs: number;
}

export class Sweeper {
  readonly #self: PeerName;
  readonly #peers: readonly PeerName[];
  readonly #keptMs: number;
  readonly #dead = new Map<string, Dead>();

  constructor(self: PeerName, peers: readonly PeerName[], keptMs: number) {
    this.#self = self;
    this.#peers = peers;
    this.#keptMs = keptMs;
  }

  /** Deleted keys that this peer's acceptor still holds. */
  get size(): number {
    return this.#dead.size;
  }

  held(key: string, { live, version }: RegisterHead, nowMs: number): void {
    if (live) {
      this.#dead.delete(key);
      return;
    }
    if (this.#dead.get(key)?.version === version) return;
    // The home peer first; the others only where it does not come to it.
    const turns = 1 + rankOf(key, this.#self, this.#peers);
    const keptMs = this.#keptMs * turns;
    this.#dead.set(key, { version, dueMs: nowMs + keptMs, againMs: Math.min(sweepAgainMsMax, keptMs) * 2 });
  }

  removed(key: string): void {
    this.#dead.delete(key);
  }

  due(nowMs: number, max: number): (readonly [key: string, job: SweepJob])[] {
    const due: (readonly [string, SweepJob])[] = [];
    for (const [key, dead] of this.#dead) {
      if (due.length >= max) break;
      if (dead.dueMs > nowMs) continue;
      dead.dueMs = nowMs + dead.againMs;
      if (dead.againMs < sweepAgainMsMax) dead.againMs *= 2;
      due.push([key, { version: dead.version }]);
    }
    return due;
  }
}
