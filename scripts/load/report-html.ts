/** The report as one page: tables and plots, no script, nothing fetched; light or dark as the reader's system is. */
import { escaped, linearScale, logScale, ninesScale, type Plot, plotToSvg, timeScale } from "./plot.ts";
import type { LoadReport } from "./report.ts";
import { ms, percent, warnings, whole } from "./report-text.ts";
import type { LatencySummary, Slot } from "./statistics.ts";
import { runRows } from "./summary.ts";
import { isVerified } from "./verify.ts";

/** More are not told apart in the width of a page. */
const pointsMax = 600;

const style = `
:root { color-scheme: light dark; --page: #fff; --text: #1b1f24; --quiet: #5b6570; --line: #e3e7eb; --card: #f6f8fa;
  --a: #1f6feb; --b: #d9730d; --c: #b42318; --bad: #cf222e; --good: #1a7f37; --band: #cf222e18; --fill: #1f6feb33; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0f1318; --text: #e6eaef; --quiet: #97a3b0; --line: #262d36; --card: #171c23;
    --a: #6cb0ff; --b: #f0a35a; --c: #ff8f84; --bad: #ff6b61; --good: #57c46d; --band: #ff6b6122; --fill: #6cb0ff30; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1040px; padding: 28px 24px 48px; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 22px; margin: 0 0 4px; } h2 { font-size: 16px; margin: 32px 0 8px; }
p { margin: 4px 0; } .quiet { color: var(--quiet); overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: 10px; margin: 20px 0 8px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px; }
.tile b { display: block; font-size: 21px; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile span { color: var(--quiet); font-size: 13px; }
.good b { color: var(--good); } .bad, .bad b { color: var(--bad); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 10px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--quiet); font-weight: 500; font-size: 13px; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
svg { display: block; width: 100%; height: auto; margin: 4px 0 12px; }
svg text { font: 12px system-ui, sans-serif; fill: var(--quiet); } svg .legend { fill: var(--text); }
svg .band-label { fill: var(--bad); font-size: 11px; }
.grid { stroke: var(--line); } .band { fill: var(--band); }
.line, .dashes { fill: none; stroke-width: 1.6; stroke-linejoin: round; stroke-linecap: round; }
.dashes { stroke-dasharray: 5 4; stroke: var(--quiet); stroke-width: 1.2; }
.area { stroke: none; }
.p50, .answered { stroke: var(--a); } .area.answered { fill: var(--fill); stroke: var(--a); stroke-width: 1.2; }
.p99 { stroke: var(--b); } .max { stroke: var(--c); } .area.failed { fill: var(--bad); }
hr { border: 0; border-top: 1px solid var(--line); margin: 40px 0; }
`;

export const reportToHtml = (reports: readonly LoadReport[]): string =>
  [
    "<!doctype html>",
    '<html lang="en">',
    '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
    `<title>Chorus load</title><style>${style}</style></head>`,
    "<body>",
    ...(reports.length > 1 ? [overview(reports)] : []),
    reports.map((report, index) => section(report, reports.length > 1 ? index + 1 : undefined)).join("\n<hr>\n"),
    "</body></html>",
    "",
  ].join("\n");

const section = (report: LoadReport, run: number | undefined): string => {
  const { settings, machine, tool } = report;
  const loop = settings.rate === null ? "closed loop" : `${whole(settings.rate)}/s asked for`;
  return [
    run === undefined ? "<h1>Chorus load</h1>" : `<h1>Run ${run}</h1>`,
    `<p class="quiet">${escaped(report.targets)}</p>`,
    `<p class="quiet">${escaped(
      `${report.startedAt.slice(0, 19).replace("T", " ")} UTC, ${report.seconds.toFixed(1)} s · ${settings.clients} clients, ` +
        `${settings.pipeline} under way each · ${loop} · ${settings.mix} · ${whole(settings.keys)} keys, zipf ${settings.zipf}, ` +
        `${settings.valueBytes} bytes · ${machine.cores} cores, Node ${machine.node}`,
    )}</p>`,
    tiles(report),
    "<h2>Throughput, operations per second</h2>",
    plotToSvg(throughputPlot(report)),
    `<h2>Latency over time, ms ${settings.rate === null ? "from sending" : "from when it was due"}</h2>`,
    plotToSvg(latencyPlot(report)),
    "<h2>Latency by percentile, ms</h2>",
    plotToSvg(percentilePlot(report)),
    "<h2>By command, ms</h2>",
    kindsTable(report),
    failures(report),
    verification(report),
    `<p class="quiet">The measuring itself: ${tool.cores.toFixed(2)} cores, late to send by p50 ${ms(tool.lateP50Ms)} ms, p99 ${ms(tool.lateP99Ms)} ms.</p>`,
    ...warnings(report).map((words) => `<p class="bad">${escaped(words)}</p>`),
  ].join("\n");
};

const tile = (value: string, label: string, mood = ""): string =>
  `<div class="tile ${mood}"><b>${escaped(value)}</b><span>${escaped(label)}</span></div>`;

const tiles = ({ okPerSecond, latency, failed, availability, verification: found }: LoadReport): string =>
  [
    '<div class="tiles">',
    tile(`${whole(okPerSecond)}/s`, "answered"),
    tile(`${ms(latency.p50Ms)} ms`, "median"),
    tile(`${ms(latency.p99Ms)} ms`, "99th percentile"),
    tile(`${ms(latency.maxMs)} ms`, "slowest answer"),
    tile(percent(availability.percent), `available (within ${whole(availability.slowMs)} ms)`),
    tile(`${ms(availability.longestGapMs)} ms`, "longest wait of a client"),
    tile(whole(failed), "failed", failed > 0 ? "bad" : "good"),
    ...(found === null
      ? []
      : [
          isVerified(found)
            ? tile("nothing lost", "verified", "good")
            : tile(`${whole(found.wrong)} wrong`, "verified", "bad"),
        ]),
    "</div>",
  ].join("\n");

/** Neighbours joined, so that there are no more points than can be seen: sums of counts, the worst of latencies. */
const thinned = (slots: readonly Slot[]): Slot[] => {
  const per = Math.ceil(slots.length / pointsMax);
  if (per <= 1) return [...slots];
  const joined: Slot[] = [];
  const worst = (values: readonly number[]): number => {
    const known = values.filter(Number.isFinite);
    return known.length === 0 ? Number.NaN : Math.max(...known);
  };
  for (let from = 0; from < slots.length; from += per) {
    const some = slots.slice(from, from + per);
    joined.push({
      atMs: some.at(-1)?.atMs ?? 0,
      ok: some.reduce((sum, { ok }) => sum + ok, 0),
      failed: some.reduce((sum, { failed }) => sum + failed, 0),
      p50Ms: worst(some.map(({ p50Ms }) => p50Ms)),
      p99Ms: worst(some.map(({ p99Ms }) => p99Ms)),
      maxMs: worst(some.map(({ maxMs }) => maxMs)),
    });
  }
  return joined;
};

const seconds = (value: number): string => `${Number(value.toFixed(3))} s`;
const count = (value: number): string => (value >= 10_000 ? `${whole(value / 1000)} k` : whole(value));
const milliseconds = (value: number): string => String(Number(value.toPrecision(3)));

const bandsOf = ({ chaos, seconds: length }: LoadReport): Plot["bands"] =>
  chaos
    .filter(({ what }) => what === "killed")
    .map(({ peer, atMs }) => {
      const back = chaos.find((event) => event.peer === peer && event.what === "back" && event.atMs > atMs);
      return { from: atMs / 1000, to: Math.min(length, (back?.atMs ?? length * 1000) / 1000), label: `${peer} killed` };
    });

const endOf = ({ seconds: length, slots }: LoadReport): number =>
  Math.max(length, (slots.at(-1)?.atMs ?? 0) / 1000, 0.1);

const throughputPlot = (report: LoadReport): Plot => {
  const slots = thinned(report.slots);
  const end = endOf(report);
  let before = 0;
  const all = slots.map(({ atMs, ok, failed }) => {
    const lengthMs = Math.max(atMs - before, 1);
    const fromMs = before;
    before = atMs;
    return {
      lengthMs,
      atSeconds: (fromMs + lengthMs / 2) / 1000,
      ok: (ok * 1000) / lengthMs,
      failed: (failed * 1000) / lengthMs,
    };
  });
  // The last slot ends with the last answer: what is left of it is no rate.
  const rates = all.filter(({ lengthMs }, index) => index === 0 || lengthMs > (all[0]?.lengthMs ?? 0) / 2);
  const max = Math.max(1, report.settings.rate ?? 0, ...rates.map(({ ok, failed }) => ok + failed));
  return {
    title: "Operations per second over time",
    x: timeScale(end, seconds),
    y: linearScale(max * 1.05, 5, count),
    xLabel: "",
    bands: bandsOf(report),
    series: [
      { name: "answered", label: "answered", kind: "area", points: rates.map(({ atSeconds, ok }) => [atSeconds, ok]) },
      ...(report.failed === 0
        ? []
        : [
            {
              name: "failed",
              label: "failed",
              kind: "area" as const,
              points: rates.map(({ atSeconds, failed }) => [atSeconds, failed] as const),
            },
          ]),
      ...(report.settings.rate === null
        ? []
        : [
            {
              name: "asked",
              label: "asked for",
              kind: "dashes" as const,
              points: [
                [0, report.settings.rate],
                [report.seconds, report.settings.rate],
              ] as const,
            },
          ]),
    ],
  };
};

const latencyScale = ({ slots, latency }: LoadReport) => {
  const known = slots.flatMap(({ p50Ms }) => (p50Ms > 0 ? [p50Ms] : []));
  return logScale(Math.min(1, ...known), Math.max(1, latency.maxMs || 1), milliseconds);
};

const latencyPlot = (report: LoadReport): Plot => {
  const slots = thinned(report.slots);
  const line = (name: string, of: (slot: Slot) => number) => ({
    name,
    label: name,
    kind: "line" as const,
    points: slots.map((slot) => [slot.atMs / 1000, of(slot)] as const),
  });
  return {
    title: "Latency over time",
    x: timeScale(endOf(report), seconds),
    y: latencyScale(report),
    xLabel: "",
    bands: bandsOf(report),
    series: [line("max", ({ maxMs }) => maxMs), line("p99", ({ p99Ms }) => p99Ms), line("p50", ({ p50Ms }) => p50Ms)],
  };
};

const percentilePlot = (report: LoadReport): Plot => {
  const { ok } = report;
  // One operation in so many is the finest that was seen.
  const nines = Math.min(5, Math.max(1, Math.ceil(Math.log10(Math.max(1, ok)))));
  return {
    title: "Latency by percentile",
    x: ninesScale(nines),
    y: latencyScale(report),
    xLabel: "share of operations answered within",
    bands: [],
    series: [
      {
        name: "p50",
        label: "all commands",
        kind: "line",
        points: report.percentiles
          .filter(({ percent: at }) => at <= 100 * (1 - 10 ** -nines) + 1e-9)
          .map(({ percent: at, ms: value }) => [at, value] as const),
      },
    ],
  };
};

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [
    '<div class="wide"><table><thead><tr>',
    ...head.map((cell) => `<th>${escaped(cell)}</th>`),
    "</tr></thead><tbody>",
    ...rows.map((cells) => `<tr>${cells.map((cell) => `<td>${escaped(cell)}</td>`).join("")}</tr>`),
    "</tbody></table></div>",
  ].join("");

const kindsTable = ({ kinds, latency, okPerSecond }: LoadReport): string => {
  const row = (name: string, of: LatencySummary, perSecond: number): string[] => [
    name,
    whole(of.count),
    whole(perSecond),
    ...[of.meanMs, of.p50Ms, of.p90Ms, of.p99Ms, of.p999Ms, of.maxMs].map(ms),
  ];
  return table(
    ["", "answered", "per s", "mean", "p50", "p90", "p99", "p99.9", "max"],
    [...kinds.map((kind) => row(kind.kind, kind.latency, kind.perSecond)), row("all", latency, okPerSecond)],
  );
};

const failures = ({ errors, kinds }: LoadReport): string => {
  const codes = Object.entries(errors).sort(([, a], [, b]) => b - a);
  if (codes.length === 0) return "";
  const rows = codes.map(([code, all]) => [code, whole(all), ...kinds.map(({ errors: of }) => whole(of[code] ?? 0))]);
  return `<h2>Failures</h2>${table(["code", "all", ...kinds.map(({ kind }) => kind)], rows)}`;
};

const verification = ({ verification: found }: LoadReport): string => {
  if (found === null) return "";
  const { acknowledgedWrites, unknownWrites, keysChecked, peers, verdict, complaints } = found;
  const good = isVerified(found);
  return [
    "<h2>Verified</h2>",
    `<p>${whole(acknowledgedWrites)} acknowledged writes, ${whole(unknownWrites)} of unknown outcome; ${whole(keysChecked)} keys read at each of ${peers.length} peers.</p>`,
    `<p>${escaped(verdict)}</p>`,
    `<p class="${good ? "" : "bad"}">${good ? "Nothing acknowledged is lost." : `${whole(found.wrong)} keys are not as acknowledged.`}</p>`,
    ...complaints.map((words) => `<p class="bad">${escaped(words)}</p>`),
  ].join("\n");
};

const overview = (reports: readonly LoadReport[]): string => {
  const rows = runRows(reports);
  const head = ["run", "per s", "p50", "p99", "max", "longest wait", "failed", "get/set/del", "available", "verified"];
  return `<h1>Chorus load: ${reports.length} runs</h1><p class="quiet">Times in ms. get/set/del: failures of what may be repeated.</p>${table(head, rows)}<hr>`;
};
