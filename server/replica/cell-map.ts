/**
 * The map: what this peer holds per key, in 1,024 shards by key hash.
 *
 * A key keeps its slot in its shard (shard.ts) as long as it stays, which makes a slot number a SCAN cursor that misses
 * nothing.
 *
 * The map also keeps, in O(1) per write: the digest over live cells, the count of live keys, tombstones and bytes, which
 * cells are dirty (not in the checkpoint as they are), which keys left that the checkpoint may still have, and which cells
 * may be purgeable one day.
 *
 * Callers decide *whether* a write wins; here it is only put in place.
 */
import type { Stamp } from "../../protocol/words.ts";
import type { Cell } from "./cell.ts";
import { CounterCell, isExpired, noBaseOrigin, type Observed, type Total, unobservedAmount } from "./counter.ts";
import { bucketOf, Digest } from "./digest.ts";
import { hashLanes, hashText, hashTotal, lanes, mix } from "./hash.ts";
import { invariant } from "./invariant.ts";
import type { OriginTable } from "./origins.ts";
import {
  candidateFlag,
  countedFlags,
  counterFlag,
  deadFlag,
  dirtyFlag,
  flagsMask,
  flagsWord,
  hash1Word,
  hash2Word,
  lengthShift,
  liveFlag,
  openFlag,
  originWord,
  pageMask,
  realsPerSlot,
  Shard,
  seqReal,
  soleFlag,
  wordsPerSlot,
} from "./shard.ts";
import { keyHashSeed } from "./slot-table.ts";

export const shardCount = 1024;
const shardBits = 10;
const shardMask = shardCount - 1;

/** Where a key lives: the same at every peer. */
export const shardOf = (key: string): number => hashText(key, keyHashSeed) & shardMask;

/** The expiry horizon moves in steps of this many ms, so that peers meet at equal ones. */
export const horizonStepMs = 10_000;

/** Bytes a key costs beside its own and its value's characters: measured with 1 M keys of 16 and 64 bytes. */
const cellOverheadBytes = 120;

/** Stands for every shard that never held a cell, so that a small map costs no 1,024 sets of columns. Never written to. */
const emptyShard = new Shard();

/** Where a cell lies: slot * 1024 + shard. -1: nowhere. */
export type CellRef = number;

export class CellMap {
  readonly digest = new Digest();
  readonly #shards: Shard[] = new Array<Shard>(shardCount).fill(emptyShard);
  readonly #origins: OriginTable;
  /** Expired as of this unix ms is out of the digest. Only grows. */
  #horizonMs = 0;
  /** Horizon step to the cells that may change when it is passed. */
  readonly #expiring = new Map<number, CellRef[]>();
  /** Cells that crossed into a passed step and are still to be hashed anew. */
  #crossing: CellRef[] = [];
  #candidates: CellRef[] = [];
  /** Hash of the key last looked for, and where it was found or put: refresh() nearly always speaks of that one. */
  #keyHash = 0;
  #keyHashRef: CellRef = -1;

  /** Cells in the digest: live as of the horizon. */
  liveCount = 0;
  withExpiryCount = 0;
  tombstoneCount = 0;
  tombstoneBytes = 0;
  /** Estimated bytes of all cells, tombstones included. */
  bytes = 0;
  cellCount = 0;
  /** Keys that left the map and may still be in the checkpoint. */
  droppedCount = 0;

  constructor(origins: OriginTable) {
    this.#origins = origins;
  }

  // ---- finding and reading ------------------------------------------------------------------------------------------

  locate(key: string): CellRef {
    const hash = hashText(key, keyHashSeed);
    this.#keyHash = hash;
    const shardNumber = hash & shardMask;
    const shard = this.#shards[shardNumber] as Shard;
    const slot = shard.slots.find(hash, key, shard.pairs);
    this.#keyHashRef = slot < 0 ? -1 : slot * shardCount + shardNumber;
    return this.#keyHashRef;
  }

  /** The shard of the key last looked for with locate(). */
  get shardLocated(): number {
    return this.#keyHash & shardMask;
  }

  #hashAt(ref: CellRef): number {
    return ref === this.#keyHashRef ? this.#keyHash : hashText(this.keyAt(ref), keyHashSeed);
  }

  #shard(ref: CellRef): Shard {
    return this.#shards[ref & shardMask] as Shard;
  }

  keyAt(ref: CellRef): string {
    return this.#shard(ref).key(ref >>> shardBits);
  }

  /** Of a counter in the short form a copy: what a counter holds is changed by way of counterAt(). */
  heldAt(ref: CellRef): string | null | CounterCell {
    const held = this.#shard(ref).held(ref >>> shardBits) as string | null | CounterCell | number;
    return typeof held === "number" ? new CounterCell(undefined, [], [this.#soleTotal(ref)]) : held;
  }

  /** The base's value: undefined when there is no base. */
  baseAt(ref: CellRef): string | null | undefined {
    const held = this.#shard(ref).held(ref >>> shardBits) as string | null | CounterCell | number;
    if (typeof held === "number") return undefined;
    return held instanceof CounterCell ? held.base : held;
  }

  /** The base's, as originAt() and seqAt(): 0 when there is none. */
  stampAt(ref: CellRef): Stamp {
    return this.isSole(ref) ? 0 : this.#real(ref, 0);
  }

  originAt(ref: CellRef): number {
    return this.isSole(ref) ? 0 : this.#word(ref, originWord);
  }

  seqAt(ref: CellRef): number {
    return this.isSole(ref) ? 0 : this.#real(ref, seqReal);
  }

  #real(ref: CellRef, column: number): number {
    const slot = ref >>> shardBits;
    return this.#shard(ref).page(slot).reals[(slot & pageMask) * realsPerSlot + column] as number;
  }

  #word(ref: CellRef, column: number): number {
    const slot = ref >>> shardBits;
    return this.#shard(ref).page(slot).words[(slot & pageMask) * wordsPerSlot + column] as number;
  }

  expiryAt(ref: CellRef): number {
    return this.#shard(ref).expiryOf(ref >>> shardBits);
  }

  cellAt(ref: CellRef): Cell {
    const held = this.heldAt(ref);
    const counter = held instanceof CounterCell ? held : undefined;
    return {
      value: counter === undefined ? (held as string | null) : counter.base,
      stamp: this.stampAt(ref),
      origin: this.originAt(ref),
      seq: this.seqAt(ref),
      expiresAtMs: this.expiryAt(ref),
      observed: counter?.observed ?? [],
      totals: counter?.totals ?? [],
    };
  }

  /** Does (stamp, origin, seq) beat the base at `ref`? Ties of the stamp are broken by the origin's bytes, then the seq. */
  beats(ref: CellRef, stamp: Stamp, origin: number, seq: number): boolean {
    const mine = this.stampAt(ref);
    if (stamp !== mine) return stamp > mine;
    const owner = this.originAt(ref);
    if (origin !== owner) return this.#origins.id(origin) > this.#origins.id(owner);
    return seq > this.seqAt(ref);
  }

  // ---- putting in place ---------------------------------------------------------------------------------------------

  /** A new cell for the key last looked for with locate(), which found nothing. */
  insert(key: string): CellRef {
    const shardNumber = this.#keyHash & shardMask;
    let shard = this.#shards[shardNumber] as Shard;
    if (shard === emptyShard) {
      shard = new Shard();
      this.#shards[shardNumber] = shard;
    }
    const slot = shard.allocate();
    shard.pairs[slot * 2] = key;
    shard.hold(slot, undefined);
    shard.slots.insert(this.#keyHash, slot, shard.pairs);
    this.#putRecord(shard, slot, 0, 0, 0);
    shard.setFlags(slot, 0);
    shard.setExpiry(slot, 0);
    this.cellCount++;
    this.bytes += key.length + cellOverheadBytes;
    this.#keyHashRef = slot * shardCount + shardNumber;
    return this.#keyHashRef;
  }

  /** Puts a base in place; totals stay. `observed` empty for none. */
  putBase(
    ref: CellRef,
    value: string | null,
    stamp: Stamp,
    origin: number,
    seq: number,
    expiresAtMs: number,
    observed: readonly Observed[],
  ): void {
    const shard = this.#shard(ref);
    const slot = ref >>> shardBits;
    const { reals, words } = shard.page(slot);
    const word = (slot & pageMask) * wordsPerSlot;
    const packed = words[word + flagsWord] as number;
    if ((packed & countedFlags) === 0 && observed.length === 0) {
      // A plain value for a plain value: what is replaced is not looked at, for it lies in memory long unused.
      const length = value === null ? 0 : value.length;
      this.bytes += length - (packed >>> lengthShift);
      words[word + flagsWord] = (packed & flagsMask) | (length << lengthShift);
      shard.pairs[slot * 2 + 1] = value;
    } else {
      this.#replaceCounted(shard, slot, ref, value, observed);
    }
    const real = (slot & pageMask) * realsPerSlot;
    reals[real] = stamp;
    reals[real + seqReal] = seq;
    words[word + originWord] = origin;
    const hadExpiry = shard.expiryOf(slot) !== 0;
    if (hadExpiry !== (expiresAtMs !== 0)) this.withExpiryCount += hadExpiry ? -1 : 1;
    if (hadExpiry || expiresAtMs !== 0) shard.setExpiry(slot, expiresAtMs);
    this.refresh(ref);
  }

  /** Before the base's columns are written, which may hold a total. */
  #replaceCounted(shard: Shard, slot: number, ref: CellRef, value: string | null, observed: readonly Observed[]): void {
    const held = shard.held(slot);
    if (typeof held === "string") this.bytes -= held.length;
    if (held instanceof CounterCell) this.bytes -= counterBytes(held);
    const totals = held instanceof CounterCell ? held.totals : typeof held === "number" ? [this.#soleTotal(ref)] : [];
    if (totals.length > 0 || observed.length > 0) {
      const counter = new CounterCell(value, observed, totals);
      this.bytes += counterBytes(counter);
      shard.hold(slot, counter);
    } else {
      shard.hold(slot, value);
      if (value !== null) this.bytes += value.length;
    }
  }

  /** Whether the cell was counted: false spares a look at what it holds. */
  isCounter(ref: CellRef): boolean {
    return (this.#shard(ref).flags(ref >>> shardBits) & countedFlags) !== 0;
  }

  // ---- counters in the short form -----------------------------------------------------------------------------------

  /** A counter of one total without expiry, on no base. */
  isSole(ref: CellRef): boolean {
    return (this.#word(ref, flagsWord) & soleFlag) !== 0;
  }

  /** Is it this actor's total that the cell consists of? */
  isSoleOf(ref: CellRef, origin: number, first: number): boolean {
    return (
      this.isSole(ref) && this.#word(ref, originWord) === origin && this.#shard(ref).held(ref >>> shardBits) === first
    );
  }

  /** The actor's first seq if this run opened it as `origin`, so that it may go on; else undefined. */
  soleOpenedBy(ref: CellRef, origin: number): number | undefined {
    const isOpen = (this.#word(ref, flagsWord) & openFlag) !== 0 && this.#word(ref, originWord) === origin;
    return isOpen ? (this.#shard(ref).held(ref >>> shardBits) as number) : undefined;
  }

  /** Of a sole counter, as soleSeqAt(). */
  soleSumAt(ref: CellRef): number {
    return this.#real(ref, 0);
  }

  soleSeqAt(ref: CellRef): number {
    return this.#real(ref, seqReal);
  }

  /** Puts the total in place: the cell must be new or a sole counter of the same actor. */
  putSole(ref: CellRef, origin: number, first: number, seq: number, sum: number, isOpen: boolean): void {
    const shard = this.#shard(ref);
    const slot = ref >>> shardBits;
    const { reals, words } = shard.page(slot);
    const real = (slot & pageMask) * realsPerSlot;
    const word = (slot & pageMask) * wordsPerSlot;
    const packed = words[word + flagsWord] as number;
    if ((packed & soleFlag) === 0) {
      invariant(shard.held(slot) === undefined, "only a new cell becomes a sole counter");
      shard.pairs[slot * 2 + 1] = first;
      words[word + originWord] = origin;
      words[word + flagsWord] = packed | soleFlag | (isOpen ? openFlag : 0);
    }
    reals[real] = sum;
    reals[real + seqReal] = seq;
    this.refresh(ref);
  }

  #soleTotal(ref: CellRef): Total {
    const isOpen = (this.#word(ref, flagsWord) & openFlag) !== 0;
    return {
      origin: this.#word(ref, originWord),
      first: this.#shard(ref).held(ref >>> shardBits) as number,
      seq: this.#real(ref, seqReal),
      sum: this.#real(ref, 0),
      expiresAtMs: 0,
      onOrigin: isOpen ? noBaseOrigin : -1,
      onSeq: 0,
    };
  }

  #putRecord(shard: Shard, slot: number, stamp: number, seq: number, origin: number): void {
    const { reals, words } = shard.page(slot);
    reals[(slot & pageMask) * realsPerSlot] = stamp;
    reals[(slot & pageMask) * realsPerSlot + seqReal] = seq;
    words[(slot & pageMask) * wordsPerSlot + originWord] = origin;
  }

  // ---- counters -----------------------------------------------------------------------------------------------------

  /** The counter of a cell, made if the cell is plain. The caller changes it, then calls refresh(). */
  counterAt(ref: CellRef): CounterCell {
    const shard = this.#shard(ref);
    const slot = ref >>> shardBits;
    const held = shard.held(slot);
    if (held instanceof CounterCell) return held;
    const isSole = typeof held === "number";
    const counter = isSole ? new CounterCell(undefined, [], [this.#soleTotal(ref)]) : new CounterCell(held, [], []);
    if (typeof held === "string") this.bytes -= held.length;
    this.bytes += counterBytes(counter);
    if (isSole) this.#putRecord(shard, slot, 0, 0, 0);
    shard.hold(slot, counter);
    return counter;
  }

  /** Adjusts the byte estimate around a change of totals; call with the counts before and after. */
  countTotals(before: number, after: number): void {
    this.bytes += (after - before) * totalBytes;
  }

  /** A base may be dropped (covered-dot rule) while totals stay. */
  dropBase(ref: CellRef): void {
    const counter = this.counterAt(ref);
    if (typeof counter.base === "string") this.bytes -= counter.base.length;
    this.bytes -= counter.observed.length * totalBytes;
    counter.base = undefined;
    counter.observed = [];
    const shard = this.#shard(ref);
    const slot = ref >>> shardBits;
    this.#putRecord(shard, slot, 0, 0, 0);
    if (shard.expiryOf(slot) !== 0) {
      this.withExpiryCount--;
      shard.setExpiry(slot, 0);
    }
    this.simplify(ref);
    this.refresh(ref);
  }

  /** Gives a counter the plainest form it may have: a plain cell's, or the short one. Changes nothing that is seen. */
  simplify(ref: CellRef): void {
    const shard = this.#shard(ref);
    const slot = ref >>> shardBits;
    const held = shard.held(slot);
    if (!(held instanceof CounterCell) || held.observed.length > 0) return;
    const bytes = counterBytes(held);
    const { base, totals } = held;
    const [sole] = totals;
    if (base !== undefined && sole === undefined) {
      shard.hold(slot, base);
      this.bytes += (base?.length ?? 0) - bytes;
    } else if (base === undefined && sole !== undefined && totals.length === 1 && isShort(sole)) {
      shard.hold(slot, sole.first);
      shard.setFlags(slot, shard.flags(slot) | soleFlag | (sole.onOrigin === noBaseOrigin ? openFlag : 0));
      this.#putRecord(shard, slot, sole.sum as number, sole.seq, sole.origin);
      this.bytes -= bytes;
    }
  }

  /** Loads a cell as it was stored, or sent (then it is still to be stored), in place of what is there. */
  load(key: string, cell: Cell, mark: "clean" | "dirty" = "clean"): void {
    const before = this.locate(key);
    if (before >= 0) this.unload(before);
    const ref = this.insert(key);
    if (cell.totals.length > 0 || cell.value === undefined) {
      const counter = this.counterAt(ref);
      this.countTotals(counter.totals.length, cell.totals.length);
      counter.totals = cell.totals;
      if (cell.value === undefined) this.simplify(ref);
    }
    if (cell.value !== undefined) {
      this.putBase(ref, cell.value, cell.stamp, cell.origin, cell.seq, cell.expiresAtMs, cell.observed);
    } else {
      this.refresh(ref);
    }
    if (mark === "clean") this.#markClean(ref);
  }

  #markClean(ref: CellRef): void {
    const shard = this.#shard(ref);
    const slot = ref >>> shardBits;
    const flags = shard.flags(slot);
    if ((flags & dirtyFlag) === 0) return;
    shard.setFlags(slot, flags & ~dirtyFlag);
    shard.dirtyCount--;
  }

  /** Takes a cell out, and notes that the checkpoint may still have it. */
  remove(ref: CellRef): void {
    this.#shard(ref).dropped.push(this.keyAt(ref));
    this.droppedCount++;
    this.unload(ref);
  }

  /** Takes a cell out that the checkpoint has not. */
  unload(ref: CellRef): void {
    const shard = this.#shard(ref);
    const slot = ref >>> shardBits;
    const key = shard.key(slot);
    this.#unhash(shard, slot, ref);
    shard.slots.remove(this.#hashAt(ref), slot, shard.pairs);
    this.#markClean(ref);
    if (ref === this.#keyHashRef) this.#keyHashRef = -1;
    const held = shard.held(slot);
    if (typeof held === "string") this.bytes -= held.length;
    if (held instanceof CounterCell) this.bytes -= counterBytes(held);
    if ((shard.flags(slot) & deadFlag) !== 0) {
      this.tombstoneCount--;
      this.tombstoneBytes -= key.length + cellOverheadBytes;
    }
    if (shard.expiryOf(slot) !== 0) {
      this.withExpiryCount--;
      shard.setExpiry(slot, 0);
    }
    if (shard.expirySteps !== undefined) shard.expirySteps[slot] = 0;
    this.bytes -= key.length + cellOverheadBytes;
    this.cellCount--;
    shard.pairs[slot * 2] = undefined;
    shard.hold(slot, undefined);
    shard.setFlags(slot, 0);
    shard.free.push(slot);
  }

  // ---- digest, dirty, candidates ------------------------------------------------------------------------------------

  #unhash(shard: Shard, slot: number, ref: CellRef): void {
    const flags = shard.flags(slot);
    if ((flags & liveFlag) === 0) return;
    this.digest.subtract(
      bucketOf(this.#hashAt(ref)),
      shard.page(slot).words[(slot & pageMask) * wordsPerSlot + hash1Word] as number,
      shard.page(slot).words[(slot & pageMask) * wordsPerSlot + hash2Word] as number,
    );
    shard.setFlags(slot, flags & ~liveFlag);
    this.liveCount--;
  }

  /** After any change of a cell: digest, counts, dirty mark, and what may be purged one day. */
  refresh(ref: CellRef): void {
    const shard = this.#shard(ref);
    const slot = ref >>> shardBits;
    const keyHash = this.#hashAt(ref);
    const bucket = bucketOf(keyHash);
    const { reals, words } = shard.page(slot);
    const word = (slot & pageMask) * wordsPerSlot;
    const packed = words[word + flagsWord] as number;
    let flags = packed & flagsMask;
    if ((flags & liveFlag) !== 0) {
      this.digest.subtract(bucket, words[word + hash1Word] as number, words[word + hash2Word] as number);
      this.liveCount--;
      flags &= ~liveFlag;
    }
    const held = shard.held(slot);
    const counter = (flags & counterFlag) === 0 ? undefined : (held as CounterCell);
    const expiresAtMs = shard.expiryOf(slot);
    const value = counter === undefined ? held : counter.base;
    let live = false;
    let first = 0;
    let second = 0;
    if (typeof value === "string" && !isExpired(expiresAtMs, this.#horizonMs)) {
      const origin = words[word + originWord] as number;
      const seq = reals[(slot & pageMask) * realsPerSlot + seqReal] as number;
      const stamp = reals[(slot & pageMask) * realsPerSlot] as number;
      hashLanes(
        value,
        mix(keyHash ^ (this.#origins.lanes1[origin] as number)) ^
          (seq >>> 0) ^
          Math.imul(expiresAtMs >>> 0, 0x9e3779b1),
        mix((this.#origins.lanes2[origin] as number) ^ (stamp >>> 0)) ^ keyHash ^ ((expiresAtMs / 4294967296) >>> 0),
      );
      first = lanes.first;
      second = lanes.second;
      live = true;
    }
    if ((flags & soleFlag) !== 0) {
      const origin = words[word + originWord] as number;
      hashTotal(
        held as number,
        reals[(slot & pageMask) * realsPerSlot] as number,
        keyHash ^ (this.#origins.lanes1[origin] as number),
        (this.#origins.lanes2[origin] as number) ^ Math.imul(keyHash, 0x27d4eb2f),
      );
      first = lanes.first;
      second = lanes.second;
      live = true;
    }
    if (counter !== undefined) {
      for (const total of counter.totals) {
        const amount = unobservedAmount(counter, total, this.#horizonMs);
        if (amount === undefined) continue;
        hashTotal(
          total.first,
          amount,
          keyHash ^ (this.#origins.lanes1[total.origin] as number),
          (this.#origins.lanes2[total.origin] as number) ^ Math.imul(keyHash, 0x27d4eb2f),
        );
        first = (first + lanes.first) | 0;
        second = (second + lanes.second) | 0;
        live = true;
      }
    }
    if (live) {
      flags |= liveFlag;
      this.liveCount++;
      words[word + hash1Word] = first;
      words[word + hash2Word] = second;
      this.digest.add(bucket, first >>> 0, second >>> 0);
    }
    const dead = value === null && !live;
    if (dead !== ((flags & deadFlag) !== 0)) {
      flags ^= deadFlag;
      this.tombstoneCount += dead ? 1 : -1;
      this.tombstoneBytes += (dead ? 1 : -1) * (this.keyAt(ref).length + cellOverheadBytes);
    }
    if ((value === null || counter !== undefined) && (flags & candidateFlag) === 0) {
      flags |= candidateFlag;
      this.#candidates.push(ref);
    }
    if ((flags & dirtyFlag) === 0) {
      flags |= dirtyFlag;
      shard.dirtyCount++;
    }
    words[word + flagsWord] = (packed & ~flagsMask) | flags;
    if (expiresAtMs !== 0) this.#registerExpiry(shard, slot, ref, expiresAtMs);
    if (counter !== undefined) {
      for (const total of counter.totals) if (total.expiresAtMs !== 0) this.#listExpiry(ref, total.expiresAtMs);
    }
  }

  #registerExpiry(shard: Shard, slot: number, ref: CellRef, expiresAtMs: number): void {
    const step = Math.ceil(expiresAtMs / horizonStepMs);
    const steps = shard.expirySteps as Uint32Array;
    if (steps[slot] === step >>> 0) return;
    steps[slot] = step;
    this.#listExpiry(ref, expiresAtMs);
  }

  #listExpiry(ref: CellRef, expiresAtMs: number): void {
    const step = Math.ceil(expiresAtMs / horizonStepMs);
    if (step * horizonStepMs <= this.#horizonMs) {
      this.#addCandidate(ref);
      return;
    }
    const list = this.#expiring.get(step);
    if (list === undefined) this.#expiring.set(step, [ref]);
    else if (list[list.length - 1] !== ref) list.push(ref);
  }

  #addCandidate(ref: CellRef): void {
    const shard = this.#shard(ref);
    const slot = ref >>> shardBits;
    const flags = shard.flags(slot);
    if ((flags & candidateFlag) !== 0) return;
    shard.setFlags(slot, flags | candidateFlag);
    this.#candidates.push(ref);
  }

  /** Cells that were given an expiry within step n, (n - 1, n] of `horizonStepMs`, some of them more than once. */
  expiringInStep(step: number): readonly CellRef[] {
    return this.#expiring.get(step) ?? [];
  }

  get horizonMs(): number {
    return this.#horizonMs;
  }

  /** The digest speaks of the horizon only once every cell that crossed it was looked at. */
  get horizonSettled(): boolean {
    return this.#crossing.length === 0;
  }

  /** Moves the horizon on (never back), rounded down to a whole step. */
  advanceHorizon(ms: number): void {
    const horizon = Math.floor(ms / horizonStepMs) * horizonStepMs;
    if (horizon <= this.#horizonMs) return;
    this.#horizonMs = horizon;
    for (const [step, refs] of this.#expiring) {
      if (step * horizonStepMs > horizon) continue;
      for (const ref of refs) this.#crossing.push(ref);
      this.#expiring.delete(step);
    }
  }

  /** Looks at up to `countMax` cells that crossed the horizon. */
  settleHorizon(countMax: number): void {
    for (let count = 0; count < countMax && this.#crossing.length > 0; count++) {
      const ref = this.#crossing.pop() as CellRef;
      const shard = this.#shard(ref);
      if (shard.held(ref >>> shardBits) === undefined) continue;
      const wasDirty = (shard.flags(ref >>> shardBits) & dirtyFlag) !== 0;
      this.refresh(ref);
      if (!wasDirty) {
        // Nothing to store: only the digest's view changed.
        this.#markClean(ref);
      }
      this.#addCandidate(ref);
    }
  }

  /** Takes the list of cells that may be purgeable; the caller hands back those that must wait. */
  takeCandidates(): CellRef[] {
    const taken = this.#candidates;
    this.#candidates = [];
    return taken;
  }

  /** False when the slot was emptied meanwhile. Clears the mark; keepCandidate() sets it again. */
  checkCandidate(ref: CellRef): boolean {
    const shard = this.#shard(ref);
    const slot = ref >>> shardBits;
    if (shard.held(slot) === undefined) return false;
    const flags = shard.flags(slot);
    if ((flags & candidateFlag) === 0) return false;
    shard.setFlags(slot, flags & ~candidateFlag);
    return true;
  }

  keepCandidate(ref: CellRef): void {
    this.#addCandidate(ref);
  }

  get candidateCount(): number {
    return this.#candidates.length;
  }

  /** The first shard from this one on with anything a checkpoint has to write; `shardCount` when there is none. */
  changedShardFrom(shardNumber: number): number {
    let at = shardNumber;
    for (; at < shardCount; at++) {
      const shard = this.#shards[at] as Shard;
      if (shard.dirtyCount > 0 || shard.dropped.length > 0) break;
    }
    return at;
  }

  /** Dirty cells per cell of a shard; 1 when it has none at all. */
  dirtyShare(shardNumber: number): number {
    const shard = this.#shards[shardNumber] as Shard;
    const count = shard.used - shard.free.length;
    return count === 0 ? 1 : shard.dirtyCount / count;
  }

  /** Visits keys that left a shard, each once, until `visit` returns true. False when there are more. */
  takeDropped(shardNumber: number, visit: (key: string) => boolean): boolean {
    const { dropped } = this.#shards[shardNumber] as Shard;
    while (dropped.length > 0) {
      this.droppedCount--;
      if (visit(dropped.pop() as string)) break;
    }
    return dropped.length === 0;
  }

  /**
   * Visits the dirty cells of one shard, or all, from a slot on, and marks them clean, until `visit` returns true. Returns
   * the slot to go on from, -1 at the shard's end.
   */
  takeCells(shardNumber: number, from: number, which: "dirty" | "all", visit: (ref: CellRef) => boolean): number {
    const shard = this.#shards[shardNumber] as Shard;
    for (let slot = from; slot < shard.used; slot++) {
      if (which === "dirty") {
        if (shard.dirtyCount === 0) break;
        if ((shard.flags(slot) & dirtyFlag) === 0) continue;
      } else if (shard.held(slot) === undefined) continue;
      const ref = slot * shardCount + shardNumber;
      this.#markClean(ref);
      if (visit(ref)) return slot + 1 < shard.used ? slot + 1 : -1;
    }
    return -1;
  }

  /** Whether the key left the map since a checkpoint last took such keys: for checks, it looks at all of its shard. */
  isDropped(key: string): boolean {
    return (this.#shards[this.keyHash(key) & shardMask] as Shard).dropped.includes(key);
  }

  /** Whether the checkpoint has not the cell as it is, or will not have it once its slices are written. */
  isDirty(ref: CellRef): boolean {
    return (this.#shard(ref).flags(ref >>> shardBits) & dirtyFlag) !== 0;
  }

  // ---- walking ------------------------------------------------------------------------------------------------------

  /**
   * Visits cells from `position` on until `visit` says stop (true) or a shard boundary after `countMax` slots; returns
   * the next position, -1 at the end. Positions are shard * 2^32 + slot.
   */
  walk(position: number, countMax: number, visit: (ref: CellRef) => boolean): number {
    let shardNumber = Math.floor(position / 4294967296);
    let slot = position % 4294967296;
    let count = 0;
    while (shardNumber < shardCount) {
      const shard = this.#shards[shardNumber] as Shard;
      while (slot < shard.used) {
        if (count >= countMax) return shardNumber * 4294967296 + slot;
        count++;
        const here = slot++;
        if (shard.held(here) !== undefined && visit(here * shardCount + shardNumber)) {
          return shardNumber * 4294967296 + slot;
        }
      }
      shardNumber++;
      slot = 0;
    }
    return -1;
  }

  /** A cell near a random place: two tries' worth of probing, then the next one in order. */
  randomRef(random: number): CellRef {
    if (this.cellCount === 0) return -1;
    const start = Math.floor(random * shardCount);
    const within = random * shardCount - start;
    for (let offset = 0; offset < shardCount; offset++) {
      const shardNumber = (start + offset) & shardMask;
      const shard = this.#shards[shardNumber] as Shard;
      const first = Math.floor(within * shard.used);
      for (let step = 0; step < shard.used; step++) {
        const slot = (first + step) % shard.used;
        if (shard.held(slot) !== undefined) return slot * shardCount + shardNumber;
      }
    }
    return -1;
  }

  /** Digest lanes of a cell, undefined while it is not live: DIFF. */
  lanesAt(ref: CellRef): { readonly first: number; readonly second: number } | undefined {
    const shard = this.#shard(ref);
    const slot = ref >>> shardBits;
    if ((shard.flags(slot) & liveFlag) === 0) return undefined;
    return {
      first: shard.page(slot).words[(slot & pageMask) * wordsPerSlot + hash1Word] as number,
      second: shard.page(slot).words[(slot & pageMask) * wordsPerSlot + hash2Word] as number,
    };
  }

  /** Recomputes the digest from the cells: an oracle for tests and for `inspect`. */
  recomputedDigest(): Digest {
    const fresh = new Digest();
    this.walk(0, Number.POSITIVE_INFINITY, (ref) => {
      const cellLanes = this.lanesAt(ref);
      if (cellLanes !== undefined)
        fresh.add(bucketOf(this.keyHash(this.keyAt(ref))), cellLanes.first, cellLanes.second);
      return false;
    });
    return fresh;
  }

  keyHash(key: string): number {
    return hashText(key, keyHashSeed);
  }

  checkInvariants(): void {
    const fresh = this.recomputedDigest();
    invariant(fresh.text === this.digest.text, "the digest is the sum over live cells");
    invariant(this.bytes >= 0, "bytes are counted down only after they were counted up");
  }
}

/** Of a counter's only total: may it stand in the columns? */
const isShort = ({ sum, expiresAtMs }: Total): boolean => typeof sum === "number" && expiresAtMs === 0;

const totalBytes = 96;
const counterBytes = (cell: CounterCell): number =>
  64 +
  (typeof cell.base === "string" ? cell.base.length : 0) +
  (cell.observed.length + cell.totals.length) * totalBytes;
