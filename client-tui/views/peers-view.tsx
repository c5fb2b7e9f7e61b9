/** The Peers pane: a row per peer, the map of links, and when there is room the ops/s of the last minutes. */
import { Box } from "ink";
import type { ReactNode } from "react";
import { opsBehindOf } from "../../protocol/agreement.ts";
import type { StatusLink, StatusReport, StatusStrong } from "../../protocol/status.ts";
import { isLinkUp, isUp, reportsOf } from "../model/convergence.ts";
import type { Model, PeerEntry } from "../model/model.ts";
import { linkTo, nameOf, selectedPeer, selectedTarget } from "../model/peers-pane.ts";
import { bytesText, durationText, fullCount, shortCount } from "../text/format.ts";
import { type Row, type Span, type Style, span } from "../text/row.ts";
import { fit, visibleText, wrapWords } from "../text/visible.ts";
import { insideWidth, Panel } from "./panel.tsx";
import { type Column, tableRows, windowTop } from "./table.ts";

interface PaneProps {
  readonly model: Model;
  readonly width: number;
  readonly height: number;
}

export const PeersView = ({ model, width, height }: PaneProps): ReactNode => {
  const { colors } = model;
  const tableHeight = Math.min(model.peers.length + 3, Math.max(4, Math.floor(height / 2)));
  const links = linkRows(model, insideWidth(width));
  const chartHeight = height - tableHeight - (links.length + 2) >= 6 ? height - tableHeight - (links.length + 2) : 0;
  const up = model.peers.filter((entry) => isUp(entry, model.nowMs)).length;
  return (
    <Box flexDirection="column">
      <Panel
        title={[span("Peers", "title")]}
        note={[span(`${up} of ${model.peers.length} up`, "quiet")]}
        rows={peerRows(model, insideWidth(width), tableHeight - 3)}
        width={width}
        height={tableHeight}
        colors={colors}
        focused
      />
      <Panel
        title={[span("Links", "title"), span(" from ↓ to →", "quiet")]}
        note={[span(faultNote(model), "quiet")]}
        rows={links}
        width={width}
        height={height - tableHeight - chartHeight}
        colors={colors}
      />
      {chartHeight > 0 && (
        <Panel
          title={[span("Ops/s", "title"), span(" of all peers, a column a second", "quiet")]}
          rows={chartRows(model.opsHistory, insideWidth(width), chartHeight - 2)}
          width={width}
          height={chartHeight}
          colors={colors}
        />
      )}
    </Box>
  );
};

// ---- Peers --------------------------------------------------------------------------------------------------------------

const stateOf = (entry: PeerEntry, nowMs: number): Span => {
  const { report, silent } = entry;
  if (silent !== undefined) return span("no answer", "bad");
  if (report === undefined) return span("asking", "quiet");
  if (!isUp(entry, nowMs)) return span("silent", "bad");
  if (report.loading) return span("loading", "warn");
  if (report.gated) return span("gated", "warn");
  return report.ready ? span("ready", "good") : span("not ready", "warn");
};

const orDash = (text: string | undefined): Span => (text === undefined ? span("-", "quiet") : span(text));

/** RTT, lag, queue and clock are those of the connected peer's link; the rest each peer says itself. */
const peerColumns = (model: Model): readonly Column<PeerEntry>[] => {
  const here = model.connection.state === "connected" ? model.connection.peer.name : "";
  const own = model.peers.find(({ name }) => name === here)?.report;
  const link = (entry: PeerEntry): StatusLink | undefined => linkTo(own, entry.name);
  const behind = opsBehindOf(reportsOf(model));
  const said = (read: (report: StatusReport) => string) => (entry: PeerEntry) =>
    orDash(entry.report === undefined ? undefined : read(entry.report));
  return [
    {
      title: "peer",
      weight: 100,
      cell: (entry) =>
        span(
          `${visibleText(nameOf(entry))}${entry.name === here ? " ◂" : ""}`,
          entry.name === here ? "accent" : "plain",
        ),
    },
    { title: "state", weight: 99, cell: (entry) => stateOf(entry, model.nowMs) },
    {
      title: "behind",
      side: "right",
      weight: 90,
      cell: (entry) => {
        const ops = isUp(entry, model.nowMs) ? behind.get(entry.name) : undefined;
        return ops === undefined ? span("-", "quiet") : span(`${shortCount(ops)} ops`, ops > 0 ? "warn" : "plain");
      },
    },
    {
      title: "lag",
      side: "right",
      weight: 70,
      cell: (entry) => {
        const lagMs = link(entry)?.lagMs;
        return orDash(lagMs === undefined || lagMs === null ? undefined : durationText(lagMs));
      },
    },
    {
      title: "rtt",
      side: "right",
      weight: 80,
      cell: (entry) => {
        const rttMs = link(entry)?.rttMs;
        return orDash(rttMs === undefined || rttMs === null ? undefined : durationText(rttMs));
      },
    },
    {
      title: "queued",
      side: "right",
      weight: 60,
      cell: (entry) => orDash(link(entry) === undefined ? undefined : bytesText(link(entry)?.queuedBytes ?? 0)),
    },
    {
      title: "clock",
      side: "right",
      weight: 65,
      cell: (entry) => {
        const offset = link(entry)?.clockOffsetMs;
        if (offset === undefined || offset === null) return span("-", "quiet");
        const rounded = Math.round(offset);
        return span(`${rounded < 0 ? "" : "+"}${rounded} ms`, Math.abs(rounded) > 500 ? "warn" : "plain");
      },
    },
    { title: "keys", side: "right", weight: 95, cell: said((report) => shortCount(report.keys)) },
    {
      title: "held",
      side: "right",
      weight: 75,
      cell: (entry) => {
        const { report } = entry;
        if (report === undefined) return span("-", "quiet");
        const isHeld = report.tombstones.heldBy.length > 0 && report.tombstones.count > 0;
        return span(shortCount(isHeld ? report.tombstones.count : 0), isHeld ? "warn" : "plain");
      },
    },
    {
      title: "digest",
      weight: 85,
      cell: said((report) => visibleText(report.digest.value.slice(0, model.size.columns >= 120 ? 16 : 8))),
    },
    { title: "ops/s", side: "right", weight: 55, cell: said((report) => shortCount(report.opsPerSecond)) },
    { title: "memory", side: "right", weight: 50, cell: said((report) => bytesText(report.memory.usedBytes)) },
    { title: "up", side: "right", weight: 45, cell: said((report) => durationText(report.peer.uptimeSeconds * 1000)) },
    { title: "version", weight: 58, cell: said((report) => visibleText(report.peer.version)) },
    { title: "http", weight: 40, cell: (entry) => span(visibleText(entry.address), "quiet") },
  ];
};

export const peerRows = (model: Model, width: number, entriesMax: number): Row[] => {
  const selected = Math.min(model.selectedPeer, model.peers.length - 1);
  const [heading = [], ...rows] = tableRows({
    columns: peerColumns(model),
    entries: model.peers,
    width,
    selected,
  });
  const top = windowTop(selected, rows.length, entriesMax);
  return [heading, ...rows.slice(top, top + entriesMax)];
};

// ---- Links --------------------------------------------------------------------------------------------------------------

const faultNote = (model: Model): string =>
  selectedPeer(model)?.report?.faultLinks === true ? "c cut  > < one way  h heal" : "←→ choose";

const linkCell = (from: PeerEntry, to: PeerEntry, nowMs: number): Span => {
  if (from === to) return span("·", "quiet");
  if (!isUp(from, nowMs)) return span("?", "quiet");
  const link = linkTo(from.report, to.name);
  if (link === undefined) return span("-", "quiet");
  switch (link.fault ?? "none") {
    case "both":
      return span("✕ cut", "bad");
    case "send":
      return span("✕ sending", "bad");
    case "receive":
      return span("✕ receiving", "bad");
    case "none":
  }
  if (link.state === "up") return span(link.rttMs === null ? "● up" : `● ${durationText(link.rttMs)}`, "good");
  return span(`${isLinkUp(link) ? "◐" : "✕"} ${visibleText(link.state)}`, isLinkUp(link) ? "warn" : "bad");
};

const cellWidth = 13;
const selectedLinkStyle: Style = "selected";

export const linkRows = (model: Model, width: number): Row[] => {
  const { peers } = model;
  const from = selectedPeer(model);
  const to = selectedTarget(model);
  if (from === undefined) return [];
  const nameWidth = Math.min(20, Math.max(4, ...peers.map((entry) => visibleText(nameOf(entry)).length)));
  const fits = Math.max(1, Math.floor((width - 2 - nameWidth) / cellWidth));
  const left = to === undefined ? 0 : windowTop(peers.indexOf(to), peers.length, fits);
  const columns = peers.slice(left, left + fits);
  const rowsMax = Math.max(1, Math.min(peers.length, 16));
  const top = windowTop(peers.indexOf(from), peers.length, rowsMax);
  const heading: Row = [
    span(" ".repeat(nameWidth + 2)),
    ...columns.map((entry) => span(fit(`  ${visibleText(nameOf(entry))}`, cellWidth), "quiet")),
  ];
  const body = peers.slice(top, top + rowsMax).map(
    (entry): Row => [
      span(fit(visibleText(nameOf(entry)), nameWidth + 2), entry === from ? "accent" : "plain"),
      ...columns.map((target) => {
        const cell = linkCell(entry, target, model.nowMs);
        const isSelected = entry === from && target === to;
        return { text: fit(` ${cell.text}`, cellWidth), style: isSelected ? selectedLinkStyle : cell.style };
      }),
    ],
  );
  return [heading, ...body, [], ...linkDetail(from, to, width), ...peerFacts(from), ...peerNotes(from, width)];
};

const linkDetail = (from: PeerEntry, to: PeerEntry | undefined, width: number): Row[] => {
  if (to === undefined) return [];
  const name: Row = [span(`${visibleText(nameOf(from))} → ${visibleText(nameOf(to))}  `, "title")];
  const link = linkTo(from.report, to.name);
  if (link === undefined) return [[...name, span(from.silent ?? "nothing is known", "quiet")]];
  const facts = [
    ["", visibleText(link.state)],
    ["rtt ", link.rttMs === null ? "-" : durationText(link.rttMs)],
    ["lag ", `${fullCount(link.lagOps)} ops${link.lagMs === null ? "" : `, ${durationText(link.lagMs)}`}`],
    ["queued ", bytesText(link.queuedBytes)],
    [
      "clock ",
      link.clockOffsetMs === null ? "-" : `${link.clockOffsetMs < 0 ? "" : "+"}${Math.round(link.clockOffsetMs)} ms`,
    ],
  ] as const;
  const row: Row = [...name, ...facts.flatMap(([label, value]) => [span(label, "quiet"), span(`${value}  `)])];
  const why =
    link.why === "" ? [] : wrapWords(visibleText(link.why), width, 2).map((line): Row => [span(line, "warn")]);
  return [row, ...why];
};

/** What the table has no room for on 80 columns. */
const peerFacts = ({ report, name }: PeerEntry): Row[] => {
  if (report === undefined) return [];
  const { peer, memory, clients, latency, strong } = report;
  const facts = [
    ["version ", visibleText(peer.version)],
    ["up ", durationText(peer.uptimeSeconds * 1000)],
    ["memory ", bytesText(memory.usedBytes)],
    ["clients ", fullCount(clients.tcp + clients.webSocket)],
    ["p99 ", latency.p99Ms === null ? "-" : durationText(latency.p99Ms)],
  ] as const;
  return [
    [
      span(`${visibleText(name)}  `, "title"),
      ...facts.flatMap(([label, value]) => [span(label, "quiet"), span(`${value}  `)]),
    ],
    strongFacts(strong),
  ];
};

const strongFacts = ({ standing, keys, answering, quorum, pendingRounds, waiting }: StatusStrong): Row => [
  span("strong keys  ", "title"),
  span(`${fullCount(keys)}  `),
  span(`${standing}  `, standing === "admitted" ? "plain" : "warn"),
  answering < quorum
    ? span(`no majority: ${answering} answer, ${quorum} needed  `, "bad")
    : span(`${answering} answer, ${quorum} needed  `),
  span("rounds ", "quiet"),
  span(`${fullCount(pendingRounds)}  `),
  span("waiting ", "quiet"),
  span(fullCount(waiting)),
];

/** What an operator should look at, of the selected peer. */
const peerNotes = ({ report, silent, name }: PeerEntry, width: number): Row[] => {
  if (silent !== undefined)
    return wrapWords(`${visibleText(name)}: ${silent}`, width, 2).map((line): Row => [span(line, "bad")]);
  if (report === undefined) return [];
  const held = report.tombstones;
  const notes = [
    ...report.reasons,
    ...report.alarms,
    ...(report.clock.skewState === "ok" ? [] : [`clock skew: ${report.clock.skewState}`]),
    ...(held.count > 0 && held.heldBy.length > 0
      ? [`${fullCount(held.count)} tombstones (${bytesText(held.bytes)}) held back by ${held.heldBy.join(", ")}`]
      : []),
  ];
  return notes
    .slice(0, 4)
    .flatMap((note) =>
      wrapWords(`${visibleText(report.peer.name)}: ${visibleText(note)}`, width, 2).map(
        (line): Row => [span(line, "warn")],
      ),
    );
};

// ---- Chart --------------------------------------------------------------------------------------------------------------

const eighths = " ▁▂▃▄▅▆▇█";

/** Columns from the floor, the newest at the right; the highest touches the top. */
export const chartRows = (values: readonly number[], width: number, height: number): Row[] => {
  const highest = Math.max(1, ...values);
  const label = shortCount(highest);
  const room = width - label.length - 1;
  const shown = values.slice(-room);
  const pad = " ".repeat(Math.max(0, room - shown.length));
  return Array.from({ length: height }, (_, row): Row => {
    const floor = (height - 1 - row) * 8;
    const bars = shown
      .map((value) => eighths[Math.max(0, Math.min(8, Math.round((value / highest) * height * 8) - floor))])
      .join("");
    const scale = row === 0 ? label : row === height - 1 ? "0" : "";
    return [span(`${scale.padStart(label.length)} `, "quiet"), span(pad + bars, "accent")];
  });
};
