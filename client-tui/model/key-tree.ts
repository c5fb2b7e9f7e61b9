/**
 * The list of loaded keys as rows: a tree by `:` or flat. Pure.
 *
 * Keys are sorted by bytes, so those below one folder lie side by side and a folder is a range; a closed one costs one
 * binary search, whatever it holds. A key may also be a folder (`user` and `user:1`): both have a row. A folder with one
 * key in it is that key's row.
 */
import type { Latin1 } from "../cluster.ts";
import type { KeyRow } from "./model.ts";

export interface KeyRowsOptions {
  readonly view: "tree" | "flat";
  readonly open: ReadonlySet<Latin1>;
  /** Empty: all. Bytes. */
  readonly filter: Latin1;
  /** There are keys that were not loaded. */
  readonly hasMore: boolean;
}

/** `loaded`: sorted, each once. A filter makes the list flat: what was looked for is seen at once. */
export const keyRows = (loaded: readonly Latin1[], { view, open, filter, hasMore }: KeyRowsOptions): KeyRow[] => {
  const rows: KeyRow[] = [];
  if (view === "flat" || filter !== "") {
    const matches = filter === "" ? () => true : matcherOf(filter);
    for (const key of loaded) if (matches(key)) rows.push({ kind: "key", key, name: key, depth: 0 });
  } else addRange(rows, loaded, open, { from: 0, to: loaded.length, prefixLength: 0, depth: 0 });
  if (hasMore) rows.push({ kind: "more" });
  return rows;
};

interface Range {
  readonly from: number;
  readonly to: number;
  readonly prefixLength: number;
  readonly depth: number;
}

const addRange = (rows: KeyRow[], keys: readonly Latin1[], open: ReadonlySet<Latin1>, range: Range): void => {
  const { prefixLength, depth } = range;
  for (let at = range.from; at < range.to; ) {
    const key = keys[at] ?? "";
    const colonAt = key.indexOf(":", prefixLength);
    const path = colonAt < 0 ? "" : key.slice(0, colonAt + 1);
    const end = colonAt < 0 ? at + 1 : endOfPrefix(keys, path, at, range.to);
    if (end - at <= 1) rows.push({ kind: "key", key, name: key.slice(prefixLength), depth });
    else {
      const isOpen = open.has(path);
      rows.push({ kind: "folder", path, depth, count: end - at, isOpen });
      // A stranger may name a key with 60,000 colons; nobody opens that many folders, but their depth is not ours to trust.
      if (isOpen) addRange(rows, keys, open, { from: at, to: end, prefixLength: path.length, depth: depth + 1 });
    }
    at = end;
  }
};

/** The first index from `from` on whose key does not begin so; all that do lie side by side. */
const endOfPrefix = (keys: readonly Latin1[], prefix: Latin1, from: number, to: number): number => {
  let low = from;
  let high = to;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle]?.startsWith(prefix) === true) low = middle + 1;
    else high = middle;
  }
  return low;
};

export const isGlob = (text: string): boolean => /[*?[\]]/.test(text);

/** What the typed filter asks of the server: itself where it is a pattern, else "contains". */
export const scanPattern = (filter: Latin1): Latin1 =>
  isGlob(filter) ? filter : `*${filter.replaceAll("\\", "\\\\")}*`;

/** `*` and `?` in a filter mean what they mean to SCAN; without them: contains, whatever the case of ASCII letters. */
const matcherOf = (filter: Latin1): ((key: Latin1) => boolean) => {
  if (!isGlob(filter)) {
    const lower = asciiLower(filter);
    return (key) => asciiLower(key).includes(lower);
  }
  if (!/^[^[\]\\]*$/.test(filter)) return () => true;
  // Parts between stars are found one after the other, leftmost first: linear, where a regular expression may not be.
  const parts = filter.split("*").map((part) => part.split("?"));
  const partAt = (key: Latin1, part: readonly string[], at: number): boolean => {
    let position = at;
    for (const [index, piece] of part.entries()) {
      if (index > 0) position++;
      if (position > key.length || !key.startsWith(piece, position)) return false;
      position += piece.length;
    }
    return position <= key.length;
  };
  const lengthOf = (part: readonly string[]): number => part.join("?").length;
  return (key) => {
    const first = parts[0] ?? [""];
    const last = parts.at(-1) ?? [""];
    if (parts.length === 1) return lengthOf(first) === key.length && partAt(key, first, 0);
    const endAt = key.length - lengthOf(last);
    let at = lengthOf(first);
    if (endAt < at || !partAt(key, first, 0) || !partAt(key, last, endAt)) return false;
    for (const part of parts.slice(1, -1)) {
      while (at + lengthOf(part) <= endAt && !partAt(key, part, at)) at++;
      if (at + lengthOf(part) > endAt) return false;
      at += lengthOf(part);
    }
    return true;
  };
};

/** Not toLowerCase: beyond ASCII a character is a byte of UTF-8, and has no case. */
const asciiLower = (text: string): string => text.replaceAll(/[A-Z]+/g, (letters) => letters.toLowerCase());

/** Sorted, each once, at most `max`. */
export const mergeKeys = (loaded: readonly Latin1[], found: readonly Latin1[], max: number): readonly Latin1[] => {
  if (found.length === 0) return loaded;
  const sorted = [...loaded, ...found].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const merged: Latin1[] = [];
  for (const key of sorted) if (key !== merged.at(-1)) merged.push(key);
  return merged.length > max ? merged.slice(0, max) : merged;
};

/** The same row in another list: for a selection that stays where it was. */
export const rowId = (row: KeyRow | undefined): string => {
  if (row === undefined) return "";
  return row.kind === "key" ? `k${row.key}` : row.kind === "folder" ? `f${row.path}` : "m";
};
