/**
 * `npm run bench`: Chorus beside Redis on the same machine, in one run, as ratios. docs/BENCH.md has the method.
 *
 * Each group of figures starts its own servers and stops them, so no figure inherits another's memory or log. One that
 * cannot be measured says why and leaves the others be; the exit code is 1 then.
 */
import { CommandFailure, failureText } from "../server/cli/failure.ts";
import type { BenchRun, Runner } from "./bench/bench-run.ts";
import { measureBusyReads } from "./bench/busy-reads.ts";
import { type FigureName, figures, type Measurement, rowOf, strongNames } from "./bench/figures.ts";
import { gatewayNames, measureGateway } from "./bench/gateway.ts";
import { measureLag } from "./bench/lag.ts";
import { machineFacts, noiseWarning } from "./bench/machine.ts";
import { measureMemory } from "./bench/memory.ts";
import { helpText, type Options, parseOptions } from "./bench/options.ts";
import { programVersion } from "./bench/program-server.ts";
import { measureRestart, measureReturn } from "./bench/recovery.ts";
import { measureScrape } from "./bench/scrape.ts";
import { Stage } from "./bench/stage.ts";
import { measureStrong } from "./bench/strong.ts";
import { type Report, reportToJson, reportToText } from "./bench/table.ts";
import { measureThroughput, throughputNames } from "./bench/throughput.ts";
import { say } from "./bench/wait.ts";

const groups: readonly { readonly names: readonly FigureName[]; readonly runner: Runner }[] = [
  { names: throughputNames, runner: measureThroughput },
  { names: ["lag-p50", "lag-p99"], runner: measureLag },
  { names: ["memory"], runner: measureMemory },
  { names: ["restart-crash", "restart-clean"], runner: measureRestart },
  { names: ["return"], runner: measureReturn },
  { names: ["busy-get"], runner: measureBusyReads },
  { names: ["scrape"], runner: measureScrape },
  { names: gatewayNames, runner: measureGateway },
  { names: strongNames, runner: measureStrong },
];

const measure = async (options: Options): Promise<Report> => {
  const machine = machineFacts();
  const startedAt = new Date();
  const warning = noiseWarning(machine);
  if (warning !== undefined) say(warning);
  const remarks: string[] = [];
  const remark = (words: string): void => {
    say(words);
    remarks.push(words);
  };
  const hasRedis = machine.redis !== null;
  if (!hasRedis && figures.some(({ name, beside }) => beside === "redis" && options.only.has(name)))
    remark("redis-server is not installed: Chorus is measured alone, and no ratio is judged");
  const wanted = new Set(options.only);
  const hasEtcd = machine.etcd !== null;
  if (!hasEtcd && strongNames.some((name) => wanted.has(name)))
    remark("etcd is not installed: strong keys are measured alone, and no ratio to it is judged");
  const ofRedisBenchmark: readonly FigureName[] = [...throughputNames, "strong-plain"];
  if (programVersion("redis-benchmark") === undefined && ofRedisBenchmark.some((name) => wanted.has(name))) {
    for (const name of ofRedisBenchmark) wanted.delete(name);
    remark("redis-benchmark is not installed: the throughput figures are left out");
  }

  const stage = new Stage({ keep: options.keep });
  const run: BenchRun = { stage, options, wanted, hasRedis, hasEtcd };
  const measured = new Map<FigureName, Measurement>();
  for (const { names, runner } of groups) {
    const asked = names.filter((name) => wanted.has(name));
    if (asked.length === 0) continue;
    try {
      for (const measurement of await runner(run)) measured.set(measurement.name, measurement);
    } catch (error) {
      const failure = failureText(error);
      say(`${asked.join(", ")}: ${failure}`);
      for (const name of asked) measured.set(name, { name, chorus: [], beside: [], notes: [], failure });
    }
  }
  const measurements = figures.flatMap(({ name }) => (wanted.has(name) ? (measured.get(name) ?? []) : []));
  return {
    startedAt: startedAt.toISOString(),
    tookSeconds: (Date.now() - startedAt.getTime()) / 1000,
    machine,
    options,
    rows: measurements.map(rowOf),
    remarks,
  };
};

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === undefined) process.stdout.write(helpText);
  else {
    const report = await measure(options);
    process.stdout.write(`${options.json ? reportToJson(report) : reportToText(report)}\n`);
    const failed = report.rows.length === 0 || report.rows.some(({ verdict }) => verdict === "failed");
    process.exitCode = failed ? 1 : 0;
  }
} catch (error) {
  process.stderr.write(`bench: ${failureText(error)}\n`);
  process.exitCode = error instanceof CommandFailure ? error.exitCode : 1;
}
