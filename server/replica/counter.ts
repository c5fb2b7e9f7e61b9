/**
 * Counters that never lose an increment: per-actor totals under a base.
 *
 * An INCR replicates the *absolute total* of its actor, not the step, so hearing it twice is harmless: per actor the
 * higher seq wins. A SET or DEL is a new base that lists the totals it had seen (`observed`); the value is
 *
 *     base + sum over actors of (total - observed)
 *
 * so increments concurrent with a SET or DEL survive it. A total that the writer's *context* covers and its list does
 * not name counts for nothing (the writer had purged it). An actor is one origin's run of increments on one base: it is
 * named by (origin, seq of its first increment), and a new base, or an expiry that passed, makes a new actor, because a
 * purged total that came back under its old name would count twice (Riak's "doomstone").
 *
 * Merge is commutative, associative and idempotent per part: the base by (stamp, origin, seq), each total by seq.
 */
import type { Sum } from "../../protocol/frames.ts";

export interface Observed {
  readonly origin: number;
  readonly first: number;
  readonly seq: number;
  readonly sum: Sum;
}

export interface Total {
  readonly origin: number;
  readonly first: number;
  seq: number;
  sum: Sum;
  /** That of the base it was made on; 0 for none. */
  expiresAtMs: number;
  /** Local only, for own actors: the base this actor was opened on, `noBaseOrigin` for none. A mismatch means a new actor. */
  onOrigin: number;
  onSeq: number;
}

/** `onOrigin` of an actor opened where there was no base; its `onSeq` is 0. Totals that came from elsewhere have -1. */
export const noBaseOrigin = -2;

/** What stands in the map's value column of a key that has been counted. */
export class CounterCell {
  /** undefined: no base; null: a dead one. Its stamp, dot and expiry are in the map's columns. */
  base: string | null | undefined;
  observed: readonly Observed[];
  totals: Total[];

  constructor(base: string | null | undefined, observed: readonly Observed[], totals: Total[]) {
    this.base = base;
    this.observed = observed;
    this.totals = totals;
  }
}

export const addSums = (a: Sum, b: Sum): Sum => {
  if (typeof a === "number" && typeof b === "number") {
    const sum = a + b;
    if (Number.isSafeInteger(sum)) return sum;
  }
  return normalSum(BigInt(a) + BigInt(b));
};

export const subtractSums = (a: Sum, b: Sum): Sum => {
  if (typeof a === "number" && typeof b === "number") {
    const difference = a - b;
    if (Number.isSafeInteger(difference)) return difference;
  }
  return normalSum(BigInt(a) - BigInt(b));
};

/** One form per integer: a number when it fits 2^53. */
export const normalSum = (sum: bigint): Sum =>
  sum >= BigInt(Number.MIN_SAFE_INTEGER) && sum <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(sum) : sum;

export const int64Min = -(2n ** 63n);
export const int64Max = 2n ** 63n - 1n;

/** Redis's string2ll: decimal, no spaces, no plus, no leading zeros, within 64 bits. */
export const parseInteger = (text: string): Sum | undefined => {
  const { length } = text;
  if (length === 0 || length > 20) return undefined;
  const first = text.charCodeAt(0);
  let at = 0;
  if (first === 45) {
    if (length === 1) return undefined;
    at = 1;
  }
  const lead = text.charCodeAt(at);
  if (lead === 48) return length === 1 ? 0 : undefined;
  let value = 0;
  for (let index = at; index < length; index++) {
    const digit = text.charCodeAt(index) - 48;
    if (digit < 0 || digit > 9) return undefined;
    value = value * 10 + digit;
  }
  if (value <= Number.MAX_SAFE_INTEGER) return at === 1 ? -value : value;
  const exact = BigInt(text);
  return exact >= int64Min && exact <= int64Max ? exact : undefined;
};

export const findObserved = (observed: readonly Observed[], origin: number, first: number): Observed | undefined => {
  for (const entry of observed) if (entry.origin === origin && entry.first === first) return entry;
  return undefined;
};

export const findTotal = (totals: readonly Total[], origin: number, first: number): Total | undefined => {
  for (const entry of totals) if (entry.origin === origin && entry.first === first) return entry;
  return undefined;
};

/** Expired as of `ms`? 0 is no expiry. */
export const isExpired = (expiresAtMs: number, ms: number): boolean => expiresAtMs !== 0 && expiresAtMs <= ms;

/**
 * What the base had not seen of one total, unexpired as of `ms`; undefined for nothing. An observed actor that has no total
 * left counts nothing.
 */
export const unobservedAmount = (cell: CounterCell, total: Total, ms: number): Sum | undefined => {
  if (isExpired(total.expiresAtMs, ms)) return undefined;
  if (cell.base === undefined || cell.observed.length === 0) return total.sum;
  const seen = findObserved(cell.observed, total.origin, total.first);
  if (seen === undefined) return total.sum;
  return seen.seq >= total.seq ? undefined : subtractSums(total.sum, seen.sum);
};

/** The sum of what the base had not seen; undefined when there is nothing. */
export const unobservedSum = (cell: CounterCell, ms: number): Sum | undefined => {
  let sum: Sum | undefined;
  for (const total of cell.totals) {
    const amount = unobservedAmount(cell, total, ms);
    if (amount !== undefined) sum = sum === undefined ? amount : addSums(sum, amount);
  }
  return sum;
};

/** The higher seq wins; true when the cell changed. */
export const mergeTotal = (cell: CounterCell, theirs: Total): boolean => {
  const mine = findTotal(cell.totals, theirs.origin, theirs.first);
  if (mine === undefined) {
    cell.totals.push({ ...theirs });
    return true;
  }
  if (theirs.seq <= mine.seq) return false;
  mine.seq = theirs.seq;
  mine.sum = theirs.sum;
  mine.expiresAtMs = theirs.expiresAtMs;
  return true;
};
