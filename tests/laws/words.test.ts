/** The identifiers: what their parsers take, and their order. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type Incarnation,
  originId,
  type PeerName,
  parseIncarnation,
  parseOriginId,
  parsePeerName,
} from "../../protocol/words.ts";
import { Replica } from "../../server/replica/replica.ts";
import { incarnation, peerName } from "./messages.ts";

test("what the parsers take comes back, and an origin falls into its two parts", () => {
  fc.assert(
    fc.property(peerName, incarnation, (name, run) => {
      assert.equal(parsePeerName(name), name);
      assert.equal(parseIncarnation(run), run);
      assert.deepEqual(parseOriginId(originId(name, run)), { name, incarnation: run });
    }),
  );
});

test("names, incarnations and origins that are none", () => {
  for (const text of ["", " a", "a b", "a.b", "é", "a\n", "x".repeat(33), "__proto__ "]) {
    assert.equal(parsePeerName(text), undefined, JSON.stringify(text));
  }
  for (const text of [
    "",
    "0".repeat(14),
    "0".repeat(16),
    "A".repeat(15),
    `${"0".repeat(14)}\n`,
    `${"0".repeat(14)}.`,
  ]) {
    assert.equal(parseIncarnation(text), undefined, JSON.stringify(text));
  }
  const run = "0".repeat(15);
  for (const text of [
    "",
    "a",
    ".",
    run,
    `.${run}`,
    `a.${run}.`,
    `a..${run}`,
    `a.${run}\n`,
    `a.${run}0`,
    `a b.${run}`,
  ]) {
    assert.equal(parseOriginId(text), undefined, JSON.stringify(text));
  }
});

const startAt = (nowMs: number, random: string, above?: Incarnation): Incarnation => {
  const name = parsePeerName("a") as PeerName;
  const replica = new Replica({
    name,
    peers: [name],
    clockSkewMaxMs: 5000,
    conflicts: { entriesMax: 1, bytesMax: 1 },
    recentBytesMax: 0,
  });
  replica.recovered(1);
  replica.start({ nowMs, elapsedMs: 0, random, bootstrap: true, firstStart: true, above });
  return replica.state.incarnation;
};

test("of two incarnations the later start is the greater text, until 2089, and one can be surpassed", () => {
  const time = fc.integer({ min: Date.UTC(2020, 0, 2), max: Date.UTC(2088, 0, 1) });
  fc.assert(
    fc.property(time, time, (one, other) => {
      fc.pre(one !== other);
      const [early, late] = one < other ? [one, other] : [other, one];
      assert(startAt(early, "zzzz") < startAt(late, "0000"));
      assert(startAt(early, "0000", startAt(late, "zzzz")) > startAt(late, "zzzz"));
    }),
    { numRuns: 50 },
  );
});
