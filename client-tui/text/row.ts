/**
 * A row of the screen: spans of visible text, each with a style by meaning. Which colour a meaning has is decided once,
 * here: only the sixteen colours of the terminal's own theme, never black or white, so that it reads on light and dark.
 */
import { clip, glyphsOf, isForbidden, widthOf } from "./visible.ts";

export type Style =
  | "plain"
  | "quiet"
  | "title"
  | "accent"
  | "good"
  | "warn"
  | "bad"
  | "key"
  | "selected"
  | "badge-good"
  | "badge-warn"
  | "badge-bad"
  | "cursor";

export interface Span {
  readonly text: string;
  readonly style: Style;
}

export type Row = readonly Span[];

export const span = (text: string, style: Style = "plain"): Span => ({ text, style });

interface Paint {
  readonly on: string;
  readonly off: string;
}

const sgr = (code: number, end: number): Paint => ({ on: `\u001b[${code}m`, off: `\u001b[${end}m` });
const both = (first: Paint, second: Paint): Paint => ({ on: first.on + second.on, off: second.off + first.off });
const none: Paint = { on: "", off: "" };
const bold = sgr(1, 22);
const dim = sgr(2, 22);
const inverse = sgr(7, 27);
const red = sgr(31, 39);
const green = sgr(32, 39);
const yellow = sgr(33, 39);
const magenta = sgr(35, 39);
const cyan = sgr(36, 39);

const colored: Readonly<Record<Style, Paint>> = {
  plain: none,
  quiet: dim,
  title: bold,
  accent: cyan,
  good: green,
  warn: yellow,
  bad: red,
  key: magenta,
  selected: inverse,
  "badge-good": both(inverse, green),
  "badge-warn": both(inverse, yellow),
  "badge-bad": both(inverse, both(bold, red)),
  cursor: inverse,
};

/** NO_COLOR: weight and inversion only. */
const uncolored: Readonly<Record<Style, Paint>> = {
  plain: none,
  quiet: dim,
  title: bold,
  accent: none,
  good: none,
  warn: bold,
  bad: bold,
  key: none,
  selected: inverse,
  "badge-good": inverse,
  "badge-warn": inverse,
  "badge-bad": both(inverse, bold),
  cursor: inverse,
};

/**
 * Exactly `width` cells, cut or filled up. What a terminal would obey cannot pass, wherever it came from. `covered`: wide
 * glyphs as dots, since something laid over the row may begin or end within one, and half a glyph shifts all behind it.
 */
export const rowToAnsi = (row: Row, width: number, colors: boolean, covered = false): string => {
  const paints = colors ? colored : uncolored;
  let line = "";
  let used = 0;
  for (const { text, style } of row) {
    if (used >= width) break;
    // Views make their texts visible; this only holds if one forgot.
    const safe = isForbidden(text) ? text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu, "?") : text;
    const shown = clip(safe, width - used);
    if (shown === "") continue;
    used += widthOf(shown);
    line += paints[style].on + (covered ? dotted(shown) : shown) + paints[style].off;
  }
  return used < width ? line + " ".repeat(width - used) : line;
};

const dotted = (text: string): string =>
  glyphsOf(text)
    .map((glyph) => (glyph.width > 1 ? "·".repeat(glyph.width) : glyph.text))
    .join("");

export const rowWidth = (row: Row): number => row.reduce((width, { text }) => width + widthOf(text), 0);

/** Left and right parts with space between; the right one gives way when there is no room. */
export const spread = (left: Row, right: Row, width: number): Row => {
  const space = width - rowWidth(left) - rowWidth(right);
  return space >= 1 ? [...left, span(" ".repeat(space)), ...right] : left;
};
