/** Where to read the log from, against a walk over all of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LogIndex } from "../../server/replica/log-index.ts";
import { covers, setAt, type VersionVector } from "../../server/replica/version-vector.ts";

const action = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      what: fc.constant("append" as const),
      origin: fc.nat(2),
      kib: fc.integer({ min: 1, max: 200 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ what: fc.constant("roll" as const) }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant("trim" as const), share: fc.nat(100) }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant("install" as const), origin: fc.nat(2) }) },
);

test("a stream never begins before the log does or behind what its reader lacks, and an entry costs little re-reading", () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), fc.array(fc.nat(25), { maxLength: 3 }), (actions, have) => {
      const index = new LogIndex();
      const vv: VersionVector = [];
      // befores[lsn]: the vector of all before that record.
      const befores = new Map<number, VersionVector>();
      const sizes = new Map<number, number>();
      let firstLsn = 1;
      let nextLsn = 1;
      let gapLsn = 1;
      for (const step of actions) {
        if (step.what === "append") {
          index.note(nextLsn, step.kib * 1024, vv);
          befores.set(nextLsn, [...vv]);
          sizes.set(nextLsn, step.kib);
          setAt(vv, step.origin, (vv[step.origin] ?? 0) + 1);
          nextLsn++;
        }
        if (step.what === "roll") index.add(nextLsn, vv);
        if (step.what === "install") {
          // The transfer brings more than any frame here holds.
          setAt(vv, step.origin, (vv[step.origin] ?? 0) + 5);
          index.reset(nextLsn, vv);
          gapLsn = nextLsn;
        }
        if (step.what === "trim") {
          firstLsn = Math.max(firstLsn, Math.round((nextLsn * step.share) / 100), 1);
          index.trimmed(firstLsn, nextLsn, vv);
        }
        befores.set(nextLsn, [...vv]);

        const start = index.startFor(have);
        const oldest = Math.max(firstLsn, gapLsn);
        if (start === undefined) continue;
        assert(start >= oldest, `${start} was trimmed, or lies before a gap; the log begins at ${oldest}`);
        assert(start <= nextLsn);
        assert(covers(have, befores.get(start) ?? []), "nothing the reader lacks lies before the start");
        // A better one would be at most an entry's distance on.
        let skipped = 0;
        for (let lsn = start; lsn < nextLsn && covers(have, befores.get(lsn + 1) ?? []); lsn++)
          skipped += sizes.get(lsn) ?? 0;
        if (covers(have, vv)) assert(skipped <= 256 + 200, `${skipped} KiB are read again for nothing`);
      }
      assert.equal(index.startFor(vv) === undefined, false, "who has everything needs no transfer");
    }),
    { numRuns: 500 },
  );
});

test("a reader that lacks what was trimmed needs a transfer", () => {
  const index = new LogIndex();
  index.note(1, 100, []);
  index.note(2, 100, [1]);
  index.add(3, [2]);
  index.note(3, 100, [2]);
  assert.equal(index.startFor([]), 1);
  index.trimmed(3, 4, [3]);
  assert.equal(index.startFor([]), undefined);
  assert.equal(index.startFor([1]), undefined);
  assert.equal(index.startFor([2]), 3);
  index.trimmed(4, 4, [3]);
  assert.equal(index.startFor([2]), undefined);
  assert.equal(index.startFor([3]), 4);
});
