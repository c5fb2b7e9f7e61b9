/**
 * The state that all parts of one replica share, and the two primitives that change it: sealing the frame of own ops,
 * and appending a record to the log.
 *
 * Invariants: `vv` names exactly the ops folded into `map`, the open frame's included. Records get their LSNs here, in
 * apply order, so any prefix of the log is causally closed.
 */
import { FrameWriter, type SealedFrame } from "../../protocol/frames.ts";
import { framesKind, type WireVector } from "../../protocol/link-messages.ts";
import {
  type Incarnation,
  type Lsn,
  type OriginId,
  originId,
  type PeerName,
  type Stamp,
} from "../../protocol/words.ts";
import { CellMap } from "./cell-map.ts";
import { ConflictJournal, type ConflictLimits } from "./conflicts.ts";
import { FactBook } from "./facts.ts";
import { HybridClock } from "./hybrid-clock.ts";
import { invariant } from "./invariant.ts";
import { LogIndex } from "./log-index.ts";
import { OriginTable } from "./origins.ts";
import { RecentRecords } from "./recent-records.ts";
import { at, setAt, type VersionVector } from "./version-vector.ts";

export type LinkId = number;

export interface ReplicaOptions {
  readonly name: PeerName;
  /** All peers of the cluster, this one included. */
  readonly peers: readonly PeerName[];
  /** A stamp further ahead of real time than this (plus 3 s) pauses its origin's stream. */
  readonly clockSkewMaxMs: number;
  readonly conflicts: ConflictLimits;
  /** Bytes of newest records kept in memory, so that a stream at the log's end need not read the disk to catch it. */
  readonly recentBytesMax: number;
  /** Frames that wait for their causes, per link; default in limits.ts. */
  readonly waitingFramesMax?: number;
}

/** Types of log records. A new one here also needs a case in replay(). */
export const recordType = {
  frame: 1,
  /** text: the incarnation that starts here. */
  start: 2,
  /** f64: no stamp above this was used. */
  ceiling: 3,
  /** u8: 1 the gate closed, 0 it opened. */
  gate: 4,
  /** u32 transfer number, then the link message as it came. */
  transferBegin: 5,
  transferCells: 6,
  transferFrames: 7,
  transferEnd: 8,
  /** Records of strong keys (protocol/register-messages.ts): not the replica's business. */
  registers: 9,
  /** The prefixes of strong keys, for good: strings to the end. */
  strongPrefixes: 10,
} as const;

export interface AppendedRecord {
  readonly lsn: Lsn;
  readonly type: number;
  readonly bytes: Uint8Array;
}

/** Something a person would care about; the shell logs and counts it. */
export type ReplicaEvent =
  | { readonly type: "caught-up"; readonly peer: PeerName; readonly frames: number; readonly ops: number }
  | { readonly type: "transfer-started"; readonly peer: PeerName; readonly full: boolean; readonly outgoing: boolean }
  | {
      readonly type: "transfer-installed";
      readonly peer: PeerName;
      readonly cells: number;
      readonly dropped: number;
      readonly full: boolean;
    }
  | { readonly type: "gate-opened"; readonly why: string }
  | { readonly type: "stream-paused"; readonly origin: OriginId; readonly aheadMs: number }
  | { readonly type: "digest-mismatch"; readonly peer: PeerName }
  | { readonly type: "repaired"; readonly peer: PeerName; readonly keys: number }
  | { readonly type: "fatal"; readonly reason: string };

export class ReplicaState {
  readonly name: PeerName;
  readonly selfIndex: number;
  readonly options: ReplicaOptions;
  readonly origins = new OriginTable();
  /** Replaced when a peer without data takes a transfer over: look it up anew in every call. */
  map = new CellMap(this.origins);
  readonly clock = new HybridClock();
  readonly journal: ConflictJournal;
  readonly facts: FactBook;
  readonly logIndex = new LogIndex();

  /** Set by start(). */
  incarnation = "" as Incarnation;
  /** This origin's number. */
  self = -1;

  /** Everything applied. */
  vv: VersionVector = [];
  /** Per origin: the context of its last frame applied here. */
  contexts: VersionVector[] = [];
  /** The join of every stable vector used for purging. */
  floor: VersionVector = [];
  /** What was stable when the last finished checkpoint began: what may be purged. */
  purgeable: VersionVector = [];
  /** Takes no writes until caught up with somebody who is not gated. Durable. */
  gated = false;
  /** What the log's newest records say of the gate and the ceiling; they take effect once they are on disk. */
  gatedInLog = false;
  ceilingInLog: Stamp = 0;

  /** Wall clock, unix ms, and monotonic ms, as last told. */
  nowMs = 0;
  elapsedMs = 0;

  // Effects since the last ready().
  append: AppendedRecord[] = [];
  send: { link: LinkId; bytes: Uint8Array }[] = [];
  close: { link: LinkId; reason: string }[] = [];
  events: ReplicaEvent[] = [];
  syncWanted = false;
  ceilingWanted: Stamp = 0;

  nextLsn: Lsn = 1;
  /** Counts what changed cells and is in no frame of the log: an installed transfer, a repair. A scan that saw one is void. */
  leaps = 0;
  /** From the checkpoint: nothing of the log before this may be streamed. */
  streamStartLsn: Lsn = 1;
  readonly recent: RecentRecords;

  readonly frame = new FrameWriter(framesKind);
  #frameFirst = 0;
  /** Called with every own frame as it is sealed. */
  onSealed: (sealed: SealedFrame, lsn: Lsn, last: number) => void = () => {};

  // Plain counters for metrics and coverage.
  readonly counts: Record<string, number> = {};

  constructor(options: ReplicaOptions) {
    this.options = options;
    this.name = options.name;
    const peers = [...options.peers].sort();
    this.facts = new FactBook(peers);
    this.selfIndex = this.facts.indexOf(options.name);
    invariant(this.selfIndex >= 0, "a replica is one of its cluster's peers");
    this.journal = new ConflictJournal(options.conflicts);
    this.logIndex.reset(1, []);
    this.recent = new RecentRecords(options.recentBytesMax);
  }

  count(name: string, by = 1): void {
    this.counts[name] = (this.counts[name] ?? 0) + by;
  }

  // ---- own ops ------------------------------------------------------------------------------------------------------

  get lastSeq(): number {
    return at(this.vv, this.self);
  }

  /** The seq of the op about to be written to the open frame, opening one if there is none. */
  nextSeq(): number {
    const seq = at(this.vv, this.self) + 1;
    if (this.frame.count === 0) this.#open(seq);
    return seq;
  }

  #open(first: number): void {
    const context = this.contextOf(this.self);
    const delta: [OriginId, number][] = [];
    for (let origin = 0; origin < this.vv.length; origin++) {
      const seq = at(this.vv, origin);
      if (origin === this.self || seq === at(context, origin)) continue;
      setAt(context, origin, seq);
      delta.push([this.origins.id(origin), seq]);
    }
    this.#frameFirst = first;
    this.frame.open(originId(this.name, this.incarnation), first, delta);
  }

  /** Folded context of an origin; changed in place. */
  contextOf(origin: number): VersionVector {
    while (this.contexts.length <= origin) this.contexts.push([]);
    return this.contexts[origin] as VersionVector;
  }

  /**
   * Ends the frame of own ops, if there are any. Called before anything from outside is applied and before the vector is
   * told to anyone, so that a frame's context is exact and the vector stands at a frame's end.
   */
  seal(): void {
    if (this.frame.count === 0) return;
    const last = this.lastSeq;
    const sealed = this.frame.seal();
    // The index wants the vector of everything before this record.
    this.vv[this.self] = this.#frameFirst - 1;
    const lsn = this.appendRecord(recordType.frame, sealed.frame);
    this.vv[this.self] = last;
    this.onSealed(sealed, lsn, last);
  }

  /** The vector, told to somebody: seals first. */
  sealedVv(): VersionVector {
    this.seal();
    return this.vv;
  }

  // ---- log ----------------------------------------------------------------------------------------------------------

  /** Bytes are handed out by ready() and must not change until then. `vv` must still be that of all before the record. */
  appendRecord(type: number, bytes: Uint8Array): Lsn {
    const lsn = this.nextLsn++;
    this.logIndex.note(lsn, bytes.length + 16, this.vv);
    const record = { lsn, type, bytes };
    this.append.push(record);
    this.recent.push(record);
    return lsn;
  }

  // ---- words for the wire -------------------------------------------------------------------------------------------

  wire(vv: readonly number[]): WireVector {
    const out: [OriginId, number][] = [];
    for (let origin = 0; origin < vv.length; origin++) {
      const seq = at(vv, origin);
      if (seq > 0) out.push([this.origins.id(origin), seq]);
    }
    return out;
  }

  vector(wire: WireVector): VersionVector {
    const vv: VersionVector = [];
    for (const [origin, seq] of wire) if (seq > 0) setAt(vv, this.origins.number(origin), seq);
    return vv;
  }

  dotText(origin: number, seq: number): string {
    return `${this.origins.id(origin)}:${seq}`;
  }

  fatal(reason: string): void {
    this.events.push({ type: "fatal", reason });
  }
}
