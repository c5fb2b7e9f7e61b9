/**
 * How the checkpoint keeps cells: packed in blocks, a shard's blocks in the order in which they were written.
 *
 *     key    "c" | u16 shard | u32 generation, big-endian      value    k x (string key, cell | u8 0)
 *
 * Blocks are loaded in the order of their keys and per key of the map the last word counts: a cell, or 0 for "no longer
 * there". So a changed cell costs its own bytes in a small block (a delta), whatever lies around it; and when the deltas of
 * a shard have grown to about half of what they are deltas to, the shard is written anew and its old blocks go. An entry
 * of the store for each cell was the first design: most of a checkpoint's time, and most of a restart's, went into
 * LevelDB's work for a million small entries.
 */
import { ByteReader, type ByteWriter, DecodeFault } from "../../protocol/bytes.ts";
import { keyBytesMax } from "../../protocol/limits.ts";
import { emptyCellFlags, readCell } from "./cell.ts";
import { shardCount } from "./cell-map.ts";
import { invariant } from "./invariant.ts";
import type { ReplicaState } from "./state.ts";

export const cellPrefix = Buffer.from("c");
const blockKeyBytes = 7;
const generationMax = 0xffff_ffff;

export const blockKey = (shard: number, generation: number): Buffer => {
  const key = Buffer.alloc(blockKeyBytes);
  key.set(cellPrefix);
  key.writeUInt16BE(shard, 1);
  key.writeUInt32BE(generation, 3);
  return key;
};

/** The key's cell is gone: whatever an earlier block holds of it does not count. */
export const writeDrop = (out: ByteWriter, key: string): void => {
  out.string(key);
  out.u8(emptyCellFlags);
};

/** What a drop marker is taken to cost: it also leaves a cell of about this size behind in an earlier block. */
const droppedCellBytes = 100;
/** Deltas of few bytes cost a start time too. */
const deltasMax = 64;

/**
 * What lies in the store per shard, in a few numbers: enough to give the next block its name, to name those that a rewrite
 * replaces, and to tell when that pays. Sizes are estimates after a restart; nothing but the pace depends on them.
 */
export class BlockLedger {
  /** Blocks may exist from this generation on... */
  readonly #first = new Float64Array(shardCount);
  /** ...up to, not including, this one. */
  readonly #next = new Float64Array(shardCount);
  readonly #baseBytes = new Float64Array(shardCount);
  readonly #deltaBytes = new Float64Array(shardCount);
  readonly #deltas = new Uint32Array(shardCount);

  /** The generation the next block of this shard will have. */
  next(shard: number): number {
    return this.#next[shard] as number;
  }

  /** Names a block that is about to be written. */
  add(shard: number, bytes: number): Buffer {
    const generation = this.next(shard);
    invariant(generation <= generationMax, "a shard has 2^32 generations of blocks");
    this.#next[shard] = generation + 1;
    this.#deltaBytes[shard] = (this.#deltaBytes[shard] as number) + bytes;
    this.#deltas[shard] = (this.#deltas[shard] as number) + 1;
    return blockKey(shard, generation);
  }

  /** Drops leave more behind than they take. */
  addDrops(shard: number, count: number): void {
    this.#deltaBytes[shard] = (this.#deltaBytes[shard] as number) + count * droppedCellBytes;
  }

  /**
   * Whether writing the shard whole is better than another delta. `dirtyShare`: of its cells. Shards differ in how long
   * they wait, or those that were first written together would all be written anew together.
   */
  wantsRewrite(shard: number, dirtyShare: number): boolean {
    const base = this.#baseBytes[shard] as number;
    const spread = (shard % 64) / 64;
    return (
      (this.#deltaBytes[shard] as number) + base * dirtyShare >= base * (0.375 + spread / 4) ||
      (this.#deltas[shard] as number) >= deltasMax * (1 + spread)
    );
  }

  /** All cells of the shard are in its blocks from `from` on, of `bytes` bytes: names the earlier ones, which may go. */
  rewritten(shard: number, from: number, bytes: number): Buffer[] {
    const keys: Buffer[] = [];
    for (let generation = this.#first[shard] as number; generation < from; generation++) {
      keys.push(blockKey(shard, generation));
    }
    this.#first[shard] = from;
    this.#baseBytes[shard] = bytes;
    this.#deltaBytes[shard] = 0;
    this.#deltas[shard] = 0;
    return keys;
  }

  /** A block was read: in ascending order. `staleBytes`: of it and of earlier ones, what it made worthless. */
  loaded(shard: number, generation: number, bytes: number, staleBytes: number): void {
    if (this.next(shard) === 0) this.#first[shard] = generation;
    this.#next[shard] = generation + 1;
    this.#baseBytes[shard] = (this.#baseBytes[shard] as number) + bytes - staleBytes;
    this.#deltaBytes[shard] = (this.#deltaBytes[shard] as number) + staleBytes;
  }
}

/** Puts the cells of one stored block into the map. Blocks must come in the order of their keys. */
export const loadBlock = (state: ReplicaState, ledger: BlockLedger, key: Uint8Array, value: Uint8Array): void => {
  if (key.length !== blockKeyBytes) throw new DecodeFault("a block of cells is stored under shard and generation");
  const keyReader = Buffer.from(key.buffer, key.byteOffset, key.length);
  const shard = keyReader.readUInt16BE(1);
  const generation = keyReader.readUInt32BE(3);
  if (shard >= shardCount) throw new DecodeFault(`shard ${shard} of ${shardCount}`);
  const { map } = state;
  const originsSize = state.origins.size;
  const originOf = (reference: number): number => {
    if (reference >= originsSize) throw new DecodeFault(`origin ${reference} of ${originsSize}`);
    return reference;
  };
  const input = new ByteReader(value);
  let staleBytes = 0;
  while (input.left > 0) {
    const start = input.at;
    const text = input.string(keyBytesMax);
    const ref = map.locate(text);
    if (map.shardLocated !== shard) throw new DecodeFault(`a key of shard ${map.shardLocated} in a block of ${shard}`);
    input.need(1);
    if (input.bytes[input.at] === emptyCellFlags) {
      input.at++;
      if (ref >= 0) map.unload(ref);
      staleBytes += input.at - start + (ref >= 0 ? droppedCellBytes : 0);
    } else {
      map.load(text, readCell(input, originOf));
      if (ref >= 0) staleBytes += input.at - start;
    }
  }
  ledger.loaded(shard, generation, value.length, Math.min(staleBytes, value.length));
};
