/**
 * A position: how far somebody has seen the history, as text. A version vector, one `origin:seq` per origin that wrote
 * something, joined by commas, in byte order: `a.0abc…:12,b.0abd…:7`. Empty: nothing was seen.
 *
 * Peers give it, clients keep it and give it back, to the same peer or another: to go on with a watch where it stood, or
 * to be shown nothing older than what they saw. A client need not look into it.
 */

import { positionBytesMax } from "./limits.ts";
import type { WireVector } from "./link-messages.ts";
import { type OriginId, parseOriginId } from "./words.ts";

export const formatPosition = (vector: WireVector): string =>
  vector
    .map(([origin, seq]) => `${origin}:${seq}`)
    .sort()
    .join(",");

/** Undefined when it is none. */
export const parsePosition = (text: string): WireVector | undefined => {
  if (text === "") return [];
  if (text.length > positionBytesMax) return undefined;
  const vector: [OriginId, number][] = [];
  for (const part of text.split(",")) {
    const colonAt = part.indexOf(":");
    const origin = part.slice(0, colonAt);
    const digits = part.slice(colonAt + 1);
    const seq = Number(digits);
    if (colonAt < 1 || parseOriginId(origin) === undefined) return undefined;
    if (!/^[1-9][0-9]{0,15}$/.test(digits) || !Number.isSafeInteger(seq)) return undefined;
    vector.push([origin as OriginId, seq]);
  }
  return vector;
};
