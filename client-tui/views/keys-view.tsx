/** The Keys pane: the list at the left, the selected value at the right, who holds it below. */

import { Box } from "ink";
import type { ReactNode } from "react";
import { tuiPreviewBytesMax } from "../../protocol/limits.ts";
import { editorText } from "../input/line-editor.ts";
import { keysSplit, panelRows } from "../model/layout.ts";
import type { KeyRow, Model, Preview } from "../model/model.ts";
import { bytesText, durationText, fullCount, plural, ttlText } from "../text/format.ts";
import { previewLines } from "../text/preview.ts";
import { type Row, type Span, span } from "../text/row.ts";
import { clip, fit, visibleBytes } from "../text/visible.ts";
import { editorRow } from "./editor-row.ts";
import { insideWidth, Panel } from "./panel.tsx";
import { inverted, windowTop } from "./table.ts";

interface PaneProps {
  readonly model: Model;
  readonly width: number;
  readonly height: number;
}

export const KeysView = ({ model, width, height }: PaneProps): ReactNode => {
  const { list, preview, stacked } = keysSplit(model.size);
  const listHeight = stacked ? Math.ceil(height / 2) : height;
  const previewHeight = stacked ? height - listHeight : height;
  return (
    <Box flexDirection={stacked ? "column" : "row"}>
      <Panel
        title={listTitle(model)}
        note={[listNote(model)]}
        rows={listRows(model, insideWidth(list), panelRows(listHeight))}
        width={list}
        height={listHeight}
        colors={model.colors}
        focused
      />
      <Panel
        title={[span(previewTitle(model), "title")]}
        rows={previewRows(model, insideWidth(preview), panelRows(previewHeight))}
        width={stacked ? width : preview}
        height={previewHeight}
        colors={model.colors}
      />
    </Box>
  );
};

// ---- The list -----------------------------------------------------------------------------------------------------------

const listTitle = ({ keys }: Model): Row => [
  span("Keys", "title"),
  ...(keys.pattern === undefined ? [] : [span(` ${visibleBytes(keys.pattern)}`, "accent")]),
];

const listNote = ({ keys }: Model): Span => {
  const loaded = fullCount(keys.loaded.length);
  switch (keys.scan.state) {
    case "running":
      return span(`${loaded} …`, "warn");
    case "done":
      return span(loaded, "quiet");
    case "full":
      return span(`${loaded} (the most)`, "warn");
    default:
      return span(`${loaded}+`, "quiet");
  }
};

const keyLine = (
  row: KeyRow,
  isLoading: boolean,
): { readonly name: string; readonly note: string; readonly isFolder: boolean } => {
  switch (row.kind) {
    case "folder": {
      const { path, depth, count, isOpen } = row;
      const from = path.lastIndexOf(":", path.length - 2) + 1;
      const indent = "  ".repeat(Math.min(depth, 20));
      return {
        name: `${indent}${isOpen ? "▾" : "▸"} ${visibleBytes(path.slice(from))}`,
        note: fullCount(count),
        isFolder: true,
      };
    }
    case "key":
      return { name: `${"  ".repeat(Math.min(row.depth, 20))}  ${visibleBytes(row.name)}`, note: "", isFolder: false };
    case "more":
      return { name: isLoading ? "  loading …" : "  ↓ load more (m)", note: "", isFolder: false };
  }
};

export const listRows = (model: Model, width: number, height: number): Row[] => {
  const { keys } = model;
  const search: Row[] = searchRow(model, width);
  const room = height - search.length;
  if (keys.rows.length === 0) return [...search, [span(emptyText(model), "quiet")]];
  const top = windowTop(keys.selected, keys.rows.length, room);
  const rows = keys.rows.slice(top, top + room).map((row, index): Row => {
    const { name, note, isFolder } = keyLine(row, keys.scan.state === "running");
    const noteWidth = note === "" ? 0 : note.length + 1;
    const line = fit(name, width - noteWidth);
    if (top + index === keys.selected) return inverted([span(line), span(note === "" ? "" : ` ${note}`)], width);
    return [
      span(line, row.kind === "more" ? "accent" : isFolder ? "title" : "plain"),
      span(note === "" ? "" : ` ${note}`, "quiet"),
    ];
  });
  return [...search, ...rows];
};

const searchRow = ({ keys }: Model, width: number): Row[] => {
  if (keys.isFiltering) return [editorRow(keys.filter, width, [span("/", "accent")])];
  const filter = editorText(keys.filter);
  return filter === ""
    ? []
    : [[span("/", "accent"), span(clip(visibleBytes(filter), width - 8)), span("  Esc", "quiet")]];
};

const emptyText = ({ keys, connection }: Model): string => {
  if (connection.state === "connecting") return "not connected";
  if (keys.scan.state === "running") return "looking …";
  return keys.pattern === undefined && editorText(keys.filter) === "" ? "no keys yet: n makes one" : "nothing matches";
};

// ---- The value ----------------------------------------------------------------------------------------------------------

const previewTitle = (model: Model): string => {
  const row = model.keys.rows[model.keys.selected];
  if (row?.kind === "folder") return visibleBytes(row.path);
  return row?.kind === "key" ? visibleBytes(row.key) : "Value";
};

export const previewRows = (model: Model, width: number, height: number): Row[] => {
  const { keys } = model;
  const row = keys.rows[keys.selected];
  if (row === undefined || row.kind === "more") return [];
  if (row.kind === "folder")
    return [
      [span(plural(row.count, "key"), "plain"), span(keys.scan.state === "done" ? "" : " loaded so far", "quiet")],
      [],
      [span(row.isOpen ? "Enter closes it" : "Enter opens it", "quiet")],
    ];
  const { preview } = keys;
  if (preview === undefined || preview.key !== row.key || !preview.isLoaded) return [[span("…", "quiet")]];
  if (preview.error !== undefined) return [[span(preview.error, "bad")]];
  if (preview.ttlMs === -2 || isExpired(preview, model.nowMs)) return [[span("gone: deleted or expired", "warn")]];
  const detail = keys.showsDetail && height >= 10 ? detailRows(preview, width) : [];
  const room = Math.max(1, height - 2 - (detail.length > 0 ? detail.length + 1 : 0));
  const isWhole = preview.valueBytes <= tuiPreviewBytesMax;
  const { shownAs, lines } = previewLines(preview.value, isWhole, keys.mode, width);
  const top = Math.max(0, Math.min(keys.previewTop, lines.length - room));
  const shown = lines.slice(top, top + room).map((line): Row => [span(line)]);
  const facts: Row = [
    span(bytesText(preview.valueBytes)),
    span(`  ${shownAs}`, "quiet"),
    ...(isWhole ? [] : [span(`  first ${bytesText(tuiPreviewBytesMax)}`, "warn")]),
    span("  ttl ", "quiet"),
    ttlSpan(preview, model.nowMs),
    ...(lines.length > room
      ? [span(`  ${top + 1}-${Math.min(lines.length, top + room)}/${lines.length}`, "quiet")]
      : []),
  ];
  const filled =
    detail.length === 0 ? shown : [...shown, ...Array.from({ length: room - shown.length }, (): Row => [])];
  return [facts, [], ...filled, ...(detail.length > 0 ? [[], ...detail] : [])];
};

const leftMs = (preview: Preview, nowMs: number): number => preview.ttlMs - (nowMs - preview.atMs);
const isExpired = (preview: Preview, nowMs: number): boolean => preview.ttlMs >= 0 && leftMs(preview, nowMs) <= 0;

const ttlSpan = (preview: Preview, nowMs: number): Span => {
  if (preview.ttlMs < 0) return span("none", "quiet");
  const left = leftMs(preview, nowMs);
  return span(ttlText(left), left < 10_000 ? "warn" : "plain");
};

const holdsText: Readonly<Record<string, readonly [text: string, style: "good" | "warn" | "bad" | "quiet"]>> = {
  durable: ["disk", "good"],
  memory: ["memory", "good"],
  "not-yet": ["not yet", "warn"],
  unknown: ["unknown", "quiet"],
};

/** TRACE: which write made it what it is, and who holds that. */
const detailRows = ({ trace }: Preview, width: number): Row[] => {
  if (trace === undefined) return [];
  const held = trace.holders.flatMap(({ peer, holds }): Span[] => {
    const [text, style] = holdsText[holds] ?? [holds, "quiet"];
    return [span(`${peer} `), span(`${text}  `, style)];
  });
  const label = (text: string): Span => span(fit(text, 8), "quiet");
  return [
    [span("─".repeat(width), "quiet")],
    [label("written"), span(`${trace.writtenAt.replace("T", " ").replace("Z", "")}, ${durationText(trace.ageMs)} ago`)],
    [label("by"), span(trace.origin.split(".")[0] ?? "", "accent"), span(`  ${trace.dot}`, "quiet")],
    [label("held by"), ...held],
  ];
};
