/**
 * The door of `/client`: takes WebSockets over from the HTTP port, counts them, looks after their deadlines, and closes
 * them when the peer stops. What is said on one is in client-socket.ts.
 *
 * Who may knock (the Origin of a web page) is decided by the HTTP port before.
 */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { performance } from "node:perf_hooks";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import {
  clientChunksMax,
  clientFragmentsMax,
  clientMessageBytesHard,
  keepAliveMs,
  portCloseMs,
} from "../../protocol/limits.ts";
import type { Feed } from "../feed/change.ts";
import type { ConflictFeed } from "../feed/conflict-feed.ts";
import { refuseUpgrade } from "../links/refuse-upgrade.ts";
import type { Turn } from "../turn.ts";
import { ClientSocket } from "./client-socket.ts";
import { type ClientSocketLimits, clientSocketLimits } from "./client-socket-limits.ts";
import type { ClientSocketCounters, ClientSocketOwner, Welcome } from "./client-socket-owner.ts";
import type { Executor } from "./connection.ts";

export interface ClientSocketPortOptions {
  readonly execute: Executor;
  readonly turn: Turn;
  readonly feed: Feed;
  readonly conflicts: ConflictFeed;
  /** As GET /status answers; becomes JSON. */
  readonly status: () => unknown;
  readonly readRefusal: () => string | undefined;
  /** Undefined: no password is set, everybody is let in. */
  readonly checkPassword: ((user: string, password: string) => boolean) | undefined;
  readonly welcome: () => Welcome;
  /** Ids must be unique among all ports of a peer. */
  readonly nextSessionId: () => number;
  readonly limits?: Partial<ClientSocketLimits>;
  /** How often deadlines are looked at. Default 1,000 ms; they are late by at most this. */
  readonly sweepIntervalMs?: number;
  /** Default 1,000 ms. */
  readonly statusIntervalMs?: number;
}

export class ClientSocketPort {
  readonly counters: ClientSocketCounters = {
    connectionsReceived: 0,
    connectionsRejected: 0,
    inputBytes: 0,
    outputBytes: 0,
    commands: 0,
    badMessages: 0,
    closedForOutput: 0,
    closedUnauthenticated: 0,
    closedSilent: 0,
    socketErrors: 0,
  };

  readonly #options: ClientSocketPortOptions;
  readonly #limits: ClientSocketLimits;
  readonly #owner: ClientSocketOwner;
  readonly #webSockets: WebSocketServer;
  readonly #sockets = new Map<number, ClientSocket>();
  /** Sockets that have not said hello. */
  #strangers = 0;
  readonly #sweeper: NodeJS.Timeout;
  readonly #statusListeners = new Set<(json: string) => void>();
  #statusTimer: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;
  #onLastClosed: (() => void) | undefined;

  constructor(options: ClientSocketPortOptions) {
    this.#options = options;
    this.#limits = { ...clientSocketLimits, ...options.limits };
    this.#owner = {
      execute: options.execute,
      turn: options.turn,
      feed: options.feed,
      conflicts: options.conflicts,
      readRefusal: options.readRefusal,
      watchStatus: (listener) => this.#watchStatus(listener),
      limits: this.#limits,
      counters: this.counters,
      checkPassword: options.checkPassword,
      welcome: options.welcome,
      onGreeted: () => {
        this.#strangers -= 1;
      },
      onClosed: (socket) => this.#onSocketClosed(socket),
    };
    // Not all of these are in its types.
    const bounds = {
      perMessageDeflate: false,
      maxPayload: clientMessageBytesHard,
      maxFragments: clientFragmentsMax,
      maxBufferedChunks: clientChunksMax,
      closeTimeout: this.#limits.closeMs,
      autoPong: false,
    };
    this.#webSockets = new WebSocketServer({
      ...bounds,
      noServer: true,
      clientTracking: false,
      handleProtocols: () => false,
    });
    this.#sweeper = setInterval(() => this.#sweep(), options.sweepIntervalMs ?? 1000);
    this.#sweeper.unref();
  }

  /** Client WebSockets now open. */
  get connectionCount(): number {
    return this.#sockets.size;
  }

  get unauthenticatedCount(): number {
    return this.#strangers;
  }

  sessions(): Iterable<ClientSocket> {
    return this.#sockets.values();
  }

  session(id: number): ClientSocket | undefined {
    return this.#sockets.get(id);
  }

  /** An HTTP upgrade on the path `/client`. Bound, so that it can be handed over as it is. */
  readonly handleUpgrade = (request: IncomingMessage, duplex: Duplex, head: Buffer): void => {
    // The cast holds: an http.Server's sockets are net.Sockets.
    const socket = duplex as Socket;
    socket.on("error", ignoreError);
    this.counters.connectionsReceived += 1;
    const { socketsMax, unauthenticatedSocketsMax } = this.#limits;
    const refusal =
      this.#closing !== undefined
        ? "this peer is stopping"
        : this.#sockets.size >= socketsMax || this.#strangers >= unauthenticatedSocketsMax
          ? "too many clients"
          : undefined;
    if (refusal !== undefined) {
      this.counters.connectionsRejected += 1;
      return refuseUpgrade(socket, 503, refusal);
    }
    socket.setNoDelay(true);
    socket.setKeepAlive(true, keepAliveMs);
    // Answered within this call, or the socket was refused by ws and is gone.
    this.#webSockets.handleUpgrade(request, socket, head, (ws) => {
      const client = new ClientSocket(this.#owner, { ws, socket }, this.#options.nextSessionId());
      this.#sockets.set(client.id, client);
      this.#strangers += 1;
    });
  };

  /**
   * Lets running commands finish and their replies go out, says goodbye, and cuts who is still there after `deadlineMs`.
   * The turn must go on meanwhile, for it releases the replies. Closing twice is fine.
   */
  close(deadlineMs: number = portCloseMs): Promise<void> {
    this.#closing ??= this.#close(deadlineMs);
    return this.#closing;
  }

  async #close(deadlineMs: number): Promise<void> {
    for (const socket of this.#sockets.values()) socket.shutDown();
    if (this.#sockets.size > 0) {
      await new Promise<void>((resolve) => {
        const deadline = setTimeout(() => {
          for (const socket of this.#sockets.values()) socket.kill();
        }, deadlineMs);
        this.#onLastClosed = () => {
          clearTimeout(deadline);
          resolve();
        };
      });
    }
    clearInterval(this.#sweeper);
  }

  /** One report serves all. */
  #watchStatus(listener: (json: string) => void): () => void {
    const report = (): string => JSON.stringify(this.#options.status());
    listener(report());
    this.#statusListeners.add(listener);
    this.#statusTimer ??= setInterval(() => {
      const json = report();
      for (const each of this.#statusListeners) each(json);
    }, this.#options.statusIntervalMs ?? 1000);
    return () => {
      this.#statusListeners.delete(listener);
      if (this.#statusListeners.size > 0) return;
      clearInterval(this.#statusTimer);
      this.#statusTimer = undefined;
    };
  }

  #onSocketClosed(socket: ClientSocket): void {
    if (!this.#sockets.delete(socket.id)) return;
    if (!socket.greeted) this.#strangers -= 1;
    if (this.#sockets.size === 0) this.#onLastClosed?.();
  }

  #sweep(): void {
    const nowMs = performance.now();
    for (const socket of this.#sockets.values()) socket.onSweep(nowMs);
  }
}

const ignoreError = (): void => {};
