/**
 * A slice of `npm run sim` for every test run: some hundred seeds, and a look at the checker itself, since a simulation
 * that notices nothing proves nothing.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { addCoverage, missing } from "../../scripts/sim/coverage.ts";
import { mutants } from "../../scripts/sim/mutants.ts";
import { MutantLab, patch } from "../../scripts/sim/mutate.ts";
import { runSeed } from "../../scripts/sim/schedule.ts";
import type { Coverage } from "../../scripts/sim/world.ts";

const runs = 240;
/** What so few runs cannot be trusted to bring about. */
const rare = ["error overflow", "crash backup", "staleIncarnation", "oneWayStalls", "transfersFull", "ignoredByDot"];

test("peers show exactly the ops their vectors name, through every fault, and become equal after it", () => {
  const coverage: Coverage = {};
  for (let seed = 1; seed <= runs; seed++) {
    try {
      addCoverage(coverage, runSeed({ seed, peers: 0 }));
    } catch (error) {
      throw new Error(`seed ${seed} (npm run sim -- --seed ${seed} --verbose)`, { cause: error });
    }
  }
  assert.deepEqual(
    missing(coverage).filter((name) => !rare.includes(name)),
    [],
    "everything that can happen did",
  );
});

test("equal seeds give equal runs", () => {
  const say = (): string[] => {
    const lines: string[] = [];
    runSeed({ seed: 8, peers: 0, trace: (line) => lines.push(line) });
    return lines;
  };
  const first = say();
  assert.ok(first.length > 100);
  assert.deepEqual(say(), first);
});

test("every mutant still fits the sources", () => {
  assert.ok(mutants.length >= 40);
  assert.equal(new Set(mutants.map(({ name }) => name)).size, mutants.length);
  for (const mutant of mutants) patch(mutant);
});

let lab: MutantLab;
before(async () => {
  lab = await MutantLab.open();
});
after(() => lab.close());

for (const name of ["gap", "no-causal", "transfer-base-only", "reply-before-append"]) {
  test(`the simulation notices ${name}`, async () => {
    const mutant = mutants.find((one) => one.name === name);
    assert.ok(mutant !== undefined);
    const verdict = await lab.test(mutant, { runsMax: 400, secondsMax: 30 });
    assert.ok(verdict.killed, JSON.stringify(verdict));
  });
}

test("what chance does not bring about is noticed by its script", async () => {
  const scripted = mutants.filter(({ script }) => script !== undefined);
  assert.ok(scripted.length > 0);
  for (const mutant of scripted) {
    const verdict = await lab.test(mutant, { runsMax: 1, secondsMax: 30 });
    assert.ok(verdict.killed, `${mutant.name}: ${JSON.stringify(verdict)}`);
  }
});
