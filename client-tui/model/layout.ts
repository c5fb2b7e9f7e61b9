/** How the screen is divided: views draw by it, and paging moves by it. */
import type { Size } from "./model.ts";

/** Header (2), tabs (1), body, footer (1). */
export const chromeRows = 4;
export const sizeMin: Size = { columns: 40, rows: 12 };

export const bodyRows = (size: Size): number => Math.max(1, size.rows - chromeRows);
/** Rows of a panel less its frame. */
export const panelRows = (rows: number): number => Math.max(1, rows - 2);
/** Entries a PgDn moves. */
export const pageOf = (size: Size): number => Math.max(1, panelRows(bodyRows(size)) - 1);

/** The list of keys is at the left; the value gets the rest. Below 60 columns they lie above each other. */
export const keysSplit = (
  size: Size,
): { readonly list: number; readonly preview: number; readonly stacked: boolean } => {
  if (size.columns < 60) return { list: size.columns, preview: size.columns, stacked: true };
  const list = Math.max(26, Math.min(60, Math.floor(size.columns * 0.4)));
  return { list, preview: size.columns - list, stacked: false };
};
