/** What a run comes to, as plain data: the JSON report, and what the text and the page are drawn from. */
import { availableParallelism, loadavg } from "node:os";
import { mixToText, type OpKind, opKinds } from "./operation.ts";
import type { Options } from "./options.ts";
import type { RunResult } from "./run.ts";
import { barsMs, type LatencySummary, type Slot } from "./statistics.ts";
import { type Targets, targetsToText } from "./targets.ts";
import type { Verification } from "./verify.ts";

export interface KindReport {
  readonly kind: OpKind;
  readonly latency: LatencySummary;
  readonly perSecond: number;
  /** GETs that found something. */
  readonly hits: number;
  readonly errors: Readonly<Record<string, number>>;
}

/** Fields are only added within a format. NaN is null in JSON: nothing was measured. */
export interface LoadReport {
  readonly format: 1;
  readonly startedAt: string;
  readonly seconds: number;
  readonly targets: string;
  readonly settings: {
    readonly clients: number;
    readonly pipeline: number;
    readonly mix: string;
    readonly keys: number;
    readonly zipf: number;
    readonly valueBytes: number;
    /** null: closed loop. */
    readonly rate: number | null;
    readonly chaos: boolean;
    readonly seed: number;
  };
  readonly machine: { readonly cores: number; readonly node: string; readonly loadAverage: number };
  readonly operations: number;
  readonly ok: number;
  readonly failed: number;
  readonly okPerSecond: number;
  readonly latency: LatencySummary;
  readonly kinds: readonly KindReport[];
  readonly errors: Readonly<Record<string, number>>;
  /** X-Cache of the answers. */
  readonly cache: Readonly<Record<string, number>>;
  readonly availability: {
    /** Operations answered without failure and within `slowMs` of when they were due. */
    readonly percent: number;
    readonly slowMs: number;
    readonly slow: number;
    /** The longest that one client waited for any answer, and when that ended. */
    readonly longestGapMs: number;
    readonly longestGapAtMs: number;
  };
  readonly chaos: readonly { readonly atMs: number; readonly peer: string; readonly what: string }[];
  readonly verification: Verification | null;
  /** The measuring itself: cores it used, and how late it was to send when nothing else kept it. */
  readonly tool: { readonly cores: number; readonly lateP50Ms: number; readonly lateP99Ms: number };
  readonly histogram: readonly { readonly upToMs: number | null; readonly count: number }[];
  readonly percentiles: readonly { readonly percent: number; readonly ms: number }[];
  readonly slots: readonly Slot[];
}

/** Where the percentile plot looks, evenly on its scale of nines. */
const plottedPercents: readonly number[] = Array.from({ length: 101 }, (_, i) =>
  Math.max(1, 100 * (1 - 10 ** (-i / 20))),
);

export const reportOf = (
  options: Options,
  targets: Targets,
  result: RunResult,
  verification: Verification | undefined,
): LoadReport => {
  const { statistics, seconds } = result;
  const total = statistics.total();
  const kinds = opKinds
    .map((kind) => ({
      kind,
      latency: statistics.latencies[kind].summary(),
      perSecond: statistics.latencies[kind].count / seconds,
      hits: statistics.hits[kind],
      errors: Object.fromEntries(statistics.errors[kind]),
    }))
    .filter(({ latency, errors }) => latency.count > 0 || Object.keys(errors).length > 0);
  const errors: Record<string, number> = {};
  for (const { errors: some } of kinds)
    for (const [code, count] of Object.entries(some)) errors[code] = (errors[code] ?? 0) + count;
  const operations = statistics.ok + statistics.failed;
  return {
    format: 1,
    startedAt: result.startedAt.toISOString(),
    seconds,
    targets: targetsToText(targets),
    settings: {
      clients: options.clients,
      pipeline: options.pipeline,
      mix: mixToText(options.mix),
      keys: options.keys,
      zipf: options.zipf,
      valueBytes: options.valueBytes,
      rate: options.rate ?? null,
      chaos: options.chaos !== undefined,
      seed: options.seed,
    },
    machine: { cores: availableParallelism(), node: process.versions.node, loadAverage: loadavg()[0] ?? 0 },
    operations,
    ok: statistics.ok,
    failed: statistics.failed,
    okPerSecond: statistics.ok / seconds,
    latency: total.summary(),
    kinds,
    errors,
    cache: Object.fromEntries(statistics.cache),
    availability: {
      percent: operations === 0 ? Number.NaN : (100 * (statistics.ok - statistics.slow)) / operations,
      slowMs: statistics.slowMs,
      slow: statistics.slow,
      longestGapMs: result.longestGapMs,
      longestGapAtMs: result.longestGapAtMs,
    },
    chaos: result.events.map(({ atMs, peer, what }) => ({ atMs: atMs - result.startMs, peer, what })),
    verification: verification ?? null,
    tool: {
      cores: result.toolCores,
      lateP50Ms: statistics.lateness.percentileMs(50),
      lateP99Ms: statistics.lateness.percentileMs(99),
    },
    histogram: [...total.bars].map((count, bar) => ({ upToMs: barsMs[bar] ?? null, count })),
    percentiles:
      total.count === 0 ? [] : plottedPercents.map((percent) => ({ percent, ms: total.percentileMs(percent) })),
    slots: statistics.slots,
  };
};
