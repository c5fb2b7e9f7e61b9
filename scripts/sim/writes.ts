/** What clients do: commands and EXECs on one peer, each told to the oracle with what its writer knew. */
import { stampToMs } from "../../server/replica/hybrid-clock.ts";
import type { Replica } from "../../server/replica/replica.ts";
import { checkAll, observe } from "./checks.ts";
import { isInteger, type Op, violate } from "./oracle.ts";
import type { SimPeer } from "./peer.ts";

interface Draft {
  readonly key: string;
  readonly kind: Op["kind"];
  readonly value: string | null;
  readonly amount: bigint;
  readonly expiresAtMs: number;
}

const small = [1n, 2n, 5n, -3n];
const big = [1n, 2n ** 53n, -(2n ** 54n) + 3n, 2n ** 61n, -(2n ** 62n)];
const int64Max = 2n ** 63n - 1n;
const int64Min = -(2n ** 63n);

class Exec {
  readonly #peer: SimPeer;
  readonly #replica: Replica;
  readonly #ops: Op[] = [];

  constructor(peer: SimPeer, replica: Replica) {
    this.#peer = peer;
    this.#replica = replica;
  }

  /** An op was made: its seq is the vector's, its stamp the clock's. */
  #note(draft: Draft): void {
    const { world, origin, vv } = this.#peer;
    const { state } = this.#replica;
    const seq = state.lastSeq;
    const stamp = state.clock.last;
    const [first] = this.#ops;
    if (first === undefined && stamp <= this.#peer.lastStamp) violate(`the stamps of ${this.#peer.name} went back`);
    if (first !== undefined && stamp !== first.stamp) violate("an EXEC has two stamps");
    const context = [...vv];
    while (context.length <= origin) context.push(0);
    context[origin] = seq - 1;
    let { expiresAtMs } = draft;
    if (draft.kind === "incr") expiresAtMs = world.history.inheritedExpiry(draft.key, context, stampToMs(stamp));
    const op: Op = { ...draft, origin, seq, stamp, expiresAtMs, context, endsExec: false };
    world.history.add(op);
    this.#ops.push(op);
    world.say(() => {
      const what = op.kind === "set" ? `= ${op.value}` : op.kind === "incr" ? `+= ${op.amount}` : "deleted";
      const until = op.expiresAtMs === 0 ? "" : ` until ${op.expiresAtMs}`;
      return `${this.#peer.name} writes ${JSON.stringify(op.key)} ${what}${until} as ${world.history.ids[origin]}:${seq}`;
    });
    world.cover(`op ${draft.kind}`);
  }

  /** The vector that holds the ops of this EXEC so far too. */
  #knownVv(): number[] {
    const { vv, origin } = this.#peer;
    const known = [...vv];
    while (known.length <= origin) known.push(0);
    known[origin] = this.#replica.state.lastSeq;
    return known;
  }

  set(key: string, value: string, expiresAtMs: number): void {
    this.#replica.keyspace.set(key, value, expiresAtMs);
    this.#note({ key, kind: "set", value, amount: 0n, expiresAtMs });
  }

  delete(key: string): void {
    const { history } = this.#peer.world;
    const { keyspace } = this.#replica;
    const there = history.visible(key, this.#knownVv(), keyspace.nowMs) !== undefined;
    const deleted = keyspace.delete(key);
    if (keyspace.nowMs >= this.#replica.state.map.horizonMs && deleted !== there)
      violate(`DEL of ${key} says ${deleted}, it was ${there}`);
    if (deleted) this.#note({ key, kind: "del", value: null, amount: 0n, expiresAtMs: 0 });
  }

  increment(key: string, amount: bigint): void {
    const { history, params } = this.#peer.world;
    const known = this.#knownVv();
    const before = this.#replica.state.lastSeq;
    const step = amount >= Number.MIN_SAFE_INTEGER && amount <= Number.MAX_SAFE_INTEGER ? Number(amount) : amount;
    const result = this.#replica.keyspace.increment(key, step);
    const ms = stampToMs(this.#replica.state.clock.last);
    const shown = history.visible(key, known, ms);
    const exact = ms >= this.#replica.state.map.horizonMs;
    if (!result.ok) {
      if (this.#replica.state.lastSeq !== before) violate("an INCR that failed made an op");
      if (result.error === "not-an-integer" && exact && (shown === undefined || isInteger(shown)))
        violate(`INCR of ${key} refuses ${shown}`);
      if (result.error === "overflow" && !params.hasBigSums) violate(`INCR of ${key} overflows`);
      this.#peer.world.cover(`error ${result.error}`);
      return;
    }
    if (exact && (shown === undefined ? 0n : BigInt(shown)) + amount !== BigInt(result.value))
      violate(`INCR of ${key} by ${amount} answers ${result.value}, it was ${shown}`);
    if (result.value > int64Max || result.value < int64Min) violate("an INCR went beyond 64 bits");
    this.#note({ key, kind: "incr", value: null, amount, expiresAtMs: 0 });
  }

  restore(id: string): void {
    const conflict = this.#replica.state.journal.get(id);
    if (conflict === undefined) return;
    const { world } = this.#peer;
    const before = this.#replica.state.lastSeq;
    this.#replica.restoreConflict(id);
    if (this.#replica.state.lastSeq === before) return;
    world.cover("restoredConflicts");
    const { value, expiresAtMs } = conflict.loser;
    if (value === undefined) this.#note({ key: conflict.key, kind: "del", value: null, amount: 0n, expiresAtMs: 0 });
    else {
      const kept = expiresAtMs > this.#replica.keyspace.nowMs ? expiresAtMs : 0;
      this.#note({ key: conflict.key, kind: "set", value, amount: 0n, expiresAtMs: kept });
    }
  }

  /** The reply may be made: all of it is there, at once. */
  end(): void {
    const last = this.#ops.at(-1);
    if (last === undefined) return;
    last.endsExec = true;
    this.#peer.lastStamp = last.stamp;
  }
}

/** One command or EXEC at a random peer. `deletes`: a quiet time, in which mostly deletes come. */
export const write = (peer: SimPeer, deletes: boolean): void => {
  const { world } = peer;
  const { random } = world;
  if (peer.isGated) return;
  if (random.chance(0.02)) return flush(peer);
  peer.needHeadroom();
  peer.run((replica) => {
    observe(peer, "before a write");
    replica.keyspace.begin(peer.wallMs);
    const exec = new Exec(peer, replica);
    if (random.chance(0.04) && replica.state.journal.count > 0) {
      exec.restore(random.pick(replica.conflicts(undefined)).id);
    } else {
      for (let count = 1 + random.int(3); count > 0; count--) writeOne(peer, exec, deletes);
    }
    exec.end();
    observe(peer, "a write");
    if (random.chance(0.1)) checkAll(peer, "a write");
  });
};

/** Deletes all that is there. */
export const flush = (peer: SimPeer): void => {
  if (peer.isGated) return;
  peer.needHeadroom();
  peer.run((replica) => {
    observe(peer, "before a flush");
    replica.keyspace.begin(peer.wallMs);
    const exec = new Exec(peer, replica);
    for (const key of peer.world.params.keys) exec.delete(key);
    exec.end();
    observe(peer, "a flush");
    peer.world.cover("flushes");
  });
};

const writeOne = (peer: SimPeer, exec: Exec, deletes: boolean): void => {
  const { world } = peer;
  const { random, params } = world;
  const key = random.pick(params.keys);
  const kind =
    deletes && random.chance(0.6)
      ? "del"
      : random.pick(
          params.setsOnly ? (["set", "del"] as const) : (["set", "set", "del", "del", "incr", "incr", "incr"] as const),
        );
  if (kind === "del") exec.delete(key);
  else if (kind === "incr") exec.increment(key, random.pick(params.hasBigSums ? big : small));
  else {
    const number = ++world.valueNumber;
    const value = params.hasText && random.chance(0.3) ? `text ${number}` : `${1000 * number}`;
    const expires = params.hasExpiry && random.chance(0.5);
    exec.set(key, value, expires ? peer.wallMs + 5 + random.int(params.expiryMs) : 0);
  }
};
