/**
 * A watch: every change of some keys, each once, over reconnects and failovers.
 *
 * It goes on from a token, the position behind what it has received. A peer hands out whole batches with the token behind
 * the last change; the token behind one in the middle is the position before the batch joined with the dots up to that
 * change, and is made when somebody asks for it.
 */
import type { ClientRequest, WireChange } from "../client-messages.ts";
import type { WireText } from "../wire-text.ts";
import type { Pushed } from "./connection.ts";
import { Feed, type Hold } from "./feed.ts";
import { joinPositions, type Session } from "./session.ts";
import { type As, fromWire, type Given, wireBytes } from "./values.ts";

/** One write that showed at the peer, or an expiry its clock reached. */
export interface Change<A extends As = "text"> {
  readonly type: "set" | "delete" | "increment" | "expired";
  readonly key: Given<A>;
  /** `set`: what was written. `increment`: the counter as the peer shows it. Else, and with `values: false`, undefined. */
  readonly value: Given<A> | undefined;
  /** Unix ms; undefined when the key does not expire. */
  readonly expiresAtMs: number | undefined;
  /** `name.incarnation` of the peer that took the write; with `seq` the write's dot. Of `expired`: what expired. */
  readonly origin: string;
  readonly seq: number;
  /** Hybrid logical clock: of two writes of a key the greater stands. */
  readonly stamp: number;
  /** The stamp's time, Unix ms. */
  readonly at: number;
  /** Go on behind this change with `watch(..., { token })`, at any peer, also days later. Not enumerable: read it. */
  readonly token: string;
}

/**
 * The peer's log no longer reaches back to the token, or it got its data as a whole: changes were missed, nobody knows
 * which. Read what you need anew, now, then go on: what follows comes behind `token`.
 */
export interface Reset {
  readonly type: "reset";
  readonly token: string;
  readonly why: string;
}

/** With `perSecondMax`: so many changes were left out before the next one. */
export interface Left {
  readonly type: "left";
  readonly count: number;
  readonly token: string;
}

export interface WatchTarget {
  readonly prefix?: WireText;
  readonly key?: WireText;
}

export interface WatchRequestOptions<A extends As> {
  readonly target: WatchTarget;
  readonly as: A;
  readonly token: string | undefined;
  readonly values: boolean;
  readonly perSecondMax: number | undefined;
  readonly signal: AbortSignal | undefined;
}

/** What of a change does not show in its key and value: object, numbers, origin. */
const changeOverheadBytes = 250;

interface Batch {
  /** Before its first change. */
  readonly before: string;
  readonly changes: readonly WireChange[];
  /** Behind its last change. */
  readonly token: string;
  readonly left: number;
}

class DecodedChange<A extends As> implements Change<A> {
  readonly type: Change["type"];
  readonly key: Given<A>;
  readonly value: Given<A> | undefined;
  readonly expiresAtMs: number | undefined;
  readonly origin: string;
  readonly seq: number;
  readonly stamp: number;
  readonly at: number;
  readonly #batch: Batch;
  readonly #index: number;

  constructor(batch: Batch, index: number, wire: WireChange, as: A) {
    this.type = wire.type;
    this.key = fromWire(wire.key, as);
    this.value = wire.value === undefined ? undefined : fromWire(wire.value, as);
    this.expiresAtMs = wire.expiresAtMs;
    this.origin = wire.origin;
    this.seq = wire.seq;
    this.stamp = wire.stamp;
    this.at = wire.stampMs;
    this.#batch = batch;
    this.#index = index;
  }

  get token(): string {
    const { before, changes, token } = this.#batch;
    if (this.#index === changes.length - 1) return token;
    const dots = changes.slice(0, this.#index + 1).filter(({ type }) => type !== "expired");
    return joinPositions([before, ...dots.map(({ origin, seq }) => `${origin}:${seq}`)]);
  }
}

export type WatchItem<A extends As> = Change<A> | Reset | Left;

export class Watch<A extends As> extends Feed<WatchItem<A>> {
  readonly #options: WatchRequestOptions<A>;
  readonly #held: (Batch | Reset)[] = [];
  /** Of the first batch held: changes taken from it, and whether its `left` was told. */
  #taken = 0;
  #leftTold = false;
  #bytes = 0;
  /** Behind all that was received. Undefined: it has not begun. */
  #token: string | undefined;

  constructor(session: Session, options: WatchRequestOptions<A>) {
    super(session, options.signal);
    this.#options = options;
  }

  get position(): string {
    return this.#token ?? "";
  }

  request(id: number): ClientRequest | undefined {
    if (this.isPaused) return undefined;
    const { target, values, perSecondMax } = this.#options;
    const token = this.#token ?? this.#options.token;
    return {
      type: "watch",
      id,
      ...target,
      ...(token === undefined ? {} : { token }),
      ...(values ? {} : { values }),
      ...(perSecondMax === undefined ? {} : { perSecondMax }),
    };
  }

  protected readonly hold: Hold<WatchItem<A>> = (() => {
    const watch = this;
    return {
      take: () => watch.#takeItem(),
      get bytes() {
        return watch.#bytes;
      },
    };
  })();

  protected take(message: Pushed): void {
    if (message.type === "watching") this.#token = message.token;
    else if (message.type === "reset") {
      this.#token = message.token;
      this.#held.push({ type: "reset", token: message.token, why: message.why });
      this.#bytes += changeOverheadBytes + message.token.length;
    } else if (message.type === "changes") {
      const { changes, token, left = 0 } = message;
      const before = this.#token ?? "";
      this.#token = token;
      if (changes.length === 0 && left === 0) return;
      this.#held.push({ before, changes, token, left });
      this.#bytes += token.length;
      for (const change of changes) this.#bytes += changeBytes(change);
    }
  }

  #takeItem(): WatchItem<A> | undefined {
    for (;;) {
      const [first] = this.#held;
      if (first === undefined) return undefined;
      if ("type" in first) {
        this.#held.shift();
        this.#bytes -= changeOverheadBytes + first.token.length;
        return first;
      }
      if (first.left > 0 && !this.#leftTold) {
        this.#leftTold = true;
        return { type: "left", count: first.left, token: first.before };
      }
      const index = this.#taken++;
      const wire = first.changes[index];
      if (wire !== undefined) {
        this.#bytes -= changeBytes(wire);
        return new DecodedChange(first, index, wire, this.#options.as);
      }
      this.#held.shift();
      this.#bytes -= first.token.length;
      this.#taken = 0;
      this.#leftTold = false;
    }
  }
}

const changeBytes = ({ key, value }: WireChange): number =>
  changeOverheadBytes + wireBytes(key) + (value === undefined ? 0 : wireBytes(value));
