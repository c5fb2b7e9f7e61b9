/** What `GET /watch?...` asks for. Keys are bytes: `%ff` is the byte FF, whatever UTF-8 says, and comes as latin1. */
import type { WireVector } from "../../protocol/link-messages.ts";
import { parsePosition } from "../../protocol/position.ts";

export interface WatchQuery {
  readonly key: string | undefined;
  readonly prefix: string;
  readonly values: boolean;
  readonly from: { readonly token: string; readonly vector: WireVector } | undefined;
}

export type ParsedWatchQuery =
  | { readonly ok: true; readonly query: WatchQuery }
  | { readonly ok: false; readonly why: string };

const refuse = (why: string): ParsedWatchQuery => ({ ok: false, why });

const known: ReadonlySet<string> = new Set(["key", "prefix", "token", "values"]);

/** `url`: as in the request line. `lastEventId`: the header that a reconnecting EventSource sends; it goes before `token`. */
export const parseWatchQuery = (url: string, lastEventId: string | undefined): ParsedWatchQuery => {
  const queryAt = url.indexOf("?");
  const given = new Map<string, string>();
  for (const part of queryAt < 0 ? [] : url.slice(queryAt + 1).split("&")) {
    if (part === "") continue;
    const equalsAt = part.indexOf("=");
    const name = decode(equalsAt < 0 ? part : part.slice(0, equalsAt));
    const value = decode(equalsAt < 0 ? "" : part.slice(equalsAt + 1));
    if (name === undefined || value === undefined) return refuse("a % in the query is not followed by two hex digits");
    if (!known.has(name)) return refuse(`unknown parameter; there are ${[...known].join(", ")}`);
    if (given.has(name)) return refuse(`${name} is given twice`);
    given.set(name, value);
  }
  const key = given.get("key");
  const prefix = given.get("prefix");
  if (key !== undefined && prefix !== undefined) return refuse("key or prefix, not both");
  const values = given.get("values") ?? "yes";
  if (values !== "yes" && values !== "no") return refuse("values is yes or no");
  const token = lastEventId ?? given.get("token");
  const vector = token === undefined ? undefined : parsePosition(token);
  if (token !== undefined && vector === undefined) return refuse("the token, or Last-Event-ID, is no position");
  const from = token === undefined || vector === undefined ? undefined : { token, vector };
  return { ok: true, query: { key, prefix: prefix ?? "", values: values === "yes", from } };
};

const decode = (text: string): string | undefined =>
  /%(?![0-9A-Fa-f]{2})/.test(text)
    ? undefined
    : text
        .replaceAll("+", " ")
        .replaceAll(/%([0-9A-Fa-f]{2})/g, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
