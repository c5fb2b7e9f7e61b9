/**
 * The version of a key: a text that is equal at two peers, or at two times, only if the key shows the same there.
 *
 * Of a plain value it is the dot of the write that made it, `name.incarnation:seq`, the `origin` and `seq` that a change of
 * a watch carries. Of a counter the base's dot, if there is one, and a hash of what was added to it: `dot/hash`, `/hash`.
 * What it is made of is told for caches; clients compare it and nothing else. It fits between the quotes of an ETag.
 */
import type { OriginId } from "./words.ts";

export const dotVersion = (origin: OriginId, seq: number): string => `${origin}:${seq}`;

/** `dot` is empty where only increments are left. */
export const counterVersion = (dot: string, hash: string): string => `${dot}/${hash}`;
