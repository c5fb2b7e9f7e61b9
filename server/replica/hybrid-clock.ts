/**
 * The hybrid logical clock: stamps that follow real time and never go back (Kulkarni et al. 2014).
 *
 * A stamp is `(ms since 2020) * 4096 + counter` in one double, 53 bits, good until 2089. tick() is strictly increasing;
 * hear() merges by max. A ceiling is durable before any stamp above it is used or even merely heard, so that a process
 * started again with a clock set back starts above all it ever used: the clock never passes `ceiling`.
 *
 * A run that crashed is followed by one that starts at its ceiling, ahead of real time, and every peer hears of it. So
 * the ceiling is a step ahead of real time, never of a clock that leads it already: such a clock moves by its counter
 * alone and gets a reserve of stamps instead. Else each crash would push the whole cluster a step further ahead.
 */
import type { Stamp } from "../../protocol/words.ts";
import { invariant } from "./invariant.ts";

/** 2020-01-01T00:00:00Z. */
export const stampEpochMs = 1_577_836_800_000;
export const stampsPerMs = 4096;

/** What a clock that leads real time may use before its ceiling is raised again: 2^20 stamps are 256 ms. */
const stampReserve = 2 ** 20;

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

  /** Whether tick() at `nowMs` (and `marginMs` later) stays below the ceiling, a quarter of a million times or more. */
  hasHeadroom(nowMs: number, marginMs: number): boolean {
    const reserve = marginMs > 0 ? stampReserve / 2 : stampReserve / 4;
    return msToStamp(nowMs + marginMs) <= this.ceiling && this.last + reserve <= this.ceiling;
  }

  /** A ceiling with headroom for `aheadMs` of real time, above `wanted` too. */
  ceilingAfter(nowMs: number, aheadMs: number, wanted: Stamp): Stamp {
    return Math.max(msToStamp(nowMs + aheadMs), Math.max(this.last, wanted) + stampReserve);
  }

  /** Hearing it leaves a reserve below the ceiling, so that whoever made sure of headroom still has it. */
  canHear(stamp: Stamp): boolean {
    return stamp <= this.last || stamp + stampReserve / 4 <= this.ceiling;
  }

  hear(stamp: Stamp): void {
    if (stamp <= this.last) return;
    invariant(stamp <= this.ceiling, "a stamp is heard only below the durable ceiling");
    this.last = stamp;
  }
}
