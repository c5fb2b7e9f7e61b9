/**
 * The arithmetic of INCRBYFLOAT: x86's 80-bit long double, in BigInt.
 *
 * Redis adds in long double and prints with 17 digits behind the point, so `0.1 + 0.2` gives `0.3`. JavaScript's doubles
 * would give 0.30000000000000004. A value is `mantissa × 2^exponent` with a mantissa of at most 64 bits; every result is
 * rounded to that, half to even, as the processor does. Infinite and undefined values are refused: NaN is never stored
 * (CVE-2023-28856).
 */

interface LongDouble {
  /** Signed, at most 64 bits. Zero has exponent 0. */
  readonly mantissa: bigint;
  readonly exponent: number;
}

const mantissaBits = 64;
/** Greatest and least binary exponents of a mantissa taken as an integer. */
const exponentMax = 16_383 - 63;
const exponentMin = -16_445;
/** Redis's own bound on the text of a number. */
const textCharsMax = 5 * 1024;
/** Digits a decimal exponent may ask for: far beyond the type's 4932, and far below what would take time. */
const decimalExponentMax = 12_000;

const zero: LongDouble = { mantissa: 0n, exponent: 0 };

const bitLength = (value: bigint): number =>
  value.toString(16).length * 4 - Math.clz32(Number.parseInt(value.toString(16)[0] ?? "0", 16)) + 28;

/** `numerator / denominator × 2^exponent`, rounded to the type. Undefined: too great, or too small to be other than 0. */
const rounded = (numerator: bigint, denominator: bigint, exponent: number): LongDouble | undefined => {
  if (numerator === 0n) return zero;
  const negative = numerator < 0n;
  const magnitude = negative ? -numerator : numerator;
  // Scale so that the quotient has 65 or 66 bits: the mantissa and at least one bit to round by.
  let shift = bitLength(magnitude) - bitLength(denominator) - (mantissaBits + 1);
  if (exponent + shift < exponentMin - 2) shift = exponentMin - 2 - exponent;
  const top = shift < 0 ? magnitude << BigInt(-shift) : magnitude;
  const bottom = shift > 0 ? denominator << BigInt(shift) : denominator;
  let quotient = top / bottom;
  let inexact = quotient * bottom !== top;
  let scale = exponent + shift;
  let drop = Math.max(bitLength(quotient) - mantissaBits, exponentMin - scale);
  if (drop > 0) {
    const half = 1n << BigInt(drop - 1);
    const rest = quotient & ((1n << BigInt(drop)) - 1n);
    quotient >>= BigInt(drop);
    scale += drop;
    if (rest > half || (rest === half && (inexact || (quotient & 1n) === 1n))) quotient += 1n;
    inexact = true;
    drop = bitLength(quotient) - mantissaBits;
    if (drop > 0) {
      quotient >>= 1n;
      scale += 1;
    }
  }
  if (quotient === 0n) return undefined;
  if (scale + bitLength(quotient) - mantissaBits > exponentMax) return undefined;
  return { mantissa: negative ? -quotient : quotient, exponent: scale };
};

const decimalPattern = /^([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]+))?$/;
const infinityPattern = /^[+-]?inf(?:inity)?$/i;

/** Undefined: not a number. `Infinity` stands for both infinities. */
const parseLongDouble = (text: string): LongDouble | "infinity" | undefined => {
  if (text.length === 0 || text.length >= textCharsMax) return undefined;
  if (infinityPattern.test(text)) return "infinity";
  const match = decimalPattern.exec(text);
  if (match === null) return undefined;
  const [, sign, whole = "", fraction = "", exponentText = "0"] = match;
  if (whole === "" && fraction === "") return undefined;
  const digits = BigInt(whole + fraction) * (sign === "-" ? -1n : 1n);
  if (digits === 0n) return zero;
  const exponent = Number(exponentText) - fraction.length;
  if (Math.abs(exponent) > decimalExponentMax) return undefined;
  const power = 10n ** BigInt(Math.abs(exponent));
  return exponent >= 0 ? rounded(digits * power, 1n, 0) : rounded(digits, power, 0);
};

const sum = (a: LongDouble, b: LongDouble): LongDouble | undefined => {
  const exponent = Math.min(a.exponent, b.exponent);
  const total = (a.mantissa << BigInt(a.exponent - exponent)) + (b.mantissa << BigInt(b.exponent - exponent));
  return rounded(total, 1n, exponent);
};

const fractionDigits = 17;

/** As `%.17Lf` prints it, less the zeros at the end. */
const formatLongDouble = (value: LongDouble): string => {
  const negative = value.mantissa < 0n;
  const magnitude = negative ? -value.mantissa : value.mantissa;
  const scaled = magnitude * 10n ** BigInt(fractionDigits);
  let units: bigint;
  if (value.exponent >= 0) {
    units = scaled << BigInt(value.exponent);
  } else {
    const drop = BigInt(-value.exponent);
    const half = 1n << (drop - 1n);
    const rest = scaled & ((1n << drop) - 1n);
    units = scaled >> drop;
    if (rest > half || (rest === half && (units & 1n) === 1n)) units += 1n;
  }
  const text = units.toString().padStart(fractionDigits + 1, "0");
  const whole = text.slice(0, -fractionDigits);
  const fraction = text.slice(-fractionDigits).replace(/0+$/, "");
  const unsigned = fraction === "" ? whole : `${whole}.${fraction}`;
  return negative && unsigned !== "0" ? `-${unsigned}` : unsigned;
};

export type FloatSum =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly error: "not-a-float" | "not-finite" };

const notAFloat: FloatSum = { ok: false, error: "not-a-float" };
const notFinite: FloatSum = { ok: false, error: "not-finite" };

/** Adds two numbers given as text, as INCRBYFLOAT does. */
export const addFloats = (valueText: string, incrementText: string): FloatSum => {
  const value = parseLongDouble(valueText);
  const increment = parseLongDouble(incrementText);
  if (value === undefined || increment === undefined) return notAFloat;
  if (value === "infinity" || increment === "infinity") return notFinite;
  const total = sum(value, increment);
  return total === undefined ? notFinite : { ok: true, text: formatLongDouble(total) };
};
