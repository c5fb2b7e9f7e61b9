/** The conflict journal: bounded, counted, each loser once; and what all peers agree on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Conflict, ConflictJournal } from "../../server/replica/conflicts.ts";
import { applyInOrder, newState, runHistory, steps } from "./history.ts";
import { conflict } from "./messages.ts";

const conflicts = fc.array(conflict, { maxLength: 30 });

test("the newest stay within both bounds, the oldest go and are counted, and each id is kept once", () => {
  const limits = fc.record({ entriesMax: fc.nat(8), bytesMax: fc.integer({ min: 0, max: 6000 }) });
  fc.assert(
    fc.property(conflicts, limits, (list, { entriesMax, bytesMax }) => {
      const journal = new ConflictJournal({ entriesMax, bytesMax });
      const bytesOf = ({ key, winner, loser }: Conflict): number =>
        300 + key.length + (winner.value?.length ?? 0) + (loser.value?.length ?? 0);
      let kept: Conflict[] = [];
      let recorded = 0;
      let dropped = 0;
      for (const entry of list) {
        journal.record(entry);
        if (!kept.some(({ id }) => id === entry.id)) {
          kept.push(entry);
          recorded++;
          while (kept.length > entriesMax || kept.reduce((sum, one) => sum + bytesOf(one), 0) > bytesMax) {
            kept = kept.slice(1);
            dropped++;
          }
        }
        assert.deepEqual(journal.list(), kept);
        assert.equal(
          journal.bytes,
          kept.reduce((sum, one) => sum + bytesOf(one), 0),
        );
        assert.deepEqual([journal.count, journal.recorded, journal.dropped], [kept.length, recorded, dropped]);
      }
    }),
  );
});

test("a checkpoint that takes every change can rebuild the journal, oldest first", () => {
  const action = fc.oneof(
    conflict.map((entry) => ({ what: "record" as const, entry })),
    fc.record({ what: fc.constant("take" as const) }),
    fc.record({ what: fc.constant("restore" as const), index: fc.nat(10) }),
  );
  fc.assert(
    fc.property(fc.array(action, { maxLength: 30 }), (actions) => {
      const journal = new ConflictJournal({ entriesMax: 4, bytesMax: 1 << 20 });
      const disk = new Map<string, Conflict>();
      const take = (): void => {
        for (const [id, entry] of journal.takeChanged()) entry === undefined ? disk.delete(id) : disk.set(id, entry);
      };
      for (const action of actions) {
        if (action.what === "record") journal.record(action.entry);
        if (action.what === "restore") {
          const entry = journal.list()[action.index];
          if (entry !== undefined) journal.markRestored(entry.id);
        }
        if (action.what === "take") take();
      }
      take();
      const loaded = new ConflictJournal({ entriesMax: 4, bytesMax: 1 << 20 });
      for (const id of [...disk.keys()].sort()) loaded.load(disk.get(id) as Conflict);
      loaded.sortByTime();
      const byTime = (a: Conflict, b: Conflict): number =>
        a.loser.stamp !== b.loser.stamp ? a.loser.stamp - b.loser.stamp : a.id < b.id ? -1 : 1;
      assert.deepEqual(loaded.list(), journal.list().sort(byTime));
      assert.equal(loaded.bytes, journal.bytes);
    }),
  );
});

test("of two concurrent writes every peer names the same loser, whichever came first", () => {
  fc.assert(
    fc.property(
      steps,
      fc.array(fc.nat(1000), { minLength: 1 }),
      fc.array(fc.nat(1000), { minLength: 1 }),
      (script, p, q) => {
        // One write per writer: more can hide one another, see below.
        const first = new Set<number>();
        const history = runHistory(
          script
            .filter(({ what }) => what !== "hear" && what !== "incr")
            .filter(({ who, what }) => what === "wait" || (!first.has(who) && first.add(who)))
            .map((step) => ({ ...step, key: 0, expires: false })),
        );
        const losers = [p, q].map((order) => {
          const reader = newState("reader");
          applyInOrder(reader, history.frames, order);
          return reader.journal.list();
        });
        const writes = history.operations.filter(({ kind }) => kind !== "incr");
        const winner = writes.reduce(
          (a, b) => (b.stamp > a.stamp || (b.stamp === a.stamp && b.origin > a.origin) ? b : a),
          {
            stamp: 0,
            origin: "",
          } as (typeof writes)[number],
        );
        for (const list of losers) {
          for (const { id, loser } of list) {
            assert.notEqual(id, `${winner.origin}:${winner.seq}`, "what stands in the map has not lost");
            const write = writes.find(({ origin, seq }) => `${origin}:${seq}` === id);
            assert.equal(loser.value, write?.value);
          }
        }
        // Two writers: exactly the same set. Equal values of others may hide a loser from some.
        const values = new Set(writes.map(({ value }) => value));
        if (writes.length > 0 && (writes.length === 2 || values.size === writes.length)) {
          const ids = losers.map((list) => list.map(({ id }) => id).sort());
          assert.deepEqual(ids[0], ids[1]);
          assert.equal(ids[0]?.length, values.size === 1 ? 0 : writes.length - 1);
        }
      },
    ),
    { numRuns: 200 },
  );
});
