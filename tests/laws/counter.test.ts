/** Counters: exact to 64 bits, and merged per actor by the higher seq. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  addSums,
  CounterCell,
  int64Max,
  int64Min,
  mergeTotal,
  normalSum,
  parseInteger,
  subtractSums,
  type Total,
  unobservedSum,
} from "../../server/replica/counter.ts";

/** Integers where floating point goes wrong: around 0, 2^53 and the ends of 64 bits. */
const near = (center: bigint): fc.Arbitrary<bigint> => fc.bigInt({ min: center - 3n, max: center + 3n });
const integer = fc.oneof(
  fc.bigInt({ min: int64Min, max: int64Max }),
  ...[0n, 2n ** 53n, -(2n ** 53n), 2n ** 32n, int64Max, int64Min].map(near),
);

/** What Redis's string2ll takes. */
const oracle = (text: string): bigint | undefined => {
  if (!/^(0|-?[1-9][0-9]*)$/.test(text)) return undefined;
  const value = BigInt(text);
  return value >= int64Min && value <= int64Max ? value : undefined;
};

test("an integer is what Redis takes for one, and exact", () => {
  const digits = fc.string({ unit: fc.constantFrom(..."0123456789"), minLength: 1, maxLength: 21 });
  const odd = fc.string({ unit: fc.constantFrom(..."0123456789-+ .e\u0000x"), maxLength: 8 });
  fc.assert(
    fc.property(
      fc.oneof(
        integer.map(String),
        digits,
        digits.map((text) => `-${text}`),
        odd,
      ),
      (text) => {
        const value = parseInteger(text);
        assert.equal(value === undefined ? undefined : BigInt(value), oracle(text));
        if (typeof value === "number") assert(Number.isSafeInteger(value));
      },
    ),
    { numRuns: 2000 },
  );
});

test("integers that Redis refuses", () => {
  const refused = [
    ["", "nothing"],
    ["-", "a sign alone"],
    ["+1", "a plus"],
    ["01", "a leading zero"],
    ["-0", "minus zero"],
    ["-01", "a leading zero after the sign"],
    [" 1", "a space before"],
    ["1 ", "a space after"],
    ["1.0", "a point"],
    ["1e3", "an exponent"],
    ["0x10", "other bases"],
    ["1\u00002", "a byte that is no digit"],
    ["\u0661", "digits of another script"],
    ["9223372036854775808", "one more than 2^63 - 1"],
    ["-9223372036854775809", "one less than -2^63"],
    ["99999999999999999999", "20 digits"],
    ["1".repeat(400), "more than a double can hold"],
  ] as const;
  for (const [text, why] of refused) assert.equal(parseInteger(text), undefined, why);
  assert.equal(parseInteger("9223372036854775807"), int64Max);
  assert.equal(parseInteger("-9223372036854775808"), int64Min);
  assert.equal(parseInteger("9007199254740991"), Number.MAX_SAFE_INTEGER);
  assert.equal(parseInteger("9007199254740993"), 9007199254740993n);
  assert(Object.is(parseInteger("0"), 0));
});

test("sums and differences are exact, in one form per integer", () => {
  fc.assert(
    fc.property(integer, integer, (a, b) => {
      for (const left of [a, normalSum(a)]) {
        for (const right of [b, normalSum(b)]) {
          const sum = addSums(left, right);
          const difference = subtractSums(left, right);
          assert.equal(BigInt(sum), a + b);
          assert.equal(BigInt(difference), a - b);
          assert.equal(sum, normalSum(a + b));
          assert.equal(difference, normalSum(a - b));
        }
      }
    }),
    { numRuns: 2000 },
  );
});

/** Totals of few actors: of one actor's totals the higher seq knows more. */
const totals = fc.array(
  fc.record({ origin: fc.nat(1), first: fc.integer({ min: 1, max: 2 }), step: fc.nat(3) }).map(
    ({ origin, first, step }): Total => ({
      origin,
      first,
      seq: first + step,
      sum: (first + step) * 10,
      expiresAtMs: 0,
      onOrigin: -1,
      onSeq: 0,
    }),
  ),
  { maxLength: 12 },
);

const merged = (list: readonly Total[]): string => {
  const cell = new CounterCell(undefined, [], []);
  for (const total of list) mergeTotal(cell, total);
  return JSON.stringify(cell.totals.map(({ origin, first, seq, sum }) => [origin, first, seq, sum]).sort());
};

test("totals merge in any order and any number of times", () => {
  fc.assert(
    fc.property(totals, fc.infiniteStream(fc.nat()), fc.infiniteStream(fc.boolean()), (list, order, twice) => {
      const shuffled = list
        .map((total) => ({ total, at: order.next().value as number }))
        .sort((x, y) => x.at - y.at)
        .map(({ total }) => total);
      const repeated = shuffled.flatMap((total) => (twice.next().value === true ? [total, total] : [total]));
      assert.equal(merged(repeated), merged(list));
      const cell = new CounterCell(undefined, [], []);
      for (const total of list) mergeTotal(cell, total);
      for (const total of list) assert.equal(mergeTotal(cell, total), false, "nothing new the second time");
    }),
  );
});

test("the value is the base and what its writer had not seen of each total", () => {
  const seen = fc.array(fc.record({ origin: fc.nat(1), first: fc.integer({ min: 1, max: 2 }), seq: fc.nat(5) }), {
    maxLength: 4,
  });
  fc.assert(
    fc.property(totals, seen, fc.boolean(), fc.nat(100), (list, observed, hasBase, ms) => {
      const cell = new CounterCell(hasBase ? "5" : undefined, [], []);
      list.forEach((total, index) => {
        mergeTotal(cell, { ...total, expiresAtMs: index % 3 === 0 ? 50 : 0 });
      });
      cell.observed = observed
        .filter(
          (entry, index) =>
            observed.findIndex((other) => other.origin === entry.origin && other.first === entry.first) === index,
        )
        .map((entry) => ({ ...entry, sum: entry.seq * 10 }));
      let expected = 0n;
      let any = false;
      for (const total of cell.totals) {
        if (total.expiresAtMs !== 0 && total.expiresAtMs <= ms) continue;
        const known = hasBase
          ? cell.observed.find(({ origin, first }) => origin === total.origin && first === total.first)
          : undefined;
        if (known !== undefined && known.seq >= total.seq) continue;
        expected += BigInt(total.sum) - BigInt(known?.sum ?? 0);
        any = true;
      }
      const sum = unobservedSum(cell, ms);
      assert.equal(sum === undefined ? undefined : BigInt(sum), any ? expected : undefined);
    }),
  );
});
