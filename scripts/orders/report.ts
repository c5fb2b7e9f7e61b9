/** What the shop did, as data and for people. */
import { ms, whole } from "../load/report-text.ts";
import type { LatencySummary } from "../load/statistics.ts";
import type { Checked } from "./check.ts";
import type { Options } from "./options.ts";

export interface OrdersReport {
  readonly format: 1;
  readonly seconds: number;
  readonly orders: number;
  readonly wanted: number;
  readonly custom: number;
  /** From placing to holding the record. */
  readonly latency: LatencySummary;
  readonly ordersPerSecond: number;
  /** Laptops made, by engineer; more in all than orders would mean that some were made twice. */
  readonly madeBy: readonly number[];
  readonly mostExpertsAtWork: number;
  /** With `--claim strong`: claims that another engineer had already, and laptops made for a claim that had run out. */
  readonly claims: { readonly beaten: number; readonly discarded: number } | null;
  readonly cache: Readonly<Record<string, number>>;
  readonly placedAgain: number;
  readonly rewritten: number;
  readonly repeats: number;
  readonly staleSessions: number;
  readonly olderReads: number;
  readonly checked: Checked | null;
}

export const isGood = ({ orders, wanted, madeBy, olderReads, checked }: OrdersReport, stopped: boolean): boolean =>
  (orders === wanted || stopped) &&
  orders > 0 &&
  madeBy.reduce((sum, made) => sum + made, 0) >= orders &&
  olderReads === 0 &&
  (checked === null || checked.wrong === 0);

export const reportToText = (report: OrdersReport, options: Options): string => {
  const { latency, cache, checked, madeBy } = report;
  const reads = Object.values(cache).reduce((sum, count) => sum + count, 0);
  const lines = [
    "",
    `orders       ${whole(report.orders)} of ${whole(report.wanted)} recorded, ${whole(report.custom)} of them custom, in ${report.seconds.toFixed(1)} s`,
    `latency      mean ${ms(latency.meanMs)} ms   (p50 ${ms(latency.p50Ms)}, p99 ${ms(latency.p99Ms)}, max ${ms(latency.maxMs)}), from ordering to holding the record`,
    `throughput   ${report.ordersPerSecond.toFixed(1)} orders/s`,
    `made by      ${madeBy.map((made, engineer) => `engineer ${engineer}: ${whole(made)}`).join(", ")}; at most ${report.mostExpertsAtWork} of ${options.experts} experts at work at a time`,
    ...(report.claims === null
      ? []
      : [
          `claims       by strong keys; ${whole(report.claims.beaten)} came second, ${whole(report.claims.discarded)} laptops thrown away`,
        ]),
    reads === 0
      ? "last order   no X-Cache: there is no gateway between"
      : `last order   ${whole(reads)} reads: ${Object.entries(cache)
          .map(([words, count]) => `${words} ${whole(count)} (${((100 * count) / reads).toFixed(0)} %)`)
          .join(", ")}`,
    `repeated     ${whole(report.placedAgain)} orders placed again, ${whole(report.rewritten)} records written again, ` +
      `${whole(report.repeats)} requests sent again, ${whole(report.staleSessions)} sessions given up`,
  ];
  if (report.olderReads > 0)
    lines.push(`FAILED       ${report.olderReads} customers read an older last order than they wrote`);
  if (checked !== null) {
    lines.push(
      checked.wrong === 0
        ? `verified     ${whole(checked.orders)} orders, each recorded once, the same at all ${checked.peers.length} peers`
        : `FAILED       ${whole(checked.wrong)} are not as they should be:`,
      ...checked.complaints.map((words) => `  ${words}`),
    );
  }
  return lines.join("\n");
};
