/**
 * Bytes in JSON. Keys and values are any bytes; JSON has only text. What is valid UTF-8 travels as that text, so that
 * people can read it; anything else as `{"base64": "..."}`. So does long text that is mostly control characters: JSON
 * would write six bytes for each. One value has one form; read are both.
 *
 * Inside the peer bytes are latin1 strings, one character a byte; a client has strings or Uint8Array.
 */
import { z } from "zod";

export type WireText = string | { readonly base64: string };

/**
 * Standard base64, padded. Looked through for what may not be in it: a pattern of the whole would keep a way back for
 * every group, and overflow at some megabytes.
 */
const isBase64 = (text: string): boolean => {
  if (text.length % 4 !== 0) return false;
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  return !/[^A-Za-z0-9+/]/.test(padding === 0 ? text : text.slice(0, -padding));
};

const base64 = z.string().refine(isBase64, "not base64");

export const wireText = z.union([z.string(), z.strictObject({ base64 })]);

/** Shorter text always travels as text. */
const controlTextBytesMin = 64 * 1024;

/** Long text of which more than an eighth are characters that JSON writes as six. */
export const isControlText = (bytes: Uint8Array): boolean => {
  if (bytes.length < controlTextBytesMin) return false;
  let left = bytes.length >> 3;
  for (let at = 0; at < bytes.length; at += 1) {
    // In bounds.
    const byte = bytes[at] as number;
    // \b \t \n \f \r have escapes of two.
    if (byte < 0x20 && (byte < 0x08 || byte > 0x0d || byte === 0x0b) && --left < 0) return true;
  }
  return false;
};

const ascii = /^[\0-\x7f]*$/;
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

const toBinary = (bytes: Uint8Array): string => {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return text;
};

const toBytes = (latin1: string): Uint8Array => {
  const bytes = new Uint8Array(latin1.length);
  for (let at = 0; at < latin1.length; at += 1) bytes[at] = latin1.charCodeAt(at);
  return bytes;
};

/** Bytes to their one form. */
export const bytesToWire = (bytes: Uint8Array): WireText => {
  if (!isControlText(bytes)) {
    try {
      return strictDecoder.decode(bytes);
    } catch {
      // Not UTF-8.
    }
  }
  return { base64: btoa(toBinary(bytes)) };
};

/** A lone surrogate is no character: it becomes U+FFFD, as everywhere on the web. */
export const wireToBytes = (text: WireText): Uint8Array =>
  typeof text === "string" ? encoder.encode(text) : toBytes(atob(text.base64));

/** The peer's latin1 string to its one form. */
export const latin1ToWire = (latin1: string): WireText =>
  latin1.length < controlTextBytesMin && ascii.test(latin1) ? latin1 : bytesToWire(toBytes(latin1));

export const wireToLatin1 = (text: WireText): string => {
  if (typeof text !== "string") return atob(text.base64);
  return ascii.test(text) ? text : toBinary(encoder.encode(text));
};
