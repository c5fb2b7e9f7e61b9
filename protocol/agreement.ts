/**
 * What the reports of several peers prove when they are held side by side: that two differ, and who lacks what.
 *
 * Digests speak only when they were taken at equal version vectors and equal expiry horizons; before that the peers are
 * syncing, however alike or different they look.
 */
import type { StatusReport } from "./status.ts";

/** Two peers that hold the same writes and yet differ; undefined when no two are known to. */
export const differingReports = (
  reports: readonly StatusReport[],
): readonly [one: StatusReport, other: StatusReport] | undefined => {
  const seen = new Map<string, StatusReport>();
  for (const report of reports) {
    const point = `${report.digest.horizon} ${vectorText(report)}`;
    const other = seen.get(point);
    if (other === undefined) seen.set(point, report);
    else if (other.digest.value !== report.digest.value) return [other, report];
  }
  return undefined;
};

/** Without order of insertion: origins that wrote nothing leave no trace in it. */
const vectorText = (report: StatusReport): string =>
  Object.entries(report.versionVector)
    .filter(([, seq]) => seq > 0)
    .map(([origin, seq]) => `${origin}:${seq}`)
    .sort()
    .join(" ");

/** By peer name: how many writes that another peer has it has not. */
export const opsBehindOf = (reports: readonly StatusReport[]): ReadonlyMap<string, number> => {
  const highest = new Map<string, number>();
  for (const { versionVector } of reports)
    for (const [origin, seq] of Object.entries(versionVector))
      highest.set(origin, Math.max(seq, highest.get(origin) ?? 0));
  return new Map(
    reports.map(({ peer, versionVector }) => {
      let lacking = 0;
      for (const [origin, seq] of highest) lacking += seq - Math.max(0, versionVector[origin] ?? 0);
      return [peer.name, lacking];
    }),
  );
};
