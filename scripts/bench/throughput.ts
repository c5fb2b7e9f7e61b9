/**
 * SET, GET and INCR by redis-benchmark, on both systems in turn (ABAB...), so that whatever else the machine does meets
 * both. Before a turn begins both systems are at rest: a rewrite of one must not run in the other's turn.
 *
 * A write counts when all servers hold it: the clock runs from the first request (redis-benchmark's own clock) until
 * every server shows a marker written after the load.
 */
import { type BenchRun, finallyStop, type Runner, Samples, startBoth } from "./bench-run.ts";
import { writeKeys } from "./dataset.ts";
import { type FigureName, type Measurement, median } from "./figures.ts";
import { msText } from "./latencies.ts";
import { runLoad } from "./load.ts";
import { Markers } from "./markers.ts";
import { type System, serverAt, settled } from "./servers.ts";
import { say } from "./wait.ts";

interface Plan {
  readonly name: FigureName;
  readonly command: "set" | "get" | "incr";
  readonly pipeline: number;
  /** The load of Chorus goes to all peers; Redis has one primary only. */
  readonly spread?: true;
}

const plans: readonly Plan[] = [
  { name: "set-p1", command: "set", pipeline: 1 },
  { name: "set-p1-spread", command: "set", pipeline: 1, spread: true },
  { name: "set-p16", command: "set", pipeline: 16 },
  { name: "set-p16-spread", command: "set", pipeline: 16, spread: true },
  { name: "get-p1", command: "get", pipeline: 1 },
  { name: "get-p16", command: "get", pipeline: 16 },
  { name: "incr-p16", command: "incr", pipeline: 16 },
];

export const throughputNames: readonly FigureName[] = plans.map(({ name }) => name);

const connections = 50;
const warmUpRequests = 100_000;
/** What a run is bounded by, however fast the machine. */
const requestsMax = 20_000_000;

export const measureThroughput: Runner = async (run) => {
  const { options, wanted } = run;
  const { chorus, systems } = await startBoth(run, 3);
  return finallyStop(systems, async () => {
    // Every SET is then an overwrite, and every GET a hit.
    for (const system of systems)
      await writeKeys(serverAt(system, 0).tcpPort, { count: options.keyspace, generation: 0, what: system.name });
    const markers = new Map<System, Markers>();
    for (const system of systems) markers.set(system, await Markers.open(system));
    const measurements: Measurement[] = [];
    for (const plan of plans.filter(({ name }) => wanted.has(name)))
      measurements.push(await measurePlan(run, plan, systems, markers));
    for (const opened of markers.values()) opened.close();
    const { count, worstMs } = chorus.stalls();
    if (count > 0) say(`Chorus's event loops stood still for more than 50 ms ${count} times, ${worstMs} ms at worst`);
    return measurements;
  });
};

const measurePlan = async (
  run: BenchRun,
  plan: Plan,
  systems: readonly System[],
  markers: ReadonlyMap<System, Markers>,
): Promise<Measurement> => {
  const { options } = run;
  const samples = new Samples();
  const tails = new Samples();
  const p99s = new Samples();
  const once = async (system: System, requests: number): Promise<Outcome> => {
    for (const other of systems) await settled(other);
    return runPlan(run, plan, system, requests, markers.get(system));
  };

  let fastest = 0;
  const warmUp = Math.min(warmUpRequests, options.requests ?? warmUpRequests);
  for (const system of systems) fastest = Math.max(fastest, (await once(system, warmUp)).perSecond);
  // The same load for both: as many requests as the faster one answers in the time.
  const requests =
    options.requests ?? Math.min(requestsMax, Math.max(1000, Math.round((fastest * options.seconds) / 1000) * 1000));

  for (let round = 1; round <= options.rounds; round++) {
    const words: string[] = [];
    for (const system of systems) {
      const { perSecond, tailMs, p99Ms } = await once(system, requests);
      samples.add(system, perSecond);
      tails.add(system, tailMs);
      p99s.add(system, p99Ms);
      words.push(`${system.name} ${Math.round(perSecond).toLocaleString("en")}/s`);
    }
    say(
      `${plan.name} ${round}/${options.rounds}: ${words.join("  ")}  (${requests.toLocaleString("en")} requests each)`,
    );
  }
  const both = (of: Samples): string =>
    systems.map(({ name }) => `${name} ${msText(median(of.of(name)) ?? Number.NaN)}`).join(", ");
  const notes = [`${requests.toLocaleString("en")} requests a run; client's p99: ${both(p99s)}`];
  if (plan.command !== "get") notes.push(`from the last reply until all servers hold all: ${both(tails)}`);
  return { name: plan.name, ...samples, notes };
};

interface Outcome {
  readonly perSecond: number;
  /** From the last reply until every server had it all; 0 for reads. */
  readonly tailMs: number;
  readonly p99Ms: number;
}

const runPlan = async (
  { stage, options }: BenchRun,
  plan: Plan,
  system: System,
  requests: number,
  markers: Markers | undefined,
): Promise<Outcome> => {
  const writers = plan.spread === true && system.name === "chorus" ? system.servers.map((_, index) => index) : [0];
  const results = await Promise.all(
    writers.map((writer, index) =>
      runLoad(stage, {
        command: plan.command,
        pipeline: plan.pipeline,
        port: serverAt(system, writer).tcpPort,
        connections: shareOf(connections, writers.length, index),
        requests: shareOf(requests, writers.length, index),
        keyspace: options.keyspace,
      }),
    ),
  );
  const beganMs = Math.min(...results.map((result) => result.seenAtMs - result.seconds * 1000));
  const answeredMs = Math.max(...results.map((result) => result.seenAtMs));
  const heldMs = plan.command === "get" || markers === undefined ? answeredMs : await markers.shownAtAll(writers);
  return {
    perSecond: requests / ((heldMs - beganMs) / 1000),
    tailMs: heldMs - answeredMs,
    p99Ms: Math.max(...results.map((result) => result.p99Ms)),
  };
};

/** The index-th of `parts` whole shares that differ by at most one. */
const shareOf = (total: number, parts: number, index: number): number =>
  Math.floor(total / parts) + (index < total % parts ? 1 : 0);
