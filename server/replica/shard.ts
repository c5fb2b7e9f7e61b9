/**
 * One shard of the map: a slot per cell, what it holds, and a record of numbers by slot.
 *
 * A table leads from a key to its slot (slot-table.ts). The numbers lie in typed arrays: about a third of what an object per
 * cell costs, and nothing for the garbage collector to walk. A key keeps its slot as long as it stays. What the numbers mean
 * together (digest, counts, dirty marks) is the map's business.
 */
import { CounterCell } from "./counter.ts";
import { SlotTable } from "./slot-table.ts";

const slotsInitial = 8;

/**
 * string: live base. null: tombstone. CounterCell: counted. number: counted in the short form. undefined: the slot is free.
 *
 * The short form is of what nearly every counter is: one total, without an expiry, on no base. The columns that speak of the
 * base speak of the total then (`stamp` its sum, `seq`, `origin`), and what is held is its actor's first seq. Profiled: the
 * four objects of a CounterCell, each a cache miss, were a third of an INCR. Nothing but the map sees the form: reads get a
 * CounterCell made for them, and counterAt() makes it one for good.
 */
export type Held = string | null | CounterCell | number | undefined;

export const dirtyFlag = 1;
export const candidateFlag = 2;
export const liveFlag = 4;
export const deadFlag = 8;
/** What is held is a CounterCell. */
export const counterFlag = 16;
/** A counter in the short form. */
export const soleFlag = 32;
export const countedFlags = counterFlag | soleFlag;
/** Of the short form: this run opened the actor, so its next increment continues it. */
export const openFlag = 64;
export const flagsMask = 127;
/** Above the flags: the length of a plain value, so that replacing it need not look at it. 25 bits. */
export const lengthShift = 7;

/**
 * One record of 32 bytes a slot, in one buffer: a write touches one cache line of it, where a column per part would touch
 * five. Profiled: with 100,000 keys and three peers on two cores the misses of separate columns cost about a fifth of a SET.
 *
 *     f64 stamp | f64 seq | u32 hash lane 1 | u32 hash lane 2 | u32 origin | u32 flags, value length
 */
export const realsPerSlot = 4;
export const wordsPerSlot = 8;
export const seqReal = 1;
export const hash1Word = 4;
export const hash2Word = 5;
export const originWord = 6;
export const flagsWord = 7;

/** Pages are never copied once whole: growing arrays left as much garbage outside the heap as they held. */
const pageBits = 8;
const pageSlots = 1 << pageBits;
export const pageMask = pageSlots - 1;

class Page {
  readonly reals: Float64Array;
  readonly words: Uint32Array;

  constructor(slots: number) {
    this.reals = new Float64Array(slots * realsPerSlot);
    this.words = new Uint32Array(this.reals.buffer);
  }
}

export class Shard {
  readonly slots = new SlotTable();
  /** Key and held side by side: whoever looks at the one nearly always looks at the other. */
  readonly pairs: (string | Held)[] = [];
  capacity = 0;
  readonly pages: Page[] = [];
  /** Only once a key of this shard has an expiry. */
  expiries: Float64Array | undefined;
  /** The horizon step a slot is registered for, so that a key refreshed often is listed once per step. */
  expirySteps: Uint32Array | undefined;
  readonly free: number[] = [];
  used = 0;
  /** How many slots carry the dirty flag. Found again by a walk over the flags: a list would cost 8 bytes a write. */
  dirtyCount = 0;
  /** Keys that left since a checkpoint last took them. */
  dropped: string[] = [];

  key(slot: number): string {
    return this.pairs[slot * 2] as string;
  }

  held(slot: number): Held {
    return this.pairs[slot * 2 + 1];
  }

  /** Puts `held` in place, and into the record what it is. */
  hold(slot: number, held: Held): void {
    this.pairs[slot * 2 + 1] = held;
    const { words } = this.page(slot);
    const word = (slot & pageMask) * wordsPerSlot + flagsWord;
    const flags = (words[word] as number) & flagsMask & ~(countedFlags | openFlag);
    words[word] =
      flags | (held instanceof CounterCell ? counterFlag : typeof held === "string" ? held.length << lengthShift : 0);
  }

  flags(slot: number): number {
    return (this.page(slot).words[(slot & pageMask) * wordsPerSlot + flagsWord] as number) & flagsMask;
  }

  setFlags(slot: number, flags: number): void {
    const { words } = this.page(slot);
    const word = (slot & pageMask) * wordsPerSlot + flagsWord;
    words[word] = ((words[word] as number) & ~flagsMask) | flags;
  }

  page(slot: number): Page {
    return this.pages[slot >>> pageBits] as Page;
  }

  allocate(): number {
    const reused = this.free.pop();
    if (reused !== undefined) return reused;
    if (this.used === this.capacity) this.#grow();
    return this.used++;
  }

  #grow(): void {
    const [first] = this.pages;
    if (first !== undefined && this.capacity < pageSlots) {
      // The first page doubles until it is whole, so that a small map stays small.
      const page = new Page(this.capacity * 2);
      page.reals.set(first.reals);
      this.pages[0] = page;
      this.capacity *= 2;
    } else {
      const slots = first === undefined ? slotsInitial : pageSlots;
      this.pages.push(new Page(slots));
      this.capacity += slots;
    }
    if (this.expiries !== undefined && this.expirySteps !== undefined) {
      const expiries = new Float64Array(this.capacity);
      expiries.set(this.expiries);
      this.expiries = expiries;
      const steps = new Uint32Array(this.capacity);
      steps.set(this.expirySteps);
      this.expirySteps = steps;
    }
  }

  expiryOf(slot: number): number {
    return this.expiries === undefined ? 0 : (this.expiries[slot] as number);
  }

  setExpiry(slot: number, expiresAtMs: number): void {
    if (this.expiries === undefined) {
      if (expiresAtMs === 0) return;
      this.expiries = new Float64Array(this.capacity);
      this.expirySteps = new Uint32Array(this.capacity);
    }
    this.expiries[slot] = expiresAtMs;
  }
}
