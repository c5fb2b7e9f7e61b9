/** Ranks by Zipf's law: counts of many draws against the exact probabilities. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Zipf } from "../../scripts/load/zipf.ts";
import { Random } from "../../scripts/sim/random.ts";

/** Of ranks 1 to n, exactly. */
const probabilities = (count: number, exponent: number): number[] => {
  const weights = Array.from({ length: count }, (_, k) => (k + 1) ** -exponent);
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
};

/** Of a chi-square with so many degrees of freedom, above which one in a million lies (Wilson and Hilferty, z = 4.75). */
const chiSquareMax = (degrees: number): number => {
  const part = 2 / (9 * degrees);
  return degrees * (1 - part + 4.75 * Math.sqrt(part)) ** 3;
};

for (const [count, exponent] of [
  [1, 0.99],
  [2, 1],
  [10, 0],
  [100, 0.5],
  [100, 0.99],
  [100, 1],
  [1000, 1.2],
  [100, 3],
  [100_000, 0.99],
] as const) {
  test(`${count} ranks with exponent ${exponent} come as often as the law says`, () => {
    const draws = 200_000;
    const zipf = new Zipf(count, exponent, new Random(count * 31 + exponent * 1000).next);
    const expected = probabilities(count, exponent).map((probability) => probability * draws);
    const seen = new Float64Array(count);
    for (let i = 0; i < draws; i++) {
      const rank = zipf.next();
      assert(Number.isInteger(rank) && rank >= 0 && rank < count, `rank ${rank}`);
      seen[rank] = (seen[rank] ?? 0) + 1;
    }
    // Ranks are joined until at least 20 draws are expected: that is what chi-square asks for.
    let statistic = 0;
    let degrees = -1;
    let [wanted, found] = [0, 0];
    for (let rank = 0; rank < count; rank++) {
      wanted += expected[rank] ?? 0;
      found += seen[rank] ?? 0;
      if (wanted < 20 && rank < count - 1) continue;
      statistic += wanted === 0 ? 0 : (found - wanted) ** 2 / wanted;
      degrees++;
      [wanted, found] = [0, 0];
    }
    if (degrees > 0) assert(statistic < chiSquareMax(degrees), `chi-square ${statistic} of ${degrees} degrees`);
  });
}

test("ten million keys need no table, and the first is as frequent as it should be", () => {
  const zipf = new Zipf(10_000_000, 0.99, new Random(7).next);
  let sum = 0;
  for (let k = 1; k <= 10_000_000; k++) sum += k ** -0.99;
  const draws = 100_000;
  let first = 0;
  for (let i = 0; i < draws; i++) if (zipf.next() === 0) first++;
  const expected = draws / sum;
  assert(Math.abs(first - expected) < 5 * Math.sqrt(expected), `${first} draws, expected ${expected}`);
});
