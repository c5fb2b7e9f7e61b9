/**
 * GET, SET and the other commands on string values.
 *
 * GET, SET and MSET are the hot path: they touch the map and the reply and allocate nothing else. APPEND and SETRANGE
 * read the value this peer sees and write the whole result: last writer wins.
 */
import { execBytesMax, keyBytesMax, replyBytesMax, valueBytesMax } from "../../protocol/limits.ts";
import type { Context, Handler, Handlers, Words } from "./context.ts";
import { invalidExpireTime, keyTooLong, notAnInteger, stringTooLong, syntaxError, wrongArity } from "./errors.ts";
import { type ExpireTime, parseExpireTime, type TimeUnit } from "./expire-time.ts";
import { longestCommonSubsequence } from "./lcs.ts";
import { parseIndex, parseInteger } from "./numbers.ts";
import type { Session } from "./session.ts";
import { strongOnly } from "./strong.ts";

const get: Handler = (session, words, context) => {
  const value = context.keyspace.get(words[1]);
  if (value === undefined) {
    context.stats.keyspaceMisses += 1;
    session.reply.nil();
  } else {
    context.stats.keyspaceHits += 1;
    session.reply.bulk(value);
  }
};

/** Answers the value or nil: what GETSET, GETDEL, GETEX and SET GET begin with. */
const replyOld = (session: Session, value: string | undefined): void => {
  if (value === undefined) session.reply.nil();
  else session.reply.bulk(value);
};

const set: Handler = (session, words, context) => {
  if (words.length > 3) {
    setWithOptions(session, words, context);
    return;
  }
  context.keyspace.set(words[1], words[2], 0);
  session.reply.simple("OK");
};

/** A value whose time is already over is a key that is not there. */
const writeValue = (context: Context, key: string, value: string, expiresAtMs: number): void => {
  if (expiresAtMs !== 0 && expiresAtMs <= context.keyspace.nowMs) context.keyspace.delete(key);
  else context.keyspace.set(key, value, expiresAtMs);
};

interface Expiration {
  readonly unit: TimeUnit;
  readonly absolute: boolean;
}

const expirations: ReadonlyMap<string, Expiration> = new Map([
  ["EX", { unit: "seconds", absolute: false }],
  ["PX", { unit: "milliseconds", absolute: false }],
  ["EXAT", { unit: "seconds", absolute: true }],
  ["PXAT", { unit: "milliseconds", absolute: true }],
]);

const expireTimeOf = (text: string, expiration: Expiration, nowMs: number): ExpireTime =>
  parseExpireTime(text, expiration.unit, expiration.absolute ? 0 : nowMs);

/** Writes the error line of a bad expiry. True: it was bad. */
const refusedExpireTime = (
  session: Session,
  time: ExpireTime,
  fullName: string,
): time is "not-an-integer" | "invalid" => {
  if (typeof time === "number") return false;
  session.reply.error(time === "not-an-integer" ? notAnInteger : invalidExpireTime(fullName));
  return true;
};

const setWithOptions = (session: Session, words: Words, context: Context): void => {
  let onlyIfAbsent = false;
  let onlyIfPresent = false;
  let answersOld = false;
  let answersVersion = false;
  let version: string | undefined;
  let keepsExpiry = false;
  let kind: string | undefined;
  let expireText = "";
  for (let at = 3; at < words.length; at += 1) {
    const option = words[at]?.toUpperCase() ?? "";
    if (option === "NX" && !onlyIfPresent && version === undefined) onlyIfAbsent = true;
    else if (option === "XX" && !onlyIfAbsent && version === undefined) onlyIfPresent = true;
    else if (option === "IFVERSION" && !onlyIfAbsent && !onlyIfPresent && version === undefined) {
      at += 1;
      version = words[at];
      if (version === undefined) return session.reply.error(syntaxError);
    } else if (option === "GET" && !answersVersion) answersOld = true;
    else if (option === "WITHVERSION" && !answersOld) answersVersion = true;
    else if (option === "KEEPTTL" && kind === undefined) keepsExpiry = true;
    else if (expirations.has(option) && !keepsExpiry && (kind ?? option) === option && at + 1 < words.length) {
      kind = option;
      at += 1;
      expireText = words[at] ?? "";
    } else {
      const isForStrongKeys = option === "IFEQ" || option === "FENCE" || option === "OPID";
      session.reply.error(isForStrongKeys ? strongOnly(option, context.host.strong) : syntaxError);
      return;
    }
  }
  const { keyspace } = context;
  const key = words[1];
  const expiration = expirations.get(kind ?? "");
  const time = expiration === undefined ? 0 : expireTimeOf(expireText, expiration, keyspace.nowMs);
  if (refusedExpireTime(session, time, "set")) return;
  if (answersOld) replyOld(session, keyspace.get(key));
  const refuses =
    (onlyIfAbsent && keyspace.has(key)) ||
    (onlyIfPresent && !keyspace.has(key)) ||
    (version !== undefined && keyspace.version(key) !== version);
  if (refuses) {
    if (!answersOld) session.reply.nil();
    return;
  }
  writeValue(context, key, words[2], keepsExpiry ? (keyspace.expiresAt(key) ?? 0) : time);
  // Written with a time that is over: there is no such key, hence no version, but nil would say that it was not done.
  if (answersVersion) session.reply.bulk(keyspace.version(key) ?? "");
  else if (!answersOld) session.reply.simple("OK");
};

const delex: Handler = (session, words, context) => {
  const [, key, option, version] = words;
  const { keyspace } = context;
  if (words.length > 2 && (words.length !== 4 || option.toUpperCase() !== "IFVERSION")) {
    session.reply.error(syntaxError);
    return;
  }
  const may = words.length === 2 || keyspace.version(key) === version;
  session.reply.integer(may && keyspace.delete(key) ? 1 : 0);
};

const setWithTime =
  (fullName: string, unit: TimeUnit): Handler =>
  (session, words, context) => {
    const time = parseExpireTime(words[2], unit, context.keyspace.nowMs);
    if (refusedExpireTime(session, time, fullName)) return;
    writeValue(context, words[1], words[3], time);
    session.reply.simple("OK");
  };

const setnx: Handler = (session, words, context) => {
  const absent = !context.keyspace.has(words[1]);
  if (absent) context.keyspace.set(words[1], words[2], 0);
  session.reply.integer(absent ? 1 : 0);
};

const getset: Handler = (session, words, context) => {
  replyOld(session, context.keyspace.get(words[1]));
  context.keyspace.set(words[1], words[2], 0);
};

const getdel: Handler = (session, words, context) => {
  const value = context.keyspace.get(words[1]);
  replyOld(session, value);
  if (value !== undefined) context.keyspace.delete(words[1]);
};

const getex: Handler = (session, words, context) => {
  let persists = false;
  let kind: string | undefined;
  let expireText = "";
  for (let at = 2; at < words.length; at += 1) {
    const option = words[at]?.toUpperCase() ?? "";
    if (option === "PERSIST" && kind === undefined) persists = true;
    else if (expirations.has(option) && !persists && (kind ?? option) === option && at + 1 < words.length) {
      kind = option;
      at += 1;
      expireText = words[at] ?? "";
    } else {
      session.reply.error(syntaxError);
      return;
    }
  }
  const { keyspace } = context;
  const key = words[1];
  const value = keyspace.get(key);
  if (value === undefined) {
    session.reply.nil();
    return;
  }
  const expiration = expirations.get(kind ?? "");
  const time = expiration === undefined ? 0 : expireTimeOf(expireText, expiration, keyspace.nowMs);
  if (refusedExpireTime(session, time, "getex")) return;
  session.reply.bulk(value);
  if (time > 0) writeValue(context, key, value, time);
  else if (persists && (keyspace.expiresAt(key) ?? 0) > 0) keyspace.set(key, value, 0);
};

/** Checks what MSET is about to write, since the executor looks at a first key only. Undefined: fine. */
const refusedPairs = (words: Words, fullName: string): string | undefined => {
  if (words.length % 2 === 0) return wrongArity(fullName);
  let bytes = 0;
  for (let at = 1; at < words.length; at += 2) {
    const keyBytes = words[at]?.length ?? 0;
    if (keyBytes > keyBytesMax) return keyTooLong(keyBytes, keyBytesMax);
    bytes += keyBytes + (words[at + 1]?.length ?? 0);
  }
  // They travel in one frame, as an EXEC does. One pair alone may be as long as a SET.
  if (bytes > execBytesMax && words.length > 3) return `ERR ${fullName} of ${bytes} bytes, limit ${execBytesMax}`;
  return undefined;
};

const setPairs = (words: Words, context: Context): void => {
  for (let at = 1; at < words.length; at += 2) context.keyspace.set(words[at] ?? "", words[at + 1] ?? "", 0);
};

const mset: Handler = (session, words, context) => {
  const refusal = refusedPairs(words, "mset");
  if (refusal !== undefined) {
    session.reply.error(refusal);
    return;
  }
  setPairs(words, context);
  session.reply.simple("OK");
};

const msetnx: Handler = (session, words, context) => {
  const refusal = refusedPairs(words, "msetnx");
  if (refusal !== undefined) {
    session.reply.error(refusal);
    return;
  }
  for (let at = 1; at < words.length; at += 2) {
    if (context.keyspace.has(words[at] ?? "")) {
      session.reply.integer(0);
      return;
    }
  }
  setPairs(words, context);
  session.reply.integer(1);
};

const mget: Handler = (session, words, context) => {
  const values: (string | undefined)[] = [];
  let bytes = 0;
  for (let at = 1; at < words.length; at += 1) {
    const value = context.keyspace.get(words[at] ?? "");
    values.push(value);
    bytes += value?.length ?? 0;
  }
  if (bytes > replyBytesMax) {
    session.reply.error(`ERR the values have ${bytes} bytes, a reply at most ${replyBytesMax}: ask for fewer keys`);
    return;
  }
  session.reply.array(values.length);
  for (const value of values) {
    if (value === undefined) context.stats.keyspaceMisses += 1;
    else context.stats.keyspaceHits += 1;
    replyOld(session, value);
  }
};

const append: Handler = (session, words, context) => {
  const { keyspace } = context;
  const key = words[1];
  const old = keyspace.get(key) ?? "";
  if (old.length + words[2].length > valueBytesMax) {
    session.reply.error(stringTooLong);
    return;
  }
  // Appending nothing to a value that is there changes nothing, but creates one that is not.
  if (words[2] !== "" || !keyspace.has(key)) keyspace.set(key, old + words[2], keyspace.expiresAt(key) ?? 0);
  session.reply.integer(old.length + words[2].length);
};

const strlen: Handler = (session, words, context) => {
  session.reply.integer(context.keyspace.get(words[1])?.length ?? 0);
};

const getrange: Handler = (session, words, context) => {
  const first = parseIndex(words[2]);
  const last = parseIndex(words[3]);
  if (first === undefined || last === undefined) {
    session.reply.error(notAnInteger);
    return;
  }
  const value = context.keyspace.get(words[1]) ?? "";
  if (first < 0 && last < 0 && first > last) {
    session.reply.bulk("");
    return;
  }
  const start = Math.max(0, first < 0 ? value.length + first : first);
  const end = Math.max(0, last < 0 ? value.length + last : last);
  session.reply.bulk(start > end ? "" : value.slice(start, end + 1));
};

const setrange: Handler = (session, words, context) => {
  const { keyspace } = context;
  const key = words[1];
  const offset = parseIndex(words[2]);
  if (offset === undefined) {
    session.reply.error(notAnInteger);
    return;
  }
  if (offset < 0) {
    session.reply.error("ERR offset is out of range");
    return;
  }
  const part = words[3];
  const old = keyspace.get(key) ?? "";
  if (part === "") {
    session.reply.integer(old.length);
    return;
  }
  if (offset + part.length > valueBytesMax) {
    session.reply.error(stringTooLong);
    return;
  }
  const head = old.slice(0, offset).padEnd(offset, "\0");
  const value = head + part + old.slice(offset + part.length);
  keyspace.set(key, value, keyspace.expiresAt(key) ?? 0);
  session.reply.integer(value.length);
};

const lcs: Handler = (session, words, context) => {
  let onlyLength = false;
  let withIndexes = false;
  let withLengths = false;
  let matchLengthMin = 0;
  for (let at = 3; at < words.length; at += 1) {
    const option = words[at]?.toUpperCase();
    if (option === "LEN") onlyLength = true;
    else if (option === "IDX") withIndexes = true;
    else if (option === "WITHMATCHLEN") withLengths = true;
    else if (option === "MINMATCHLEN" && at + 1 < words.length) {
      at += 1;
      const value = parseInteger(words[at] ?? "");
      if (value === undefined) {
        session.reply.error(notAnInteger);
        return;
      }
      matchLengthMin = Math.max(0, Number(value));
    } else {
      session.reply.error(syntaxError);
      return;
    }
  }
  if (onlyLength && withIndexes) {
    session.reply.error("ERR If you want both the length and indexes, please just use IDX.");
    return;
  }
  const found = longestCommonSubsequence(context.keyspace.get(words[1]) ?? "", context.keyspace.get(words[2]) ?? "");
  const { reply } = session;
  if (found === undefined) {
    reply.error("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
  } else if (onlyLength) {
    reply.integer(found.text.length);
  } else if (!withIndexes) {
    reply.bulk(found.text);
  } else {
    const matches = found.matches.filter((match) => match.length >= matchLengthMin);
    reply.map(2);
    reply.bulk("matches");
    reply.array(matches.length);
    for (const match of matches) {
      reply.array(withLengths ? 3 : 2);
      for (const start of [match.aStart, match.bStart]) {
        reply.array(2);
        reply.integer(start);
        reply.integer(start + match.length - 1);
      }
      if (withLengths) reply.integer(match.length);
    }
    reply.bulk("len");
    reply.integer(found.text.length);
  }
};

export const stringHandlers: Handlers = {
  get,
  set,
  setex: setWithTime("setex", "seconds"),
  psetex: setWithTime("psetex", "milliseconds"),
  setnx,
  getset,
  getdel,
  delex,
  getex,
  mset,
  msetnx,
  mget,
  append,
  strlen,
  getrange,
  substr: getrange,
  setrange,
  lcs,
};
