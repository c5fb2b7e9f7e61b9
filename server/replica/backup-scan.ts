/**
 * A consistent cut of the map, taken while it changes: what a backup holds.
 *
 * As a transfer (outgoing.ts): the cells are walked in slices from vv0 on, and every frame applied since the walk began
 * follows from the log. A cell may be newer than vv0, none is newer than the walk's end; the frames between the two, applied
 * by the merge, which takes a write as often as it comes, make of the cells the state at exactly the vector of the end.
 * So it is also a checkpoint with its log (checkpoint.ts), and restored as one.
 *
 * Unlike a transfer it ends: with the frames up to the walk's end, not with those that came while they were read.
 *
 * While it walks nothing is purged (purge.ts), and the log is not trimmed behind its beginning, as far as the retention allows.
 *
 * What changes cells and is in no frame (an installed transfer, a repair) would be in some of the cells only. A walk that
 * met one is void.
 */
import type { WireDigest, WireVector } from "../../protocol/link-messages.ts";
import type { Lsn, OriginId, Stamp } from "../../protocol/words.ts";
import { CellBundleWriter } from "./cell-bundle.ts";
import type { Conflict } from "./conflicts.ts";
import { invariant } from "./invariant.ts";
import type { ReplicaState } from "./state.ts";
import { at } from "./version-vector.ts";

/** Before the cells. */
export interface CutStart {
  /** What the cells show at least. */
  readonly vv0: WireVector;
  /** Folded context per origin, as of vv0: what the first frame's context is a delta to. */
  readonly contexts: readonly (readonly [OriginId, WireVector])[];
  /** About how many cells come. */
  readonly cells: number;
}

/** Behind cells and frames: what they add up to. */
export interface Cut {
  readonly vv: WireVector;
  readonly floor: WireVector;
  readonly horizonMs: number;
  /** No stamp of the cut is above it. */
  readonly ceiling: Stamp;
  readonly keys: number;
  readonly digest: WireDigest | undefined;
}

/** Slots looked at in a slice, whatever they hold. */
const slotsPerSlice = 4096;

export class BackupScan {
  readonly start: CutStart;
  /** The next record of the log that is needed. The reader of the log moves it on. */
  logCursor: Lsn;
  /** Set by the last slice: the cut, the record behind the last one that belongs to it, and the journal as of then. */
  end: { readonly cut: Cut; readonly lsn: Lsn; readonly conflicts: readonly Conflict[] } | undefined;
  readonly #state: ReplicaState;
  /** Empty between slices. */
  readonly #bundle: CellBundleWriter;
  readonly #leaps: number;
  #position = 0;

  constructor(state: ReplicaState) {
    state.seal();
    this.#state = state;
    this.#bundle = new CellBundleWriter(state.origins);
    this.#leaps = state.leaps;
    this.logCursor = state.nextLsn;
    const contexts: [OriginId, WireVector][] = [];
    for (let origin = 0; origin < state.contexts.length; origin++) {
      if (at(state.vv, origin) > 0) contexts.push([state.origins.id(origin), state.wire(state.contextOf(origin))]);
    }
    this.start = { vv0: state.wire(state.vv), contexts, cells: state.map.cellCount };
  }

  /** Cells were changed past the log: what was handed out is no cut. */
  get isVoid(): boolean {
    return this.end === undefined && this.#state.leaps !== this.#leaps;
  }

  /** The next cells, about `bytesMax` bytes of them, perhaps none. Sets `end` with the last. */
  slice(bytesMax: number): { readonly bytes: Buffer; readonly count: number } {
    invariant(this.end === undefined && !this.isVoid, "a scan goes on only while it is sound and not at its end");
    const state = this.#state;
    const { map } = state;
    state.seal();
    const bundle = this.#bundle;
    this.#position = map.walk(this.#position, slotsPerSlice, (ref) => {
      bundle.addAt(map, ref);
      return bundle.byteLength >= bytesMax;
    });
    if (this.#position < 0) this.end = { cut: this.#cut(), lsn: state.nextLsn, conflicts: state.journal.list() };
    const { count } = bundle;
    return { bytes: bundle.take(), count };
  }

  #cut(): Cut {
    const state = this.#state;
    const { map } = state;
    return {
      vv: state.wire(state.vv),
      floor: state.wire(state.floor),
      horizonMs: Math.max(0, map.horizonMs),
      ceiling: Math.max(state.clock.ceiling, state.ceilingInLog),
      keys: map.liveCount,
      digest: map.horizonSettled
        ? { horizonMs: Math.max(0, map.horizonMs), first: map.digest.root1, second: map.digest.root2 }
        : undefined,
    };
  }
}
