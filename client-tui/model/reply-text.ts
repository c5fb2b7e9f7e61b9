/**
 * A reply as lines, typed as redis-cli prints it: `"value"`, `(integer) 1`, `(nil)`, `1) "a"`, `1# "field" => ...`.
 *
 * Valid UTF-8 is shown as text within the quotes; control characters are escaped. At most `linesMax` lines.
 */
import type { WireReply } from "../../protocol/client-messages.ts";
import { type WireText, wireToLatin1 } from "../../protocol/wire-text.ts";
import { latin1ToText, visibleBytes, visibleText } from "../text/visible.ts";

/** A reply longer than this on one line is cut: the screen is no pager for 16 MiB. */
const textCharsMax = 8 * 1024;

const isWireText = (reply: WireReply): reply is WireText =>
  typeof reply === "string" || (typeof reply === "object" && reply !== null && "base64" in reply);

/** Asked before any field: an array has a `map` of its own. Array.isArray does not narrow a readonly one. */
const isArray = (reply: WireReply): reply is readonly WireReply[] => Array.isArray(reply);

const quoted = (wire: WireText): string => {
  const latin1 = wireToLatin1(wire);
  const part = latin1.length > textCharsMax ? latin1.slice(0, textCharsMax) : latin1;
  const text = latin1ToText(part);
  const shown = text === undefined ? visibleBytes(part) : visibleText(text.replaceAll(/["\\]/g, "\\$&"));
  return `"${shown}"${part.length < latin1.length ? `… (${latin1.length} bytes)` : ""}`;
};

export const replyLines = (reply: WireReply, linesMax: number): string[] => {
  const lines: string[] = [];
  addReply(lines, reply, "", "", linesMax);
  if (lines.length > linesMax) {
    lines.length = linesMax;
    lines.push("… (more lines than are shown)");
  }
  return lines;
};

/** `head` stands before its first line, `indent` before the others. */
const addReply = (lines: string[], reply: WireReply, head: string, indent: string, linesMax: number): void => {
  if (lines.length > linesMax) return;
  if (reply === null) lines.push(`${head}(nil)`);
  else if (isWireText(reply)) lines.push(head + quoted(reply));
  else if (typeof reply === "number") lines.push(`${head}(integer) ${reply}`);
  else if (typeof reply === "boolean") lines.push(`${head}(${reply})`);
  else if ("status" in reply) lines.push(head + visibleText(reply.status));
  else if ("integer" in reply) lines.push(`${head}(integer) ${visibleText(reply.integer)}`);
  else if ("double" in reply) lines.push(`${head}(double) ${reply.double}`);
  else if ("error" in reply) lines.push(`${head}(error) ${visibleText(reply.error.message)}`);
  else if ("verbatim" in reply) addVerbatim(lines, reply.verbatim, head, indent, linesMax);
  else if (isArray(reply)) addItems(lines, reply, ")", "(empty array)", head, indent, linesMax);
  else if ("map" in reply) addMap(lines, reply.map, head, indent, linesMax);
  else addItems(lines, reply.set, "~", "(empty set)", head, indent, linesMax);
};

/** INFO and HELP answer with lines. */
const addVerbatim = (lines: string[], wire: WireText, head: string, indent: string, linesMax: number): void => {
  for (const [index, line] of wireToLatin1(wire).trimEnd().split(/\r?\n/).entries()) {
    if (lines.length > linesMax) return;
    lines.push((index === 0 ? head : indent) + visibleBytes(line));
  }
};

const addItems = (
  lines: string[],
  items: readonly WireReply[],
  mark: string,
  empty: string,
  head: string,
  indent: string,
  linesMax: number,
): void => {
  if (items.length === 0) lines.push(head + empty);
  const width = String(items.length).length;
  for (const [index, item] of items.entries()) {
    if (lines.length > linesMax) return;
    const number = `${String(index + 1).padStart(width)}${mark} `;
    addReply(lines, item, (index === 0 ? head : indent) + number, indent + " ".repeat(number.length), linesMax);
  }
};

const addMap = (
  lines: string[],
  pairs: readonly (readonly [WireReply, WireReply])[],
  head: string,
  indent: string,
  linesMax: number,
): void => {
  if (pairs.length === 0) lines.push(`${head}(empty hash)`);
  const width = String(pairs.length).length;
  for (const [index, [name, value]] of pairs.entries()) {
    if (lines.length > linesMax) return;
    const number = `${String(index + 1).padStart(width)}# `;
    const label = isWireText(name) ? quoted(name) : (replyLines(name, 1)[0] ?? "");
    const first = (index === 0 ? head : indent) + number + label;
    if (typeof value === "object" && value !== null && !isWireText(value) && !isShort(value)) {
      lines.push(`${first} =>`);
      const deeper = indent + " ".repeat(number.length);
      addReply(lines, value, deeper, deeper, linesMax);
    } else addReply(lines, value, `${first} => `, indent, linesMax);
  }
};

/** Fits on the line of its name. */
const isShort = (reply: Exclude<WireReply, WireText | number | boolean | null>): boolean =>
  (isArray(reply) ? reply.length === 0 : false) ||
  "status" in reply ||
  "integer" in reply ||
  "double" in reply ||
  "error" in reply ||
  (!isArray(reply) && "map" in reply && reply.map.length === 0) ||
  ("set" in reply && reply.set.length === 0);

// ---- Reading replies ----------------------------------------------------------------------------------------------------

export const replyBytes = (reply: WireReply | undefined): string | undefined =>
  reply !== undefined && isWireText(reply) ? wireToLatin1(reply) : undefined;

export const replyNumber = (reply: WireReply | undefined): number | undefined => {
  if (typeof reply === "number") return reply;
  if (typeof reply === "object" && reply !== null && "integer" in reply) return Number(reply.integer);
  if (typeof reply === "object" && reply !== null && "double" in reply) return Number(reply.double);
  return undefined;
};

export const replyItems = (reply: WireReply | undefined): readonly WireReply[] =>
  reply === undefined || typeof reply !== "object" || reply === null
    ? []
    : isArray(reply)
      ? reply
      : "set" in reply
        ? reply.set
        : [];

/** The value of a field of a map. */
export const replyField = (reply: WireReply | undefined, name: string): WireReply | undefined => {
  if (typeof reply !== "object" || reply === null || isArray(reply) || !("map" in reply)) return undefined;
  return reply.map.find(([field]) => field === name)?.[1];
};
