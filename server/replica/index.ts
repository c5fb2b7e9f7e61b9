/** The replicated map: a state machine without I/O. Start at replica.ts. */
export type { BackupScan, Cut, CutStart } from "./backup-scan.ts";
export { cellPrefix } from "./cell-blocks.ts";
export { horizonStepMs } from "./cell-map.ts";
export { conflictPrefix, metaKey, originPrefix } from "./checkpoint.ts";
export { judgeClock } from "./clock-skew.ts";
export { type Conflict, encodeConflict } from "./conflicts.ts";
export { CounterCell, isExpired } from "./counter.ts";
export { stampToMs } from "./hybrid-clock.ts";
export { InvariantError } from "./invariant.ts";
export type { LinkState } from "./link-state.ts";
export { type Ready, Replica, type ReplicaEvent } from "./replica.ts";
export { RestoredCheckpoint } from "./restored-checkpoint.ts";
export { recordType } from "./state.ts";
export { at, covers, opsAhead, readVersionVector, setAt } from "./version-vector.ts";
