/**
 * Everything the bench (or the load tool) starts and writes: its processes, its one temporary directory, and their end.
 *
 * The data is worth nothing, so the end is SIGKILL and rm, synchronously, in the process's exit handler: that is the one
 * place every way out passes (done, failed, thrown, signalled). The watchdog covers being killed with -9.
 */
import { mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { say } from "./wait.ts";
import { killAndRemove, startWatchdog, type Watchdog } from "./watchdog.ts";

export class Stage {
  readonly directory: string;
  readonly #keep: boolean;
  readonly #pids = new Set<number>();
  readonly #watchdog: Watchdog;
  #directories = 0;

  /** `prefix`: of the directory's name. `exitOnSignals`: false when somebody else ends the process on a signal. */
  constructor({
    keep,
    prefix = "chorus-bench-",
    exitOnSignals = true,
  }: {
    readonly keep: boolean;
    readonly prefix?: string;
    readonly exitOnSignals?: boolean;
  }) {
    this.directory = mkdtempSync(join(tmpdir(), prefix));
    this.#keep = keep;
    this.#watchdog = startWatchdog(keep ? undefined : this.directory);
    process.on("exit", () => this.#close());
    if (!exitOnSignals) return;
    for (const [signal, code] of [
      ["SIGINT", 130],
      ["SIGTERM", 143],
      ["SIGHUP", 129],
    ] as const)
      process.on(signal, () => process.exit(code));
  }

  makeDirectory(name: string): string {
    const path = join(this.directory, `${++this.#directories}-${name}`);
    mkdirSync(path);
    return path;
  }

  began(pid: number): void {
    this.#pids.add(pid);
    this.#watchdog.began(pid);
  }

  ended(pid: number): void {
    this.#pids.delete(pid);
    this.#watchdog.ended(pid);
  }

  #close(): void {
    killAndRemove(this.#pids, this.#keep ? undefined : this.directory);
    this.#watchdog.release();
    if (this.#keep) say(`kept: ${this.directory}`);
  }
}
