/**
 * The badge: are the peers identical, and if not, what is known. Pure; on evidence only.
 *
 *   no peer                      nobody to ask
 *   DIVERGED in k keys           the same writes, yet other digests: proven
 *   cut from b (n ops behind)    a peer is down or unreachable, or a link is cut
 *   syncing (n ops behind)       somebody lacks writes another has
 *   identical                    equal version vectors and digests of all peers
 */
import { differingReports, opsBehindOf } from "../../protocol/agreement.ts";
import type { StatusReport } from "../../protocol/status.ts";
import { fullCount, plural } from "../text/format.ts";
import type { Model, PeerEntry } from "./model.ts";

export interface Badge {
  readonly kind: "identical" | "syncing" | "diverged" | "cut" | "unknown";
  readonly text: string;
}

/** A report older than this says nothing about now. */
export const reportFreshMs = 5000;

export const reportsOf = (model: Model): readonly StatusReport[] =>
  model.peers.flatMap(({ report, silent, reportAtMs }) =>
    report !== undefined && silent === undefined && model.nowMs - reportAtMs <= reportFreshMs ? [report] : [],
  );

export const isUp = (entry: PeerEntry, nowMs: number): boolean =>
  entry.report !== undefined && entry.silent === undefined && nowMs - entry.reportAtMs <= reportFreshMs;

export const badgeOf = (model: Model): Badge => {
  const reports = reportsOf(model);
  if (model.connection.state === "connecting" && reports.length === 0)
    return { kind: "unknown", text: "no peer answers" };
  const differing = differingPeers(reports);
  if (differing !== undefined) {
    const found = model.differingKeys;
    const count = found === undefined ? "" : ` in ${found.isMore ? "over " : ""}${plural(found.count, "key")}`;
    return { kind: "diverged", text: `DIVERGED${count}` };
  }
  const behind = opsBehind(reports);
  const cuts = cutsOf(model, reports);
  if (cuts.length > 0) {
    const lag = behind > 0 ? ` (${fullCount(behind)} ${behind === 1 ? "op" : "ops"} behind)` : "";
    return { kind: "cut", text: `cut ${cuts.join(", ")}${lag}` };
  }
  if (reports.length === 0) return { kind: "unknown", text: "asking" };
  if (reports.length < model.peers.length) return { kind: "unknown", text: "asking all peers" };
  if (behind > 0)
    return { kind: "syncing", text: `syncing (${fullCount(behind)} ${behind === 1 ? "op" : "ops"} behind)` };
  const digests = new Set(reports.map(({ digest }) => digest.value));
  // Equal writes, and not everywhere have the same keys expired yet: the peers themselves compare at equal horizons.
  const isProven = reports.every(({ links }) => links.every(({ verdict }) => verdict === "identical"));
  if (digests.size > 1 && !isProven) return { kind: "syncing", text: "comparing" };
  return { kind: "identical", text: "identical" };
};

/**
 * The names of two peers of which one knows that they differ: their digests were taken at equal vectors and horizons. By
 * the peers' own comparison, and by ours of what two of them report.
 */
export const differingPeers = (reports: readonly StatusReport[]): readonly [one: string, other: string] | undefined => {
  for (const { peer, links } of reports) {
    const known = links.find(({ verdict }) => verdict === "different");
    if (known !== undefined) return [peer.name, known.peer];
  }
  const pair = differingReports(reports);
  return pair === undefined ? undefined : [pair[0].peer.name, pair[1].peer.name];
};

/** What the peer that lacks most lacks. */
export const opsBehind = (reports: readonly StatusReport[]): number => Math.max(0, ...opsBehindOf(reports).values());

/** `from b`, as the connected peer has it; `b-c`, between others. */
const cutsOf = (model: Model, reports: readonly StatusReport[]): readonly string[] => {
  const here = model.connection.state === "connected" ? model.connection.peer.name : undefined;
  const away = new Set<string>();
  const between = new Set<string>();
  for (const entry of model.peers)
    if (entry.silent !== undefined && entry.name !== here) away.add(entry.name === "" ? entry.address : entry.name);
  for (const report of reports)
    for (const link of report.links) {
      if (isLinkUp(link)) continue;
      const { name } = report.peer;
      if (name === here) away.add(link.peer);
      else if (link.peer === here) away.add(name);
      else between.add([name, link.peer].sort().join("-"));
    }
  // Between a peer that is away and another, all is said already.
  for (const pair of between) if (pair.split("-").some((name) => away.has(name))) between.delete(pair);
  return [...(away.size > 0 ? [`from ${[...away].sort().join(", ")}`] : []), ...[...between].sort()];
};

/** Catching up is a link at work. */
export const isLinkUp = (link: { readonly state: string; readonly fault?: string }): boolean =>
  (link.state === "up" || link.state === "catching-up" || link.state === "transfer") &&
  (link.fault === undefined || link.fault === "none");
