/**
 * Clients of strong keys: each does one operation after the other, tries again where that is safe, and writes down what it
 * was told. Lock clients also write down when they believe to hold the lock: no two may at a time.
 */

import type { Operation, Outcome } from "../../../server/registers/index.ts";
import { inputOf, outputOf } from "../../lincheck/history.ts";
import { Violation } from "./checks.ts";
import type { RegisterWorld } from "./world.ts";

const triesMax = 4;
const deadlineHealingMs = 2000;

interface Open {
  readonly key: string;
  readonly operation: Operation;
  readonly startNs: number;
  readonly startMs: number;
  readonly operationId: string | undefined;
  readonly finished: (outcome: Outcome) => void;
  tries: number;
  triedMs: number;
  /** Tries that have had no answer. */
  running: number;
  /** One of its tries may have taken effect. */
  mayHave: boolean;
}

export class SimClient {
  readonly world: RegisterWorld;
  readonly name: string;
  readonly isLocker: boolean;
  #peer: number;
  #open: Open | undefined;
  #numbers = 0;
  /** What it saw last, per key: what conditions are made of. */
  readonly #seen = new Map<string, string>();
  /** A lock it believes to hold, until then. */
  heldUntilMs = 0;
  #token = 0;
  /** Its own clock runs wrong too. */
  readonly #rate: number;
  #asksVersion = false;

  constructor(world: RegisterWorld, name: string, isLocker: boolean) {
    this.world = world;
    this.name = name;
    this.isLocker = isLocker;
    this.#peer = world.random.int(world.params.peers);
    this.#rate = 1 + (world.random.next() - 0.5) * 0.0198;
  }

  get isBusy(): boolean {
    return this.#open !== undefined;
  }

  act(): void {
    if (this.isLocker) this.#lockOrRelease();
    else this.#work();
  }

  // ---- operations ---------------------------------------------------------------------------------------------------------

  #work(): void {
    const { random, params } = this.world;
    const key = random.pick(params.keys);
    const operation = key === "n" ? this.#counterOperation() : this.#textOperation(key);
    const operationId = random.chance(params.operationIds) ? `${this.name}.${++this.#numbers}` : undefined;
    this.start(key, operation, operationId, (outcome) => {
      if (outcome.kind !== "done") return;
      if (outcome.reply.kind === "text") this.#seen.set(key, outcome.reply.text);
      else if (operation.kind === "set" && outcome.reply.kind === "ok") this.#seen.set(key, operation.value);
    });
  }

  #counterOperation(): Operation {
    const { random, params } = this.world;
    const draw = random.next();
    if (draw < 0.6) return { kind: "incrby", amount: random.pick([1, 5, -3]) };
    if (draw < 0.7 && params.deletes) return { kind: "del" };
    return { kind: random.pick(["get", "get", "strlen", "version"] as const) };
  }

  #textOperation(key: string): Operation {
    const { random, params } = this.world;
    const ttl = params.hasLeases && random.chance(0.4) ? params.ttlMs : 0;
    const value = `${this.name}${this.world.nextId()}`;
    const seen = this.#seen.get(key) ?? "?";
    if (random.chance(params.deleteShare)) return { kind: "del" };
    const draw = random.next();
    if (draw < 0.28) return { kind: random.pick(["get", "get", "exists", "version", "pttl"] as const) };
    if (draw < 0.48) return { kind: "append", text: `+${value}` };
    if (draw < 0.6) {
      const condition = random.pick(["none", "absent", "present", { equals: seen }] as const);
      return {
        kind: "set",
        value,
        condition,
        returnsOld: random.chance(0.2),
        ttlMs: random.chance(0.1) ? "keep" : ttl,
      };
    }
    if (draw < 0.68) return { kind: "cas", expected: seen, value };
    if (draw < 0.72) {
      const fence = { lock: "l", token: 1 + random.int(4) };
      return { kind: "set", value, condition: "none", returnsOld: false, ttlMs: 0, fence };
    }
    if (draw < 0.78) return params.hasLeases ? { kind: "expire", ttlMs: params.ttlMs } : { kind: "get" };
    if (draw < 0.8) return { kind: "persist" };
    if (!params.deletes) return { kind: "get" };
    return draw < 0.9 ? { kind: "del", only: random.chance(0.3) ? { equals: seen } : undefined } : { kind: "getdel" };
  }

  // ---- locks --------------------------------------------------------------------------------------------------------------

  #lockOrRelease(): void {
    const { world } = this;
    const { params, random } = world;
    const key = "lock";
    const sentMs = world.nowMs;
    const untilMs = sentMs + (params.ttlMs * 0.99) / this.#rate;
    const lock = { kind: "set", value: this.name, ttlMs: params.ttlMs, returnsOld: false } as const;
    const isHeld = sentMs < this.heldUntilMs;
    if (!isHeld) {
      this.start(key, { ...lock, condition: "absent" }, undefined, (outcome) => {
        if (outcome.kind !== "done" || outcome.reply.kind !== "ok") return;
        this.#acquired(untilMs, outcome.version);
      });
    } else if (random.chance(0.5)) {
      this.start(key, { ...lock, condition: { equals: this.name } }, undefined, (outcome) => {
        if (outcome.kind !== "done" || outcome.reply.kind !== "ok") return;
        // Still held, or it would have been refused: but only from when this was sent.
        if (world.nowMs < untilMs) this.heldUntilMs = Math.max(this.heldUntilMs, untilMs);
        world.cover("renewed");
      });
    } else {
      this.heldUntilMs = 0;
      this.start(key, { kind: "del", only: { equals: this.name } }, undefined, () => {});
    }
  }

  #acquired(untilMs: number, token: number): void {
    const { world } = this;
    world.cover("acquired");
    if (token <= this.#token) throw new Violation(`${this.name} was given token ${token} after ${this.#token}`);
    this.#token = token;
    if (world.nowMs >= untilMs) return;
    for (const other of world.clients) {
      if (other !== this && other.heldUntilMs > world.nowMs) {
        throw new Violation(`${this.name} and ${other.name} hold the lock at the same time`);
      }
    }
    this.heldUntilMs = untilMs;
  }

  // ---- one operation ------------------------------------------------------------------------------------------------------

  start(
    key: string,
    operation: Operation,
    operationId: string | undefined,
    finished: (outcome: Outcome) => void,
  ): void {
    const { world } = this;
    this.#asksVersion = world.random.chance(0.8);
    this.#open = {
      key,
      operation,
      startNs: world.nowNs(),
      startMs: world.nowMs,
      operationId,
      finished,
      tries: 0,
      triedMs: world.nowMs,
      running: 0,
      mayHave: false,
    };
    world.say(() => `${this.name} ${JSON.stringify(operation)} on ${key} ${operationId ?? ""}`);
    this.#try(this.#open);
  }

  /** Time passes: a client that may try again does not wait for ever for the first peer it asked. */
  tick(): void {
    const open = this.#open;
    if (open === undefined || this.world.nowMs - open.triedMs < this.world.params.patienceMs) return;
    if (this.#mayRetry(open)) this.#retry(open);
  }

  #try(open: Open): void {
    const { world } = this;
    open.tries++;
    open.running++;
    open.triedMs = world.nowMs;
    const isFine = world.params.loyal && open.tries === 1 && world.peers[this.#peer]?.isRunning === true;
    if (!isFine) this.#peer = world.random.int(world.params.peers);
    const { key, operation, operationId } = open;
    const deadlineMs = world.healing ? deadlineHealingMs : world.params.deadlineMs;
    world.peers[this.#peer]?.operate({ key, operation, operationId }, deadlineMs, (outcome) => {
      this.#onOutcome(open, outcome);
    });
  }

  /** Within the time for which even a deleted key remembers operation ids. */
  #mayRetry(open: Open): boolean {
    const { nowMs, params } = this.world;
    const endMs = nowMs + (this.world.healing ? deadlineHealingMs : params.deadlineMs) * 1.05;
    return open.operationId !== undefined && open.tries < triesMax && endMs < open.startMs + params.deadKeptMs * 0.9;
  }

  #retry(open: Open): void {
    this.world.cover("retries");
    this.#try(open);
  }

  #onOutcome(open: Open, outcome: Outcome): void {
    const { world } = this;
    if (open !== this.#open) return world.cover("lateOutcomes");
    world.say(() => `${this.name} is told: ${JSON.stringify(outcome)}`);
    world.cover(`outcome ${outcome.kind}`);
    open.running--;
    if (outcome.kind === "done") {
      if (open.tries > 1) world.cover("retriesAnswered");
      if (outcome.reply.kind === "error") world.cover(`error ${outcome.reply.error}`);
      return this.#end(open, outcome, "ok");
    }
    if (outcome.kind === "unknown") open.mayHave = true;
    if (this.#mayRetry(open)) {
      world.later(() => {
        if (open === this.#open) this.#retry(open);
      });
    } else if (open.running === 0) this.#end(open, outcome, open.mayHave ? "unknown" : "fail");
  }

  #end(open: Open, outcome: Outcome, verdict: "ok" | "unknown" | "fail"): void {
    const { world } = this;
    this.#open = undefined;
    const output =
      outcome.kind === "done" ? outputOf(outcome.reply, this.#asksVersion ? outcome.version : undefined) : null;
    world.history.push({
      client: this.name,
      key: open.key,
      op: open.operation.kind,
      input: inputOf(open.operation),
      output: verdict === "ok" ? output : null,
      start_ns: open.startNs,
      end_ns: verdict === "ok" ? world.nowNs() : null,
      outcome: verdict,
    });
    open.finished(outcome);
  }
}
