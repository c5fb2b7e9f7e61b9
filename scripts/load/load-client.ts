/**
 * One client: its own schedule, its own connection.
 *
 * Its k-th op is due at `start + (k * clients + its number) / rate`, whatever became of the earlier ones: how far it is
 * behind is a number, not a queue. What could not even be sent within the timeout fails, as its user would have gone.
 * Without a rate the next op is due when there is room.
 */
import { Random } from "../sim/random.ts";
import type { Driver, DriverEvents } from "./driver.ts";
import type { KeySpace } from "./keys.ts";
import { drawKind, isWrite, type Mix, type Op, type OpEnd } from "./operation.ts";
import type { Oracle } from "./oracle.ts";
import type { Statistics } from "./statistics.ts";
import { Zipf } from "./zipf.ts";

export interface ClientPlan {
  readonly clients: number;
  readonly keys: number;
  readonly zipf: number;
  readonly mix: Mix;
  /** Ops per second of all clients; undefined: as fast as they are answered. */
  readonly rate: number | undefined;
  readonly timeoutMs: number;
  readonly space: KeySpace;
  readonly seed: number;
}

/** What the clients of a run share. */
export interface Clock {
  /** `performance.now()` of the first op. */
  startMs: number;
  /** Nothing is due from then on. */
  endMs: number;
}

export class LoadClient {
  readonly #number: number;
  readonly #plan: ClientPlan;
  readonly #clock: Clock;
  readonly #statistics: Statistics;
  readonly #oracle: Oracle | undefined;
  readonly #random: Random;
  readonly #zipf: Zipf;
  readonly #driver: Driver;
  #next = 0;
  #serial = 0;
  /** There was nothing to do but to wait for the time: then being late is the tool's own doing. */
  #wasIdle = true;
  #isPumping = false;
  #lastOkMs = Number.NEGATIVE_INFINITY;
  /** When the oldest op since the last success was due. */
  #wantsSinceMs: number | undefined;
  /** The longest it has been without an answer while it wanted one. */
  longestGapMs = 0;
  longestGapAtMs = 0;

  constructor(
    number: number,
    plan: ClientPlan,
    {
      clock,
      statistics,
      oracle,
      open,
    }: {
      readonly clock: Clock;
      readonly statistics: Statistics;
      readonly oracle: Oracle | undefined;
      readonly open: (events: DriverEvents, random: () => number) => Driver;
    },
  ) {
    this.#number = number;
    this.#plan = plan;
    this.#clock = clock;
    this.#statistics = statistics;
    this.#oracle = oracle;
    this.#random = new Random(plan.seed * 1_000_003 + number);
    this.#zipf = new Zipf(plan.keys, plan.zipf, this.#random.next);
    this.#driver = open(
      {
        onEnd: (op, end) => this.#onEnd(op, end),
        onRoom: () => this.pump(performance.now()),
        onCache: (words) => {
          const { cache } = statistics;
          if (cache.has(words) || cache.size < 20) cache.set(words, (cache.get(words) ?? 0) + 1);
        },
      },
      this.#random.next,
    );
  }

  get outstanding(): number {
    return this.#driver.outstanding;
  }

  get trouble(): string | undefined {
    return this.#driver.trouble;
  }

  /** How many of its ops are due and not sent. */
  behind(nowMs: number): number {
    const { rate, clients } = this.#plan;
    if (rate === undefined) return 0;
    const untilMs = Math.min(nowMs, this.#clock.endMs) - this.#clock.startMs - (this.#number * 1000) / rate;
    return Math.max(0, Math.ceil((untilMs * rate) / (1000 * clients)) - this.#next);
  }

  /** Sends what is due and finds room. */
  pump(nowMs: number): void {
    if (this.#isPumping || nowMs < this.#clock.startMs) return;
    this.#isPumping = true;
    const { rate, timeoutMs } = this.#plan;
    for (;;) {
      const dueMs = rate === undefined ? nowMs : this.#dueMs();
      if (dueMs > nowMs || dueMs >= this.#clock.endMs) {
        this.#wasIdle = true;
        break;
      }
      if (this.#driver.room > 0) {
        if (rate !== undefined && this.#wasIdle) this.#statistics.lateness.record(nowMs - dueMs);
        this.#send(dueMs, nowMs);
      } else if (rate !== undefined && nowMs - dueMs > timeoutMs) this.#giveUp(dueMs, nowMs);
      else {
        this.#wasIdle = false;
        break;
      }
    }
    this.#driver.flush();
    this.#isPumping = false;
  }

  tick(nowMs: number): void {
    this.#driver.tick(nowMs);
    this.pump(nowMs);
  }

  /** The run is over: whoever still waits is told so. */
  close(): void {
    this.#driver.close();
  }

  #dueMs(): number {
    const { rate = 1, clients } = this.#plan;
    return this.#clock.startMs + ((this.#next * clients + this.#number) * 1000) / rate;
  }

  #send(dueMs: number, nowMs: number): void {
    const op = this.#draw(dueMs);
    this.#next++;
    op.sentMs = nowMs;
    this.#wantsSinceMs ??= Math.max(dueMs, this.#lastOkMs);
    this.#oracle?.onSent(op);
    this.#driver.send(op);
  }

  /** Nobody took it in time. */
  #giveUp(dueMs: number, nowMs: number): void {
    const kind = drawKind(this.#plan.mix, this.#random);
    this.#next++;
    this.#wantsSinceMs ??= Math.max(dueMs, this.#lastOkMs);
    this.#statistics.onEnd(kind, nowMs - dueMs, { ok: false, code: "NOT_SENT", outcome: "not-applied" });
  }

  #draw(dueMs: number): Op {
    const { mix, space } = this.#plan;
    const kind = drawKind(mix, this.#random);
    const drawn = this.#zipf.next();
    const isOwned = this.#oracle !== undefined && isWrite(kind) && kind !== "incr";
    const index = isOwned ? this.#ownKey(drawn) : drawn;
    const serial = ++this.#serial;
    return {
      kind,
      index,
      key: kind === "incr" ? space.counterOf(index) : space.keyOf(index),
      value: kind === "set" ? space.valueFor(serial) : "",
      serial,
      dueMs,
      sentMs: 0,
    };
  }

  /** The nearest key that this client may write (one writer per key), and that no write of ours is on its way to. */
  #ownKey(drawn: number): number {
    const { clients, keys } = this.#plan;
    let index = drawn - (drawn % clients) + this.#number;
    for (;;) {
      if (index >= keys) index = this.#number;
      if (this.#oracle?.isBeingWritten(index) !== true) return index;
      index += clients;
    }
  }

  #onEnd(op: Op, end: OpEnd): void {
    const nowMs = performance.now();
    this.#oracle?.onEnd(op, end);
    this.#statistics.onEnd(op.kind, nowMs - op.dueMs, end);
    if (!end.ok) return;
    const gapMs = nowMs - (this.#wantsSinceMs ?? nowMs);
    if (gapMs > this.longestGapMs) {
      this.longestGapMs = gapMs;
      this.longestGapAtMs = nowMs;
    }
    this.#lastOkMs = nowMs;
    this.#wantsSinceMs = this.#driver.outstanding > 0 ? nowMs : undefined;
  }
}
