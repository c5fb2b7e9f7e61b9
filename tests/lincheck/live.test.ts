/**
 * A slice of `npm run lincheck`: real processes, real blows. And the checker is put to the test: of the very history that
 * it found sound, one answer is changed, and it must notice.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type HistoryEntry, parseHistory, writeHistory } from "../../scripts/lincheck/history.ts";
import { checkHistory } from "../../scripts/lincheck/linearizability.ts";
import { helpText, parseOptions } from "../../scripts/lincheck/live/options.ts";
import { judge } from "../../scripts/lincheck/verdict.ts";
import { runScript, tempDirectory } from "../support/processes.ts";

/** The answer at `index` becomes another one. */
const forged = (entries: readonly HistoryEntry[], index: number, answer: Partial<HistoryEntry>): HistoryEntry[] =>
  entries.map((entry, at) => (at === index ? { ...entry, ...answer } : entry));

/** Reads of text long after the text was overwritten by somebody: the first value any client ever set there. */
const staleRead = (entries: readonly HistoryEntry[]): HistoryEntry[] => {
  const key = "strong:k1";
  const first = entries.find(
    ({ key: of, op, outcome, output, input }) =>
      of === key && op === "set" && outcome === "ok" && output?.kind === "ok" && input["condition"] === "none",
  );
  const index = entries.findLastIndex(({ key: of, op, outcome }) => of === key && op === "get" && outcome === "ok");
  assert.ok(first !== undefined && index > 0, "the history has a SET and a GET of it");
  return forged(entries, index, { output: { kind: "text", text: String(first.input["value"]) } });
};

/** An increment is told a sum that nobody can have made. */
const wrongSum = (entries: readonly HistoryEntry[]): HistoryEntry[] => {
  const index = entries.findLastIndex(({ key, op, outcome, output }) => {
    return key === "strong:counter" && op === "incrby" && outcome === "ok" && output?.kind === "integer";
  });
  assert.ok(index > 0, "the history has increments");
  return forged(entries, index, { output: { kind: "integer", value: -99_999 } });
};

test("strong keys are linearizable while peers die, stand still and are cut off; a forged history is not", async (t) => {
  const directory = tempDirectory(t);
  const file = join(directory, "history.jsonl");
  // The first blows of this seed: one killed, one cut off, a link cut, all killed.
  const run = await runScript(t, "scripts/lincheck.ts", ["--seconds", "5", "--seed", "3", "--history", file]);
  assert.equal(run.code, 0, run.stdout + run.stderr);
  assert.match(run.stdout, /^linearizable: 7 keys/m);
  assert.match(run.stdout, /never two holders, tokens grow/);
  const entries = parseHistory(readFileSync(file, "utf8"));
  assert.ok(entries.length > 100, run.stdout);
  assert.equal(judge(entries).isSound, true, "a stored history is judged alike");

  for (const [what, entry, verdict] of [
    ["a stale read", staleRead(entries), /NOT LINEARIZABLE\nstrong:k1: no order explains this part of \d+ operations/],
    ["a wrong sum", wrongSum(entries), /NOT LINEARIZABLE\nstrong:counter: /],
  ] as const) {
    const { isSound, lines } = judge(entry);
    assert.equal(isSound, false, what);
    assert.match(lines.join("\n"), verdict, what);
    assert.match(lines.join("\n"), /^ {2}> /m, "the answer that does not fit is marked");
  }

  const bad = join(directory, "forged.jsonl");
  writeFileSync(bad, writeHistory(staleRead(entries)));
  const read = await runScript(t, "scripts/lincheck.ts", ["--read", bad]);
  assert.equal(read.code, 1, read.stdout + read.stderr);
  assert.match(read.stdout, /NOT LINEARIZABLE/);

  assert.equal(checkHistory(entries, 10).ok, "undecided");
  const given = judge(entries, 10);
  assert.equal(given.isSound, false, "what was not decided is not sound");
  assert.match(given.lines.join("\n"), /undecided after/);
});

test("the command line: examples first, wrong usage is told", () => {
  assert.match(helpText, /^Examples:\n {2}npm run lincheck -- --seconds 300/);
  assert.equal(parseOptions(["--help"]), undefined);
  for (const given of [["--peers", "4"], ["--seconds", "x"], ["--nothing"]]) assert.throws(() => parseOptions(given));
});
