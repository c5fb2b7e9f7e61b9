/** What happened in a run: every operation once its end is known, on one monotonic clock, and when answers came from whom. */
import { closeSync, openSync, writeSync } from "node:fs";
import { type HistoryEntry, writeHistory } from "../history.ts";

/** A time in which something was broken. */
export interface Period {
  readonly what: string;
  readonly fromNs: number;
  readonly toNs: number;
  /** By name: those whose clients are not counted on. */
  readonly struck: readonly string[];
  /** No majority is to be had, by anybody: nothing may be acknowledged. */
  readonly isWithoutMajority: boolean;
}

export class Recorder {
  readonly #startedNs = process.hrtime.bigint();
  readonly #file: number | undefined;
  #written = 0;
  readonly entries: HistoryEntry[] = [];
  readonly periods: Period[] = [];
  readonly counts = { ok: 0, fail: 0, unknown: 0 };
  /** First words of refusals. */
  readonly refusals = new Map<string, number>();
  /** What may not be, whatever the history says. */
  readonly problems: string[] = [];
  retries = 0;
  /** Answers that came when their client had given up on them. */
  late = 0;
  readonly #answers: { readonly atNs: number; readonly peer: string }[] = [];

  constructor(historyFile: string | undefined) {
    this.#file = historyFile === undefined ? undefined : openSync(historyFile, "w");
  }

  readonly nowNs = (): number => Number(process.hrtime.bigint() - this.#startedNs);

  record(entry: HistoryEntry): void {
    this.entries.push(entry);
    this.counts[entry.outcome]++;
  }

  /** An operation was answered as done, by that peer. */
  answered(atNs: number, peer: string): void {
    this.#answers.push({ atNs, peer });
  }

  refused(code: string): void {
    this.refusals.set(code, (this.refusals.get(code) ?? 0) + 1);
  }

  problem(words: string): void {
    if (this.problems.length < 50 && !this.problems.includes(words)) this.problems.push(words);
  }

  /** Now and then, so that a history is there also when we are not. */
  flush(): void {
    if (this.#file === undefined) return;
    writeSync(this.#file, writeHistory(this.entries.slice(this.#written)));
    this.#written = this.entries.length;
  }

  close(): void {
    this.flush();
    if (this.#file !== undefined) closeSync(this.#file);
  }

  /** The longest time in the period without an answer from any peer but those struck. */
  longestGapNs({ fromNs, toNs, struck }: Period): number {
    let [lastNs, longestNs] = [fromNs, 0];
    for (const { atNs, peer } of this.#answers) {
      if (atNs < fromNs || struck.includes(peer)) continue;
      if (atNs > toNs) break;
      longestNs = Math.max(longestNs, atNs - lastNs);
      lastNs = atNs;
    }
    return Math.max(longestNs, toNs - lastNs);
  }

  /** Operations that began and were acknowledged while nobody had a majority. */
  acknowledgedWithoutMajority(): HistoryEntry[] {
    const without = this.periods.filter(({ isWithoutMajority }) => isWithoutMajority);
    return this.entries.filter(
      ({ outcome, start_ns, end_ns }) =>
        outcome === "ok" && without.some(({ fromNs, toNs }) => start_ns > fromNs && (end_ns ?? 0) < toNs),
    );
  }
}
