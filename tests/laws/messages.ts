/** Arbitrary frames, link messages, cells and conflicts, for the laws of their codecs. */
import fc from "fast-check";
import { FrameWriter, type ObservedTotal, type Sum } from "../../protocol/frames.ts";
import { framesKind, type LinkMessage } from "../../protocol/link-messages.ts";
import { type Incarnation, type OriginId, type PeerName, parseOriginId } from "../../protocol/words.ts";
import type { Cell } from "../../server/replica/cell.ts";
import type { Conflict, ConflictSide } from "../../server/replica/conflicts.ts";

/** Plain objects, so that what was read can be compared with what was written. */
const record = <T>(model: { readonly [Field in keyof T]: fc.Arbitrary<T[Field]> }): fc.Arbitrary<T> =>
  fc.record(model as { [Field in keyof T]: fc.Arbitrary<T[Field]> }, { noNullPrototype: true }) as fc.Arbitrary<T>;

const from = (characters: string, minLength: number, maxLength: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...characters), minLength, maxLength });

export const peerName = from("abzAZ09_-", 1, 32) as fc.Arbitrary<PeerName>;
export const incarnation = from("059azk", 15, 15) as fc.Arbitrary<Incarnation>;
export const origin = fc.tuple(peerName, incarnation).map(([name, run]) => {
  const id = `${name}.${run}`;
  if (parseOriginId(id) === undefined) throw new Error(`${id} is no origin`);
  return id as OriginId;
});
/** Any bytes, as the latin1 text that stands for them. */
export const bytes = (maxLength: number): fc.Arbitrary<string> =>
  fc.oneof(
    fc.uint8Array({ maxLength }).map((part) => Buffer.from(part).toString("latin1")),
    fc.nat(3000).map((length) => "é".repeat(length)),
  );
const seq = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }));
const time = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 2 ** 42 }));
const stamp = fc.maxSafeNat();
export const sum: fc.Arbitrary<Sum> = fc.oneof(
  fc.maxSafeInteger(),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 70n }),
  fc.bigInt({ min: -(2n ** 70n), max: -(2n ** 53n) }),
);
const vector = fc.uniqueArray(fc.tuple(origin, seq), { maxLength: 4, selector: ([id]) => id });
const observed: fc.Arbitrary<ObservedTotal[] | undefined> = fc.option(
  fc.array(record({ origin, first: seq, seq, sum }), { maxLength: 3 }),
  { nil: undefined },
);

export interface WrittenOp {
  readonly kind: "set" | "del" | "incr";
  readonly step: number;
  readonly key: string;
  readonly value: string;
  readonly expiresAtMs: number;
  readonly observed: readonly ObservedTotal[] | undefined;
  readonly first: number;
  readonly sum: Sum;
}

export interface WrittenFrame {
  readonly origin: OriginId;
  readonly first: number;
  readonly context: readonly (readonly [OriginId, number])[];
  readonly ops: readonly WrittenOp[];
}

export const frame: fc.Arbitrary<WrittenFrame> = record({
  origin,
  first: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 2 ** 52 })),
  context: vector,
  ops: fc.array(
    record({
      kind: fc.constantFrom("set" as const, "del" as const, "incr" as const),
      step: fc.oneof(fc.nat(3), fc.nat(2 ** 48)),
      key: bytes(30),
      value: bytes(60),
      expiresAtMs: time,
      observed,
      first: seq,
      sum,
    }),
    { minLength: 1, maxLength: 5 },
  ),
});

/** One writer for all: its buffer is used again and again, as in a peer. */
const writer = new FrameWriter(framesKind);

export const encodeFrame = ({ origin: id, first, context, ops }: WrittenFrame): Buffer => {
  writer.open(id, first, context);
  let at = 0;
  for (const op of ops) {
    at += op.step;
    if (op.kind === "set") writer.set(at, op.key, op.value, op.expiresAtMs, op.observed);
    else if (op.kind === "del") writer.del(at, op.key, op.observed);
    else writer.incr(at, op.key, op.first, op.sum, op.expiresAtMs);
  }
  return writer.seal().frame;
};

const u32 = fc.nat(0xffffffff);
const part = fc.uint8Array({ maxLength: 40 }).map((raw) => Buffer.from(raw));
const fact = record({
  peer: peerName,
  incarnation,
  number: seq,
  view: fc.array(fc.oneof(incarnation, fc.constant("" as const)), { maxLength: 4 }),
  vv: vector,
  clock: stamp,
});
const kind = <Kind extends string>(name: Kind): fc.Arbitrary<Kind> => fc.constant(name);

export const linkMessage: fc.Arbitrary<LinkMessage> = fc.oneof(
  record({
    kind: kind("hello"),
    incarnation,
    vv: vector,
    clock: stamp,
    gated: fc.boolean(),
    empty: fc.boolean(),
  }),
  record({ kind: kind("frames"), frames: part }),
  record({
    kind: kind("heartbeat"),
    vv: vector,
    clock: stamp,
    gated: fc.boolean(),
    facts: fc.array(fact, { maxLength: 3 }),
    digest: fc.option(record({ horizonMs: time, first: u32, second: u32 }), { nil: undefined }),
  }),
  record({ kind: kind("fetch"), vv: vector }),
  record({ kind: kind("caught-up"), vv: vector, gated: fc.boolean() }),
  record({
    kind: kind("transfer-begin"),
    number: fc.maxSafeNat(),
    full: fc.boolean(),
    vv0: vector,
    contexts: fc.array(fc.tuple(origin, vector), { maxLength: 3 }),
  }),
  record({ kind: kind("transfer-cells"), cells: part }),
  record({ kind: kind("transfer-frames"), frames: part }),
  record({ kind: kind("transfer-end"), vvEnd: vector, horizonMs: time, floor: vector, clock: stamp }),
  record({ kind: kind("transfer-stop"), number: fc.maxSafeNat() }),
  record({ kind: kind("sync-request") }),
  record({ kind: kind("synced"), vv: vector }),
  record({ kind: kind("digest-request"), id: fc.maxSafeNat() }),
  record({ kind: kind("digest-reply"), id: fc.maxSafeNat(), vv: vector, horizonMs: time, sums: part }),
  record({ kind: kind("keys-request"), id: fc.maxSafeNat(), buckets: fc.array(fc.nat(65_535), { maxLength: 5 }) }),
  record({
    kind: kind("keys-reply"),
    id: fc.maxSafeNat(),
    keys: fc.array(record({ key: bytes(20), first: u32, second: u32 }), { maxLength: 4 }),
    more: fc.boolean(),
  }),
  record({ kind: kind("cells-request"), keys: fc.array(bytes(20), { maxLength: 4 }) }),
  record({ kind: kind("repair-cells"), cells: part }),
);

/** Origins of the cells are numbers from 0 to 3. */
export const cellOrigins = 4;
const actor = { origin: fc.nat(cellOrigins - 1), first: seq, seq, sum };
export const cell: fc.Arbitrary<Cell> = record({
  value: fc.oneof(bytes(60), fc.constant(null), fc.constant(undefined)),
  stamp,
  origin: fc.nat(cellOrigins - 1),
  seq,
  expiresAtMs: time,
  observed: fc.array(record(actor), { maxLength: 3 }),
  totals: fc.array(record({ ...actor, expiresAtMs: time, onOrigin: fc.constant(-1), onSeq: fc.constant(0) }), {
    maxLength: 3,
  }),
})
  // Without a base there is nothing to have a dot, an expiry or observed totals, and a cell holds something.
  .map((made) => {
    if (made.value !== undefined || made.totals.length === 0) return { ...made, value: made.value ?? null };
    return { ...made, stamp: 0, origin: 0, seq: 0, expiresAtMs: 0, observed: [] };
  });

const side: fc.Arbitrary<ConflictSide> = record({
  value: fc.option(bytes(40), { nil: undefined }),
  stamp,
  dot: fc.tuple(origin, seq).map(([id, number]) => `${id}:${number}`),
  expiresAtMs: time,
});
export const conflict: fc.Arbitrary<Conflict> = record({
  key: bytes(30),
  winner: side,
  loser: side,
  why: fc.constantFrom("later stamp" as const, "equal stamps, greater origin" as const, "repair" as const),
  restored: fc.boolean(),
}).map((made) => ({ ...made, id: made.loser.dot }));
