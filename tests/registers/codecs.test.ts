/**
 * The bytes of strong keys: what was written is read back, whatever comes is either read or refused with DecodeFault, and
 * what this version wrote stays readable. UPDATE_FIXTURES=1 writes the fixtures anew: only before a version is released.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { noBallot } from "../../protocol/ballots.ts";
import { ByteReader, DecodeFault } from "../../protocol/bytes.ts";
import {
  decodeRegisterMessages,
  decodeRegisterRecords,
  encodeRegisterMessages,
  encodeRegisterRecords,
  type RegisterMessage,
  type RegisterRecord,
  registersKind,
} from "../../protocol/register-messages.ts";
import {
  checkRegisterValue,
  decodeRegisterValue,
  encodeRegisterValue,
  peekRegisterValue,
  type RegisterValue,
} from "../../protocol/register-value.ts";
import type { OriginId } from "../../protocol/words.ts";
import * as arbitrary from "./arbitrary.ts";

test("a register comes back as it was written", () => {
  fc.assert(
    fc.property(arbitrary.registerValue, (value) => {
      const text = encodeRegisterValue(value);
      assert.deepEqual(decodeRegisterValue(text), value);
      const { live, version, lease } = peekRegisterValue(text);
      assert.deepEqual(
        { live, version, lease },
        { live: value.bytes !== undefined, version: value.version, lease: value.lease },
      );
    }),
    { numRuns: 200 },
  );
});

test("messages and records come back as they were written", () => {
  fc.assert(
    fc.property(fc.array(arbitrary.message, { maxLength: 6 }), (messages) => {
      assert.deepEqual(decodeRegisterMessages(encodeRegisterMessages(messages)), messages);
    }),
    { numRuns: 200 },
  );
  fc.assert(
    fc.property(arbitrary.registerRecord, (record) => {
      assert.deepEqual(decodeRegisterRecords(encodeRegisterRecords([record, record])), [record, record]);
    }),
    { numRuns: 200 },
  );
});

/** Decodes or refuses; anything else is a bug. */
const survives = (decode: () => unknown): void => {
  try {
    decode();
  } catch (error) {
    assert.ok(error instanceof DecodeFault, String(error));
  }
};

test("damaged, cut and foreign bytes are refused and nothing else happens", () => {
  const change = fc.tuple(fc.nat(), fc.nat(255));
  fc.assert(
    fc.property(
      fc.array(arbitrary.message, { minLength: 1, maxLength: 3 }),
      fc.array(change, { maxLength: 3 }),
      (messages, changes) => {
        const bytes = encodeRegisterMessages(messages);
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
        survives(() => decodeRegisterMessages(bytes));
        survives(() => decodeRegisterMessages(bytes.subarray(0, (changes[0]?.[0] ?? 0) % bytes.length)));
        survives(() => decodeRegisterRecords(bytes));
        survives(() => decodeRegisterValue(bytes.toString("latin1")));
      },
    ),
    { numRuns: 500 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      survives(() => decodeRegisterMessages(bytes));
      survives(() => decodeRegisterRecords(bytes));
      survives(() => decodeRegisterValue(Buffer.from(bytes).toString("latin1")));
    }),
    { numRuns: 500 },
  );
});

/** What it threw; undefined: nothing. */
const faultOf = (look: () => unknown): string | undefined => {
  try {
    look();
    return undefined;
  } catch (error) {
    assert.ok(error instanceof DecodeFault, String(error));
    return error.message;
  }
};

test("a register is found well-formed exactly when it can be read", () => {
  const change = fc.tuple(fc.nat(), fc.nat(255));
  fc.assert(
    fc.property(arbitrary.registerValue, fc.array(change, { maxLength: 2 }), fc.nat(), (value, changes, cut) => {
      const whole = Buffer.from(encodeRegisterValue(value), "latin1");
      for (const [at, byte] of changes) whole[at % whole.length] = byte;
      for (const bytes of [whole, whole.subarray(0, cut % whole.length)]) {
        const text = bytes.toString("latin1");
        assert.equal(
          faultOf(() => checkRegisterValue(new ByteReader(bytes))),
          faultOf(() => decodeRegisterValue(text)),
        );
      }
    }),
    { numRuns: 1000 },
  );
});

const a = "a.0k2v7x1abcd0f9z" as OriginId;
const b = "site-2_B.0k2v7x1abcd0f9z" as OriginId;
const low = { counter: 1, origin: a };
const high = { counter: 2 ** 47 - 1, origin: b, epoch: low };
const dead: RegisterValue = {
  bytes: undefined,
  version: 130,
  lease: undefined,
  rounds: [low],
  forgotten: 0,
  ops: [],
  fences: [],
};
const full: RegisterValue = {
  bytes: "Oslo\u0000\u00ff",
  version: 2 ** 53 - 1,
  lease: { id: 130, ttlMs: 30_000 },
  rounds: [low, { counter: 300, origin: a }, high],
  forgotten: 0,
  ops: [
    { id: "client-1.7", version: 65, reply: { kind: "ok" } },
    { id: "client-1.8", version: 66, reply: { kind: "integer", value: -(2n ** 63n) } },
    { id: "client-2.1", version: 67, reply: { kind: "text", text: "old" } },
    { id: "client-2.2", version: 68, reply: { kind: "error", error: "fenced" } },
    { id: "client-2.3", version: 69, reply: { kind: "not-kept", bytes: 65_536 } },
    { id: "client-2.4", version: 70, reply: { kind: "nil" } },
  ],
  fences: [{ lock: "strong:lock:x", token: 64 }],
};
const values = [dead, full];
const value = encodeRegisterValue(full);
const envelope = { epoch: noBallot, asker: a, round: 1 };
const later = { epoch: low, asker: b, round: 300 };
const messages: readonly RegisterMessage[] = [
  { kind: "prepare", ...envelope, key: "strong:x", ballot: low, known: noBallot },
  { kind: "accept", ...envelope, key: "strong:x", ballot: low, next: high, value },
  { kind: "query", ...later, key: "", known: high },
  { kind: "remove", ...envelope, key: "strong:x", ballot: high },
  { kind: "raise", ...later },
  { kind: "list", ...later, after: "k", first: false },
  { kind: "promised", ...envelope, accepted: noBallot, value: "", floor: low },
  { kind: "accepted", ...envelope, next: high },
  { kind: "state", ...envelope, accepted: high, value: encodeRegisterValue(dead), floor: noBallot },
  { kind: "promised", ...later, accepted: low, value: undefined, floor: noBallot },
  { kind: "refused", ...envelope, above: high },
  { kind: "stale", ...later },
  { kind: "raised", ...later, floor: noBallot, highest: 300 },
  { kind: "listed", ...later, more: true, keys: ["", "strong:x"] },
  { kind: "standing", ...later, admitted: true, blank: false },
];
const records: readonly RegisterRecord[] = [
  { kind: "ceiling", counter: 131_079 },
  { kind: "accept", key: "strong:x", accepted: low, value },
  { kind: "remove", key: "strong:x", floor: low },
  { kind: "epoch", epoch: low },
  { kind: "admission", admitted: true, epoch: low, floor: noBallot, highest: 300 },
];

const path = fileURLToPath(new URL("../fixtures/registers-v2.json", import.meta.url));
const written = {
  values: values.map((one) => Buffer.from(encodeRegisterValue(one), "latin1").toString("hex")),
  messages: messages.map((one) => encodeRegisterMessages([one]).toString("hex")),
  batch: encodeRegisterMessages(messages).toString("hex"),
  records: records.map((one) => encodeRegisterRecords([one]).toString("hex")),
};
if (process.env["UPDATE_FIXTURES"] === "1") writeFileSync(path, `${JSON.stringify(written, undefined, 2)}\n`);
const stored = JSON.parse(readFileSync(path, "utf8")) as typeof written;
const fromHex = (hex: string): Buffer => Buffer.from(hex, "hex");

test("bytes of this version are read as what they were, and still written so", () => {
  assert.deepEqual(
    stored.values.map((hex) => decodeRegisterValue(fromHex(hex).toString("latin1"))),
    values,
  );
  assert.deepEqual(
    stored.messages.flatMap((hex) => decodeRegisterMessages(fromHex(hex))),
    messages,
  );
  assert.deepEqual(decodeRegisterMessages(fromHex(stored.batch)), messages);
  assert.deepEqual(
    stored.records.flatMap((hex) => decodeRegisterRecords(fromHex(hex))),
    records,
  );
  assert.deepEqual(written, stored);
});

test("a format of another version is refused by its number", () => {
  assert.throws(
    () => decodeRegisterMessages(Uint8Array.of(registersKind, 1)),
    new DecodeFault("register messages of format 1, this version reads 2"),
  );
  assert.throws(
    () => decodeRegisterRecords(Uint8Array.of(1, 1)),
    new DecodeFault("register records of format 1, this version reads 2"),
  );
  assert.throws(() => decodeRegisterValue("\u0002"), new DecodeFault("register of format 2, this version reads 1"));
});

test("an origin is spelled out once per batch", () => {
  const one = encodeRegisterMessages([{ kind: "query", ...envelope, key: "k", known: noBallot }]).length;
  const two = encodeRegisterMessages([
    { kind: "query", ...envelope, key: "k", known: noBallot },
    { kind: "query", ...envelope, key: "l", known: noBallot },
  ]).length;
  assert.equal(two - one, 7);
});
