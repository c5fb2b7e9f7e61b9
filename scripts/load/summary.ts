/** Several runs side by side: `--runs`. */
import type { LoadReport } from "./report.ts";
import { ms, percent, whole } from "./report-text.ts";
import { isVerified } from "./verify.ts";

/** A run a line, as in `npm run load -- --runs`: number, rate, p50, p99, max, longest wait, failures, of these what may be repeated, availability, verified. */
export const runRows = (reports: readonly LoadReport[]): readonly (readonly string[])[] =>
  reports.map((report, index) => [
    String(index + 1),
    `${whole(report.okPerSecond)}`,
    ms(report.latency.p50Ms),
    ms(report.latency.p99Ms),
    ms(report.latency.maxMs),
    ms(report.availability.longestGapMs),
    whole(report.failed),
    whole(failedRepeatable(report)),
    percent(report.availability.percent),
    report.verification === null ? "-" : isVerified(report.verification) ? "yes" : "NO",
  ]);

export const runsToText = (reports: readonly LoadReport[]): string => {
  const rows = runRows(reports);
  const head = ["run", "per s", "p50", "p99", "max", "gap", "failed", "get/set/del", "available", "verified"];
  const widths = head.map((name, at) => Math.max(name.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `  ${cells.map((cell, at) => cell.padStart(widths[at] ?? 0)).join("  ")}`;
  const worst = Math.max(...reports.map(({ availability }) => availability.longestGapMs));
  return [
    "",
    `${reports.length} runs; latencies and the longest wait of a client (gap) in ms; get/set/del: failures of what may be repeated`,
    line(head),
    ...rows.map(line),
    `  longest wait of all runs ${ms(worst)} ms, lowest availability ${percent(Math.min(...reports.map(({ availability }) => availability.percent)))}`,
  ].join("\n");
};

/** All but increments. */
const failedRepeatable = ({ kinds }: LoadReport): number =>
  kinds
    .filter(({ kind }) => kind !== "incr")
    .reduce((sum, { errors }) => sum + Object.values(errors).reduce((all, count) => all + count, 0), 0);
