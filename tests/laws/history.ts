/**
 * Random histories for the laws of merging: writers with the real keyspace make frames, and hear some of each other's;
 * readers take the frames in any order that causality allows. The oracle folds the operations themselves: the last
 * writer's base, plus every increment it did not know of.
 */
import fc from "fast-check";
import { type FrameHeader, FrameOps, parseFrame } from "../../protocol/frames.ts";
import { type Incarnation, originId, type PeerName, parseIncarnation, parsePeerName } from "../../protocol/words.ts";
import { stampEpochMs, stampToMs } from "../../server/replica/hybrid-clock.ts";
import { ReplicaKeyspace } from "../../server/replica/keyspace.ts";
import { applyFrame } from "../../server/replica/merge.ts";
import { ReplicaState } from "../../server/replica/state.ts";
import { at, covers, setAt, type VersionVector } from "../../server/replica/version-vector.ts";

const incarnations = ["aaaaaaaaaaa0000", "aaaaaaaaaab0000", "aaaaaaaaaac0000"];
const names = ["a", "b", "c", "reader"];
export const keys = ["k", "l"];
const startMs = stampEpochMs + 1_000_000_000;

const nameOf = (text: string): PeerName => parsePeerName(text) as PeerName;

/** One operation, as the oracle sees it. `context`: what its writer knew, in origin texts. */
interface Operation {
  readonly key: string;
  readonly kind: "set" | "del" | "incr";
  readonly value: string;
  readonly amount: bigint;
  readonly origin: string;
  readonly seq: number;
  readonly stamp: number;
  readonly expiresAtMs: number;
  readonly context: ReadonlyMap<string, number>;
}

export interface History {
  readonly frames: readonly Uint8Array[];
  readonly operations: readonly Operation[];
  readonly endMs: number;
}

export const newState = (name: string, incarnation?: string): ReplicaState => {
  const state = new ReplicaState({
    name: nameOf(name),
    peers: names.map(nameOf),
    clockSkewMaxMs: 5000,
    conflicts: { entriesMax: 1000, bytesMax: 1 << 24 },
    recentBytesMax: 0,
  });
  state.clock.ceiling = Number.MAX_SAFE_INTEGER;
  if (incarnation !== undefined) {
    state.incarnation = parseIncarnation(incarnation) as Incarnation;
    state.self = state.origins.number(originId(state.name, state.incarnation));
  }
  return state;
};

/** False, and nothing done, when causality does not allow it yet. What is known already is taken and ignored. */
export const apply = (state: ReplicaState, bytes: Uint8Array): boolean => {
  const frame: FrameHeader = parseFrame(bytes);
  const origin = state.origins.number(frame.origin);
  if (at(state.vv, origin) >= frame.last) return true;
  if (at(state.vv, origin) !== frame.first - 1) return false;
  if (!covers(state.vv, state.vector(frame.contextDelta))) return false;
  state.seal();
  const context = state.contextOf(origin);
  for (const [other, seq] of frame.contextDelta) setAt(context, state.origins.number(other), seq);
  const ops = new FrameOps(frame);
  while (ops.next()) state.clock.hear(ops.stamp);
  applyFrame(state, frame, origin, context);
  setAt(state.vv, origin, frame.last);
  return true;
};

const contextOf = (state: ReplicaState): Map<string, number> => new Map(state.wire(state.vv));

/** What a step of a history is made of; each field is used as far as the step needs it. */
export interface Step {
  readonly who: number;
  readonly what: "set" | "text" | "del" | "incr" | "hear" | "wait";
  readonly key: number;
  readonly amount: number;
  readonly expires: boolean;
  /** Whether the open frame goes on after this. */
  readonly more: boolean;
}

export const steps = fc.array(
  fc.record({
    who: fc.nat(2),
    what: fc.constantFrom("set", "text", "del", "incr", "incr", "hear", "hear", "hear", "wait"),
    key: fc.nat(keys.length - 1),
    amount: fc.integer({ min: -5, max: 9 }),
    expires: fc.boolean(),
    more: fc.boolean(),
  }) as fc.Arbitrary<Step>,
  { minLength: 1, maxLength: 40 },
);

export const runHistory = (script: readonly Step[]): History => {
  const writers = incarnations.map((incarnation, index) => {
    const state = newState(names[index] as string, incarnation);
    return { state, keyspace: new ReplicaKeyspace(state), frames: [] as Uint8Array[], heard: [0, 0, 0] };
  });
  const operations: Operation[] = [];
  let nowMs = startMs;
  for (const writer of writers) writer.state.onSealed = (sealed) => writer.frames.push(sealed.frame);
  for (const { who, what, key: keyIndex, amount, expires, more } of script) {
    const writer = writers[who] as (typeof writers)[number];
    const { state, keyspace } = writer;
    const key = keys[keyIndex] as string;
    if (what === "wait") {
      nowMs += 40;
      continue;
    }
    if (what === "hear") {
      const other = (who + 1 + (amount & 1)) % 3;
      const from = writers[other] as (typeof writers)[number];
      from.state.seal();
      const next = from.frames[writer.heard[other] as number];
      if (next !== undefined && apply(state, next)) (writer.heard[other] as number)++;
      continue;
    }
    keyspace.begin(nowMs);
    const context = contextOf(state);
    const seq = state.lastSeq + 1;
    const expiresAtMs = expires ? nowMs + 60 : 0;
    const value = what === "text" ? "text" : String(amount * 100);
    const ref = state.map.locate(key);
    const base = ref < 0 ? undefined : state.map.baseAt(ref);
    const baseExpiresAtMs = ref < 0 ? 0 : state.map.expiryAt(ref);
    if (what === "incr") {
      if (!keyspace.increment(key, BigInt(amount)).ok) continue;
    } else if (what === "del") {
      if (!keyspace.delete(key)) continue;
    } else keyspace.set(key, value, expiresAtMs);
    const stamp = state.clock.last;
    const isBaseLive = typeof base === "string" && (baseExpiresAtMs === 0 || baseExpiresAtMs > stampToMs(stamp));
    operations.push({
      key,
      kind: what === "text" ? "set" : what,
      value,
      amount: BigInt(amount),
      origin: state.origins.id(state.self),
      seq,
      stamp,
      expiresAtMs: what === "incr" ? (isBaseLive ? baseExpiresAtMs : 0) : what === "del" ? 0 : expiresAtMs,
      context,
    });
    if (!more) state.seal();
  }
  for (const { state } of writers) state.seal();
  return { frames: writers.flatMap(({ frames }) => frames), operations, endMs: nowMs };
};

/** What a peer that knows `vv` shows for a key at `ms`. */
export const fold = (
  history: History,
  key: string,
  vv: ReadonlyMap<string, number>,
  ms: number,
): string | undefined => {
  const known = history.operations.filter((op) => op.key === key && op.seq <= (vv.get(op.origin) ?? 0));
  const isLater = (x: Operation, y: Operation): boolean => {
    if (x.stamp !== y.stamp) return x.stamp > y.stamp;
    return x.origin !== y.origin ? x.origin > y.origin : x.seq > y.seq;
  };
  const isExpired = (op: Operation): boolean => op.expiresAtMs !== 0 && op.expiresAtMs <= ms;
  let base: Operation | undefined;
  for (const op of known) if (op.kind !== "incr" && (base === undefined || isLater(op, base))) base = op;
  let sum: bigint | undefined;
  for (const op of known) {
    if (op.kind !== "incr" || isExpired(op)) continue;
    if (
      base !== undefined &&
      (op.seq <= (base.context.get(op.origin) ?? 0) || (op.origin === base.origin && op.seq < base.seq))
    )
      continue;
    sum = (sum ?? 0n) + op.amount;
  }
  const live = base !== undefined && base.kind === "set" && !isExpired(base) ? base.value : undefined;
  if (live === "text") return live;
  if (live === undefined) return sum?.toString();
  return (BigInt(live) + (sum ?? 0n)).toString();
};

export const shown = (state: ReplicaState, ms: number): Record<string, string | undefined> => {
  const keyspace = new ReplicaKeyspace(state);
  keyspace.begin(ms);
  return Object.fromEntries(keys.map((key) => [key, keyspace.get(key)]));
};

export const expected = (history: History, state: ReplicaState, ms: number): Record<string, string | undefined> =>
  Object.fromEntries(keys.map((key) => [key, fold(history, key, new Map(state.wire(state.vv)), ms)]));

/** Applies all frames, always the one that `choose` points at among those that may go; some twice. */
export const applyInOrder = (state: ReplicaState, frames: readonly Uint8Array[], choices: readonly number[]): void => {
  const left = [...frames];
  for (let step = 0; left.length > 0; step++) {
    const allowed = left.filter((bytes) => isAllowed(state, bytes));
    const choice = choices[step % choices.length] ?? 0;
    const bytes = allowed[choice % allowed.length] as Uint8Array;
    apply(state, bytes);
    if (choice % 3 === 0) apply(state, bytes);
    left.splice(left.indexOf(bytes), 1);
  }
};

const isAllowed = (state: ReplicaState, bytes: Uint8Array): boolean => {
  const frame = parseFrame(bytes);
  const vv: VersionVector = state.vv;
  return at(vv, state.origins.number(frame.origin)) === frame.first - 1 && covers(vv, state.vector(frame.contextDelta));
};

export const digestAt = (state: ReplicaState, ms: number): string => {
  state.map.advanceHorizon(ms);
  state.map.settleHorizon(Number.POSITIVE_INFINITY);
  state.map.checkInvariants();
  return state.map.digest.text;
};
