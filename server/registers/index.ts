/** Strong keys: a state machine without I/O. Start at registers.ts. */
export type { Outcome } from "./evaluate.ts";
export { InvariantError } from "./invariant.ts";
export type { Operation } from "./operations.ts";
export { Registers, type RegistersOptions, type RegistersReady } from "./registers.ts";
