/**
 * Frames to the terminal: only the rows that changed, each from its first column, in one write.
 *
 * Ink's own writer either repaints all (flicker, ten times the bytes) or, in 6.8, paints increments to the wrong rows. It
 * is handed a stream that takes whole frames instead (`debug`), and this paints them.
 *
 * Terminals disagree about the width of newer emoji, flags, joined families and some scripts. Behind such a glyph the
 * cursor is put where the layout has it, so whatever the terminal made of it, what follows is in its column.
 */

const synchronized = { begin: "\u001b[?2026h", end: "\u001b[?2026l" };
const clearToEnd = "\u001b[0m\u001b[K";

export class Painter {
  readonly #write: (text: string) => void;
  readonly #widthOf: (text: string) => number;
  #rows: readonly string[] = [];

  constructor(write: (text: string) => void, widthOf: (text: string) => number) {
    this.#write = write;
    this.#widthOf = widthOf;
  }

  /** Rows beyond `rowsMax` are not painted: a line too many would scroll the screen. */
  paint(frame: string, rowsMax: number): void {
    const rows = frame.split("\n").slice(0, rowsMax);
    let out = "";
    for (let at = 0; at < Math.max(rows.length, this.#rows.length); at++) {
      const row = rows[at] ?? "";
      if (row === this.#rows[at]) continue;
      // Cleared first: behind a glyph narrower than thought a stale cell would stay.
      const placed = placedRow(row, this.#widthOf);
      out += `\u001b[${at + 1};1H${placed === row ? row + clearToEnd : `\u001b[0m\u001b[K${placed}${clearToEnd}`}`;
    }
    this.#rows = rows;
    if (out !== "") this.#write(synchronized.begin + out + synchronized.end);
  }

  /** The screen holds something else now: the next frame is painted whole. */
  forget(): void {
    this.#rows = [];
    this.#write("\u001b[0m\u001b[2J");
  }
}

const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" });
/** What every terminal gives the same width: Latin, Greek, Cyrillic, punctuation, frames, bars, Chinese, Kana, Hangul. */
const certain =
  /^[\u001b -~\u00a1-\u00ac\u00ae-\u02ff\u0370-\u058f\u2010-\u2027\u2190-\u2193\u2500-\u25d0\u2713\u2715\u3000-\ua4cf\uac00-\ud7a3]*$/;
const sgrOrText = /\u001b\[[0-9;]*m|[^\u001b]+/g;

/** The row with the cursor put right behind every glyph of doubtful width. */
export const placedRow = (row: string, widthOf: (text: string) => number): string => {
  if (certain.test(row)) return row;
  let out = "";
  let column = 1;
  for (const [part] of row.matchAll(sgrOrText)) {
    if (part.startsWith("\u001b")) {
      out += part;
      continue;
    }
    for (const { segment } of segmenter.segment(part)) {
      column += widthOf(segment);
      out += certain.test(segment) ? segment : `${segment}\u001b[${column}G`;
    }
  }
  return out;
};
