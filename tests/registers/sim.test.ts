/** A slice of `npm run sim -- --registers` for every test run, and a look at the checker: some mutants must die. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { addCoverage, missing } from "../../scripts/sim/coverage.ts";
import { MutantLab, patch } from "../../scripts/sim/mutate.ts";
import { registersMustHappen } from "../../scripts/sim/registers/coverage.ts";
import { registerMutants } from "../../scripts/sim/registers/mutants.ts";
import { runRegisterSeed } from "../../scripts/sim/registers/schedule.ts";
import type { Coverage } from "../../scripts/sim/world.ts";

const runs = 250;

test("every history of strong keys has an order that explains it, through every fault", () => {
  const coverage: Coverage = {};
  for (let seed = 1; seed <= runs; seed++) {
    try {
      addCoverage(coverage, runRegisterSeed({ seed, peers: 0 }));
    } catch (error) {
      throw new Error(`seed ${seed} (npm run sim -- --registers --seed ${seed} --verbose)`, { cause: error });
    }
  }
  assert.deepEqual(missing(coverage, registersMustHappen), [], "everything that can happen did");
});

test("equal seeds give equal histories", () => {
  const say = (): string[] => {
    const lines: string[] = [];
    runRegisterSeed({ seed: 12, peers: 0, trace: (line) => lines.push(line) });
    return lines;
  };
  const first = say();
  assert.ok(first.length > 20);
  assert.deepEqual(say(), first);
});

test("every mutant of strong keys still fits the sources", () => {
  assert.ok(registerMutants.length >= 12);
  assert.equal(new Set(registerMutants.map(({ name }) => name)).size, registerMutants.length);
  for (const mutant of registerMutants) patch(mutant);
});

let lab: MutantLab;
before(async () => {
  lab = await MutantLab.open();
});
after(() => lab.close());

for (const name of ["accept-keeps-promise", "read-highest", "done-again", "amnesia"]) {
  test(`the simulation of strong keys notices ${name}`, async () => {
    const mutant = registerMutants.find((one) => one.name === name);
    assert.ok(mutant !== undefined);
    const verdict = await lab.test(mutant, { runsMax: 400, secondsMax: 30 });
    assert.ok(verdict.killed, JSON.stringify(verdict));
  });
}
