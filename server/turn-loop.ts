/**
 * The turn: what happened since the event loop last came round, made durable and let go together.
 *
 * Ports run commands and links hand in frames; the first of a turn schedules its end with setImmediate. There the
 * replica's open frame is sealed, everything is appended to the log in one write, frames leave for the links, and the
 * replies of the turn go, in order: at once, or when the log is synced (`--fsync always`), or when enough peers hold the
 * writes on disk (`--acks`). With `always` a reply that only read waits behind the turns it may have seen, which is short;
 * with `--acks` only the connections that wrote wait, since a peer that is away may hold them for long.
 */
import { performance } from "node:perf_hooks";
import type { Incarnation, Lsn } from "../protocol/words.ts";
import { LatencyWindow } from "./latency-window.ts";
import type { LogTenant } from "./log-tenant.ts";
import { DurationHistogram } from "./metrics/duration-histogram.ts";
import type { Ready, Replica } from "./replica/index.ts";
import type { Log } from "./storage/storage.ts";
import type { Releasable, Turn } from "./turn.ts";

export interface TurnLoopOptions {
  readonly replica: Replica;
  readonly log: Log;
  readonly fsync: "always" | "interval" | "never";
  /** Other peers that must hold a turn's writes on disk before its replies go. */
  readonly acks: number;
  /** Keeps records of its own in the log, behind the replica's back. */
  readonly tenant?: LogTenant;
  /** Sends, closes, events: everything of ready() beside the log. Called after the append. */
  readonly onReady: (ready: Ready) => void;
  /** The log failed: nothing may be acknowledged any more. */
  readonly onFailure: (error: unknown) => void;
  readonly wallMs?: () => number;
}

interface HeldReply {
  readonly connection: Releasable;
  readonly output: string;
  readonly nextLsn: Lsn;
  readonly seq: number;
  readonly begunAtMs: number;
}

export class TurnLoop implements Turn {
  readonly #options: TurnLoopOptions;
  readonly #replica: Replica;
  readonly #log: Log;
  readonly #wallMs: () => number;
  #nowMs = 0;
  /** When this turn began, monotonic ms. */
  #begunAtMs = 0;
  #inTurn = false;
  #connections: Releasable[] = [];
  #held: HeldReply[] = [];
  /**
   * Own writes up to this seq were held by enough peers once. Never forgotten: when such a peer dies or starts anew, its
   * word is gone, yet what was acknowledged must not be waited for again by those who now only read.
   */
  #acknowledgedSeq = 0;
  #syncing = false;
  #syncAgain = false;
  #syncedNextLsn: Lsn = 1;
  #raising = false;
  /** What the appends of this turn asked for, until its end sees to it. */
  #wanted = { sync: false, ceiling: 0 };
  #failed = false;
  #stopped = false;
  #waiters: (() => void)[] = [];
  #tidings = 0;
  /** Set while somebody holds the map still across an await. */
  blocked: Promise<void> | undefined;

  /** From the begin of the turn in which a connection's commands ran until their replies went: once for all of them. */
  readonly latency = new LatencyWindow();
  /** The same since the start. */
  readonly replyTimes = new DurationHistogram();
  /** Plain numbers for metrics. */
  readonly counters = { turns: 0, appendedBytes: 0, syncs: 0, syncMsLast: 0, syncMsMax: 0 };

  constructor(options: TurnLoopOptions) {
    this.#options = options;
    this.#replica = options.replica;
    this.#log = options.log;
    this.#wallMs = options.wallMs ?? Date.now;
  }

  /** Asked before every command, so that no turn is so long that its stamps reach the ceiling. */
  nowMs(): number {
    if (!this.#inTurn) this.begin();
    else if (!this.#replica.hasHeadroom(0)) this.#raiseCeilingNow();
    return this.#nowMs;
  }

  /** Begins a turn if none is under way: time is read, the end is scheduled. */
  begin(): void {
    if (this.#inTurn) return;
    this.#inTurn = true;
    this.#nowMs = this.#wallMs();
    this.#begunAtMs = performance.now();
    this.#replica.setTime(this.#nowMs, this.#begunAtMs);
    setImmediate(this.#end);
    if (!this.#replica.hasHeadroom(0)) this.#raiseCeilingNow();
  }

  /** How long the turn under way lasts, ms; 0 between turns. */
  get turnMs(): number {
    return this.#inTurn ? performance.now() - this.#begunAtMs : 0;
  }

  /**
   * The process stood still (SIGSTOP, a suspended machine) for longer than the ceiling reaches: no stamp may be used
   * before a new one is on disk, so this once the loop waits for the disk.
   */
  #raiseCeilingNow(): void {
    try {
      const ceiling = this.#replica.raiseCeiling();
      this.#append();
      this.#log.syncBlocking();
      this.#replica.ceilingDurable(ceiling);
    } catch (error) {
      this.#fail(error);
    }
  }

  finish(connection: Releasable): void {
    if (!this.#inTurn) this.begin();
    this.#connections.push(connection);
  }

  #fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#options.onFailure(error);
  }

  /** Everything pending: to the log, then to whom it concerns. */
  #append(): void {
    const { tenant } = this.#options;
    if (tenant?.collect() === true) this.#wanted.sync = true;
    const ready = this.#replica.ready();
    this.#wanted.sync ||= ready.syncWanted;
    this.#wanted.ceiling = Math.max(this.#wanted.ceiling, ready.ceilingWanted);
    if (ready.append.length > 0) {
      this.#log.append(ready.append);
      for (const record of ready.append) this.counters.appendedBytes += record.bytes.length;
      // The vector now is that of all appended: what the next segment's header has to say.
      this.#log.rollIfFull(() => this.#replica.segmentNote());
    }
    this.#options.onReady(ready);
    tenant?.letGo();
  }

  readonly #end = (): void => {
    if (this.#failed) return;
    this.counters.turns++;
    const replica = this.#replica;
    try {
      let raised = 0;
      this.#append();
      const { ceiling } = this.#wanted;
      const raise = !this.#raising && !this.#stopped && (ceiling > 0 || !replica.hasHeadroom(replica.ceilingMarginMs));
      if (raise) {
        raised = replica.raiseCeiling(ceiling);
        this.#append();
      }
      const { sync } = this.#wanted;
      this.#wanted = { sync: false, ceiling: 0 };
      this.#inTurn = false;
      this.#takeReplies();
      if (raise) this.#raiseCeiling(raised);
      if (sync || this.#options.fsync === "always") {
        if (this.#log.nextLsn > this.#syncedNextLsn || sync) this.requestSync();
      }
      this.#releaseHeld();
    } catch (error) {
      this.#fail(error);
    }
  };

  #raiseCeiling(ceiling: number): void {
    this.#raising = true;
    this.#log.sync().then(
      () => {
        this.#raising = false;
        this.begin();
        this.#replica.ceilingDurable(ceiling);
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #takeReplies(): void {
    const connections = this.#connections;
    if (connections.length === 0) return;
    this.#connections = [];
    const { fsync, acks } = this.#options;
    if (this.#held.length === 0 && fsync !== "always" && acks === 0) {
      for (const connection of connections) connection.release(connection.takeOutput());
      const nowMs = performance.now();
      this.#noteLatency(nowMs - this.#begunAtMs, connections.length, nowMs);
      return;
    }
    const nextLsn = this.#log.nextLsn;
    let unacknowledged = false;
    for (const connection of connections) {
      const seq = connection.lastWriteSeq;
      this.#held.push({ connection, output: connection.takeOutput(), nextLsn, seq, begunAtMs: this.#begunAtMs });
      if (!this.#isAcknowledged(seq)) unacknowledged = true;
    }
    if (unacknowledged) {
      this.#replica.requestSync();
      this.begin();
    }
  }

  #noteLatency(tookMs: number, count: number, nowMs: number): void {
    this.latency.note(tookMs, count, nowMs);
    this.replyTimes.note(tookMs * 1000, count);
  }

  #isAcknowledged(seq: number): boolean {
    if (seq <= this.#acknowledgedSeq) return true;
    const { acks } = this.#options;
    if (acks > 0 && this.#replica.peersHolding(seq) < acks) return false;
    this.#acknowledgedSeq = seq;
    return true;
  }

  #releaseHeld(): void {
    const { fsync } = this.#options;
    if (this.#held.length > 0) {
      const still: HeldReply[] = [];
      const due: HeldReply[] = [];
      for (const held of this.#held) {
        const durable = fsync !== "always" || this.#syncedNextLsn >= held.nextLsn;
        // A connection's seqs only grow, so its replies keep their order.
        if (durable && this.#isAcknowledged(held.seq)) due.push(held);
        else still.push(held);
      }
      this.#held = still;
      for (const { connection, output } of due) connection.release(output);
      const nowMs = performance.now();
      for (const { begunAtMs } of due) this.#noteLatency(nowMs - begunAtMs, 1, nowMs);
    }
    if (this.#waiters.length > 0 && this.#replica.tidings !== this.#tidings) {
      this.#tidings = this.#replica.tidings;
      const waiters = this.#waiters;
      this.#waiters = [];
      for (const waiter of waiters) waiter();
    }
  }

  /** Syncs the log soon; a sync under way is followed by another. Its end makes a fact. */
  requestSync(): void {
    if (this.#syncing) {
      this.#syncAgain = true;
      return;
    }
    this.#sync().catch((error: unknown) => this.#fail(error));
  }

  async #sync(): Promise<void> {
    this.#syncing = true;
    do {
      this.#syncAgain = false;
      this.flush();
      // This sync is the one that was wanted.
      this.#wanted.sync = false;
      const token = this.#replica.syncBegin();
      const { tenant } = this.#options;
      const tenantThrough = tenant?.appendedThrough ?? 0;
      const startedMs = performance.now();
      await this.#log.sync();
      const tookMs = performance.now() - startedMs;
      this.counters.syncs++;
      this.counters.syncMsLast = tookMs;
      this.counters.syncMsMax = Math.max(this.counters.syncMsMax, tookMs);
      this.begin();
      this.#syncedNextLsn = token.nextLsn;
      this.#replica.syncEnd(token);
      tenant?.synced(tenantThrough);
      this.#releaseHeld();
    } while (this.#syncAgain);
    this.#syncing = false;
  }

  /** Appends what is pending now, within the turn: for those who are about to sync, to stop, or to tell of it. */
  flush(): void {
    if (this.#failed) return;
    this.begin();
    try {
      this.#append();
    } catch (error) {
      // What ready() handed out is in no log now: whoever called may not go on as if nothing had happened.
      this.#fail(error);
      throw error;
    }
  }

  /** Everything applied so far is appended and on disk when it resolves. */
  async flushAndSync(): Promise<void> {
    this.flush();
    const target = this.#log.nextLsn;
    await this.#log.sync();
    if (this.#failed) throw new Error(`the log failed before record ${target} was on disk`);
  }

  /** Resolves when a peer has told something of its disk: for WAIT. */
  peersMoved(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  /** Whether anything is appended that no finished sync covers. */
  get unsynced(): boolean {
    return this.#log.nextLsn > this.#syncedNextLsn;
  }

  /** The replica's first records: on disk before anything else is done. */
  async startRun(): Promise<Incarnation> {
    this.flush();
    const token = this.#replica.syncBegin();
    await this.#log.sync();
    this.#syncedNextLsn = token.nextLsn;
    this.#replica.syncEnd(token);
    return this.#replica.state.incarnation;
  }

  /** Nothing is appended, sent or answered any more: the peer's state is not to be trusted. */
  abort(): void {
    this.#failed = true;
  }

  /** No more ceilings: the run ends. */
  stop(): void {
    this.#stopped = true;
  }
}
