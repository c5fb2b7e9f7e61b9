/**
 * What one attempt would make of a register: the waiting operations, applied in order to the value the quorum reported.
 *
 * Done afresh on every attempt. An operation whose earlier accept went unanswered is not simply done again: the register
 * says which rounds changed it, so the attempt either took place (its answer is known), or certainly did not, or nobody can
 * say any more. That is what makes a retry safe for operations that must not happen twice.
 */
import type { Ballot } from "./ballot.ts";
import { versionOf } from "./ballot.ts";
import type { LeaseWatch } from "./leases.ts";
import { applyOperation, type Circumstances, isRead, type Operation } from "./operations.ts";
import {
  deleted,
  keptOperation,
  type Lease,
  type RegisterReply,
  type RegisterValue,
  tookPlace,
  withOperation,
  withRound,
} from "./register-value.ts";

export interface Answer {
  readonly reply: RegisterReply;
  /** Of the register after the operation. */
  readonly version: number;
  /** Of its lease then, as this peer sees it; 0: it has none. */
  readonly leftMs: number;
}

/** A round that tried to make this operation happen, and went unanswered; what it would have answered. */
interface Attempt {
  readonly ballot: Ballot;
  readonly answer: Answer;
}

export interface WaitingOperation {
  /** The caller's name for it. */
  readonly id: number;
  readonly operation: Operation;
  /** The client's name for it; a retry has the same. */
  readonly operationId: string | undefined;
  readonly deadlineMs: number;
  readonly bytes: number;
  /** Orders arrivals of one proposer. */
  readonly arrival: number;
  readonly attempts: Attempt[];
  readonly onAnswer: ((outcome: Outcome) => void) | undefined;
  answered: boolean;
}

export type Outcome =
  | ({ readonly kind: "done" } & Answer)
  /** It certainly did not happen. */
  | { readonly kind: "no-quorum" }
  /** It may have happened, or may still. */
  | { readonly kind: "unknown" }
  /** Too many wait; it certainly did not happen. */
  | { readonly kind: "busy" };

export interface Evaluation {
  readonly value: RegisterValue;
  readonly changed: boolean;
  readonly operations: readonly WaitingOperation[];
  /** One per operation. */
  readonly answers: readonly (Answer | "unknown")[];
  /** Whether the operation itself changed the register, in this attempt. */
  readonly effective: readonly boolean[];
  readonly endedLease: boolean;
  /** How many turned out to have taken place in an earlier attempt. */
  readonly alreadyHappened: number;
}

export const isOnlyRead = (waiting: WaitingOperation): boolean =>
  isRead(waiting.operation) && waiting.operationId === undefined;

export interface Place {
  readonly key: string;
  readonly ballot: Ballot;
  readonly leases: LeaseWatch;
  readonly nowMs: number;
}

export const evaluate = (held: RegisterValue, operations: readonly WaitingOperation[], place: Place): Evaluation => {
  const { key, ballot, leases, nowMs } = place;
  let value = held;
  // Ended here, in a round like any other write, so that no peer can see the lease running after it was seen over.
  const endedLease = value.lease !== undefined && leases.isOver(key, value.lease, nowMs);
  if (endedLease) value = deleted(value, versionOf(ballot, 0));
  let alreadyHappened = 0;
  const leaseLeftMs = (lease: Lease): number => leases.leftMs(key, lease, nowMs);
  const answers: (Answer | "unknown")[] = [];
  const effective: boolean[] = [];
  for (let index = 0; index < operations.length; index++) {
    const waiting = operations[index] as WaitingOperation;
    const before = value;
    const known = earlierAnswer(held, waiting);
    if (known !== undefined) {
      answers.push(known);
      if (known !== "unknown") alreadyHappened++;
    } else {
      const at: Circumstances = {
        version: versionOf(ballot, index + 1),
        leaseLeftMs,
      };
      const result = applyOnce(value, waiting, at);
      value = result.value;
      const leftMs = value.lease === undefined ? 0 : leaseLeftMs(value.lease);
      answers.push({ reply: result.reply, version: result.version ?? value.version, leftMs });
    }
    effective.push(value !== before);
  }
  const changed = value !== held;
  const next = changed ? withRound(value, ballot) : held;
  return { value: next, changed, operations, answers, effective, endedLease, alreadyHappened };
};

const applyOnce = (
  value: RegisterValue,
  { operation, operationId }: WaitingOperation,
  at: Circumstances,
): { readonly value: RegisterValue; readonly reply: RegisterReply; readonly version?: number } => {
  if (operationId === undefined) return applyOperation(value, operation, at);
  const kept = keptOperation(value, operationId);
  if (kept !== undefined) return { value, reply: kept.reply, version: kept.version };
  const result = applyOperation(value, operation, at);
  // Also when it did nothing: what was answered "no" must not be done by a twin of it that is still under way.
  const { reply } = result;
  return { value: withOperation(result.value, operationId, result.value.version, reply), reply };
};

/** What is known of the operation's earlier attempts; undefined: none of them took place. */
const earlierAnswer = (held: RegisterValue, waiting: WaitingOperation): Answer | "unknown" | undefined => {
  let forgotten = false;
  for (const attempt of waiting.attempts) {
    const found = tookPlace(held, attempt.ballot);
    if (found === true) return attempt.answer;
    forgotten ||= found === "forgotten";
  }
  return forgotten ? "unknown" : undefined;
};
