/**
 * The checkpoint: the map on disk as of a version vector, taken lazily.
 *
 * A sweep notes, at its start, the vector, the log position and what is stable; then it hands out the dirty cells in
 * slices. The caller syncs the log before it writes a slice (a cell may show ops that are only in the log), and writes
 * the end, which makes the sweep count, last. The vector is that of the *start* (mutant `ckpt-vv-end`): cells written
 * later may be newer, and the log from the start on brings them there again, by the same merge.
 *
 * Keys in the store: `m` meta, `o` + u32 number an origin, `c` + key a cell, `j` + id a conflict.
 */
import { ByteReader, ByteWriter, DecodeFault } from "../../protocol/bytes.ts";
import { readOrigin, writeOrigin } from "../../protocol/frames.ts";
import { checkpointSliceBytes } from "../../protocol/limits.ts";
import type { Lsn, Stamp } from "../../protocol/words.ts";
import { readCell, writeCell } from "./cell.ts";
import { shardCount } from "./cell-map.ts";
import { decodeConflict, encodeConflict } from "./conflicts.ts";
import type { ReplicaState } from "./state.ts";
import {
  join,
  type ReadonlyVersionVector,
  readVersionVector,
  type VersionVector,
  writeVersionVector,
} from "./version-vector.ts";

export const checkpointVersion = 1;

export type Entry = readonly [key: Uint8Array, value: Uint8Array | undefined];

const cellPrefixByte = 0x63;
const sameNumber = (origin: number): number => origin;

/** The characters alone, without a length. */
const writeText = (out: ByteWriter, text: string): void => {
  out.reserve(text.length);
  out.bytes.latin1Write(text, out.length, text.length);
  out.length += text.length;
};

const keyOf = (prefix: string, rest: string): Buffer => Buffer.from(prefix + rest, "latin1");
export const metaKey = Buffer.from("m");
export const originPrefix = Buffer.from("o");
export const cellPrefix = Buffer.from("c");
export const conflictPrefix = Buffer.from("j");
const floorKey = Buffer.from("f");

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
  cells: number;
}

export class Checkpointer {
  readonly #state: ReplicaState;
  #sweep: Sweep | undefined;
  /** Origins below this number are on disk. */
  #originsStored = 0;
  /** Where recovery would start reading the log. */
  lsn: Lsn = 1;
  /** Taken out by the last slice, which may not be written yet: marked again if the sweep is given up. */
  #taken: number[] = [];
  #takenConflicts: string[] = [];
  #takenDropped: string[] = [];
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
      shard: 0,
      cells: 0,
    };
  }

  /** The next slice; empty when there are no more. The log must be synced before it is written. */
  slice(bytesMax = checkpointSliceBytes): Entry[] {
    const sweep = this.#sweep;
    const state = this.#state;
    const entries: Entry[] = [];
    this.#taken = [];
    this.#takenDropped = [];
    this.#takenConflicts = [];
    if (sweep === undefined) return entries;
    let bytes = 0;
    // Before all cells: what was written anew since comes after its deletion. A transfer is only installed between sweeps.
    for (const key of state.dropped) {
      if (bytes >= bytesMax) break;
      state.dropped.delete(key);
      this.#takenDropped.push(key);
      entries.push([keyOf("c", key), undefined]);
      bytes += key.length + 1;
    }
    // All keys and values of the slice in one buffer: a buffer for each was a third of a checkpoint's time.
    const out = new ByteWriter(bytesMax * 2);
    const places: number[] = [];
    while (bytes + out.length < bytesMax) {
      sweep.shard = state.map.dirtyShardFrom(sweep.shard);
      if (sweep.shard >= shardCount) break;
      state.map.takeDirty(sweep.shard, (ref) => {
        const key = state.map.keyAt(ref);
        places.push(out.length);
        out.u8(cellPrefixByte);
        writeText(out, key);
        places.push(out.length);
        writeCell(out, state.map.cellAt(ref), sameNumber);
        sweep.cells++;
        this.#taken.push(ref);
      });
      sweep.shard++;
    }
    places.push(out.length);
    for (let at = 0; at + 2 < places.length; at += 2) {
      const [start = 0, middle = 0, end = 0] = places.slice(at, at + 3);
      entries.push([out.bytes.subarray(start, middle), out.bytes.subarray(middle, end)]);
    }
    // With the cells, not only at the end: a cell that shows a winner must not reach the disk without the loser.
    if (entries.length > 0) this.#addConflicts(entries);
    // After the cells, so that every origin they name is there.
    for (; this.#originsStored < state.origins.size; this.#originsStored++) {
      const out = new ByteWriter(64);
      writeOrigin(out, state.origins.id(this.#originsStored));
      const key = Buffer.alloc(5);
      key.write("o", "latin1");
      key.writeUInt32BE(this.#originsStored, 1);
      entries.push([key, out.take()]);
    }
    return entries;
  }

  /** The last entries, atomic with each other: with them on disk the sweep counts. The log must be synced before. */
  end(): Entry[] {
    const sweep = this.#sweep;
    if (sweep === undefined) return [];
    const entries: Entry[] = [];
    this.#addConflicts(entries);
    entries.push([metaKey, this.#encodeMeta(sweep)], this.floorEntry());
    return entries;
  }

  #addConflicts(entries: Entry[]): void {
    for (const [id, conflict] of this.#state.journal.takeChanged()) {
      entries.push([keyOf("j", id), conflict === undefined ? undefined : encodeConflict(conflict)]);
      this.#takenConflicts.push(id);
    }
  }

  floorEntry(): Entry {
    const out = new ByteWriter(128);
    writeVersionVector(out, this.#state.floor, this.#state.origins);
    return [floorKey, out.take()];
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

  /** Gives the sweep up (a transfer was installed): what the last slice took goes back. */
  abort(): void {
    for (const ref of this.#taken) this.#state.map.markDirty(ref);
    this.#taken = [];
    for (const key of this.#takenDropped) this.#state.dropped.add(key);
    this.#takenDropped = [];
    this.#state.journal.markChanged(this.#takenConflicts);
    this.#takenConflicts = [];
    this.#sweep = undefined;
  }

  #encodeMeta(sweep: Sweep): Buffer {
    const state = this.#state;
    const out = new ByteWriter(512);
    out.u8(checkpointVersion);
    out.string(state.name);
    out.u8(sweep.gated ? 1 : 0);
    out.f64(Math.max(state.clock.ceiling, state.ceilingInLog));
    out.varint(sweep.lsn);
    out.varint(sweep.streamStart);
    out.f64(Math.max(state.map.horizonMs, 0));
    writeVersionVector(out, sweep.vv, state.origins);
    writeVersionVector(out, join(state.purgeable, sweep.stable), state.origins);
    out.f64(Math.max(0, sweep.stableMs));
    out.varint(sweep.contexts.length);
    sweep.contexts.forEach((context, origin) => {
      out.varint(origin);
      writeVersionVector(out, context, state.origins);
    });
    return out.take();
  }
}

export interface CheckpointMeta {
  readonly name: string;
  readonly gated: boolean;
  readonly ceiling: Stamp;
  readonly lsn: Lsn;
  readonly streamStart: Lsn;
  readonly horizonMs: number;
  readonly vv: VersionVector;
  readonly purgeable: VersionVector;
  readonly stableMs: number;
  readonly contexts: readonly (readonly [number, VersionVector])[];
}

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
  const contexts: [number, VersionVector][] = [];
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
      return undefined;
    case 0x6d: {
      const meta = decodeMeta(value, state);
      state.gated = meta.gated;
      state.gatedInLog = meta.gated;
      state.clock.ceiling = Math.max(state.clock.ceiling, meta.ceiling);
      state.vv = meta.vv;
      state.purgeable = meta.purgeable;
      for (const [origin, context] of meta.contexts) {
        state.contextOf(origin);
        state.contexts[origin] = context;
      }
      state.map.advanceHorizon(Math.max(meta.horizonMs, meta.stableMs));
      state.nextLsn = meta.lsn;
      state.streamStartLsn = meta.streamStart;
      state.logIndex.reset(meta.lsn, meta.vv);
      checkpointer.lsn = meta.lsn;
      return meta;
    }
    case 0x63: {
      const text = Buffer.from(key.buffer, key.byteOffset, key.length).latin1Slice(1, key.length);
      const cell = readCell(input, (reference) => {
        if (reference >= state.origins.size) throw new DecodeFault(`origin ${reference} of ${state.origins.size}`);
        return reference;
      });
      input.expectEnd();
      state.map.load(text, cell);
      return undefined;
    }
    case 0x6a:
      state.journal.load(decodeConflict(input));
      input.expectEnd();
      return undefined;
    default:
      throw new DecodeFault(`unknown checkpoint entry ${key[0]}`);
  }
};

/** The key under which a cell is stored. */
export const cellKey = (key: string): Buffer => keyOf("c", key);
