/**
 * Version vectors: per origin number, the highest contiguous seq. Absent is 0. Arrays, since origins are numbered.
 */
import { type ByteReader, type ByteWriter, DecodeFault } from "../../protocol/bytes.ts";
import { originBytesMin, readOrigin, writeOrigin } from "../../protocol/frames.ts";
import type { OriginTable } from "./origins.ts";

export type VersionVector = number[];
export type ReadonlyVersionVector = readonly number[];

export const at = (vv: ReadonlyVersionVector, origin: number): number => vv[origin] ?? 0;

export const setAt = (vv: VersionVector, origin: number, seq: number): void => {
  while (vv.length <= origin) vv.push(0);
  vv[origin] = seq;
};

/** Is every dot of `b` covered by `a`? */
export const covers = (a: ReadonlyVersionVector, b: ReadonlyVersionVector): boolean => {
  for (let origin = 0; origin < b.length; origin++) {
    if (at(b, origin) > at(a, origin)) return false;
  }
  return true;
};

export const equal = (a: ReadonlyVersionVector, b: ReadonlyVersionVector): boolean => covers(a, b) && covers(b, a);

/** Pointwise maximum. */
export const join = (a: ReadonlyVersionVector, b: ReadonlyVersionVector): VersionVector => {
  const out: VersionVector = [];
  for (let origin = 0; origin < Math.max(a.length, b.length); origin++) {
    out.push(Math.max(at(a, origin), at(b, origin)));
  }
  return out;
};

/** Pointwise minimum. */
export const meet = (a: ReadonlyVersionVector, b: ReadonlyVersionVector): VersionVector => {
  const out: VersionVector = [];
  for (let origin = 0; origin < Math.min(a.length, b.length); origin++) {
    out.push(Math.min(at(a, origin), at(b, origin)));
  }
  return out;
};

/** How many ops `a` covers that `b` does not. */
export const opsAhead = (a: ReadonlyVersionVector, b: ReadonlyVersionVector): number => {
  let ops = 0;
  for (let origin = 0; origin < a.length; origin++) ops += Math.max(0, at(a, origin) - at(b, origin));
  return ops;
};

export const isZero = (vv: ReadonlyVersionVector): boolean => vv.every((seq) => seq === 0);

/** varint n, then n x (origin, varint seq); origins that wrote nothing leave no trace. */
export const writeVersionVector = (out: ByteWriter, vv: ReadonlyVersionVector, origins: OriginTable): void => {
  let count = 0;
  for (const seq of vv) if (seq > 0) count++;
  out.varint(count);
  for (let origin = 0; origin < vv.length; origin++) {
    if (at(vv, origin) === 0) continue;
    writeOrigin(out, origins.id(origin));
    out.varint(at(vv, origin));
  }
};

export const readVersionVector = (input: ByteReader, origins: OriginTable): VersionVector => {
  const count = input.count(originBytesMin + 1);
  const vv: VersionVector = [];
  for (let index = 0; index < count; index++) {
    const origin = origins.number(readOrigin(input));
    const seq = input.varint();
    if (seq < 1) throw new DecodeFault("a version vector names no seq 0");
    setAt(vv, origin, seq);
  }
  return vv;
};
