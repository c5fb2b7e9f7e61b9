/**
 * Expiry times in commands: seconds or milliseconds, from now or absolute, to absolute Unix milliseconds.
 *
 * Redis computes in 64 bits and refuses what overflows; the map holds a safe integer, so we refuse beyond 2^53 - 1 (the
 * year 287,396) with the same words.
 */
import { parseInteger } from "./numbers.ts";

export type TimeUnit = "seconds" | "milliseconds";

/** `not-an-integer` and `invalid` have different error lines. */
export type ExpireTime = number | "not-an-integer" | "invalid";

const toAbsoluteMs = (value: number | bigint, unit: TimeUnit, baseMs: number): number => {
  if (typeof value === "bigint") return value > 0n ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  return (unit === "seconds" ? value * 1000 : value) + baseMs;
};

/** For values that are written with an expiry (SET EX, GETEX, SETEX): the number given must be above zero. */
export const parseExpireTime = (text: string, unit: TimeUnit, baseMs: number): ExpireTime => {
  const value = parseInteger(text);
  if (value === undefined) return "not-an-integer";
  const atMs = toAbsoluteMs(value, unit, baseMs);
  return value > 0 && Number.isSafeInteger(atMs) ? atMs : "invalid";
};

const secondsMin = -9_223_372_036_854_775n;

/** For EXPIRE and its kin, where a time in the past is fine and deletes the key. */
export const parseExpireTimeOrPast = (text: string, unit: TimeUnit, baseMs: number): ExpireTime => {
  const value = parseInteger(text);
  if (value === undefined) return "not-an-integer";
  if (unit === "seconds" && value < secondsMin) return "invalid";
  const atMs = toAbsoluteMs(value, unit, baseMs);
  if (atMs < 0) return -1;
  return Number.isSafeInteger(atMs) ? atMs : "invalid";
};
