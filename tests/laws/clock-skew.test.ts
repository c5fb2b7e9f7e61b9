/** Whether a peer's clock is to be trusted: a table. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeClock } from "../../server/replica/clock-skew.ts";

const skewMaxMs = 5000;
const cases: readonly (readonly [
  peers: number,
  offsets: readonly number[],
  aheadMs: number,
  state: string,
  why: string,
])[] = [
  [1, [], 0, "ok", "a peer alone agrees with itself"],
  [3, [], 0, "ok", "nobody was measured yet"],
  [3, [500, -500], 0, "ok", "half a second is not worth a word"],
  [3, [501, 0], 0, "warning", "beyond it a peer says so"],
  [3, [0, -501], 0, "warning", "in either direction"],
  [3, [5000, 5000], 0, "warning", "the bound itself is still within"],
  [3, [5001, 0], 0, "warning", "one of three is off: not this peer's fault, by majority"],
  [3, [5001], 0, "warning", "one of three is off and the third is away: no majority is against this peer"],
  [3, [5001, 5001], 0, "refusing", "both others are off: it is this one"],
  [3, [5001, -5001], 0, "refusing", "on both sides, too"],
  [2, [5001], 0, "refusing", "of two nobody can tell who is right: both stop"],
  [5, [9000, 9000], 0, "warning", "two of four others are no majority of five"],
  [5, [9000, 9000, 9000], 0, "refusing", "three are"],
  [4, [9000, 9000], 0, "warning", "two of four peers are no majority"],
  [4, [9000, 9000, 0], 0, "warning", "nor when the third agrees"],
  [4, [9000, 9000, 9000], 0, "refusing", "three of four are"],
  [3, [0, 0], 5000, "ok", "stamps may lead real time by the bound"],
  [3, [0, 0], 5001, "refusing", "and no further"],
  [1, [], 5001, "refusing", "a clock set back behind its own stamps"],
  [3, [600, 0], 5001, "refusing", "the worse of two verdicts"],
];

for (const [peersCount, offsets, aheadMs, state, why] of cases) {
  test(`${peersCount} peers, offsets [${offsets.join(" ")}] ms, ${aheadMs} ms ahead: ${state}, ${why}`, () => {
    const offsetsMs = offsets.map((offsetMs, index) => ({ peer: `p${index}`, offsetMs }));
    const verdict = judgeClock({ offsetsMs, peersCount, aheadMs, skewMaxMs });
    assert.equal(verdict.state, state);
  });
}

test("the verdict names the worst offset, from this peer's side", () => {
  const offsetsMs = [
    { peer: "b", offsetMs: 7000 },
    { peer: "c", offsetMs: 9000 },
  ];
  const verdict = judgeClock({ offsetsMs, peersCount: 3, aheadMs: 0, skewMaxMs });
  assert.match(
    verdict.state === "ok" ? "" : verdict.why,
    /this peer's clock is -9000 ms off c's .* against 2 of 2 others/,
  );
});
