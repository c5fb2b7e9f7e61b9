/** Strong keys: a state machine without I/O. Start at registers.ts. */
export { type Ballot, noBallot } from "./ballot.ts";
export type { Answer, Outcome } from "./evaluate.ts";
export { InvariantError } from "./invariant.ts";
export type { Match, Operation, SetOperation } from "./operations.ts";
export type { GivenOperation } from "./proposer.ts";
export { Registers, type RegistersOptions, type RegistersReady } from "./registers.ts";
export type { Holding } from "./traces.ts";
