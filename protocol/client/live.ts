/** Live views of a peer: its status every second, and its journal of conflicts. */
import type { ClientRequest, WireConflict } from "../client-messages.ts";
import { clientConflictsKnownMax } from "../limits.ts";
import { parseStatus, type StatusReport } from "../status.ts";
import type { Pushed } from "./connection.ts";
import { ChorusError } from "./errors.ts";
import { Feed, type Hold } from "./feed.ts";
import type { Session } from "./session.ts";
import { type As, fromWire, type Given, wireBytes } from "./values.ts";

/** The newest status only: who is slow wants to know how it is, not how it was. */
export class StatusFeed extends Feed<StatusReport> {
  #newest: unknown;

  constructor(session: Session, signal: AbortSignal | undefined) {
    super(session, signal);
  }

  readonly position = "";

  request(id: number): ClientRequest {
    return { type: "status", id };
  }

  protected readonly hold: Hold<StatusReport> = {
    bytes: 0,
    take: () => {
      if (this.#newest === undefined) return undefined;
      const parsed = parseStatus(this.#newest);
      this.#newest = undefined;
      if (parsed.ok) return parsed.status;
      throw new ChorusError("PROTOCOL", parsed.why, "not-applied");
    },
  };

  protected take(message: Pushed): void {
    if (message.type === "status") this.#newest = message.status;
  }
}

/** One of two writes of a key that did not know of each other. */
export interface ConflictSide<A extends As = "text"> {
  /** null: it was a delete. */
  readonly value: Given<A> | null;
  readonly origin: string;
  readonly dot: string;
  /** Of the write, Unix ms. */
  readonly at: number;
}

export interface Conflict<A extends As = "text"> {
  /** The same at every peer; what `restore` takes. */
  readonly id: string;
  readonly key: Given<A>;
  /** When the peer noticed, Unix ms. */
  readonly at: number;
  readonly winner: ConflictSide<A>;
  readonly loser: ConflictSide<A>;
  readonly why: string;
  /** The loser was written back. */
  readonly restored: boolean;
}

const conflictOverheadBytes = 1000;

/** Each conflict once, and once more when it is restored; the journal's first, then each as it comes. */
export class ConflictFeed<A extends As> extends Feed<Conflict<A>> {
  readonly #as: A;
  #held: WireConflict[] = [];
  #bytes = 0;
  /** Handed over or held, those last seen at the end: a peer sends its whole journal anew, and nothing is told twice. */
  readonly #known = new Set<string>();

  constructor(session: Session, as: A, signal: AbortSignal | undefined) {
    super(session, signal);
    this.#as = as;
  }

  readonly position = "";

  request(id: number): ClientRequest | undefined {
    return this.isPaused ? undefined : { type: "conflicts", id };
  }

  protected readonly hold: Hold<Conflict<A>> = (() => {
    const feed = this;
    return {
      take: () => {
        const wire = feed.#held.shift();
        if (wire === undefined) return undefined;
        feed.#bytes -= conflictBytes(wire);
        return decodeConflict(wire, feed.#as);
      },
      get bytes() {
        return feed.#bytes;
      },
    };
  })();

  protected take(message: Pushed): void {
    if (message.type !== "conflicts") return;
    for (const conflict of message.conflicts) {
      const name = `${conflict.id} ${conflict.restored}`;
      // Moved to the end, if it was there.
      const isKnown = this.#known.delete(name);
      this.#known.add(name);
      if (isKnown) continue;
      this.#held.push(conflict);
      this.#bytes += conflictBytes(conflict);
    }
    for (const oldest of this.#known) {
      if (this.#known.size <= clientConflictsKnownMax) break;
      this.#known.delete(oldest);
    }
  }
}

const conflictBytes = ({ key, winner, loser }: WireConflict): number =>
  conflictOverheadBytes + wireBytes(key) + wireBytes(winner.value ?? "") + wireBytes(loser.value ?? "");

export const decodeConflict = <A extends As>(wire: WireConflict, as: A): Conflict<A> => {
  const side = ({ value, origin, dot, stampMs }: WireConflict["winner"]): ConflictSide<A> => ({
    value: value === null ? null : fromWire(value, as),
    origin,
    dot,
    at: stampMs,
  });
  const { id, key, atMs, winner, loser, why, restored } = wire;
  return { id, key: fromWire(key, as), at: atMs, winner: side(winner), loser: side(loser), why, restored };
};
