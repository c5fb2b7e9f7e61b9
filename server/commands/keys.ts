/**
 * Commands on keys, whatever their values: DEL, EXISTS, RENAME, COPY, OBJECT, MEMORY, FLUSHALL. KEYS and SCAN, which
 * walk through the map, are in walk.ts.
 */
import { execBytesMax, keyBytesMax } from "../../protocol/limits.ts";
import type { Context, Handler, Handlers, Words } from "./context.ts";
import { databaseOutOfRange, keyTooLong, noSuchKey, notAnInteger, syntaxError } from "./errors.ts";
import { parseInt32, parseInteger } from "./numbers.ts";
import { replyRejection } from "./rejection.ts";
import type { Keyspace, Session } from "./session.ts";
import { strongOnly } from "./strong.ts";

const countKeys = (words: Words, holds: (key: string) => boolean): number => {
  let count = 0;
  for (let at = 1; at < words.length; at += 1) if (holds(words[at] ?? "")) count += 1;
  return count;
};

const del: Handler = (session, words, context) => {
  const { keyspace } = context;
  if (words.length === 2) {
    session.reply.integer(keyspace.delete(words[1]) ? 1 : 0);
    return;
  }
  let bytes = 0;
  for (let at = 1; at < words.length; at += 1) bytes += words[at]?.length ?? 0;
  if (bytes > execBytesMax) {
    session.reply.error(`ERR del of keys of ${bytes} bytes, limit ${execBytesMax}`);
    return;
  }
  session.reply.integer(countKeys(words, (key) => keyspace.delete(key)));
};

const exists: Handler = (session, words, context) => {
  session.reply.integer(countKeys(words, (key) => context.keyspace.has(key)));
};

const type: Handler = (session, words, context) => {
  session.reply.simple(context.keyspace.has(words[1]) ? "string" : "none");
};

const version: Handler = (session, words, context) => {
  const { keyspace } = context;
  const [, key] = words;
  const withValue = words.length > 2;
  if (withValue && (words.length > 3 || words[2].toUpperCase() !== "WITHVALUE")) {
    session.reply.error(syntaxError);
    return;
  }
  const found = keyspace.version(key);
  if (withValue) context.stats[found === undefined ? "keyspaceMisses" : "keyspaceHits"] += 1;
  if (found === undefined) {
    session.reply.nil();
    return;
  }
  if (withValue) session.reply.array(3);
  session.reply.bulk(found);
  if (!withValue) return;
  session.reply.bulk(keyspace.get(key) ?? "");
  // As PEXPIRETIME.
  session.reply.integer(keyspace.expiresAt(key) || -1);
};

/** An expired key may still be in the map; after some misses there is hardly one that is not. */
const randomKeyTriesMax = 100;

const randomkey: Handler = (session, _words, context) => {
  const { keyspace, host } = context;
  for (let tries = 0; tries < randomKeyTriesMax; tries += 1) {
    const key = keyspace.randomKey(host.random());
    if (key === undefined) break;
    if (keyspace.has(key)) {
      session.reply.bulk(key);
      return;
    }
  }
  session.reply.nil();
};

/** Writes value and expiry of one key under another. The value of a counter is its present one. */
const copyTo = (keyspace: Keyspace, from: string, to: string): void =>
  keyspace.set(to, keyspace.get(from) ?? "", keyspace.expiresAt(from) ?? 0);

const refusedKey = (session: Session, key: string): boolean => {
  if (key.length <= keyBytesMax) return false;
  session.reply.error(keyTooLong(key.length, keyBytesMax));
  return true;
};

const rename: Handler = (session, words, context) => {
  const { keyspace } = context;
  if (!keyspace.has(words[1])) {
    session.reply.error(noSuchKey);
    return;
  }
  if (refusedKey(session, words[2])) return;
  if (words[1] !== words[2]) {
    copyTo(keyspace, words[1], words[2]);
    keyspace.delete(words[1]);
  }
  session.reply.simple("OK");
};

const renamenx: Handler = (session, words, context) => {
  const { keyspace } = context;
  if (!keyspace.has(words[1])) {
    session.reply.error(noSuchKey);
    return;
  }
  if (refusedKey(session, words[2])) return;
  if (keyspace.has(words[2])) {
    session.reply.integer(0);
    return;
  }
  copyTo(keyspace, words[1], words[2]);
  keyspace.delete(words[1]);
  session.reply.integer(1);
};

const copy: Handler = (session, words, context) => {
  const { keyspace } = context;
  let replaces = false;
  for (let at = 3; at < words.length; at += 1) {
    const option = words[at]?.toUpperCase();
    if (option === "REPLACE") replaces = true;
    else if (option === "DB" && at + 1 < words.length) {
      at += 1;
      const database = parseInt32(words[at] ?? "");
      if (database !== 0) {
        session.reply.error(typeof database === "string" ? database : databaseOutOfRange);
        return;
      }
    } else {
      session.reply.error(syntaxError);
      return;
    }
  }
  if (words[1] === words[2]) {
    session.reply.error("ERR source and destination objects are the same");
    return;
  }
  if (refusedKey(session, words[2])) return;
  const copies = keyspace.has(words[1]) && (replaces || !keyspace.has(words[2]));
  if (copies) copyTo(keyspace, words[1], words[2]);
  session.reply.integer(copies ? 1 : 0);
};

// ---- OBJECT and MEMORY ------------------------------------------------------------------------------------------------

/** The longest string Redis keeps in one piece with its object. */
const embeddedBytesMax = 44;

const objectEncoding: Handler = (session, words, context) => {
  const value = context.keyspace.get(words[2]);
  if (value === undefined) session.reply.nil();
  else if (value.length <= 20 && parseInteger(value) !== undefined) session.reply.bulk("int");
  else session.reply.bulk(value.length <= embeddedBytesMax ? "embstr" : "raw");
};

const objectIdletime: Handler = (session, words, context) => {
  if (context.keyspace.has(words[2])) session.reply.integer(0);
  else session.reply.nil();
};

const objectFreq: Handler = (session, words, context) => {
  if (!context.keyspace.has(words[2])) {
    session.reply.nil();
    return;
  }
  session.reply.error(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
  );
};

const memoryUsage: Handler = (session, words, context) => {
  for (let at = 3; at < words.length; at += 2) {
    if (words[at]?.toUpperCase() !== "SAMPLES" || at + 1 >= words.length) {
      session.reply.error(syntaxError);
      return;
    }
    const samples = parseInteger(words[at + 1] ?? "");
    if (samples === undefined || samples < 0) {
      session.reply.error(samples === undefined ? notAnInteger : syntaxError);
      return;
    }
  }
  const bytes = context.keyspace.memoryUsage(words[2]);
  if (bytes === undefined) session.reply.nil();
  else session.reply.integer(bytes);
};

// ---- FLUSHALL ---------------------------------------------------------------------------------------------------------

/** Inside EXEC, which has looked at the number of keys before it ran anything. */
const flushAtOnce = (context: Context): void => {
  const { keyspace } = context;
  const keys: string[] = [];
  let cursor = 0;
  do {
    cursor = keyspace.scan(cursor, 1000, (key) => keys.push(key));
  } while (cursor !== 0);
  for (const key of keys) keyspace.delete(key);
};

const flush: Handler = (session, words, context) => {
  const mode = words.length > 1 ? words[1].toUpperCase() : "SYNC";
  if (words.length > 2 || !["SYNC", "ASYNC", "EVENTUAL"].includes(mode)) {
    session.reply.error(syntaxError);
    return undefined;
  }
  const { keyCount } = context.host.strong;
  if (keyCount > 0 && mode !== "EVENTUAL") {
    session.reply.error(
      `ERR there are ${keyCount} strong keys, which ${words[0].toUpperCase()} does not delete: DEL each, or say ${words[0].toUpperCase()} EVENTUAL to delete all others`,
    );
    return undefined;
  }
  if (context.inExec) {
    flushAtOnce(context);
    session.reply.simple("OK");
    return undefined;
  }
  return context.host.flushAll().then(
    () => session.reply.simple("OK"),
    (failure: unknown) => replyRejection(session, failure),
  );
};

/** On any other key: two peers could both find what is expected. */
const cas: Handler = (session, _words, { host }) => session.reply.error(strongOnly("CAS", host.strong));

export const keyHandlers: Handlers = {
  cas,
  version,
  del,
  delete: del,
  unlink: del,
  exists,
  touch: exists,
  type,
  randomkey,
  rename,
  renamenx,
  copy,
  "object|encoding": objectEncoding,
  "object|idletime": objectIdletime,
  "object|freq": objectFreq,
  "memory|usage": memoryUsage,
  flushall: flush,
  flushdb: flush,
  dbsize: (session, _words, context) => session.reply.integer(context.keyspace.size + context.host.strong.keyCount),
};
