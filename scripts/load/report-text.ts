/** The report for people, and the line of each second. */
import type { LoadReport } from "./report.ts";
import type { Second } from "./run.ts";
import type { LatencySummary } from "./statistics.ts";
import { isVerified, type Verification } from "./verify.ts";

export const whole = (count: number): string => Math.round(count).toLocaleString("en");

/** Three digits: 0.123, 1.23, 12.3, 123, 1,234 */
export const ms = (value: number): string => {
  if (!Number.isFinite(value)) return "-";
  if (value >= 1000) return whole(value);
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3);
};

/** Never rounded up to 100: what failed must show. */
export const percent = (value: number): string => {
  if (!Number.isFinite(value)) return "-";
  if (value === 100) return "100 %";
  return `${(Math.floor(value * 10_000) / 10_000).toFixed(4)} %`;
};

export const secondToText = ({ atSeconds, slot, waiting, failed, troubles }: Second): string => {
  const words = [
    `${String(atSeconds).padStart(4)} s`,
    `${whole(slot.ok).padStart(8)}/s`,
    `p50 ${ms(slot.p50Ms).padStart(5)}  p99 ${ms(slot.p99Ms).padStart(5)}  max ${ms(slot.maxMs).padStart(5)} ms`,
    `waiting ${whole(waiting)}`,
    `failed ${whole(failed)}`,
  ];
  if (troubles.length > 0) words.push(`${troubles.length} not connected: ${troubles[0]}`);
  return words.join("  ");
};

const columns = ["count", "per s", "mean", "p50", "p90", "p99", "p99.9", "max"] as const;

export const reportToText = (report: LoadReport): string => {
  const { settings, latency, availability, tool } = report;
  const loop = settings.rate === null ? "closed loop" : `${whole(settings.rate)}/s asked for`;
  const lines = [
    "",
    `${report.targets}`,
    `${settings.clients} clients, ${settings.pipeline} under way each, ${loop}, ${settings.mix}, ${whole(settings.keys)} keys, ` +
      `zipf ${settings.zipf}, ${settings.valueBytes} bytes, ${report.seconds.toFixed(1)} s`,
    "",
    `throughput   ${whole(report.okPerSecond)}/s   (${whole(report.ok)} answered, ${whole(report.failed)} failed)`,
    "",
    `latency, ms, ${settings.rate === null ? "from sending" : "from when it was due"}`,
    row("", columns),
    ...report.kinds.map(({ kind, latency: of, perSecond }) => latencyRow(kind, of, perSecond)),
    ...(report.kinds.length > 1 ? [latencyRow("all", latency, report.okPerSecond)] : []),
    "",
    ...histogramLines(report),
    "",
    ...failureLines(report),
    `availability ${percent(availability.percent)}   answered without failure within ${whole(availability.slowMs)} ms of being due; ` +
      `longest wait of a client for any answer: ${ms(availability.longestGapMs)} ms`,
  ];
  const get = report.kinds.find(({ kind }) => kind === "get");
  if (get !== undefined && get.latency.count > 0)
    lines.push(`found        ${percent((100 * get.hits) / get.latency.count)} of what was read`);
  const cached = Object.entries(report.cache);
  if (cached.length > 0)
    lines.push(`X-Cache      ${cached.map(([words, count]) => `${words} ${whole(count)}`).join(", ")}`);
  const kills = report.chaos.filter(({ what }) => what === "killed");
  if (report.chaos.length > 0)
    lines.push(
      `killed       ${kills.map(({ peer, atMs }) => `${peer} at ${(atMs / 1000).toFixed(1)} s`).join(", ") || "nobody"}`,
    );
  lines.push(
    `this tool    ${tool.cores.toFixed(2)} cores; late to send p50 ${ms(tool.lateP50Ms)}, p99 ${ms(tool.lateP99Ms)} ms`,
    ...warnings(report).map((words) => `             ${words}`),
  );
  if (report.verification !== null) lines.push("", ...verificationLines(report.verification));
  return lines.join("\n");
};

const row = (name: string, cells: readonly string[]): string =>
  `  ${name.padEnd(5)}${cells.map((cell) => cell.padStart(10)).join("")}`;

const latencyRow = (name: string, of: LatencySummary, perSecond: number): string =>
  row(name, [
    whole(of.count),
    whole(perSecond),
    ...[of.meanMs, of.p50Ms, of.p90Ms, of.p99Ms, of.p999Ms, of.maxMs].map(ms),
  ]);

const barCharsMax = 50;

const histogramLines = ({ histogram, latency }: LoadReport): string[] => {
  const first = histogram.findIndex(({ count }) => count > 0);
  if (first < 0) return ["nothing was answered"];
  const last = histogram.findLastIndex(({ count }) => count > 0);
  const most = Math.max(...histogram.map(({ count }) => count));
  return histogram.slice(first, last + 1).map(({ upToMs, count }) => {
    const share = (100 * count) / latency.count;
    const bar = "█".repeat(Math.round((count / most) * barCharsMax)) || (count > 0 ? "▏" : "");
    const name = upToMs === null ? "more" : `≤ ${upToMs}`;
    return `  ${name.padStart(8)} ms ${whole(count).padStart(10)} ${share.toFixed(share < 1 ? 3 : 1).padStart(6)} %  ${bar}`.trimEnd();
  });
};

const failureLines = ({ errors, kinds }: LoadReport): string[] => {
  const codes = Object.entries(errors).sort(([, a], [, b]) => b - a);
  if (codes.length === 0) return ["failures     none"];
  return codes.map(([code, count], index) => {
    const per = kinds.flatMap(({ kind, errors: of }) => (of[code] === undefined ? [] : `${kind} ${whole(of[code])}`));
    return `${index === 0 ? "failures    " : "            "} ${code} ${whole(count)}: ${per.join(", ")}`;
  });
};

/** What makes the figures mean less than they seem to. */
export const warnings = ({ tool, settings, okPerSecond, latency, failed }: LoadReport): string[] => {
  const found: string[] = [];
  if (tool.cores > 0.9) found.push("it used a whole core: it may be what was slow; fewer operations, or several of it");
  if (tool.lateP99Ms > 5 && tool.lateP99Ms > latency.p99Ms / 4)
    found.push("it was late itself: the machine is too busy for these latencies to mean much");
  if (settings.rate !== null && okPerSecond < settings.rate * 0.98 && failed === 0)
    found.push(`the rate was not reached: ${whole(settings.rate)}/s asked for`);
  return found;
};

const verificationLines = (found: Verification): string[] => {
  const { keysChecked, peers, acknowledgedWrites, unknownWrites, complaints, wrong, verdict } = found;
  const lines = [
    `verified     ${whole(acknowledgedWrites)} acknowledged writes, ${whole(unknownWrites)} of unknown outcome; ` +
      `${whole(keysChecked)} keys read at each of ${peers.length} peers`,
    `             ${verdict}`,
  ];
  if (isVerified(found)) lines.push("             nothing acknowledged is lost");
  else {
    if (wrong > 0) lines.push(`FAILED       ${whole(wrong)} are not as acknowledged:`);
    lines.push(...complaints.map((words) => `  ${words}`));
    if (!found.identical) lines.push("FAILED       the peers did not become identical (does anybody else write?)");
  }
  return lines;
};
