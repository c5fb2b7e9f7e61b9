/** The replicated map: a state machine without I/O. Start at replica.ts. */
export type { Cell } from "./cell.ts";
export { cellPrefix, checkpointVersion, conflictPrefix, metaKey, originPrefix } from "./checkpoint.ts";
export { type ClockVerdict, judgeClock } from "./clock-skew.ts";
export type { Conflict } from "./conflicts.ts";
export { CounterCell, isExpired } from "./counter.ts";
export { digestText } from "./digest.ts";
export { stampToMs } from "./hybrid-clock.ts";
export { InvariantError } from "./invariant.ts";
export type { LinkState } from "./link-state.ts";
export { type Entry, type Ready, Replica, type ReplicaEvent, type ReplicaOptions } from "./replica.ts";
export { recordType } from "./state.ts";
export { at, covers, equal, isZero, opsAhead, readVersionVector } from "./version-vector.ts";
