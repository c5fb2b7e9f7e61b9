/**
 * A slice of `npm run sim` and of `npm run sim -- --registers` for every test run: some hundred seeds, and a look at the
 * checkers themselves, since a simulation that notices nothing proves nothing.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { addCoverage, missing, mustHappen } from "../../scripts/sim/coverage.ts";
import { type Mutant, mutants } from "../../scripts/sim/mutants.ts";
import { MutantLab, patch } from "../../scripts/sim/mutate.ts";
import { registersMustHappen } from "../../scripts/sim/registers/coverage.ts";
import { registerMutants } from "../../scripts/sim/registers/mutants.ts";
import { runRegisterSeed } from "../../scripts/sim/registers/schedule.ts";
import { runSeed } from "../../scripts/sim/schedule.ts";
import type { Coverage, WorldOptions } from "../../scripts/sim/world.ts";
import { build } from "../support/processes.ts";

interface Subject {
  /** How one is run alone. */
  readonly flags: string;
  readonly run: (options: WorldOptions) => Coverage;
  /** Each must end well. */
  readonly runs: number;
  readonly mustHappen: readonly string[];
  /** What so few runs cannot be trusted to bring about. */
  readonly rare: readonly string[];
  /** Seeds beyond those that once found a mistake. */
  readonly found: readonly number[];
  /** Its trace is long enough to tell runs apart. */
  readonly tracedSeed: number;
  readonly mutants: readonly Mutant[];
  readonly mutantsMin: number;
  /** Noticed soon; all others are for `npm run sim -- --mutants`. */
  readonly quickMutants: readonly string[];
}

const replica: Subject = {
  flags: "",
  run: runSeed,
  runs: 120,
  mustHappen,
  rare: ["error overflow", "crash backup", "staleIncarnation", "oneWayStalls", "transfersFull", "ignoredByDot"],
  // DIFF listed a key that had expired for both.
  found: [29_940],
  tracedSeed: 8,
  mutants,
  mutantsMin: 40,
  quickMutants: ["gap", "no-causal", "transfer-base-only", "reply-before-append"],
};

const registers: Subject = {
  flags: "--registers ",
  run: runRegisterSeed,
  runs: 150,
  mustHappen: registersMustHappen,
  rare: [],
  // A peer told of its admission before that was on its disk.
  found: [327_655],
  tracedSeed: 12,
  mutants: registerMutants,
  mutantsMin: 12,
  quickMutants: ["accept-keeps-promise", "read-highest", "done-again"],
};

let lab: MutantLab;
before(async () => {
  build();
  lab = await MutantLab.open();
});
after(() => lab.close());

const expectKilled = async (mutant: Mutant, runsMax: number): Promise<void> => {
  const verdict = await lab.test(mutant, { runsMax, secondsMax: 30 });
  assert(verdict.killed, `${mutant.name}: ${JSON.stringify(verdict)}`);
};

for (const [name, subject] of [
  ["peers show exactly the ops their vectors name, through every fault, and become equal after it", replica],
  ["every history of strong keys has an order that explains it, through every fault", registers],
] as const)
  describe(name, () => {
    test("whatever chance brings about", () => {
      const coverage: Coverage = {};
      const seeds = [...Array.from({ length: subject.runs }, (_, index) => index + 1), ...subject.found];
      for (const seed of seeds) {
        try {
          addCoverage(coverage, subject.run({ seed, peers: 0 }));
        } catch (error) {
          throw new Error(`seed ${seed} (npm run sim -- ${subject.flags}--seed ${seed} --verbose)`, { cause: error });
        }
      }
      const never = missing(coverage, subject.mustHappen).filter((what) => !subject.rare.includes(what));
      assert.deepEqual(never, [], "everything that can happen did");
    });

    test("equal seeds give equal runs", () => {
      const say = (): string[] => {
        const lines: string[] = [];
        subject.run({ seed: subject.tracedSeed, peers: 0, trace: (line) => lines.push(line) });
        return lines;
      };
      const first = say();
      assert(first.length > 20);
      assert.deepEqual(say(), first);
    });

    test("every mutant still fits the sources", () => {
      assert(subject.mutants.length >= subject.mutantsMin);
      assert.equal(new Set(subject.mutants.map((mutant) => mutant.name)).size, subject.mutants.length);
      for (const mutant of subject.mutants) patch(mutant);
    });

    for (const quick of subject.quickMutants)
      test(`the simulation notices ${quick}`, async () => {
        const mutant = subject.mutants.find((one) => one.name === quick);
        assert(mutant !== undefined);
        await expectKilled(mutant, 400);
      });
  });

test("what chance does not bring about is noticed by its script", async () => {
  const scripted = mutants.filter(({ script }) => script !== undefined);
  assert(scripted.length > 0);
  for (const mutant of scripted) await expectKilled(mutant, 1);
});
