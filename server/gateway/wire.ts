/** Between the routes' latin1 strings and what crosses the client WebSocket, with Node's own conversions. */
import { isUtf8 } from "node:buffer";
import type { WireReply } from "../../protocol/client-messages.ts";
import { isControlText, type WireText } from "../../protocol/wire-text.ts";
import { wireToLatin1 } from "../ports/client-socket-bytes.ts";
import { KvFailure, type KvReply } from "../web/kv-backend.ts";

const ascii = /^[\0-\x7f]*$/;
/** Longer text may have a shorter form. */
const shortBytes = 1024;

export const latin1ToWire = (latin1: string): WireText => {
  if (latin1.length < shortBytes && ascii.test(latin1)) return latin1;
  const bytes = Buffer.from(latin1, "latin1");
  return isUtf8(bytes) && !isControlText(bytes) ? bytes.toString() : { base64: bytes.toString("base64") };
};

export const wireToBuffer = (text: WireText): Buffer =>
  typeof text === "string" ? Buffer.from(text) : Buffer.from(text.base64, "base64");

const isText = (reply: WireReply): reply is WireText =>
  typeof reply === "string" || (typeof reply === "object" && reply !== null && "base64" in reply);

/** Throws a KvFailure for what no command of the routes answers. */
export const wireToReply = (reply: WireReply): KvReply => {
  if (reply === null || typeof reply === "number") return reply;
  if (isText(reply)) return wireToLatin1(reply);
  if (typeof reply === "boolean") return reply ? 1 : 0;
  if (isList(reply)) return reply.map(wireToReply);
  if ("status" in reply) return reply;
  if ("integer" in reply) return BigInt(reply.integer);
  if ("map" in reply) return reply.map.flatMap(([key, value]) => [wireToReply(key), wireToReply(value)]);
  if ("set" in reply) return reply.set.map(wireToReply);
  if ("verbatim" in reply) return wireToLatin1(reply.verbatim);
  if ("double" in reply) return String(reply.double);
  throw new KvFailure(reply.error.code, reply.error.message);
};

const isList = (reply: WireReply): reply is readonly WireReply[] => Array.isArray(reply);
