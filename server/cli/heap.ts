/**
 * How V8 is told to keep its heap.
 *
 * `--heap-mb`: V8 takes the size of its heap at its start and never after, so a process whose heap is not the one asked
 * for starts itself once more with the right flag, and stands by: it passes signals on and ends as the other ends.
 */
import { spawn } from "node:child_process";
import { setFlagsFromString } from "node:v8";
import { CommandFailure } from "./failure.ts";

const heapFlag = "--max-old-space-size";

export const heapIsSet = (heapMb: number): boolean =>
  heapMb === 0 ||
  process.execArgv.includes(`${heapFlag}=${heapMb}`) ||
  process.env["NODE_OPTIONS"]?.includes(heapFlag) === true;

export const heapArguments = (heapMb: number): string[] => (heapMb === 0 ? [] : [`${heapFlag}=${heapMb}`]);

/**
 * A peer's young objects are collected by its own thread. With helpers the thread waits for each of them to be given a
 * core: on two busy cores collections of 2 ms took 60, and SET with three peers was 8 % slower.
 */
export const collectWithoutHelpers = (): void => setFlagsFromString("--no-parallel-scavenge");

/** Resolves with the exit code of the second process. */
export const runAgainWithHeap = (heapMb: number): Promise<number> =>
  new Promise((resolve, reject) => {
    const kept = process.execArgv.filter((argument) => !argument.startsWith(heapFlag));
    const [script = "", ...given] = process.argv.slice(1);
    // A group of its own, so that Ctrl-C in the terminal reaches it once, through us. The channel tells it of our death.
    const child = spawn(process.execPath, [...kept, ...heapArguments(heapMb), script, ...given], {
      stdio: ["inherit", "inherit", "inherit", "ipc"],
      detached: true,
    });
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2"] as const)
      process.on(signal, () => child.kill(signal));
    child.on("error", (error) => reject(new CommandFailure(`node cannot be started again: ${error.message}`)));
    child.on("exit", (code, signal) => resolve(code ?? (signal === null ? 1 : 128)));
  });
