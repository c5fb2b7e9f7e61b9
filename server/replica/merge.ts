/**
 * Merging one op, or one cell of a transfer, into the map.
 *
 * Last writer wins by (stamp, origin, seq): commutative, associative, idempotent. Per counter actor the higher seq wins.
 * What a losing side held that the winner did not know of goes to the conflict journal.
 */
import { type FrameHeader, FrameOps, type ObservedTotal, opKind } from "../../protocol/frames.ts";
import type { Stamp } from "../../protocol/words.ts";
import type { Cell } from "./cell.ts";
import type { CellRef } from "./cell-map.ts";
import type { Conflict, ConflictSide } from "./conflicts.ts";
import { CounterCell, findObserved, findTotal, mergeTotal, type Observed } from "./counter.ts";
import type { ReplicaState } from "./state.ts";
import { at, type ReadonlyVersionVector } from "./version-vector.ts";

const nothingObserved: readonly Observed[] = [];

/** Applies every op of a frame whose causes are all here. The caller moves the vector on. */
export const applyFrame = (
  state: ReplicaState,
  frame: FrameHeader,
  origin: number,
  context: ReadonlyVersionVector,
): void => {
  const ops = new FrameOps(frame);
  while (ops.next()) {
    if (ops.kind === opKind.incr) {
      applyTotal(state, origin, ops);
    } else {
      const value = ops.kind === opKind.set ? ops.value : null;
      applyWrite(state, ops.key, value, ops.stamp, origin, ops.seq, ops.expiresAtMs, ops.observed, context);
    }
  }
};

/** The total of one actor as of `seq`; in place where the actor is known, since this is the path of every INCR. */
const applyTotal = (state: ReplicaState, origin: number, ops: FrameOps): void => {
  const { map } = state;
  let ref = map.locate(ops.key);
  const isNew = ref < 0;
  if (isNew) ref = map.insert(ops.key);
  if (typeof ops.sum === "number" && ops.expiresAtMs === 0 && (isNew || map.isSoleOf(ref, origin, ops.actorFirst))) {
    if (isNew || ops.seq > map.soleSeqAt(ref)) map.putSole(ref, origin, ops.actorFirst, ops.seq, ops.sum, false);
    return;
  }
  const counter = map.counterAt(ref);
  const mine = findTotal(counter.totals, origin, ops.actorFirst);
  if (mine === undefined) {
    const { actorFirst: first, seq, sum, expiresAtMs } = ops;
    counter.totals.push({ origin, first, seq, sum, expiresAtMs, onOrigin: -1, onSeq: 0 });
    map.countTotals(0, 1);
  } else if (ops.seq > mine.seq) {
    mine.seq = ops.seq;
    mine.sum = ops.sum;
    mine.expiresAtMs = ops.expiresAtMs;
  }
  map.simplify(ref);
  map.refresh(ref);
};

const applyWrite = (
  state: ReplicaState,
  key: string,
  value: string | null,
  stamp: Stamp,
  origin: number,
  seq: number,
  expiresAtMs: number,
  observedIds: readonly ObservedTotal[] | undefined,
  context: ReadonlyVersionVector,
): void => {
  const { map } = state;
  const observed = observedIds === undefined ? nothingObserved : numberObserved(state, observedIds);
  let ref = map.locate(key);
  if (ref < 0) {
    ref = map.insert(key);
    map.putBase(ref, value, stamp, origin, seq, expiresAtMs, observed);
    return;
  }
  const hasBase = !map.isCounter(ref) || map.baseAt(ref) !== undefined;
  const wins = !hasBase || map.beats(ref, stamp, origin, seq);
  // The base's value is looked at only when the two did not know of each other, which is rare.
  if (hasBase && isConcurrent(state, map.originAt(ref), map.seqAt(ref), origin, context) && map.baseAt(ref) !== value) {
    const arriving = { value: value ?? undefined, stamp, dot: state.dotText(origin, seq), expiresAtMs };
    if (wins) recordConflict(state, key, sideAt(state, ref), arriving);
    else recordConflict(state, key, arriving, sideAt(state, ref));
  }
  if (wins) map.putBase(ref, value, stamp, origin, seq, expiresAtMs, observed);
  if (map.originAt(ref) === origin && map.seqAt(ref) === seq) dropCoveredTotals(state, ref, origin, seq, context);
};

/**
 * Did the writer of the arriving op not know the base that it meets? Its own earlier writes it knew. A base that this
 * vector does not name yet came out of a checkpoint, ahead of the log that is being replayed: nothing tells whether it was
 * made knowing the op, and if it was not, the journal came with it.
 */
const isConcurrent = (
  state: ReplicaState,
  baseOrigin: number,
  baseSeq: number,
  origin: number,
  context: ReadonlyVersionVector,
): boolean => baseOrigin !== origin && baseSeq > at(context, baseOrigin) && baseSeq <= at(state.vv, baseOrigin);

/**
 * A total that the winner's context covers and its list does not name was purged by the writer before it wrote: it
 * counts for nothing (mutant `obs-list-only`).
 */
const dropCoveredTotals = (
  state: ReplicaState,
  ref: CellRef,
  origin: number,
  seq: number,
  context: ReadonlyVersionVector,
): void => {
  if (!state.map.isCounter(ref)) return;
  const counter = state.map.counterAt(ref);
  const kept = counter.totals.filter((total) => {
    const known = total.origin === origin ? total.seq < seq : total.seq <= at(context, total.origin);
    return !known || findObserved(counter.observed, total.origin, total.first) !== undefined;
  });
  if (kept.length === counter.totals.length) return;
  state.count("coveredByContext", counter.totals.length - kept.length);
  state.map.countTotals(counter.totals.length, kept.length);
  counter.totals = kept;
  state.map.simplify(ref);
  state.map.refresh(ref);
};

const numberObserved = (state: ReplicaState, observed: readonly ObservedTotal[]): readonly Observed[] =>
  observed.map((total) => ({
    origin: state.origins.number(total.origin),
    first: total.first,
    seq: total.seq,
    sum: total.sum,
  }));

// ---- conflicts ------------------------------------------------------------------------------------------------------

const sideAt = (state: ReplicaState, ref: CellRef): ConflictSide => ({
  value: state.map.baseAt(ref) ?? undefined,
  stamp: state.map.stampAt(ref),
  dot: state.dotText(state.map.originAt(ref), state.map.seqAt(ref)),
  expiresAtMs: state.map.expiryAt(ref),
});

const recordConflict = (
  state: ReplicaState,
  key: string,
  loser: ConflictSide,
  winner: ConflictSide,
  why?: Conflict["why"],
): void => {
  state.count("conflicts");
  state.journal.record({
    id: loser.dot,
    key,
    winner,
    loser,
    why: why ?? (winner.stamp === loser.stamp ? "equal stamps, greater origin" : "later stamp"),
    restored: false,
  });
};

// ---- cells of a transfer ----------------------------------------------------------------------------------------------

const has = (vv: ReadonlyVersionVector, origin: number, seq: number): boolean => seq <= at(vv, origin);

/**
 * The covered-dot rule, first direction: what the sender's vector covers and the sender's cell lacks is superseded. Drop
 * it, never push it back. `theirs` undefined: the sender has no such cell. Returns how many parts went.
 */
export const dropCovered = (
  state: ReplicaState,
  ref: CellRef,
  theirs: Cell | undefined,
  senderVv: ReadonlyVersionVector,
): number => {
  const { map } = state;
  let dropped = 0;
  const base = map.baseAt(ref);
  if (base !== undefined && has(senderVv, map.originAt(ref), map.seqAt(ref))) {
    const theirsLater =
      theirs?.value !== undefined &&
      (sameDot(map.originAt(ref), map.seqAt(ref), theirs) || !laterThanCell(state, ref, theirs));
    if (!theirsLater) {
      map.dropBase(ref);
      dropped++;
    }
  }
  const held = map.heldAt(ref);
  if (held instanceof CounterCell) {
    const kept = held.totals.filter(
      (total) =>
        !has(senderVv, total.origin, total.seq) ||
        (theirs !== undefined && findTotal(theirs.totals, total.origin, total.first) !== undefined),
    );
    dropped += held.totals.length - kept.length;
    if (held.base === undefined && kept.length === 0) {
      map.remove(ref);
      return dropped;
    }
    if (held.totals.length !== kept.length) {
      map.countTotals(held.totals.length, kept.length);
      map.counterAt(ref).totals = kept;
      map.simplify(ref);
      map.refresh(ref);
    }
  }
  return dropped;
};

const sameDot = (origin: number, seq: number, cell: Cell): boolean => cell.origin === origin && cell.seq === seq;

const laterThanCell = (state: ReplicaState, ref: CellRef, cell: Cell): boolean => {
  const { map } = state;
  if (sameDot(map.originAt(ref), map.seqAt(ref), cell)) return false;
  return !map.beats(ref, cell.stamp, cell.origin, cell.seq);
};

/**
 * Merges a cell that came by transfer; `mine` is my vector before the install: the rule in the other direction.
 *
 * A base newer than the beginning of the scan is left out: its frame follows, with the context that tells whether it knew
 * of what it displaces here.
 */
export const mergeTransferredCell = (
  state: ReplicaState,
  key: string,
  theirs: Cell,
  mine: ReadonlyVersionVector,
  senderVv: ReadonlyVersionVector,
): void => {
  const { map } = state;
  let ref = map.locate(key);
  if (theirs.value !== undefined && has(senderVv, theirs.origin, theirs.seq)) {
    const base = ref < 0 ? undefined : map.baseAt(ref);
    const theirsLater = base === undefined || map.beats(ref, theirs.stamp, theirs.origin, theirs.seq);
    const superseded = has(mine, theirs.origin, theirs.seq) && theirsLater;
    if (superseded) {
      state.count("ignoredByDot");
    } else {
      if (base !== undefined && base !== theirs.value && !sameDot(map.originAt(ref), map.seqAt(ref), theirs)) {
        // Neither had heard of the other's write: what loses is kept.
        const unknownToMe = !has(mine, theirs.origin, theirs.seq);
        const unknownToThem = !has(senderVv, map.originAt(ref), map.seqAt(ref));
        // As in isConcurrent(): a base out of a checkpoint may be ahead of the log that is being replayed.
        const isMine = has(mine, map.originAt(ref), map.seqAt(ref));
        if (unknownToMe && unknownToThem && isMine) {
          const theirSide: ConflictSide = {
            value: theirs.value ?? undefined,
            stamp: theirs.stamp,
            dot: state.dotText(theirs.origin, theirs.seq),
            expiresAtMs: theirs.expiresAtMs,
          };
          if (theirsLater) recordConflict(state, key, sideAt(state, ref), theirSide);
          else recordConflict(state, key, theirSide, sideAt(state, ref));
        }
      }
      if (theirsLater) {
        if (ref < 0) ref = map.insert(key);
        map.putBase(ref, theirs.value, theirs.stamp, theirs.origin, theirs.seq, theirs.expiresAtMs, theirs.observed);
      }
    }
  }
  let changed = false;
  for (const total of theirs.totals) {
    const held = ref < 0 ? undefined : map.heldAt(ref);
    const present = held instanceof CounterCell && findTotal(held.totals, total.origin, total.first) !== undefined;
    if (has(mine, total.origin, total.seq) && !present) {
      state.count("ignoredByDot");
      continue;
    }
    if (ref < 0) ref = map.insert(key);
    const counter = map.counterAt(ref);
    const before = counter.totals.length;
    if (mergeTotal(counter, total)) changed = true;
    map.countTotals(before, counter.totals.length);
  }
  if (theirs.totals.length > 0 && ref >= 0) map.simplify(ref);
  if (changed) map.refresh(ref);
};

/** A delete before a value, since nothing deleted comes back and the value is kept; then the greater bytes; then the later end. */
const outranks = (
  value: string | null,
  expiresAtMs: number,
  other: string | null,
  otherExpiresAtMs: number,
): boolean => {
  if (value === other)
    return (expiresAtMs || Number.POSITIVE_INFINITY) > (otherExpiresAtMs || Number.POSITIVE_INFINITY);
  if (value === null || other === null) return value === null;
  return value > other;
};

/**
 * Repair after a digest mismatch at equal vectors: one side is wrong and nothing tells which, so the union is taken, the
 * later base wins, and a displaced one goes to the journal. True when this changed the cell.
 */
export const repairCell = (state: ReplicaState, key: string, theirs: Cell): boolean => {
  const { map } = state;
  if (theirs.value === undefined && theirs.totals.length === 0) return false;
  const found = map.locate(key);
  const ref = found < 0 ? map.insert(key) : found;
  let changed = false;
  if (theirs.value !== undefined) {
    const base = found < 0 ? undefined : map.baseAt(ref);
    const same = base !== undefined && sameDot(map.originAt(ref), map.seqAt(ref), theirs);
    // One dot with two contents: the contents decide, the same way at both peers.
    const wins =
      base === undefined ||
      (same
        ? outranks(theirs.value, theirs.expiresAtMs, base, map.expiryAt(ref))
        : map.beats(ref, theirs.stamp, theirs.origin, theirs.seq));
    if (wins) {
      if (base !== undefined && base !== theirs.value) {
        const theirDot = state.dotText(theirs.origin, theirs.seq);
        const mySide = sideAt(state, ref);
        recordConflict(
          state,
          key,
          same ? { ...mySide, dot: `${mySide.dot}#` } : mySide,
          { value: theirs.value ?? undefined, stamp: theirs.stamp, dot: theirDot, expiresAtMs: theirs.expiresAtMs },
          "repair",
        );
      }
      map.putBase(ref, theirs.value, theirs.stamp, theirs.origin, theirs.seq, theirs.expiresAtMs, theirs.observed);
      changed = true;
    }
  }
  for (const total of theirs.totals) {
    const counter = map.counterAt(ref);
    const before = counter.totals.length;
    if (mergeTotal(counter, total)) changed = true;
    map.countTotals(before, counter.totals.length);
  }
  map.simplify(ref);
  if (changed) map.refresh(ref);
  return changed;
};
