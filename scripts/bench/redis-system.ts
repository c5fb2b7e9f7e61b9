/**
 * redis-server as the issue sets it up: a primary, two replicas, an append-only file synced every second, no snapshots.
 * All else is its default, but that a replica is served without the usual five seconds of waiting for others.
 */
import { ProgramServer } from "./program-server.ts";
import { ProgramSystem } from "./program-system.ts";
import { RespConnection } from "./resp-connection.ts";
import { freePort, withFreePorts } from "./servers.ts";
import type { Stage } from "./stage.ts";

class RedisServer extends ProgramServer {
  constructor(stage: Stage, directory: string, name: string, port: number, primaryPort: number | undefined) {
    super(stage, {
      program: "redis-server",
      arguments: (dataDirectory) => [
        ...["--port", String(port), "--bind", "127.0.0.1", "--dir", dataDirectory],
        ...["--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--repl-diskless-sync-delay", "0"],
        ...(primaryPort === undefined ? [] : ["--replicaof", "127.0.0.1", String(primaryPort)]),
      ],
      name,
      tcpPort: port,
      directory,
    });
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

export class RedisSystem extends ProgramSystem<RedisServer> {
  readonly name = "redis";

  /** A primary and count - 1 replicas. Resolves when all replicas follow. */
  static start(stage: Stage, { count }: { readonly count: number }): Promise<RedisSystem> {
    return withFreePorts(async () => {
      const directory = stage.makeDirectory("redis");
      const servers: RedisServer[] = [];
      for (let i = 0; i < count; i++)
        servers.push(
          new RedisServer(stage, directory, i === 0 ? "primary" : `replica${i}`, await freePort(), servers[0]?.tcpPort),
        );
      return new RedisSystem(servers).started("Redis up, replicas following");
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
}

/** Redis has no digests: equal replication offsets over links that are up are its word that all hold the same. */
const followsPrimary = ([primary, ...replicas]: readonly ReadonlyMap<string, string>[]): boolean => {
  const offset = primary?.get("master_repl_offset");
  return (
    offset !== undefined &&
    replicas.every((info) => info.get("master_link_status") === "up" && info.get("slave_repl_offset") === offset)
  );
};
