/**
 * A value as lines for the screen: text, pretty JSON, or a hex dump. `auto` takes JSON for what is JSON, text for what
 * reads as text, else hex.
 *
 * Bounded: the caller hands at most the first 64 KiB, and gets at most `previewLinesMax` lines.
 */
import { latin1ToText, visibleText, wrap } from "./visible.ts";

export const previewModes = ["auto", "text", "json", "hex"] as const;
export type PreviewMode = (typeof previewModes)[number];

const previewLinesMax = 8192;

export interface PreviewLines {
  readonly shownAs: "text" | "json" | "hex";
  readonly lines: readonly string[];
}

let last: { readonly of: readonly unknown[]; readonly lines: PreviewLines } | undefined;

/**
 * `isWhole`: the bytes are all of the value; a part is no JSON.
 *
 * The last result is kept: ten frames a second show the same 64 KiB, and laying them out takes some 30 ms.
 */
export const previewLines = (latin1: string, isWhole: boolean, mode: PreviewMode, width: number): PreviewLines => {
  const of = [latin1, isWhole, mode, width];
  if (last === undefined || last.of.some((part, at) => part !== of[at]))
    last = { of, lines: layOut(latin1, isWhole, mode, width) };
  return last.lines;
};

const layOut = (latin1: string, isWhole: boolean, mode: PreviewMode, width: number): PreviewLines => {
  const text = isWhole ? latin1ToText(latin1) : textOfPart(latin1);
  if (mode === "hex") return { shownAs: "hex", lines: hexLines(latin1, width) };
  if (text !== undefined && (mode === "json" || mode === "auto") && isWhole) {
    const pretty = prettyJson(text, mode === "auto");
    if (pretty !== undefined) return { shownAs: "json", lines: textLines(pretty, width) };
  }
  if (text !== undefined && (mode !== "auto" || readsAsText(text)))
    return { shownAs: "text", lines: textLines(text, width) };
  return { shownAs: "hex", lines: hexLines(latin1, width) };
};

/** A cut may go through the last character. */
const textOfPart = (latin1: string): string | undefined => {
  for (let cut = 0; cut < 4; cut++) {
    const text = latin1ToText(cut === 0 ? latin1 : latin1.slice(0, -cut));
    if (text !== undefined) return text;
  }
  return undefined;
};

/** Some controls are fine (a log line with colours), mostly controls is binary. */
const readsAsText = (text: string): boolean => {
  const controls = text.match(/[\0-\x08\x0e-\x1f\x7f]/g)?.length ?? 0;
  return controls * 10 <= text.length;
};

/** In `auto` only objects and arrays count: a number or a word is better shown as it is. */
const prettyJson = (text: string, onlyContainers: boolean): string | undefined => {
  if (onlyContainers && !/^\s*[[{]/.test(text)) return undefined;
  try {
    JSON.parse(text);
  } catch {
    return undefined;
  }
  return indentJson(text);
};

/** Printed from the source itself, not from what JSON.parse made of it: large numbers and doubled names stay. */
const indentJson = (source: string): string => {
  let out = "";
  let depth = 0;
  const line = (): string => `\n${"  ".repeat(depth)}`;
  const tokens = source.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/gs) ?? [];
  for (const [index, token] of tokens.entries()) {
    const next = tokens[index + 1];
    if (token === "{" || token === "[") {
      depth++;
      const isEmpty = next === "}" || next === "]";
      out += isEmpty ? token : token + line();
    } else if (token === "}" || token === "]") {
      depth--;
      const before = tokens[index - 1];
      out += before === "{" || before === "[" ? token : line() + token;
    } else if (token === ",") out += `,${line()}`;
    else if (token === ":") out += ": ";
    else out += token;
  }
  return out;
};

const textLines = (text: string, width: number): string[] => {
  const lines: string[] = [];
  for (const line of text.split(/\r?\n/)) {
    lines.push(...wrap(visibleText(line.replaceAll("\t", "    ")), width, previewLinesMax - lines.length));
    if (lines.length >= previewLinesMax) break;
  }
  return lines;
};

/** `00000010  61 62 63 ...  abc...`, as many bytes a line as fit: 16, 8 or 4. */
const hexLines = (latin1: string, width: number): string[] => {
  const perLine = [16, 8].find((count) => 8 + 2 + count * 3 + 1 + count <= width) ?? 4;
  const lines: string[] = [];
  for (let at = 0; (at === 0 || at < latin1.length) && lines.length < previewLinesMax; at += perLine) {
    const part = latin1.slice(at, at + perLine);
    const hex = Array.from(part, (char) => char.charCodeAt(0).toString(16).padStart(2, "0")).join(" ");
    const shown = part.replaceAll(/[^ -~]/g, ".");
    lines.push(`${at.toString(16).padStart(8, "0")}  ${hex.padEnd(perLine * 3 - 1)}  ${shown}`);
  }
  return lines;
};
