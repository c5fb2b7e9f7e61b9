/** Which facts count, and what is stable: the rules whose breach resurrects keys or stops purging. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Incarnation, type PeerName, parseIncarnation, parsePeerName } from "../../protocol/words.ts";
import { type Fact, FactBook } from "../../server/replica/facts.ts";
import { msToStamp } from "../../server/replica/hybrid-clock.ts";
import { covers, equal, meet, type VersionVector } from "../../server/replica/version-vector.ts";

const peers = ["a", "b", "c"].map((name) => parsePeerName(name) as PeerName);
const run = (number: number): Incarnation => parseIncarnation(`${"0".repeat(14)}${number}`) as Incarnation;
const startMs = Date.UTC(2030, 0, 1);

interface FactParts {
  readonly peer: number;
  readonly number: number;
  readonly view: readonly number[];
  readonly vv: readonly number[];
  readonly clockMs?: number;
}

const fact = ({ peer, number, view, vv, clockMs }: FactParts): Fact => ({
  peer: peers[peer] as PeerName,
  incarnation: run(view[peer] as number),
  number,
  view: view.map(run),
  vv,
  clock: msToStamp(startMs + (clockMs ?? 0)),
});

const bookOf = (view: readonly number[]): FactBook => {
  const book = new FactBook(peers);
  view.forEach((number, index) => {
    book.learnIncarnation(index, run(number));
  });
  return book;
};

const view = [1, 1, 1];

test("nothing is stable before a fact of every peer counts; then it is the least that all hold", () => {
  const book = bookOf(view);
  const vv = [5, 5, 5];
  book.learn(fact({ peer: 0, number: 1, view, vv: [5, 4, 3] }));
  book.learn(fact({ peer: 1, number: 1, view, vv: [2, 5, 5] }));
  book.recount(vv);
  assert.deepEqual(book.stable(vv), []);
  assert.equal(book.stableMs(), 0);
  book.learn(fact({ peer: 2, number: 1, view, vv: [5, 3, 4], clockMs: 100 }));
  book.recount(vv);
  assert.deepEqual(book.stable(vv), [2, 3, 3]);
  assert.equal(book.stableMs(), startMs - 1, "a clock stands at the stamp, what follows is above it");
});

test("a fact whose vector is not covered waits until it is", () => {
  const book = bookOf(view);
  for (const peer of [0, 1, 2]) book.learn(fact({ peer, number: 1, view, vv: [2, 0, 0] }));
  book.recount([1, 0, 0]);
  assert.deepEqual(book.stable([1, 0, 0]), []);
  book.recount([2, 0, 0]);
  assert.deepEqual(book.stable([2, 0, 0]), [2, 0, 0]);
});

test("a fact made in another view never counts, nor does one any more when the view moves on", () => {
  const book = bookOf([1, 2, 1]);
  for (const peer of [0, 1]) book.learn(fact({ peer, number: 1, view: [1, 2, 1], vv: [1] }));
  book.learn(fact({ peer: 2, number: 1, view: [1, 1, 1], vv: [1] }));
  book.recount([1]);
  assert.deepEqual(
    [0, 1, 2].map((peer) => book.counts(peer)),
    [true, true, false],
  );
  book.learn(fact({ peer: 2, number: 2, view: [1, 2, 1], vv: [1] }));
  book.recount([1]);
  assert.deepEqual(book.stable([1]), [1]);
  assert.equal(book.learnIncarnation(0, run(2)), true);
  assert.deepEqual(book.stable([1]), []);
});

test("the oldest that does not count yet is kept, however many newer ones come: else a busy peer's never would", () => {
  const book = bookOf(view);
  for (let number = 1; number <= 50; number++) {
    for (const peer of [0, 1, 2]) book.learn(fact({ peer, number, view, vv: [number] }));
    // My vector follows far behind.
    if (number === 20) book.recount([1]);
  }
  assert.deepEqual(book.stable([1]), [1], "the first counts though forty-nine are newer");
  book.recount([50]);
  assert.deepEqual(book.stable([50]), [50]);
});

test("an older fact than the newest known is no news; a newer run's first one is", () => {
  const book = bookOf([1, 1, 1]);
  assert.equal(book.learn(fact({ peer: 1, number: 5, view, vv: [] })), true);
  assert.equal(book.learn(fact({ peer: 1, number: 5, view, vv: [9] })), false);
  assert.equal(book.learn(fact({ peer: 1, number: 4, view, vv: [9] })), false);
  assert.equal(book.learn(fact({ peer: 1, number: 1, view: [1, 2, 1], vv: [] })), true);
  assert.equal(book.learn(fact({ peer: 1, number: 6, view, vv: [] })), false, "its run is over");
  assert.equal(
    book.learn({ ...fact({ peer: 1, number: 9, view, vv: [] }), peer: parsePeerName("z") as PeerName }),
    false,
  );
});

test("views only grow", () => {
  const book = bookOf([3, 1, 1]);
  assert.equal(book.learnIncarnation(0, run(2)), false);
  assert.equal(book.learnIncarnation(0, run(3)), false);
  assert.equal(book.learnIncarnation(0, ""), false);
  assert.equal(book.learnIncarnation(9, run(9)), false);
  assert.deepEqual(book.view, [run(3), run(1), run(1)]);
});

test("whatever facts come, stable is covered by what every peer's latest counted fact and this peer hold", () => {
  const incoming = fc.record({
    peer: fc.nat(2),
    view: fc.tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 2 }), fc.constant(1)),
    vv: fc.array(fc.nat(4), { maxLength: 3 }),
    mine: fc.array(fc.nat(4), { maxLength: 3 }),
  });
  fc.assert(
    fc.property(fc.array(incoming, { maxLength: 40 }), (list) => {
      const book = bookOf([1, 1, 1]);
      let vv: VersionVector = [];
      const known: Fact[] = [];
      list.forEach(({ peer, view: seen, vv: told, mine }, number) => {
        vv = [0, 1, 2].map((origin) => Math.max(vv[origin] ?? 0, mine[origin] ?? 0));
        const made = fact({ peer, number: number + 1, view: seen, vv: told });
        seen.forEach((incarnation, index) => {
          book.learnIncarnation(index, run(incarnation));
        });
        if (book.learn(made)) known.push(made);
        book.recount(vv);
        const stable = book.stable(vv);
        assert(covers(vv, stable));
        if (equal(stable, [])) return;
        for (const name of peers) {
          // Some fact of that peer says so, made in today's view and covered here.
          const saying = known.filter(
            (one) =>
              one.peer === name && one.view.join() === book.view.join() && covers(vv, one.vv) && covers(one.vv, stable),
          );
          assert(saying.length > 0, `${name} never said it holds that`);
        }
        assert(covers(stable, meet(stable, vv)));
      });
    }),
    { numRuns: 300 },
  );
});
