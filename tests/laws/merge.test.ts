/**
 * Merging is commutative, associative and idempotent: whatever order causality allows, however often, and whether it came
 * as frames or as cells of a transfer, the same operations give the same map and the same digest.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ByteWriter } from "../../protocol/bytes.ts";
import { writeCell, writeCellAt } from "../../server/replica/cell.ts";
import { CellBundleWriter } from "../../server/replica/cell-bundle.ts";
import { install } from "../../server/replica/install.ts";
import { Staging } from "../../server/replica/staging.ts";
import { covers } from "../../server/replica/version-vector.ts";
import { apply, applyInOrder, digestAt, expected, newState, runHistory, shown, steps } from "./history.ts";

const choices = fc.array(fc.nat(1000), { minLength: 1, maxLength: 30 });
const runs = { numRuns: 250 };

test("every order that causality allows gives what the operations say, and one digest", () => {
  fc.assert(
    fc.property(steps, fc.array(choices, { minLength: 2, maxLength: 3 }), (script, orders) => {
      const history = runHistory(script);
      const ms = history.endMs + 1;
      const readers = orders.map((order) => {
        const reader = newState("reader");
        applyInOrder(reader, history.frames, order);
        return reader;
      });
      for (const reader of readers) {
        assert.deepEqual(shown(reader, ms), expected(history, reader, ms));
        assert.deepEqual(shown(reader, ms + 10_000), expected(history, reader, ms + 10_000));
      }
      assert.equal(new Set(readers.map((reader) => digestAt(reader, 0))).size, 1);
      assert.equal(new Set(readers.map((reader) => digestAt(reader, ms + 20_000))).size, 1);
    }),
    runs,
  );
});

test("at every moment a peer shows exactly the fold of the operations its vector names", () => {
  fc.assert(
    fc.property(steps, choices, (script, order) => {
      const history = runHistory(script);
      const reader = newState("reader");
      for (let count = 1; count <= history.frames.length; count++) {
        // One frame more each time: those before are duplicates.
        const prefix = causalPrefix(history.frames, order, count);
        applyInOrder(reader, prefix.slice(count - 1), order);
        assert.deepEqual(shown(reader, history.endMs), expected(history, reader, history.endMs));
      }
    }),
    { numRuns: 100 },
  );
});

/** The first `count` frames of the order that `choices` gives. */
const causalPrefix = (
  frames: readonly Uint8Array[],
  order: readonly number[],
  count: number,
): readonly Uint8Array[] => {
  const taken: Uint8Array[] = [];
  const scratch = newState("reader");
  const left = [...frames];
  for (let step = 0; taken.length < count; step++) {
    for (let offset = 0; offset < left.length; offset++) {
      const index = ((order[step % order.length] ?? 0) + offset) % left.length;
      const before = [...scratch.vv];
      apply(scratch, left[index] as Uint8Array);
      if (covers(before, scratch.vv)) continue;
      taken.push(...left.splice(index, 1));
      break;
    }
  }
  return taken;
};

test("cells of a transfer, full or not, and frames after it give the same as frames alone", () => {
  fc.assert(
    fc.property(steps, choices, choices, fc.nat(100), fc.nat(100), fc.boolean(), (script, one, other, p, q, full) => {
      const history = runHistory(script);
      const count = history.frames.length;
      const sender = newState("reader");
      for (const bytes of causalPrefix(history.frames, one, Math.round((count * p) / 100))) apply(sender, bytes);
      const receiver = newState("reader");
      for (const bytes of causalPrefix(history.frames, other, Math.round((count * q) / 100))) apply(receiver, bytes);
      const vv0 = sender.wire(sender.vv);
      const contexts = sender.contexts.map(
        (context, origin) => [sender.origins.id(origin), sender.wire(context)] as const,
      );
      const staging = new Staging(receiver, 1, { kind: "transfer-begin", number: 1, full, vv0, contexts }, 1);
      const bundle = new CellBundleWriter(sender.origins);
      const have = sender.vector(receiver.wire(receiver.vv));
      sender.map.walk(0, Number.POSITIVE_INFINITY, (ref) => {
        const cell = sender.map.cellAt(ref);
        const isNew =
          (cell.value !== undefined && cell.seq > (have[cell.origin] ?? 0)) ||
          cell.totals.some((total) => total.seq > (have[total.origin] ?? 0));
        if (full || isNew) bundle.add(sender.map.keyAt(ref), cell);
        return false;
      });
      if (bundle.count > 0) staging.addCells(bundle.take());
      install(receiver, staging, { kind: "transfer-end", vvEnd: vv0, horizonMs: 0, floor: [], clock: 0 }, () => {});
      assert.deepEqual(shown(receiver, history.endMs), expected(history, receiver, history.endMs), "after the install");
      applyLeft(receiver, history.frames);
      const plain = newState("reader");
      applyInOrder(plain, history.frames, other);
      assert.deepEqual(shown(receiver, history.endMs), shown(plain, history.endMs));
      assert.equal(digestAt(receiver, history.endMs), digestAt(plain, history.endMs));
    }),
    runs,
  );
});

test("a cell is written from its place in the map as it is when taken out of it", () => {
  fc.assert(
    fc.property(steps, choices, (script, one) => {
      const { frames } = runHistory(script);
      const state = newState("reader");
      applyInOrder(state, frames, one);
      const { map } = state;
      map.walk(0, Number.POSITIVE_INFINITY, (ref) => {
        const [direct, byObject] = [new ByteWriter(), new ByteWriter()];
        writeCellAt(direct, map, ref, (origin) => origin);
        writeCell(byObject, map.cellAt(ref), (origin) => origin);
        assert.deepEqual(direct.take(), byObject.take());
        return false;
      });
    }),
    runs,
  );
});

const applyLeft = (state: ReturnType<typeof newState>, frames: readonly Uint8Array[]): void => {
  for (let round = 0; round <= frames.length; round++) for (const bytes of frames) apply(state, bytes);
};

test("equal stamps are decided by the bytes of the origin, then by the seq", () => {
  // Two writers in one millisecond that never heard of each other: the step script gives equal stamps.
  const step = { key: 0, amount: 1, expires: false, more: true } as const;
  const history = runHistory([
    { ...step, who: 0, what: "set" },
    { ...step, who: 1, what: "set", amount: 2 },
    { ...step, who: 2, what: "set", amount: 3 },
  ]);
  const stamps = new Set(history.operations.map(({ stamp }) => stamp));
  assert.equal(stamps.size, 1);
  for (const order of [[0], [1], [2], [0, 1], [2, 1, 0]]) {
    const reader = newState("reader");
    applyInOrder(reader, history.frames, order);
    assert.equal(shown(reader, history.endMs)["k"], "300");
  }
});
