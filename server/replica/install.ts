/**
 * Installing a staged transfer: merge, never overwrite, in one step.
 *
 * The staged cells and frames already lie in the log as they came; the end record makes them count, so recovery repeats
 * the same install at the same place. The covered-dot rule is applied to the keys sent, and to all keys in a full
 * transfer. Afterwards nothing before this point of the log can be streamed: the log has a gap here.
 */
import { DecodeFault } from "../../protocol/bytes.ts";
import type { LinkMessage } from "../../protocol/link-messages.ts";
import type { CellRef } from "./cell-map.ts";
import { applyFrame, dropCovered, mergeTransferredCell } from "./merge.ts";
import type { Staging } from "./staging.ts";
import type { ReplicaState } from "./state.ts";
import { at, covers, isZero, join, type ReadonlyVersionVector, setAt } from "./version-vector.ts";

/**
 * `recordEnd` writes the end record: called after the transfer was found sound and before anything changes. Throws
 * DecodeFault, with nothing changed, when the transfer does not hold together.
 */
export const install = (
  state: ReplicaState,
  staging: Staging,
  end: LinkMessage & { kind: "transfer-end" },
  recordEnd: () => void,
): { cells: number; dropped: number } => {
  const mine = [...state.vv];
  const vvEnd = state.vector(end.vvEnd);
  checkFrames(state, staging, join(mine, staging.vv0), vvEnd);
  recordEnd();
  const cells = staging.cellCount;
  let dropped = 0;
  if (isZero(mine) && state.map.cellCount === 0 && state.map.droppedCount === 0) {
    // Nothing here to merge with, nothing on disk that could come back: what was staged is the map.
    state.map = staging.map;
    state.count("installsWhole");
  } else {
    dropped = mergeStaged(state, staging, mine);
  }
  state.count("droppedByDot", dropped);
  // Of the frames too: a later write here must beat them all.
  if (staging.stampMax <= state.clock.ceiling) state.clock.hear(staging.stampMax);
  for (const [origin, context] of staging.contexts) {
    state.contextOf(origin);
    if (at(staging.vv0, origin) > at(mine, origin)) state.contexts[origin] = [...context];
  }
  state.vv = join(mine, staging.vv0);
  for (const frame of staging.frames) {
    const origin = state.origins.number(frame.origin);
    if (at(state.vv, origin) >= frame.last) continue;
    const context = state.contextOf(origin);
    for (const [other, seq] of frame.contextDelta) setAt(context, state.origins.number(other), seq);
    applyFrame(state, frame, origin, context);
    setAt(state.vv, origin, frame.last);
    state.count("scanFrames");
  }
  state.floor = join(state.floor, state.vector(end.floor));
  state.purgeable = [];
  state.map.advanceHorizon(end.horizonMs);
  state.logIndex.reset(state.nextLsn, state.vv);
  state.leaps++;
  state.count("installs");
  return { cells, dropped };
};

/** How many parts of cells went by the covered-dot rule. */
const mergeStaged = (state: ReplicaState, staging: Staging, mine: ReadonlyVersionVector): number => {
  const { map } = state;
  let dropped = 0;
  if (staging.full) {
    const refs: CellRef[] = [];
    map.walk(0, Number.POSITIVE_INFINITY, (ref) => {
      refs.push(ref);
      return false;
    });
    for (const ref of refs) dropped += dropCovered(state, ref, staging.cell(map.keyAt(ref)), staging.vv0);
  }
  staging.forEachCell((key, theirs) => {
    if (!staging.full) {
      const ref = map.locate(key);
      if (ref >= 0) dropped += dropCovered(state, ref, theirs, staging.vv0);
    }
    mergeTransferredCell(state, key, theirs, mine, staging.vv0);
  });
  return dropped;
};

/** Walks the frames over a copy of the vector: contiguous, causally ordered, and ending where the sender said. */
const checkFrames = (state: ReplicaState, staging: Staging, start: number[], vvEnd: readonly number[]): void => {
  const vv = [...start];
  for (const frame of staging.frames) {
    const origin = state.origins.number(frame.origin);
    if (at(vv, origin) >= frame.last) continue;
    if (at(vv, origin) !== frame.first - 1) throw new DecodeFault("transfer frames have a gap");
    for (const [other, seq] of frame.contextDelta) {
      if (at(vv, state.origins.number(other)) < seq) throw new DecodeFault("transfer frames out of causal order");
    }
    setAt(vv, origin, frame.last);
  }
  if (!covers(vv, vvEnd)) throw new DecodeFault("transfer ended short");
};
