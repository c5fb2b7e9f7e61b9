/**
 * How many bytes a transaction may write at most, told before any of it runs.
 *
 * A frame is never split inside an EXEC, so an EXEC must fit one. The words of a command alone do not tell: APPEND writes
 * the whole value again, COPY one that another command of the same transaction wrote. So this walks through the commands
 * with a table of how long each touched value may be by then. It may say too much (a SET NX that will not happen), never
 * too little.
 */
import type { Keyspace } from "./session.ts";

/** The longest text of a counter. */
const counterBytes = 20;
/** What INCRBYFLOAT adds to the longer of the two texts: the point, 17 digits, a carry, a sign. */
const floatMoreBytes = 20;
/** The longest text of INCRBYFLOAT, which `1e4932` alone is enough for: 4932 digits and the same. */
const floatBytesMax = 5000;
/** Part of a number with an exponent, or such a number: the text may be shorter than what it makes. */
const exponentPart = /^[-+0-9.]*[eE][-+0-9.]*$/;

class Sizes {
  bytes = 0;
  /** Some word of the transaction may be (part of) a number with an exponent. */
  exponents = false;
  readonly #keyspace: Keyspace;
  readonly #known = new Map<string, number>();

  constructor(keyspace: Keyspace) {
    this.#keyspace = keyspace;
  }

  of(key: string): number {
    return this.#known.get(key) ?? this.#keyspace.get(key)?.length ?? 0;
  }

  write(key: string, valueBytes: number): void {
    // A shorter value may not come about (a condition): keep the longer one.
    this.#known.set(key, Math.max(valueBytes, this.of(key)));
    this.bytes += key.length + valueBytes;
  }

  /** The value is written as it is: with another expiry, or under another key. */
  rewrite(key: string, from: string): void {
    this.write(key, this.of(from));
  }

  delete(key: string): void {
    this.bytes += key.length;
  }
}

type Bound = (sizes: Sizes, words: readonly string[], keyspace: Keyspace) => void;

const word = (words: readonly string[], at: number): string => words[at] ?? "";

const setsThird: Bound = (sizes, words) => sizes.write(word(words, 1), word(words, 2).length);
const setsFourth: Bound = (sizes, words) => sizes.write(word(words, 1), word(words, 3).length);
const rewrites: Bound = (sizes, words) => sizes.rewrite(word(words, 1), word(words, 1));
const counts: Bound = (sizes, words) => sizes.write(word(words, 1), counterBytes);
const moves: Bound = (sizes, words) => {
  sizes.rewrite(word(words, 2), word(words, 1));
  sizes.delete(word(words, 1));
};
const setsPairs: Bound = (sizes, words) => {
  for (let at = 1; at < words.length; at += 2) sizes.write(word(words, at), word(words, at + 1).length);
};
const deletes: Bound = (sizes, words) => {
  for (let at = 1; at < words.length; at += 1) sizes.delete(word(words, at));
};
const flushes: Bound = (sizes, _words, keyspace) => {
  let cursor = 0;
  do {
    cursor = keyspace.scan(cursor, 1000, (key) => sizes.delete(key));
  } while (cursor !== 0);
};

/** Every command flagged `write`; a test holds this list and the table together. */
export const writeBounds: ReadonlyMap<string, Bound> = new Map<string, Bound>([
  ["set", setsThird],
  ["setnx", setsThird],
  ["getset", setsThird],
  ["setex", setsFourth],
  ["psetex", setsFourth],
  ["mset", setsPairs],
  ["msetnx", setsPairs],
  ["append", (sizes, words) => sizes.write(word(words, 1), sizes.of(word(words, 1)) + word(words, 2).length)],
  [
    "setrange",
    (sizes, words) => {
      const end = (Number(word(words, 2)) || 0) + word(words, 3).length;
      sizes.write(word(words, 1), Math.max(sizes.of(word(words, 1)), end));
    },
  ],
  ["incr", counts],
  ["decr", counts],
  ["incrby", counts],
  ["decrby", counts],
  [
    "incrbyfloat",
    (sizes, words, keyspace) => {
      const key = word(words, 1);
      const expands = sizes.exponents || exponentPart.test((keyspace.get(key) ?? "").slice(0, floatBytesMax));
      const longer = Math.max(sizes.of(key), word(words, 2).length) + floatMoreBytes;
      sizes.write(key, expands ? floatBytesMax : Math.min(longer, floatBytesMax));
    },
  ],
  ["getdel", deletes],
  ["delex", (sizes, words) => sizes.delete(word(words, 1))],
  ["cas", () => {}],
  ["del", deletes],
  ["delete", deletes],
  ["unlink", deletes],
  ["getex", rewrites],
  ["expire", rewrites],
  ["pexpire", rewrites],
  ["expireat", rewrites],
  ["pexpireat", rewrites],
  ["persist", rewrites],
  ["rename", moves],
  ["renamenx", moves],
  ["copy", (sizes, words) => sizes.rewrite(word(words, 2), word(words, 1))],
  ["flushall", flushes],
  ["flushdb", flushes],
]);

/** The most bytes of keys and values that these commands may write. The keyspace has been begun. */
export const boundWrittenBytes = (queue: readonly (readonly string[])[], keyspace: Keyspace): number => {
  const sizes = new Sizes(keyspace);
  sizes.exponents = queue.some((words) => words.some((text) => text.length < floatBytesMax && exponentPart.test(text)));
  for (const words of queue) writeBounds.get(word(words, 0).toLowerCase())?.(sizes, words, keyspace);
  return sizes.bytes;
};
