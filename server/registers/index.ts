/** Strong keys: a state machine without I/O. Start at registers.ts. */
export type { Ballot } from "./ballot.ts";
export type { Outcome } from "./evaluate.ts";
export type { Match, Operation, SetOperation } from "./operations.ts";
export type { GivenOperation } from "./proposer.ts";
export { Registers } from "./registers.ts";
export type { Holding } from "./traces.ts";
