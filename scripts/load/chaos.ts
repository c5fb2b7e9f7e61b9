/** `--chaos`: peers of the own cluster die by SIGKILL one after the other, and come back a little later. */
import { setTimeout as delay } from "node:timers/promises";
import { failureText } from "../../server/cli/failure.ts";
import type { OwnCluster } from "./own-cluster.ts";

export interface ChaosEvent {
  /** `performance.now()`. */
  readonly atMs: number;
  readonly peer: string;
  /** `back`: it takes reads and writes again. */
  readonly what: "killed" | "started" | "back";
}

export interface ChaosOptions {
  readonly peers: number;
  /** From one blow to the next; the first comes after half of it. */
  readonly everyMs: number;
  /** How long a peer stays dead. */
  readonly downMs: number;
  /** No blow from then on: the last one is to be seen to its end. */
  readonly untilMs: number;
  readonly onEvent: (event: ChaosEvent) => void;
}

/** Resolves when all peers are back. Rejects when one does not come back. Never two at a time: two of three is no quorum. */
export const runChaos = async (cluster: OwnCluster, options: ChaosOptions, stop: AbortSignal): Promise<void> => {
  const { peers, everyMs, downMs, untilMs, onEvent } = options;
  const startedMs = performance.now();
  for (let blow = 0; ; blow++) {
    const atMs = startedMs + everyMs / 2 + blow * everyMs;
    if (!(await pause(atMs - performance.now(), stop)) || performance.now() > untilMs) return;
    const victim = blow % peers;
    const tell = (what: ChaosEvent["what"]): void =>
      onEvent({ atMs: performance.now(), peer: cluster.nameOf(victim), what });
    tell("killed");
    await cluster.kill(victim);
    await pause(downMs, stop);
    tell("started");
    await cluster.restart(victim);
    tell("back");
  }
};

/** False when it was stopped meanwhile. */
const pause = async (ms: number, stop: AbortSignal): Promise<boolean> => {
  try {
    if (ms > 0) await delay(ms, undefined, { signal: stop });
    return !stop.aborted;
  } catch (error) {
    if (stop.aborted) return false;
    throw new Error(failureText(error), { cause: error });
  }
};
