/** A server that is somebody else's program: started on its own data directory and log file, killed, started again. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Server } from "./servers.ts";
import type { Stage } from "./stage.ts";

/** Undefined when the program is not installed. */
export const programVersion = (program: "redis-server" | "redis-benchmark" | "etcd"): string | undefined => {
  const { error, stdout } = spawnSync(program, ["--version"], { encoding: "utf8" });
  if (error !== undefined) return undefined;
  return /\d+\.\d+\.\d+/.exec(stdout)?.[0] ?? "unknown";
};

export class ProgramServer implements Server {
  readonly name: string;
  readonly tcpPort: number;
  readonly dataDirectory: string;
  readonly #stage: Stage;
  readonly #program: string;
  readonly #arguments: readonly string[];
  readonly #env: NodeJS.ProcessEnv;
  readonly #logFile: string;
  #process: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  #ending = false;
  failure: string | undefined;

  /** `arguments` is told the data directory, which is made below `directory`, beside the log file. */
  constructor(
    stage: Stage,
    given: {
      readonly program: string;
      readonly arguments: (dataDirectory: string) => readonly string[];
      readonly env?: NodeJS.ProcessEnv;
      readonly name: string;
      readonly tcpPort: number;
      readonly directory: string;
    },
  ) {
    this.#stage = stage;
    this.#program = given.program;
    this.name = given.name;
    this.tcpPort = given.tcpPort;
    this.dataDirectory = join(given.directory, given.name);
    this.#arguments = given.arguments(this.dataDirectory);
    this.#env = given.env ?? process.env;
    this.#logFile = join(given.directory, `${given.name}.log`);
    mkdirSync(this.dataDirectory, { mode: 0o700 });
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  spawn(): void {
    if (this.#process !== undefined) throw new Error(`${this.#program} ${this.name} runs already`);
    const logFile = openSync(this.#logFile, "a");
    // Its own group: Ctrl-C in the terminal is the bench's business.
    const child = spawn(this.#program, this.#arguments, {
      stdio: ["ignore", logFile, logFile],
      detached: true,
      env: this.#env,
    });
    closeSync(logFile);
    this.#process = child;
    this.#ending = false;
    const { pid } = child;
    if (pid !== undefined) this.#stage.began(pid);
    this.#ended = new Promise((resolve) => {
      const onEnd = (why: string): void => {
        if (pid !== undefined) this.#stage.ended(pid);
        this.#process = undefined;
        if (!this.#ending) this.failure = why;
        resolve();
      };
      child.on("error", (error) => onEnd(error.message));
      child.on("exit", (code, signal) => onEnd(`${signal ?? `exit code ${code}`}: ${this.#lastLine()}`));
    });
  }

  #lastLine(): string {
    return readFileSync(this.#logFile, "utf8").trim().split("\n").at(-1) ?? "";
  }

  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    this.#ending = true;
    this.#process?.kill(signal);
    await this.#ended;
  }
}
