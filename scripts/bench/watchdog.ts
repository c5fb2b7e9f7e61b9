/**
 * What cleans up when the bench itself is killed with -9: a tiny process that knows which processes and which directory
 * are the bench's, and that hears the channel to it close. On every other way out the bench cleans up by itself and ends
 * this first.
 */
import { type ChildProcess, fork } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

type Order = { readonly began: number } | { readonly ended: number };

export interface Watchdog {
  began(pid: number): void;
  ended(pid: number): void;
  release(): void;
}

export const startWatchdog = (directory: string | undefined): Watchdog => {
  // Its own group: Ctrl-C in the terminal is the bench's business.
  const child: ChildProcess = fork(fileURLToPath(import.meta.url), directory === undefined ? [] : [directory], {
    detached: true,
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  child.unref();
  child.channel?.unref();
  child.on("error", () => undefined);
  const tell = (order: Order): void => {
    if (child.connected) child.send(order, () => undefined);
  };
  return {
    began: (pid) => tell({ began: pid }),
    ended: (pid) => tell({ ended: pid }),
    release: () => void child.kill("SIGKILL"),
  };
};

const watch = (directory: string | undefined): void => {
  const pids = new Set<number>();
  process.on("message", (order: Order) => {
    if ("began" in order) pids.add(order.began);
    else pids.delete(order.ended);
  });
  process.on("disconnect", () => {
    killAndRemove(pids, directory);
    process.exit(0);
  });
};

/** Synchronous, for exit handlers. What is gone already is no failure. */
export const killAndRemove = (pids: Iterable<number>, directory: string | undefined): void => {
  for (const pid of pids) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended by itself.
    }
  }
  // A killed process may still be writing its last file.
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
};

if (process.argv[1] === fileURLToPath(import.meta.url)) watch(process.argv[2]);
