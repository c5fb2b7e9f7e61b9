/** Are these peers identical? Decided on evidence only (protocol/agreement.ts). Pure: reports in, a verdict out. */
import { differingReports, opsBehindOf } from "../../protocol/agreement.ts";
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

const differenceOf = (reports: readonly StatusReport[]): string | undefined => {
  const [one, other] = differingReports(reports) ?? [];
  if (one === undefined || other === undefined) return undefined;
  return `${one.peer.name} and ${other.peer.name} hold the same writes and differ; DIFF ${other.peer.name} at ${one.peer.name} lists the keys`;
};

/** `b lacks 12 ops`, for each peer that lacks something another has. */
const behindOf = (reports: readonly StatusReport[]): readonly string[] =>
  [...opsBehindOf(reports)]
    .filter(([, lacking]) => lacking > 0)
    .map(([name, lacking]) => `${name} lacks ${lacking} ${lacking === 1 ? "op" : "ops"}`);
