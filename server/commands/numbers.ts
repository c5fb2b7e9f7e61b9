/**
 * Integers as Redis reads them: decimal, no sign but `-`, no leading zeros, no spaces, within 64 bits.
 *
 * A number comes back where it is exact, a bigint where it is not.
 */

import { notAnInteger } from "./errors.ts";

export const int64Max = 9_223_372_036_854_775_807n;
export const int64Min = -9_223_372_036_854_775_808n;

const strictDecimal = /^(?:0|-?[1-9][0-9]{0,18})$/;

/** Undefined for anything that is not a 64-bit integer in its one canonical form. */
export const parseInteger = (text: string): number | bigint | undefined => {
  if (!strictDecimal.test(text)) return undefined;
  const value = Number(text);
  if (Number.isSafeInteger(value)) return value;
  const exact = BigInt(text);
  return exact > int64Max || exact < int64Min ? undefined : exact;
};

/** The same, always as a bigint: deltas of counters. */
export const parseInteger64 = (text: string): bigint | undefined => {
  const value = parseInteger(text);
  return value === undefined ? undefined : BigInt(value);
};

/** A position or count within the range of numbers: a greater one saturates, which is what indexes do with it anyway. */
export const parseIndex = (text: string): number | undefined => {
  const value = parseInteger(text);
  if (typeof value !== "bigint") return value;
  return value > 0n ? Number.MAX_SAFE_INTEGER : Number.MIN_SAFE_INTEGER;
};

const int32Max = 2 ** 31 - 1;

/** Redis's C ints, of which database numbers are. A string is the error line. */
export const parseInt32 = (text: string): number | string => {
  const value = parseInteger(text);
  if (value === undefined) return notAnInteger;
  if (value > int32Max || value < -int32Max - 1) {
    return `ERR value is out of range, value must between ${-int32Max - 1} and ${int32Max}`;
  }
  return Number(value);
};
