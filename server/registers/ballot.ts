/**
 * The order of ballots, and the counter they are drawn from.
 *
 * Compared as whole tuples: epoch, counter, then the origin's bytes. A store that compared times alone let an accept in below the
 * accepted one (scylladb #6139). Every attempt has a ballot of its own, so a ballot never stands for two values: the
 * counter only grows within a run, and each run of a peer is another origin.
 */
import { type Ballot, noBallot } from "../../protocol/ballots.ts";
import { ballotCounterMax, ballotJumpMax, operationsPerRoundMax } from "../../protocol/limits.ts";
import type { OriginId } from "../../protocol/words.ts";
import { invariant } from "./invariant.ts";

export { type Ballot, noBallot };

export const compareBallots = (a: Ballot, b: Ballot): number => {
  if (a.epoch !== b.epoch) {
    // What one acceptor accepted in an earlier epoch must not outrank what was chosen since: the disk that would have
    // refused the one for the other's sake is lost.
    const order = compareBallots(a.epoch ?? noBallot, b.epoch ?? noBallot);
    if (order !== 0) return order;
  }
  if (a.counter !== b.counter) return a.counter - b.counter;
  if (a.origin === b.origin) return 0;
  return a.origin < b.origin ? -1 : 1;
};

export const isAbove = (a: Ballot, b: Ballot): boolean => compareBallots(a, b) > 0;
export const isSame = (a: Ballot, b: Ballot): boolean => compareBallots(a, b) === 0;
export const highestBallot = (a: Ballot, b: Ballot): Ballot => (isAbove(b, a) ? b : a);

/** The version of operation `index` of a round. Versions of a later round are all above: its counter is. */
export const versionOf = (ballot: Ballot, index: number): number => {
  invariant(index <= operationsPerRoundMax, "a round has at most so many operations");
  return ballot.counter * (operationsPerRoundMax + 1) + index;
};

/** The highest counter that this peer has seen, in whatever part: what its next ballots are above. */
export class BallotClock {
  highest = 0;

  /**
   * A counter beyond reason is damage, and would use up what is left of them. A peer that knows nothing yet (a new one,
   * one that lost its disk) has nothing to compare with.
   */
  believes(counter: number): boolean {
    if (counter > ballotCounterMax) return false;
    return this.highest === 0 || counter <= this.highest + ballotJumpMax;
  }

  hear(counter: number): void {
    if (counter > this.highest) this.highest = counter;
  }

  /** A ballot that was never used, above all of its epoch that was heard of. */
  next(origin: OriginId, epoch: Ballot): Ballot {
    const counter = this.highest + 1;
    invariant(counter <= ballotCounterMax, "ballot counters end at 2^47");
    this.highest = counter;
    return Object.freeze(epoch.counter === 0 ? { counter, origin } : { counter, origin, epoch });
  }
}
