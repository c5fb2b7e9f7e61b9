/** A line of input with its cursor, scrolled so that the cursor is in view. */
import type { LineEditor } from "../input/line-editor.ts";
import { type Row, span } from "../text/row.ts";
import { glyphsOf, graphemesOf, visibleText, widthOf } from "../text/visible.ts";

/** Only so much around the cursor is looked at: a line may have 256 KiB. */
const nearChars = 2048;

export const editorRow = ({ before, after }: LineEditor, width: number, prompt: Row = []): Row => {
  const room = Math.max(2, width - prompt.reduce((sum, { text }) => sum + widthOf(text), 0));
  const under = graphemesOf(after.slice(0, 64))[0] ?? "";
  const cursor = under === "" ? " " : visibleText(under);
  const left = lastCells(
    visibleText(before.slice(-nearChars)),
    Math.max(0, room - widthOf(cursor) - (after === "" ? 0 : 4)),
  );
  const right = firstCells(
    visibleText(after.slice(under.length, under.length + nearChars)),
    room - widthOf(left) - widthOf(cursor),
  );
  return [...prompt, span(left), span(cursor, "cursor"), span(right)];
};

const lastCells = (text: string, width: number): string => {
  let shown = "";
  let used = 0;
  for (const glyph of glyphsOf(text).reverse()) {
    if (used + glyph.width > width) break;
    shown = glyph.text + shown;
    used += glyph.width;
  }
  return shown;
};

const firstCells = (text: string, width: number): string => {
  let shown = "";
  let used = 0;
  for (const glyph of glyphsOf(text)) {
    if (used + glyph.width > width) break;
    shown += glyph.text;
    used += glyph.width;
  }
  return shown;
};
