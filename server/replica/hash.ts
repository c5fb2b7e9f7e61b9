/** Hashes of latin1 strings for sharding and the digest: multiplicative, 32 bits a lane, equal on every machine. */
import { crc32 } from "node:zlib";

const prime1 = 0x01000193;

/** FNV-1a with a final mix, so that low and high bits are both usable. */
export const hashText = (text: string, seed: number): number => {
  let hash = seed | 0;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), prime1);
  return mix(hash) >>> 0;
};

/** The finaliser of MurmurHash3. */
export const mix = (value: number): number => {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
};

/** Beyond this many bytes the CRC of zlib is faster than a loop in JavaScript. */
const longTextBytes = 2048;

/** Both lanes of the last hashLanes() call: two numbers without an object. */
export const lanes = { first: 0, second: 0 };

/** Hashes `text` into two lanes, seeded by the caller with all else that belongs to it. Result in `lanes`. */
export const hashLanes = (text: string, seed1: number, seed2: number): void => {
  let first = seed1 | 0;
  let second = seed2 | 0;
  if (text.length > longTextBytes) {
    const bytes = Buffer.from(text, "latin1");
    first = mix(first ^ crc32(bytes));
    second = mix(second ^ crc32(bytes, 0x9e3779b9) ^ Math.imul(text.length, 0x27d4eb2f));
  } else {
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index);
      first = Math.imul(first ^ code, prime1);
      second = Math.imul(second + code, 0x27d4eb2f) ^ (second >>> 15);
    }
  }
  lanes.first = mix(first);
  lanes.second = mix(second);
};

/** Hashes one total: its actor's first seq and the amount not observed. Seeds and result as with hashLanes(). */
export const hashTotal = (firstSeq: number, amount: number | bigint, seed1: number, seed2: number): void => {
  if (typeof amount === "bigint") {
    hashLanes(`${firstSeq}:${amount}`, seed1, seed2);
    return;
  }
  const high = Math.floor(amount / 4294967296) ^ Math.imul(Math.floor(firstSeq / 4294967296), prime1);
  lanes.first = mix(mix(seed1 ^ (firstSeq >>> 0)) ^ (amount >>> 0) ^ high);
  lanes.second = mix(mix(seed2 ^ (amount >>> 0)) ^ (firstSeq >>> 0) ^ Math.imul(high, 0x27d4eb2f));
};
