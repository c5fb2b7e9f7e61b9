/** Text tables for a terminal. Cells come from other processes, so control characters are shown, never sent. */

export type Cell = string | { readonly right: string };

export const visible = (text: string): string =>
  text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`);

const cellText = (cell: Cell): string => visible(typeof cell === "string" ? cell : cell.right);

/** Columns as wide as their widest cell, two spaces between; no trailing spaces. `{ right }` aligns to the right. */
export const tableToText = (heading: readonly string[], rows: readonly (readonly Cell[])[]): string => {
  const widths = heading.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => cellText(row[column] ?? "").length)),
  );
  const line = (cells: readonly Cell[]): string =>
    widths
      .map((width, column) => {
        const cell = cells[column] ?? "";
        return typeof cell === "string" ? cellText(cell).padEnd(width) : cellText(cell).padStart(width);
      })
      .join("  ")
      .trimEnd();
  // A heading stands where its column's cells stand.
  const titles = heading.map((title, column) => (typeof rows[0]?.[column] === "object" ? { right: title } : title));
  return [titles, ...rows].map(line).join("\n");
};
