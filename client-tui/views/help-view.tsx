/** Every key, on one screen of 80 by 24. */
import type { ReactNode } from "react";
import { panelRows } from "../model/layout.ts";
import type { Model } from "../model/model.ts";
import { type Row, span } from "../text/row.ts";
import { fit } from "../text/visible.ts";
import { insideWidth, Panel } from "./panel.tsx";

type Entry = readonly [keys: string, meaning: string];

const left: readonly (Entry | string)[] = [
  "Everywhere",
  ["1-5, Tab", "panes"],
  ["j k, ↓ ↑", "move"],
  ["g G", "first, last"],
  ["PgUp PgDn", "page"],
  ["/", "filter"],
  [":", "command line"],
  ["Esc", "back"],
  ["q, Ctrl-C", "quit"],
  "",
  "Peers",
  ["← →", "choose a link"],
  ["c  >  <", "cut: both, out, in"],
  ["h", "heal"],
  "",
  "Feed",
  ["Space", "pause"],
  ["Enter", "go to the key"],
];

const right: readonly (Entry | string)[] = [
  "Keys",
  ["Enter, l h", "open, close a folder"],
  ["m  r  v", "more, reload, tree or flat"],
  ["p  d", "text, JSON, hex; details"],
  ["J K Space", "scroll the value"],
  ["e  n  R", "edit, new, rename"],
  ["t", "time to live"],
  ["Ctrl-D", "delete"],
  ["B", "delete a pattern"],
  ["y Y", "copy key, value"],
  "",
  "Conflicts",
  ["r", "restore the loser"],
  ["Enter", "go to the key"],
  "",
  "Command line",
  ["Tab  ↑ ↓", "complete, history"],
  ["Ctrl-L  q", "clear, quit"],
];

const helpRow = (entry: Entry | string | undefined, width: number): Row => {
  if (entry === undefined) return [];
  if (typeof entry === "string") return [span(fit(entry, width), "title")];
  const [keys, meaning] = entry;
  return [span(fit(`  ${keys}`, 13), "accent"), span(fit(` ${meaning}`, Math.max(1, width - 13)))];
};

export const helpRows = (width: number): Row[] => {
  const half = Math.min(44, Math.floor(width / 2));
  return Array.from({ length: Math.max(left.length, right.length) }, (_, index): Row => {
    const first = helpRow(left[index], half);
    return [...(first.length === 0 ? [span(" ".repeat(half))] : first), ...helpRow(right[index], half)];
  });
};

export const HelpView = ({
  model,
  width,
  height,
}: {
  readonly model: Model;
  readonly width: number;
  readonly height: number;
}): ReactNode => (
  <Panel
    title={[span("Help", "title")]}
    note={[span("? or Esc closes", "quiet")]}
    rows={helpRows(insideWidth(width)).slice(0, panelRows(height))}
    width={width}
    height={height}
    colors={model.colors}
    focused
  />
);
