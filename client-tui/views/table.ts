/**
 * A table that fits: columns are as wide as what is in them, and those of least weight go first when there is no room.
 * A row that is selected is inverted over its whole width.
 */
import { type Row, type Span, type Style, span } from "../text/row.ts";
import { fit, widthOf } from "../text/visible.ts";

export interface Column<Entry> {
  readonly title: string;
  readonly side?: "left" | "right";
  /** The higher the longer it stays. */
  readonly weight: number;
  /** Takes what is left. */
  readonly grows?: boolean;
  readonly cell: (entry: Entry) => Span;
}

export interface TableOptions<Entry> {
  readonly columns: readonly Column<Entry>[];
  readonly entries: readonly Entry[];
  readonly width: number;
  /** Of `entries`; undefined: none. */
  readonly selected?: number | undefined;
}

const gap = 2;
const markWidth = 2;

/** The heading, then a row per entry. */
export const tableRows = <Entry>({ columns, entries, width, selected }: TableOptions<Entry>): Row[] => {
  const cells = entries.map((entry) => columns.map((column) => column.cell(entry)));
  const widths = columns.map((column, at) =>
    Math.max(widthOf(column.title), ...cells.map((row) => widthOf(row[at]?.text ?? ""))),
  );
  const shown = fitting(columns, widths, width - markWidth);
  const line = (spans: readonly Span[], isSelected: boolean): Row => {
    const row: Span[] = [span(isSelected ? "▸ " : "  ", isSelected ? "accent" : "plain")];
    for (const [index, { at, width: cellWidth }] of shown.entries()) {
      const cell = spans[at] ?? span("");
      if (index > 0) row.push(span(" ".repeat(gap)));
      row.push({ text: fit(cell.text, cellWidth, columns[at]?.side), style: cell.style });
    }
    return isSelected ? inverted(row, width) : row;
  };
  return [
    line(
      columns.map(({ title }) => span(title, "quiet")),
      false,
    ),
    ...cells.map((row, index) => line(row, index === selected)),
  ];
};

interface Shown {
  readonly at: number;
  readonly width: number;
}

const fitting = <Entry>(columns: readonly Column<Entry>[], widths: readonly number[], width: number): Shown[] => {
  let shown = columns.map((_, at) => at);
  const total = (): number => shown.reduce((sum, at) => sum + (widths[at] ?? 0), gap * (shown.length - 1));
  while (shown.length > 1 && total() > width) {
    const least = shown.reduce((low, at) => ((columns[at]?.weight ?? 0) < (columns[low]?.weight ?? 0) ? at : low));
    // A column that grows may also shrink, as long as something of it is left to see.
    const growing = shown.find((at) => columns[at]?.grows === true);
    const over = total() - width;
    if (growing !== undefined && (widths[growing] ?? 0) - over >= 12) break;
    shown = shown.filter((at) => at !== least);
  }
  const over = total() - width;
  return shown.map((at) => ({
    at,
    width:
      columns[at]?.grows === true || shown.length === 1 ? Math.max(1, (widths[at] ?? 0) - over) : (widths[at] ?? 0),
  }));
};

/** The whole width, so that the bar has no holes; what a cell meant by its colour is not lost on NO_COLOR either. */
export const inverted = (row: Row, width: number): Row => {
  const text = row.map((part) => part.text).join("");
  return [span(fit(text, width), "selected" satisfies Style)];
};

/** The first index to show so that `selected` is in view, about as it was with `count` rows of room. */
export const windowTop = (selected: number, total: number, count: number): number =>
  Math.max(0, Math.min(total - count, selected - Math.floor(count / 2)));
