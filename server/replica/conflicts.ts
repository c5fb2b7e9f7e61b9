/**
 * The conflict journal: what concurrent writes displaced, kept and shown.
 *
 * When an arriving write and the cell it meets did not know of each other and the values differ, the loser goes in here.
 * An entry is named by the loser's dot, which is the same at every peer; the first write that displaced it is kept
 * beside it. Bounded by entries and bytes: at the bound the oldest go, and are counted. The checkpoint stores it.
 */
import { type ByteReader, ByteWriter, DecodeFault } from "../../protocol/bytes.ts";
import { keyBytesMax, valueBytesMax } from "../../protocol/limits.ts";
import type { Stamp } from "../../protocol/words.ts";

export interface ConflictSide {
  /** undefined: the write was a delete. */
  readonly value: string | undefined;
  readonly stamp: Stamp;
  /** `name.incarnation:seq`. */
  readonly dot: string;
  /** Unix ms, 0 for none. */
  readonly expiresAtMs: number;
}

export interface Conflict {
  /** The loser's dot. */
  readonly id: string;
  readonly key: string;
  readonly winner: ConflictSide;
  readonly loser: ConflictSide;
  readonly why: "later stamp" | "equal stamps, greater origin" | "repair";
  readonly restored: boolean;
}

export interface ConflictLimits {
  readonly entriesMax: number;
  readonly bytesMax: number;
}

const entryOverheadBytes = 300;
const bytesOf = (conflict: Conflict): number =>
  entryOverheadBytes + conflict.key.length + (conflict.winner.value?.length ?? 0) + (conflict.loser.value?.length ?? 0);

export class ConflictJournal {
  /** Oldest first. */
  readonly #entries = new Map<string, Conflict>();
  readonly #limits: ConflictLimits;
  /** Ids changed or dropped since the last checkpoint took them. */
  #changed = new Set<string>();
  bytes = 0;
  /** All ever recorded, and those the bounds let go. */
  recorded = 0;
  dropped = 0;
  /** Ids recorded or restored since the shell emptied it; undefined while nobody listens. */
  news: string[] | undefined;

  constructor(limits: ConflictLimits) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#entries.size;
  }

  record(conflict: Conflict): void {
    if (this.#entries.has(conflict.id)) return;
    this.recorded++;
    this.#put(conflict);
    this.news?.push(conflict.id);
    while (this.#entries.size > this.#limits.entriesMax || this.bytes > this.#limits.bytesMax) {
      const oldest = this.#entries.keys().next().value;
      if (oldest === undefined) break;
      this.#drop(oldest);
      this.dropped++;
    }
  }

  #put(conflict: Conflict): void {
    this.#entries.set(conflict.id, conflict);
    this.bytes += bytesOf(conflict);
    this.#changed.add(conflict.id);
  }

  #drop(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.delete(id);
    this.bytes -= bytesOf(entry);
    this.#changed.add(id);
  }

  get(id: string): Conflict | undefined {
    return this.#entries.get(id);
  }

  markRestored(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.set(id, { ...entry, restored: true });
    this.#changed.add(id);
    this.news?.push(id);
  }

  /** Oldest first; all, or those of one key. */
  list(key?: string): Conflict[] {
    const found: Conflict[] = [];
    for (const entry of this.#entries.values()) if (key === undefined || entry.key === key) found.push(entry);
    return found;
  }

  /** What a checkpoint has to write: undefined where the entry is gone. */
  takeChanged(): [id: string, Conflict | undefined][] {
    const changed: [string, Conflict | undefined][] = [];
    for (const id of this.#changed) changed.push([id, this.#entries.get(id)]);
    this.#changed = new Set();
    return changed;
  }

  load(conflict: Conflict): void {
    if (this.#entries.has(conflict.id)) return;
    this.#entries.set(conflict.id, conflict);
    this.bytes += bytesOf(conflict);
  }

  /** Entries come back from the checkpoint in the order of their ids; put the oldest first again. */
  sortByTime(): void {
    const sorted = [...this.#entries.values()].sort((a, b) =>
      a.loser.stamp !== b.loser.stamp ? a.loser.stamp - b.loser.stamp : a.id < b.id ? -1 : 1,
    );
    this.#entries.clear();
    for (const entry of sorted) this.#entries.set(entry.id, entry);
  }
}

const whys = ["later stamp", "equal stamps, greater origin", "repair"] as const;

const writeSide = (out: ByteWriter, side: ConflictSide): void => {
  out.u8(side.value === undefined ? 0 : 1);
  if (side.value !== undefined) out.string(side.value);
  out.f64(side.stamp);
  out.string(side.dot);
  out.f64(side.expiresAtMs);
};

const readFlag = (input: ByteReader): boolean => {
  const byte = input.u8();
  if (byte > 1) throw new DecodeFault("a flag is 0 or 1");
  return byte === 1;
};

const readSide = (input: ByteReader): ConflictSide => ({
  value: readFlag(input) ? input.string(valueBytesMax) : undefined,
  stamp: input.whole(),
  dot: input.string(80),
  expiresAtMs: input.whole(),
});

export const encodeConflict = (conflict: Conflict): Buffer => {
  const out = new ByteWriter(256);
  out.string(conflict.key);
  writeSide(out, conflict.winner);
  writeSide(out, conflict.loser);
  out.u8(whys.indexOf(conflict.why));
  out.u8(conflict.restored ? 1 : 0);
  return out.take();
};

export const decodeConflict = (input: ByteReader): Conflict => {
  const key = input.string(keyBytesMax);
  const winner = readSide(input);
  const loser = readSide(input);
  const why = whys[input.u8()];
  if (why === undefined) throw new DecodeFault("unknown reason of a conflict");
  return { id: loser.dot, key, winner, loser, why, restored: readFlag(input) };
};
