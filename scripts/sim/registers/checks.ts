/**
 * What must hold at every step, seen from outside the core: in what it writes to disk and in what it sends.
 *
 * - a ballot of a key stands for one value, whoever accepted it;
 * - what an acceptor said that it promised or accepted never goes back, across restarts too;
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

/** What is on one disk, as far as its bounds go, and what was said on its account. */
export class DiskView {
  /** The highest ballot that others were told is promised. */
  readonly #told = new Map<string, Ballot>();
  /** Said in this turn: answers of one turn go out link by link, in another order than they were made in. */
  #telling: (readonly [key: string, ballot: Ballot])[] = [];
  readonly #accepted = new Map<string, Ballot>();
  #floor: Ballot = noBallot;
  #ceiling = 0;

  accepted(key: string): Ballot {
    return this.#accepted.get(key) ?? noBallot;
  }

  /** Accepted and removed since, or never here. */
  isRemoved(key: string, ballot: Ballot): boolean {
    return !this.#accepted.has(key) && !isBelow(this.#floor, ballot);
  }

  covers(ballot: Ballot): boolean {
    return ballot.counter <= this.#ceiling;
  }

  told(key: string): Ballot {
    return this.#told.get(key) ?? noBallot;
  }

  tell(key: string, ballot: Ballot): void {
    this.#telling.push([key, ballot]);
  }

  endTurn(): void {
    for (const [key, ballot] of this.#telling) this.#told.set(key, higher(this.told(key), ballot));
    this.#telling = [];
  }

  /** What was read back must know of every bound that is on this disk. */
  checkRestored(acceptor: Acceptor, name: string): void {
    if (isBelow(acceptor.floor, this.#floor)) throw new Violation(`${name} came back with a lower floor`);
  }

  /** A record reached the disk. */
  note(record: RegisterRecord, name: string): string {
    switch (record.kind) {
      case "ceiling":
        this.#ceiling = Math.max(this.#ceiling, record.counter);
        break;
      case "accept": {
        const { key, accepted } = record;
        if (!isBelow(this.accepted(key), accepted)) {
          throw new Violation(`${name} accepted ${show(accepted)} of ${key} after ${show(this.accepted(key))}`);
        }
        if (isBelow(accepted, this.told(key))) {
          throw new Violation(`${name} accepted ${show(accepted)} of ${key}, having promised ${show(this.told(key))}`);
        }
        this.#accepted.set(key, accepted);
        break;
      }
      case "remove":
        this.#accepted.delete(record.key);
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
    if (answer.kind === "promised" && asked.kind === "prepare") {
      const { ballot } = asked;
      if (!disk.covers(ballot)) throw new Violation(`${name} told of a promise that is not on its disk`);
      if (isBelow(ballot, disk.told(key))) {
        throw new Violation(`${name} promised ${show(ballot)} of ${key}, having promised ${show(disk.told(key))}`);
      }
      disk.tell(key, ballot);
    }
    if (answer.kind === "accepted" && asked.kind === "accept") {
      if (isBelow(disk.accepted(key), asked.ballot) && !disk.isRemoved(key, asked.ballot)) {
        throw new Violation(`${name} told of an accept that is not on its disk`);
      }
      disk.tell(key, higher(asked.ballot, answer.next));
    }
    if (answer.kind !== "promised" && answer.kind !== "state") return;
    if (isBelow(disk.accepted(key), answer.accepted) && !disk.isRemoved(key, answer.accepted)) {
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
