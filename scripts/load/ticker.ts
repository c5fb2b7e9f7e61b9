/**
 * Wakes this thread when ops are due, to about a tenth of a millisecond. Node's own timers know whole milliseconds only,
 * which is longer than most answers take; and spinning would take the core that the peers need.
 *
 * So a thread of its own sleeps (a futex takes fractions) and sends a word. A word not yet heard is not followed by another.
 */
import { Worker } from "node:worker_threads";

/** Ticks are at least so far apart: what is due in between goes with the next answer that comes, or the next tick. */
const tickMsMin = 0.25;

const [heard, stopped] = [0, 1];

/** JavaScript in a string: a worker from a file would need another path from dist/ than from the sources. */
const program = `
const { parentPort, workerData: { shared, startEpochMs, stepMs } } = require("node:worker_threads");
const flags = new Int32Array(shared);
const elapsed = () => performance.timeOrigin + performance.now() - startEpochMs;
for (;;) {
  const nextMs = (Math.floor(elapsed() / stepMs) + 1) * stepMs;
  Atomics.wait(flags, ${stopped}, 0, Math.max(0.05, nextMs - elapsed()));
  if (Atomics.load(flags, ${stopped}) !== 0) break;
  if (elapsed() < 0) continue;
  if (Atomics.compareExchange(flags, ${heard}, 0, 1) === 0) parentPort.postMessage(0);
}
`;

export interface Ticker {
  stop(): Promise<void>;
}

/** From `startMs` (`performance.now()`) on, at every multiple of `stepMs`, or of the shortest step that makes sense. */
export const startTicker = (
  { startMs, stepMs }: { readonly startMs: number; readonly stepMs: number },
  onTick: () => void,
): Ticker => {
  const shared = new SharedArrayBuffer(8);
  const flags = new Int32Array(shared);
  const worker = new Worker(program, {
    eval: true,
    workerData: {
      shared,
      startEpochMs: performance.timeOrigin + startMs,
      stepMs: Math.max(tickMsMin, stepMs),
    },
  });
  worker.on("message", () => {
    Atomics.store(flags, heard, 0);
    onTick();
  });
  const failed = new Promise<void>((resolve) => worker.on("exit", () => resolve()));
  worker.on("error", (error) => {
    throw error;
  });
  return {
    stop: async () => {
      Atomics.store(flags, stopped, 1);
      Atomics.notify(flags, stopped);
      await failed;
    },
  };
};
