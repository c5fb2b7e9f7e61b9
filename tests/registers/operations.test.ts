/** What the commands do to a register: a table, and the agreement with the plain specification of scripts/lincheck. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { inputOf, outputOf } from "../../scripts/lincheck/history.ts";
import { initialState, nextStates } from "../../scripts/lincheck/specification.ts";
import { noBallot } from "../../server/registers/ballot.ts";
import type { Operation } from "../../server/registers/index.ts";
import { applyOperation, isRead } from "../../server/registers/operations.ts";
import { absentRegister, type RegisterReply, type RegisterValue } from "../../server/registers/register-value.ts";
import * as arbitrary from "./arbitrary.ts";

const absent = absentRegister(noBallot);
const holding = (bytes: string, more: Partial<RegisterValue> = {}): RegisterValue => ({
  ...absent,
  bytes,
  version: 64,
  ...more,
});
const leased = { lease: { id: 64, ttlMs: 3000 } };
const at = { version: 128, leaseLeftMs: () => 1499 };
const show = (reply: RegisterReply): string =>
  "value" in reply
    ? `${reply.value}`
    : "text" in reply
      ? `"${reply.text}"`
      : "error" in reply
        ? reply.error
        : reply.kind;
const set = (more: Partial<Extract<Operation, { kind: "set" }>> = {}): Operation => ({
  kind: "set",
  value: "new",
  condition: "none",
  returnsOld: false,
  ttlMs: 0,
  ...more,
});

const table: readonly (readonly [RegisterValue, Operation, reply: string, value: string | undefined, why: string])[] = [
  [absent, set(), "ok", "new", "SET"],
  [absent, set({ condition: "absent" }), "ok", "new", "NX of nothing"],
  [holding("a"), set({ condition: "absent" }), "nil", "a", "NX of something"],
  [absent, set({ condition: "present" }), "nil", undefined, "XX of nothing"],
  [holding("a"), set({ condition: "present" }), "ok", "new", "XX of something"],
  [holding("a"), set({ condition: { equals: "a" } }), "ok", "new", "IFEQ that holds"],
  [holding("a"), set({ condition: { equals: "b" } }), "nil", "a", "IFEQ that does not"],
  [absent, set({ condition: { equals: "" } }), "nil", undefined, "nothing does not equal the empty text"],
  [holding("a"), set({ returnsOld: true }), '"a"', "new", "SET GET"],
  [absent, set({ returnsOld: true }), "nil", "new", "SET GET of nothing"],
  [holding("a"), set({ returnsOld: true, condition: "absent" }), '"a"', "a", "SET NX GET tells what is in the way"],
  [holding("a"), { kind: "getdel" }, '"a"', undefined, "GETDEL"],
  [holding("a"), { kind: "del" }, "1", undefined, "DEL"],
  [absent, { kind: "del" }, "0", undefined, "DEL of nothing"],
  [holding("a"), { kind: "del", only: { equals: "b" } }, "0", "a", "DEL IFEQ of another's"],
  [holding("a"), { kind: "del", only: { equals: "a" } }, "1", undefined, "DEL IFEQ"],
  [holding("a"), { kind: "cas", expected: "a", value: "b" }, "1", "b", "CAS"],
  [holding("c"), { kind: "cas", expected: "a", value: "b" }, "0", "c", "CAS that fails"],
  [absent, { kind: "incrby", amount: 5 }, "5", "5", "INCRBY of nothing begins at 0"],
  [holding("9223372036854775807"), { kind: "incrby", amount: 1 }, "overflow", "9223372036854775807", "64 bits"],
  [
    holding("9223372036854775806"),
    { kind: "incrby", amount: 1 },
    "9223372036854775807",
    "9223372036854775807",
    "exact",
  ],
  [holding("01"), { kind: "incrby", amount: 1 }, "not-an-integer", "01", "no leading zeros, as Redis has it"],
  [holding("a"), { kind: "append", text: "b" }, "2", "ab", "APPEND"],
  [holding("a".repeat(65_536)), { kind: "append", text: "b" }, "too-long", "a".repeat(65_536), "64 KiB"],
  [holding("a", leased), { kind: "ttl" }, "1", "a", "TTL is rounded as Redis does"],
  [holding("a", leased), { kind: "pttl" }, "1499", "a", "PTTL is what this peer believes"],
  [holding("a"), { kind: "ttl" }, "-1", "a", "no expiry"],
  [absent, { kind: "ttl" }, "-2", undefined, "no key"],
  [holding("a"), { kind: "expire", ttlMs: 0 }, "1", undefined, "EXPIRE 0 deletes"],
  [absent, { kind: "expire", ttlMs: 9 }, "0", undefined, "EXPIRE of nothing"],
  [holding("a"), { kind: "persist" }, "0", "a", "PERSIST of what lasts"],
  [absent, { kind: "version" }, "nil", undefined, "nothing has no version"],
  [holding("a"), { kind: "version" }, "64", "a", "VERSION"],
];

for (const [value, operation, reply, after, why] of table) {
  test(`${operation.kind}: ${why}`, () => {
    const result = applyOperation(value, operation, at);
    assert.equal(show(result.reply), reply);
    assert.equal(result.value.bytes, after);
    if (after === value.bytes) assert.equal(result.value, value, "what changes nothing gives the very same register");
  });
}

test("a write has a new version, an expiry does not, and both have a lease of their own", () => {
  const written = applyOperation(holding("a"), set({ ttlMs: 10 }), at).value;
  assert.deepEqual([written.version, written.lease], [128, { id: 128, ttlMs: 10 }]);
  const renewed = applyOperation(holding("a", leased), { kind: "expire", ttlMs: 10 }, at).value;
  assert.deepEqual([renewed.version, renewed.lease], [64, { id: 128, ttlMs: 10 }]);
  const kept = applyOperation(holding("a", leased), set({ ttlMs: "keep" }), at).value;
  assert.deepEqual([kept.version, kept.lease], [128, { id: 64, ttlMs: 3000 }], "KEEPTTL keeps the very lease");
  assert.equal(applyOperation(holding("a", leased), set(), at).value.lease, undefined);
});

test("a lower fencing token is refused, also after the key was deleted", () => {
  const fenced = applyOperation(absent, set({ fence: { lock: "l", token: 5 } }), at).value;
  const gone = applyOperation(fenced, { kind: "del" }, at).value;
  const late = applyOperation(gone, set({ fence: { lock: "l", token: 4 } }), at);
  assert.equal(show(late.reply), "fenced");
  assert.equal(late.value, gone);
  assert.equal(show(applyOperation(gone, set({ fence: { lock: "l", token: 5 } }), at).reply), "ok");
});

test("operations do what the specification says", () => {
  fc.assert(
    fc.property(fc.array(arbitrary.operation, { maxLength: 12 }), (operations) => {
      let value = absent;
      let states = [initialState];
      for (const [index, operation] of operations.entries()) {
        const version = (index + 1) * 64;
        const before = value;
        const result = applyOperation(value, operation, { version, leaseLeftMs: ({ ttlMs }) => ttlMs });
        value = result.value;
        if (isRead(operation)) assert.equal(value, before, "a read changes nothing");
        assert.ok(value.version >= before.version, "versions never go back");
        const entry = {
          client: "c",
          key: "k",
          op: operation.kind,
          input: inputOf(operation),
          output: outputOf(result.reply, value.version),
          start_ns: index,
          end_ns: index,
          outcome: "ok" as const,
        };
        states = states.flatMap((state) => nextStates(state, entry));
        assert.ok(states.length > 0, `${JSON.stringify(entry)} of ${JSON.stringify(before)}`);
        assert.equal(states[0]?.value, value.bytes ?? null);
      }
    }),
    { numRuns: 500 },
  );
});
