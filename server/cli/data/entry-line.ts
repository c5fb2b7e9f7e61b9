/**
 * One key as a line of JSON, as `chorus export` writes it and `chorus import` reads it:
 *
 *     {"key":"city","value":"Oslo"}
 *     {"key":{"base64":"/wA="},"value":{"base64":"gIA="},"expiresAtMs":1900000000000}
 *
 * Bytes that are UTF-8 are text, others base64 (protocol/wire-text.ts). The expiry is absolute, Unix ms; none: no such field.
 */
import { keyBytesMax, valueBytesMax } from "../../../protocol/limits.ts";
import { bytesToWire, type WireText, wireText, wireToBytes } from "../../../protocol/wire-text.ts";

export interface Entry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** Unix ms. */
  readonly expiresAtMs?: number;
}

export const entryToLine = ({ key, value, expiresAtMs }: Entry): string =>
  `${JSON.stringify({ key: bytesToWire(key), value: bytesToWire(value), expiresAtMs })}\n`;

const known: ReadonlySet<string> = new Set(["key", "value", "expiresAtMs"]);
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Undefined for an empty line; a text says what is wrong with it. */
export const parseEntryLine = (line: Uint8Array): Entry | string | undefined => {
  let text: string;
  try {
    text = decoder.decode(line);
  } catch {
    return "not UTF-8";
  }
  if (text.trim() === "") return undefined;
  let fields: unknown;
  try {
    fields = JSON.parse(text);
  } catch {
    return "not JSON";
  }
  if (typeof fields !== "object" || fields === null || Array.isArray(fields)) return "not an object";
  for (const name of Object.keys(fields)) {
    if (!known.has(name)) return `unknown field ${JSON.stringify(name)}; known are key, value and expiresAtMs`;
  }
  const { key, value, expiresAtMs } = fields as { readonly [name: string]: unknown };
  const keyBytes = bytesOf(key);
  if (typeof keyBytes === "string") return `key: ${keyBytes}`;
  const valueBytes = bytesOf(value);
  if (typeof valueBytes === "string") return `value: ${valueBytes}`;
  if (keyBytes.length > keyBytesMax) return `a key of ${keyBytes.length} bytes, limit ${keyBytesMax}`;
  if (valueBytes.length > valueBytesMax) return `a value of ${valueBytes.length} bytes, limit ${valueBytesMax}`;
  if (expiresAtMs === undefined || expiresAtMs === null) return { key: keyBytes, value: valueBytes };
  if (typeof expiresAtMs !== "number" || !Number.isSafeInteger(expiresAtMs) || expiresAtMs < 1) {
    return "expiresAtMs: expected a whole number of ms since 1970";
  }
  return { key: keyBytes, value: valueBytes, expiresAtMs };
};

const bytesOf = (field: unknown): Uint8Array | string => {
  if (field === undefined) return "missing";
  // The common case needs no schema.
  if (typeof field === "string") return wireToBytes(field);
  const parsed = wireText.safeParse(field);
  return parsed.success ? wireToBytes(parsed.data as WireText) : 'expected text, or {"base64": ...}';
};

/**
 * The lines of a stream of bytes, without their ends, in chunks of whole lines. `bytesMax`: a longer line throws a RangeError.
 */
export async function* linesOf(
  chunks: AsyncIterable<Uint8Array>,
  bytesMax: number,
): AsyncGenerator<readonly Uint8Array[]> {
  let parts: Uint8Array[] = [];
  let held = 0;
  for await (const chunk of chunks) {
    const lines: Uint8Array[] = [];
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      const last = chunk.subarray(start, end);
      lines.push(parts.length === 0 ? last : Buffer.concat([...parts, last]));
      parts = [];
      held = 0;
      start = end + 1;
    }
    if (start < chunk.length) {
      parts.push(chunk.subarray(start));
      held += chunk.length - start;
    }
    if (lines.length > 0) yield lines;
    if (held > bytesMax) throw new RangeError(`longer than ${bytesMax} bytes`);
  }
  if (held > 0) yield [Buffer.concat(parts)];
}
