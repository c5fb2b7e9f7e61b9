/** RESP bytes to values, keeping apart what clients keep apart: simple and bulk strings, arrays, sets and maps. */

/** A simple string (`+`); a bulk string is a plain string. */
export class Simple {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export class Failure {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export type ReplyValue =
  | string
  | number
  | boolean
  | null
  | Simple
  | Failure
  | readonly ReplyValue[]
  | ReadonlySet<ReplyValue>
  | ReadonlyMap<ReplyValue, ReplyValue>;

/** Typed: `Simple`, `Failure`, `Set` and `Map` stay what they are. Throws when there is not exactly one reply. */
export const parseTypedReply = (text: string): ReplyValue => {
  let at = 0;
  const line = (): string => {
    const end = text.indexOf("\r\n", at);
    if (end < 0) throw new Error("reply is cut short");
    const found = text.slice(at, end);
    at = end + 2;
    return found;
  };
  const items = (count: number): ReplyValue[] => Array.from({ length: count }, () => value());
  const value = (): ReplyValue => {
    const head = line();
    const rest = head.slice(1);
    switch (head[0]) {
      case "+":
        return new Simple(rest);
      case "-":
        return new Failure(rest);
      case ":":
      case ",":
        return Number(rest);
      case "#":
        return rest === "t";
      case "_":
        return null;
      case "$":
      case "=": {
        if (rest === "-1") return null;
        const bytes = Number(rest);
        const found = text.slice(at, at + bytes);
        at += bytes + 2;
        return head[0] === "=" ? found.slice(4) : found;
      }
      case "*":
        return rest === "-1" ? null : items(Number(rest));
      case "~":
        return new Set(items(Number(rest)));
      case "%":
        return new Map(Array.from({ length: Number(rest) }, () => [value(), value()] as const));
      default:
        throw new Error(`no reply begins with ${JSON.stringify(head)}`);
    }
  };
  const found = value();
  if (at !== text.length) throw new Error(`${text.length - at} bytes behind the reply`);
  return found;
};

const plain = (value: ReplyValue): unknown => {
  if (value instanceof Simple) return value.text;
  if (value instanceof Failure) return new Error(value.text);
  if (value instanceof Set) return [...value].map(plain);
  if (value instanceof Map) return new Map([...value].map(([key, each]) => [plain(key), plain(each)]));
  return Array.isArray(value) ? value.map(plain) : value;
};

/** The same in JavaScript's own types. */
export const parseReply = (text: string): unknown => plain(parseTypedReply(text));
