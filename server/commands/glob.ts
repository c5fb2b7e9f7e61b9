/**
 * Redis's glob patterns, matched in bounded time.
 *
 * The textbook matcher recurses at every `*` and takes exponential time on `*a*a*a*a*b` (CVE-2022-36021). This one
 * compiles the pattern once and, on a mismatch, only ever goes back to the last `*`: at most pattern × text steps. Keys
 * may have 64 KiB, so even that is cut off: past `globStepsMax` steps it gives up and says so, rather than guess.
 *
 * `*` any bytes, `?` one byte, `[abc]` `[a-z]` `[^a]` one byte of a class, `\x` the byte itself. An unclosed class ends
 * with the pattern.
 */
import { globStepsMax } from "../../protocol/limits.ts";

const anyBytes = -1;
const anyByte = -2;
/** A part at or below this is the class number `firstClass - part`. */
const firstClass = -3;

const backslash = 0x5c;
const dash = 0x2d;
const closing = 0x5d;

export class Glob {
  /** Steps taken so far over all texts: callers that match many measure their work by it. */
  steps = 0;
  /** The one text that matches, when the pattern has no special characters. */
  readonly literal: string | undefined;
  readonly #parts: readonly number[];
  readonly #classes: readonly Uint8Array[];

  constructor(pattern: string) {
    const parts: number[] = [];
    const classes: Uint8Array[] = [];
    for (let at = 0; at < pattern.length; at += 1) {
      const char = pattern[at];
      if (char === "*") {
        if (parts.at(-1) !== anyBytes) parts.push(anyBytes);
      } else if (char === "?") {
        parts.push(anyByte);
      } else if (char === "[") {
        const bytes = new Uint8Array(256);
        at = compileClass(pattern, at + 1, bytes);
        parts.push(firstClass - classes.length);
        classes.push(bytes);
      } else {
        if (char === "\\" && at + 1 < pattern.length) at += 1;
        parts.push(pattern.charCodeAt(at));
      }
    }
    this.#parts = parts;
    this.#classes = classes;
    this.literal = parts.every((part) => part >= 0)
      ? parts.map((part) => String.fromCharCode(part)).join("")
      : undefined;
  }

  /** Undefined: not decided within `globStepsMax` steps. */
  matches(text: string): boolean | undefined {
    const parts = this.#parts;
    let part = 0;
    let at = 0;
    let starPart = -1;
    let starAt = 0;
    let stepsLeft = globStepsMax;
    while (at < text.length) {
      stepsLeft -= 1;
      if (stepsLeft < 0) {
        this.steps += globStepsMax;
        return undefined;
      }
      const wanted = parts[part];
      if (wanted === anyBytes) {
        starPart = part;
        starAt = at;
        part += 1;
        continue;
      }
      if (wanted !== undefined && this.#accepts(wanted, text.charCodeAt(at))) {
        part += 1;
        at += 1;
        continue;
      }
      if (starPart < 0) {
        this.steps += globStepsMax - stepsLeft;
        return false;
      }
      // The last `*` takes one byte more. An earlier one never has to: what follows it was already found as early as
      // possible.
      starAt += 1;
      at = starAt;
      part = starPart + 1;
    }
    this.steps += globStepsMax - stepsLeft;
    while (parts[part] === anyBytes) part += 1;
    return part === parts.length;
  }

  #accepts(wanted: number, byte: number): boolean {
    if (wanted >= 0) return wanted === byte;
    if (wanted === anyByte) return true;
    return this.#classes[firstClass - wanted]?.[byte] === 1;
  }
}

/** Fills in the class that begins at `at`, behind its `[`; answers where its `]` is (or the last character). */
const compileClass = (pattern: string, at: number, bytes: Uint8Array): number => {
  const negated = pattern[at] === "^";
  if (negated) at += 1;
  for (; at < pattern.length; at += 1) {
    const code = pattern.charCodeAt(at);
    if (code === backslash && at + 1 < pattern.length) {
      at += 1;
      bytes[pattern.charCodeAt(at)] = 1;
    } else if (code === closing) {
      break;
    } else if (pattern.charCodeAt(at + 1) === dash && at + 2 < pattern.length) {
      const other = pattern.charCodeAt(at + 2);
      bytes.fill(1, Math.min(code, other), Math.max(code, other) + 1);
      at += 2;
    } else {
      bytes[code] = 1;
    }
  }
  if (negated) for (let byte = 0; byte < 256; byte += 1) bytes[byte] = bytes[byte] === 1 ? 0 : 1;
  return at;
};
