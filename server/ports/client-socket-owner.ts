/** What one client WebSocket needs of its port and of the peer behind it. */
import type { Feed } from "../feed/change.ts";
import type { ConflictFeed } from "../feed/conflict-feed.ts";
import type { Turn } from "../turn.ts";
import type { ClientSocket } from "./client-socket.ts";
import type { ClientSocketLimits } from "./client-socket-limits.ts";
import type { Executor } from "./connection.ts";

/** Plain numbers, only ever added to. */
export interface ClientSocketCounters {
  connectionsReceived: number;
  /** Turned away: too many, or stopping. */
  connectionsRejected: number;
  inputBytes: number;
  outputBytes: number;
  commands: number;
  badMessages: number;
  /** Closed because the client did not read, did not say hello in time, was silent. */
  closedForOutput: number;
  closedUnauthenticated: number;
  closedSilent: number;
  socketErrors: number;
}

/** Fields of `welcome`. */
export interface Welcome {
  readonly peer: string;
  readonly incarnation: string;
  readonly cluster: string;
  readonly version: string;
  readonly peers: readonly { readonly name: string; readonly address: string }[];
  readonly strongPrefixes: readonly string[];
}

export interface ClientSocketOwner {
  readonly execute: Executor;
  readonly turn: Turn;
  readonly feed: Feed;
  readonly conflicts: ConflictFeed;
  readonly limits: ClientSocketLimits;
  readonly counters: ClientSocketCounters;
  readonly checkPassword: ((user: string, password: string) => boolean) | undefined;
  /** Undefined when reads are answered; else the error line, such as `LOADING ...`. */
  readonly readRefusal: () => string | undefined;
  readonly welcome: () => Welcome;
  /** The report as JSON, at once and then about every second. The result ends it. */
  watchStatus(listener: (json: string) => void): () => void;
  onGreeted(socket: ClientSocket): void;
  onClosed(socket: ClientSocket): void;
}
