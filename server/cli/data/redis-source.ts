/**
 * The strings of a running Redis, with their TTLs: SCAN, and per page TYPE and STRLEN, then GET and PTTL of the strings.
 *
 * It asks in RESP2 and only what every Redis since 2.8 answers, managed ones too. Our own few lines, not ioredis or redis:
 * those are here for tests, with a pool, a cluster client and scripts that a copy of strings has no use for, and would be
 * installed with every peer.
 *
 * A key is copied as it is when its page is asked for. GET and PTTL of one key stand next to each other in one pipeline:
 * that they are of one moment is likely, not sure; a Redis that is written while it is copied is copied again afterwards.
 */
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import {
  exportBatchBytes,
  keyBytesMax,
  redisScanCount,
  redisSilenceMs,
  valueBytesMax,
} from "../../../protocol/limits.ts";
import { ReplyError, ReplyParser, type RespReply } from "../../../protocol/resp-replies.ts";
import { CommandFailure, usageFailure } from "../failure.ts";
import type { Entry } from "./entry-line.ts";
import { exitCodes } from "./options.ts";

export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
}

/** `redis://[user:password@]host[:port][/database]`, `rediss://` for TLS. Throws a usage failure, which names no password. */
export const parseRedisUrl = (text: string, env: NodeJS.ProcessEnv): RedisAddress => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const database = /^\/?(\d{0,5})$/.exec(url?.pathname ?? "-")?.[1];
  if (
    url === undefined ||
    !["redis:", "rediss:"].includes(url.protocol) ||
    url.hostname === "" ||
    database === undefined ||
    url.search !== "" ||
    url.hash !== ""
  ) {
    throw usageFailure("flag --from: expected redis://[user:password@]host[:port][/database], or rediss:// for TLS");
  }
  const password = url.password === "" ? env["REDISCLI_AUTH"] : decodeURIComponent(url.password);
  return {
    // IPv6 addresses stand in brackets.
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port === "" ? 6379 : Number(url.port),
    tls: url.protocol === "rediss:",
    user: url.username === "" ? undefined : decodeURIComponent(url.username),
    password: password === undefined || password === "" ? undefined : password,
    database: Number(database),
  };
};

type Words = readonly (string | Uint8Array)[];

/** One connection; replies come in the order of the commands. */
class RedisConnection {
  readonly #socket: Socket;
  readonly #shown: string;
  readonly #parser = new ReplyParser();
  #failure: Error | undefined;
  #wake: () => void = () => {};

  private constructor(socket: Socket, shown: string) {
    this.#socket = socket;
    this.#shown = shown;
    socket.on("data", (chunk: Buffer) => {
      this.#parser.push(chunk);
      this.#wake();
    });
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("it closed the connection")));
    socket.setTimeout(redisSilenceMs, () => this.#fail(new Error(`silent for ${redisSilenceMs / 1000} s`)));
  }

  static async open(address: RedisAddress): Promise<RedisConnection> {
    const { host, port, tls, user, password, database } = address;
    const shown = `redis at ${host}:${port}`;
    const socket = tls ? connectTls({ host, port, servername: host }) : connectTcp({ host, port, noDelay: true });
    const connection = new RedisConnection(socket, shown);
    try {
      socket.setTimeout(10_000);
      await once(socket, tls ? "secureConnect" : "connect");
    } catch (error) {
      socket.destroy();
      throw connection.#failed(error);
    }
    socket.setTimeout(redisSilenceMs);
    try {
      if (password !== undefined) await connection.ask(["AUTH", ...(user === undefined ? [] : [user]), password]);
      if (database !== 0) await connection.ask(["SELECT", String(database)]);
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#socket.destroy();
    this.#wake();
  }

  #failed(error: unknown): CommandFailure {
    const { code, message } = error as NodeJS.ErrnoException;
    const words = code === "ECONNREFUSED" ? "nobody listens there" : message;
    return new CommandFailure(`${this.#shown}: ${words}`, exitCodes.notDone, { cause: error });
  }

  /** Error replies stand in their places. */
  async pipeline(commands: readonly Words[]): Promise<RespReply[]> {
    this.#socket.write(encode(commands));
    const replies: RespReply[] = [];
    while (replies.length < commands.length) {
      let reply: RespReply | undefined;
      try {
        reply = this.#parser.next();
      } catch (error) {
        this.#fail(error as Error);
      }
      if (this.#failure !== undefined) throw this.#failed(this.#failure);
      if (reply !== undefined) replies.push(reply);
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
    return replies;
  }

  /** An error reply is a failure. */
  async ask(words: Words): Promise<RespReply> {
    const [reply] = await this.pipeline([words]);
    if (reply instanceof ReplyError) throw this.#failed(new Error(reply.text));
    return reply as RespReply;
  }

  close(): void {
    this.#failure ??= new Error("closed");
    this.#socket.destroy();
  }
}

const encode = (commands: readonly Words[]): Buffer => {
  const parts: Uint8Array[] = [];
  for (const words of commands) {
    parts.push(Buffer.from(`*${words.length}\r\n`));
    for (const word of words) {
      const bytes = typeof word === "string" ? Buffer.from(word) : word;
      parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from("\r\n"));
    }
  }
  return Buffer.concat(parts);
};

const longKeysShownMax = 10;

export class RedisSource {
  readonly #connection: RedisConnection;
  /** Keys that are no strings, by Redis's name of their type. */
  readonly others = new Map<string, number>();
  /** Strings beyond our bounds: how many, and the first of them. */
  tooLong = 0;
  readonly tooLongKeys: Buffer[] = [];
  seen = 0;
  /** About how many there are. */
  expected = 0;

  private constructor(connection: RedisConnection) {
    this.#connection = connection;
  }

  static async open(address: RedisAddress): Promise<RedisSource> {
    const source = new RedisSource(await RedisConnection.open(address));
    try {
      source.expected = Number(await source.#connection.ask(["DBSIZE"]));
      return source;
    } catch (error) {
      source.close();
      throw error;
    }
  }

  close(): void {
    this.#connection.close();
  }

  /** A key that is there all the while comes at least once. */
  async *entries(prefix: string): AsyncGenerator<Entry> {
    const match = prefix === "" ? [] : ["MATCH", `${prefix.replaceAll(/[\\*?[\]]/g, "\\$&")}*`];
    let cursor = "0";
    do {
      const page = await this.#connection.ask(["SCAN", cursor, ...match, "COUNT", String(redisScanCount)]);
      const [next, keys] = Array.isArray(page) ? (page as readonly RespReply[]) : [];
      if (!(next instanceof Buffer) || !Array.isArray(keys))
        throw new CommandFailure("SCAN answered what it never does");
      cursor = next.toString("latin1");
      yield* this.#page(keys.filter((key) => key instanceof Buffer));
    } while (cursor !== "0");
  }

  async *#page(keys: readonly Buffer[]): AsyncGenerator<Entry> {
    if (keys.length === 0) return;
    this.seen += keys.length;
    const facts = await this.#connection.pipeline(
      keys.flatMap((key) => [
        ["TYPE", key],
        ["STRLEN", key],
      ]),
    );
    let batch: Buffer[] = [];
    let bytes = 0;
    for (const [index, key] of keys.entries()) {
      const type = facts[2 * index];
      const length = facts[2 * index + 1];
      if (type instanceof ReplyError) throw new CommandFailure(`TYPE: ${type.text}`, exitCodes.notDone);
      if (type !== "string") {
        // `none`: gone since the scan saw it.
        if (type !== "none") this.others.set(String(type), (this.others.get(String(type)) ?? 0) + 1);
        continue;
      }
      if (key.length > keyBytesMax || Number(length) > valueBytesMax) {
        this.tooLong += 1;
        if (this.tooLongKeys.length < longKeysShownMax) this.tooLongKeys.push(key);
        continue;
      }
      if (batch.length > 0 && bytes + Number(length) > exportBatchBytes) {
        yield* this.#batch(batch);
        batch = [];
        bytes = 0;
      }
      batch.push(key);
      bytes += Number(length);
    }
    yield* this.#batch(batch);
  }

  async *#batch(keys: readonly Buffer[]): AsyncGenerator<Entry> {
    if (keys.length === 0) return;
    const replies = await this.#connection.pipeline(
      keys.flatMap((key) => [
        ["GET", key],
        ["PTTL", key],
      ]),
    );
    const nowMs = Date.now();
    for (const [index, key] of keys.entries()) {
      const value = replies[2 * index];
      const ttlMs = replies[2 * index + 1];
      if (value instanceof ReplyError && !value.text.startsWith("WRONGTYPE")) {
        throw new CommandFailure(`GET: ${value.text}`, exitCodes.notDone);
      }
      // Gone, or another type, since it was looked at.
      if (!(value instanceof Buffer) || typeof ttlMs !== "number" || ttlMs === -2) continue;
      yield { key, value, ...(ttlMs >= 0 ? { expiresAtMs: nowMs + ttlMs } : {}) };
    }
  }
}
