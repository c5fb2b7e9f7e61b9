/**
 * What a register remembers beside its value, and for how long.
 *
 * - `rounds`: which rounds changed it. A proposer whose accept had no answer looks here whether it took place; before
 *   `forgotten` nobody can say any more.
 * - `ops`: operation ids with their answers, so that a retry by any peer is answered and not done again.
 * - `fences`: the highest token per lock, kept when the value is deleted.
 * - `version`: grows with every set and delete for ever. After a purge it is the floor that keeps it growing.
 *
 * All functions give a new value and leave the old one as it is: rounds, caches and messages share them.
 */
import { keptReplyBytesMax, operationIdsKept, registerRoundsKept } from "../../protocol/limits.ts";
import type { KeptOperation, RegisterReply, RegisterValue } from "../../protocol/register-value.ts";
import { type Ballot, isSame } from "./ballot.ts";
import { invariant } from "./invariant.ts";

export type { Lease, RegisterReply, RegisterValue } from "../../protocol/register-value.ts";

/** A register nobody holds. Whatever it was before is below `floor`: forgotten. */
export const absentRegister = (floor: Ballot): RegisterValue => ({
  bytes: undefined,
  version: 0,
  lease: undefined,
  rounds: [],
  forgotten: floor.counter,
  ops: [],
  fences: [],
});

export const isLive = (value: RegisterValue): boolean => value.bytes !== undefined;

/** The value is gone; what it remembers stays. */
export const deleted = (value: RegisterValue, version: number): RegisterValue => ({
  ...value,
  bytes: undefined,
  lease: undefined,
  version,
});

/** Notes that a round changed the register. */
export const withRound = (value: RegisterValue, ballot: Ballot): RegisterValue => {
  const last = value.rounds.at(-1)?.counter ?? value.forgotten;
  invariant(ballot.counter > last, "the counters of a register's rounds grow");
  const rounds = [...value.rounds, ballot];
  const gone = rounds.length > registerRoundsKept ? rounds.shift() : undefined;
  return { ...value, rounds, forgotten: gone?.counter ?? value.forgotten };
};

/** Did this round change the register? "forgotten": too long ago to say. */
export const tookPlace = (value: RegisterValue, ballot: Ballot): boolean | "forgotten" => {
  if (value.rounds.some((round) => isSame(round, ballot))) return true;
  return ballot.counter <= value.forgotten ? "forgotten" : false;
};

export const keptOperation = (value: RegisterValue, id: string): KeptOperation | undefined =>
  value.ops.find((kept) => kept.id === id);

export const withOperation = (
  value: RegisterValue,
  id: string,
  version: number,
  reply: RegisterReply,
): RegisterValue => {
  const kept: RegisterReply =
    reply.kind === "text" && reply.text.length > keptReplyBytesMax
      ? { kind: "not-kept", bytes: reply.text.length }
      : reply;
  return { ...value, ops: [...value.ops.slice(1 - operationIdsKept), { id, version, reply: kept }] };
};
