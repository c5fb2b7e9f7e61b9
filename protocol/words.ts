/** The identifiers that cross wires and files: branded, made only by their parsers. */

declare const brand: unique symbol;
export type Branded<Base, Name extends string> = Base & { readonly [brand]: Name };

/** A peer's stable name, chosen by the operator: 1 to 32 of `A-Z a-z 0-9 _ -`. */
export type PeerName = Branded<string, "PeerName">;

/**
 * One run of a peer: 15 characters of base 36, the start stamp (11) and random (4). Every start of the process makes a
 * new one. Of two incarnations of a name the byte-wise greater is the newer.
 */
export type Incarnation = Branded<string, "Incarnation">;

/** `name.incarnation`: who made a write. Compared byte-wise. */
export type OriginId = Branded<string, "OriginId">;

/** Hybrid-logical-clock time of a write: `(ms since 2020) * 4096 + counter`, a safe integer. */
export type Stamp = number;

/** Number of a record in one peer's log; starts at 1 and only grows. */
export type Lsn = number;

/** Keys that begin so are strong, unless the cluster was born with other prefixes. */
export const strongPrefixesDefault: readonly string[] = ["strong:"];

const peerNamePattern = /^[A-Za-z0-9_-]{1,32}$/;
const incarnationPattern = /^[0-9a-z]{15}$/;

export const parsePeerName = (text: string): PeerName | undefined =>
  peerNamePattern.test(text) ? (text as PeerName) : undefined;

export const parseIncarnation = (text: string): Incarnation | undefined =>
  incarnationPattern.test(text) ? (text as Incarnation) : undefined;

export const originId = (name: PeerName, incarnation: Incarnation): OriginId => `${name}.${incarnation}` as OriginId;

export const parseOriginId = (
  text: string,
): { readonly name: PeerName; readonly incarnation: Incarnation } | undefined => {
  const dotAt = text.indexOf(".");
  const name = parsePeerName(text.slice(0, dotAt));
  const incarnation = parseIncarnation(text.slice(dotAt + 1));
  return dotAt > 0 && name !== undefined && incarnation !== undefined ? { name, incarnation } : undefined;
};
