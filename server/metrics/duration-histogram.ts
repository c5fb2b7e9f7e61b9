/**
 * How long things took, since the start: counts in buckets that double, from a microsecond to some eight seconds. Noting
 * one is a count of leading zeros and two additions, whatever it is; nobody is told until a scrape asks.
 */

/** The last bucket takes all that is longer than the one before it. */
export const durationBuckets = 25;

/** Longest duration of bucket `index`, microseconds. */
export const bucketMicros = (index: number): number =>
  index >= durationBuckets - 1 ? Number.POSITIVE_INFINITY : 2 ** index;

const longestMicros = 2 ** (durationBuckets - 2);

export const bucketOf = (micros: number): number => {
  if (micros <= 1) return 0;
  return micros > longestMicros ? durationBuckets - 1 : 32 - Math.clz32(Math.ceil(micros) - 1);
};

export class DurationHistogram {
  /** Per bucket, not cumulative. */
  readonly counts: Float64Array;
  sumMicros = 0;

  /** `counts`: a part of a larger array, where many histograms lie side by side. */
  constructor(counts: Float64Array = new Float64Array(durationBuckets)) {
    this.counts = counts;
  }

  /** `times` of them took `micros` each. */
  note(micros: number, times = 1): void {
    const bucket = bucketOf(micros);
    this.counts[bucket] = (this.counts[bucket] ?? 0) + times;
    this.sumMicros += micros * times;
  }

  get count(): number {
    return this.counts.reduce((sum, count) => sum + count, 0);
  }
}
