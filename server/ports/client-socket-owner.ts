/** What one client WebSocket needs of its port and of the peer behind it. */
import type { Feed } from "../feed/change.ts";
import type { Turn } from "../turn.ts";
import type { ClientSocket } from "./client-socket.ts";
import type { ClientSocketLimits } from "./client-socket-limits.ts";
import type { Executor } from "./connection.ts";

/** Plain numbers, only ever added to. */
export interface ClientSocketCounters {
  connectionsReceived: number;
  /** Turned away: too many, another origin, not open yet. */
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
}

export interface ClientSocketOwner {
  readonly execute: Executor;
  readonly turn: Turn;
  readonly feed: Feed | undefined;
  readonly limits: ClientSocketLimits;
  readonly counters: ClientSocketCounters;
  readonly checkPassword: ((user: string, password: string) => boolean) | undefined;
  readonly welcome: () => Welcome;
  onGreeted(socket: ClientSocket): void;
  onClosed(socket: ClientSocket): void;
}
