/**
 * One replica: the core state machine of Chorus.
 *
 * Synchronous calls put facts in (commands, link messages, time, finished disk work); ready() hands out what there is to
 * do. Nothing in here waits, reads a clock or draws randomness, so equal inputs give equal outputs and the simulator
 * runs exactly this. The shell's contract, after every batch of calls:
 *
 * 1. take ready(); append its records, in order, before anything else of it is done and before any reply leaves;
 * 2. if `ceilingWanted`, make it durable (raiseCeiling, append, sync), then ceilingDurable();
 * 3. send; answer `reads` with logRead(); close links; sync if `syncWanted`;
 * 4. call setTime() before, tick() and heartbeat() regularly.
 *
 * Frames may leave in parallel with the append: every start is a new origin, so a seq lost with an unwritten tail is
 * never used again.
 */
import { ByteReader, ByteWriter, DecodeFault } from "../../protocol/bytes.ts";
import { readFrame } from "../../protocol/frames.ts";
import { decodeLinkMessage, type LinkMessage } from "../../protocol/link-messages.ts";
import {
  type Incarnation,
  type Lsn,
  originId,
  type PeerName,
  parseIncarnation,
  type Stamp,
} from "../../protocol/words.ts";
import { BackupScan } from "./backup-scan.ts";
import { Checkpointer, loadEntry } from "./checkpoint.ts";
import type { Conflict } from "./conflicts.ts";
import type { Fact } from "./facts.ts";
import { msToStamp } from "./hybrid-clock.ts";
import { IncomingStreams } from "./incoming.ts";
import { install } from "./install.ts";
import { invariant } from "./invariant.ts";
import { ReplicaKeyspace } from "./keyspace.ts";
import { closeLink, type LinkState, newLinkState } from "./link-state.ts";
import { applyFrame } from "./merge.ts";
import { type LogRead, OutgoingStreams, type ReadRecord } from "./outgoing.ts";
import { Purger } from "./purge.ts";
import { type Comparison, Repairer } from "./repair.ts";
import { Staging } from "./staging.ts";
import {
  type AppendedRecord,
  type LinkId,
  type ReplicaEvent,
  type ReplicaOptions,
  ReplicaState,
  recordType,
} from "./state.ts";
import { at, isZero, meet, type ReadonlyVersionVector, setAt, writeVersionVector } from "./version-vector.ts";

export interface Ready {
  readonly append: readonly AppendedRecord[];
  readonly send: readonly { readonly link: LinkId; readonly bytes: Uint8Array }[];
  readonly reads: readonly LogRead[];
  readonly close: readonly { readonly link: LinkId; readonly reason: string }[];
  readonly events: readonly ReplicaEvent[];
  readonly comparisons: readonly Comparison[];
  /** Sync the log soon: somebody waits for it. */
  readonly syncWanted: boolean;
  /** 0, or a stamp the durable ceiling should reach. */
  readonly ceilingWanted: Stamp;
}

/** What a sync that begins now will have made durable once it is finished. */
export interface SyncToken {
  readonly nextLsn: Lsn;
  readonly fact: Fact;
}

/**
 * How far ahead of real time a ceiling is raised. After a crash the clock starts there, and clients write at once: so it
 * must stay well within the skew at which writes are refused. More: fewer syncs for its sake. Less: a truer clock then.
 */
const ceilingAheadMsMax = 3000;
const ceilingAheadMsMin = 200;

const incarnationStampDigits = 11;

export class Replica {
  readonly state: ReplicaState;
  readonly keyspace: ReplicaKeyspace;
  readonly #links = new Map<LinkId, LinkState>();
  readonly #out: OutgoingStreams;
  readonly #in: IncomingStreams;
  readonly checkpointer: Checkpointer;
  readonly purger: Purger;
  readonly #repairer: Repairer;
  /** Raise the ceiling when there is no more headroom than this. */
  readonly ceilingMarginMs: number;
  readonly #ceilingAheadMs: number;
  #factNumber = 0;
  /** Counts what peers have told of their disks. */
  tidings = 0;
  /** The newest vector known to be on disk here. */
  synced: ReadonlyVersionVector = [];
  #stagings = new Map<number, Staging>();
  /** They hold the log back, as streams do, and as long as they walk the map nothing is purged. */
  readonly #backups = new Set<BackupScan>();

  constructor(options: ReplicaOptions) {
    this.state = new ReplicaState(options);
    this.#ceilingAheadMs = Math.max(ceilingAheadMsMin, Math.min(ceilingAheadMsMax, options.clockSkewMaxMs / 2));
    this.ceilingMarginMs = this.#ceilingAheadMs / 2;
    this.keyspace = new ReplicaKeyspace(this.state);
    this.#out = new OutgoingStreams(this.state, this.#links);
    this.#in = new IncomingStreams(this.state, this.#links, this.#out);
    this.checkpointer = new Checkpointer(this.state, () => this.#in.stagingLsn());
    this.purger = new Purger(this.state, () => this.#isWalked());
    this.#repairer = new Repairer(this.state, this.#out);
    this.#in.onInstalled = () => this.checkpointer.abort();
  }

  // ---- recovery: stored entries, then log records, then start() --------------------------------------------------------

  /** One entry of the checkpoint. Order: origins (`o`), floor (`f`), meta (`m`), blocks of cells (`c`), conflicts (`j`). */
  restoreEntry(key: Uint8Array, value: Uint8Array): void {
    loadEntry(this.state, this.checkpointer, key, value);
  }

  /** Old segments that begin before the checkpoint's LSN can still be streamed: the note each was begun with. */
  restoreSegments(segments: readonly { readonly lsn: Lsn; readonly vv: ReadonlyVersionVector }[]): void {
    const { state } = this;
    const start = state.logIndex.startLsn;
    const base = state.logIndex.baseVv;
    // Across a transfer that was installed the log has a gap: what lies before it cannot be streamed.
    const earlier = segments.filter((segment) => segment.lsn < start && segment.lsn >= state.streamStartLsn);
    const [first, ...others] = earlier;
    if (first === undefined) return;
    state.logIndex.reset(first.lsn, first.vv);
    for (const segment of others) state.logIndex.add(segment.lsn, segment.vv);
    state.logIndex.add(start, base);
  }

  /** One record of the log, from the checkpoint's LSN on. */
  replay(record: ReadRecord): void {
    const { state } = this;
    invariant(record.lsn === state.nextLsn, `log record ${record.lsn} comes after ${state.nextLsn - 1}`);
    state.logIndex.note(record.lsn, record.bytes.length + 16, state.vv);
    state.nextLsn = record.lsn + 1;
    const input = new ByteReader(record.bytes);
    switch (record.type) {
      case recordType.frame: {
        const frame = readFrame(input);
        const origin = state.origins.number(frame.origin);
        if (at(state.vv, origin) >= frame.last) return;
        invariant(at(state.vv, origin) === frame.first - 1, `the log has no gap before ${frame.origin}:${frame.first}`);
        const context = state.contextOf(origin);
        for (const [other, seq] of frame.contextDelta) setAt(context, state.origins.number(other), seq);
        applyFrame(state, frame, origin, context);
        setAt(state.vv, origin, frame.last);
        state.count("replayedFrames");
        return;
      }
      case recordType.start:
        return;
      case recordType.ceiling:
        state.clock.ceiling = Math.max(state.clock.ceiling, input.f64());
        return;
      case recordType.gate:
        state.gated = input.u8() === 1;
        state.gatedInLog = state.gated;
        return;
      case recordType.transferBegin:
      case recordType.transferCells:
      case recordType.transferFrames:
      case recordType.transferEnd:
        this.#replayTransfer(input.u32(), decodeLinkMessage(record.bytes.subarray(4)));
        return;
      case recordType.registers:
      case recordType.strongPrefixes:
        return;
      default:
        throw new DecodeFault(`unknown log record ${record.type}: written by a newer version`);
    }
  }

  #replayTransfer(transfer: number, message: LinkMessage): void {
    const { state } = this;
    if (message.kind === "transfer-begin") this.#stagings.set(transfer, new Staging(state, transfer, message, 0));
    const staging = this.#stagings.get(transfer);
    // Without its beginning a transfer began before the checkpoint and was never finished: nothing of it counts.
    if (staging === undefined) return;
    if (message.kind === "transfer-cells") staging.addCells(message.cells);
    if (message.kind === "transfer-frames") staging.addFrames(message.frames);
    if (message.kind === "transfer-end") {
      this.#stagings.delete(transfer);
      install(state, staging, message, () => {});
    }
  }

  /** Everything that was recovered is applied. `logStart`: the oldest LSN the log still has. */
  recovered(logStart: Lsn): void {
    this.#stagings.clear();
    this.state.logIndex.trimmed(logStart, this.state.nextLsn, this.state.vv);
    this.state.journal.sortByTime();
    this.state.map.settleHorizon(Number.POSITIVE_INFINITY);
    this.synced = [...this.state.vv];
  }

  /**
   * Begins a run: a new incarnation, derived from the start stamp and random text, hence a new origin whose seq starts
   * at 1. Ready() then holds its records: they must be on disk before anything else is done. `above`: an incarnation of
   * this name that is known elsewhere and must be surpassed.
   */
  start(options: {
    readonly nowMs: number;
    readonly elapsedMs: number;
    /** Four characters of base 36. */
    readonly random: string;
    readonly above?: Incarnation | undefined;
    /** What to do with an empty disk: open at once, or gate. Ignored when there is data. */
    readonly bootstrap: boolean;
    /** The disk was rolled back (a restored backup): gate whatever it holds. */
    readonly rolledBack?: boolean;
    readonly firstStart: boolean;
  }): void {
    const { state } = this;
    this.setTime(options.nowMs, options.elapsedMs);
    const aboveStamp =
      options.above === undefined ? 0 : Number.parseInt(options.above.slice(0, incarnationStampDigits), 36);
    const stamp = Math.max(msToStamp(options.nowMs), state.clock.ceiling + 1, aboveStamp + 1);
    const text = stamp.toString(36).padStart(incarnationStampDigits, "0") + options.random;
    const incarnation = parseIncarnation(text);
    invariant(incarnation !== undefined, `"${text}" is an incarnation`);
    state.incarnation = incarnation;
    state.self = state.origins.number(originId(state.name, incarnation));
    invariant(at(state.vv, state.self) === 0, "a new origin has written nothing");
    state.facts.learnIncarnation(state.selfIndex, incarnation);
    state.clock.last = stamp;
    state.clock.ceiling = state.clock.ceilingAfter(state.nowMs, this.#ceilingAheadMs, 0);
    const empty = isZero(state.vv);
    const gate = options.rolledBack === true || (options.firstStart && !(options.bootstrap && empty));
    // The gate comes first: of a first write that was torn, any part left must not look like a disk with a past.
    if (gate || (state.gated && options.bootstrap && empty)) {
      state.gated = gate;
      state.gatedInLog = gate;
      state.appendRecord(recordType.gate, Uint8Array.of(gate ? 1 : 0));
    }
    state.appendRecord(recordType.start, Buffer.from(incarnation, "latin1"));
    state.appendRecord(recordType.ceiling, f64(state.clock.ceiling));
    if (state.gated && state.facts.peers.length === 1) {
      this.#in.openGate("this peer is the whole cluster");
    }
    state.syncWanted = true;
  }

  // ---- time -----------------------------------------------------------------------------------------------------------

  setTime(nowMs: number, elapsedMs: number): void {
    this.state.nowMs = nowMs;
    this.state.elapsedMs = elapsedMs;
  }

  /** Whether stamps up to `marginMs` from now stay below the durable ceiling. */
  hasHeadroom(marginMs: number): boolean {
    return this.state.clock.hasHeadroom(this.state.nowMs, marginMs);
  }

  /** A record of somebody else's, who has it back at recovery. */
  appendForeign(type: typeof recordType.registers | typeof recordType.strongPrefixes, bytes: Uint8Array): void {
    this.state.seal();
    this.state.appendRecord(type, bytes);
  }

  /** Appends a record that raises the ceiling to cover `wanted` (or now); after its sync call ceilingDurable(). */
  raiseCeiling(wanted: Stamp = 0): Stamp {
    const { state } = this;
    state.seal();
    const ceiling = state.clock.ceilingAfter(state.nowMs, this.#ceilingAheadMs, wanted);
    state.appendRecord(recordType.ceiling, f64(ceiling));
    state.ceilingInLog = ceiling;
    return ceiling;
  }

  ceilingDurable(ceiling: Stamp): void {
    this.state.clock.ceiling = Math.max(this.state.clock.ceiling, ceiling);
    this.#in.retryHeld();
  }

  tick(): void {
    this.state.map.settleHorizon(2048);
    this.#in.tick();
  }

  /** Tells every link where this peer stands, and what it knows of the others' disks. */
  heartbeat(): void {
    const { state } = this;
    const vv = state.wire(state.sealedVv());
    const facts = state.facts.newest().map((fact) => ({ ...fact, vv: state.wire(fact.vv) }));
    const { digest, horizonMs, horizonSettled } = state.map;
    const message: LinkMessage = {
      kind: "heartbeat",
      vv,
      clock: state.clock.last,
      gated: state.gated,
      facts,
      digest: horizonSettled ? { horizonMs, first: digest.root1, second: digest.root2 } : undefined,
    };
    for (const link of this.#links.values()) if (link.ready && !link.blocked) this.#out.send(link, message);
  }

  // ---- links ----------------------------------------------------------------------------------------------------------

  /** An authenticated link to a run of another peer. Our hello is the first message on it. */
  linkUp(id: LinkId, peer: PeerName, incarnation: Incarnation): void {
    const { state } = this;
    const peerIndex = state.facts.indexOf(peer);
    invariant(peerIndex >= 0 && peerIndex !== state.selfIndex, "links lead to the other peers of the cluster");
    const link = newLinkState(id, peer, peerIndex, incarnation);
    this.#links.set(id, link);
    if (incarnation < (state.facts.view[peerIndex] ?? "")) {
      // Its end has not reached us yet, though a newer run of that peer has been heard of by another way.
      closeLink(state, link, "a newer run of that peer is known");
      return;
    }
    const vv = state.sealedVv();
    this.#out.send(link, {
      kind: "hello",
      incarnation: state.incarnation,
      vv: state.wire(vv),
      clock: state.clock.last,
      gated: state.gated,
      empty: isZero(vv) && state.map.cellCount === 0,
    });
  }

  linkDown(id: LinkId): void {
    const link = this.#links.get(id);
    if (link === undefined) return;
    this.#links.delete(id);
    this.#repairer.linkDown(link);
  }

  /** The socket of this link is full (true), or takes more again (false). */
  linkBlocked(id: LinkId, blocked: boolean): void {
    const link = this.#links.get(id);
    if (link !== undefined) this.#out.setBlocked(link, blocked);
  }

  /** Throws DecodeFault for a message that is not well formed: close that link. */
  receive(id: LinkId, bytes: Uint8Array): void {
    const link = this.#links.get(id);
    if (link === undefined || link.closed) return;
    const message = decodeLinkMessage(bytes);
    if (message.kind !== "hello" && !link.ready) {
      throw new DecodeFault(`${message.kind} before hello`);
    }
    const { state } = this;
    switch (message.kind) {
      case "hello":
        return this.#in.onHello(link, message);
      case "frames":
        return this.#in.onFrames(link, message.frames);
      case "heartbeat": {
        this.tidings++;
        this.#in.onHeartbeat(link, message);
        return this.#repairer.onDigest(link, state.vector(message.vv), message.digest);
      }
      case "fetch":
        return this.#in.onFetch(link, state.vector(message.vv));
      case "caught-up":
        return this.#in.onCaughtUp(link, state.vector(message.vv), message.gated);
      case "transfer-begin":
        return this.#in.onTransferBegin(link, message, bytes);
      case "transfer-cells":
        return this.#in.onTransferCells(link, message.cells, bytes);
      case "transfer-frames":
        return this.#in.onTransferFrames(link, message.frames, bytes);
      case "transfer-end":
        return this.#in.onTransferEnd(link, message, bytes);
      case "transfer-stop":
        return this.#out.stopTransfer(link, message.number);
      case "sync-request":
        link.wantsSynced = true;
        state.syncWanted = true;
        return undefined;
      case "synced":
        link.synced = state.vector(message.vv);
        this.tidings++;
        return undefined;
      case "digest-request":
        return this.#repairer.onDigestRequest(link, message.id);
      case "digest-reply":
        return this.#repairer.onDigestReply(link, message);
      case "keys-request":
        return this.#repairer.onKeysRequest(link, message.id, message.buckets);
      case "keys-reply":
        return this.#repairer.onKeysReply(link, message);
      case "cells-request":
        return this.#repairer.onCellsRequest(link, message.keys);
      case "repair-cells":
        return this.#repairer.onRepairCells(link, message.cells);
      default:
        return message satisfies never;
    }
  }

  /** The answer to one of ready().reads; undefined when those records were trimmed meanwhile. */
  logRead(id: LinkId, records: readonly ReadRecord[] | undefined): void {
    const link = this.#links.get(id);
    if (link !== undefined) this.#out.logRead(link, records);
  }

  /** Links with a scan under way that can take a slice. */
  scanning(): readonly LinkId[] {
    return this.#out.scanning().map((link) => link.id);
  }

  scanSlice(id: LinkId, bytesMax?: number): void {
    const link = this.#links.get(id);
    if (link !== undefined) this.#out.scanSlice(link, bytesMax);
  }

  /** Begins a cut of the map, which holds the log back until endBackup(). */
  beginBackup(): BackupScan {
    const scan = new BackupScan(this.state);
    this.#backups.add(scan);
    return scan;
  }

  endBackup(scan: BackupScan): void {
    this.#backups.delete(scan);
  }

  #isWalked(): boolean {
    for (const { end } of this.#backups) if (end === undefined) return true;
    return false;
  }

  links(): Iterable<LinkState> {
    return this.#links.values();
  }

  /** Asks all peers to sync and tell: WAIT, --acks. */
  requestSync(): void {
    for (const link of this.#links.values()) if (link.ready) this.#out.send(link, { kind: "sync-request" });
  }

  /** How many other peers are known to hold own ops up to `seq` on disk. */
  peersHolding(seq: number): number {
    const { state } = this;
    let count = 0;
    for (let index = 0; index < state.facts.peers.length; index++) {
      if (index === state.selfIndex) continue;
      const fact = state.facts.newestOf(index);
      // A fact of an earlier run says nothing of a disk that may have been lost since.
      let holds = fact !== undefined && fact.incarnation === state.facts.view[index] && at(fact.vv, state.self) >= seq;
      for (const link of this.#links.values()) {
        if (link.peerIndex === index && at(link.synced, state.self) >= seq) holds = true;
      }
      if (holds) count++;
    }
    return count;
  }

  /** Asks a peer for a key-by-key comparison; undefined when there is no link. The id turns up in ready().comparisons. */
  compare(peer: PeerName): number | undefined {
    for (const link of this.#links.values()) {
      if (link.peer === peer && link.ready) return this.#repairer.compare(link);
    }
    return undefined;
  }

  // ---- disk -----------------------------------------------------------------------------------------------------------

  /** Call when a log sync begins, after all appended so far was taken from ready() and appended. */
  syncBegin(): SyncToken {
    const { state } = this;
    invariant(state.append.length === 0 && state.frame.count === 0, "a sync speaks of what is appended");
    // No later write of this peer stays below the fact's clock.
    const clock = state.clock.tick(state.nowMs);
    const fact: Fact = {
      peer: state.name,
      incarnation: state.incarnation,
      number: ++this.#factNumber,
      view: [...state.facts.view],
      vv: [...state.vv],
      clock,
    };
    return { nextLsn: state.nextLsn, fact };
  }

  syncEnd(token: SyncToken): void {
    const { state } = this;
    this.synced = token.fact.vv;
    state.facts.learn(token.fact);
    state.facts.recount(state.vv);
    this.#in.onSynced(token.nextLsn);
    for (const link of this.#links.values()) {
      if (!link.wantsSynced) continue;
      link.wantsSynced = false;
      this.#out.send(link, { kind: "synced", vv: state.wire(token.fact.vv) });
    }
  }

  /**
   * The log may be trimmed below this: behind the last finished checkpoint, what all peers are known to hold on disk, and
   * what a stream still reads. `retentionForced`: only the checkpoint holds it back; who needs more gets a transfer.
   */
  trimLsn(retentionForced: boolean): Lsn {
    if (retentionForced) return this.checkpointer.lsn;
    const { state } = this;
    let held: ReadonlyVersionVector = state.vv;
    for (let index = 0; index < state.facts.peers.length; index++) {
      if (index !== state.selfIndex) held = meet(held, state.facts.newestOf(index)?.vv ?? []);
    }
    const heldLsn = state.logIndex.startFor(held) ?? state.logIndex.startLsn;
    let pinnedLsn = this.#out.pinnedLsn();
    for (const { logCursor } of this.#backups) pinnedLsn = Math.min(pinnedLsn, logCursor);
    return Math.min(this.checkpointer.lsn, pinnedLsn, heldLsn);
  }

  logTrimmed(firstLsn: Lsn): void {
    this.state.seal();
    this.state.logIndex.trimmed(firstLsn, this.state.nextLsn, this.state.vv);
    this.state.count("trims");
  }

  /** What a new log segment's header notes: the vector of everything appended before it. The segment begins now. */
  segmentNote(): Uint8Array {
    const { state } = this;
    if (state.frame.count === 0) state.logIndex.add(state.nextLsn, state.vv);
    const out = new ByteWriter(128);
    writeVersionVector(out, this.state.vv, this.state.origins);
    return out.take();
  }

  // ---- what there is to do ----------------------------------------------------------------------------------------------

  get hasWork(): boolean {
    const { state } = this;
    return (
      state.append.length > 0 ||
      state.send.length > 0 ||
      state.frame.count > 0 ||
      state.syncWanted ||
      state.ceilingWanted > 0 ||
      state.close.length > 0 ||
      state.events.length > 0 ||
      this.#out.reads.length > 0 ||
      this.#repairer.finished.length > 0
    );
  }

  ready(): Ready {
    const { state } = this;
    state.seal();
    const ready: Ready = {
      append: state.append,
      send: state.send,
      reads: this.#out.reads,
      close: state.close,
      events: state.events,
      comparisons: this.#repairer.finished,
      syncWanted: state.syncWanted,
      ceilingWanted: state.ceilingWanted,
    };
    state.append = [];
    state.send = [];
    this.#out.reads = [];
    state.close = [];
    state.events = [];
    this.#repairer.finished = [];
    state.syncWanted = false;
    state.ceilingWanted = 0;
    return ready;
  }

  // ---- conflicts --------------------------------------------------------------------------------------------------------

  conflicts(key: string | undefined): readonly Conflict[] {
    return this.state.journal.list(key);
  }

  /** Writes the loser back as a new write. The command's begin() was called. */
  restoreConflict(id: string): boolean {
    const conflict = this.state.journal.get(id);
    if (conflict === undefined) return false;
    const { value, expiresAtMs } = conflict.loser;
    if (value === undefined) this.keyspace.delete(conflict.key);
    else this.keyspace.set(conflict.key, value, expiresAtMs > this.keyspace.nowMs ? expiresAtMs : 0);
    this.state.journal.markRestored(id);
    return true;
  }

  pausedOrigins(): ReadonlyMap<number, number> {
    return this.#in.paused;
  }
}

const f64 = (value: number): Buffer => {
  const out = Buffer.allocUnsafeSlow(8);
  out.writeDoubleLE(value, 0);
  return out;
};

export type { ReplicaEvent };
