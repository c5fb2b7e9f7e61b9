/**
 * Rows on the screen, and a frame around them.
 *
 * Ink keeps every text it ever measured, in a map it never empties (measure-text.js, 6.8): a dashboard that shows changing
 * numbers grows for ever. So Ink measures only blanks, one per size of a block, and a Transform puts the real rows in as
 * they are painted. That they are exactly as wide as the blank is `rowToAnsi`'s promise.
 */
import { Box, Text, Transform } from "ink";
import { createContext, type ReactNode, useContext } from "react";
import { type Row, rowToAnsi, rowWidth, span } from "../text/row.ts";
import { clip } from "../text/visible.ts";

const blanks = new Map<string, string>();
/** Sizes of blocks that were seen; a person who drags a window's edge makes many. */
const blanksMax = 512;

/** How many texts Ink has been given to measure. */
export const blankSizes = (): number => blanks.size;

const blank = (width: number, height: number): string => {
  const size = `${width}x${height}`;
  let text = blanks.get(size);
  if (text === undefined) {
    // A dot at the end, since a measure may leave trailing spaces out.
    text = Array.from({ length: height }, () => `${" ".repeat(width - 1)}.`).join("\n");
    if (blanks.size >= blanksMax) blanks.clear();
    blanks.set(size, text);
  }
  return text;
};

/** A dialog lies over these rows. */
export const Covered = createContext(false);

export interface BlockProps {
  readonly rows: readonly Row[];
  readonly width: number;
  readonly height: number;
  readonly colors: boolean;
}

/** Exactly `width` by `height`: rows that are missing are blank, more are cut. */
export const Block = ({ rows, width, height, colors }: BlockProps): ReactNode => {
  const covered = useContext(Covered);
  if (width < 1 || height < 1) return null;
  return (
    <Box width={width} height={height} flexShrink={0}>
      <Transform transform={(_blank, index) => rowToAnsi(rows[index] ?? [], width, colors, covered)}>
        <Text>{blank(width, height)}</Text>
      </Transform>
    </Box>
  );
};

export interface PanelProps extends BlockProps {
  readonly title: Row;
  /** At the right of the upper edge; left out when there is no room. */
  readonly note?: Row;
  readonly focused?: boolean;
}

/** Rows the frame leaves for what is in it. */
export const insideWidth = (width: number): number => Math.max(1, width - 4);

export const Panel = (props: PanelProps): ReactNode => (
  <Block rows={framed(props)} width={props.width} height={props.height} colors={props.colors} />
);

/** `╭─ title ───── note ─╮`, a space at each side of every row. */
export const framed = ({ rows, width, height, title, note = [], focused = false }: PanelProps): Row[] => {
  const edge = focused ? "accent" : "quiet";
  const inside = insideWidth(width);
  const noteRow: Row = note.length === 0 ? [] : [span(" ", edge), ...note, span(" ", edge)];
  const titleRow: Row = title.map((part, index) =>
    index === title.length - 1
      ? { ...part, text: clip(part.text, Math.max(1, width - 6 - rowWidth(title.slice(0, -1)))) }
      : part,
  );
  const used = 5 + rowWidth(titleRow) + 1;
  const room = width - used - rowWidth(noteRow);
  const top: Row = [
    span("╭─ ", edge),
    ...titleRow,
    span(" ", edge),
    ...(room >= 1 ? [span("─".repeat(room), edge), ...noteRow] : [span("─".repeat(Math.max(0, width - used)), edge)]),
    span("─╮", edge),
  ];
  const body = Array.from({ length: Math.max(0, height - 2) }, (_, index): Row => {
    const row = rows[index] ?? [];
    const space = Math.max(0, inside - rowWidth(row));
    return [span("│ ", edge), ...cut(row, inside), span(`${" ".repeat(space)} │`, edge)];
  });
  return [top, ...body, [span(`╰${"─".repeat(Math.max(0, width - 2))}╯`, edge)]];
};

/** At most so many cells. */
const cut = (row: Row, width: number): Row => {
  if (rowWidth(row) <= width) return row;
  const kept: { text: string; style: Row[number]["style"] }[] = [];
  let left = width;
  for (const part of row) {
    const text = clip(part.text, left);
    kept.push({ text, style: part.style });
    left -= rowWidth([{ text, style: "plain" }]);
    if (left <= 0) break;
  }
  // A wide glyph that did not fit leaves a cell free.
  return left > 0 ? [...kept, span(" ".repeat(left))] : kept;
};
