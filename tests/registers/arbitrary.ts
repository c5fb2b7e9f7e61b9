/** Arbitrary operations, registers, messages and records of strong keys, for their laws. */
import fc from "fast-check";
import { type Ballot, noBallot } from "../../protocol/ballots.ts";
import { ballotCounterMax, fencesPerRegisterMax, operationIdsKept, registerRoundsKept } from "../../protocol/limits.ts";
import type { RegisterMessage, RegisterRecord } from "../../protocol/register-messages.ts";
import {
  encodeRegisterValue,
  type RegisterReply,
  type RegisterValue,
  registerErrors,
} from "../../protocol/register-value.ts";
import type { Operation } from "../../server/registers/index.ts";
import { bytes, origin } from "../laws/messages.ts";

const record = <T>(model: { readonly [Field in keyof T]: fc.Arbitrary<T[Field]> }): fc.Arbitrary<T> =>
  fc.record(model as { [Field in keyof T]: fc.Arbitrary<T[Field]> }, { noNullPrototype: true }) as fc.Arbitrary<T>;

const counter = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: ballotCounterMax }));
const epoch: fc.Arbitrary<Ballot> = record<Ballot>({ counter, origin });
export const ballot: fc.Arbitrary<Ballot> = fc.oneof(epoch, record<Ballot>({ counter, origin, epoch }));
const anyBallot = fc.oneof({ weight: 4, arbitrary: ballot }, { weight: 1, arbitrary: fc.constant(noBallot) });
const version = fc.maxSafeNat();
const integer = fc.oneof(
  fc.maxSafeInteger(),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n }),
  fc.bigInt({ min: -(2n ** 63n), max: -(2n ** 53n) }),
);

export const reply: fc.Arbitrary<RegisterReply> = fc.oneof(
  fc.constant<RegisterReply>({ kind: "ok" }),
  fc.constant<RegisterReply>({ kind: "nil" }),
  // Zero has one form on the wire.
  integer.map((value): RegisterReply => ({ kind: "integer", value: Object.is(value, -0) ? 0 : value })),
  bytes(40).map((text): RegisterReply => ({ kind: "text", text: text.slice(0, 1024) })),
  fc.constantFrom(...registerErrors).map((error): RegisterReply => ({ kind: "error", error })),
  fc.nat().map((size): RegisterReply => ({ kind: "not-kept", bytes: size })),
);

const rounds = fc
  .uniqueArray(ballot, { maxLength: registerRoundsKept, selector: (one) => one.counter })
  .map((some) => some.sort((a, b) => a.counter - b.counter));

export const registerValue: fc.Arbitrary<RegisterValue> = record({
  bytes: fc.option(bytes(60), { nil: undefined }),
  version,
  lease: fc.option(record({ id: version, ttlMs: fc.nat() }), { nil: undefined }),
  rounds,
  ops: fc.array(record({ id: bytes(20).map((id) => id.slice(0, 64)), version, reply }), {
    maxLength: operationIdsKept,
  }),
  fences: fc.array(record({ lock: bytes(20).map((lock) => lock.slice(0, 256)), token: version }), {
    maxLength: fencesPerRegisterMax,
  }),
}).map((value) => ({
  ...value,
  lease: value.bytes === undefined ? undefined : value.lease,
  forgotten: Math.max(0, (value.rounds[0]?.counter ?? 1) - 1),
}));

const text = registerValue.map(encodeRegisterValue);
const key = bytes(30);
const anyEpoch = fc.oneof({ weight: 4, arbitrary: epoch }, { weight: 1, arbitrary: fc.constant(noBallot) });
const envelope = { epoch: anyEpoch, asker: origin, round: fc.maxSafeNat() };
const held = fc.oneof(
  record({ accepted: ballot, value: fc.option(text, { nil: undefined }), floor: fc.constant(noBallot) }),
  record({ accepted: fc.constant(noBallot), value: fc.constant(""), floor: anyBallot }),
);
const kind = <Kind extends string>(name: Kind): fc.Arbitrary<Kind> => fc.constant(name);

export const message: fc.Arbitrary<RegisterMessage> = fc.oneof(
  record({ kind: kind("prepare"), ...envelope, key, ballot, known: anyBallot }),
  record({ kind: kind("accept"), ...envelope, key, ballot, next: anyBallot, value: text }),
  record({ kind: kind("query"), ...envelope, key, known: anyBallot }),
  record({ kind: kind("remove"), ...envelope, key, ballot }),
  record({ kind: kind("raise"), ...envelope }),
  record({ kind: kind("list"), ...envelope, after: key, first: fc.boolean() }),
  fc.tuple(record({ kind: kind("promised"), ...envelope }), held).map(([one, other]) => ({ ...one, ...other })),
  fc.tuple(record({ kind: kind("state"), ...envelope }), held).map(([one, other]) => ({ ...one, ...other })),
  record({ kind: kind("accepted"), ...envelope, next: anyBallot }),
  record({ kind: kind("refused"), ...envelope, above: anyBallot }),
  record({ kind: kind("stale"), ...envelope }),
  record({ kind: kind("raised"), ...envelope, floor: anyBallot, highest: fc.maxSafeNat() }),
  record({ kind: kind("listed"), ...envelope, more: fc.boolean(), keys: fc.array(key, { maxLength: 6 }) }),
  record({ kind: kind("standing"), ...envelope, admitted: fc.boolean(), blank: fc.boolean() }),
);

export const registerRecord: fc.Arbitrary<RegisterRecord> = fc.oneof(
  record({ kind: kind("ceiling"), counter }),
  record({ kind: kind("accept"), key, accepted: ballot, value: text }),
  record({ kind: kind("remove"), key, floor: ballot }),
  record({ kind: kind("epoch"), epoch }),
  record({
    kind: kind("admission"),
    admitted: fc.boolean(),
    epoch: anyEpoch,
    floor: anyBallot,
    highest: fc.maxSafeNat(),
  }),
);

/** Few values, so that conditions meet and fail. */
const value = fc.constantFrom("", "a", "b", "7", "9223372036854775807", "-1", "01");
const ttlMs = fc.constantFrom(0, 1500, 60_000);

export const operation: fc.Arbitrary<Operation> = fc.oneof(
  record({
    kind: kind("set"),
    value,
    condition: fc.oneof(
      fc.constantFrom("none" as const, "absent" as const, "present" as const),
      value.map((equals) => ({ equals })),
    ),
    returnsOld: fc.boolean(),
    ttlMs: fc.oneof(ttlMs, fc.constant("keep" as const)),
    fence: fc.option(record({ lock: fc.constantFrom("l", "m"), token: fc.integer({ min: 1, max: 4 }) }), {
      nil: undefined,
    }),
  }),
  record({
    kind: fc.constantFrom(
      "get" as const,
      "getdel" as const,
      "exists" as const,
      "strlen" as const,
      "ttl" as const,
      "pttl" as const,
      "persist" as const,
      "type" as const,
      "version" as const,
    ),
  }),
  record({
    kind: kind("del"),
    only: fc.option(
      value.map((equals) => ({ equals })),
      { nil: undefined },
    ),
  }),
  record({ kind: kind("incrby"), amount: fc.oneof(fc.constantFrom(1, -1, 10), fc.constant(2n ** 62n)) }),
  record({ kind: kind("append"), text: value }),
  record({ kind: kind("expire"), ttlMs: fc.constantFrom(-1, 0, 1000) }),
  record({ kind: kind("cas"), expected: value, value }),
);
