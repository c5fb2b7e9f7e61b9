/**
 * Bytes in JSON. Keys and values are any bytes; JSON has only text. What is valid UTF-8 travels as that text, so that
 * people can read it; anything else as `{"base64": "..."}`. One value has one form.
 *
 * Inside the peer bytes are latin1 strings, one character a byte; a client has strings or Uint8Array.
 */
import { z } from "zod";

export type WireText = string | { readonly base64: string };

/** Standard base64, padded. */
const base64 = z.string().regex(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/);

export const wireText = z.union([z.string(), z.strictObject({ base64 })]);

const ascii = /^[\0-\x7f]*$/;
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

const toBase64 = (bytes: Uint8Array): string => {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
};

/** Bytes to their one form. */
export const bytesToWire = (bytes: Uint8Array): WireText => {
  try {
    return strictDecoder.decode(bytes);
  } catch {
    return { base64: toBase64(bytes) };
  }
};

/** A lone surrogate is no character: it becomes U+FFFD, as everywhere on the web. */
export const wireToBytes = (text: WireText): Uint8Array =>
  typeof text === "string" ? encoder.encode(text) : Uint8Array.from(atob(text.base64), (char) => char.charCodeAt(0));

/** The peer's latin1 string to its one form. */
export const latin1ToWire = (latin1: string): WireText =>
  ascii.test(latin1) ? latin1 : bytesToWire(Uint8Array.from(latin1, (char) => char.charCodeAt(0)));

export const wireToLatin1 = (text: WireText): string => {
  if (typeof text !== "string") return atob(text.base64);
  if (ascii.test(text)) return text;
  let latin1 = "";
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length; at += 8192) latin1 += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return latin1;
};
