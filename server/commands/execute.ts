/**
 * Runs one command of one connection: looks it up, checks words, login and whether the peer takes it now, queues it
 * inside MULTI, and calls its handler.
 *
 * The checks come in Redis's order, because clients see which error is first. For GET, SET and the like all this costs
 * one look into a map and some comparisons; nothing is allocated.
 *
 * A promise comes back only from commands that wait (WAIT, DIFF, FLUSHALL, KEYS on a big map). The port then runs no
 * further command of this connection until it resolves; others go on.
 */
import { keyBytesMax, queuedCommandBytesMax, queuedCommandsMax } from "../../protocol/limits.ts";
import type { Context, RunnableCommand, Words } from "./context.ts";
import {
  keyTooLong,
  loginRequired,
  refusedInSubscribeMode,
  unknownCommand,
  unknownSubcommand,
  wrongArity,
} from "./errors.ts";
import { CommandFigures } from "./figures.ts";
import { lookup } from "./lookup.ts";
import { runCounted, runWaiting } from "./run.ts";
import type { CommandHost, Session } from "./session.ts";
import { namesStrongKey, prepareStrong, strongInMulti } from "./strong.ts";
import { abortLine, discardTransaction } from "./transactions.ts";

export interface Executor {
  /** `words` are the command and its arguments, never empty; they must not change afterwards (MULTI keeps them). */
  (session: Session, words: readonly string[]): void | Promise<void>;
  readonly stats: CommandFigures;
}

export const makeExecutor = (host: CommandHost): Executor => {
  const stats = new CommandFigures();
  const context: Context = { host, keyspace: host.keyspace, stats, slowLog: host.slowLog, lookup, inExec: false };
  const { monitors, strong } = host;
  const queuedBytes = new WeakMap<readonly string[][], number>();

  /** Answers an error before the command ran. Inside MULTI it spoils the transaction. Undefined: no such command. */
  const reject = (session: Session, text: string, runnable: RunnableCommand | undefined): void => {
    if (runnable === undefined) stats.unknown += 1;
    else stats.refused[runnable.index] = (stats.refused[runnable.index] as number) + 1;
    let line = text;
    if (runnable?.fullName === "exec") {
      discardTransaction(session);
      line = abortLine(text);
    } else if (session.queue !== undefined) {
      session.queueBroken = true;
    }
    stats.countError(line);
    session.reply.error(line);
  };

  const queue = (session: Session, queued: string[][], words: readonly string[], runnable: RunnableCommand): void => {
    let bytes = queuedBytes.get(queued) ?? 0;
    for (const word of words) bytes += word.length;
    if (queued.length >= queuedCommandsMax || bytes > queuedCommandBytesMax) {
      reject(
        session,
        `ERR too many commands inside MULTI, limit ${queuedCommandsMax} of ${queuedCommandBytesMax} bytes`,
        runnable,
      );
      return;
    }
    queuedBytes.set(queued, bytes);
    queued.push([...words]);
    session.reply.simple("QUEUED");
  };

  /** Why the peer does not take this command now. */
  const refusal = (runnable: RunnableCommand, words: Words): string | undefined => {
    const text = host.readRefusal();
    if (text !== undefined || !runnable.writes) return text;
    if (runnable.grows && words[1].length > keyBytesMax) return keyTooLong(words[1].length, keyBytesMax);
    return host.writeRefusal(runnable.grows);
  };

  /** The same checks in the same order, then a round instead of the map. */
  const executeStrong = (
    session: Session,
    runnable: RunnableCommand,
    given: readonly string[],
  ): void | Promise<void> => {
    const { fullName } = runnable;
    const prepared = prepareStrong(runnable, given, strong);
    if (typeof prepared === "string" && prepared.startsWith("ERR wrong number"))
      return reject(session, prepared, runnable);
    if (!session.authenticated && host.checkPassword !== undefined) return reject(session, loginRequired, runnable);
    if (session.subscriber !== undefined && session.reply.protocol !== 3) {
      return reject(session, refusedInSubscribeMode(fullName), runnable);
    }
    const refused = host.readRefusal() ?? (runnable.writes ? host.strongWriteRefusal(runnable.grows) : undefined);
    if (refused !== undefined) return reject(session, refused, runnable);
    if (session.queue !== undefined) return reject(session, strongInMulti, runnable);
    if (typeof prepared === "string") return reject(session, prepared, runnable);
    const nowMs = host.wallMs();
    session.lastCommand = fullName;
    session.lastCommandAtMs = nowMs;
    if (monitors.active && runnable.monitored) monitors.show(prepared.words, fullName, session.address, nowMs);
    return runWaiting(session, runnable, context, prepared.run);
  };

  const execute = (session: Session, given: readonly string[]): void | Promise<void> => {
    const runnable = lookup(given);
    if (runnable === undefined) return reject(session, unknownCommand(given), undefined);
    if (typeof runnable === "string") {
      return reject(session, unknownSubcommand(runnable, given[1] ?? ""), undefined);
    }
    const { fullName } = runnable;
    if (runnable.hasKeys && namesStrongKey(runnable, given, strong)) return executeStrong(session, runnable, given);
    if (given.length < runnable.wordsMin || given.length > runnable.wordsMax) {
      return reject(session, wrongArity(fullName), runnable);
    }
    // The words the command requires are there: the arity was just checked, and no handler reads beyond it unasked.
    const words = given as Words;
    if (!session.authenticated && !runnable.beforeAuth && host.checkPassword !== undefined) {
      return reject(session, loginRequired, runnable);
    }
    if (session.subscriber !== undefined && !runnable.inSubscribeMode && session.reply.protocol !== 3) {
      return reject(session, refusedInSubscribeMode(fullName), runnable);
    }
    if (session.queue !== undefined && runnable.refusedInMulti) {
      return reject(session, "ERR Command not allowed inside a transaction", runnable);
    }
    if (!runnable.whileLoading) {
      const text = refusal(runnable, words);
      if (text !== undefined) return reject(session, text, runnable);
    }
    if (session.queue !== undefined && !runnable.immediateInMulti)
      return queue(session, session.queue, words, runnable);

    const nowMs = host.wallMs();
    session.lastCommand = fullName;
    session.lastCommandAtMs = nowMs;
    context.keyspace.begin(nowMs);
    const running = runCounted(session, runnable, words, context);
    // Behind the run, so that EXEC stands behind its commands.
    if (monitors.active && runnable.monitored) monitors.show(words, fullName, session.address, nowMs);
    if (!runnable.writes) return running;
    if (running === undefined) {
      session.lastWriteSeq = host.lastSeq;
      return undefined;
    }
    return running.then(() => {
      session.lastWriteSeq = host.lastSeq;
    });
  };

  return Object.assign(execute, { stats });
};
