/**
 * `npm run sim`: the production core of several peers on simulated network, disks and clocks, checked at every step
 * against an oracle (scripts/sim/). Equal seeds give equal runs.
 *
 *   npm run sim -- --runs 20000              seeds 1 to 20,000, on both cores
 *   npm run sim -- --seed 4711 --verbose     one seed, with what happens in it
 *   npm run sim -- --mutants                 every seeded bug must be noticed
 *   npm run sim -- --registers --runs 5000   strong keys instead of the replicated map; also with --mutants
 *   npm run sim -- --mutant no-causal
 *
 * Exit code: 0 all is well; 1 a rule was broken, a counter that must move did not, or a mutant lived; 2 wrong usage.
 */
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { addCoverage, coverageTable, missing, mustHappen, runsForCoverage } from "./sim/coverage.ts";
import { type Mutant, mutants } from "./sim/mutants.ts";
import { MutantLab, mutantRunsMax, type Verdict } from "./sim/mutate.ts";
import { registersMustHappen } from "./sim/registers/coverage.ts";
import { registerMutants } from "./sim/registers/mutants.ts";
import { runRegisterSeed } from "./sim/registers/schedule.ts";
import { runSeed } from "./sim/schedule.ts";
import { runWorker } from "./sim/spawn.ts";
import { describeError, type Failure } from "./sim/worker.ts";
import type { Coverage } from "./sim/world.ts";

const usage = `npm run sim -- [--registers] [--runs N] [--seed S] [--peers N] [--verbose] | --mutants | --mutant NAME | --list
  --runs N       seeds to run (default 2000; 1 with --verbose)
  --seed S       the first of them (default 1)
  --registers    strong keys: each history is checked for linearizability
  --peers N      3 to 5 (default: as the seed has it)
  --verbose      print what happens in each step
  --mutants      patch the sources with each known mistake and simulate until it is noticed
  --mutant NAME  one of them
  --list         name the mutants
`;
const failuresMax = 3;
const progressMs = 2000;
/** Below this a second process costs more than it brings. */
const runsForTwo = 500;

const out = (text: string): void => {
  process.stdout.write(text);
};

interface Subject {
  readonly registers: boolean;
  readonly mustHappen: readonly string[];
  readonly mutants: readonly Mutant[];
}

const replicaSubject: Subject = { registers: false, mustHappen, mutants };
const registersSubject: Subject = { registers: true, mustHappen: registersMustHappen, mutants: registerMutants };

const replay = (failure: Failure, peers: number, registers: boolean): string =>
  `  npm run sim --${registers ? " --registers" : ""} --seed ${failure.seed}${peers > 0 ? ` --peers ${peers}` : ""} --verbose`;

const verbose = (seed: number, runs: number, peers: number, subject: Subject): number => {
  const run = subject.registers ? runRegisterSeed : runSeed;
  let failed = 0;
  for (let at = seed; at < seed + runs; at++) {
    out(`seed ${at}\n`);
    try {
      out(coverageTable(run({ seed: at, peers, trace: (line) => out(`${line}\n`) }), subject.mustHappen));
    } catch (error) {
      failed++;
      out(`VIOLATION ${describeError(error)}\n`);
    }
  }
  return failed === 0 ? 0 : 1;
};

const simulate = async (seed: number, runs: number, peers: number, subject: Subject): Promise<number> => {
  const processes = runs >= runsForTwo ? Math.min(2, availableParallelism()) : 1;
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const worker = fileURLToPath(new URL(`./sim/worker.${extension}`, import.meta.url));
  const startedMs = performance.now();
  const coverage: Coverage = {};
  const failures: Failure[] = [];
  let done = 0;
  const rate = (): string => (done / ((performance.now() - startedMs) / 1000)).toFixed(0);
  const timer = setInterval(
    () => out(`${done} of ${runs} runs, ${rate()} runs/s, ${failures.length} failed\n`),
    progressMs,
  );
  const share = Math.ceil(runs / processes);
  const ends = await Promise.all(
    Array.from({ length: processes }, (_, index) =>
      runWorker({
        command: [...(extension === "ts" ? ["--import", "tsx"] : []), worker],
        first: seed + index * share,
        count: Math.min(share, runs - index * share),
        peers,
        failuresMax,
        secondsMax: 7 * 24 * 3600,
        registers: subject.registers,
        onReport: (report) => {
          done += report.done;
          failures.push(...report.failures);
          addCoverage(coverage, report.coverage);
        },
      }),
    ),
  );
  clearInterval(timer);
  for (const { seed: failed, what } of failures)
    out(`seed ${failed}: ${what}\n${replay({ seed: failed, what }, peers, subject.registers)}\n`);
  for (const end of ends) if (!end.finished) out(`a simulation process ended early: ${end.stderr}\n`);
  out(coverageTable(coverage, subject.mustHappen));
  const never = done >= runsForCoverage && failures.length === 0 ? missing(coverage, subject.mustHappen) : [];
  if (never.length > 0) out(`never happened: ${never.join(", ")}\n`);
  out(`${done} runs, ${failures.length} failed, ${rate()} runs/s\n`);
  return failures.length > 0 || never.length > 0 || ends.some((end) => !end.finished) ? 1 : 0;
};

const killer = (by: Extract<Verdict, { killed: true }>["by"]): string =>
  "seed" in by ? `killed by seed ${by.seed}: ${by.what}` : `killed by the script ${by.script}`;

const testMutants = async (chosen: readonly Mutant[], runsMax: number): Promise<number> => {
  const lab = await MutantLab.open();
  const verdicts = new Map<string, Verdict>();
  try {
    const queue = [...chosen];
    const next = async (): Promise<void> => {
      for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
        const verdict = await lab.test(mutant, { runsMax, secondsMax: 600 });
        verdicts.set(mutant.name, verdict);
        const said = verdict.killed ? killer(verdict.by) : `LIVES: ${verdict.why}`;
        out(`${mutant.name.padEnd(28)} ${verdict.seconds.toFixed(1).padStart(6)} s ${said.slice(0, 160)}\n`);
      }
    };
    await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, next));
  } finally {
    lab.close();
  }
  const alive = chosen.filter((mutant) => verdicts.get(mutant.name)?.killed !== true);
  for (const { name, why } of alive) out(`LIVES ${name}: ${why}\n`);
  out(`${chosen.length - alive.length} of ${chosen.length} mutants killed\n`);
  return alive.length === 0 ? 0 : 1;
};

const wholeNumber = (text: string | undefined, otherwise: number): number => {
  const value = text === undefined ? otherwise : Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`"${text}" is no whole number`);
  return value;
};

const main = async (): Promise<number> => {
  const { values } = parseArgs({
    options: {
      runs: { type: "string" },
      seed: { type: "string" },
      peers: { type: "string" },
      mutants: { type: "boolean", default: false },
      mutant: { type: "string" },
      list: { type: "boolean", default: false },
      registers: { type: "boolean", default: false },
      verbose: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    out(usage);
    return 0;
  }
  const subject = values.registers ? registersSubject : replicaSubject;
  if (values.list) {
    for (const { name, why } of subject.mutants) out(`${name.padEnd(28)} ${why}\n`);
    return 0;
  }
  if (values.mutants || values.mutant !== undefined) {
    const chosen =
      values.mutant === undefined ? subject.mutants : subject.mutants.filter(({ name }) => name === values.mutant);
    if (chosen.length === 0) throw new RangeError(`there is no mutant ${values.mutant}; --list names them`);
    return await testMutants(chosen, wholeNumber(values.runs, mutantRunsMax));
  }
  const seed = wholeNumber(values.seed, 1);
  const peers = wholeNumber(values.peers, 0);
  if (peers !== 0 && (peers < 3 || peers > 5)) throw new RangeError("3 to 5 peers");
  if (values.verbose) return verbose(seed, wholeNumber(values.runs, 1), peers, subject);
  return await simulate(seed, wholeNumber(values.runs, 2000), peers, subject);
};

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`npm run sim: ${error instanceof Error ? error.message : String(error)}\n${usage}`);
  process.exitCode = 2;
}
