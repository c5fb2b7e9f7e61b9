/**
 * The hybrid logical clock: stamps that follow real time and never go back (Kulkarni et al. 2014).
 *
 * A stamp is `(ms since 2020) * 4096 + counter` in one double, 53 bits, good until 2089. tick() is strictly increasing;
 * hear() merges by max. A ceiling is durable before any stamp above it is used or even merely heard, so that a process
 * started again with a clock set back starts above all it ever used: the clock never passes `ceiling`.
 */
import type { Stamp } from "../../protocol/words.ts";
import { invariant } from "./invariant.ts";

/** 2020-01-01T00:00:00Z. */
export const stampEpochMs = 1_577_836_800_000;
export const stampsPerMs = 4096;

export const msToStamp = (unixMs: number): Stamp => (unixMs - stampEpochMs) * stampsPerMs;
export const stampToMs = (stamp: Stamp): number => Math.floor(stamp / stampsPerMs) + stampEpochMs;

export class HybridClock {
  /** The highest stamp used or heard. */
  last: Stamp = 0;
  /** Durable. Invariant: last <= ceiling. */
  ceiling: Stamp = 0;

  /** The next stamp of this peer. The counter running over simply moves the ms on. */
  tick(nowMs: number): Stamp {
    const real = msToStamp(nowMs);
    const next = real > this.last ? real : this.last + 1;
    invariant(next <= this.ceiling, "a stamp is used only below the durable ceiling");
    this.last = next;
    return next;
  }

  /** Whether tick() at `nowMs` (and `marginMs` later) stays below the ceiling. */
  hasHeadroom(nowMs: number, marginMs: number): boolean {
    return Math.max(msToStamp(nowMs), this.last) + marginMs * stampsPerMs <= this.ceiling;
  }

  hear(stamp: Stamp): void {
    if (stamp <= this.last) return;
    invariant(stamp <= this.ceiling, "a stamp is heard only below the durable ceiling");
    this.last = stamp;
  }
}
