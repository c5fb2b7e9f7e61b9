/**
 * The proposer of CASPaxos: makes the operations of this peer's clients happen, one round per key at a time.
 *
 *   only reads wait      QUERY all; a quorum that holds one ballot answers them, else a full round
 *   a promise is cached  ACCEPT, one round trip
 *   otherwise            PREPARE, then ACCEPT
 *
 * The rules, by their numbers in docs/STRONG.md:
 * B1 every attempt has a new ballot. B2 answers count per round and acceptor. B3 the promise that came with an accept is
 * used once, only if a quorum echoed it, and never after any doubt. B4 operations are evaluated afresh per attempt. B5 what
 * waits when a round begins its accept joins it. B6 full-jitter back-off. B7 a refusal tells what to go above.
 * R1 without an accept only that is answered which a consistent quorum shows, to operations that waited before it was
 * asked and were in no accept before. O1 an operation that was in an accept is never called undone at its deadline.
 */
import {
  operationsPerRoundMax,
  operationsWaitingBytesMax,
  operationsWaitingMax,
  promisesCachedMax,
} from "../../protocol/limits.ts";
import type { RegisterRequest, RegisterResponse } from "../../protocol/register-messages.ts";
import { encodeRegisterValue } from "../../protocol/register-value.ts";
import type { OriginId, PeerName } from "../../protocol/words.ts";
import { type Ballot, type BallotClock, isAbove, isSame, noBallot } from "./ballot.ts";
import { type Evaluation, evaluate, isOnlyRead, type Outcome, type WaitingOperation } from "./evaluate.ts";
import { invariant } from "./invariant.ts";
import type { LeaseWatch } from "./leases.ts";
import type { Operation } from "./operations.ts";
import { isLive, type RegisterValue } from "./register-value.ts";
import { type Known, Round, type SweepJob } from "./round.ts";
import { type Wakeable, WakeQueue } from "./wake-queue.ts";

/** A round without an end after so long is given up: its messages are lost. More: slower after a loss. */
const roundMsMax = 400;
/** Acceptors that disagree wait so long for the others before the next attempt: a read's answers, a refusal among promises. */
const disagreementMs = 20;
/** A promise that nobody needed for so long is dropped: it costs memory. */
const promiseMsMax = 60_000;
const backOffMsMin = 2;
const backOffMsMax = 500;

/** A promise that came with an accept, and the value it stands on. */
interface CachedPromise {
  readonly ballot: Ballot;
  readonly value: RegisterValue;
  readonly sinceMs: number;
}

interface KeyState extends Wakeable {
  readonly key: string;
  waiting: WaitingOperation[];
  round: Round | undefined;
  promise: CachedPromise | undefined;
  sweep: SweepJob | undefined;
  /** A read found no consistent quorum, or a lease that is over: only a full round answers. */
  needsRound: boolean;
  tries: number;
  retryAtMs: number;
}

export interface ProposerOptions {
  readonly origin: OriginId;
  /** All peers of the cluster, this one too. */
  readonly peers: readonly PeerName[];
  readonly clock: BallotClock;
  readonly leases: LeaseWatch;
  /** In [0, 1). */
  readonly random: () => number;
  readonly epoch: Ballot;
  /** What this peer's own acceptor holds of a key now, in memory. Only used where another confirms it. */
  readonly look: (key: string) => Known | undefined;
  readonly send: (to: PeerName, request: RegisterRequest) => void;
  readonly finish: (id: number, outcome: Outcome) => void;
}

export interface GivenOperation {
  readonly id: number;
  readonly key: string;
  readonly operation: Operation;
  readonly operationId?: string | undefined;
  readonly deadlineMs: number;
  readonly bytes?: number;
  /** Instead of finish(): for this peer's own operations. */
  readonly onAnswer?: (outcome: Outcome) => void;
}

export class Proposer {
  readonly #options: ProposerOptions;
  readonly #quorum: number;
  readonly #keys = new Map<string, KeyState>();
  readonly #rounds = new Map<number, KeyState>();
  #roundNumber = 0;
  #arrivals = 0;
  #waitingBytes = 0;
  #promises = 0;
  /** Smoothed time of a round trip: what back-off starts from. */
  #roundTripMs = backOffMsMin;
  nowMs = 0;
  waitingCount = 0;
  sweeps = 0;
  epoch: Ballot;
  readonly #wakes = new WakeQueue<KeyState>();
  readonly counts: Record<string, number> = {};

  constructor(options: ProposerOptions) {
    this.#options = options;
    this.#quorum = Math.floor(options.peers.length / 2) + 1;
    this.epoch = options.epoch;
  }

  nextRound(): number {
    return ++this.#roundNumber;
  }

  get origin(): OriginId {
    return this.#options.origin;
  }

  /** No later than the next moment at which tick() has something to do. */
  get wakeMs(): number {
    return this.#wakes.nextMs;
  }

  get pendingRounds(): number {
    return this.#rounds.size;
  }

  // ---- what comes in ------------------------------------------------------------------------------------------------------

  operate(given: GivenOperation): void {
    const bytes = given.bytes ?? 0;
    if (this.waitingCount >= operationsWaitingMax || this.#waitingBytes + bytes > operationsWaitingBytesMax) {
      if (given.onAnswer !== undefined) given.onAnswer({ kind: "busy" });
      else this.#options.finish(given.id, { kind: "busy" });
      return;
    }
    const state = this.#stateOf(given.key);
    state.waiting.push({
      id: given.id,
      operation: given.operation,
      operationId: given.operationId,
      deadlineMs: given.deadlineMs,
      bytes,
      arrival: ++this.#arrivals,
      attempts: [],
      onAnswer: given.onAnswer,
      answered: false,
    });
    this.waitingCount++;
    this.#waitingBytes += bytes;
    this.#wakes.by(state, given.deadlineMs);
    this.#begin(state);
  }

  /** False when this key is being swept already. */
  sweep(key: string, job: SweepJob): boolean {
    const state = this.#stateOf(key);
    if (state.sweep !== undefined || state.round?.sweep !== undefined) return false;
    state.sweep = job;
    this.sweeps++;
    this.#begin(state);
    return true;
  }

  onResponse(from: PeerName, response: RegisterResponse): void {
    if (response.asker !== this.#options.origin) return;
    // Also of a round that is over: an acceptor that refuses late would else be passed over in every one.
    if (response.kind === "refused") this.#hearCounter(response.above.counter);
    const state = this.#rounds.get(response.round);
    const round = state?.round;
    if (state === undefined || round === undefined) return;
    if (response.kind === "stale") {
      this.raiseEpoch(response.epoch);
      if (isAbove(response.epoch, round.epoch)) this.#giveUp(state, "now");
      return;
    }
    if (!isSame(response.epoch, round.epoch) || !round.count(from, response)) return;
    this.#hear(response);
    switch (round.phase) {
      case "query":
        return this.#onQueried(state, round);
      case "prepare":
        return this.#onPrepared(state, round);
      case "accept":
        return this.#onAccepted(state, round);
    }
  }

  /** The next ballot is above whatever an acceptor tells of. */
  #hear(response: RegisterResponse): void {
    if (response.kind === "promised" || response.kind === "state") {
      this.#hearCounter(response.accepted.counter);
      this.#hearCounter(response.floor.counter);
    }
  }

  #hearCounter(counter: number): void {
    const { clock } = this.#options;
    if (clock.believes(counter)) clock.hear(counter);
  }

  /**
   * This peer's own acceptor has promised a ballot. Somebody else's, above a cached promise, shows that another peer writes
   * the key: the cached one would be refused by then.
   */
  onPromised(key: string, ballot: Ballot): void {
    const state = this.#keys.get(key);
    if (state?.promise === undefined || !isAbove(ballot, state.promise.ballot)) return;
    this.#dropPromise(state);
  }

  #dropPromise(state: KeyState): void {
    if (state.promise === undefined) return;
    state.promise = undefined;
    this.#promises--;
  }

  /** The membership has changed: nothing of the epoch before may be built upon. */
  raiseEpoch(epoch: Ballot): void {
    if (!isAbove(epoch, this.epoch)) return;
    this.epoch = epoch;
    for (const state of this.#keys.values()) this.#dropPromise(state);
  }

  tick(): void {
    const { nowMs } = this;
    for (let state = this.#wakes.take(nowMs); state !== undefined; state = this.#wakes.take(nowMs)) {
      this.#endOverdue(state);
      if (state.round !== undefined && state.round.deadlineMs <= nowMs) {
        this.#count(`timeout ${state.round.phase}`);
        this.#giveUp(state, state.round.phase === "query" ? "now" : "later");
      } else this.#begin(state);
      if (state.promise !== undefined && nowMs - state.promise.sinceMs > promiseMsMax) this.#dropPromise(state);
      this.#wakeFor(state);
      this.#forgetIdle(state);
    }
  }

  // ---- rounds -------------------------------------------------------------------------------------------------------------

  #begin(state: KeyState): void {
    if (state.round !== undefined) return;
    if (state.sweep !== undefined) {
      this.#dropPromise(state);
      return this.#prepare(state);
    }
    this.#endOverdue(state);
    if (state.waiting.length === 0) return;
    if (this.nowMs < state.retryAtMs) return this.#wakes.by(state, state.retryAtMs);
    if (!state.needsRound && state.waiting.every(isOnlyRead)) return this.#query(state);
    const { promise } = state;
    this.#dropPromise(state);
    if (promise === undefined || this.nowMs - promise.sinceMs > promiseMsMax) return this.#prepare(state);
    this.#count("cachedPromises");
    this.#accept(state, promise.ballot, this.#evaluate(state, promise.value, promise.ballot));
  }

  #query(state: KeyState): void {
    const { key } = state;
    const { epoch, number, known } = this.#open(state, "query", { known: this.#options.look(key) });
    this.#broadcast({ kind: "query", epoch, asker: this.#options.origin, round: number, key, known });
  }

  #prepare(state: KeyState): void {
    const ballot = this.#options.clock.next(this.#options.origin, this.epoch);
    const { sweep, key } = state;
    state.sweep = undefined;
    const { epoch, number, known } = this.#open(state, "prepare", { ballot, sweep, known: this.#options.look(key) });
    const asker = this.#options.origin;
    this.#broadcast({ kind: "prepare", epoch, asker, round: number, key, ballot, known });
  }

  #accept(state: KeyState, ballot: Ballot, evaluation: Evaluation): void {
    const { operations, answers, effective } = evaluation;
    for (let index = 0; index < operations.length; index++) {
      const answer = answers[index];
      const waiting = operations[index] as WaitingOperation;
      if (effective[index] === true && answer !== undefined && answer !== "unknown") {
        waiting.attempts.push({ ballot, answer });
      }
    }
    const next = this.#options.clock.next(this.#options.origin, ballot.epoch ?? noBallot);
    const round = this.#open(state, "accept", { ballot, evaluation, next });
    this.#askToAccept(state, round, encodeRegisterValue(evaluation.value));
  }

  #askToAccept({ key }: KeyState, { epoch, number, ballot, next }: Round, value: string): void {
    const asker = this.#options.origin;
    this.#broadcast({ kind: "accept", epoch, asker, round: number, key, ballot, next, value });
  }

  #onQueried(state: KeyState, round: Round): void {
    const agreed = round.agreed(this.#quorum);
    if (agreed === undefined) {
      if (round.answered === this.#options.peers.length) return this.#giveUp(state, "now");
      if (round.answered >= this.#quorum) {
        round.deadlineMs = Math.min(round.deadlineMs, this.nowMs + disagreementMs);
        this.#wakes.by(state, round.deadlineMs);
      }
      return;
    }
    const value = this.#read(state, round, agreed);
    if (value.lease !== undefined && this.#options.leases.isOver(state.key, value.lease, this.nowMs)) {
      return this.#giveUp(state, "now");
    }
    this.#count("oneRoundReads");
    this.#close(state, round);
    this.#answer(state, this.#evaluate(state, value, noBallot, round.joined));
    this.#begin(state);
  }

  #onPrepared(state: KeyState, round: Round): void {
    if (round.refused > this.#options.peers.length - this.#needed(round)) return this.#giveUp(state, "later");
    if (round.agreedTo < this.#needed(round)) return this.#hasten(state, round);
    if (!round.isAboveByCounter) return this.#giveUp(state, "now");
    const highest = round.highest();
    const value = this.#read(state, round, highest);
    if (round.sweep !== undefined) return this.#sweepPrepared(state, round, round.sweep, round.textOf(highest), value);
    const evaluation = this.#evaluate(state, value, round.ballot);
    const wasInAccept = evaluation.operations.some(({ attempts }) => attempts.length > 0);
    if (!evaluation.changed && !wasInAccept && round.agreed(this.#quorum) !== undefined) {
      this.#count("answeredByPrepare");
      this.#close(state, round);
      // Who came later may be owed a newer value than the one that was read.
      this.#answer(state, this.#evaluate(state, value, round.ballot, round.joined));
      return this.#begin(state);
    }
    if (!evaluation.changed) this.#count("writtenBack");
    this.#close(state, round);
    this.#accept(state, round.ballot, evaluation);
  }

  #onAccepted(state: KeyState, round: Round): void {
    const needed = this.#needed(round);
    if (round.refused > this.#options.peers.length - needed) return this.#giveUp(state, "later");
    if (round.agreedTo < needed) return this.#hasten(state, round);
    if (round.sweep !== undefined) return this.#sweepAccepted(state, round);
    const { evaluation } = round;
    invariant(evaluation !== undefined, "an accept carries what it is for");
    this.#count("accepts");
    this.#close(state, round);
    this.#options.leases.see(state.key, evaluation.value.lease, this.nowMs);
    const isPromised = round.echoes() >= this.#quorum && isSame(round.epoch, this.epoch);
    if (isPromised && this.#promises < promisesCachedMax) {
      this.#promises++;
      state.promise = { ballot: round.next, value: evaluation.value, sinceMs: this.nowMs };
    }
    this.#answer(state, evaluation);
    this.#begin(state);
  }

  // ---- sweeping: server/registers/sweep.ts says when ----------------------------------------------------------------------

  /** The dead register must be held by every acceptor before any forgets it. */
  #sweepPrepared(state: KeyState, round: Round, sweep: SweepJob, text: string, value: RegisterValue): void {
    this.#close(state, round);
    const isTheOne = !isLive(value) && value.version === sweep.version && value.fences.length === 0 && text !== "";
    if (!isTheOne) return this.#endSweep(state);
    const accept = this.#open(state, "accept", { ballot: round.ballot, sweep });
    this.#askToAccept(state, accept, text);
  }

  #sweepAccepted(state: KeyState, round: Round): void {
    this.#count("sweeps");
    this.#close(state, round);
    const { epoch, number, ballot } = round;
    this.#broadcast({ kind: "remove", epoch, asker: this.#options.origin, round: number, key: state.key, ballot });
    this.#endSweep(state);
  }

  #endSweep(state: KeyState): void {
    this.sweeps--;
    this.#begin(state);
    this.#forgetIdle(state);
  }

  // ---- helpers ------------------------------------------------------------------------------------------------------------

  #needed(round: Round): number {
    return round.sweep === undefined ? this.#quorum : this.#options.peers.length;
  }

  #open(
    state: KeyState,
    phase: Round["phase"],
    { ballot, sweep, evaluation, next, known }: Partial<ConstructorParameters<typeof Round>[2]>,
  ): Round {
    invariant(state.round === undefined, "a key has one round in flight");
    const round = new Round(this.nextRound(), phase, {
      ballot: ballot ?? noBallot,
      // An accept belongs to the epoch its promises were made in, though this peer may have heard of a later one.
      epoch: ballot === undefined ? this.epoch : (ballot.epoch ?? noBallot),
      startedMs: this.nowMs,
      deadlineMs: this.nowMs + roundMsMax,
      joined: this.#arrivals,
      sweep,
      evaluation,
      next: next ?? noBallot,
      known,
    });
    state.round = round;
    this.#rounds.set(round.number, state);
    this.#wakes.by(state, round.deadlineMs);
    return round;
  }

  /**
   * One acceptor refused, and the others may be too few: the next attempt, with a ballot that it promises, is nearer than
   * their answers. An acceptor that started again refuses what was prepared at it before.
   */
  #hasten(state: KeyState, round: Round): void {
    if (round.refused === 0) return;
    const patienceMs = Math.max(disagreementMs, 2 * this.#roundTripMs);
    round.deadlineMs = Math.min(round.deadlineMs, this.nowMs + patienceMs);
    this.#wakes.by(state, round.deadlineMs);
  }

  /** The round came to its end. */
  #close(state: KeyState, round: Round): void {
    const tookMs = this.nowMs - round.startedMs;
    this.#roundTripMs += (tookMs - this.#roundTripMs) / 8;
    this.#drop(state, round);
  }

  #drop(state: KeyState, round: Round): void {
    this.#rounds.delete(round.number);
    state.round = undefined;
  }

  /** The round failed, or nobody can say. What it promised and cached is worth nothing any more. */
  #giveUp(state: KeyState, when: "now" | "later"): void {
    const { round } = state;
    invariant(round !== undefined, "a round that is given up was in flight");
    this.#drop(state, round);
    this.#dropPromise(state);
    if (round.sweep !== undefined) return this.#endSweep(state);
    state.needsRound = true;
    if (when === "later") {
      this.#count("backOffs");
      const base = Math.max(backOffMsMin, this.#roundTripMs) * 2 ** Math.min(state.tries++, 20);
      state.retryAtMs = this.nowMs + this.#options.random() * Math.min(backOffMsMax, base);
    }
    this.#begin(state);
  }

  #read(state: KeyState, round: Round, answer: Parameters<Round["read"]>[0]): RegisterValue {
    const value = round.read(answer);
    this.#options.leases.see(state.key, value.lease, this.nowMs);
    return value;
  }

  #evaluate(state: KeyState, value: RegisterValue, ballot: Ballot, arrivedBy = this.#arrivals): Evaluation {
    const { leases } = this.#options;
    // Past its deadline an operation is not begun, also where nobody has told its client yet: a peer that stood still would
    // do what others were asked to do in its place long ago.
    const isDue = ({ arrival, deadlineMs }: WaitingOperation): boolean =>
      arrival <= arrivedBy && deadlineMs > this.nowMs;
    const operations = state.waiting.filter(isDue).slice(0, operationsPerRoundMax);
    const evaluation = evaluate(value, operations, { key: state.key, ballot, leases, nowMs: this.nowMs });
    if (evaluation.endedLease) this.#count("leasesEnded");
    if (evaluation.alreadyHappened > 0) this.#count("alreadyHappened");
    return evaluation;
  }

  #answer(state: KeyState, { operations, answers }: Evaluation): void {
    state.tries = 0;
    state.needsRound = false;
    for (const [index, waiting] of operations.entries()) {
      const answer = answers[index];
      if (answer !== undefined) {
        this.#finish(waiting, answer === "unknown" ? { kind: "unknown" } : { kind: "done", ...answer });
      }
    }
    this.#dropAnswered(state);
  }

  #endOverdue(state: KeyState): void {
    for (const waiting of state.waiting) {
      if (waiting.deadlineMs > this.nowMs) continue;
      this.#finish(waiting, { kind: waiting.attempts.length > 0 ? "unknown" : "no-quorum" });
    }
    this.#dropAnswered(state);
  }

  #finish(waiting: WaitingOperation, outcome: Outcome): void {
    if (waiting.answered) return;
    waiting.answered = true;
    this.waitingCount--;
    this.#waitingBytes -= waiting.bytes;
    if (waiting.onAnswer !== undefined) waiting.onAnswer(outcome);
    else this.#options.finish(waiting.id, outcome);
  }

  #dropAnswered(state: KeyState): void {
    if (state.waiting.some(({ answered }) => answered)) {
      state.waiting = state.waiting.filter(({ answered }) => !answered);
    }
  }

  /** To all acceptors, also those that did not promise: an accept raises their promise too. */
  #broadcast(request: RegisterRequest): void {
    for (const peer of this.#options.peers) this.#options.send(peer, request);
  }

  #stateOf(key: string): KeyState {
    const known = this.#keys.get(key);
    if (known !== undefined) return known;
    const state: KeyState = {
      key,
      waiting: [],
      round: undefined,
      promise: undefined,
      sweep: undefined,
      needsRound: false,
      tries: 0,
      retryAtMs: 0,
      wakeAtMs: Number.POSITIVE_INFINITY,
    };
    this.#keys.set(key, state);
    return state;
  }

  #forgetIdle(state: KeyState): void {
    if (
      state.round === undefined &&
      state.sweep === undefined &&
      state.promise === undefined &&
      state.waiting.length === 0
    ) {
      this.#keys.delete(state.key);
    }
  }

  #wakeFor(state: KeyState): void {
    let atMs = state.promise === undefined ? Number.POSITIVE_INFINITY : state.promise.sinceMs + promiseMsMax + 1;
    if (state.round !== undefined) atMs = Math.min(atMs, state.round.deadlineMs);
    else if (state.waiting.length > 0) atMs = Math.min(atMs, Math.max(state.retryAtMs, this.nowMs));
    for (const { deadlineMs } of state.waiting) atMs = Math.min(atMs, deadlineMs);
    this.#wakes.by(state, atMs);
  }

  #count(name: string): void {
    this.counts[name] = (this.counts[name] ?? 0) + 1;
  }
}
