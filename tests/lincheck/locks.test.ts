/** The judge of locks, on histories whose verdict one can see. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { HistoryEntry } from "../../scripts/lincheck/history.ts";
import { checkLocks } from "../../scripts/lincheck/locks.ts";

/** `start end take|renew|release owner [token]`, in seconds, with a TTL of 10 s; "!" as token: refused. */
const history = (lines: string): HistoryEntry[] =>
  lines
    .trim()
    .split("\n")
    .map((line): HistoryEntry => {
      const [start, end, verb = "", owner = "", token] = line.trim().split(/\s+/);
      const when = { start_ns: Number(start) * 1e9, end_ns: Number(end) * 1e9, outcome: "ok" as const };
      const base = { client: "c", key: "strong:lock", ...when };
      if (verb === "release") {
        return { ...base, op: "del", input: { only: { equals: owner } }, output: { kind: "integer", value: 1 } };
      }
      const condition = verb === "take" ? "absent" : { equals: owner };
      return {
        ...base,
        op: "set",
        input: { value: owner, condition, ttlMs: 10_000, returnsOld: false },
        output: token === "!" ? { kind: "nil" } : { kind: "ok", version: Number(token) },
      };
    });

const cases: readonly (readonly [holds: boolean, why: string, lines: string])[] = [
  [true, "one after the other, after a release", "0 1 take a 5\n2 3 release a\n4 5 take b 6"],
  [false, "two at a time", "0 1 take a 5\n2 3 take b 6"],
  [true, "a belief ends with 99 % of the TTL", "0 1 take a 5\n9 9.95 take b 6"],
  [false, "and not before", "0 1 take a 5\n9 9.85 take b 6"],
  [true, "it counts from the request: an answer later than that is worth nothing", "0 10 take a 5\n3 10.1 take b 6"],
  [false, "a renewal makes it longer", "0 1 take a 5\n5 6 renew a 6\n11 12 take b 7"],
  [true, "a refusal is no belief", "0 1 take a 5\n2 3 take b !"],
  [true, "who has sent the release believes no more", "0 1 take a 5\n2 9 release a\n3 4 take b 6"],
  [false, "tokens grow", "0 1 take a 5\n20 21 take b 5"],
  [true, "of two at one time either may be first", "0 30 take a 6\n20 21 take b 5"],
];

for (const [holds, why, lines] of cases) {
  test(`${holds ? "sound" : "unsound"}: ${why}`, () => {
    assert.equal(
      checkLocks(history(lines)).violations.length === 0,
      holds,
      checkLocks(history(lines)).violations.join(),
    );
  });
}

test("other keys are no locks", () => {
  const entries = history("0 1 take a 5\n2 3 take b 6").map((entry) => ({ ...entry, key: "strong:k1" }));
  assert.deepEqual(checkLocks(entries), { acquired: 0, renewed: 0, violations: [] });
});
