/**
 * Are these peers identical? Decided on evidence only: digests speak when they were taken at equal version vectors and
 * equal expiry horizons; before that the peers are syncing, however alike they look.
 *
 * Pure: reports in, a verdict out.
 */
import type { StatusReport } from "../../protocol/status.ts";

export type Verdict =
  | { readonly kind: "identical"; readonly text: string }
  | { readonly kind: "syncing"; readonly text: string }
  | { readonly kind: "differs"; readonly text: string }
  | { readonly kind: "unreachable"; readonly text: string };

export type Probe =
  | { readonly address: string; readonly status: StatusReport }
  | { readonly address: string; readonly why: string };

/** The exit code of `chorus status`. */
export const verdictExitCode = { identical: 0, syncing: 1, differs: 1, unreachable: 3 } as const;

export const verdictOf = (probes: readonly Probe[]): Verdict => {
  const reports = probes.flatMap((probe) => ("status" in probe ? [probe.status] : []));
  const clusters = new Set(reports.map((report) => report.peer.cluster));
  if (clusters.size > 1)
    return { kind: "differs", text: `these are peers of different clusters: ${[...clusters].join(", ")}` };

  // A proven difference weighs more than a peer nobody can ask.
  const difference = differenceOf(reports);
  if (difference !== undefined) return { kind: "differs", text: difference };
  const silent = probes.filter((probe) => !("status" in probe));
  if (silent.length > 0)
    return {
      kind: "unreachable",
      text: `${silent.length} of ${probes.length} peers did not answer; nothing is said of them`,
    };

  const behind = behindOf(reports);
  if (behind.length > 0) return { kind: "syncing", text: `syncing: ${behind.join(", ")}` };
  const values = new Set(reports.map((report) => report.digest.value));
  if (values.size > 1)
    return { kind: "syncing", text: "the digests were taken at different expiry horizons; ask again" };
  const [first] = reports;
  const who =
    reports.length === 1 ? "1 peer; it has nobody to differ from" : `${reports.length} peers, ${first?.keys ?? 0} keys`;
  return { kind: "identical", text: `identical: ${who}, digest ${first?.digest.value ?? ""}` };
};

/** A text without order of insertion: origins that wrote nothing leave no trace in it. */
const vectorText = (report: StatusReport): string =>
  Object.entries(report.versionVector)
    .filter(([, seq]) => seq > 0)
    .map(([origin, seq]) => `${origin}:${seq}`)
    .sort()
    .join(" ");

const differenceOf = (reports: readonly StatusReport[]): string | undefined => {
  const seen = new Map<string, StatusReport>();
  for (const report of reports) {
    const point = `${report.digest.horizon} ${vectorText(report)}`;
    const other = seen.get(point);
    if (other === undefined) seen.set(point, report);
    else if (other.digest.value !== report.digest.value)
      return `${other.peer.name} and ${report.peer.name} hold the same writes and differ; DIFF ${report.peer.name} at ${other.peer.name} lists the keys`;
  }
  return undefined;
};

/** `b lacks 12 ops`, for each peer that lacks something another has. */
const behindOf = (reports: readonly StatusReport[]): string[] => {
  const highest = new Map<string, number>();
  for (const { versionVector } of reports)
    for (const [origin, seq] of Object.entries(versionVector))
      highest.set(origin, Math.max(seq, highest.get(origin) ?? 0));
  const behind: string[] = [];
  for (const { peer, versionVector } of reports) {
    let lacking = 0;
    for (const [origin, seq] of highest) lacking += seq - Math.max(0, versionVector[origin] ?? 0);
    if (lacking > 0) behind.push(`${peer.name} lacks ${lacking} ${lacking === 1 ? "op" : "ops"}`);
  }
  return behind;
};
