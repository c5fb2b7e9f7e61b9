/**
 * How a peer whose registers were lost comes to answer again.
 *
 *   raise   a new epoch, above all known ones, at a majority that this peer is not part of
 *   list    every key those hold
 *   read    each of them, by rounds of the new epoch: what was chosen is then held by a majority without this peer
 *   admit   from here on this acceptor answers, above the highest floor it was told
 *
 * What makes it safe. Every value chosen with the lost disk lies at one acceptor at least of any majority of the others,
 * and is copied to a majority of them before the new disk counts for anything. What was begun in an earlier epoch, and may
 * rest on a promise that is lost, is refused by that majority from the first step on, so it can never finish. An empty
 * acceptor that is let in without either loses acknowledged writes (scylladb #5251).
 */
import { sweepsAtOnceMax } from "../../protocol/limits.ts";
import type { RegisterRequest, RegisterResponse } from "../../protocol/register-messages.ts";
import type { OriginId, PeerName } from "../../protocol/words.ts";
import { type Ballot, highestBallot, isAbove, isSame, noBallot } from "./ballot.ts";
import type { Outcome } from "./evaluate.ts";

/** Unanswered requests are repeated after this. */
const repeatMs = 500;
/** Two peers that are readmitted at a time raise above each other: whoever is overtaken waits, each time about twice as long. */
const overtakenMsMax = 60_000;
const readMsMax = 2000;

export interface ReadmissionOptions {
  readonly origin: OriginId;
  /** The others. */
  readonly peers: readonly PeerName[];
  readonly quorum: number;
  readonly nextRound: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  readonly send: (to: PeerName, request: RegisterRequest) => void;
  /** Rounds begin in this epoch from now on. */
  readonly enter: (epoch: Ballot) => void;
  readonly read: (key: string, deadlineMs: number, onAnswer: (outcome: Outcome) => void) => void;
  readonly admit: (from: { readonly epoch: Ballot; readonly floor: Ballot; readonly highest: number }) => void;
}

interface Survivor {
  readonly floor: Ballot;
  readonly highest: number;
  /** The last key it listed; undefined: none yet. */
  after: string | undefined;
  listed: boolean;
}

export class Readmission {
  readonly #options: ReadmissionOptions;
  #epoch: Ballot = noBallot;
  /** An epoch above ours that was heard of. */
  #above: Ballot = noBallot;
  readonly #survivors = new Map<PeerName, Survivor>();
  /** Round number to whom it was sent. */
  readonly #asked = new Map<number, PeerName>();
  readonly #unread = new Set<string>();
  #reading = 0;
  #repeatAtMs = 0;
  #nowMs = 0;
  #overtaken = 0;
  finished = false;

  constructor(options: ReadmissionOptions, known: Ballot, nowMs: number) {
    this.#options = options;
    this.#nowMs = nowMs;
    this.#begin(known);
  }

  /** For whoever waits: what is still missing. */
  get progress(): { readonly raised: number; readonly listed: number; readonly unread: number } {
    const survivors = [...this.#survivors.values()];
    return {
      raised: survivors.length,
      listed: survivors.filter(({ listed }) => listed).length,
      unread: this.#unread.size + this.#reading,
    };
  }

  get wakeMs(): number {
    return this.finished ? Number.POSITIVE_INFINITY : this.#repeatAtMs;
  }

  #begin(known: Ballot): void {
    this.#epoch = Object.freeze({ counter: known.counter + 1, origin: this.#options.origin });
    this.#survivors.clear();
    this.#unread.clear();
    this.#options.enter(this.#epoch);
    this.#ask();
  }

  /** Somebody else changed the membership meanwhile: everything once more, above that, but not at once. */
  epochRaised(epoch: Ballot): void {
    if (this.finished || !isAbove(epoch, this.#epoch) || isSame(epoch, this.#above)) return;
    this.#above = highestBallot(this.#above, epoch);
    this.#asked.clear();
    const waitMs = Math.min(overtakenMsMax, repeatMs * 2 ** this.#overtaken++) * (1 + this.#options.random());
    this.#repeatAtMs = this.#nowMs + waitMs;
  }

  tick(nowMs: number): void {
    this.#nowMs = nowMs;
    if (this.finished || nowMs < this.#repeatAtMs) return;
    if (isAbove(this.#above, this.#epoch)) this.#begin(this.#above);
    else this.#ask();
  }

  /** Whatever has not been answered. */
  #ask(): void {
    this.#repeatAtMs = this.#nowMs + repeatMs;
    this.#asked.clear();
    if (!this.#isRaised) {
      for (const peer of this.#options.peers) if (!this.#survivors.has(peer)) this.#send(peer, { kind: "raise" });
      return;
    }
    for (const [peer, survivor] of this.#survivors) this.#list(peer, survivor);
    this.#readSome();
  }

  get #isRaised(): boolean {
    return this.#survivors.size >= this.#options.quorum;
  }

  #list(peer: PeerName, survivor: Survivor): void {
    if (survivor.listed) return;
    this.#send(peer, { kind: "list", first: survivor.after === undefined, after: survivor.after ?? "" });
  }

  #send(to: PeerName, what: { kind: "raise" } | { kind: "list"; first: boolean; after: string }): void {
    const round = this.#options.nextRound();
    this.#asked.set(round, to);
    this.#options.send(to, { ...what, epoch: this.#epoch, asker: this.#options.origin, round });
  }

  onResponse(from: PeerName, response: RegisterResponse): void {
    if (this.finished || response.asker !== this.#options.origin || this.#asked.get(response.round) !== from) return;
    this.#asked.delete(response.round);
    if (!isSame(response.epoch, this.#epoch)) return this.epochRaised(response.epoch);
    if (response.kind === "raised") {
      if (this.#isRaised) return;
      const { floor, highest } = response;
      this.#survivors.set(from, { floor, highest, after: undefined, listed: false });
      if (this.#isRaised) this.#ask();
    } else if (response.kind === "listed") {
      const survivor = this.#survivors.get(from);
      if (survivor === undefined) return;
      for (const key of response.keys) this.#unread.add(key);
      survivor.after = response.keys.at(-1) ?? survivor.after ?? "";
      survivor.listed = !response.more;
      this.#list(from, survivor);
      this.#readSome();
    }
  }

  #readSome(): void {
    const epoch = this.#epoch;
    for (const key of this.#unread) {
      if (this.#reading >= sweepsAtOnceMax) return;
      this.#unread.delete(key);
      this.#reading++;
      this.#options.read(key, this.#nowMs + readMsMax, (outcome) => {
        this.#reading--;
        if (!isSame(epoch, this.#epoch)) return;
        if (outcome.kind === "done") this.#readSome();
        else this.#unread.add(key);
      });
    }
    const survivors = [...this.#survivors.values()];
    if (isAbove(this.#above, epoch)) return;
    if (this.finished || !this.#isRaised || this.#reading > 0 || this.#unread.size > 0) return;
    if (!survivors.every(({ listed }) => listed)) return;
    this.finished = true;
    this.#options.admit({
      epoch,
      floor: survivors.reduce((floor, { floor: theirs }) => highestBallot(floor, theirs), noBallot),
      highest: Math.max(...survivors.map(({ highest }) => highest)),
    });
  }
}
