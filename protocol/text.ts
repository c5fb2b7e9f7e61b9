/**
 * The plain dialect, for `nc` and a person's eyes: lines to arguments, replies to lines.
 *
 * Quoting is redis-cli's: `"..."` knows \n \r \t \b \a \\ \" and \xHH, `'...'` knows only \'; a closing quote must end
 * the argument. Any byte may stand in a line, NUL too, save LF which ends it.
 *
 * A reply that is one value is that value and a LF, byte for byte: no quotes, no escapes, so `nc` can be piped on (and
 * a value that contains a LF looks like two lines; RESP is there for those). Inside an array or a map, values are
 * quoted and escaped as redis-cli does on a terminal, so that the shape stays readable whatever the bytes.
 */
import { replyBytesMax } from "./limits.ts";
import type { ReplyWriter } from "./reply.ts";

/** The arguments of one line (without its line end); undefined: quotes do not balance. Blank lines give none. */
export const splitArguments = (line: string): string[] | undefined => {
  const args: string[] = [];
  let at = 0;
  for (;;) {
    while (at < line.length && isSpace(line.charCodeAt(at))) at += 1;
    if (at === line.length) return args;
    const start = at;
    while (at < line.length && !endsWord(line.charCodeAt(at)) && !isQuote(line.charCodeAt(at))) at += 1;
    let arg = line.slice(start, at);
    if (at < line.length && isQuote(line.charCodeAt(at))) {
      // The rest of this argument has quotes in it: the slow way, piece by piece.
      const rest = splitQuoted(line, at);
      if (rest === undefined) return undefined;
      arg += rest.text;
      at = rest.end;
    }
    args.push(flat(arg));
  }
};

const splitQuoted = (line: string, from: number): { readonly text: string; readonly end: number } | undefined => {
  let text = "";
  let at = from;
  while (at < line.length) {
    const char = line.charAt(at);
    if (char === '"' || char === "'") {
      const closed = char === '"' ? readDoubleQuoted(line, at + 1) : readSingleQuoted(line, at + 1);
      if (closed === undefined) return undefined;
      if (closed.end < line.length && !isSpace(line.charCodeAt(closed.end))) return undefined;
      return { text: text + closed.text, end: closed.end };
    }
    if (endsWord(char.charCodeAt(0))) break;
    text += char;
    at += 1;
  }
  return { text, end: at };
};

const readDoubleQuoted = (line: string, from: number): { readonly text: string; readonly end: number } | undefined => {
  let text = "";
  let at = from;
  while (at < line.length) {
    const char = line.charAt(at);
    if (char === '"') return { text, end: at + 1 };
    if (char !== "\\" || at + 1 === line.length) {
      text += char;
      at += 1;
      continue;
    }
    const hex = line.slice(at + 2, at + 4);
    if (line.charAt(at + 1) === "x" && /^[0-9a-fA-F]{2}$/.test(hex)) {
      text += String.fromCharCode(Number.parseInt(hex, 16));
      at += 4;
    } else {
      const escaped = line.charAt(at + 1);
      text += escapes.get(escaped) ?? escaped;
      at += 2;
    }
  }
  return undefined;
};

const readSingleQuoted = (line: string, from: number): { readonly text: string; readonly end: number } | undefined => {
  let text = "";
  let at = from;
  while (at < line.length) {
    const char = line.charAt(at);
    if (char === "'") return { text, end: at + 1 };
    if (char === "\\" && line.charAt(at + 1) === "'") at += 1;
    text += line.charAt(at);
    at += 1;
  }
  return undefined;
};

const escapes: ReadonlyMap<string, string> = new Map([
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
  ["b", "\b"],
  ["a", "\x07"],
]);

/** C's isspace: between arguments all six count. */
const isSpace = (code: number): boolean => code === 0x20 || (code >= 0x09 && code <= 0x0d);
/** What ends a bare word; as in sdssplitargs, VT and FF do not. */
const endsWord = (code: number): boolean => code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
const isQuote = (code: number): boolean => code === 0x22 || code === 0x27;

/**
 * The same characters in a string of their own. A slice of 13 or more characters keeps its whole parent alive, and a
 * string built by `+=` keeps its pieces: a stored key must hold neither.
 */
const flat = (text: string): string => (text.length < 13 ? text : Buffer.from(text, "latin1").toString("latin1"));

/**
 * A line that speaks HTTP. A web page can make a browser send such lines to a port on the user's own machine, with
 * commands in the body (CVE-2016-10517); so the connection closes before the body is looked at. `POST` and `Host:` are
 * Redis's own signs. The request line is ours: `DELETE /a HTTP/1.1` would be a valid command here.
 */
export const isHttp = (args: readonly string[]): boolean => {
  const first = args[0]?.toLowerCase() ?? "";
  if (first === "post" || first.startsWith("host:")) return true;
  return args.length === 3 && httpMethods.has(first) && /^HTTP\/\d/.test(args[2] ?? "");
};

const httpMethods: ReadonlySet<string> = new Set([
  "get",
  "head",
  "put",
  "delete",
  "options",
  "patch",
  "trace",
  "connect",
]);

/** One array, map or set whose items are being written. */
interface OpenAggregate {
  readonly kind: "array" | "map" | "set";
  /** Items still to come; a pair of a map counts two. */
  left: number;
  /** Number of the item last begun, from 1; of the pair in a map. */
  index: number;
  /** Digits of the last number, so that all numbers align. */
  readonly width: number;
  /** Spaces before every item, except a first one that continues its parent's line. */
  readonly indent: string;
  readonly ownLine: boolean;
  /** The next item is a map's value: it follows its key on the same line. */
  atValue: boolean;
}

const separators = { array: ")", map: "#", set: "~" } as const;
const emptyTexts = { array: "(empty array)", map: "(empty hash)", set: "(empty set)" } as const;

export class PlainWriter implements ReplyWriter {
  readonly protocol = 0;
  /** More than `replyBytesMax` was written: what there was is gone, and the connection must close. */
  overflowed = false;
  errors = 0;
  lastError = "";
  #out = "";
  readonly #open: OpenAggregate[] = [];

  get length(): number {
    return this.#out.length;
  }

  take(): string {
    const out = this.#out;
    this.#out = "";
    return out;
  }

  /** Whole replies, already in this dialect. */
  append(text: string): void {
    this.#append(text);
  }

  simple(text: string): void {
    this.#item(text);
  }

  error(text: string): void {
    this.errors += 1;
    this.lastError = text;
    const line = text.replace(/[\r\n]/g, " ");
    this.#item(this.#open.length === 0 ? line : `(error) ${line}`);
  }

  integer(value: number | bigint): void {
    this.#item(`(integer) ${value}`);
  }

  bulk(value: string): void {
    this.#item(this.#open.length === 0 ? value : quote(value));
  }

  nil(): void {
    this.#item("(nil)");
  }

  nilArray(): void {
    this.#item("(nil)");
  }

  array(count: number): void {
    this.#aggregate("array", count, count);
  }

  map(count: number): void {
    this.#aggregate("map", count, count * 2);
  }

  set(count: number): void {
    this.#aggregate("set", count, count);
  }

  double(value: number): void {
    this.#item(`(double) ${formatDouble(value)}`);
  }

  boolean(value: boolean): void {
    this.#item(value ? "(true)" : "(false)");
  }

  verbatim(text: string): void {
    // Text brings its own last line end; a second one would be an empty line.
    this.#item(text.endsWith("\n") ? text.slice(0, -1) : text);
  }

  #item(text: string): void {
    this.#beginItem();
    this.#append(text);
    this.#endItem();
  }

  #aggregate(kind: OpenAggregate["kind"], count: number, items: number): void {
    if (count === 0) {
      this.#item(emptyTexts[kind]);
      return;
    }
    this.#beginItem();
    const parent = this.#open.at(-1);
    // As deep as the parent's prefix: its own indent, its number, the separator and a space.
    const indent = parent === undefined ? "" : parent.indent + " ".repeat(parent.width + 2);
    // As in redis-cli, an array continues the line of an array, and begins a new one as the value in a map.
    const ownLine = parent?.atValue === true;
    if (ownLine) this.#append("\n");
    this.#open.push({ kind, left: items, index: 0, width: String(count).length, indent, ownLine, atValue: false });
  }

  #beginItem(): void {
    const parent = this.#open.at(-1);
    if (parent === undefined) return;
    parent.left -= 1;
    if (parent.kind === "map" && parent.atValue) {
      this.#append(" => ");
      return;
    }
    parent.index += 1;
    const indent = parent.index === 1 && !parent.ownLine ? "" : parent.indent;
    this.#append(`${indent}${String(parent.index).padStart(parent.width)}${separators[parent.kind]} `);
  }

  /** An item is whole: end its line, and every aggregate it was the last item of. */
  #endItem(): void {
    let lineEnded = false;
    for (;;) {
      const parent = this.#open.at(-1);
      if (parent?.kind === "map") {
        parent.atValue = !parent.atValue;
        if (parent.atValue) {
          // A key stays on its line, even one that was itself an array.
          if (lineEnded) this.#out = this.#out.slice(0, -1);
          return;
        }
      }
      if (!lineEnded) this.#append("\n");
      lineEnded = true;
      if (parent === undefined || parent.left > 0) return;
      this.#open.pop();
    }
  }

  #append(text: string): void {
    if (this.overflowed) return;
    if (this.#out.length + text.length > replyBytesMax) {
      this.overflowed = true;
      this.#out = "";
      return;
    }
    this.#out += text;
  }
}

/** redis-cli's quoting: printable ASCII as it is, the rest escaped; what it gives, `splitArguments` takes. */
export const quote = (value: string): string => {
  const escaped = value.replace(/["\\\x00-\x1f\x7f-\xff]/g, (char) => {
    const short = shortEscapes.get(char);
    return short ?? `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
  return `"${escaped}"`;
};

const shortEscapes: ReadonlyMap<string, string> = new Map([
  ['"', '\\"'],
  ["\\", "\\\\"],
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
  ["\b", "\\b"],
  ["\x07", "\\a"],
]);

/** As RESP3 writes doubles: the shortest text that reads back as the same number; `inf`, `-inf`, `nan`. */
export const formatDouble = (value: number): string => {
  if (value === Number.POSITIVE_INFINITY) return "inf";
  if (value === Number.NEGATIVE_INFINITY) return "-inf";
  if (Number.isNaN(value)) return "nan";
  return Object.is(value, -0) ? "-0" : String(value);
};
