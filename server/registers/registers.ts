/**
 * The strong keys of one peer: acceptor, proposer and their background work as one state machine.
 *
 * Synchronous calls put facts in (operations, messages, time, finished syncs); ready() hands out what there is to do.
 * Nothing in here waits, reads a clock or draws randomness. The shell's contract:
 *
 * 1. restore() everything stored in order, the checkpoint's first, then start(): a new run, hence a new origin;
 * 2. setTime() before each batch of calls, with a monotonic clock. No other clock is ever needed, nor would do;
 * 3. take ready(): append its records in order, sync, then synced(their number). Messages and results may go at once: what
 *    must not leave before the sync is still held here;
 * 4. tick() no later than `wakeMs`.
 *
 * A failed append or sync ends the process: nothing may be answered after it.
 */
import { registerMessageBytes, sweepsAtOnceMax } from "../../protocol/limits.ts";
import {
  decodeRegisterMessages,
  decodeRegisterRecords,
  encodeRegisterMessages,
  encodeRegisterRecords,
  isRequest,
  isStanding,
  type RegisterMessage,
  type RegisterRecord,
  type RegisterRequest,
  type RegisterResponse,
  type RegisterStanding,
} from "../../protocol/register-messages.ts";
import { peekRegisterValue, type RegisterHead } from "../../protocol/register-value.ts";
import type { OriginId, PeerName } from "../../protocol/words.ts";
import { Acceptor } from "./acceptor.ts";
import { type Ballot, BallotClock, noBallot } from "./ballot.ts";
import type { Outcome } from "./evaluate.ts";
import { rankOf } from "./homes.ts";
import { invariant } from "./invariant.ts";
import { LeaseWatch } from "./leases.ts";
import { type GivenOperation, Proposer } from "./proposer.ts";
import { Readmission } from "./readmission.ts";
import { Sweeper } from "./sweep.ts";
import { type Holding, Traces } from "./traces.ts";

export interface RegistersOptions {
  readonly name: PeerName;
  /** All peers of the cluster, this one too. The same list at all of them, for good. */
  readonly peers: readonly PeerName[];
  /** In [0, 1): for back-off alone. */
  readonly random: () => number;
  /**
   * How long a deleted key still knows its operation ids. More: retries are safe for longer; less: memory is free sooner.
   */
  readonly deadKeptMs: number;
  /** How often this peer looks for leases that are over and keys to purge. */
  readonly choresMs: number;
  /** How far above a ballot promises are made durable. More: fewer records; less: fewer counters used up by a restart. */
  readonly ceilingStep: number;
}

export interface RegistersReady {
  /** Records in batches, each to be stored whole or not at all; to be appended in order, then synced. */
  readonly append: readonly Uint8Array[];
  /** What synced() is to be called with once these, and all before, are on disk. */
  readonly appendedThrough: number;
  readonly send: readonly { readonly to: PeerName; readonly bytes: Uint8Array }[];
  readonly results: readonly { readonly id: number; readonly outcome: Outcome }[];
}

/** A lease that is over is ended by the key's home peer; by each other one so much later. */
const laterPerRankMs = 1000;
const leaseEndMsMax = 2000;

export class Registers {
  readonly #options: RegistersOptions;
  readonly #others: readonly PeerName[];
  readonly #clock = new BallotClock();
  readonly #leases = new LeaseWatch();
  readonly #sweeper: Sweeper;
  readonly #traces: Traces;
  readonly acceptor: Acceptor;
  #proposer: Proposer | undefined;
  #readmission: Readmission | undefined;
  #append: RegisterRecord[] = [];
  #appended = 0;
  #isReplaying = true;
  readonly #outbox = new Map<PeerName, RegisterMessage[]>();
  /** What this peer's proposer asks of its own acceptor. */
  #toSelf: RegisterRequest[] = [];
  #results: { id: number; outcome: Outcome }[] = [];
  #nowMs = 0;
  #choresAtMs = 0;
  /** Others that held nothing when they were met, in this run; and those that answer. */
  readonly #blank = new Set<PeerName>();
  readonly #admitted = new Set<PeerName>();
  #othersHold = false;
  /** Leases being ended. */
  readonly #ending = new Set<string>();

  constructor(options: RegistersOptions) {
    invariant(options.peers.includes(options.name), "this peer is one of the peers");
    this.#options = options;
    this.#others = options.peers.filter((peer) => peer !== options.name);
    this.#traces = new Traces(options.peers);
    this.#sweeper = new Sweeper(options.name, options.peers, options.deadKeptMs);
    this.acceptor = new Acceptor(
      this.#clock,
      {
        mayBegin: () => this.#admitted.size + 1 > options.peers.length / 2,
        append: (record) => this.#appendRecord(record),
        promised: (key, ballot) => this.#proposer?.onPromised(key, ballot),
        held: (key, head) => this.#onHeld(key, head),
        removed: (key) => this.#sweeper.removed(key),
        epochRaised: (epoch) => this.#onEpoch(epoch),
      },
      options.ceilingStep,
    );
  }

  // ---- recovery ---------------------------------------------------------------------------------------------------------

  /** Stored records, in the order they were appended. Throws DecodeFault for damage. */
  restore(bytes: Uint8Array): void {
    for (const record of decodeRegisterRecords(bytes)) this.acceptor.replay(record);
  }

  /** All of the checkpoint was restored; what comes now is in the log behind its beginning. */
  checkpointRestored(): void {
    this.acceptor.checkpointRestored();
  }

  // ---- checkpoint -------------------------------------------------------------------------------------------------------

  /** What restore() wants first. */
  storedAdmission(): Uint8Array | undefined {
    const records = this.acceptor.admissionRecords();
    return records.length === 0 ? undefined : encodeRegisterRecords(records);
  }

  /** The keys to store in the checkpoint that begins now. */
  takeChanged(): ReadonlySet<string> {
    return this.acceptor.takeChanged();
  }

  /** For restore(), any time later in the same checkpoint; undefined: the key is gone. It must be in the log, synced. */
  storedKey(key: string): Uint8Array | undefined {
    const record = this.acceptor.storedRecord(key);
    return record === undefined ? undefined : encodeRegisterRecords([record]);
  }

  // ---- start ------------------------------------------------------------------------------------------------------------

  /** Everything stored was restored, all of it is on disk. `origin`: this run, never used before. */
  start(origin: OriginId, nowMs: number): void {
    this.#isReplaying = false;
    this.#nowMs = nowMs;
    this.acceptor.start(origin);
    this.#proposer = new Proposer({
      origin,
      peers: this.#options.peers,
      clock: this.#clock,
      leases: this.#leases,
      random: this.#options.random,
      epoch: this.acceptor.epoch,
      look: (key) => this.acceptor.look(key),
      send: (to, request) => this.#send(to, request),
      finish: (id, outcome) => this.#results.push({ id, outcome }),
    });
    this.#proposer.nowMs = nowMs;
    // No lease is known for longer than this run.
    for (const [key, { value }] of this.acceptor.entries())
      if (value !== "") this.#onHeld(key, peekRegisterValue(value));
    // Alone there is nobody to meet.
    this.#admitIfAllBlank();
  }

  get #running(): Proposer {
    invariant(this.#proposer !== undefined, "start() was called");
    return this.#proposer;
  }

  /** The cluster is being born and no peer of it has ever held a register. Nothing happens to a disk with a past. */
  admitNew(): void {
    if (this.acceptor.admitted || !this.acceptor.isBlank || this.#readmission !== undefined) return;
    this.acceptor.admit({ epoch: noBallot, floor: noBallot, highest: 0 });
  }

  /**
   * A link to that peer is up: it hears whether this disk ever held a register.
   *
   * A disk that holds nothing is either new or was lost. It is let in by itself once every other peer has said, after this
   * run began, that it holds nothing either. For had the lost disk been of use to any round, that round's majority would
   * have had another member, whose disk would know of it. (Two disks lost at once are a majority lost: see docs/STRONG.md.)
   */
  meet(peer: PeerName): void {
    const { acceptor } = this;
    const { origin } = this.#running;
    const { epoch, isAdmittedOnDisk: admitted, isBlank: blank } = acceptor;
    this.#post(peer, { kind: "standing", epoch, asker: origin, round: 0, admitted, blank });
  }

  #onStanding(from: PeerName, { admitted, blank }: RegisterStanding): void {
    if (admitted) this.#admitted.add(from);
    else this.#admitted.delete(from);
    if (blank) this.#blank.add(from);
    else this.#othersHold = true;
    this.#admitIfAllBlank();
  }

  #admitIfAllBlank(): void {
    if (this.#others.every((peer) => this.#blank.has(peer))) this.admitNew();
  }

  /** This disk was rolled back. What it holds is dropped; only readmission makes it answer again. */
  expel(): void {
    this.acceptor.expel();
  }

  /** An operator says that this peer's registers are lost and that it may come back. */
  readmit(origin: OriginId): void {
    invariant(!this.acceptor.admitted, "only a peer that answers nothing is readmitted");
    const { peers } = this.#options;
    const proposer = this.#running;
    this.#readmission = new Readmission(
      {
        origin,
        peers: this.#others,
        quorum: Math.floor(peers.length / 2) + 1,
        nextRound: () => proposer.nextRound(),
        random: this.#options.random,
        send: (to, request) => this.#send(to, request),
        enter: (epoch) => proposer.raiseEpoch(epoch),
        read: (key, deadlineMs, onAnswer) =>
          proposer.operate({ id: 0, key, operation: { kind: "get" }, deadlineMs, onAnswer }),
        admit: (from) => this.acceptor.admit(from),
      },
      proposer.epoch,
      this.#nowMs,
    );
  }

  // ---- what comes in ----------------------------------------------------------------------------------------------------

  setTime(nowMs: number): void {
    this.#nowMs = nowMs;
    if (this.#proposer !== undefined) this.#proposer.nowMs = nowMs;
  }

  operate(given: GivenOperation): void {
    this.#running.operate(given);
  }

  /** Who holds which ballot of a key: for people, decides nothing. */
  trace(key: string, deadlineMs: number, onAnswer: (holdings: readonly Holding[]) => void): void {
    const { origin, epoch } = this.#running;
    const round = this.#running.nextRound();
    const known = this.acceptor.look(key)?.accepted ?? noBallot;
    const request = { kind: "query", epoch, asker: origin, round, key, known } as const;
    this.#traces.begin(round, request, { deadlineMs, onAnswer }, (to, message) => this.#send(to, message));
  }

  /** Throws DecodeFault for messages that are not well formed: close that link. */
  receive(from: PeerName, bytes: Uint8Array): void {
    if (!this.#options.peers.includes(from)) return;
    for (const message of decodeRegisterMessages(bytes)) {
      if (isStanding(message)) this.#onStanding(from, message);
      else if (isRequest(message)) this.acceptor.receive(from, message);
      else this.#onResponse(from, message);
    }
  }

  #onResponse(from: PeerName, response: RegisterResponse): void {
    const proposer = this.#running;
    const before = proposer.epoch;
    this.#readmission?.onResponse(from, response);
    if (response.asker === proposer.origin) this.#traces.onResponse(from, response);
    proposer.onResponse(from, response);
    if (proposer.epoch !== before) this.#readmission?.epochRaised(proposer.epoch);
  }

  /** Records up to this number are on disk. */
  synced(record: number): void {
    invariant(record <= this.#appended, "only what was appended is on disk");
    const wasAdmitted = this.acceptor.isAdmittedOnDisk;
    this.acceptor.synced(record);
    // Not before: promises are given on this word, and a power cut must not take it back.
    if (!wasAdmitted && this.acceptor.isAdmittedOnDisk) for (const peer of this.#others) this.meet(peer);
  }

  tick(): void {
    const proposer = this.#running;
    proposer.tick();
    this.#readmission?.tick(this.#nowMs);
    this.#traces.tick(this.#nowMs);
    if (this.#nowMs < this.#choresAtMs) return;
    const { name, peers, choresMs } = this.#options;
    this.#choresAtMs = this.#nowMs + choresMs;
    const free = sweepsAtOnceMax - this.#ending.size;
    const over = this.#leases.over(this.#nowMs, free, (key) => rankOf(key, name, peers) * laterPerRankMs);
    for (const key of over) this.#endLease(key);
    const places = sweepsAtOnceMax - proposer.sweeps;
    for (const [key, job] of this.#sweeper.due(this.#nowMs, places)) proposer.sweep(key, job);
  }

  /** A read is all it takes: it finds the lease over and makes the round that ends it. */
  #endLease(key: string): void {
    if (this.#ending.has(key)) return;
    this.#ending.add(key);
    const onAnswer = (): void => {
      this.#ending.delete(key);
    };
    this.#running.operate({
      id: 0,
      key,
      operation: { kind: "exists" },
      deadlineMs: this.#nowMs + leaseEndMsMax,
      onAnswer,
    });
  }

  // ---- what there is to do ----------------------------------------------------------------------------------------------

  /** No later than this on the clock of setTime(), tick() has something to do. */
  get wakeMs(): number {
    const readmission = this.#readmission?.wakeMs ?? Number.POSITIVE_INFINITY;
    return Math.min(this.#running.wakeMs, readmission, this.#traces.wakeMs, this.#choresAtMs);
  }

  get hasWork(): boolean {
    return (
      this.#append.length > 0 ||
      this.#outbox.size > 0 ||
      this.#results.length > 0 ||
      this.#toSelf.length > 0 ||
      this.acceptor.hasReleased
    );
  }

  ready(): RegistersReady {
    this.#pump();
    const send: { to: PeerName; bytes: Uint8Array }[] = [];
    for (const [to, messages] of this.#outbox) {
      for (const batch of batches(messages)) send.push({ to, bytes: encodeRegisterMessages(batch) });
    }
    this.#outbox.clear();
    const append = [...batches(this.#append)].map(encodeRegisterRecords);
    const ready = { append, appendedThrough: this.#appended, send, results: this.#results };
    this.#append = [];
    this.#results = [];
    return ready;
  }

  /** What this peer says to itself is heard at once. */
  #pump(): void {
    while (this.#toSelf.length > 0 || this.acceptor.hasReleased) {
      const requests = this.#toSelf;
      this.#toSelf = [];
      for (const request of requests) this.acceptor.receive(this.#options.name, request);
      for (const { to, message } of this.acceptor.takeReleased()) {
        if (to === this.#options.name) this.#onResponse(to, message);
        else this.#post(to, message);
      }
    }
  }

  #send(to: PeerName, request: RegisterRequest): void {
    if (to === this.#options.name) this.#toSelf.push(request);
    else this.#post(to, request);
  }

  #post(to: PeerName, message: RegisterMessage): void {
    const waiting = this.#outbox.get(to);
    if (waiting === undefined) this.#outbox.set(to, [message]);
    else waiting.push(message);
  }

  // ---- what the acceptor tells --------------------------------------------------------------------------------------------

  #appendRecord(record: RegisterRecord): number {
    this.#append.push(record);
    return ++this.#appended;
  }

  #onHeld(key: string, head: RegisterHead): void {
    if (this.#isReplaying) return;
    this.#leases.see(key, head.lease, this.#nowMs);
    this.#sweeper.held(key, head, this.#nowMs);
  }

  #onEpoch(epoch: Ballot): void {
    this.#proposer?.raiseEpoch(epoch);
    this.#readmission?.epochRaised(epoch);
  }

  // ---- for status and tests -----------------------------------------------------------------------------------------------

  /** `new`: it waits to meet all others. `lost`: others hold registers and this disk none it may trust. */
  get standing(): "admitted" | "new" | "lost" | "readmitting" {
    if (this.acceptor.admitted) return "admitted";
    if (this.#readmission?.finished === false) return "readmitting";
    return this.#othersHold || !this.acceptor.isBlank ? "lost" : "new";
  }

  get status(): {
    readonly admitted: boolean;
    readonly registers: number;
    readonly dead: number;
    readonly leases: number;
    readonly waiting: number;
    readonly pendingRounds: number;
    readonly readmission: Readmission["progress"] | undefined;
  } {
    return {
      admitted: this.acceptor.admitted,
      registers: this.acceptor.size,
      dead: this.#sweeper.size,
      leases: this.#leases.size,
      waiting: this.#proposer?.waitingCount ?? 0,
      pendingRounds: this.#proposer?.pendingRounds ?? 0,
      readmission: this.#readmission?.finished === false ? this.#readmission.progress : undefined,
    };
  }

  /** Others that said last that their acceptors answer; whether they are linked now is the shell's to know. */
  get admittedOthers(): ReadonlySet<PeerName> {
    return this.#admitted;
  }

  get counts(): Readonly<Record<string, number>> {
    return this.#proposer?.counts ?? {};
  }
}

/** About. */
const bytesOf = (item: RegisterMessage | RegisterRecord): number => {
  let bytes = 64;
  if ("key" in item) bytes += item.key.length;
  if ("value" in item) bytes += item.value?.length ?? 0;
  if ("keys" in item) for (const key of item.keys) bytes += key.length;
  return bytes;
};

/** In order, in groups of about `registerMessageBytes`. */
function* batches<Item extends RegisterMessage | RegisterRecord>(items: readonly Item[]): IterableIterator<Item[]> {
  let batch: Item[] = [];
  let bytes = 0;
  for (const item of items) {
    const size = bytesOf(item);
    if (batch.length > 0 && bytes + size > registerMessageBytes) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(item);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}
