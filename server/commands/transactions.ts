/**
 * MULTI, EXEC, DISCARD, WATCH, UNWATCH.
 *
 * EXEC runs its commands in one go, synchronously: no other command and no frame of another peer comes between, they
 * share one stamp and travel in one frame. What could stop it is judged before the first of them runs (a bad command,
 * a watched key that changed, writes not taken, too many bytes), so it does all or nothing.
 */
import { execBytesMax, flushInExecKeysMax, replyBytesSoft, watchedKeysMax } from "../../protocol/limits.ts";
import type { Context, Handler, Handlers, RunnableCommand, Words } from "./context.ts";
import { boundWrittenBytes } from "./exec-bytes.ts";
import { runCounted } from "./run.ts";
import type { Session } from "./session.ts";

/** Leaves the transaction and forgets the watched keys. */
export const discardTransaction = (session: Session): void => {
  session.queue = undefined;
  session.queueBroken = false;
  session.watched = undefined;
};

const multi: Handler = (session) => {
  if (session.queue !== undefined) {
    session.reply.error("ERR MULTI calls can not be nested");
    return;
  }
  session.queue = [];
  session.queueBroken = false;
  session.reply.simple("OK");
};

const discard: Handler = (session) => {
  if (session.queue === undefined) {
    session.reply.error("ERR DISCARD without MULTI");
    return;
  }
  discardTransaction(session);
  session.reply.simple("OK");
};

const watch: Handler = (session, words, context) => {
  if (session.queue !== undefined) {
    session.reply.error("ERR WATCH inside MULTI is not allowed");
    return;
  }
  const watched = session.watched ?? new Map<string, string>();
  if (watched.size + words.length - 1 > watchedKeysMax) {
    session.reply.error(`ERR too many watched keys, limit ${watchedKeysMax}`);
    return;
  }
  for (let at = 1; at < words.length; at += 1) {
    const key = words[at] ?? "";
    if (!watched.has(key)) watched.set(key, context.keyspace.watchToken(key));
  }
  session.watched = watched;
  session.reply.simple("OK");
};

const unwatch: Handler = (session) => {
  session.watched = undefined;
  session.reply.simple("OK");
};

const watchedChanged = (session: Session, context: Context): boolean => {
  for (const [key, token] of session.watched ?? []) {
    if (context.keyspace.watchToken(key) !== token) return true;
  }
  return false;
};

interface Queued {
  readonly runnable: RunnableCommand;
  readonly words: Words;
}

const resolveQueued = (words: readonly string[], context: Context): Queued => {
  const runnable = context.lookup(words);
  // It was found and had its words when it was queued, and the table does not change.
  if (typeof runnable !== "object") throw new Error(`queued command ${words[0]} is not in the table`);
  return { runnable, words: words as Words };
};

/** Why none of it may run now; undefined: it may. */
const refusal = (queued: readonly Queued[], context: Context): string | undefined => {
  const { host } = context;
  if (queued.some(({ runnable }) => !runnable.whileLoading)) {
    const text = host.readRefusal();
    if (text !== undefined) return text;
  }
  if (!queued.some(({ runnable }) => runnable.writes)) return undefined;
  const text = host.writeRefusal(queued.some(({ runnable }) => runnable.grows));
  if (text !== undefined) return text;
  const flushes = queued.some(({ runnable }) => runnable.fullName === "flushall" || runnable.fullName === "flushdb");
  if (flushes && context.keyspace.size > flushInExecKeysMax) {
    return `FLUSHALL of ${context.keyspace.size} keys inside MULTI, limit ${flushInExecKeysMax}`;
  }
  const bytes = boundWrittenBytes(
    queued.map(({ words }) => words),
    context.keyspace,
  );
  return bytes > execBytesMax ? `it may write ${bytes} bytes, limit ${execBytesMax}` : undefined;
};

/** The line of a transaction that was given up. `reason` loses its general code, as in Redis. */
export const abortLine = (reason: string): string =>
  `EXECABORT Transaction discarded because of: ${reason.startsWith("ERR ") ? reason.slice(4) : reason}`;

const exec: Handler = (session, _words, context) => {
  if (session.queue === undefined) {
    session.reply.error("ERR EXEC without MULTI");
    return;
  }
  if (session.queueBroken) {
    discardTransaction(session);
    session.reply.error("EXECABORT Transaction discarded because of previous errors.");
    return;
  }
  if (watchedChanged(session, context)) {
    discardTransaction(session);
    session.reply.nilArray();
    return;
  }
  const queued = session.queue.map((words) => resolveQueued(words, context));
  discardTransaction(session);
  const reason = refusal(queued, context);
  if (reason !== undefined) {
    session.reply.error(abortLine(reason));
    return;
  }
  context.inExec = true;
  try {
    session.reply.array(queued.length);
    for (const { runnable, words } of queued) runQueued(session, runnable, words, context);
  } finally {
    context.inExec = false;
  }
};

const runQueued = (session: Session, runnable: RunnableCommand, words: Words, context: Context): void => {
  // A transaction of a hundred thousand GETs of a large value must not fill memory. Writes are bounded already and
  // must run, so only what changes nothing is turned down.
  if (!runnable.writes && session.queuedOutputBytes > replyBytesSoft) {
    session.reply.error(`ERR the replies of this EXEC have more than ${replyBytesSoft} bytes`);
    return;
  }
  const { host } = context;
  void runCounted(session, runnable, words, context);
  if (host.monitors.active && runnable.monitored)
    host.monitors.show(words, runnable.fullName, session.address, context.keyspace.nowMs);
  if (runnable.writes) session.lastWriteSeq = host.lastSeq;
};

export const transactionHandlers: Handlers = { multi, exec, discard, watch, unwatch };
