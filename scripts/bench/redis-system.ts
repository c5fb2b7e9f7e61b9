/**
 * redis-server as the issue sets it up: a primary, two replicas, an append-only file synced every second, no snapshots.
 * All else is its default, but that a replica is served without the usual five seconds of waiting for others.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { RespConnection } from "./resp-connection.ts";
import { checkServers, freePort, type Server, type System, withFreePorts } from "./servers.ts";
import type { Stage } from "./stage.ts";
import { until } from "./wait.ts";

const startMsMax = 60_000;

/** Undefined when the program is not installed. */
export const programVersion = (program: "redis-server" | "redis-benchmark"): string | undefined => {
  const { error, stdout } = spawnSync(program, ["--version"], { encoding: "utf8" });
  if (error !== undefined) return undefined;
  return /\d+\.\d+\.\d+/.exec(stdout)?.[0] ?? "unknown";
};

class RedisServer implements Server {
  readonly name: string;
  readonly tcpPort: number;
  readonly dataDirectory: string;
  readonly #stage: Stage;
  readonly #logFile: string;
  readonly #primaryPort: number | undefined;
  #process: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  #ending = false;
  failure: string | undefined;

  constructor(stage: Stage, directory: string, name: string, port: number, primaryPort: number | undefined) {
    this.#stage = stage;
    this.name = name;
    this.tcpPort = port;
    this.dataDirectory = join(directory, name);
    this.#logFile = join(directory, `${name}.log`);
    this.#primaryPort = primaryPort;
    mkdirSync(this.dataDirectory);
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  spawn(): void {
    if (this.#process !== undefined) throw new Error(`redis ${this.name} runs already`);
    const logFile = openSync(this.#logFile, "a");
    const child = spawn(
      "redis-server",
      [
        ...["--port", String(this.tcpPort), "--bind", "127.0.0.1", "--dir", this.dataDirectory],
        ...["--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--repl-diskless-sync-delay", "0"],
        ...(this.#primaryPort === undefined ? [] : ["--replicaof", "127.0.0.1", String(this.#primaryPort)]),
      ],
      // Its own group: Ctrl-C in the terminal is the bench's business.
      { stdio: ["ignore", logFile, logFile], detached: true },
    );
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

  /** Fields of INFO; empty while it does not answer. */
  async info(): Promise<ReadonlyMap<string, string>> {
    try {
      const connection = await RespConnection.open(this.tcpPort);
      try {
        const text = await connection.call("INFO");
        if (typeof text !== "string") return new Map();
        return new Map(
          text.split("\r\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)]),
        );
      } finally {
        connection.close();
      }
    } catch {
      return new Map();
    }
  }
}

export class RedisSystem implements System {
  readonly name = "redis";
  readonly servers: readonly RedisServer[];

  private constructor(servers: readonly RedisServer[]) {
    this.servers = servers;
  }

  /** A primary and count - 1 replicas. Resolves when all replicas follow. */
  static start(stage: Stage, { count }: { readonly count: number }): Promise<RedisSystem> {
    return withFreePorts(async () => {
      const directory = stage.makeDirectory("redis");
      const servers: RedisServer[] = [];
      for (let i = 0; i < count; i++)
        servers.push(
          new RedisServer(stage, directory, i === 0 ? "primary" : `replica${i}`, await freePort(), servers[0]?.tcpPort),
        );
      const system = new RedisSystem(servers);
      try {
        for (const server of servers) server.spawn();
        await until("Redis up, replicas following", () => system.isSettled(), {
          timeoutMs: startMsMax,
          check: () => checkServers(system),
        });
      } catch (error) {
        await system.stop();
        throw error;
      }
      return system;
    });
  }

  async isIdentical(): Promise<boolean> {
    const infos = await Promise.all(this.servers.map((server) => server.info()));
    return followsPrimary(infos);
  }

  async isSettled(): Promise<boolean> {
    const infos = await Promise.all(this.servers.map((server) => server.info()));
    const busy = ["loading", "aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress"];
    return followsPrimary(infos) && infos.every((info) => busy.every((field) => info.get(field) === "0"));
  }

  checkpointed(): Promise<void> {
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.end("SIGKILL")));
  }
}

/** Redis has no digests: equal replication offsets over links that are up are its word that all hold the same. */
const followsPrimary = ([primary, ...replicas]: readonly ReadonlyMap<string, string>[]): boolean => {
  const offset = primary?.get("master_repl_offset");
  return (
    offset !== undefined &&
    replicas.every((info) => info.get("master_link_status") === "up" && info.get("slave_repl_offset") === offset)
  );
};
