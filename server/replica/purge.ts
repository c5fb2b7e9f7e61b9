/**
 * Purging tombstones, expired cells and observed totals: what keeps deletes deleted without keeping them for ever.
 *
 * A tombstone or an expired cell goes only if its dot was stable when the last finished checkpoint began; an observed
 * total, only if the base that observed it was. No timers, no stamps, no out-of-band acks: each of those resurrects keys
 * (mutants `purge-before-ckpt`, `expiry-own-clock`, `stamp-g`, `ack-naive`). What was used as stable is remembered in the
 * floor, which decides whether a transfer must be full.
 */
import type { CellMap, CellRef } from "./cell-map.ts";
import { CounterCell, findObserved, isExpired } from "./counter.ts";
import type { ReplicaState } from "./state.ts";
import { at, covers, join, type ReadonlyVersionVector } from "./version-vector.ts";

export class Purger {
  readonly #state: ReplicaState;
  readonly #isHeld: () => boolean;
  #pending: CellRef[] = [];
  /** What the pass under way may purge; a pass begins when this can have grown. */
  #purgeable: ReadonlyVersionVector = [];
  #horizonMs = 0;

  /**
   * `isHeld`: while it says so nothing is purged. For a walk that takes cells and the frames behind its beginning: a frame
   * that came then may be one that a tombstone beats. Purged before the walk gets there, the tombstone would be in neither,
   * and the frame would bring the key back.
   */
  constructor(state: ReplicaState, isHeld: () => boolean) {
    this.#state = state;
    this.#isHeld = isHeld;
  }

  /** Begins a pass over all candidates if anything may have become purgeable since the last. */
  begin(): boolean {
    const state = this.#state;
    if (this.#isHeld()) return false;
    if (this.#pending.length > 0) return true;
    if (covers(this.#purgeable, state.purgeable) && this.#horizonMs >= state.map.horizonMs) return false;
    this.#purgeable = [...state.purgeable];
    this.#horizonMs = state.map.horizonMs;
    this.#pending = state.map.takeCandidates();
    return this.#pending.length > 0;
  }

  /** What is left of the pass; 0 while it is held. */
  get pending(): number {
    return this.#isHeld() ? 0 : this.#pending.length;
  }

  /**
   * Looks at up to `countMax` candidates. What is purged leaves the map now, and the store with the next checkpoint, in one
   * batch with the floor that says so. Until that batch is on disk a crash brings the tombstone back, as if it had not been
   * purged yet; nothing without the tombstone is ever in the store before that floor is.
   */
  slice(countMax: number): void {
    const state = this.#state;
    const { map } = state;
    if (this.#isHeld()) return;
    let gone = 0;
    state.floor = join(state.floor, state.purgeable);
    for (let count = 0; count < countMax && this.#pending.length > 0; count++) {
      const ref = this.#pending.pop() as CellRef;
      if (map.checkCandidate(ref) && purgeCell(state, map, ref)) gone++;
    }
    if (gone > 0) state.count("purged", gone);
  }
}

/** True when the cell is gone; else it stays a candidate as long as something in it may go one day. */
const purgeCell = (state: ReplicaState, map: CellMap, ref: CellRef): boolean => {
  const { purgeable } = state;
  const stable = (origin: number, seq: number): boolean => seq <= at(purgeable, origin);
  const horizonMs = map.horizonMs;
  // Its one total is on no base that could have seen it, and does not expire: it is a candidate again when that changes.
  if (map.isSole(ref)) return false;
  const held = map.heldAt(ref);
  const base = map.baseAt(ref);
  const baseStable = base !== undefined && stable(map.originAt(ref), map.seqAt(ref));
  const baseDead = base === null || (typeof base === "string" && isExpired(map.expiryAt(ref), horizonMs));
  if (held instanceof CounterCell && (base === undefined || baseStable))
    prune(state, map, ref, held, horizonMs, stable);
  const now = map.heldAt(ref);
  const totalsLeft = now instanceof CounterCell ? now.totals.length : 0;
  if (totalsLeft === 0 && (base === undefined || (baseDead && baseStable))) {
    state.count(base === null ? "purgedTombstones" : "purgedExpired");
    map.remove(ref);
    return true;
  }
  if (baseDead || now instanceof CounterCell) map.keepCandidate(ref);
  return false;
};

/** Drops totals the base had seen whole, and expired ones that are stable. */
const prune = (
  state: ReplicaState,
  map: CellMap,
  ref: CellRef,
  cell: CounterCell,
  horizonMs: number,
  stable: (origin: number, seq: number) => boolean,
): void => {
  const before = cell.totals.length;
  const kept = cell.totals.filter((total) => {
    const seen = cell.base === undefined ? undefined : findObserved(cell.observed, total.origin, total.first);
    const observed = seen !== undefined && seen.seq >= total.seq;
    const expired = isExpired(total.expiresAtMs, horizonMs) && stable(total.origin, total.seq);
    return !observed && !expired;
  });
  if (kept.length === before) return;
  const dropped = cell.totals.filter((total) => !kept.includes(total));
  state.count("pruned", dropped.length);
  map.countTotals(before + cell.observed.length, kept.length + cell.observed.length);
  const observedBefore = cell.observed.length;
  cell.observed = cell.observed.filter(
    (seen) => !dropped.some((total) => total.origin === seen.origin && total.first === seen.first),
  );
  map.countTotals(observedBefore, cell.observed.length);
  cell.totals = kept;
  map.simplify(ref);
  map.refresh(ref);
};
