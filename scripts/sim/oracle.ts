/**
 * The oracle: every op ever made, with what its writer knew, and what a peer with a given version vector must show.
 *
 * Deliberately naive, and knows nothing of cells, frames or merging: per key the winner among the SETs and DELs that the
 * vector names, plus the increments it names that the winner had not seen, as of a given time. Origins have global
 * numbers here; peers number them each in their own way.
 */
export interface Op {
  readonly key: string;
  readonly origin: number;
  readonly seq: number;
  readonly stamp: number;
  readonly kind: "set" | "del" | "incr";
  /** set: its value, else null. */
  readonly value: string | null;
  /** incr */
  readonly amount: bigint;
  /** Unix ms, 0 for none. */
  readonly expiresAtMs: number;
  /** What the writer had applied, its own earlier ops included. */
  readonly context: readonly number[];
  /** The last op of its command or EXEC: a vector that stands elsewhere shows half of one. */
  endsExec: boolean;
}

/** This run is over: a rule was broken. */
export class Violation extends Error {
  constructor(rule: string) {
    super(rule);
    this.name = "Violation";
  }
}

export const violate = (rule: string): never => {
  throw new Violation(rule);
};

export const seqAt = (vv: readonly number[], origin: number): number => vv[origin] ?? 0;

export const coversAll = (a: readonly number[], b: readonly number[]): boolean => {
  for (let origin = 0; origin < b.length; origin++) if (seqAt(b, origin) > seqAt(a, origin)) return false;
  return true;
};

export const knows = (vv: readonly number[], op: Op): boolean => op.seq <= seqAt(vv, op.origin);

const isExpired = (op: Op, ms: number): boolean => op.expiresAtMs !== 0 && op.expiresAtMs <= ms;
const integer = /^(0|-?[1-9][0-9]{0,18})$/;

export class History {
  readonly ids: string[] = [];
  /** Index of the peer whose run an origin is. */
  readonly peers: number[] = [];
  readonly opsOf: Op[][] = [];
  readonly #numbers = new Map<string, number>();
  readonly #byKey = new Map<string, Op[]>();

  origin(id: string): number {
    const known = this.#numbers.get(id);
    return known ?? violate(`nobody ever was ${id}`);
  }

  begin(id: string, peer: number): number {
    if (this.#numbers.has(id)) violate(`origin ${id} is used a second time`);
    const number = this.ids.length;
    this.#numbers.set(id, number);
    this.ids.push(id);
    this.peers.push(peer);
    this.opsOf.push([]);
    return number;
  }

  add(op: Op): void {
    const ops = this.opsOf[op.origin] as Op[];
    if (op.seq !== ops.length + 1) violate(`op ${op.seq} of ${this.ids[op.origin]} follows ${ops.length}`);
    ops.push(op);
    const ofKey = this.#byKey.get(op.key);
    if (ofKey === undefined) this.#byKey.set(op.key, [op]);
    else ofKey.push(op);
  }

  /** `origin:seq` */
  byDot(dot: string): Op | undefined {
    const colonAt = dot.lastIndexOf(":");
    const origin = this.#numbers.get(dot.slice(0, colonAt));
    return origin === undefined ? undefined : this.opsOf[origin]?.[Number(dot.slice(colonAt + 1)) - 1];
  }

  ofKey(key: string): readonly Op[] {
    return this.#byKey.get(key) ?? [];
  }

  isLater(a: Op, b: Op): boolean {
    if (a.stamp !== b.stamp) return a.stamp > b.stamp;
    if (a.origin !== b.origin) return (this.ids[a.origin] as string) > (this.ids[b.origin] as string);
    return a.seq > b.seq;
  }

  /** The SET or DEL that counts. */
  winner(key: string, vv: readonly number[]): Op | undefined {
    let winner: Op | undefined;
    for (const op of this.ofKey(key)) {
      if (op.kind === "incr" || !knows(vv, op)) continue;
      if (winner === undefined || this.isLater(op, winner)) winner = op;
    }
    return winner;
  }

  /** What a client sees at `ms` where `vv` was applied. */
  visible(key: string, vv: readonly number[], ms: number): string | undefined {
    const winner = this.winner(key, vv);
    const live = winner !== undefined && winner.value !== null && !isExpired(winner, ms) ? winner.value : undefined;
    let sum = 0n;
    let counted = false;
    for (const op of this.ofKey(key)) {
      if (op.kind !== "incr" || !knows(vv, op) || isExpired(op, ms)) continue;
      if (winner !== undefined && knows(winner.context, op)) continue;
      sum += op.amount;
      counted = true;
    }
    if (!counted) return live;
    if (live === undefined) return sum.toString();
    return integer.test(live) ? (BigInt(live) + sum).toString() : live;
  }

  /** The expiry an increment made now inherits: that of the base it is made on, judged by its own stamp. */
  inheritedExpiry(key: string, vv: readonly number[], stampMs: number): number {
    const winner = this.winner(key, vv);
    if (winner === undefined || winner.value === null || isExpired(winner, stampMs)) return 0;
    return winner.expiresAtMs;
  }
}

export const isInteger = (text: string): boolean => integer.test(text);
