/**
 * The acceptor of CASPaxos: what this peer has promised and accepted, per key, and the only memory there is of it.
 *
 *   state per key: promise, accepted, value         an absent key is {promise: floor, accepted: none}
 *   PREPARE b          b > max(promise, accepted)   -> promise = b
 *   ACCEPT b, v, next  b >= promise, b > accepted   -> accepted = b, value = v, promise = max(b, next)
 *   QUERY              tells accepted and value
 *   REMOVE b           accepted = b, dead, promise <= b -> the key goes, floor = max(floor, b)
 *
 * Nothing is answered before all it rests on is on disk: an answer waits in `#held` until synced() covers its record. That
 * holds for QUERY too, which writes nothing: an answer from memory may speak of what a power cut takes back.
 *
 * Promises are on disk all together, as a *ceiling*: no ballot is promised whose counter is above it. After a restart
 * every key counts as promised up to the ceiling, which keeps each promise that was made and costs some proposers a round
 * trip. So a promise needs no record of its own, and hardly a PREPARE waits for the disk.
 *
 * A disk is admitted once, when the cluster is born or by readmission. Before that it answers nothing at all: an acceptor
 * that lost its promises and goes on answering lets two majorities meet in nobody. Messages of an earlier epoch are
 * refused, so that what was begun with the lost disk cannot be finished with the new one.
 */
import { ballotCounterMax, promisesOnlyMax, registerKeysPerPage } from "../../protocol/limits.ts";
import type { RegisterRecord, RegisterRequest, RegisterResponse } from "../../protocol/register-messages.ts";
import { peekRegisterValue, type RegisterHead } from "../../protocol/register-value.ts";
import type { OriginId, PeerName } from "../../protocol/words.ts";
import { type Ballot, type BallotClock, highestBallot, isAbove, isSame, noBallot } from "./ballot.ts";
import { invariant } from "./invariant.ts";

/** What a register takes in memory beside its key and value: ballots, map entry, place in the list. An estimate. */
const registerOverheadBytes = 160;

/** Where a scan begins: at the end of any list. */
export const scanStart = Number.MAX_SAFE_INTEGER;

interface Register {
  promise: Ballot;
  accepted: Ballot;
  /** "" exactly when nothing was accepted. */
  value: string;
  /** The record that it was accepted with; 0: it lies on disk since before this run, or nothing was accepted. */
  record: number;
  /** Its place in the list of keys. */
  slot: number;
  /** It has a value; else it was deleted, or only promised. */
  live: boolean;
}

export interface Addressed<Message> {
  readonly to: PeerName;
  readonly message: Message;
}

interface HeldResponse extends Addressed<RegisterResponse> {
  /** May leave once this record is on disk. */
  readonly record: number;
}

/** What the acceptor tells the rest of this peer. */
export interface AcceptorHooks {
  /** A majority is known to answer: the first promise of all may be given. */
  mayBegin(): boolean;
  append(record: RegisterRecord): number;
  /** A ballot was promised, with an accept or without. */
  promised(key: string, ballot: Ballot): void;
  /** A register was accepted. */
  held(key: string, head: RegisterHead): void;
  removed(key: string): void;
  epochRaised(epoch: Ballot): void;
}

export class Acceptor {
  readonly #clock: BallotClock;
  readonly #hooks: AcceptorHooks;
  readonly #ceilingStep: number;
  readonly #registers = new Map<string, Register>();
  #held: HeldResponse[] = [];
  #released: Addressed<RegisterResponse>[] = [];
  #synced = 0;
  #promisesOnly = 0;
  /** Every key once, in no order: for scans, which go from the end to the front. */
  readonly #keys: string[] = [];
  /** Keys whose state the next checkpoint has to store. */
  #changed = new Set<string>();
  /** The record that the epoch and the floor are on disk with. */
  #record = 0;
  /** Sorted, for whoever lists. */
  #listing: readonly string[] | undefined;
  /** No ballot with a counter above this is promised. On disk with that record, and so much of it already. */
  #ceiling = 0;
  #ceilingRecord = 0;
  #ceilingOnDisk = 0;
  /** Above whatever earlier runs may have promised, of any key. */
  #promisedBefore: Ballot = noBallot;
  floor: Ballot = noBallot;
  epoch: Ballot = noBallot;
  admitted = false;
  /** The record that it was admitted by, in this run. */
  #admittedBy = 0;
  /** It was told that it may not trust what it holds. */
  expelled = false;
  /** Messages that no sound peer sends: absurd counters, two values of one ballot. */
  refusedAbsurd = 0;
  /** Of keys and values, as they lie in memory. */
  bytes = 0;
  /** Keys that have a value. */
  liveCount = 0;

  /** `ceilingStep`: how far the ceiling is raised above a ballot. */
  constructor(clock: BallotClock, hooks: AcceptorHooks, ceilingStep: number) {
    this.#clock = clock;
    this.#hooks = hooks;
    this.#ceilingStep = ceilingStep;
  }

  get size(): number {
    return this.#registers.size;
  }

  /** Also after a power cut: others may count on its answers. */
  get isAdmittedOnDisk(): boolean {
    return this.admitted && this.#admittedBy <= this.#synced;
  }

  /** Nothing was ever promised, accepted or removed on this disk, as far as it knows. */
  get isBlank(): boolean {
    return (
      this.#registers.size === 0 &&
      this.#ceiling === 0 &&
      this.floor.counter === 0 &&
      this.epoch.counter === 0 &&
      !this.expelled
    );
  }

  /** What lies here, without asking anybody: may be stale. */
  *entries(): IterableIterator<readonly [string, Readonly<Register>]> {
    yield* this.#registers;
  }

  look(key: string): Readonly<Register> | undefined {
    return this.#registers.get(key);
  }

  /**
   * Visits some `count` live keys from `cursor` on (`scanStart` first) and returns where to go on, 0 at the end. The list
   * is walked from its end: a key that is removed is replaced by the last one, which so moves to where the walk has yet to
   * come, or came from where it was already. No key that stays is missed.
   */
  scan(cursor: number, count: number, visit: (key: string) => void): number {
    let at = Math.min(cursor, this.#keys.length);
    for (let left = count; left > 0 && at > 0; left--) {
      const key = this.#keys[--at] as string;
      if (this.#registers.get(key)?.live === true) visit(key);
    }
    return at;
  }

  // ---- checkpoint -------------------------------------------------------------------------------------------------------

  /** Keys whose state changed since the last call: what the checkpoint that begins now must store. */
  takeChanged(): ReadonlySet<string> {
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  }

  /** The record that restores this key as it is now, but for its promise; undefined: nothing was accepted. */
  storedRecord(key: string): RegisterRecord | undefined {
    const register = this.#registers.get(key);
    if (register === undefined || register.accepted.counter === 0) return undefined;
    const { accepted, value } = register;
    return { kind: "accept", key, accepted, value };
  }

  /** The records that restore all but the registers, before them; none: there is nothing to restore. */
  admissionRecords(): readonly RegisterRecord[] {
    if (!this.admitted && !this.expelled) return [];
    const { admitted, epoch, floor } = this;
    const admission = { kind: "admission", admitted, epoch, floor, highest: this.#clock.highest } as const;
    return this.#ceiling === 0 ? [admission] : [admission, { kind: "ceiling", counter: this.#ceiling }];
  }

  /** What replay() did so far came from the checkpoint, not from the log behind it. */
  checkpointRestored(): void {
    this.#changed.clear();
  }

  // ---- recovery ---------------------------------------------------------------------------------------------------------

  /** A record read back from disk. */
  replay(record: RegisterRecord): void {
    switch (record.kind) {
      case "ceiling":
        this.#ceiling = Math.max(this.#ceiling, record.counter);
        this.#ceilingOnDisk = this.#ceiling;
        return;
      case "accept":
        this.#setAccepted(record.key, record.accepted, record.accepted, record.value);
        return;
      case "remove":
        this.#remove(record.key);
        this.#raiseFloor(record.floor);
        return;
      case "epoch":
        this.epoch = record.epoch;
        return;
      case "admission":
        this.admitted = record.admitted;
        this.expelled = !record.admitted;
        if (!record.admitted) this.#forgetAll();
        this.epoch = highestBallot(this.epoch, record.epoch);
        this.#clock.hear(record.highest);
        this.#raiseFloor(record.floor);
        return;
    }
  }

  /** Everything was read back. `origin`: of this run. */
  start(origin: OriginId): void {
    if (this.#ceiling === 0) return;
    const { epoch } = this;
    const bound = { counter: Math.min(this.#ceiling + 1, ballotCounterMax), origin };
    this.#promisedBefore = Object.freeze(epoch.counter === 0 ? bound : { ...bound, epoch });
    this.#clock.hear(bound.counter);
  }

  // ---- admission --------------------------------------------------------------------------------------------------------

  /** From now on this disk's acceptor answers. `floor`, `highest`: what it must not fall behind. */
  admit(from: { readonly epoch: Ballot; readonly floor: Ballot; readonly highest: number }): void {
    invariant(!this.admitted, "a disk is admitted once");
    invariant(this.#registers.size === 0, "a disk that is admitted holds no registers");
    const record: RegisterRecord = { kind: "admission", admitted: true, ...from };
    this.#record = this.#hooks.append(record);
    this.#admittedBy = this.#record;
    this.replay(record);
  }

  /** This disk was rolled back: what it holds is worth nothing. */
  expel(): void {
    const record: RegisterRecord = {
      kind: "admission",
      admitted: false,
      epoch: this.epoch,
      floor: noBallot,
      highest: 0,
    };
    this.#record = this.#hooks.append(record);
    this.replay(record);
  }

  // ---- requests ---------------------------------------------------------------------------------------------------------

  receive(from: PeerName, request: RegisterRequest): void {
    if (!this.admitted) return;
    if (isAbove(request.epoch, this.epoch)) this.#raiseEpoch(request.epoch);
    const { asker, round } = request;
    const { epoch } = this;
    if (isAbove(epoch, request.epoch)) return this.#answer(from, { kind: "stale", epoch, asker, round }, this.#record);
    const { ballot } = request as { readonly ballot?: Ballot };
    if (ballot !== undefined && !isSame(ballot.epoch ?? noBallot, request.epoch)) return this.#refuseAbsurd();
    switch (request.kind) {
      case "prepare":
        return this.#onPrepare(from, request);
      case "accept":
        return this.#onAccept(from, request);
      case "query": {
        const register = this.#registers.get(request.key);
        return this.#answer(from, this.#told("state", request, register), this.#recordOf(register));
      }
      case "remove":
        return this.#onRemove(request);
      case "raise": {
        const { highest } = this.#clock;
        return this.#answer(from, { kind: "raised", epoch, asker, round, floor: this.floor, highest }, this.#record);
      }
      case "list":
        return this.#onList(from, request);
    }
  }

  #onPrepare(from: PeerName, request: RegisterRequest & { kind: "prepare" }): void {
    const { key, ballot } = request;
    const register = this.#registers.get(key);
    const bound = this.#bound(register);
    if (!isAbove(ballot, bound)) {
      return this.#refuse(from, request, bound, this.#recordOf(register));
    }
    // Else a disk could have a past before those of a majority are let in, and keep them out by it.
    if (this.isBlank && !this.#hooks.mayBegin()) return;
    if (!this.#clock.believes(ballot.counter)) return this.#refuseAbsurd();
    if (register === undefined && this.#promisesOnly >= promisesOnlyMax) {
      this.#forgetPromises();
      if (!isAbove(ballot, this.floor)) {
        return this.#refuse(from, request, this.floor, this.#record);
      }
    }
    const promised = this.#setPromise(key, ballot);
    this.#hooks.promised(key, ballot);
    const record = Math.max(this.#record, promised.record, this.#ceilingOver(ballot));
    this.#answer(from, this.#told("promised", request, promised), record);
  }

  /** Sees to a ceiling that covers this ballot. Returns the record that must be on disk before it is promised; 0: none. */
  #ceilingOver({ counter }: Ballot): number {
    // Half a step before it is needed, so that nobody waits for it.
    if (counter + this.#ceilingStep / 2 > this.#ceiling) {
      this.#ceiling = Math.min(counter + this.#ceilingStep, ballotCounterMax);
      this.#ceilingRecord = this.#hooks.append({ kind: "ceiling", counter: this.#ceiling });
    }
    return counter <= this.#ceilingOnDisk ? 0 : this.#ceilingRecord;
  }

  #onAccept(from: PeerName, request: RegisterRequest & { kind: "accept" }): void {
    const { key, ballot, next, value } = request;
    const register = this.#registers.get(key);
    if (register !== undefined && isSame(register.accepted, ballot)) {
      // The same request once more, or damage: a ballot stands for one value.
      if (register.value !== value) return this.#refuseAbsurd();
      const echo = isSame(this.#bound(register), next) ? next : noBallot;
      return this.#answer(from, this.#accepted(request, echo), register.record);
    }
    const bound = this.#bound(register);
    if (isAbove(bound, ballot)) {
      return this.#refuse(from, request, bound, this.#recordOf(register));
    }
    if (!this.#clock.believes(Math.max(ballot.counter, next.counter))) return this.#refuseAbsurd();
    // The promise rises with the accept: else a lower ballot could still be promised and accepted over this one.
    const promise = highestBallot(ballot, next);
    const accepted = this.#setAccepted(key, ballot, promise, value);
    this.#hooks.promised(key, promise);
    this.#ceilingOver(promise);
    // Behind the ceiling: once this record is on disk, so is that.
    accepted.record = this.#hooks.append({ kind: "accept", key, accepted: ballot, value });
    this.#answer(from, this.#accepted(request, next), accepted.record);
  }

  #onRemove(request: RegisterRequest & { kind: "remove" }): void {
    const { key, ballot } = request;
    const register = this.#registers.get(key);
    if (register === undefined || !isSame(register.accepted, ballot) || isAbove(this.#bound(register), ballot)) return;
    if (register.live) return;
    this.#remove(key);
    this.#raiseFloor(ballot);
    this.#record = this.#hooks.append({ kind: "remove", key, floor: this.floor });
  }

  #onList(from: PeerName, request: RegisterRequest & { kind: "list" }): void {
    const { asker, round } = request;
    if (request.first || this.#listing === undefined) this.#listing = [...this.#registers.keys()].sort();
    const listing = this.#listing;
    let at = 0;
    for (let end = listing.length; at < end; ) {
      const middle = (at + end) >>> 1;
      if (request.first || (listing[middle] as string) > request.after) end = middle;
      else at = middle + 1;
    }
    const keys = listing.slice(at, at + registerKeysPerPage);
    const more = at + keys.length < listing.length;
    if (!more) this.#listing = undefined;
    this.#answer(from, { kind: "listed", epoch: this.epoch, asker, round, keys, more }, this.#record);
  }

  // ---- state ------------------------------------------------------------------------------------------------------------

  /** No lower ballot is promised or accepted. */
  #bound(register: Register | undefined): Ballot {
    const bound = register === undefined ? this.floor : highestBallot(register.promise, register.accepted);
    return highestBallot(bound, this.#promisedBefore);
  }

  #told(
    kind: "promised" | "state",
    { asker, round, known }: RegisterRequest & { kind: "prepare" | "query" },
    register: Register | undefined,
  ): RegisterResponse {
    const { epoch, floor } = this;
    if (register === undefined || register.accepted.counter === 0) {
      return { kind, epoch, asker, round, accepted: noBallot, value: "", floor };
    }
    const { accepted } = register;
    // A ballot stands for one value: who holds it needs no copy.
    const value = isSame(accepted, known) ? undefined : register.value;
    return { kind, epoch, asker, round, accepted, value, floor: noBallot };
  }

  #accepted({ asker, round }: RegisterRequest, next: Ballot): RegisterResponse {
    return { kind: "accepted", epoch: this.epoch, asker, round, next };
  }

  #recordOf(register: Register | undefined): number {
    return register === undefined || register.accepted.counter === 0
      ? Math.max(this.#record, register?.record ?? 0)
      : register.record;
  }

  #setPromise(key: string, promise: Ballot): Register {
    this.#clock.hear(promise.counter);
    const register = this.#registers.get(key);
    if (register !== undefined) {
      register.promise = promise;
      return register;
    }
    const made = { promise, accepted: noBallot, value: "", record: 0, slot: this.#keys.length, live: false };
    this.#registers.set(key, made);
    this.#keys.push(key);
    this.bytes += key.length + registerOverheadBytes;
    this.#promisesOnly++;
    return made;
  }

  #drop(key: string, register: Register): void {
    this.#changed.add(key);
    this.#registers.delete(key);
    if (register.live) this.liveCount--;
    this.bytes -= key.length + registerOverheadBytes + register.value.length;
    const last = this.#keys.pop() as string;
    if (last === key) return;
    this.#keys[register.slot] = last;
    (this.#registers.get(last) as Register).slot = register.slot;
  }

  #setAccepted(key: string, accepted: Ballot, promise: Ballot, value: string): Register {
    this.#changed.add(key);
    const register = this.#setPromise(key, promise);
    if (register.accepted.counter === 0) this.#promisesOnly--;
    register.accepted = accepted;
    this.bytes += value.length - register.value.length;
    register.value = value;
    const head = peekRegisterValue(value);
    if (register.live !== head.live) this.liveCount += head.live ? 1 : -1;
    register.live = head.live;
    this.#hooks.held(key, head);
    return register;
  }

  #remove(key: string): void {
    const register = this.#registers.get(key);
    if (register === undefined) return;
    if (register.accepted.counter === 0) this.#promisesOnly--;
    this.#drop(key, register);
    this.#hooks.removed(key);
  }

  #raiseFloor(floor: Ballot): void {
    this.#clock.hear(floor.counter);
    this.floor = highestBallot(this.floor, floor);
  }

  /** A key that was only promised is an absent one, if the floor keeps the promise; on disk the ceiling does. */
  #forgetPromises(): void {
    for (const [key, register] of this.#registers) {
      if (register.accepted.counter > 0) continue;
      this.#raiseFloor(register.promise);
      this.#drop(key, register);
    }
    this.#promisesOnly = 0;
  }

  #forgetAll(): void {
    for (const [key, register] of this.#registers) {
      this.#drop(key, register);
      this.#hooks.removed(key);
    }
    this.#promisesOnly = 0;
    this.floor = noBallot;
  }

  #raiseEpoch(epoch: Ballot): void {
    this.epoch = epoch;
    this.#record = this.#hooks.append({ kind: "epoch", epoch });
    this.#hooks.epochRaised(epoch);
  }

  #refuseAbsurd(): void {
    this.refusedAbsurd++;
  }

  // ---- answers ----------------------------------------------------------------------------------------------------------

  #refuse(to: PeerName, { asker, round }: RegisterRequest, above: Ballot, record: number): void {
    this.#answer(to, { kind: "refused", epoch: this.epoch, asker, round, above }, record);
  }

  #answer(to: PeerName, message: RegisterResponse, record: number): void {
    if (record <= this.#synced) this.#released.push({ to, message });
    else this.#held.push({ to, message, record });
  }

  /** Every record up to this one is on disk. */
  synced(record: number): void {
    this.#synced = record;
    if (this.#ceilingRecord <= record) this.#ceilingOnDisk = this.#ceiling;
    const waiting: HeldResponse[] = [];
    for (const held of this.#held) (held.record <= record ? this.#released : waiting).push(held as HeldResponse);
    this.#held = waiting;
  }

  takeReleased(): readonly Addressed<RegisterResponse>[] {
    const released = this.#released;
    this.#released = [];
    return released;
  }

  get hasReleased(): boolean {
    return this.#released.length > 0;
  }
}
