/** Version vectors as a gateway sees them: what a peer, a session or the feed has seen, by origin. */
import { parsePosition } from "../../protocol/position.ts";

export type Vector = ReadonlyMap<string, number>;

export const emptyVector: Vector = new Map();

/** Of a position's text; undefined when it is none. */
export const parseVector = (position: string): Vector | undefined => {
  const parsed = parsePosition(position);
  return parsed === undefined ? undefined : new Map(parsed);
};

/** Whoever has seen `vector` has seen all of `wanted`. */
export const covers = (vector: Vector, wanted: Vector): boolean => {
  for (const [origin, seq] of wanted) if ((vector.get(origin) ?? 0) < seq) return false;
  return true;
};

export const joinVectors = (a: Vector, b: Vector): Vector => {
  if (a.size === 0) return b;
  const joined = new Map(a);
  for (const [origin, seq] of b) if ((joined.get(origin) ?? 0) < seq) joined.set(origin, seq);
  return joined;
};
