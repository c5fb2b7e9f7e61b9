/** Waiting for a condition with a deadline, and telling a person what takes long. Progress goes to standard error. */
import { setTimeout as delay } from "node:timers/promises";

/** What takes longer than this is talked about. */
const talkAfterMs = 2000;
const talkPauseMsMax = 30_000;

export const say = (words: string): void => {
  process.stderr.write(`${words}\n`);
};

/** Says nothing in the first two seconds, then something after ever longer pauses, at least every half minute. */
export const nowAndThen = (): ((words: () => string) => void) => {
  let lastMs = performance.now();
  let pauseMs = talkAfterMs;
  return (words) => {
    if (performance.now() - lastMs < pauseMs) return;
    lastMs = performance.now();
    pauseMs = Math.min(talkPauseMsMax, pauseMs * 2);
    say(words());
  };
};

export interface Patience {
  readonly timeoutMs: number;
  readonly intervalMs?: number;
  /** Throws when there is no sense in waiting on: a server died. */
  readonly check?: () => void;
}

/** Resolves once the condition holds. Rejects, naming what was waited for, at the deadline. */
export const until = async (
  what: string,
  holds: () => boolean | Promise<boolean>,
  { timeoutMs, intervalMs = 20, check }: Patience,
): Promise<void> => {
  const startedMs = performance.now();
  const talk = nowAndThen();
  for (;;) {
    check?.();
    if (await holds()) return;
    const waitedMs = performance.now() - startedMs;
    if (waitedMs > timeoutMs) throw new Error(`${what}: not within ${Math.round(timeoutMs / 1000)} s`);
    talk(() => `  waiting: ${what} (${Math.round(waitedMs / 1000)} s)`);
    await delay(intervalMs);
  }
};
