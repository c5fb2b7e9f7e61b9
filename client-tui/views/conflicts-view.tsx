/** The Conflicts pane: the list above, winner and loser side by side below. */
import { Box } from "ink";
import type { ReactNode } from "react";
import type { ClusterConflict, ConflictSide } from "../cluster.ts";
import { panelRows } from "../model/layout.ts";
import type { Model } from "../model/model.ts";
import { bytesText, clockText, durationText, fullCount } from "../text/format.ts";
import { previewLines } from "../text/preview.ts";
import { type Row, span } from "../text/row.ts";
import { visibleBytes, visibleText } from "../text/visible.ts";
import { insideWidth, Panel } from "./panel.tsx";
import { tableRows, windowTop } from "./table.ts";

interface PaneProps {
  readonly model: Model;
  readonly width: number;
  readonly height: number;
}

export const ConflictsView = ({ model, width, height }: PaneProps): ReactNode => {
  const { list, selected } = model.conflicts;
  const here = model.connection.state === "connected" ? model.connection.peer.name : "";
  const dropped = model.peers.find(({ name }) => name === here)?.report?.conflicts.dropped ?? 0;
  const conflict = list[selected];
  // A short list leaves its room to the values.
  const listHeight = Math.min(Math.max(6, list.length + 3), Math.ceil(height / 2));
  const sidesHeight = height - listHeight;
  const half = Math.floor(width / 2);
  const lost = dropped > 0 ? `  ${fullCount(dropped)} let go by the journal` : "";
  return (
    <Box flexDirection="column">
      <Panel
        title={[span("Conflicts", "title"), span(" two writes that did not know of each other", "quiet")]}
        note={[span(`${fullCount(list.length)}${lost}`, "quiet")]}
        rows={conflictRows(model, insideWidth(width), panelRows(listHeight))}
        width={width}
        height={listHeight}
        colors={model.colors}
        focused
      />
      <Box>
        <Panel
          title={[span("✓ winner", "good"), span(sideTitle(conflict?.winner), "quiet")]}
          rows={sideRows(conflict?.winner, insideWidth(half), panelRows(sidesHeight))}
          width={half}
          height={sidesHeight}
          colors={model.colors}
        />
        <Panel
          title={[span("loser", "warn"), span(sideTitle(conflict?.loser), "quiet")]}
          note={
            conflict === undefined ? [] : conflict.restored ? [span("restored", "good")] : [span("r restores", "quiet")]
          }
          rows={sideRows(conflict?.loser, insideWidth(width - half), panelRows(sidesHeight))}
          width={width - half}
          height={sidesHeight}
          colors={model.colors}
        />
      </Box>
    </Box>
  );
};

const peerOf = (origin: string): string => visibleText(origin.split(".")[0] ?? "");

export const conflictRows = (model: Model, width: number, height: number): Row[] => {
  const { list, selected } = model.conflicts;
  if (list.length === 0) return [[span("none: no concurrent write displaced another", "quiet")]];
  const room = height - 1;
  const top = windowTop(selected, list.length, room);
  return tableRows<ClusterConflict>({
    entries: list.slice(top, top + room),
    width,
    selected: selected - top,
    columns: [
      { title: "when", weight: 90, cell: ({ atMs }) => span(clockText(atMs), "quiet") },
      {
        title: "key",
        weight: 100,
        grows: true,
        cell: ({ key }) => span(visibleBytes(key.slice(0, 256))),
      },
      { title: "winner", weight: 95, cell: ({ winner }) => span(peerOf(winner.origin), "good") },
      { title: "loser", weight: 95, cell: ({ loser }) => span(peerOf(loser.origin), "warn") },
      { title: "why", weight: 50, cell: ({ why }) => span(visibleText(why), "quiet") },
      {
        title: "apart",
        side: "right",
        weight: 60,
        cell: ({ winner, loser }) => span(durationText(Math.abs(winner.stampMs - loser.stampMs))),
      },
      { title: "", weight: 80, cell: ({ restored }) => span(restored ? "restored" : "", "good") },
    ],
  });
};

type Side = ConflictSide | undefined;

const sideTitle = (side: Side): string =>
  side === undefined ? "" : `  ${peerOf(side.origin)}  ${clockText(side.stampMs, true)}`;

export const sideRows = (side: Side, width: number, height: number): Row[] => {
  if (side === undefined) return [];
  if (side.value === null) return [[span("deleted", "bad")], [], [span(visibleText(side.dot), "quiet")]];
  const { lines } = previewLines(side.value, side.value.length === side.valueBytes, "auto", width);
  const room = Math.max(1, height - 2);
  const shown = lines.slice(0, room).map((line): Row => [span(line)]);
  const more = lines.length > room ? `${fullCount(lines.length - room)} lines more  ` : "";
  return [
    ...shown,
    ...Array.from({ length: room - shown.length }, (): Row => []),
    [],
    [span(`${more}${bytesText(side.valueBytes)}  ${visibleText(side.dot)}`, "quiet")],
  ];
};
