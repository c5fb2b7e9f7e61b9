/**
 * `npm run load`: load at a fixed rate on Chorus, by three protocols, and what it took. docs/LOAD.md has the method.
 *
 * Open loop: operations are due by the clock, and latency counts from then. With --verify the answers are held against
 * what the peers have afterwards; with --chaos the peers are its own, and are killed meanwhile.
 */
import { writeFileSync } from "node:fs";
import { loadClusterRecord } from "../server/cli/cluster/control.ts";
import { CommandFailure, failureText, usageFailure } from "../server/cli/failure.ts";
import { onStopSignals } from "../server/cli/signals.ts";
import { type HostPort, hostPortToText } from "../server/settings.ts";
import { type ChaosEvent, runChaos } from "./load/chaos.ts";
import { type KeySpace, keySpace } from "./load/keys.ts";
import { helpText, type Options, parseOptions } from "./load/options.ts";
import { OwnCluster, openStage } from "./load/own-cluster.ts";
import { findPeers } from "./load/peers.ts";
import { type LoadReport, reportOf } from "./load/report.ts";
import { reportToHtml } from "./load/report-html.ts";
import { reportToText, secondToText } from "./load/report-text.ts";
import { type RunResult, runLoad } from "./load/run.ts";
import { runsToText } from "./load/summary.ts";
import { type Targets, targetsToText } from "./load/targets.ts";
import { isVerified, type Verification, verify, writeAll } from "./load/verify.ts";

const say = (words: string): void => void process.stderr.write(`${words}\n`);

/** The cluster of `npm start` in ./data. */
const runningTargets = (): Targets => {
  const record = loadClusterRecord("data");
  const addresses = record?.peers.map(({ host, tcpPort }) => ({ host, port: tcpPort })) ?? [];
  if (addresses.length === 0)
    throw usageFailure("no cluster of npm start runs in ./data: name --targets, or let --chaos start one");
  return { protocol: "resp", addresses, password: undefined };
};

/** Of a run with `--verify` nobody else uses the keys; without, a second run finds those of the first. */
const spaceOf = ({ verify: isOwn, valueBytes }: Options): KeySpace =>
  keySpace(isOwn ? `load:${Date.now().toString(36)}${process.pid.toString(36)}:` : "load:", valueBytes);

const measure = async (
  options: Options,
  targets: Targets,
  stop: AbortSignal,
  cluster: OwnCluster | undefined,
): Promise<LoadReport> => {
  const space = spaceOf(options);
  const needsPeers = options.verify || options.fill;
  const peers: readonly HostPort[] =
    cluster?.httpAddresses ?? options.peers ?? (needsPeers ? await findPeers(targets) : []);
  const [first] = peers;
  if (options.fill && first !== undefined) {
    if (!options.quiet) say(`writing ${options.keys} keys at ${hostPortToText(first)}`);
    await writeAll(first, targets.password, space, options.keys, "fill");
  }
  if (!options.quiet) say(`load on ${targetsToText(targets)}`);
  const events: ChaosEvent[] = [];
  const chaosStop = new AbortController();
  let chaos: Promise<void> = Promise.resolve();
  let chaosFailure: unknown;
  let startMs = 0;
  const result: RunResult = await runLoad({
    options,
    targets,
    space,
    stop,
    onStart: (endMs) => {
      startMs = performance.now();
      if (cluster === undefined || options.chaos === undefined) return;
      const { everyMs, downMs, peers: count } = options.chaos;
      const untilMs = Math.max(startMs + everyMs / 2, endMs - downMs - chaosQuietMs);
      const onEvent = (event: ChaosEvent): void => {
        events.push(event);
        if (!options.quiet) say(`       peer ${event.peer} ${event.what}`);
      };
      chaos = runChaos(cluster, { peers: count, everyMs, downMs, untilMs, onEvent }, chaosStop.signal).catch(
        (error: unknown) => {
          chaosFailure = error;
        },
      );
    },
    onSecond: (second) => {
      if (!options.quiet) say(secondToText(second));
    },
  });
  chaosStop.abort();
  await chaos;
  if (chaosFailure !== undefined) throw chaosFailure;
  let verification: Verification | undefined;
  if (result.oracle !== undefined) {
    if (!options.quiet) say("reading everything back");
    verification = await verify(result.oracle, space, peers, targets.password);
    if (cluster === undefined && first !== undefined && !options.keep)
      await writeAll(first, targets.password, space, options.keys, "delete");
  }
  return reportOf(options, targets, { ...result, events }, verification);
};

/** After the last blow, so that its end is seen too. */
const chaosQuietMs = 500;

const isGood = (report: LoadReport): boolean =>
  report.ok > 0 && (report.verification === null || isVerified(report.verification));

const runChaosRuns = async (options: Options, stop: AbortSignal): Promise<LoadReport[]> => {
  const plan = options.chaos;
  if (plan === undefined) return [];
  const stage = openStage(options.keep);
  const reports: LoadReport[] = [];
  for (let run = 1; run <= options.runs && !stop.aborted; run++) {
    if (!options.quiet) say(`${options.runs > 1 ? `run ${run} of ${options.runs}: ` : ""}starting ${plan.peers} peers`);
    const cluster = await OwnCluster.start(stage, plan);
    try {
      const report = await measure(
        { ...options, seed: options.seed + run - 1 },
        cluster.targets(plan.way),
        stop,
        cluster,
      );
      reports.push(report);
      process.stdout.write(`${reportToText(report)}\n`);
      const ended = cluster.failures();
      if (ended.length > 0) throw new CommandFailure(ended.join("; "));
    } finally {
      await cluster.stop();
    }
  }
  if (reports.length > 1) process.stdout.write(`${runsToText(reports)}\n`);
  return reports;
};

const main = async (options: Options): Promise<number> => {
  const stopping = new AbortController();
  onStopSignals(
    () => {
      say("stopping; again to end at once");
      stopping.abort();
    },
    () => process.exit(130),
  );
  const reports =
    options.chaos === undefined
      ? [await measure(options, options.targets ?? runningTargets(), stopping.signal, undefined)]
      : await runChaosRuns(options, stopping.signal);
  const [report] = reports;
  if (report === undefined) return 1;
  if (options.chaos === undefined && options.jsonFile !== "-") process.stdout.write(`${reportToText(report)}\n`);
  const json = `${JSON.stringify(reports.length === 1 ? report : reports)}\n`;
  if (options.jsonFile === "-") process.stdout.write(json);
  else if (options.jsonFile !== undefined) writeFileSync(options.jsonFile, json);
  if (options.htmlFile !== undefined) {
    writeFileSync(options.htmlFile, reportToHtml(reports));
    if (!options.quiet) say(`plots: ${options.htmlFile}`);
  }
  return reports.every(isGood) ? 0 : 1;
};

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === undefined) process.stdout.write(helpText);
  else process.exitCode = await main(options);
} catch (error) {
  process.stderr.write(`load: ${failureText(error)}\n`);
  process.exitCode = error instanceof CommandFailure ? error.exitCode : 1;
}
