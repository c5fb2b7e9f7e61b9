/** The figures: what each is, what it must reach and what it should, and the verdict on a measurement. Pure. */

/** What Chorus is measured beside; `alone`: Chorus itself, without what else it does in the first number. */
export type Beside = "redis" | "etcd" | "node:http" | "peer" | "alone";

export interface Figure {
  readonly name: string;
  readonly title: string;
  readonly unit: "ops/s" | "ms" | "s" | "B/key" | "µs/op";
  /** What the second number is of. */
  readonly beside: Beside;
  /** Chorus ÷ what is beside it, or Chorus's own value. */
  readonly judgedBy: "ratio" | "value";
  readonly better: "higher" | "lower";
  /** Without bounds the row is there to be read, not judged. */
  readonly bounds?: { readonly must: number; readonly aim: number };
}

type Named<Name extends string> = Figure & { readonly name: Name };

const ratio = <Name extends string>(
  name: Name,
  title: string,
  unit: Figure["unit"],
  better: Figure["better"],
  bounds?: Figure["bounds"],
  beside: Beside = "redis",
): Named<Name> => ({
  name,
  title,
  unit,
  beside,
  judgedBy: "ratio",
  better,
  ...(bounds === undefined ? {} : { bounds }),
});

const value = <Name extends string>(
  name: Name,
  title: string,
  unit: Figure["unit"],
  bounds: { readonly must: number; readonly aim: number },
  beside: Beside = "redis",
): Named<Name> => ({ name, title, unit, beside, judgedBy: "value", better: "lower", bounds });

const gatewayHttpBounds = { must: 0.7, aim: 0.85 };
const gatewayTcpBounds = { must: 0.65, aim: 0.8 };
const gatewayHitBounds = { must: 1, aim: 0.7 };
const strongRateBounds = { must: 2, aim: 4 };
const strongLatencyBounds = { must: 1, aim: 0.5 };
const strongGapBounds = { must: 100, aim: 50 };
const strongPlainBounds = { must: 0.95, aim: 0.98 };

export const figures = [
  ratio("set-p1", "replicated SET, pipeline 1", "ops/s", "higher", { must: 0.7, aim: 1 }),
  ratio("set-p1-spread", "  the same, spread over all three peers", "ops/s", "higher"),
  ratio("set-p16", "replicated SET, pipeline 16", "ops/s", "higher", { must: 0.7, aim: 1 }),
  ratio("set-p16-spread", "  the same, spread over all three peers", "ops/s", "higher"),
  ratio("get-p1", "GET, pipeline 1", "ops/s", "higher", { must: 0.9, aim: 1 }),
  ratio("get-p16", "GET, pipeline 16", "ops/s", "higher", { must: 0.7, aim: 1 }),
  ratio("incr-p16", "replicated INCR, pipeline 16", "ops/s", "higher", { must: 0.5, aim: 0.8 }),
  value("lag-p50", "replication lag under paced SETs, p50", "ms", { must: 2, aim: 1 }),
  value("lag-p99", "replication lag under paced SETs, p99", "ms", { must: 10, aim: 5 }),
  ratio("memory", "memory per key", "B/key", "lower", { must: 1.5, aim: 1.25 }),
  value("restart-crash", "restart after kill -9, until reads", "s", { must: 5, aim: 2 }),
  value("restart-clean", "restart after a clean stop, until reads", "s", { must: 5, aim: 2 }),
  value("return", "a server that missed a write of every key: until identical", "s", { must: 15, aim: 5 }),
  value("busy-get", "GET p99.9 during checkpoint, scan and transfer", "ms", { must: 30, aim: 10 }),
  value("scrape", "scrape of /metrics", "ms", { must: 20, aim: 10 }),
  ratio("gateway-http", "GET of a cached key at the gateway", "ops/s", "higher", gatewayHttpBounds, "node:http"),
  ratio("gateway-tcp", "GET, pipeline 16, through the gateway", "ops/s", "higher", gatewayTcpBounds, "peer"),
  ratio("gateway-hit-p99", "p99 of a cached GET at the gateway", "ms", "lower", gatewayHitBounds, "peer"),
  ratio("strong-set", "linearizable SET", "ops/s", "higher", strongRateBounds, "etcd"),
  ratio("strong-set-p50", "  its latency, p50", "ms", "lower", strongLatencyBounds, "etcd"),
  ratio("strong-set-p99", "  its latency, p99", "ms", "lower", strongLatencyBounds, "etcd"),
  ratio("strong-set-cpu", "  its processor time, three servers together", "µs/op", "lower", undefined, "etcd"),
  ratio("strong-set-one", "  all clients at one server (etcd's leader)", "ops/s", "higher", undefined, "etcd"),
  ratio("strong-set-own", "  etcd's clients too have a connection each", "ops/s", "higher", undefined, "etcd"),
  ratio("strong-get", "linearizable GET", "ops/s", "higher", strongRateBounds, "etcd"),
  ratio("strong-get-cpu", "  its processor time, three servers together", "µs/op", "lower", undefined, "etcd"),
  ratio("strong-get-one", "  all clients at one server (etcd's leader)", "ops/s", "higher", undefined, "etcd"),
  ratio("strong-get-own", "  etcd's clients too have a connection each", "ops/s", "higher", undefined, "etcd"),
  value("strong-gap", "longest gap in writes, one server killed (etcd's leader)", "ms", strongGapBounds, "etcd"),
  ratio("strong-plain", "plain SET, pipeline 16, beside strong SETs", "ops/s", "higher", strongPlainBounds, "alone"),
] as const;

export type FigureName = (typeof figures)[number]["name"];

/** Measured only when asked for: they need etcd for their second number, and the default run is long enough. */
export const strongNames: readonly FigureName[] = figures.flatMap(({ name }) =>
  name.startsWith("strong-") ? [name] : [],
);

/** One row as measured: a sample per round. */
export interface Measurement {
  readonly name: FigureName;
  readonly chorus: readonly number[];
  /** Of what the figure says is beside it; empty where that is not installed. */
  readonly beside: readonly number[];
  /** What a reader must know to judge the row. */
  readonly notes: readonly string[];
  /** Why it could not be measured. */
  readonly failure?: string;
}

export type Verdict = "aim" | "must" | "BELOW" | "failed" | "-";

export interface Row {
  readonly figure: Figure;
  readonly measurement: Measurement;
  readonly chorusMedian: number | undefined;
  readonly besideMedian: number | undefined;
  /** Of the medians; undefined where there is nothing to compare with. */
  readonly ratio: number | undefined;
  /** Lowest and highest ratio of a round: how far the machine can be trusted. */
  readonly ratioRange: readonly [number, number] | undefined;
  readonly verdict: Verdict;
}

export const median = (samples: readonly number[]): number | undefined => {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle];
  const [low, high] = [sorted[middle - 1], sorted[middle]];
  return low === undefined || high === undefined ? undefined : (low + high) / 2;
};

export const rowOf = (measurement: Measurement): Row => {
  const figure: Figure | undefined = figures.find(({ name }) => name === measurement.name);
  if (figure === undefined) throw new Error(`there is no figure ${measurement.name}`);
  const chorusMedian = median(measurement.chorus);
  const besideMedian = median(measurement.beside);
  const quotient = chorusMedian === undefined || besideMedian === undefined ? undefined : chorusMedian / besideMedian;
  const quotients = measurement.chorus.flatMap((sample, round) => {
    const other = measurement.beside[round];
    return other === undefined ? [] : [sample / other];
  });
  return {
    figure,
    measurement,
    chorusMedian,
    besideMedian,
    ratio: quotient,
    ratioRange: quotients.length === 0 ? undefined : [Math.min(...quotients), Math.max(...quotients)],
    verdict: verdictOn(figure, measurement, figure.judgedBy === "ratio" ? quotient : chorusMedian),
  };
};

const verdictOn = (figure: Figure, { failure }: Measurement, judged: number | undefined): Verdict => {
  if (failure !== undefined) return "failed";
  if (figure.bounds === undefined || judged === undefined) return "-";
  const { must, aim } = figure.bounds;
  const reaches = (bound: number): boolean => (figure.better === "higher" ? judged >= bound : judged <= bound);
  return reaches(aim) ? "aim" : reaches(must) ? "must" : "BELOW";
};
