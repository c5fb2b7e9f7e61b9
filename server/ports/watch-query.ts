/** What `GET /watch?...` asks for. */
import type { WireVector } from "../../protocol/link-messages.ts";
import { parsePosition } from "../../protocol/position.ts";
import { parseQuery } from "../web/query.ts";

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
  const parsed = parseQuery(url, known);
  if (!parsed.ok) return parsed;
  const given = parsed.values;
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
