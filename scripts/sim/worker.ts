/**
 * Runs a range of seeds and tells its parent in lines of JSON: `worker FIRST COUNT PEERS
 * FAILURES_MAX SECONDS_MAX [registers]`.
 *
 * Its own process, so that both cores are used, and so that a mutant which loops for ever can be ended.
 */
import { pathToFileURL } from "node:url";
import { addCoverage } from "./coverage.ts";
import { runRegisterSeed } from "./registers/schedule.ts";
import { runSeed } from "./schedule.ts";
import type { Coverage } from "./world.ts";

export interface Failure {
  readonly seed: number;
  readonly what: string;
}

/** One line of a worker. Counts since the line before. */
export interface Report {
  readonly done: number;
  readonly failures: readonly Failure[];
  readonly coverage: Coverage;
  readonly ended: boolean;
}

const reportMs = 500;

export const describeError = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "Violation") return error.message;
  const at = (error.stack ?? "").split("\n").find((line) => line.includes("/server/") || line.includes("/protocol/"));
  return `${error.name}: ${error.message}${at === undefined ? "" : ` (${at.trim().replace(/\(?file:.*\/(server|protocol)\//, "$1/")}`}`;
};

const main = (): void => {
  const [first = 1, count = 1, peers = 0, failuresMax = 1, secondsMax = 3600] = process.argv.slice(2, 7).map(Number);
  const run = process.argv[7] === "registers" ? runRegisterSeed : runSeed;
  const endMs = performance.now() + secondsMax * 1000;
  let done = 0;
  let failures: Failure[] = [];
  let failed = 0;
  let coverage: Coverage = {};
  let reportedMs = performance.now();
  const parent = process.ppid;
  const report = (ended: boolean): void => {
    process.stdout.write(`${JSON.stringify({ done, failures, coverage, ended } satisfies Report)}\n`);
    done = 0;
    failures = [];
    coverage = {};
    reportedMs = performance.now();
    // Nobody reads this any more.
    if (process.ppid !== parent) process.exit(1);
  };
  for (let seed = first; seed < first + count && failed < failuresMax && performance.now() < endMs; seed++) {
    try {
      addCoverage(coverage, run({ seed, peers }));
    } catch (error) {
      failures.push({ seed, what: describeError(error) });
      failed++;
    }
    done++;
    if (performance.now() - reportedMs > reportMs) report(false);
  }
  report(true);
};

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) main();
