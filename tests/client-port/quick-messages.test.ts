/** The way past zod says yes only to what the schema says yes to, and gives the same. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { clientRequest, parseClientRequest, parsePeerMessage, peerMessage } from "../../protocol/client-messages.ts";

const junk = fc.oneof(
  fc.constant(undefined),
  fc.constant(null),
  fc.string({ maxLength: 5 }),
  fc.integer({ min: -2, max: 5 }),
  fc.double(),
  fc.constant({ base64: "AAAA" }),
  fc.constant({ base64: "A" }),
  fc.constant([]),
  fc.constant({}),
  fc.constant(2 ** 60),
);
const mostly = <Value>(value: fc.Arbitrary<Value>) =>
  fc.oneof({ weight: 8, arbitrary: value }, { weight: 1, arbitrary: junk });
const extra = fc.oneof({ weight: 8, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: fc.constant({ more: 1 }) });
const id = mostly(fc.integer({ min: 1, max: 9 }));
const text = mostly(fc.string({ maxLength: 8 }));
const number = mostly(fc.integer());

const merged = (fields: Readonly<Record<string, fc.Arbitrary<unknown>>>) =>
  fc.tuple(fc.record(fields), extra).map(([record, more]) => ({ ...record, ...more }));

const change = merged({
  type: mostly(fc.constantFrom("set", "delete", "increment", "expired")),
  key: text,
  value: fc.option(text, { nil: undefined }),
  expiresAtMs: fc.option(number, { nil: undefined }),
  origin: text,
  seq: number,
  stamp: number,
  stampMs: number,
});
const scalar = mostly(fc.oneof(fc.string(), fc.integer(), fc.constant(null), fc.constant({ status: "OK" })));
const fromPeer = fc.oneof(
  merged({
    type: fc.constant("reply"),
    id,
    reply: mostly(fc.oneof(scalar, fc.array(scalar))),
    position: fc.option(text, { nil: undefined }),
  }),
  merged({
    type: fc.constant("changes"),
    id,
    changes: mostly(fc.array(mostly(change))),
    token: text,
    left: fc.option(number, { nil: undefined }),
  }),
);
const fromClient = merged({
  type: mostly(fc.constant("command")),
  id,
  args: mostly(fc.array(text)),
  position: fc.option(text, { nil: undefined }),
  staleAfterMs: fc.option(number, { nil: undefined }),
});

for (const [name, arbitrary, schema, parse] of [
  ["of a peer", fromPeer, peerMessage, parsePeerMessage],
  ["of a client", fromClient, clientRequest, parseClientRequest],
] as const) {
  test(`messages ${name} are judged alike with and without the schema`, () => {
    fc.assert(
      fc.property(arbitrary, (message) => {
        const json = JSON.stringify(message);
        const parsed = parse(json);
        const slow = schema.safeParse(JSON.parse(json));
        assert.equal(parsed.ok, slow.success, json);
        if (parsed.ok && slow.success) assert.deepEqual(parsed.message, slow.data);
      }),
      { numRuns: 3000 },
    );
  });
}
