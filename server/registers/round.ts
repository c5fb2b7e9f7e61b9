/**
 * One round of one key: a request to all acceptors, and the answers counted.
 *
 * Answers are counted per round and acceptor: a late or repeated one must not make two promises of one, which decides two
 * values (luohaha/MyPaxos #18).
 */
import type { RegisterResponse } from "../../protocol/register-messages.ts";
import { decodeRegisterValue } from "../../protocol/register-value.ts";
import type { PeerName } from "../../protocol/words.ts";
import { type Ballot, highestBallot, isAbove, isSame, noBallot } from "./ballot.ts";
import type { Evaluation } from "./evaluate.ts";
import { invariant } from "./invariant.ts";
import { absentRegister, type RegisterValue } from "./register-value.ts";

/** A dead register that is to be purged: only if it still is the very one. */
export interface SweepJob {
  readonly version: number;
}

export type HeldResponse = Extract<RegisterResponse, { kind: "promised" | "state" }>;

const isHeld = (answer: RegisterResponse): answer is HeldResponse =>
  answer.kind === "promised" || answer.kind === "state";

/** What this peer's own acceptor holds. */
export interface Known {
  readonly accepted: Ballot;
  readonly value: string;
}

export class Round {
  readonly number: number;
  readonly phase: "query" | "prepare" | "accept";
  readonly ballot: Ballot;
  readonly epoch: Ballot;
  readonly startedMs: number;
  readonly sweep: SweepJob | undefined;
  /** Operations up to this arrival waited when the round began. */
  readonly joined: number;
  deadlineMs: number;
  /** Who answered, and what: as many as there are peers at most, so lists are faster than a map. */
  readonly #answerers: PeerName[] = [];
  readonly #answers: RegisterResponse[] = [];
  refused = 0;
  /** What this peer's own acceptor held when the round began: answers that name the same leave the value out. */
  readonly known: Ballot;
  readonly #knownValue: string;
  /** What an accept is for. */
  readonly evaluation: Evaluation | undefined;
  readonly next: Ballot;

  constructor(
    number: number,
    phase: Round["phase"],
    given: {
      readonly ballot: Ballot;
      readonly epoch: Ballot;
      readonly startedMs: number;
      readonly deadlineMs: number;
      readonly joined: number;
      readonly sweep: SweepJob | undefined;
      readonly evaluation: Evaluation | undefined;
      readonly next: Ballot;
      readonly known: Known | undefined;
    },
  ) {
    this.number = number;
    this.phase = phase;
    this.ballot = given.ballot;
    this.epoch = given.epoch;
    this.startedMs = given.startedMs;
    this.deadlineMs = given.deadlineMs;
    this.joined = given.joined;
    this.sweep = given.sweep;
    this.evaluation = given.evaluation;
    this.next = given.next;
    // Taken now: what the acceptor holds goes on changing.
    this.known = given.known?.accepted ?? noBallot;
    this.#knownValue = given.known?.value ?? "";
  }

  /** False when that acceptor has answered this round before, or says that it holds what this peer does not know. */
  count(from: PeerName, response: RegisterResponse): boolean {
    if (this.#answerers.includes(from)) return false;
    if (isHeld(response) && response.value === undefined && !isSame(response.accepted, this.known)) return false;
    this.#answerers.push(from);
    this.#answers.push(response);
    if (response.kind === "refused") this.refused++;
    return true;
  }

  get answered(): number {
    return this.#answers.length;
  }

  get agreedTo(): number {
    return this.#answers.length - this.refused;
  }

  /** The highest accepted value of those that answered. */
  highest(): HeldResponse {
    let highest: HeldResponse | undefined;
    for (const answer of this.#answers) {
      if (!isHeld(answer)) continue;
      if (highest === undefined || isAbove(answer.accepted, highest.accepted)) highest = answer;
    }
    invariant(highest !== undefined, "a quorum told what it holds");
    return highest;
  }

  /**
   * What `quorum` acceptors hold at one and the same ballot: it is chosen, and nothing later was chosen before they were
   * asked, since any later quorum meets this one in an acceptor that would have said so. Where they hold nothing, their
   * floors need not be equal: who removed a key knew it dead at all peers.
   */
  agreed(quorum: number): HeldResponse | undefined {
    for (const one of this.#answers) {
      if (!isHeld(one)) continue;
      let count = 0;
      for (const other of this.#answers) if (isHeld(other) && isSame(other.accepted, one.accepted)) count++;
      if (count >= quorum) return one;
    }
    return undefined;
  }

  /** The register that an answer tells of. */
  read(answer: HeldResponse): RegisterValue {
    return answer.accepted.counter === 0 ? absentRegister(this.#floor()) : decodeRegisterValue(this.textOf(answer));
  }

  textOf({ value }: HeldResponse): string {
    return value ?? this.#knownValue;
  }

  #floor(): Ballot {
    let floor = noBallot;
    for (const answer of this.#answers) if (isHeld(answer)) floor = highestBallot(floor, answer.floor);
    return floor;
  }

  /**
   * Versions grow only if this round's counter is above every counter it was told of; to be above by the origin alone is
   * not enough.
   */
  get isAboveByCounter(): boolean {
    const { counter } = this.ballot;
    for (const answer of this.#answers)
      if (isHeld(answer) && (answer.accepted.counter >= counter || answer.floor.counter >= counter)) return false;
    return true;
  }

  /** How many acceptors promised the next round's ballot with their accept. */
  echoes(): number {
    let count = 0;
    for (const answer of this.#answers) if (answer.kind === "accepted" && isSame(answer.next, this.next)) count++;
    return count;
  }
}
