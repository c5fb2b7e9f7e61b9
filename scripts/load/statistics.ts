/**
 * What a run counts: latencies per kind of command, failures by code, and the same per slot of time.
 *
 * Latency counts from when an op was *due*, not from when it was sent: a server that stands still for a second makes
 * every op due in that second late, also those that could not even be sent (no coordinated omission; Gil Tene's term).
 * Percentiles come from perf_hooks' HDR histograms, three digits, in microseconds.
 */
import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import { type OpEnd, type OpKind, opKinds } from "./operation.ts";

export interface LatencySummary {
  readonly count: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

/** Upper ends of the bars of the text histogram, ms; the last bar is open. */
export const barsMs: readonly number[] = [
  0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000,
];

/** Longest latency a histogram tells apart; longer ones count as this. */
const latencyMsMax = 3_600_000;

export class Latencies {
  readonly #histogram: RecordableHistogram = createHistogram({ lowest: 1, highest: latencyMsMax * 1000, figures: 3 });
  readonly bars = new Float64Array(barsMs.length + 1);

  record(ms: number): void {
    this.#histogram.record(Math.min(latencyMsMax * 1000, Math.max(1, Math.round(ms * 1000))));
    let bar = 0;
    while (bar < barsMs.length && ms > (barsMs[bar] ?? 0)) bar++;
    this.bars[bar] = (this.bars[bar] ?? 0) + 1;
  }

  add(other: Latencies): void {
    if (other.count === 0) return;
    this.#histogram.add(other.#histogram);
    for (const [bar, count] of other.bars.entries()) this.bars[bar] = (this.bars[bar] ?? 0) + count;
  }

  reset(): void {
    this.#histogram.reset();
    this.bars.fill(0);
  }

  get count(): number {
    return this.#histogram.count;
  }

  /** NaN when nothing was recorded. */
  percentileMs(percent: number): number {
    return this.count === 0 ? Number.NaN : this.#histogram.percentile(percent) / 1000;
  }

  summary(): LatencySummary {
    const isEmpty = this.count === 0;
    return {
      count: this.count,
      meanMs: isEmpty ? Number.NaN : this.#histogram.mean / 1000,
      p50Ms: this.percentileMs(50),
      p90Ms: this.percentileMs(90),
      p99Ms: this.percentileMs(99),
      p999Ms: this.percentileMs(99.9),
      maxMs: isEmpty ? Number.NaN : this.#histogram.max / 1000,
    };
  }
}

/** A piece of the run's time, by when ops *ended*. */
export interface Slot {
  readonly atMs: number;
  readonly ok: number;
  readonly failed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Failures by code of each kind; beyond so many codes they are counted as `other`. */
const codesMax = 50;

export class Statistics {
  readonly slotMs: number;
  readonly latencies: Readonly<Record<OpKind, Latencies>>;
  readonly errors: Readonly<Record<OpKind, Map<string, number>>>;
  readonly hits: Record<OpKind, number> = { get: 0, set: 0, incr: 0, del: 0 };
  readonly slots: Slot[] = [];
  /** How late the tool itself was to send what it could have sent. */
  readonly lateness = new Latencies();
  /** Answered without a failure, but later than this after it was due. */
  readonly slowMs: number;
  slow = 0;
  ok = 0;
  failed = 0;
  /** X-Cache of HTTP answers. */
  readonly cache = new Map<string, number>();
  /** Of the slot that runs, and of the line that is printed next. */
  readonly #slot = new SlotCounts();
  readonly #line = new SlotCounts();

  constructor({ slotMs, slowMs }: { readonly slotMs: number; readonly slowMs: number }) {
    this.slotMs = slotMs;
    this.slowMs = slowMs;
    this.latencies = perKind(() => new Latencies());
    this.errors = perKind(() => new Map());
  }

  onEnd(kind: OpKind, latencyMs: number, end: OpEnd): void {
    if (end.ok) {
      this.ok++;
      if (end.hit) this.hits[kind]++;
      if (latencyMs > this.slowMs) this.slow++;
      this.latencies[kind].record(latencyMs);
      this.#slot.onOk(latencyMs);
      this.#line.onOk(latencyMs);
      return;
    }
    this.failed++;
    this.#slot.failed++;
    this.#line.failed++;
    const errors = this.errors[kind];
    const code = errors.has(end.code) || errors.size < codesMax ? end.code : "other";
    errors.set(code, (errors.get(code) ?? 0) + 1);
  }

  /** Ends the slot that ran until now. */
  closeSlot(atMs: number): void {
    this.slots.push(this.#slot.take(atMs));
  }

  /** What there was since the last line. */
  takeLine(): Slot {
    return this.#line.take(0);
  }

  total(): Latencies {
    const total = new Latencies();
    for (const kind of opKinds) total.add(this.latencies[kind]);
    return total;
  }
}

class SlotCounts {
  readonly #latencies = new Latencies();
  failed = 0;

  onOk(latencyMs: number): void {
    this.#latencies.record(latencyMs);
  }

  take(atMs: number): Slot {
    const { count, p50Ms, p99Ms, maxMs } = this.#latencies.summary();
    const slot = { atMs, ok: count, failed: this.failed, p50Ms, p99Ms, maxMs };
    this.#latencies.reset();
    this.failed = 0;
    return slot;
  }
}

export const perKind = <T>(make: (kind: OpKind) => T): Record<OpKind, T> => ({
  get: make("get"),
  set: make("set"),
  incr: make("incr"),
  del: make("del"),
});
