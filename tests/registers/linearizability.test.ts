/** The checker itself, on histories whose verdict one can see: a checker that says yes to everything proves nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type HistoryEntry, parseHistory, writeHistory } from "../../scripts/lincheck/history.ts";
import { checkHistory } from "../../scripts/lincheck/linearizability.ts";

/** `start end op argument -> answer`; "?" as answer: unknown, "!": certainly not. Times in seconds. */
const history = (lines: string): HistoryEntry[] =>
  lines
    .trim()
    .split("\n")
    .map((line, index): HistoryEntry => {
      const [left = "", answer = ""] = line.split("->").map((part) => part.trim());
      const [start = "", end = "", op = "", first = "", second = ""] = left.split(/\s+/);
      const set = (condition: unknown, ttlMs: number | string): object => ({
        value: first,
        condition,
        ttlMs,
        returnsOld: false,
      });
      const inputs: Record<string, [HistoryEntry["op"], object]> = {
        get: ["get", {}],
        set: ["set", set("none", 0)],
        setnx: ["set", set("absent", Number(second) || 0)],
        cas: ["cas", { expected: first, value: second }],
        append: ["append", { text: first }],
        incr: ["incrby", { amount: 1 }],
        del: ["del", {}],
        version: ["version", {}],
      };
      const [kind, input] = inputs[op] ?? assert.fail(op);
      const outcome = answer === "?" ? "unknown" : answer === "!" ? "fail" : "ok";
      const [word = "", version] = answer.split("@");
      const told = version === undefined ? {} : { version: Number(version) };
      const output: HistoryEntry["output"] =
        word === "ok" || word === "nil"
          ? { kind: word, ...told }
          : /^-?[0-9]+$/.test(word)
            ? { kind: "integer", value: Number(word), ...told }
            : { kind: "text", text: word, ...told };
      return {
        client: `c${index}`,
        key: "k",
        op: kind,
        input: input as Record<string, unknown>,
        output: outcome === "ok" ? output : null,
        start_ns: Number(start) * 1e9,
        end_ns: outcome === "ok" ? Number(end) * 1e9 : null,
        outcome,
      };
    });

const cases: readonly (readonly [holds: boolean, why: string, lines: string])[] = [
  [true, "one after the other", "0 1 set x -> ok\n2 3 get -> x"],
  [false, "a read after a write must see it", "0 1 set x -> ok\n2 3 get -> nil"],
  [true, "a read beside a write may see either", "0 9 set x -> ok\n1 2 get -> nil\n3 4 get -> x"],
  [false, "but not the new and then the old", "0 9 set x -> ok\n1 2 get -> x\n3 4 get -> nil"],
  [true, "an unknown write may come late", "0 1 set x -> ok\n2 3 set y -> ?\n4 5 get -> x\n6 7 get -> y"],
  [true, "or never", "0 1 set x -> ok\n2 3 set y -> ?\n4 5 get -> x\n6 7 get -> x"],
  [false, "but not before it began", "0 1 get -> y\n2 3 set y -> ?"],
  [false, "and not twice", "0 1 append a -> ?\n2 3 get -> a\n4 5 get -> aa"],
  [false, "nor be taken back", "0 1 set x -> ok\n2 3 set y -> ?\n4 5 get -> y\n6 7 get -> x"],
  [false, "what certainly did not happen is not seen", "0 1 set x -> !\n2 3 get -> x"],
  [false, "an increment is not lost", "0 1 incr -> 1\n2 3 incr -> 1"],
  [false, "two cannot both win", "0 9 setnx a -> ok\n0 9 setnx b -> ok"],
  [true, "two can, if one deletes between", "0 9 setnx a -> ok\n0 9 setnx b -> ok\n0 9 del -> 1"],
  [true, "a lease may end after its time", "0 1 setnx a 1000 -> ok\n2 3 setnx b -> ok"],
  [false, "not before it", "0 1 setnx a 5000 -> ok\n2 3 setnx b -> ok"],
  [false, "and once it was over it stays so", "0 1 setnx a 1000 -> ok\n2 3 get -> nil\n4 5 get -> a"],
  [true, "versions grow", "0 1 set a -> ok@65\n2 3 set b -> ok@66\n4 5 version -> 66"],
  [false, "versions never go back", "0 1 set a -> ok@65\n2 3 set b -> ok@64"],
  [false, "nor across a delete", "0 1 set a -> ok@65\n2 3 del -> 1@129\n4 5 set b -> ok@70"],
  [false, "a version is that of the value", "0 1 set a -> ok@65\n4 5 version -> 66"],
  [true, "an unknown write has some later version", "0 1 set a -> ok@65\n2 3 set b -> ?\n4 5 version -> 130"],
];

for (const [holds, why, lines] of cases) {
  test(`${holds ? "sound" : "unsound"}: ${why}`, () => {
    assert.equal(checkHistory(history(lines)).ok, holds);
  });
}

test("keys are looked at alone", () => {
  const own = history("0 1 set x -> ok\n2 3 get -> x");
  const other = history("0 1 set y -> ok\n2 3 get -> y").map((entry) => ({ ...entry, key: "other" }));
  assert.equal(checkHistory([...own, ...other]).ok, true);
  const verdict = checkHistory([...own, ...history("4 5 get -> nil").map((entry) => ({ ...entry, key: "k" }))]);
  assert.ok(verdict.ok === false && verdict.key === "k");
  assert.equal(verdict.longest.length, 2, "it says how far it came");
});

test("ten thousand operations of eight clients, and fifty unknown ones, take a moment", () => {
  const entries: HistoryEntry[] = [];
  const lines: string[] = [];
  for (let index = 0; index < 10_000; index++) {
    const at = index * 2 + (index % 8);
    lines.push(`${at} ${at + 9} incr -> ${index + 1}`);
    if (index % 200 === 0) lines.push(`${at} 0 append x -> ?`);
  }
  entries.push(...history(lines.join("\n")));
  const startedMs = performance.now();
  assert.equal(checkHistory(entries).ok, true);
  assert.ok(performance.now() - startedMs < 10_000);
});

test("everybody dies at once: four appends of unknown outcome in a row, and dozens that never took place", () => {
  const lines: string[] = [];
  for (let index = 0; index < 2000; index++) lines.push(`${index * 3} ${index * 3 + 4} set s${index} -> ok`);
  // Unknown ones of long ago, that never took effect.
  for (let index = 0; index < 40; index++) lines.push(`${index * 100} 0 set u${index} -> ?`);
  for (const letter of "abcdef") lines.push(`6005 0 append ${letter} -> ?`);
  lines.push("6010 6011 set x -> ok");
  for (const letter of "ghijkl") lines.push(`6012 0 append ${letter} -> ?`);
  for (let index = 0; index < 500; index++) lines.push(`${6020 + index * 3} ${6024 + index * 3} get -> xljkg`);
  assert.equal(checkHistory(history(lines.join("\n"))).ok, true);
});

test("a history comes back from its lines", () => {
  const entries = history("0 1 set x -> ok@65\n2 3 get -> ?");
  assert.deepEqual(parseHistory(writeHistory(entries)), entries);
  assert.throws(() => parseHistory('{"key":"k"}'), RangeError);
});
