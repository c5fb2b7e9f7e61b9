/**
 * Strangers' bytes as text for a terminal: what can be read is shown, all else is escaped, and nothing a terminal would
 * obey ever leaves here.
 *
 * Keys and values are any bytes. Valid UTF-8 is shown as the text it is. Escaped are control characters (ESC and the C1
 * controls among them), formats that reorder or hide text, lone marks, what Unicode has not assigned, and bytes that are
 * no UTF-8: `\n`, `\x1b`, `\u{202e}`. A joiner stays inside an emoji.
 *
 * Widths are those of string-width, by grapheme: what Ink lays out by. A terminal may think otherwise of the newest
 * emoji; the painter puts right what comes behind one.
 */
import stringWidth from "string-width";

const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" });
const printableAscii = /^[ -~]*$/;
/**
 * One cell and one code unit each, by string-width as by every terminal: ASCII, Latin, Greek, Cyrillic, and what our own
 * frames, bars and marks are made of. Most rows are nothing else, and asking string-width for each glyph of them took half
 * of a frame's time.
 */
export const narrow =
  /^[ -~\u00a1-\u00ac\u00ae-\u02ff\u0391-\u03a1\u03a3-\u03c9\u0410-\u044f\u2026\u203a\u2190-\u2193\u2500-\u259f\u25b8\u25be\u25c2\u25cf\u25d0\u2713\u2715]*$/;
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** More code points than this on one cell are an attack on the screen (emoji families have up to ten). */
const clusterCodePointsMax = 12;
const hidden = /[\p{Cc}\p{Cf}\p{Cs}\p{Cn}\p{Zl}\p{Zp}]/u;
const emoji = /\p{Extended_Pictographic}/u;

/** A character a terminal might obey, or that would hide: the last gate before the screen asks for these. */
export const isForbidden = (text: string): boolean => /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u.test(text);

const shortEscapes: ReadonlyMap<string, string> = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);

const escapeCodePoint = (char: string): string => {
  const code = char.codePointAt(0) ?? 0;
  return (
    shortEscapes.get(char) ?? (code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`)
  );
};

/** Of one grapheme. */
const visibleCluster = (cluster: string): string => {
  const chars = Array.from(cluster);
  const isPlain = chars.every(
    (char) => !hidden.test(char) || (char === "\u200d" && chars.length > 1 && emoji.test(cluster)),
  );
  const cells = stringWidth(cluster);
  if (isPlain && chars.length <= clusterCodePointsMax && (cells === 1 || cells === 2)) return cluster;
  // One base with marks that were meant to hide, to pile up, or to spread: the base stays, they are spelled out.
  return chars
    .map((char, at) =>
      (at > 0 && char > "\u007f") || hidden.test(char) || stringWidth(char) === 0 ? escapeCodePoint(char) : char,
    )
    .join("");
};

/** Any text to text that is safe and has a width. */
export const visibleText = (text: string): string => {
  if (printableAscii.test(text)) return text;
  let shown = "";
  for (const { segment } of segmenter.segment(text)) shown += visibleCluster(segment);
  return shown;
};

/** Bytes (one character each) to the text they are in UTF-8; undefined when they are none. */
export const latin1ToText = (latin1: string): string | undefined => {
  if (/^[\0-\x7f]*$/.test(latin1)) return latin1;
  try {
    return strictDecoder.decode(latin1ToBytes(latin1));
  } catch {
    return undefined;
  }
};

export const latin1ToBytes = (latin1: string): Uint8Array => Uint8Array.from(latin1, (char) => char.charCodeAt(0));

/** A lone surrogate becomes U+FFFD. */
export const textToLatin1 = (text: string): string => {
  if (/^[\0-\x7f]*$/.test(text)) return text;
  let latin1 = "";
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length; at += 8192) latin1 += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return latin1;
};

/** Bytes as one line of text for the screen. */
export const visibleBytes = (latin1: string): string => {
  if (printableAscii.test(latin1)) return latin1;
  const text = latin1ToText(latin1);
  return text === undefined
    ? latin1.replaceAll(/[^ -~]/g, (char) => shortEscapes.get(char) ?? escapeCodePoint(char))
    : visibleText(text);
};

// ---- Widths -----------------------------------------------------------------------------------------------------------

/** Cells of text that is visible already. */
export const widthOf = (text: string): number => {
  if (narrow.test(text)) return text.length;
  let width = 0;
  for (const { segment } of segmenter.segment(text)) width += Math.max(1, stringWidth(segment));
  return width;
};

export interface Glyph {
  readonly text: string;
  readonly width: number;
}

/** The graphemes of visible text with their widths. */
export const glyphsOf = (text: string): Glyph[] =>
  Array.from(segmenter.segment(text), ({ segment }) => ({ text: segment, width: Math.max(1, stringWidth(segment)) }));

/** Graphemes of any text: where a cursor may stand. */
export const graphemesOf = (text: string): string[] =>
  printableAscii.test(text) ? text.split("") : Array.from(segmenter.segment(text), ({ segment }) => segment);

/** At most so many cells; a cut is marked by `…`. A wide glyph is never halved. */
export const clip = (text: string, width: number): string => {
  if (width <= 0) return "";
  if (narrow.test(text)) return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
  let shown = "";
  let used = 0;
  let fitting = "";
  for (const { segment } of segmenter.segment(text)) {
    const cells = Math.max(1, stringWidth(segment));
    if (used + cells > width) return `${fitting}…`;
    shown += segment;
    used += cells;
    if (used <= width - 1) fitting = shown;
  }
  return shown;
};

/** Exactly so many cells. */
export const fit = (text: string, width: number, side: "left" | "right" = "left"): string => {
  const shown = clip(text, width);
  const space = " ".repeat(Math.max(0, width - widthOf(shown)));
  return side === "left" ? shown + space : space + shown;
};

/** Lines of at most so many cells; an empty text is one empty line. */
export const wrap = (text: string, width: number, linesMax = Number.POSITIVE_INFINITY): string[] => {
  if (width <= 0) return [];
  const lines: string[] = [];
  if (narrow.test(text)) {
    for (let at = 0; at === 0 || at < text.length; at += width) {
      if (lines.length >= linesMax) break;
      lines.push(text.slice(at, at + width));
    }
    return lines;
  }
  let line = "";
  let used = 0;
  for (const { segment } of segmenter.segment(text)) {
    const cells = Math.min(width, Math.max(1, stringWidth(segment)));
    if (used + cells > width) {
      lines.push(line);
      if (lines.length >= linesMax) return lines;
      line = "";
      used = 0;
    }
    line += segment;
    used += cells;
  }
  lines.push(line);
  return lines;
};

/** The same for our own prose: at its spaces, where a line has any. */
export const wrapWords = (text: string, width: number, linesMax = Number.POSITIVE_INFINITY): string[] => {
  if (width <= 0) return [];
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (widthOf(longer) <= width) {
      line = longer;
      continue;
    }
    if (line !== "") lines.push(line);
    const pieces = wrap(word, width);
    line = pieces.pop() ?? "";
    lines.push(...pieces);
  }
  lines.push(line);
  return lines.slice(0, linesMax);
};
