/** The two lines on top: where we are, and how the cluster is; then the tabs. */
import type { ReactNode } from "react";
import { badgeOf, isUp, reportsOf } from "../model/convergence.ts";
import { type Model, type Pane, panes } from "../model/model.ts";
import { durationText, fullCount, shortCount, sparkline } from "../text/format.ts";
import { type Row, rowWidth, type Span, type Style, span, spread } from "../text/row.ts";
import { clip, visibleText } from "../text/visible.ts";
import { Block } from "./panel.tsx";

const badgeStyles: Readonly<Record<ReturnType<typeof badgeOf>["kind"], Style>> = {
  identical: "badge-good",
  syncing: "badge-warn",
  diverged: "badge-bad",
  cut: "badge-bad",
  unknown: "badge-warn",
};

export const headerRows = (model: Model): Row[] => {
  const { columns } = model.size;
  return [placeRow(model, columns), loadRow(model, columns), tabsRow(model, columns)];
};

const placeRow = (model: Model, width: number): Row => {
  const badge = badgeOf(model);
  const right: Row = [span(` ${badge.text} `, badgeStyles[badge.kind])];
  const up = model.peers.filter((entry) => isUp(entry, model.nowMs)).length;
  const count = model.peers.length;
  const upStyle: Style = up === count ? "good" : "bad";
  const room = width - rowWidth(right) - 1;
  const ups: Row = [span("peers up ", "quiet"), span(`${up}/${count}`, upStyle)];
  const { connection } = model;
  if (connection.state === "connecting") {
    const why: Row = connection.why === "" ? [] : [span(`: ${connection.why}`, "quiet")];
    return spread(
      [brand, ...clipped([...ups, span("  connecting", "warn"), ...why], room - rowWidth([brand]))],
      right,
      width,
    );
  }
  const { cluster, name, address } = connection.peer;
  const peer = span(visibleText(name), "accent");
  const where = span(`${visibleText(address)}  `, "quiet");
  // What there is no room for goes: words first, then the address, then the name of the cluster.
  const variants: readonly Row[] = [
    [
      brand,
      span("cluster ", "quiet"),
      span(`${visibleText(cluster)}  `),
      span("at ", "quiet"),
      peer,
      span(" "),
      where,
      ...ups,
    ],
    [brand, span("at ", "quiet"), peer, span(" "), where, ...ups],
    [brand, span("at ", "quiet"), peer, span("  "), ...ups],
    [span(" "), peer, span("  "), ...ups],
  ];
  const fits = variants.find((variant) => rowWidth(variant) <= room) ?? [];
  return spread(fits, right, width);
};

const brand = span(" chorus  ", "title");

/** Spans of at most so many cells in all. */
const clipped = (row: Row, width: number): Row => {
  let left = width;
  return row.flatMap((part) => {
    const text = clip(part.text, left);
    left -= rowWidth([{ text, style: "plain" }]);
    return text === "" ? [] : [{ text, style: part.style }];
  });
};

const loadRow = (model: Model, width: number): Row => {
  const ops = model.opsHistory.at(-1) ?? 0;
  // The slowest peer's: whoever asks there waits that long.
  const p99 = Math.max(...reportsOf(model).map(({ latency }) => latency.p99Ms ?? Number.NEGATIVE_INFINITY));
  const reports = model.peers.flatMap(({ report }) => (report === undefined ? [] : [report]));
  const here = model.connection.state === "connected" ? model.connection.peer.name : "";
  const own = reports.find(({ peer }) => peer.name === here) ?? reports[0];
  const facts: Row = [
    span("  p99 ", "quiet"),
    span(Number.isFinite(p99) ? durationText(p99) : "-"),
    span("  keys ", "quiet"),
    span(own === undefined ? "-" : fullCount(own.keys)),
    span("  conflicts ", "quiet"),
    span(own === undefined ? "-" : fullCount(own.conflicts.kept), (own?.conflicts.kept ?? 0) > 0 ? "warn" : "plain"),
  ];
  const right: Row = model.readOnly ? [span(" read-only ", "badge-warn")] : [];
  const left: Row = [span(" ops/s ", "quiet"), span(shortCount(ops).padStart(5))];
  const sparkWidth = Math.min(60, width - rowWidth(left) - rowWidth(facts) - rowWidth(right) - 3);
  const spark = sparkWidth >= 8 ? [span(` ${sparkline(model.opsHistory, sparkWidth)}`, "accent")] : [];
  return spread([...left, ...spark, ...facts], right, width);
};

const titles: Readonly<Record<Pane, string>> = {
  peers: "Peers",
  keys: "Keys",
  feed: "Feed",
  conflicts: "Conflicts",
  console: "Console",
};

const tabsRow = (model: Model, width: number): Row => {
  const tabs = panes.flatMap((pane, index): Span[] => {
    const label = ` ${index + 1} ${titles[pane]} `;
    return [span(label, pane === model.pane ? "selected" : "plain")];
  });
  return spread(tabs, [span("? help  q quit ", "quiet")], width);
};

export const Header = ({ model }: { readonly model: Model }): ReactNode => (
  <Block rows={headerRows(model)} width={model.size.columns} height={3} colors={model.colors} />
);
