/**
 * Runs one command's handler and counts it: what, with what end, how long.
 *
 * Reading a clock twice costs about 3 % of a pipelined SET. So a call whose work is bounded (one key, a short value: GET,
 * SET, INCR, EXPIRE and the like) is timed once in 31 and counted for all of them; everything else is timed each time, and
 * costs so much itself that it does not matter. With `slowlog-log-slower-than` below 1,000 us every call is timed.
 *
 * The time is that of the handler: reading the request, waiting for other connections, for the disk or for other peers
 * is not in it. A command that answers later (KEYS of many keys, FLUSHALL) is timed until its reply, during which others
 * ran; WAIT and DIFF, whose whole purpose is to wait, are not timed. A garbage collection hits whoever runs: in a call that
 * is not timed it shows in LATENCY's `event-loop` alone.
 */
import { performance } from "node:perf_hooks";
import { briefArgumentBytesMax } from "../../protocol/limits.ts";
import type { ReplyWriter } from "../../protocol/reply.ts";
import type { Context, RunnableCommand, Words } from "./context.ts";
import type { CommandFigures } from "./figures.ts";
import type { Session } from "./session.ts";

/** SET key value PX n NX. */
const briefWordsMax = 6;

export const runCounted = (
  session: Session,
  runnable: RunnableCommand,
  words: Words,
  context: Context,
): void | Promise<void> => {
  const { stats, slowLog } = context;
  const { index } = runnable;
  const { reply } = session;
  const errorsBefore = reply.errors;
  stats.calls[index] = (stats.calls[index] as number) + 1;
  const isBrief =
    runnable.brief &&
    words.length <= briefWordsMax &&
    (words.length < 3 || words[2].length <= briefArgumentBytesMax) &&
    !slowLog.timesEach;
  const timedFor = isBrief ? stats.timedFor(index) : runnable.waits ? 0 : 1;
  const beganMs = timedFor > 0 ? performance.now() : 0;
  const running = runnable.run(session, words, context);
  if (running === undefined) {
    if (timedFor > 0) noteTime(beganMs, timedFor, session, runnable, words, context);
    if (reply.errors !== errorsBefore) noteError(reply, errorsBefore, index, stats);
    return undefined;
  }
  return running.then(() => {
    if (timedFor > 0) noteTime(beganMs, timedFor, session, runnable, words, context);
    if (reply.errors !== errorsBefore) noteError(reply, errorsBefore, index, stats);
  });
};

/** Counts a call that waits for other peers, which is all its time. */
export const runWaiting = (
  session: Session,
  { index }: RunnableCommand,
  { stats }: Context,
  run: (session: Session) => Promise<void>,
): Promise<void> => {
  const { reply } = session;
  const errorsBefore = reply.errors;
  stats.calls[index] = (stats.calls[index] as number) + 1;
  return run(session).then(() => {
    if (reply.errors !== errorsBefore) noteError(reply, errorsBefore, index, stats);
  });
};

const noteTime = (
  beganMs: number,
  timedFor: number,
  session: Session,
  runnable: RunnableCommand,
  words: Words,
  { stats, slowLog, host }: Context,
): void => {
  const tookMs = performance.now() - beganMs;
  stats.durations[runnable.index]?.note(tookMs * 1000, timedFor);
  if (runnable.logged) slowLog.note(tookMs * 1000, { words, fullName: runnable.fullName }, session, host.wallMs());
  host.latencyEvents.note("command", tookMs, host.wallMs());
};

/** Takes the errors back from the count: those of a command inside EXEC are not EXEC's. */
const noteError = (reply: ReplyWriter, errorsBefore: number, index: number, stats: CommandFigures): void => {
  reply.errors = errorsBefore;
  stats.failed[index] = (stats.failed[index] as number) + 1;
  stats.countError(reply.lastError);
};
