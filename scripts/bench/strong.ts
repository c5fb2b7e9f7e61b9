/**
 * Strong keys beside etcd: the same clients, keys and values at both, three servers each that sync before they answer.
 * Turns alternate as in all figures. Latencies and processor time per operation are of the same runs as the rates.
 */
import { availableParallelism } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { type BenchRun, finallyStop, type Runner, Samples } from "./bench-run.ts";
import { ChorusSystem } from "./chorus-system.ts";
import { EtcdSystem } from "./etcd-system.ts";
import { type FigureName, type Measurement, median } from "./figures.ts";
import { msText } from "./latencies.ts";
import { runLoad } from "./load.ts";
import { type System, serverAt, settled } from "./servers.ts";
import { openClients } from "./strong-clients.ts";
import { closedLoop, fill, type LoopResult, OpenLoop, type StrongOp } from "./strong-load.ts";
import { say, until } from "./wait.ts";

const serverCount = 3;
const clientCount = 64;
const warmUpMs = 1000;
/** Before the first turn of either: many clients, so that code is compiled in few seconds. */
const warmUp = { clients: 512, seconds: 4, ops: ["set", "get"] } as const;

interface Plan {
  readonly op: StrongOp;
  /** The names its rate, latencies and processor time go by. */
  readonly rate: FigureName;
  readonly p50?: FigureName;
  readonly p99?: FigureName;
  readonly cpu?: FigureName;
  /** All clients at one server: etcd's leader, Chorus's first peer. */
  readonly one?: true;
  /** etcd's clients share no connections either. */
  readonly own?: true;
}

const plans: readonly Plan[] = [
  { op: "set", rate: "strong-set", p50: "strong-set-p50", p99: "strong-set-p99", cpu: "strong-set-cpu" },
  { op: "set", rate: "strong-set-one", one: true },
  { op: "set", rate: "strong-set-own", own: true },
  { op: "get", rate: "strong-get", cpu: "strong-get-cpu" },
  { op: "get", rate: "strong-get-one", one: true },
  { op: "get", rate: "strong-get-own", own: true },
];

export const measureStrong: Runner = async (run) => {
  const { stage, options, wanted, hasEtcd } = run;
  say(`starting ${serverCount} peers${hasEtcd ? `, and ${serverCount} of etcd` : ""}`);
  const chorus = await ChorusSystem.start(stage, { count: serverCount });
  return finallyStop([chorus], async () => {
    const etcd = hasEtcd ? await EtcdSystem.start(stage, { count: serverCount }) : undefined;
    const systems: readonly System[] = etcd === undefined ? [chorus] : [chorus, etcd];
    return finallyStop(systems.slice(1), async () => {
      for (const system of systems) {
        const { clients, close } = await openClients(system, [0, 1, 2], warmUp.clients);
        try {
          await fill(clients, options.strongKeys);
          const length = { keyspace: options.strongKeys, warmUpMs: 0, seconds: warmUp.seconds };
          if (!options.quick) for (const op of warmUp.ops) await closedLoop(system, clients, { op, ...length });
        } finally {
          close();
        }
      }
      const measurements: Measurement[] = [];
      for (const plan of plans.filter(({ rate, p50, p99, cpu }) =>
        [rate, p50, p99, cpu].some((name) => name !== undefined && wanted.has(name)),
      ))
        measurements.push(...(await measureRate(run, plan, systems)));
      if (wanted.has("strong-plain")) measurements.push(await measurePlain(run, chorus, measurements));
      // Last: it kills servers.
      if (wanted.has("strong-gap")) measurements.push(await measureGap(run, systems));
      return measurements.filter(({ name }) => wanted.has(name));
    });
  });
};

// ---- Rates, latencies, processor time -----------------------------------------------------------------------------------

const rateOf = async ({ options }: BenchRun, plan: Plan, system: System): Promise<LoopResult> => {
  const leader = system instanceof EtcdSystem ? await system.leader() : 0;
  const servers = plan.one === true ? [leader] : [0, 1, 2];
  const { clients, close } = await openClients(system, servers, clientCount, plan.own);
  try {
    return await closedLoop(system, clients, {
      op: plan.op,
      keyspace: options.strongKeys,
      warmUpMs: options.quick ? warmUpMs / 4 : warmUpMs,
      seconds: options.seconds,
    });
  } finally {
    close();
  }
};

const measureRate = async (run: BenchRun, plan: Plan, systems: readonly System[]): Promise<readonly Measurement[]> => {
  const { options } = run;
  const rates = new Samples();
  const p50s = new Samples();
  const p99s = new Samples();
  const cpus = new Samples();
  const driverCpus = new Samples();
  const failures = new Failures();
  for (let round = 1; round <= options.rounds; round++) {
    const words: string[] = [];
    for (const system of systems) {
      for (const other of systems) await settled(other);
      const result = await rateOf(run, plan, system);
      rates.add(system, result.perSecond);
      p50s.add(system, result.latencies.percentile(50));
      p99s.add(system, result.latencies.percentile(99));
      if (result.serverCpuUs !== undefined) cpus.add(system, result.serverCpuUs);
      driverCpus.add(system, result.driverCpuUs);
      failures.add(system, result.failures);
      words.push(
        `${system.name} ${Math.round(result.perSecond).toLocaleString("en")}/s, p50 ${msText(result.latencies.percentile(50))}, p99 ${msText(result.latencies.percentile(99))}, CPU per op ${microsecondsText(result.serverCpuUs)} + ${microsecondsText(result.driverCpuUs)} client;`,
      );
    }
    say(`${plan.rate} ${round}/${options.rounds}: ${words.join("  ")}`);
  }
  const each = (of: Samples, toText: (number: number | undefined) => string): string =>
    systems.map(({ name }) => `${name} ${toText(median(of.of(name)))}`).join(", ");
  const notes = [
    `${clientCount} clients, ${options.strongKeys.toLocaleString("en")} keys, ${options.seconds} s a run; p99: ${each(p99s, (ms) => msText(ms ?? Number.NaN))}; ` +
      `CPU per operation of the three servers: ${each(cpus, microsecondsText)}; of the client: ${each(driverCpus, microsecondsText)}`,
  ];
  notes.push(...failures.notes());
  const rows: Measurement[] = [{ name: plan.rate, ...rates, notes }];
  for (const [name, samples] of [
    [plan.p50, p50s],
    [plan.p99, p99s],
    [plan.cpu, cpus],
  ] as const)
    if (name !== undefined) rows.push({ name, ...samples, notes: [] });
  return rows;
};

/** Operations refused or timed out, of either. */
class Failures {
  readonly #counts = new Map<string, number>();

  add({ name }: System, count: number): void {
    if (count > 0) this.#counts.set(name, (this.#counts.get(name) ?? 0) + count);
  }

  notes(): readonly string[] {
    return [...this.#counts].map(([name, count]) => `${name}: ${count} operations were refused or timed out`);
  }
}

const microsecondsText = (microseconds: number | undefined): string =>
  microseconds === undefined ? "-" : `${microseconds.toFixed(0)} µs`;

// ---- The gap ------------------------------------------------------------------------------------------------------------

const gap = { rate: 400, beforeMs: 2000, afterMs: 3000, msMax: 30_000, underWayMax: 20_000 };

/**
 * SETs at a rate at two servers while the third is killed: the longest time without an answer, at either of the two.
 *
 * Open loop, so that operations the kill has left without an answer (etcd's until a timeout of seconds) do not keep others
 * from being sent; the gap ends with the first answer to any of them.
 */
const measureGap = async (run: BenchRun, systems: readonly System[]): Promise<Measurement> => {
  const { options } = run;
  const gaps = new Samples();
  const quiet = new Samples();
  const slowest = new Samples();
  const failures = new Failures();
  for (let round = 1; round <= options.rounds; round++) {
    const words: string[] = [];
    for (const system of systems) {
      for (const other of systems) await settled(other);
      const killed = system instanceof EtcdSystem ? await system.leader() : (round - 1) % serverCount;
      const result = await gapOf(run, system, killed);
      gaps.add(system, result.gapMs);
      quiet.add(system, result.beforeMs);
      slowest.add(system, result.slowestMs);
      failures.add(system, result.failures);
      words.push(
        `${system.name} ${msText(result.gapMs)} (before the kill ${msText(result.beforeMs)}, slowest answer ${msText(result.slowestMs)})`,
      );
      serverAt(system, killed).spawn();
      await settled(system);
    }
    say(`strong-gap ${round}/${options.rounds}: ${words.join("  ")}`);
  }
  const each = (of: Samples): string =>
    systems.map(({ name }) => `${name} ${msText(median(of.of(name)) ?? Number.NaN)}`).join(", ");
  const notes = [
    `${gap.rate} SET/s at the two servers that live on; longest gap in the two seconds before: ${each(quiet)}; slowest answer: ${each(slowest)}`,
  ];
  notes.push(...failures.notes());
  return { name: "strong-gap", ...gaps, notes };
};

interface Gap {
  readonly gapMs: number;
  /** The longest while all three lived: what the machine alone brings about. */
  readonly beforeMs: number;
  readonly slowestMs: number;
  readonly failures: number;
}

const gapOf = async ({ options }: BenchRun, system: System, killed: number): Promise<Gap> => {
  const survivors = [0, 1, 2].filter((index) => index !== killed);
  const { clients, close } = await openClients(system, survivors, clientCount);
  const lastMs = new Map<number, number>();
  const longest = { before: 0, after: 0 };
  let killedMs: number | undefined;
  let answers = 0;
  const onAnswer = (server: number, nowMs: number): void => {
    const sinceMs = nowMs - (lastMs.get(server) ?? nowMs);
    lastMs.set(server, nowMs);
    answers++;
    const phase = killedMs === undefined ? "before" : "after";
    longest[phase] = Math.max(longest[phase], sinceMs);
  };
  try {
    const load = new OpenLoop(clients, {
      rate: gap.rate,
      keyspace: options.strongKeys,
      underWayMax: gap.underWayMax,
      onAnswer,
    });
    // The first answers after the connections are made are not the machine at rest.
    await delay(warmUpMs / 2);
    longest.before = 0;
    await delay(options.quick ? gap.beforeMs / 4 : gap.beforeMs);
    killedMs = performance.now();
    await serverAt(system, killed).end("SIGKILL");
    answers = 0;
    const endMs = killedMs + (options.quick ? gap.afterMs / 4 : gap.afterMs);
    const areServed = (): boolean => {
      const nowMs = performance.now();
      return nowMs > endMs && answers > 0 && survivors.every((server) => (lastMs.get(server) ?? 0) > nowMs - 100);
    };
    await until(`${system.name} takes writes without server ${killed}`, areServed, { timeoutMs: gap.msMax });
    await load.stop();
    return {
      gapMs: longest.after,
      beforeMs: longest.before,
      slowestMs: load.latencies.maxMs,
      failures: load.failures,
    };
  } finally {
    close();
  }
};

// ---- Plain keys beside strong ones --------------------------------------------------------------------------------------

const plain = { connections: 50, pipeline: 16, warmUpRequests: 100_000, strongShare: 0.5, underWayMax: 20_000 };

const measurePlain = async (
  run: BenchRun,
  chorus: ChorusSystem,
  measured: readonly Measurement[],
): Promise<Measurement> => {
  const { stage, options } = run;
  const strongSet = measured.find(({ name }) => name === "strong-set")?.chorus;
  const setPlan = plans[0] as Plan;
  const capacity = median(strongSet ?? []) ?? (await rateOf(run, setPlan, chorus)).perSecond;
  const cpuUs = median(measured.find(({ name }) => name === "strong-set-cpu")?.chorus ?? []);
  const rate = capacity * plain.strongShare;
  const set = async (requests: number): Promise<number> => {
    const result = await runLoad(stage, {
      command: "set",
      port: serverAt(chorus, 0).tcpPort,
      connections: plain.connections,
      pipeline: plain.pipeline,
      requests,
      keyspace: options.keyspace,
    });
    return result.requests / result.seconds;
  };
  const warm = await set(options.requests ?? plain.warmUpRequests);
  const requests = options.requests ?? Math.max(1000, Math.round((warm * options.seconds) / 1000) * 1000);
  const beside: number[] = [];
  const alone: number[] = [];
  const strongRates: number[] = [];
  const strongP99s: number[] = [];
  for (let round = 1; round <= options.rounds; round++) {
    await settled(chorus);
    const { clients, close } = await openClients(chorus, [0, 1, 2], clientCount);
    try {
      const load = new OpenLoop(clients, { rate, keyspace: options.strongKeys, underWayMax: plain.underWayMax });
      await delay(options.quick ? warmUpMs / 4 : warmUpMs);
      const before = load.answered;
      const beganMs = performance.now();
      beside.push(await set(requests));
      strongRates.push((load.answered - before) / ((performance.now() - beganMs) / 1000));
      await load.stop();
      strongP99s.push(load.latencies.percentile(99));
    } finally {
      close();
    }
    await settled(chorus);
    alone.push(await set(requests));
    say(
      `strong-plain ${round}/${options.rounds}: beside ${Math.round(strongRates.at(-1) ?? 0)} strong SET/s ${Math.round(beside.at(-1) ?? 0)}/s, alone ${Math.round(alone.at(-1) ?? 0)}/s`,
    );
  }
  const share = cpuUs === undefined ? "" : `; by strong-set-cpu they take ${((rate * cpuUs) / 1e6).toFixed(2)} cores`;
  return {
    name: "strong-plain",
    chorus: beside,
    beside: alone,
    notes: [
      `beside it: the same load alone. Strong SETs spread over three peers at half of what strong-set had, ${Math.round(rate).toLocaleString("en")}/s, ` +
        `answered ${Math.round(median(strongRates) ?? 0).toLocaleString("en")}/s, p99 ${msText(median(strongP99s) ?? Number.NaN)}${share} ` +
        `of ${availableParallelism()} that all of it shares, and their client some more: with all cores busy that is what plain keys lose`,
    ],
  };
};
