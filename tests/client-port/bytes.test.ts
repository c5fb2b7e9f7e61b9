/** The peer's own conversions give the form that protocol/wire-text.ts says, for all bytes there are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  bytesToWire,
  latin1ToWire,
  type WireText,
  wireText,
  wireToBytes,
  wireToLatin1,
} from "../../protocol/wire-text.ts";
import { latin1ToJson, wireToLatin1 as serverWireToLatin1 } from "../../server/ports/client-socket-bytes.ts";

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 600 }),
  fc.string({ unit: "grapheme", maxLength: 200 }).map((text) => new Uint8Array(Buffer.from(text))),
);

test("bytes have one form, at the peer and at the client, and come back as they were", () => {
  fc.assert(
    fc.property(bytes, (given) => {
      const latin1 = Buffer.from(given).toString("latin1");
      const form = bytesToWire(given);
      assert.deepEqual(latin1ToWire(latin1), form);
      assert.deepEqual(JSON.parse(latin1ToJson(latin1)), form);
      assert.ok(wireText.safeParse(form).success);
      assert.deepEqual(Buffer.from(wireToBytes(form)), Buffer.from(given));
      assert.equal(wireToLatin1(form), latin1);
      assert.equal(serverWireToLatin1(form), latin1);
    }),
  );
});

test("long text of control characters is base64, other text is text", () => {
  const long = 64 * 1024;
  for (const [text, isText] of [
    ["\0".repeat(long - 1), true],
    ["\0".repeat(long), false],
    ["\n\t\r\b\f".repeat(long), true],
    ["\u001b[0m".repeat(long), false],
    [`\u001b${"x".repeat(8)}`.repeat(long), true],
    ["日本".repeat(long), true],
  ] as const) {
    const form = bytesToWire(Buffer.from(text));
    assert.equal(typeof form === "string", isText);
    assert.deepEqual(JSON.parse(latin1ToJson(Buffer.from(text).toString("latin1"))), form);
  }
});

test("base64 is standard and padded, at any length", () => {
  const isBase64 = (base64: string): boolean => wireText.safeParse({ base64 }).success;
  for (const good of ["", "YQ==", "YWI=", "YWJj", "+/+/", "A".repeat(24 * 1024 * 1024)]) assert.ok(isBase64(good));
  for (const bad of [
    "Y",
    "YQ",
    "YQ=",
    "YQ===",
    "=",
    "====",
    "Y=Q=",
    "YW-j",
    "YW_j",
    " YQ=",
    "YQ=\n",
    "A".repeat(4_000_001),
  ]) {
    assert.ok(!isBase64(bad), bad.slice(0, 20));
  }
  const form: WireText = "\ud800";
  assert.deepEqual(Buffer.from(wireToBytes(form)), Buffer.from("\ufffd"));
  assert.equal(serverWireToLatin1(form), wireToLatin1(form));
});
