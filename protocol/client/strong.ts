/**
 * What a client knows of strong keys: which they are, and how what it writes to them happens once.
 *
 * Every command that writes one is given an operation id (`OPID id`) before it is sent. When its peer dies or cannot say
 * what became of it, the very same words go to another peer: the register knows the id, and answers what it answered then.
 * So any command on a strong key may be sent again, INCR and conditions too.
 */
import { findCommand } from "../commands.ts";
import type { Bytes } from "./values.ts";

export type CommandWords = readonly (Bytes | number | bigint)[];

/** `prefixes` are ASCII. */
export const isStrongKey = (key: Bytes | number | bigint, prefixes: readonly string[]): boolean => {
  const text = key instanceof Uint8Array ? String.fromCharCode(...key.subarray(0, 64)) : String(key);
  return prefixes.some((prefix) => text.startsWith(prefix));
};

const isWord = (word: Bytes | number | bigint | undefined, text: string): boolean =>
  typeof word === "string" && word.toUpperCase() === text;

/** Whether any key among them is strong. */
export const namesStrongKey = (words: CommandWords, prefixes: readonly string[]): boolean => {
  if (!words.some((word) => isStrongKey(word, prefixes))) return false;
  const keys = findCommand(String(words[0]))?.keys;
  if (keys === undefined || keys.first === 0) return false;
  const end = keys.last < 0 ? words.length + keys.last : Math.min(keys.last, words.length - 1);
  for (let at = keys.first; at <= end; at += keys.step) {
    if (isStrongKey(words[at] as Bytes, prefixes)) return true;
  }
  return false;
};

/** With an id, where the command writes and its caller has not named it already. */
export const withOperationId = (words: CommandWords, id: string): CommandWords => {
  const command = findCommand(String(words[0]));
  if (command === undefined || !command.flags.includes("write")) return words;
  // As the peer tells it: behind all words the command must have.
  const at = words.length - 2;
  return at >= Math.abs(command.arity) && isWord(words[at], "OPID") ? words : [...words, "OPID", id];
};

const idDigits = "0123456789abcdefghijklmnopqrstuvwxyz";
const idLength = 16;

/** 82 random bits as text: no two clients, and no two holders of a lock, make the same. */
export const randomId = (): string => {
  const bytes = crypto.getRandomValues(new Uint8Array(idLength));
  // 256 is no multiple of 36: some digits are a little likelier, which costs less than half a bit in all.
  return Array.from(bytes, (byte) => idDigits[byte % idDigits.length]).join("");
};

/** `client.count`: far below the 64 bytes a peer takes. */
export class OperationIds {
  readonly #client = randomId();
  #count = 0;

  next(): string {
    this.#count += 1;
    return `${this.#client}.${this.#count.toString(36)}`;
  }
}
