/**
 * When a lease may be ended: by whoever has watched it, unrenewed, for longer than its holder can believe in it.
 *
 * No clock is compared with another. The holder stops at `ttl * (1 - rho)` after it *sent* its request; whoever wants the
 * lease over must have known this very lease for `ttl * (1 + rho) + margin` on its own monotonic clock, and then ends it
 * by a round like any other write. Clocks may run wrong by rho. A peer that stood still, or was started again, only waits
 * longer. What is over is therefore decided in one place, and no two peers ever disagree on it.
 */
import type { Lease } from "../../protocol/register-value.ts";

/** How wrong the rate of a monotonic clock may be: 1 %. */
const clockRateError = 0.01;
const marginMs = 50;

interface Watched {
  readonly lease: Lease;
  readonly sinceMs: number;
}

/** How long one must have known a lease to end it. */
export const lapseMs = (ttlMs: number): number => ttlMs * (1 + clockRateError) + marginMs;

export class LeaseWatch {
  readonly #watched = new Map<string, Watched>();

  get size(): number {
    return this.#watched.size;
  }

  /**
   * What the register was just seen with. Any other lease than the one watched is watched from now on: what was seen before
   * may never have been chosen, and watching anew only waits longer.
   */
  see(key: string, lease: Lease | undefined, nowMs: number): void {
    const watched = this.#watched.get(key);
    if (lease === undefined) {
      if (watched !== undefined) this.#watched.delete(key);
      return;
    }
    if (watched?.lease.id !== lease.id) this.#watched.set(key, { lease, sinceMs: nowMs });
  }

  isOver(key: string, lease: Lease, nowMs: number): boolean {
    const watched = this.#watched.get(key);
    return watched?.lease.id === lease.id && nowMs - watched.sinceMs >= lapseMs(lease.ttlMs);
  }

  /** Until its end as it is seen here; at least 1 while it is not over. */
  leftMs(key: string, lease: Lease, nowMs: number): number {
    const watched = this.#watched.get(key);
    if (watched?.lease.id !== lease.id) return lease.ttlMs;
    return Math.max(1, lease.ttlMs - (nowMs - watched.sinceMs));
  }

  /** Keys whose lease is over, at most `max` of them. `laterMs`: how much later than it could this peer acts. */
  over(nowMs: number, max: number, laterMs: (key: string) => number): string[] {
    const keys: string[] = [];
    for (const [key, { lease, sinceMs }] of this.#watched) {
      if (nowMs - sinceMs < lapseMs(lease.ttlMs) + laterMs(key)) continue;
      keys.push(key);
      if (keys.length === max) break;
    }
    return keys;
  }
}
