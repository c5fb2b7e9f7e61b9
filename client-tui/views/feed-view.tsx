/** The Feed pane: changes as they come, the newest at the bottom. */
import type { ReactNode } from "react";
import type { ClusterChange } from "../cluster.ts";
import { editorText } from "../input/line-editor.ts";
import { shownChanges } from "../model/feed-pane.ts";
import { panelRows } from "../model/layout.ts";
import type { FeedChange, Model } from "../model/model.ts";
import { clockText, durationText, fullCount, ttlText } from "../text/format.ts";
import { type Row, type Span, type Style, span } from "../text/row.ts";
import { clip, fit, visibleBytes, visibleText } from "../text/visible.ts";
import { editorRow } from "./editor-row.ts";
import { insideWidth, Panel } from "./panel.tsx";
import { inverted } from "./table.ts";

interface PaneProps {
  readonly model: Model;
  readonly width: number;
  readonly height: number;
}

export const FeedView = ({ model, width, height }: PaneProps): ReactNode => (
  <Panel
    title={[span("Feed", "title"), span(" changes at this peer, in causal order", "quiet")]}
    note={feedNote(model)}
    rows={feedRows(model, insideWidth(width), panelRows(height))}
    width={width}
    height={height}
    colors={model.colors}
    focused
  />
);

const feedNote = ({ feed }: Model): Row => {
  const left = feed.left > 0 ? `, ${fullCount(feed.left)} left out` : "";
  const counts = span(`${fullCount(feed.seen)} shown${left}`, "quiet");
  if (feed.isPaused) return [span(`PAUSED +${fullCount(feed.missed)}`, "warn"), span("  "), counts];
  return feed.note === "" ? [counts] : [span(feed.note, "warn"), span("  "), counts];
};

const marks: Readonly<Record<ClusterChange["type"], readonly [text: string, style: Style]>> = {
  set: ["set", "good"],
  delete: ["delete", "bad"],
  increment: ["incr", "accent"],
  expired: ["expired", "quiet"],
};

const timeWidth = 12;
const markWidth = 7;
const originWidth = 10;
const lagWidth = 8;

export const feedRows = (model: Model, width: number, height: number): Row[] => {
  const { feed } = model;
  const shown = shownChanges(feed);
  const filter = editorText(feed.filter);
  const search: Row[] = feed.isFiltering
    ? [editorRow(feed.filter, width, [span("/", "accent")])]
    : filter === ""
      ? []
      : [[span("/", "accent"), span(clip(visibleText(filter), width - 8)), span("  Esc", "quiet")]];
  const heading: Row = [
    span(
      `${fit("time", timeWidth)}  ${fit("change", markWidth)}  ${fit("origin", originWidth)} ${fit("lag", lagWidth, "right")}  key`,
      "quiet",
    ),
  ];
  const room = height - search.length - 1;
  if (shown.length === 0)
    return [
      ...search,
      heading,
      [span(filter === "" ? "nothing has changed since this screen was opened" : "nothing matches", "quiet")],
    ];
  const selected = shown.length - 1 - feed.selected;
  const top = Math.max(
    0,
    Math.min(shown.length - room, selected - (feed.selected === 0 ? room - 1 : Math.floor(room / 2))),
  );
  const rows = shown.slice(top, top + room).map((entry, index) => {
    const row = changeRow(entry, width);
    return top + index === selected && feed.selected > 0 ? inverted(row, width) : row;
  });
  return [...search, heading, ...rows];
};

const changeRow = ({ change, left }: FeedChange, width: number): Row => {
  const { receivedAtMs } = change;
  const [mark, style] = marks[change.type];
  const origin = visibleText(change.origin.split(".")[0] ?? "");
  // An expiry has no write that travelled.
  const lag = change.type === "expired" ? "" : durationText(Math.max(0, Math.round(receivedAtMs - change.stampMs)));
  const ttl =
    change.expiresAtMs !== undefined && change.type !== "expired"
      ? `  ttl ${ttlText(change.expiresAtMs - receivedAtMs)}`
      : "";
  // Left out before it; the panel says in all.
  const more: Span[] = left > 0 ? [span(`  +${fullCount(left)}`, "quiet")] : [];
  const used = timeWidth + 2 + markWidth + 2 + originWidth + 1 + lagWidth + 2;
  const tail = [span(ttl, "quiet"), ...more];
  const tailWidth = tail.reduce((sum, { text }) => sum + text.length, 0);
  const keyWidth = Math.max(10, width - used - tailWidth);
  return [
    span(`${clockText(change.stampMs, true)}  `, "quiet"),
    span(fit(mark, markWidth), style),
    span(`  ${fit(origin, originWidth)}`, "accent"),
    span(` ${fit(lag, lagWidth, "right")}  `, "quiet"),
    span(clip(visibleBytes(change.key.slice(0, 1024)), keyWidth)),
    ...tail,
  ];
};
