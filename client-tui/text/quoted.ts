/**
 * Any bytes as one line a person can edit, and back: `caf\xe9`, `two\nlines`, `Grüße 🎉`, `a\\b`.
 *
 * Law: `parseQuoted(quotedBytes(bytes))` is `bytes`, for every string of bytes.
 */
import { latin1ToText, textToLatin1 } from "./visible.ts";

const named: ReadonlyMap<string, string> = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
  ["\\", "\\\\"],
]);
const unnamed: ReadonlyMap<string, string> = new Map([
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
  ["\\", "\\"],
]);

const hexEscape = (byte: number): string => `\\x${byte.toString(16).padStart(2, "0")}`;

export const quotedBytes = (latin1: string): string => {
  const text = latin1ToText(latin1);
  if (text === undefined)
    return latin1.replaceAll(/[^ -[\]-~]/g, (char) => named.get(char) ?? hexEscape(char.charCodeAt(0)));
  // What cannot be seen is written as its bytes, so that it can be edited.
  return text.replaceAll(
    /[\\\p{Cc}\p{Cf}\p{Cs}\p{Cn}\p{Zl}\p{Zp}]/gu,
    (char) => named.get(char) ?? Array.from(textToLatin1(char), (byte) => hexEscape(byte.charCodeAt(0))).join(""),
  );
};

/** Undefined: a backslash that begins no escape. */
export const parseQuoted = (text: string): string | undefined => {
  let latin1 = "";
  let rest = text;
  while (rest !== "") {
    const slashAt = rest.indexOf("\\");
    if (slashAt < 0) return latin1 + textToLatin1(rest);
    latin1 += textToLatin1(rest.slice(0, slashAt));
    const hex = /^\\x([0-9a-fA-F]{2})/.exec(rest.slice(slashAt, slashAt + 4));
    const plain = unnamed.get(rest[slashAt + 1] ?? "");
    if (hex?.[1] !== undefined) latin1 += String.fromCharCode(Number.parseInt(hex[1], 16));
    else if (plain !== undefined) latin1 += plain;
    else return undefined;
    rest = rest.slice(slashAt + (hex === null ? 2 : 4));
  }
  return latin1;
};
