/** The words of commands that the client's methods make, and what they take the replies for. */
import type { WireReply } from "../client-messages.ts";
import { refused } from "./errors.ts";
import type { Conflict } from "./live.ts";
import { type As, fromWire, type Given, isWireText, strange } from "./values.ts";

export const isList = (reply: WireReply): reply is readonly WireReply[] => Array.isArray(reply);

export const globEscaped = (text: string): string => text.replaceAll(/[\\*?[\]]/g, "\\$&");

export interface Expiry {
  readonly ex?: number;
  readonly px?: number;
  readonly exAt?: number;
  readonly pxAt?: number;
}

export const expiryWords = ({ ex, px, exAt, pxAt }: Expiry): string[] => {
  const given = Object.entries({ EX: ex, PX: px, EXAT: exAt, PXAT: pxAt }).filter(([, time]) => time !== undefined);
  if (given.length > 1) throw refused("BAD_ARGUMENT", "ex, px, exAt, pxAt exclude each other");
  return given.flatMap(([unit, time]) => [unit, String(time)]);
};

export const bytesOf = <A extends As>(command: string, reply: WireReply, as: A): Given<A> | null => {
  if (reply === null) return null;
  if (!isWireText(reply)) throw strange(command);
  return fromWire(reply, as);
};

export const integerOf = (command: string, reply: WireReply): number | bigint => {
  if (typeof reply === "number") return reply;
  if (typeof reply === "object" && reply !== null && "integer" in reply) return BigInt(reply.integer);
  throw strange(command);
};

export const numberOf = (command: string, reply: WireReply): number => Number(integerOf(command, reply));

export const conflictOf = <A extends As>(reply: WireReply, as: A): Conflict<A> => {
  if (typeof reply !== "object" || reply === null || !("map" in reply) || isList(reply)) throw strange("CONFLICTS");
  const fields = new Map(reply.map.map(([name, value]) => [String(name), value]));
  const text = (name: string): string => {
    const value = fields.get(name);
    if (value === undefined || !isWireText(value)) throw strange("CONFLICTS");
    return fromWire(value, "text");
  };
  const time = (name: string): number => {
    const value = fields.get(name);
    return typeof value === "number" ? value : Date.parse(text(name));
  };
  const side = (name: "winner" | "loser") => ({
    value: bytesOf("CONFLICTS", fields.get(name) ?? null, as),
    origin: text(`${name}-origin`),
    dot: text(`${name}-dot`),
    at: time(`${name}-at`),
  });
  const key = fields.get("key");
  if (key === undefined || !isWireText(key)) throw strange("CONFLICTS");
  return {
    id: text("id"),
    key: fromWire(key, as),
    at: time("at"),
    winner: side("winner"),
    loser: side("loser"),
    why: text("why"),
    restored: fields.get("restored") === true,
  };
};
