/**
 * The TCP port: RESP for every Redis client, plain lines for `nc`.
 *
 * It accepts, counts and closes; what happens on a connection is in connection.ts, what bytes mean in protocol/. It
 * knows no command and no key: the executor does.
 */
import { createServer, type Server, type Socket } from "node:net";
import { performance } from "node:perf_hooks";
import { keepAliveMs, portCloseMs, socketBufferBytes } from "../../protocol/limits.ts";
import type { Endpoint } from "../../protocol/proxy-protocol.ts";
import type { Session } from "../commands/session.ts";
import type { Turn } from "../turn.ts";
import { Connection, type ConnectionOwner, type Executor, type TcpCounters } from "./connection.ts";
import { readProxyHeader } from "./proxy-header.ts";
import { type TcpLimits, tcpLimits } from "./tcp-limits.ts";

export interface TcpPortOptions {
  /** An address of this machine; `127.0.0.1` keeps strangers out. */
  readonly host: string;
  /** 0: any free port; `TcpPort.port` says which. */
  readonly port: number;
  readonly execute: Executor;
  readonly turn: Turn;
  /** A password is set: connections begin unauthenticated, with small budgets and little time. */
  readonly requiresAuthentication: boolean;
  /** Its connections begin with a PROXY header. */
  readonly isTrustedProxy?: (address: string) => boolean;
  /** Ids must be unique among all ports of a peer. */
  readonly nextSessionId: () => number;
  /** It is gone, whoever ended it. */
  readonly onSessionClosed?: (session: Session) => void;
  readonly limits?: Partial<TcpLimits>;
  /** How often deadlines are looked at. Default 1,000 ms; they are late by at most this. */
  readonly sweepIntervalMs?: number;
}

/** Why a port could not be opened. The message is one line, for the operator. */
export class PortFailure extends Error {
  readonly code: "IN_USE" | "NOT_PERMITTED" | "NO_SUCH_ADDRESS" | "IO";
  constructor(code: PortFailure["code"], message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "PortFailure";
    this.code = code;
  }
}

export class TcpPort {
  readonly counters: TcpCounters = {
    connectionsReceived: 0,
    connectionsRejected: 0,
    inputBytes: 0,
    outputBytes: 0,
    commands: 0,
    protocolErrors: 0,
    httpRefused: 0,
    closedForOutput: 0,
    closedUnauthenticated: 0,
    closedLingering: 0,
    socketErrors: 0,
  };

  readonly #options: TcpPortOptions;
  readonly #limits: TcpLimits;
  readonly #server: Server;
  readonly #owner: ConnectionOwner;
  readonly #connections = new Map<number, Connection>();
  readonly #unauthenticated = new Set<Connection>();
  /** From trusted balancers, their PROXY header not read yet. */
  readonly #headless = new Set<Socket>();
  /** Connections that have a deadline. */
  readonly #watched = new Set<Connection>();
  #sweeper: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;
  #onLastClosed: (() => void) | undefined;

  constructor(options: TcpPortOptions) {
    this.#options = options;
    this.#limits = { ...tcpLimits, ...options.limits };
    this.#owner = {
      execute: options.execute,
      turn: options.turn,
      limits: this.#limits,
      counters: this.counters,
      onAuthenticationChanged: (connection) => {
        if (connection.authenticated) this.#unauthenticated.delete(connection);
        else this.#unauthenticated.add(connection);
      },
      watch: (connection) => this.#watched.add(connection),
      onClosed: (connection) => this.#onConnectionClosed(connection),
    };
    this.#server = createServer(
      {
        // A client may end its side and still be answered: `printf 'GET a\n' | nc`.
        allowHalfOpen: true,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: keepAliveMs,
        highWaterMark: socketBufferBytes,
      },
      (socket) => this.#onConnection(socket),
    );
  }

  /** Connections now open. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  get unauthenticatedCount(): number {
    return this.#unauthenticated.size;
  }

  /** The port listened on; 0 before `open` and after `close`. */
  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  sessions(): Iterable<Connection> {
    return this.#connections.values();
  }

  session(id: number): Connection | undefined {
    return this.#connections.get(id);
  }

  /** Resolves when connections are accepted. Rejects with PortFailure. */
  async open(): Promise<void> {
    const { host, port, sweepIntervalMs = 1000 } = this.#options;
    await new Promise<void>((resolve, reject) => {
      const onError = (error: NodeJS.ErrnoException): void => reject(portFailure(error, host, port));
      this.#server.once("error", onError);
      this.#server.listen({ host, port, backlog: 511 }, () => {
        this.#server.off("error", onError);
        // A failed accept (out of file descriptors, a client gone already) concerns that client only; accepting goes on.
        this.#server.on("error", () => {
          this.counters.socketErrors += 1;
        });
        resolve();
      });
    });
    this.#sweeper = setInterval(() => this.#sweep(), sweepIntervalMs);
    this.#sweeper.unref();
  }

  /**
   * Stops accepting, lets running commands finish and their replies go out, and ends the connections; those still there
   * after `deadlineMs` are cut. The turn must go on meanwhile, for it releases the replies. Closing twice is fine.
   */
  close(deadlineMs: number = portCloseMs): Promise<void> {
    this.#closed ??= this.#close(deadlineMs);
    return this.#closed;
  }

  async #close(deadlineMs: number): Promise<void> {
    if (this.#server.listening) this.#server.close();
    for (const socket of this.#headless) socket.destroy();
    for (const connection of this.#connections.values()) connection.shutDown();
    if (this.#connections.size > 0) {
      await new Promise<void>((resolve) => {
        const deadline = setTimeout(() => {
          for (const connection of this.#connections.values()) connection.kill();
        }, deadlineMs);
        this.#onLastClosed = () => {
          clearTimeout(deadline);
          resolve();
        };
      });
    }
    clearInterval(this.#sweeper);
  }

  #onConnection(socket: Socket): void {
    this.counters.connectionsReceived += 1;
    const { requiresAuthentication, isTrustedProxy } = this.#options;
    const tooMany =
      this.#connections.size + this.#headless.size >= this.#limits.connectionsMax ||
      (requiresAuthentication && this.#unauthenticated.size >= this.#limits.unauthenticatedConnectionsMax);
    if (tooMany || this.#closed !== undefined) {
      this.counters.connectionsRejected += 1;
      reject(socket);
      return;
    }
    if (isTrustedProxy?.(socket.remoteAddress ?? "") !== true) return this.#connect(socket, undefined);
    this.#headless.add(socket);
    socket.once("close", () => this.#headless.delete(socket));
    readProxyHeader(
      socket,
      (client) => {
        this.#headless.delete(socket);
        this.#connect(socket, client);
      },
      () => {
        this.counters.protocolErrors += 1;
      },
    );
  }

  #connect(socket: Socket, client: Endpoint | undefined): void {
    const { requiresAuthentication, nextSessionId } = this.#options;
    const connection = new Connection(this.#owner, socket, nextSessionId(), !requiresAuthentication, client);
    this.#connections.set(connection.id, connection);
    if (requiresAuthentication) this.#unauthenticated.add(connection);
  }

  #onConnectionClosed(connection: Connection): void {
    this.#connections.delete(connection.id);
    this.#unauthenticated.delete(connection);
    this.#watched.delete(connection);
    this.#options.onSessionClosed?.(connection);
    if (this.#connections.size === 0) this.#onLastClosed?.();
  }

  #sweep(): void {
    const nowMs = performance.now();
    for (const connection of this.#watched) {
      if (!connection.onSweep(nowMs)) this.#watched.delete(connection);
    }
  }
}

/** Redis's words, then gone at once: a rejected client gets no buffer and no time. */
const reject = (socket: Socket): void => {
  socket.on("error", () => {});
  socket.end("-ERR max number of clients reached\r\n", "latin1", () => socket.destroy());
};

const portFailure = (error: NodeJS.ErrnoException, host: string, port: number): PortFailure => {
  const cause = { cause: error };
  switch (error.code) {
    case "EADDRINUSE":
      return new PortFailure("IN_USE", `port ${port} on ${host} is taken by another process`, cause);
    case "EACCES":
      return new PortFailure("NOT_PERMITTED", `not permitted to listen on port ${port} of ${host}`, cause);
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return new PortFailure("NO_SUCH_ADDRESS", `${host} is not an address of this machine`, cause);
    default:
      return new PortFailure("IO", `cannot listen on port ${port} of ${host}: ${error.message}`, cause);
  }
};
