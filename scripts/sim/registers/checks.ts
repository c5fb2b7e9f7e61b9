/**
 * What must hold at every step, seen from outside the core: in what it writes to disk and in what it sends.
 *
 * - a ballot of a key stands for one value, whoever accepted it;
 * - what an acceptor promised or accepted never goes back, across restarts too;
 * - no answer speaks of what is not on its disk.
 */
import { type Ballot, noBallot } from "../../../protocol/ballots.ts";
import {
  decodeRegisterMessages,
  isRequest,
  isStanding,
  type RegisterRecord,
  type RegisterRequest,
  type RegisterResponse,
} from "../../../protocol/register-messages.ts";
import type { Acceptor } from "../../../server/registers/acceptor.ts";

/** A rule was broken: the core's fault. */
export class Violation extends Error {
  constructor(what: string) {
    super(what);
    this.name = "Violation";
  }
}

/** Written here on purpose, and not taken from the core: the two must agree. */
const order = (a: Ballot, b: Ballot): number =>
  a.counter - b.counter || (a.origin < b.origin ? -1 : +(a.origin > b.origin));
const isBelow = (a: Ballot, b: Ballot): boolean => (order(a.epoch ?? noBallot, b.epoch ?? noBallot) || order(a, b)) < 0;
const higher = (a: Ballot, b: Ballot): Ballot => (isBelow(a, b) ? b : a);
const show = ({ counter, origin }: Ballot): string => `${counter}@${origin.slice(0, 1)}${origin.slice(-1)}`;

/** What is on one disk, as far as its bounds go. */
export class DiskView {
  readonly #promises = new Map<string, Ballot>();
  readonly #accepted = new Map<string, Ballot>();
  #floor: Ballot = noBallot;

  promise(key: string): Ballot {
    return this.#promises.get(key) ?? this.#floor;
  }

  accepted(key: string): Ballot {
    return this.#accepted.get(key) ?? noBallot;
  }

  /** What was read back must know of every bound that is on this disk. */
  checkRestored(acceptor: Acceptor, name: string): void {
    if (isBelow(acceptor.floor, this.#floor)) throw new Violation(`${name} came back with a lower floor`);
  }

  /** A record reached the disk. */
  note(record: RegisterRecord, name: string): string {
    switch (record.kind) {
      case "promise":
      case "accept": {
        const { key, promise } = record;
        if (isBelow(promise, this.promise(key))) {
          throw new Violation(`${name} promised ${show(promise)} of ${key} after ${show(this.promise(key))}`);
        }
        this.#promises.set(key, promise);
        if (record.kind === "accept") {
          if (!isBelow(this.accepted(key), record.accepted)) {
            throw new Violation(
              `${name} accepted ${show(record.accepted)} of ${key} after ${show(this.accepted(key))}`,
            );
          }
          this.#accepted.set(key, record.accepted);
        }
        break;
      }
      case "remove":
        this.#promises.delete(record.key);
        this.#accepted.delete(record.key);
        this.#floor = higher(this.#floor, record.floor);
        break;
      case "floor":
        for (const key of [...this.#promises.keys()]) if (!this.#accepted.has(key)) this.#promises.delete(key);
        this.#floor = higher(this.#floor, record.floor);
        break;
      case "admission":
        this.#floor = higher(this.#floor, record.floor);
        break;
      case "epoch":
        break;
    }
    return record.kind;
  }
}

export class Checks {
  readonly #values = new Map<string, string>();
  readonly #asked = new Map<string, RegisterRequest>();

  /** A record is handed out to be appended. */
  onAppend(record: RegisterRecord): void {
    if (record.kind === "accept") this.#oneValue(record.key, record.accepted, record.value);
  }

  onSend(bytes: Uint8Array, disk: DiskView, name: string): void {
    for (const message of decodeRegisterMessages(bytes)) {
      if (isRequest(message)) {
        this.#asked.set(`${message.asker} ${message.round}`, message);
        if (message.kind === "accept") this.#oneValue(message.key, message.ballot, message.value);
      } else if (!isStanding(message)) this.#onAnswer(message, disk, name);
    }
  }

  #onAnswer(answer: RegisterResponse, disk: DiskView, name: string): void {
    const asked = this.#asked.get(`${answer.asker} ${answer.round}`);
    if (asked === undefined || !("key" in asked)) return;
    const { key } = asked;
    if (answer.kind === "promised" && asked.kind === "prepare" && isBelow(disk.promise(key), asked.ballot)) {
      throw new Violation(`${name} told of a promise that is not on its disk`);
    }
    if (answer.kind === "accepted" && asked.kind === "accept") {
      const removed = !isBelow(disk.promise(key), asked.ballot);
      if (isBelow(disk.accepted(key), asked.ballot) && !removed) {
        throw new Violation(`${name} told of an accept that is not on its disk`);
      }
    }
    if (answer.kind !== "promised" && answer.kind !== "state") return;
    if (isBelow(higher(disk.accepted(key), disk.promise(key)), answer.accepted)) {
      throw new Violation(`${name} told of a value that is not on its disk`);
    }
  }

  #oneValue(key: string, ballot: Ballot, value: string): void {
    const name = `${key} ${ballot.counter} ${ballot.origin} ${ballot.epoch?.counter} ${ballot.epoch?.origin}`;
    const known = this.#values.get(name);
    if (known !== undefined && known !== value) throw new Violation(`ballot ${show(ballot)} of ${key} has two values`);
    this.#values.set(name, value);
  }
}
