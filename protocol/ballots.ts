/**
 * Ballots on the wire, and the dictionary that keeps them short.
 *
 * A ballot is `(epoch, counter, origin)`, compared in this order. The origin is one run of a peer, `name.incarnation`, so no ballot of an earlier run is
 * ever made again, whatever a crash lost. Counter 0 is no ballot. An epoch is named like a ballot, `(counter, origin)`, and has
 * no epoch itself; before the first disk was readmitted there is none. The first mention of an origin in a message spells it
 * out, later ones are one byte.
 */
import { type ByteReader, type ByteWriter, DecodeFault } from "./bytes.ts";
import { readOrigin, writeOrigin } from "./frames.ts";
import { ballotCounterMax } from "./limits.ts";
import type { OriginId } from "./words.ts";

/** Immutable; never changed after it was made, since messages, records and rounds share it. */
export interface Ballot {
  readonly counter: number;
  /** "" exactly when the counter is 0. */
  readonly origin: OriginId | "";
  /** Every ballot of a later epoch is above every one of an earlier. Absent in the first, and in epochs themselves. */
  readonly epoch?: Ballot;
}

/** Below every ballot. */
export const noBallot: Ballot = Object.freeze({ counter: 0, origin: "" });

export class OriginWriter {
  readonly #known: string[] = [];

  write(out: ByteWriter, origin: string): void {
    const index = this.#known.indexOf(origin);
    if (index >= 0) {
      out.varint(index);
      return;
    }
    out.varint(this.#known.length);
    writeOrigin(out, origin);
    this.#known.push(origin);
  }

  epoch(out: ByteWriter, epoch: Ballot): void {
    out.varint(epoch.counter);
    if (epoch.counter > 0) this.write(out, epoch.origin);
  }

  ballot(out: ByteWriter, ballot: Ballot): void {
    this.epoch(out, ballot);
    if (ballot.counter > 0) this.epoch(out, ballot.epoch ?? noBallot);
  }
}

export const readBallotCounter = (input: ByteReader): number => {
  const counter = input.varint();
  if (counter > ballotCounterMax) throw new DecodeFault(`ballot counter ${counter}, limit ${ballotCounterMax}`);
  return counter;
};

export class OriginReader {
  readonly #known: OriginId[] = [];

  read(input: ByteReader): OriginId {
    const index = input.varint();
    const known = this.#known[index];
    if (known !== undefined) return known;
    if (index !== this.#known.length) throw new DecodeFault(`origin ${index} of ${this.#known.length} named so far`);
    const origin = readOrigin(input);
    this.#known.push(origin);
    return origin;
  }

  ballot(input: ByteReader): Ballot {
    const ballot = this.epoch(input);
    if (ballot.counter === 0) return ballot;
    const epoch = this.epoch(input);
    return epoch.counter === 0 ? ballot : { ...ballot, epoch };
  }

  /** Reads a ballot as ballot() does, for its counter alone: nothing is made. */
  counterOf(input: ByteReader): number {
    const counter = this.#counterAndOrigin(input);
    if (counter > 0) this.#counterAndOrigin(input);
    return counter;
  }

  #counterAndOrigin(input: ByteReader): number {
    const counter = readBallotCounter(input);
    if (counter > 0) this.read(input);
    return counter;
  }

  epoch(input: ByteReader): Ballot {
    const counter = readBallotCounter(input);
    if (counter === 0) return noBallot;
    return { counter, origin: this.read(input) };
  }
}
