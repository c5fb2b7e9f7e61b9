/**
 * INCR and its kin: conflict-free counters; the map replicates totals per actor, so nothing is lost or counted twice.
 * INCRBYFLOAT is none of them: it rewrites the whole value, last writer wins.
 */
import type { Context, Handler, Handlers } from "./context.ts";
import { notAFloat, notAnInteger, notFinite, wouldOverflow } from "./errors.ts";
import { addFloats } from "./long-double.ts";
import { int64Min, parseInteger64 } from "./numbers.ts";
import type { Session } from "./session.ts";

const increment = (session: Session, key: string, delta: number | bigint, context: Context): void => {
  const result = context.keyspace.increment(key, delta);
  if (result.ok) session.reply.integer(result.value);
  else session.reply.error(result.error === "overflow" ? wouldOverflow : notAnInteger);
};

const incr: Handler = (session, words, context) => increment(session, words[1], 1, context);

const decr: Handler = (session, words, context) => increment(session, words[1], -1, context);

const incrby: Handler = (session, words, context) => {
  const delta = parseInteger64(words[2]);
  if (delta === undefined) session.reply.error(notAnInteger);
  else increment(session, words[1], delta, context);
};

const decrby: Handler = (session, words, context) => {
  const delta = parseInteger64(words[2]);
  if (delta === undefined) session.reply.error(notAnInteger);
  // Its negative is beyond 64 bits.
  else if (delta === int64Min) session.reply.error("ERR decrement would overflow");
  else increment(session, words[1], -delta, context);
};

const incrbyfloat: Handler = (session, words, context) => {
  const { keyspace } = context;
  const key = words[1];
  const result = addFloats(keyspace.get(key) ?? "0", words[2]);
  if (!result.ok) {
    session.reply.error(result.error === "not-finite" ? notFinite : notAFloat);
    return;
  }
  keyspace.set(key, result.text, keyspace.expiresAt(key) ?? 0);
  session.reply.bulk(result.text);
};

export const counterHandlers: Handlers = { incr, decr, incrby, decrby, incrbyfloat };
