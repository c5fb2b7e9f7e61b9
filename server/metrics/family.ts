/**
 * Metrics as data: a family says its name, what it means and how it is read; nothing is kept up for it. At a scrape every
 * family reads the plain numbers that are there anyway, and prom-client's registry writes them down.
 *
 * prom-client's own counters and histograms are not used: they are told of each event, which would be work per command. So
 * its registry is loaded alone: all the rest, with the tracing it supports, is a fifth of the files a start reads.
 */
import { createRequire } from "node:module";
import type { Metric, Registry as PromRegistry } from "prom-client";
import { bucketMicros, type DurationHistogram, durationBuckets } from "./duration-histogram.ts";

const Registry = createRequire(import.meta.url)("prom-client/lib/registry.js") as new () => PromRegistry;

export type Labels = Readonly<Record<string, string>>;

/** One line: of a histogram the part it is, else nothing. */
export interface Sample {
  readonly labels?: Labels;
  readonly value: number;
  readonly part?: "bucket" | "sum" | "count";
}

export interface Family<Source> {
  /** Base units: `_seconds`, `_bytes`; counters end in `_total`. */
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  /** One sentence, with the unit and what it is of. docs/OPERATIONS.md prints it. */
  readonly help: string;
  /** Names of labels; values are few and never a client's. */
  readonly labels?: readonly string[];
  /** A number is a family of one sample; undefined: nothing to tell now. */
  read(source: Source): number | undefined | readonly Sample[];
}

/** What an HTTP port answers on `/metrics`. */
export interface Metrics {
  readonly contentType: string;
  scrape(): Promise<string>;
}

/** `source` is called once per scrape. Throws for two families of one name. */
export const metricsOf = <Source>(families: readonly Family<Source>[], source: () => Source): Metrics => {
  const registry = new Registry();
  let current: { readonly source: Source } | undefined;
  for (const family of families) {
    const get = (): unknown => ({
      name: family.name,
      help: family.help,
      type: family.type,
      aggregator: "sum",
      values: current === undefined ? [] : valuesOf(family, current.source),
    });
    // What a registry calls of a metric is `name` and `get`.
    registry.registerMetric({ name: family.name, get } as unknown as Metric);
  }
  return {
    contentType: registry.contentType,
    scrape: () => {
      current = { source: source() };
      // All families are read before this call returns: the figures are of one moment.
      const text = registry.metrics();
      current = undefined;
      return text;
    },
  };
};

interface RegistryValue {
  readonly labels: Labels;
  readonly value: number;
  readonly metricName?: string;
}

const noLabels: Labels = {};

const valuesOf = <Source>(family: Family<Source>, source: Source): readonly RegistryValue[] => {
  const read = family.read(source);
  if (read === undefined) return [];
  if (typeof read === "number") return [{ labels: noLabels, value: read }];
  return read.map(({ labels = noLabels, value, part }) =>
    part === undefined ? { labels, value } : { labels, value, metricName: `${family.name}_${part}` },
  );
};

// ---- For those who read ---------------------------------------------------------------------------------------------

/** Every second bucket from 8 us on: enough for a heat map, and a third of the lines. */
const shownBuckets = Array.from({ length: durationBuckets - 1 }, (_, index) => index).filter(
  (index) => index >= 3 && index % 2 === 1,
);

export const histogramSamples = (histogram: DurationHistogram, labels: Labels = noLabels): readonly Sample[] => {
  const samples: Sample[] = [];
  let count = 0;
  let next = 0;
  for (let index = 0; index < durationBuckets; index += 1) {
    count += histogram.counts[index] ?? 0;
    if (shownBuckets[next] !== index) continue;
    next += 1;
    samples.push({ part: "bucket", labels: { ...labels, le: String(bucketMicros(index) / 1e6) }, value: count });
  }
  samples.push({ part: "bucket", labels: { ...labels, le: "+Inf" }, value: count });
  samples.push({ part: "sum", labels, value: histogram.sumMicros / 1e6 });
  samples.push({ part: "count", labels, value: count });
  return samples;
};

/** One sample per state, 1 for the one that holds: alerts need not know numbers of states. */
export const stateSamples = (
  states: readonly string[],
  current: string,
  labels: Labels = noLabels,
  name = "state",
): readonly Sample[] =>
  states.map((state) => ({ labels: { ...labels, [name]: state }, value: state === current ? 1 : 0 }));

/** Of a record from label value to number. */
export const samplesBy = (name: string, values: Iterable<readonly [string, number]>): readonly Sample[] =>
  [...values].map(([key, value]) => ({ labels: { [name]: key }, value }));

/** One sample per peer there is something to tell of. */
export const samplesPerPeer = <Peer extends { readonly name: string }>(
  peers: readonly Peer[],
  read: (peer: Peer) => number | undefined,
): readonly Sample[] =>
  peers.flatMap((peer) => {
    const value = read(peer);
    return value === undefined ? [] : [{ labels: { peer: peer.name }, value }];
  });

/** What is measured in milliseconds is shown in seconds, as Prometheus wants it. */
export const msToSeconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1000);
