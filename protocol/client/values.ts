/** Between what callers have (strings, bytes, numbers) and what travels (wire text, wire replies). */
import type { WireReply } from "../client-messages.ts";
import { bytesToWire, type WireText, wireToBytes } from "../wire-text.ts";
import { ChorusError, refused } from "./errors.ts";

/** A key or a value: text, which travels as UTF-8, or any bytes. */
export type Bytes = string | Uint8Array;

/** What a caller wants to be given: text (anything else rejects with NOT_TEXT), or bytes. */
export type As = "text" | "bytes";
export type Given<A extends As> = A extends "bytes" ? Uint8Array : string;

/**
 * A reply of any command. Integers beyond 2^53 are bigint, doubles number. Maps and sets are what RESP3 calls so. An
 * error inside an array (of a transaction) is a ChorusError in its place.
 */
export type Reply =
  | null
  | string
  | Uint8Array
  | number
  | bigint
  | boolean
  | ChorusError
  | readonly Reply[]
  | ReadonlyMap<Reply, Reply>
  | ReadonlySet<Reply>;

const encoder = new TextEncoder();
/** Text beyond this may have a shorter form; see wire-text.ts. */
const longText = 16 * 1024;

export const toWire = (value: Bytes | number | bigint): WireText => {
  if (typeof value === "string") return value.length < longText ? value : bytesToWire(encoder.encode(value));
  return value instanceof Uint8Array ? bytesToWire(value) : String(value);
};

/** Length in JSON, roughly and never below: what is in flight is bounded by it. */
export const wireBytes = (text: WireText): number =>
  typeof text === "string" ? text.length + 8 : text.base64.length + 24;

export const isWireText = (reply: WireReply): reply is WireText =>
  typeof reply === "string" || (typeof reply === "object" && reply !== null && "base64" in reply);

const preview = (bytes: Uint8Array): string => {
  const hex = Array.from(bytes.subarray(0, 16), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return `${bytes.length} bytes, ${hex}${bytes.length > 16 ? " ..." : ""}`;
};

const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export const fromWire = <A extends As>(text: WireText, as: A): Given<A> => {
  // Each branch gives what A says; the compiler does not follow a conditional type.
  if (as === "bytes") return wireToBytes(text) as Given<A>;
  if (typeof text === "string") return text as Given<A>;
  // Long text may come as bytes, where that is shorter.
  const bytes = wireToBytes(text);
  try {
    return strictDecoder.decode(bytes) as Given<A>;
  } catch {
    throw refused("NOT_TEXT", `not UTF-8 (${preview(bytes)}): ask for it as bytes`);
  }
};

export const toReply = (wire: WireReply, as: As): Reply => {
  if (wire === null || typeof wire === "number" || typeof wire === "boolean") return wire;
  if (isWireText(wire)) return fromWire(wire, as);
  if (isList(wire)) return wire.map((item) => toReply(item, as));
  if ("status" in wire) return wire.status;
  if ("integer" in wire) return BigInt(wire.integer);
  if ("double" in wire) return doubleOf(wire.double);
  if ("verbatim" in wire) return fromWire(wire.verbatim, as);
  if ("error" in wire) return new ChorusError(wire.error.code, wire.error.message, "not-applied");
  if ("map" in wire) return new Map(wire.map.map(([key, value]) => [toReply(key, as), toReply(value, as)]));
  return new Set(wire.set.map((item) => toReply(item, as)));
};

const isList = (wire: WireReply): wire is readonly WireReply[] => Array.isArray(wire);

const doubleOf = (double: number | "inf" | "-inf" | "nan"): number => {
  if (typeof double === "number") return double;
  return { inf: Number.POSITIVE_INFINITY, "-inf": Number.NEGATIVE_INFINITY, nan: Number.NaN }[double];
};

/** For replies that are something else than the command's. */
export const strange = (command: string): ChorusError =>
  new ChorusError("PROTOCOL", `the peer answered ${command} with something else`, "unknown");
