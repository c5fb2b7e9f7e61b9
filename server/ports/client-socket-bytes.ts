/**
 * Bytes in JSON, as protocol/wire-text.ts says, with Node's own conversions: a value of 16 MiB takes some 20 ms here,
 * twenty times as long in the portable code.
 */
import { isUtf8 } from "node:buffer";
import { isControlText, type WireText } from "../../protocol/wire-text.ts";

const ascii = /^[\0-\x7f]*$/;
/** Below it looking through the string costs less than a Buffer. */
const shortBytes = 256;

/** The peer's latin1 string as the JSON of its one form. */
export const latin1ToJson = (latin1: string): string => {
  if (latin1.length < shortBytes && ascii.test(latin1)) return JSON.stringify(latin1);
  const bytes = Buffer.from(latin1, "latin1");
  if (isUtf8(bytes) && !isControlText(bytes)) {
    return JSON.stringify(bytes.toString());
  }
  return `{"base64":"${bytes.toString("base64")}"}`;
};

/** A wire text that was checked to the peer's latin1 string. */
export const wireToLatin1 = (text: WireText): string => {
  if (typeof text !== "string") return Buffer.from(text.base64, "base64").toString("latin1");
  return ascii.test(text) ? text : Buffer.from(text).toString("latin1");
};

/** For people: an error line may quote what a client sent. Bytes that are no UTF-8 become U+FFFD. */
export const latin1ToText = (latin1: string): string =>
  ascii.test(latin1) ? latin1 : Buffer.from(latin1, "latin1").toString();
