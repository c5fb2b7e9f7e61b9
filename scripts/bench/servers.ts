/**
 * What the figures see of either system: servers that can be started, killed and emptied, and the question whether all
 * of them hold the same and are at rest. Writes go to the first server: Redis's primary, and one of Chorus's peers.
 */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ErrorReply, RespConnection } from "./resp-connection.ts";
import { until } from "./wait.ts";

export interface Server {
  readonly name: string;
  readonly tcpPort: number;
  readonly dataDirectory: string;
  /** Undefined while it is down. */
  readonly pid: number | undefined;
  /** Why it ended though nobody asked it to; undefined while all is well. */
  readonly failure: string | undefined;
  /** Returns at once; who wants to know when it serves asks it. */
  spawn(): void;
  end(signal: "SIGTERM" | "SIGKILL"): Promise<void>;
}

export interface System {
  readonly name: "chorus" | "redis" | "etcd";
  readonly servers: readonly Server[];
  /** All hold the same and nothing runs in the background: no checkpoint, no rewrite of the log. */
  isSettled(): Promise<boolean>;
  /** All hold the same. */
  isIdentical(): Promise<boolean>;
  /** What is written by now is in a checkpoint. Redis has none: its append-only file is read from the start. */
  checkpointed(timeoutMs: number): Promise<void>;
  stop(): Promise<void>;
}

/** Throws when a server ended by itself. */
export const checkServers = ({ name, servers }: System): void => {
  for (const server of servers)
    if (server.failure !== undefined) throw new Error(`${name} ${server.name} ended by itself: ${server.failure}`);
};

const settleMsMax = 90_000;

export const settled = (system: System): Promise<void> =>
  until(`${system.name} at rest, all servers identical`, () => system.isSettled(), {
    timeoutMs: settleMsMax,
    intervalMs: 50,
    check: () => checkServers(system),
  });

export const serverAt = ({ name, servers }: System, index: number): Server => {
  const server = servers[index];
  if (server === undefined) throw new Error(`${name} has no server ${index}`);
  return server;
};

/** Resolves when a GET of the key is answered with a value; refusals (connection refused, LOADING) are asked again. */
export const untilReads = async (system: System, server: Server, key: string, timeoutMs: number): Promise<void> => {
  let connection: RespConnection | undefined;
  const reads = async (): Promise<boolean> => {
    try {
      connection ??= await RespConnection.open(server.tcpPort);
      const reply = await connection.call("GET", key);
      if (reply === null) throw new MissingKey(`${system.name} ${server.name} answers, but has no ${key}`);
      return !(reply instanceof ErrorReply);
    } catch (error) {
      if (error instanceof MissingKey) throw error;
      connection?.close();
      connection = undefined;
      return false;
    }
  };
  try {
    await until(`${system.name} ${server.name} answers`, reads, {
      timeoutMs,
      intervalMs: 2,
      check: () => checkServers(system),
    });
  } finally {
    connection?.close();
  }
};

class MissingKey extends Error {}

/** Removes what a server has stored; it must be down. */
export const emptyDirectory = (server: Server): void => {
  if (server.pid !== undefined) throw new Error(`${server.name} runs; its directory cannot be emptied`);
  for (const entry of readdirSync(server.dataDirectory))
    rmSync(join(server.dataDirectory, entry), { recursive: true, force: true });
};

/** Bytes of memory the process holds. The system's own figure, asked in the same way for both. */
export const residentBytes = ({ name, pid }: Server): number => {
  if (pid === undefined) throw new Error(`${name} is down`);
  try {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
    if (kib !== undefined) return Number(kib) * 1024;
  } catch {
    // Not Linux.
  }
  return Number(execFileSync("ps", ["-o", "rss=", "-p", String(pid)], { encoding: "utf8" })) * 1024;
};

/** Resident memory once it has stopped moving: within 1 % for three seconds, or what it is after half a minute. */
export const settledResidentBytes = async (server: Server): Promise<number> => {
  const seen: number[] = [];
  for (let i = 0; i < 60; i++) {
    seen.push(residentBytes(server));
    const last = seen.slice(-7);
    if (last.length === 7 && Math.max(...last) <= Math.min(...last) * 1.01) break;
    await delay(500);
  }
  return seen.at(-1) ?? 0;
};

export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen({ port: 0, host: "127.0.0.1", exclusive: true }, () => {
      const address = server.address();
      server.close(() =>
        typeof address === "object" && address !== null ? resolve(address.port) : reject(new Error("no free port")),
      );
    });
  });

/** Between our look at a free port and its use somebody else may take it: then once more, with others. */
export const withFreePorts = async <Result>(start: () => Promise<Result>): Promise<Result> => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start();
    } catch (error) {
      const taken = error instanceof Error && /is taken|in use/i.test(error.message);
      if (!taken || attempt === 3) throw error;
    }
  }
};
