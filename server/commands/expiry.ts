/**
 * EXPIRE and its kin. An expiry is part of the value, so changing it writes the value this peer sees again (last writer
 * wins); a time in the past deletes the key.
 */
import type { Handler, Handlers } from "./context.ts";
import { invalidExpireTime, notAnInteger, quoted } from "./errors.ts";
import { parseExpireTimeOrPast, type TimeUnit } from "./expire-time.ts";

interface Conditions {
  readonly onlyIfNone: boolean;
  readonly onlyIfSome: boolean;
  readonly onlyIfGreater: boolean;
  readonly onlyIfLess: boolean;
}

const noConditions: Conditions = { onlyIfNone: false, onlyIfSome: false, onlyIfGreater: false, onlyIfLess: false };

/** A string is the error line. */
const parseConditions = (words: readonly string[]): Conditions | string => {
  if (words.length === 3) return noConditions;
  const options = words.slice(3).map((word) => word.toUpperCase());
  const unknownAt = options.findIndex((option) => !["NX", "XX", "GT", "LT"].includes(option));
  if (unknownAt >= 0) return `ERR Unsupported option ${quoted(words[unknownAt + 3] ?? "").slice(1, -1)}`;
  const onlyIfNone = options.includes("NX");
  const onlyIfSome = options.includes("XX");
  const onlyIfGreater = options.includes("GT");
  const onlyIfLess = options.includes("LT");
  if (onlyIfNone && (onlyIfSome || onlyIfGreater || onlyIfLess)) {
    return "ERR NX and XX, GT or LT options at the same time are not compatible";
  }
  if (onlyIfGreater && onlyIfLess) return "ERR GT and LT options at the same time are not compatible";
  return { onlyIfNone, onlyIfSome, onlyIfGreater, onlyIfLess };
};

/** `currentMs` 0: no expiry, which GT and LT take for an infinite one. */
const conditionsHold = (conditions: Conditions, currentMs: number, wantedMs: number): boolean => {
  if (conditions.onlyIfNone && currentMs !== 0) return false;
  if (conditions.onlyIfSome && currentMs === 0) return false;
  if (conditions.onlyIfGreater && (currentMs === 0 || wantedMs <= currentMs)) return false;
  return !(conditions.onlyIfLess && currentMs !== 0 && wantedMs >= currentMs);
};

const expireWith =
  (fullName: string, unit: TimeUnit, absolute: boolean): Handler =>
  (session, words, context) => {
    const { keyspace } = context;
    const key = words[1];
    const conditions = parseConditions(words);
    if (typeof conditions === "string") {
      session.reply.error(conditions);
      return;
    }
    const wantedMs = parseExpireTimeOrPast(words[2], unit, absolute ? 0 : keyspace.nowMs);
    if (typeof wantedMs !== "number") {
      session.reply.error(wantedMs === "not-an-integer" ? notAnInteger : invalidExpireTime(fullName));
      return;
    }
    const currentMs = keyspace.expiresAt(key);
    if (currentMs === undefined || !conditionsHold(conditions, currentMs, wantedMs)) {
      session.reply.integer(0);
      return;
    }
    if (wantedMs <= keyspace.nowMs) keyspace.delete(key);
    // An equal expiry is an equal value: nothing to write, and no concurrent write to displace.
    else if (wantedMs !== currentMs) keyspace.set(key, keyspace.get(key) ?? "", wantedMs);
    session.reply.integer(1);
  };

/** -2 no such key, -1 no expiry, else what `convert` makes of it. */
const timeWith =
  (convert: (expiresAtMs: number, nowMs: number) => number): Handler =>
  (session, words, context) => {
    const { keyspace } = context;
    const expiresAtMs = keyspace.expiresAt(words[1]);
    if (expiresAtMs === undefined) session.reply.integer(-2);
    else if (expiresAtMs === 0) session.reply.integer(-1);
    else session.reply.integer(convert(expiresAtMs, keyspace.nowMs));
  };

const persist: Handler = (session, words, context) => {
  const { keyspace } = context;
  const key = words[1];
  const has = (keyspace.expiresAt(key) ?? 0) > 0;
  if (has) keyspace.set(key, keyspace.get(key) ?? "", 0);
  session.reply.integer(has ? 1 : 0);
};

export const expiryHandlers: Handlers = {
  expire: expireWith("expire", "seconds", false),
  pexpire: expireWith("pexpire", "milliseconds", false),
  expireat: expireWith("expireat", "seconds", true),
  pexpireat: expireWith("pexpireat", "milliseconds", true),
  ttl: timeWith((expiresAtMs, nowMs) => Math.floor((Math.max(0, expiresAtMs - nowMs) + 500) / 1000)),
  pttl: timeWith((expiresAtMs, nowMs) => Math.max(0, expiresAtMs - nowMs)),
  expiretime: timeWith((expiresAtMs) => Math.floor((expiresAtMs + 500) / 1000)),
  pexpiretime: timeWith((expiresAtMs) => expiresAtMs),
  persist,
};
