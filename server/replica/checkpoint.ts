/**
 * The checkpoint: the map on disk as of a version vector, taken lazily.
 *
 * A sweep notes, at its start, the vector, the log position and what is stable; then it hands out the dirty cells in
 * slices. The caller syncs the log before it writes a slice (a cell may show ops that are only in the log), and writes
 * the end, which makes the sweep count, last. The vector is that of the *start* (mutant `ckpt-vv-end`): cells written
 * later may be newer, and the log from the start on brings them there again, by the same merge.
 *
 * What a slice hands out is written, whole and in order, before anything of a later slice, also when the sweep is given
 * up meanwhile; or nothing is written any more, because the process ends.
 *
 * Keys in the store: `m` meta, `f` floor, `o` + u32 number an origin, `c` + shard + generation a block of cells
 * (cell-blocks.ts), `j` + id a conflict.
 */
import { ByteReader, ByteWriter, DecodeFault } from "../../protocol/bytes.ts";
import { readOrigin, writeOrigin } from "../../protocol/frames.ts";
import { checkpointSliceBytes } from "../../protocol/limits.ts";
import type { Lsn, Stamp } from "../../protocol/words.ts";
import { writeCellAt } from "./cell.ts";
import { BlockLedger, loadBlock, writeDrop } from "./cell-blocks.ts";
import { shardCount } from "./cell-map.ts";
import { type Conflict, decodeConflict, encodeConflict } from "./conflicts.ts";
import { invariant } from "./invariant.ts";
import type { OriginTable } from "./origins.ts";
import type { ReplicaState } from "./state.ts";
import { covers, join, type ReadonlyVersionVector, readVersionVector, writeVersionVector } from "./version-vector.ts";

export const checkpointVersion = 1;

export type Entry = readonly [key: Uint8Array, value: Uint8Array | undefined];

const sameNumber = (origin: number): number => origin;

const keyOf = (prefix: string, rest: string): Buffer => Buffer.from(prefix + rest, "latin1");
export const metaKey = Buffer.from("m");
export const originPrefix = Buffer.from("o");
export const conflictPrefix = Buffer.from("j");
const floorKey = Buffer.from("f");

export const originEntry = (origins: OriginTable, number: number): Entry => {
  const out = new ByteWriter(64);
  writeOrigin(out, origins.id(number));
  const key = Buffer.alloc(5);
  key.set(originPrefix);
  key.writeUInt32BE(number, 1);
  return [key, out.take()];
};

export const floorEntry = (floor: ReadonlyVersionVector, origins: OriginTable): Entry => {
  const out = new ByteWriter(128);
  writeVersionVector(out, floor, origins);
  return [floorKey, out.take()];
};

export const conflictEntry = (conflict: Conflict): Entry => [keyOf("j", conflict.id), encodeConflict(conflict)];

interface Sweep {
  readonly vv: ReadonlyVersionVector;
  /** As the log has it before `lsn`: a record there is not read again. */
  readonly gated: boolean;
  readonly lsn: Lsn;
  readonly stable: ReadonlyVersionVector;
  readonly stableMs: number;
  readonly contexts: readonly ReadonlyVersionVector[];
  readonly streamStart: Lsn;
  shard: number;
  /** Where the shard is to be gone on with: it may be too big for one slice. */
  slot: number;
  /** Its first new block, if it is being written whole; and the bytes of those so far. */
  rewriteFrom: number | undefined;
  rewriteBytes: number;
  cells: number;
}

/** A block of the slice under way: where it lies in the slice's buffer. */
interface Block {
  readonly key: Uint8Array;
  readonly start: number;
  readonly end: number;
}

export class Checkpointer {
  readonly #state: ReplicaState;
  #sweep: Sweep | undefined;
  /** Origins below this number are on disk. */
  #originsStored = 0;
  /** Where recovery would start reading the log. */
  lsn: Lsn = 1;
  readonly blocks = new BlockLedger();
  /** The floor that is on disk, or will be with the slices handed out. */
  #floorStored: ReadonlyVersionVector = [];
  /** Where the log has the beginning of a transfer that is being staged; 0 for none. */
  readonly #stagingLsn: () => Lsn;

  constructor(state: ReplicaState, stagingLsn: () => Lsn) {
    this.#state = state;
    this.#stagingLsn = stagingLsn;
  }

  /** One more origin was loaded from disk. */
  originStored(): void {
    this.#originsStored++;
  }

  /** The floor was loaded from disk. */
  floorStored(): void {
    this.#floorStored = [...this.#state.floor];
  }

  get running(): boolean {
    return this.#sweep !== undefined;
  }

  begin(): void {
    const state = this.#state;
    state.seal();
    state.facts.recount(state.vv);
    // Recovery must see a transfer from its beginning, or its install is lost and the log behind it makes no sense.
    const stagingLsn = this.#stagingLsn();
    this.#sweep = {
      vv: [...state.vv],
      gated: state.gatedInLog,
      lsn: stagingLsn > 0 ? stagingLsn : state.nextLsn,
      stable: state.facts.stable(state.vv),
      stableMs: state.facts.stableMs(),
      contexts: state.contexts.map((context) => [...context]),
      streamStart: state.logIndex.startLsn,
      shard: -1,
      slot: -1,
      rewriteFrom: undefined,
      rewriteBytes: 0,
      cells: 0,
    };
  }

  /** The next slice; empty when there are no more. The log must be synced before it is written. */
  slice(bytesMax = checkpointSliceBytes): Entry[] {
    const sweep = this.#sweep;
    const state = this.#state;
    const entries: Entry[] = [];
    if (sweep === undefined) return entries;
    // One buffer for all blocks of the slice.
    const out = new ByteWriter(bytesMax + bytesMax / 4);
    const blocks: Block[] = [];
    // Shards may have nothing to write, such as drops of what was never stored: an empty slice must mean the end.
    do {
      if (blocks.length === 0) out.length = 0;
      while (this.#hasRoom(sweep, out.length, bytesMax) && this.#onShard(sweep))
        this.#takeShard(sweep, out, bytesMax, blocks, entries);
    } while (blocks.length === 0 && entries.length === 0 && this.#onShard(sweep));
    for (const { key, start, end } of blocks) entries.push([key, out.bytes.subarray(start, end)]);
    // With the first block that may lack what was purged: a peer that has forgotten must know what.
    if (entries.length > 0 && !covers(this.#floorStored, state.floor)) entries.push(this.#floorEntry());
    // With the cells, not only at the end: a cell that shows a winner must not reach the disk without the loser.
    if (entries.length > 0) this.#addConflicts(entries);
    // After the cells, so that every origin they name is there.
    for (; this.#originsStored < state.origins.size; this.#originsStored++) {
      entries.push(originEntry(state.origins, this.#originsStored));
    }
    return entries;
  }

  /** The last entries, atomic with each other: with them on disk the sweep counts. The log must be synced before. */
  end(): Entry[] {
    const sweep = this.#sweep;
    if (sweep === undefined) return [];
    invariant(sweep.shard >= shardCount, "a checkpoint counts only when its sweep has passed every shard");
    const entries: Entry[] = [];
    this.#addConflicts(entries);
    entries.push([metaKey, this.#encodeMeta(sweep)], this.#floorEntry());
    return entries;
  }

  /** A shard is begun only when the better half of the slice is left: so most fit whole, and into one block. */
  #hasRoom(sweep: Sweep, length: number, bytesMax: number): boolean {
    return length < (sweep.slot >= 0 ? bytesMax : bytesMax / 2);
  }

  /** Moves on to the next shard with anything to write, unless it stands on one. False when there is none. */
  #onShard(sweep: Sweep): boolean {
    if (sweep.slot >= 0) return true;
    const { map } = this.#state;
    sweep.shard = map.changedShardFrom(sweep.shard + 1);
    if (sweep.shard >= shardCount) return false;
    sweep.slot = 0;
    const { shard } = sweep;
    sweep.rewriteFrom = this.blocks.wantsRewrite(shard, map.dirtyShare(shard)) ? this.blocks.next(shard) : undefined;
    sweep.rewriteBytes = 0;
    return true;
  }

  /** Writes as much of the shard as fits, as one block. */
  #takeShard(sweep: Sweep, out: ByteWriter, bytesMax: number, blocks: Block[], entries: Entry[]): void {
    const state = this.#state;
    const { map } = state;
    const { shard, rewriteFrom } = sweep;
    const isFull = (): boolean => out.length >= bytesMax;
    let start = out.length;
    let drops = 0;
    // Before the cells: what was written anew since it left must come after.
    const allDropped = map.takeDropped(shard, (key) => {
      writeDrop(out, key);
      drops++;
      return isFull();
    });
    const cellsStart = out.length;
    if (allDropped) {
      sweep.slot = map.takeCells(shard, sweep.slot, rewriteFrom === undefined ? "dirty" : "all", (ref) => {
        out.string(map.keyAt(ref));
        writeCellAt(out, map, ref, sameNumber);
        sweep.cells++;
        return isFull();
      });
    }
    const isWhole = sweep.slot < 0;
    // Written whole in one go, a shard has no earlier block left from which a dropped key could come back.
    if (isWhole && rewriteFrom === this.blocks.next(shard)) start = cellsStart;
    else this.blocks.addDrops(shard, drops);
    const bytes = out.length - start;
    if (bytes > 0) blocks.push({ key: this.blocks.add(shard, bytes), start, end: out.length });
    if (bytes > 0 && rewriteFrom === undefined) state.count("deltas");
    if (cellsStart > start) state.count("dropsStored", drops);
    sweep.rewriteBytes += bytes;
    // Not before the last new block: until then the old ones hold what the new ones lack.
    if (isWhole && rewriteFrom !== undefined) {
      state.count(this.blocks.next(shard) > rewriteFrom + 1 ? "rewritesInParts" : "rewrites");
      for (const key of this.blocks.rewritten(shard, rewriteFrom, sweep.rewriteBytes)) entries.push([key, undefined]);
    }
  }

  #addConflicts(entries: Entry[]): void {
    for (const [id, conflict] of this.#state.journal.takeChanged()) {
      entries.push(conflict === undefined ? [keyOf("j", id), undefined] : conflictEntry(conflict));
    }
  }

  #floorEntry(): Entry {
    this.#floorStored = [...this.#state.floor];
    return floorEntry(this.#floorStored, this.#state.origins);
  }

  /** The end is on disk. Only now may what was stable at the start be purged, and the log be trimmed. */
  finished(): { readonly cells: number } {
    const sweep = this.#sweep;
    const state = this.#state;
    if (sweep === undefined) return { cells: 0 };
    this.#sweep = undefined;
    this.lsn = sweep.lsn;
    state.purgeable = join(state.purgeable, sweep.stable);
    state.map.advanceHorizon(sweep.stableMs);
    state.count("checkpoints");
    return { cells: sweep.cells };
  }

  /** Gives the sweep up (a transfer was installed). What its slices took is or will be on disk; it is no checkpoint yet. */
  abort(): void {
    if (this.#sweep !== undefined) this.#state.count("sweepsGivenUp");
    this.#sweep = undefined;
  }

  #encodeMeta(sweep: Sweep): Buffer {
    const state = this.#state;
    return encodeMeta(
      {
        name: state.name,
        gated: sweep.gated,
        ceiling: Math.max(state.clock.ceiling, state.ceilingInLog),
        lsn: sweep.lsn,
        streamStart: sweep.streamStart,
        horizonMs: Math.max(state.map.horizonMs, 0),
        vv: sweep.vv,
        purgeable: join(state.purgeable, sweep.stable),
        stableMs: Math.max(0, sweep.stableMs),
        contexts: sweep.contexts.map((context, origin) => [origin, context] as const),
      },
      state.origins,
    );
  }
}

export interface CheckpointMeta {
  readonly name: string;
  readonly gated: boolean;
  readonly ceiling: Stamp;
  readonly lsn: Lsn;
  readonly streamStart: Lsn;
  readonly horizonMs: number;
  readonly vv: ReadonlyVersionVector;
  readonly purgeable: ReadonlyVersionVector;
  readonly stableMs: number;
  readonly contexts: readonly (readonly [number, ReadonlyVersionVector])[];
}

export const encodeMeta = (meta: CheckpointMeta, origins: OriginTable): Buffer => {
  const out = new ByteWriter(512);
  out.u8(checkpointVersion);
  out.string(meta.name);
  out.u8(meta.gated ? 1 : 0);
  out.f64(meta.ceiling);
  out.varint(meta.lsn);
  out.varint(meta.streamStart);
  out.f64(meta.horizonMs);
  writeVersionVector(out, meta.vv, origins);
  writeVersionVector(out, meta.purgeable, origins);
  out.f64(meta.stableMs);
  out.varint(meta.contexts.length);
  for (const [origin, context] of meta.contexts) {
    out.varint(origin);
    writeVersionVector(out, context, origins);
  }
  return out.take();
};

/** Origins must have been loaded before. */
export const decodeMeta = (bytes: Uint8Array, state: ReplicaState): CheckpointMeta => {
  const input = new ByteReader(bytes);
  const version = input.u8();
  if (version !== checkpointVersion) {
    throw new DecodeFault(`checkpoint format ${version}, this program reads ${checkpointVersion}`);
  }
  const name = input.string(32);
  const gated = input.u8() === 1;
  const ceiling = input.whole();
  const lsn = input.varint();
  const streamStart = input.varint();
  const horizonMs = input.whole();
  const vv = readVersionVector(input, state.origins);
  const purgeable = readVersionVector(input, state.origins);
  const stableMs = input.whole();
  const count = input.count(2);
  const contexts: [number, ReadonlyVersionVector][] = [];
  for (let index = 0; index < count; index++) {
    const origin = input.varint();
    if (origin >= state.origins.size) throw new DecodeFault(`origin ${origin} of ${state.origins.size}`);
    contexts.push([origin, readVersionVector(input, state.origins)]);
  }
  input.expectEnd();
  return { name, gated, ceiling, lsn, streamStart, horizonMs, vv, purgeable, stableMs, contexts };
};

/** Loads one stored entry. Order: origins, floor, meta, cells, conflicts. */
export const loadEntry = (
  state: ReplicaState,
  checkpointer: Checkpointer,
  key: Uint8Array,
  value: Uint8Array,
): CheckpointMeta | undefined => {
  const input = new ByteReader(value);
  switch (key[0]) {
    case 0x6f: {
      if (key.length !== 5) throw new DecodeFault("an origin is stored under its number");
      const number = state.origins.number(readOrigin(input));
      input.expectEnd();
      const stored = Buffer.from(key).readUInt32BE(1);
      if (number !== stored) throw new DecodeFault(`origin ${number} stored as ${stored}`);
      checkpointer.originStored();
      return undefined;
    }
    case 0x66:
      state.floor = readVersionVector(input, state.origins);
      input.expectEnd();
      checkpointer.floorStored();
      return undefined;
    case 0x6d: {
      const meta = decodeMeta(value, state);
      state.gated = meta.gated;
      state.gatedInLog = meta.gated;
      state.clock.ceiling = Math.max(state.clock.ceiling, meta.ceiling);
      state.vv = [...meta.vv];
      state.purgeable = [...meta.purgeable];
      for (const [origin, context] of meta.contexts) {
        state.contextOf(origin);
        state.contexts[origin] = [...context];
      }
      state.map.advanceHorizon(Math.max(meta.horizonMs, meta.stableMs));
      state.nextLsn = meta.lsn;
      state.streamStartLsn = meta.streamStart;
      state.logIndex.reset(meta.lsn, meta.vv);
      checkpointer.lsn = meta.lsn;
      return meta;
    }
    case 0x63:
      loadBlock(state, checkpointer.blocks, key, value);
      return undefined;
    case 0x6a:
      state.journal.load(decodeConflict(input));
      input.expectEnd();
      return undefined;
    default:
      throw new DecodeFault(`unknown checkpoint entry ${key[0]}`);
  }
};
