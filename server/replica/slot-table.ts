/**
 * From key to slot: an open-addressing hash table over a shard's keys, four bytes an entry.
 *
 * A JavaScript Map costs about 37 bytes an entry, hashes the key a second time, and stops at 16.7 million; this costs
 * about 6 bytes, reuses the hash that shard and digest need anyway, and grows in steps of one small shard. An entry is
 * `fingerprint << 22 | slot + 1`; 0 is empty. The fingerprint spares nearly every comparison with a wrong key. Linear
 * probing; removal shifts back, so there are no graves.
 */
import { hashText } from "./hash.ts";
import { invariant } from "./invariant.ts";

/** Slots a shard can have: 22 bits less the empty mark. 1,024 shards of it are 4 thousand million keys. */
export const slotsMax = 0x3f_fffe;
const slotMask = 0x3f_ffff;
const shardBits = 10;
const entriesInitial = 16;

export const keyHashSeed = 0x811c9dc5;

/** A shard's cells: the key of slot n at 2n, what is held under it at 2n + 1. */
export type Pairs = readonly unknown[];

export class SlotTable {
  #entries = new Uint32Array(entriesInitial);
  #mask = entriesInitial - 1;
  #count = 0;

  /** -1 when there is none. */
  find(hash: number, key: string, pairs: Pairs): number {
    const entries = this.#entries;
    const mask = this.#mask;
    const fingerprint = hash >>> 22;
    for (let at = (hash >>> shardBits) & mask; ; at = (at + 1) & mask) {
      const entry = entries[at] as number;
      if (entry === 0) return -1;
      if (entry >>> 22 !== fingerprint) continue;
      const slot = (entry & slotMask) - 1;
      if (pairs[slot * 2] === key) return slot;
    }
  }

  /** The key must not be there. `pairs` must hold the keys of all slots in the table. */
  insert(hash: number, slot: number, pairs: Pairs): void {
    invariant(slot <= slotsMax, "a shard has at most 4 million slots");
    if (this.#count * 4 >= this.#entries.length * 3) this.#grow(pairs);
    this.#place(hash, slot);
    this.#count++;
  }

  #place(hash: number, slot: number): void {
    let at = (hash >>> shardBits) & this.#mask;
    while (this.#entries[at] !== 0) at = (at + 1) & this.#mask;
    this.#entries[at] = ((hash >>> 22) << 22) | (slot + 1);
  }

  #grow(pairs: Pairs): void {
    const old = this.#entries;
    this.#entries = new Uint32Array(old.length * 2);
    this.#mask = this.#entries.length - 1;
    for (const entry of old) {
      if (entry === 0) continue;
      const slot = (entry & slotMask) - 1;
      this.#place(hashText(pairs[slot * 2] as string, keyHashSeed), slot);
    }
  }

  /** The slot must be in the table, and its key still in `pairs`. */
  remove(hash: number, slot: number, pairs: Pairs): void {
    const entries = this.#entries;
    const mask = this.#mask;
    let hole = (hash >>> shardBits) & mask;
    while (((entries[hole] as number) & slotMask) - 1 !== slot) {
      invariant(entries[hole] !== 0, "only what is in the table is removed");
      hole = (hole + 1) & mask;
    }
    // Entries after the hole move back into it unless that would put them before their home.
    for (let at = (hole + 1) & mask; entries[at] !== 0; at = (at + 1) & mask) {
      const entry = entries[at] as number;
      const home = (hashText(pairs[((entry & slotMask) - 1) * 2] as string, keyHashSeed) >>> shardBits) & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      entries[hole] = entry;
      hole = at;
    }
    entries[hole] = 0;
    this.#count--;
  }
}
