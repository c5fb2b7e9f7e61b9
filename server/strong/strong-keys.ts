/**
 * Strong keys in a running peer: the shell around server/registers.
 *
 * It lives in the replica's log as a tenant (turn-loop.ts): what its acceptor must remember is appended with the turn and
 * synced at once, whatever `--fsync` says for other keys; what it says to other peers and to clients goes when the turn
 * ends. All its time is the monotonic clock.
 */
import { performance } from "node:perf_hooks";
import { operationsWaitingMax } from "../../protocol/limits.ts";
import type { OriginId, PeerName } from "../../protocol/words.ts";
import type { StrongKeyHost } from "../commands/session.ts";
import type { LogTenant } from "../log-tenant.ts";
import { DurationHistogram } from "../metrics/duration-histogram.ts";
import {
  type GivenOperation,
  type Holding,
  type Match,
  type Operation,
  type Outcome,
  Registers,
} from "../registers/index.ts";

/** A deleted key knows its operation ids for so long, and is purged after. */
const deadKeptMs = 60_000;
/** An operation waits so long for a link that would make a majority: links come back in a moment after a short cut. */
const linkWaitMsMax = 250;
/** At fifty thousand rounds a second a record every few seconds, and 2^30 restarts before counters end. */
const ceilingStep = 2 ** 17;
/** Peers that have not answered a TRACE by then are shown as silent. */
const traceMs = 500;
/** Leases that ended and keys to purge are looked for so often. */
const choresMs = 100;

export interface StrongKeysOptions {
  readonly name: PeerName;
  readonly peers: readonly PeerName[];
  /** Keys that begin with one of these are strong. */
  readonly prefixes: readonly string[];
  /** How long an operation may take before it is answered NOQUORUM or UNKNOWN. */
  readonly timeoutMs: number;
  /** Begins a turn: at its end collect() and letGo() are called. */
  readonly begin: () => void;
  /** Hands records to the log, in this turn's append. */
  readonly append: (bytes: Uint8Array) => void;
  /** Dropped when that peer is not linked. */
  readonly send: (to: PeerName, message: Uint8Array) => void;
  /** Whether this disk's acceptor answers, at first and whenever it changes. */
  readonly onStanding: (standing: Registers["standing"], before: Registers["standing"] | undefined) => void;
  readonly onFailure: (error: unknown) => void;
}

interface Waiting {
  readonly begunAtMs: number;
  readonly answer: (outcome: Outcome) => void;
}

export class StrongKeys implements LogTenant, StrongKeyHost {
  readonly #options: StrongKeysOptions;
  readonly #registers: Registers;
  readonly #waiting = new Map<number, Waiting>();
  readonly #linked = new Set<PeerName>();
  /** Not begun for want of links. */
  readonly #awaiting: GivenOperation[] = [];
  #awaitTimer: NodeJS.Timeout | undefined;
  /** First characters of the prefixes: most keys are told by theirs. */
  readonly #firstCodes: ReadonlySet<number>;
  #lastId = 0;
  #send: readonly { readonly to: PeerName; readonly bytes: Uint8Array }[] = [];
  #results: readonly { readonly id: number; readonly outcome: Outcome }[] = [];
  /** Records handed to the log so far. */
  appendedThrough = 0;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #started = false;
  /** Plain numbers for metrics. */
  readonly counters = { done: 0, noQuorum: 0, unknown: 0, busy: 0, messagesIn: 0, messagesOut: 0 };
  /** From an operation's arrival to its outcome, whatever that is. */
  readonly operationTimes = new DurationHistogram();
  /** As it was told last. */
  #standing: Registers["standing"] | undefined;

  constructor(options: StrongKeysOptions) {
    this.#options = options;
    this.#firstCodes = new Set(options.prefixes.map((prefix) => prefix.charCodeAt(0)));
    this.#registers = new Registers({
      name: options.name,
      peers: options.peers,
      random: Math.random,
      deadKeptMs,
      choresMs,
      ceilingStep,
    });
  }

  get prefixes(): readonly string[] {
    return this.#options.prefixes;
  }

  isStrong(key: string): boolean {
    if (!this.#firstCodes.has(key.charCodeAt(0))) return false;
    return this.#options.prefixes.some((prefix) => key.startsWith(prefix));
  }

  // ---- start: restored by recovery.ts, then start() ------------------------------------------------------------------------

  restore(bytes: Uint8Array): void {
    this.#registers.restore(bytes);
  }

  checkpointRestored(): void {
    this.#registers.checkpointRestored();
  }

  /** All that was stored is restored and on disk; `origin`: this run. */
  start(origin: OriginId): void {
    this.#started = true;
    this.#registers.start(origin, performance.now());
    this.#options.begin();
  }

  /** An operator says that the cluster is new. */
  admitNew(): void {
    this.#registers.admitNew();
    this.#options.begin();
  }

  /** This disk was put back from a copy: what it promised since is not on it. */
  expel(): void {
    this.#registers.expel();
    this.#options.begin();
  }

  /** An operator says that this peer's registers are lost and that it may come back. False: it needs no such word. */
  readmit(origin: OriginId): boolean {
    if (this.#registers.standing === "admitted") return false;
    this.#setTime();
    this.#registers.readmit(origin);
    this.#options.begin();
    return true;
  }

  stop(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#awaitTimer);
    this.#started = false;
  }

  // ---- clients ----------------------------------------------------------------------------------------------------------

  /** `operationId`: the client's own name for it; a retry with the same name happens once. */
  operate(key: string, operation: Operation, operationId?: string): Promise<Outcome> {
    this.#options.begin();
    const begunAtMs = performance.now();
    const deadlineMs = begunAtMs + this.#options.timeoutMs;
    return new Promise((resolve) => {
      const id = ++this.#lastId;
      this.#waiting.set(id, { begunAtMs, answer: resolve });
      const bytes = key.length + operationBytes(operation);
      const given = { id, key, operation, operationId, deadlineMs, bytes };
      if (this.reachable >= this.quorum) this.#begin(given);
      else this.#await(given);
    });
  }

  #begin(given: GivenOperation): void {
    this.#setTime();
    this.#registers.operate(given);
  }

  /** Without links to a majority nothing is begun: what was not begun can be said not to have happened, and soon. */
  #await(given: GivenOperation): void {
    if (this.#awaiting.length >= operationsWaitingMax) return this.#answer(given.id, { kind: "busy" });
    this.#awaiting.push(given);
    this.#awaitTimer ??= setTimeout(
      () => {
        this.#awaitTimer = undefined;
        this.#options.begin();
        for (const { id } of this.#awaiting.splice(0)) this.#answer(id, { kind: "no-quorum" });
      },
      Math.min(linkWaitMsMax, this.#options.timeoutMs),
    );
  }

  #beginAwaiting(): void {
    if (this.#awaiting.length === 0 || this.reachable < this.quorum) return;
    clearTimeout(this.#awaitTimer);
    this.#awaitTimer = undefined;
    for (const given of this.#awaiting.splice(0)) this.#begin(given);
  }

  /** Who holds which ballot of a key now, on disk. */
  trace(key: string): Promise<readonly Holding[]> {
    this.#options.begin();
    const nowMs = this.#setTime();
    return new Promise((resolve) => this.#registers.trace(key, nowMs + traceMs, resolve));
  }

  // ---- links ------------------------------------------------------------------------------------------------------------

  linkUp(peer: PeerName): void {
    this.#linked.add(peer);
    this.#options.begin();
    this.#registers.meet(peer);
    this.#beginAwaiting();
  }

  linkDown(peer: PeerName): void {
    this.#linked.delete(peer);
  }

  /** Throws DecodeFault for messages that are not well formed: close that link. */
  receive(from: PeerName, message: Uint8Array): void {
    this.counters.messagesIn++;
    this.#options.begin();
    this.#setTime();
    this.#registers.receive(from, message);
  }

  // ---- the turn -----------------------------------------------------------------------------------------------------------

  /** Hands what must be remembered to the log; true: it wants to be on disk at once. */
  collect(): boolean {
    const registers = this.#registers;
    if (!this.#started || !registers.hasWork) return false;
    const { append, appendedThrough, send, results } = registers.ready();
    for (const bytes of append) this.#options.append(bytes);
    this.appendedThrough = appendedThrough;
    this.#send = this.#send.length === 0 ? send : [...this.#send, ...send];
    this.#results = this.#results.length === 0 ? results : [...this.#results, ...results];
    return append.length > 0;
  }

  /** Behind the append: what is said to others, and to clients. */
  letGo(): void {
    if (!this.#started) return;
    if (this.#send.length > 0) {
      const send = this.#send;
      this.#send = [];
      this.counters.messagesOut += send.length;
      for (const { to, bytes } of send) this.#options.send(to, bytes);
    }
    if (this.#results.length > 0) {
      const results = this.#results;
      this.#results = [];
      for (const { id, outcome } of results) this.#answer(id, outcome);
    }
    this.#tellStanding();
    this.#arm();
  }

  #tellStanding(): void {
    const { standing } = this.#registers;
    const before = this.#standing;
    if (standing === before) return;
    this.#standing = standing;
    this.#options.onStanding(standing, before);
  }

  #answer(id: number, outcome: Outcome): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    this.operationTimes.note((performance.now() - waiting.begunAtMs) * 1000);
    const { counters } = this;
    if (outcome.kind === "done") counters.done++;
    else if (outcome.kind === "no-quorum") counters.noQuorum++;
    else if (outcome.kind === "unknown") counters.unknown++;
    else counters.busy++;
    waiting.answer(outcome);
  }

  /** Records up to this number are on disk. In a turn. */
  synced(through: number): void {
    if (!this.#started) return;
    this.#setTime();
    this.#registers.synced(through);
  }

  #setTime(): number {
    const nowMs = performance.now();
    this.#registers.setTime(nowMs);
    return nowMs;
  }

  #arm(): void {
    const wakeMs = this.#registers.wakeMs;
    if (wakeMs >= this.#timerAtMs) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = wakeMs;
    this.#timer = setTimeout(this.#wake, Math.max(1, Math.ceil(wakeMs - performance.now())));
  }

  readonly #wake = (): void => {
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    if (!this.#started) return;
    try {
      this.#options.begin();
      this.#setTime();
      this.#registers.tick();
    } catch (error) {
      this.#options.onFailure(error);
    }
  };

  // ---- checkpoint -----------------------------------------------------------------------------------------------------------

  takeChanged(): ReadonlySet<string> {
    return this.#registers.takeChanged();
  }

  storedKey(key: string): Uint8Array | undefined {
    return this.#registers.storedKey(key);
  }

  storedAdmission(): Uint8Array | undefined {
    return this.#registers.storedAdmission();
  }

  // ---- reports ----------------------------------------------------------------------------------------------------------------

  whyNoQuorum(): string {
    const { peers, timeoutMs } = this.#options;
    const majority = `a majority, ${this.quorum} of ${peers.length} peers`;
    if (this.reachable < this.quorum) {
      return `NOQUORUM this peer reaches ${this.reachable - 1} others and strong keys need ${majority}; it did not happen`;
    }
    if (this.answering < this.quorum) {
      return `NOQUORUM this peer reaches ${this.answering} whose registers answer and strong keys need ${majority}; it did not happen`;
    }
    return `NOQUORUM no answer of ${majority} within ${timeoutMs} ms; it did not happen`;
  }

  get scanStart(): number {
    return this.#registers.acceptor.size;
  }

  scan(cursor: number, count: number, visit: (key: string) => void): number {
    return this.#registers.acceptor.scan(cursor, count, visit);
  }

  get keyCount(): number {
    return this.#registers.acceptor.liveCount;
  }

  get bytes(): number {
    return this.#registers.acceptor.bytes;
  }

  /** This peer and those linked to it. */
  get reachable(): number {
    return 1 + this.#linked.size;
  }

  /** Of these, those whose registers answer: neither lost nor yet to be let in. */
  get answering(): number {
    const { admittedOthers, standing } = this.#registers;
    let count = standing === "admitted" ? 1 : 0;
    for (const peer of this.#linked) if (admittedOthers.has(peer)) count++;
    return count;
  }

  /** Operations of clients that have no outcome yet. */
  get waitingCount(): number {
    return this.#waiting.size;
  }

  get quorum(): number {
    return Math.floor(this.#options.peers.length / 2) + 1;
  }

  get standing(): Registers["standing"] {
    return this.#registers.standing;
  }

  get status(): Registers["status"] {
    return this.#registers.status;
  }

  get counts(): Readonly<Record<string, number>> {
    return this.#registers.counts;
  }
}

/** At most: what waiting operations are bounded by. */
const operationBytes = (operation: Operation): number => {
  switch (operation.kind) {
    case "set":
      return operation.value.length + matchBytes(operation.condition);
    case "cas":
      return operation.expected.length + operation.value.length;
    case "append":
      return operation.text.length;
    case "del":
      return matchBytes(operation.only);
    default:
      return 0;
  }
};

const matchBytes = (match: Match | string | undefined): number =>
  typeof match === "object" && "equals" in match ? match.equals.length : 0;
