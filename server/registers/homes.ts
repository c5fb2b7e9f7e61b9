/**
 * Which peer a key is best served by: rendezvous hashing. A hint only. Whoever always asks the same peer makes its rounds
 * short (one proposer never duels with itself) and its background work done once; nothing rests on it.
 */
import type { PeerName } from "../../protocol/words.ts";

const weight = (key: string, peer: string): number => {
  let hash = 0x811c9dc5;
  for (let index = 0; index < key.length; index++) hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193);
  for (let index = 0; index < peer.length; index++) hash = Math.imul(hash ^ peer.charCodeAt(index), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
};

/** How many peers come before `peer` for this key: 0 is its home. */
export const rankOf = (key: string, peer: PeerName, peers: readonly PeerName[]): number => {
  const own = weight(key, peer);
  let rank = 0;
  for (const other of peers) {
    const theirs = weight(key, other);
    if (theirs > own || (theirs === own && other < peer)) rank++;
  }
  return rank;
};
