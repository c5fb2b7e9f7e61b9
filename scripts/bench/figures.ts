/** The figures: what each is, what it must reach and what it should, and the verdict on a measurement. Pure. */

export interface Figure {
  readonly name: string;
  readonly title: string;
  readonly unit: "ops/s" | "ms" | "s" | "B/key";
  /** Chorus ÷ Redis, or Chorus's own value. */
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
): Named<Name> => ({ name, title, unit, judgedBy: "ratio", better, ...(bounds === undefined ? {} : { bounds }) });

const value = <Name extends string>(
  name: Name,
  title: string,
  unit: Figure["unit"],
  bounds: { readonly must: number; readonly aim: number },
): Named<Name> => ({ name, title, unit, judgedBy: "value", better: "lower", bounds });

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
  ratio("gateway-http", "GET of a cached key at the gateway ÷ a bare node:http", "ops/s", "higher", {
    must: 0.7,
    aim: 0.85,
  }),
  ratio("gateway-tcp", "GET, pipeline 16, through the gateway ÷ direct", "ops/s", "higher", { must: 0.65, aim: 0.8 }),
  ratio("gateway-hit-p99", "p99 of a cached GET at the gateway ÷ of a GET at a peer", "ms", "lower", {
    must: 1,
    aim: 0.7,
  }),
] as const;

export type FigureName = (typeof figures)[number]["name"];

/** One row as measured: a sample per round. */
export interface Measurement {
  readonly name: FigureName;
  readonly chorus: readonly number[];
  readonly redis: readonly number[];
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
  readonly redisMedian: number | undefined;
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
  const redisMedian = median(measurement.redis);
  const quotient = chorusMedian === undefined || redisMedian === undefined ? undefined : chorusMedian / redisMedian;
  const quotients = measurement.chorus.flatMap((sample, round) => {
    const other = measurement.redis[round];
    return other === undefined ? [] : [sample / other];
  });
  return {
    figure,
    measurement,
    chorusMedian,
    redisMedian,
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
