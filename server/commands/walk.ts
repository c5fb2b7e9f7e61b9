/**
 * KEYS and SCAN: they walk through the whole map, in slices.
 *
 * SCAN ends a call early rather than hold up other clients: past its time, or past the work a hostile pattern costs.
 * KEYS takes as many slices as it needs, with the event loop between them, so its answer is no snapshot; inside EXEC it
 * does all at once. Every key that stays during the walk is seen.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { keysSliceMs, patternBytesMax, replyBytesMax, scanCountMax } from "../../protocol/limits.ts";
import type { Context, Handler, Handlers } from "./context.ts";
import { notAnInteger, syntaxError } from "./errors.ts";
import { Glob } from "./glob.ts";
import { parseInteger } from "./numbers.ts";
import type { Session } from "./session.ts";

const patternTooLong = `ERR pattern is longer than ${patternBytesMax} bytes`;
const patternTooCostly = "ERR pattern takes too many steps to match; use fewer '*'";
const keysTooMany = `ERR the keys have more than ${replyBytesMax} bytes, the most of one reply; use SCAN`;

/** Keys looked at between two looks at the clock, when a pattern is matched and when not. */
const keysPerStepMatching = 16;
const keysPerStep = 256;

// ---- SCAN -------------------------------------------------------------------------------------------------------------

interface ScanOptions {
  readonly cursor: number;
  readonly count: number;
  readonly glob: Glob | undefined;
  /** TYPE asked for something we have none of. */
  readonly nothingMatches: boolean;
}

/**
 * Cursors from here on go through strong keys, which come behind the map: those of this peer's acceptor, which may be
 * stale. Below, they are the map's own.
 */
const strongCursorMin = 2 ** 52;

/** One step through all keys; 0 at the end. */
const step = (cursor: number, count: number, visit: (key: string) => void, context: Context): number => {
  const { strong } = context.host;
  if (cursor < strongCursorMin) {
    const next = context.keyspace.scan(cursor, count, visit);
    return next === 0 && strong.scanStart > 0 ? strongCursorMin + strong.scanStart : next;
  }
  const next = strong.scan(cursor - strongCursorMin, count, visit);
  return next === 0 ? 0 : strongCursorMin + next;
};

const cursorPattern = /^[0-9]{1,20}$/;

/** A string is the error line. */
const parseScan = (words: readonly string[]): ScanOptions | string => {
  const cursorText = words[1] ?? "";
  if (!cursorPattern.test(cursorText) || BigInt(cursorText) >= 1n << 64n) return "ERR invalid cursor";
  let count = 10;
  let glob: Glob | undefined;
  let nothingMatches = false;
  for (let at = 2; at < words.length; at += 2) {
    const option = words[at]?.toUpperCase();
    const value = words[at + 1];
    if (value === undefined) return syntaxError;
    if (option === "COUNT") {
      const parsed = parseInteger(value);
      if (parsed === undefined) return notAnInteger;
      if (parsed < 1) return syntaxError;
      count = Math.min(Number(parsed), scanCountMax);
    } else if (option === "MATCH") {
      if (value.length > patternBytesMax) return patternTooLong;
      glob = value === "*" ? undefined : new Glob(value);
    } else if (option === "TYPE") {
      nothingMatches = value.toLowerCase() !== "string";
    } else {
      return syntaxError;
    }
  }
  return { cursor: Number(cursorText), count, glob, nothingMatches };
};

const scan: Handler = (session, words, context) => {
  const options = parseScan(words);
  if (typeof options === "string") {
    session.reply.error(options);
    return;
  }
  const { glob } = options;
  const found: string[] = [];
  let looked = 0;
  let undecided = false;
  let bytes = 0;
  // No cursor of ours is beyond the safe integers: such a walk is over.
  let cursor = Number.isSafeInteger(options.cursor) ? options.cursor : 0;
  if (cursor === options.cursor) {
    const deadlineMs = performance.now() + keysSliceMs;
    const visit = (key: string): void => {
      looked += 1;
      if (options.nothingMatches) return;
      const matches = glob === undefined || glob.matches(key);
      if (matches === undefined) undecided = true;
      if (matches !== true) return;
      found.push(key);
      bytes += key.length;
    };
    do {
      const most = glob === undefined ? keysPerStep : keysPerStepMatching;
      cursor = step(cursor, Math.min(most, options.count - looked), visit, context);
    } while (
      cursor !== 0 &&
      looked < options.count &&
      bytes < replyBytesMax / 4 &&
      !undecided &&
      performance.now() < deadlineMs
    );
  }
  if (undecided) {
    session.reply.error(patternTooCostly);
    return;
  }
  session.reply.array(2);
  session.reply.bulk(String(cursor));
  session.reply.array(found.length);
  for (const key of found) session.reply.bulk(key);
};

// ---- KEYS -------------------------------------------------------------------------------------------------------------

/** One KEYS on its way through the map. */
class KeysWalk {
  /** The error line, once there is one. */
  failed: string | undefined;
  readonly #context: Context;
  readonly #glob: Glob | undefined;
  /** A set: while the map changes under the walk, a key may be visited twice. */
  readonly #found = new Set<string>();
  #bytes = 0;
  #cursor = 0;

  constructor(context: Context, glob: Glob | undefined) {
    this.#context = context;
    this.#glob = glob;
  }

  /** Goes on until the end or the deadline. True: there is more to do. */
  step(deadlineMs: number): boolean {
    const count = this.#glob === undefined ? keysPerStep : keysPerStepMatching;
    do {
      this.#cursor = step(this.#cursor, count, (key) => this.#visit(key), this.#context);
    } while (this.#cursor !== 0 && this.failed === undefined && performance.now() < deadlineMs);
    return this.#cursor !== 0 && this.failed === undefined;
  }

  #visit(key: string): void {
    const matches = this.#glob === undefined || this.#glob.matches(key);
    if (matches === undefined) this.failed = patternTooCostly;
    if (matches !== true || this.#found.has(key)) return;
    this.#found.add(key);
    this.#bytes += key.length;
    if (this.#bytes > replyBytesMax) this.failed = keysTooMany;
  }

  answer(session: Session): void {
    if (this.failed !== undefined) {
      session.reply.error(this.failed);
      return;
    }
    session.reply.array(this.#found.size);
    for (const key of this.#found) session.reply.bulk(key);
  }
}

const finishWalk = async (session: Session, walk: KeysWalk, context: Context): Promise<void> => {
  do {
    await nextTurn();
    if (session.closing) return;
    // The peer may have begun to install another peer's state meanwhile; then the map is not to be read.
    const refusal = context.host.readRefusal();
    if (refusal !== undefined) {
      session.reply.error(refusal);
      return;
    }
    context.keyspace.begin(context.host.wallMs());
  } while (walk.step(performance.now() + keysSliceMs));
  walk.answer(session);
};

const keys: Handler = (session, words, context) => {
  const pattern = words[1];
  if (pattern.length > patternBytesMax) {
    session.reply.error(patternTooLong);
    return undefined;
  }
  const glob = pattern === "*" ? undefined : new Glob(pattern);
  const literal = glob?.literal;
  if (literal !== undefined && !context.host.strong.isStrong(literal)) {
    const found = context.keyspace.has(literal);
    session.reply.array(found ? 1 : 0);
    if (found) session.reply.bulk(literal);
    return undefined;
  }
  const walk = new KeysWalk(context, glob);
  if (context.inExec) {
    walk.step(Number.POSITIVE_INFINITY);
  } else if (walk.step(performance.now() + keysSliceMs)) {
    return finishWalk(session, walk, context);
  }
  walk.answer(session);
  return undefined;
};

export const walkHandlers: Handlers = { keys, scan };
