/**
 * What the screen needs of a cluster. One connection to any peer that moves to another when its peer dies, and a light
 * look at every other peer, since links, keys, digests and versions are each peer's own view.
 *
 * `cluster-client.ts` is the real one, over protocol/client.ts; tests have a fake one.
 */

import type { WireReply } from "../protocol/client-messages.ts";
import type { StatusReport } from "../protocol/status.ts";

/** Bytes, one character each. */
export type Latin1 = string;

export interface ConnectedPeer {
  readonly name: string;
  /** `host:port` of its HTTP port. */
  readonly address: string;
  readonly cluster: string;
  readonly version: string;
}

/** One write that showed at the connected peer, or an expiry. */
export interface ClusterChange {
  readonly type: "set" | "delete" | "increment" | "expired";
  readonly key: Latin1;
  readonly expiresAtMs: number | undefined;
  /** `name.incarnation` of the peer that took the write. */
  readonly origin: string;
  /** Of the write, Unix ms by its origin's clock. */
  readonly stampMs: number;
  /** When it came here, Unix ms. */
  readonly receivedAtMs: number;
}

export interface ConflictSide {
  /** The first `tuiConflictValueBytesMax` bytes; null: it was a delete. */
  readonly value: Latin1 | null;
  /** Of all of it. */
  readonly valueBytes: number;
  readonly origin: string;
  readonly dot: string;
  readonly stampMs: number;
}

export interface ClusterConflict {
  readonly id: string;
  readonly key: Latin1;
  readonly atMs: number;
  readonly winner: ConflictSide;
  readonly loser: ConflictSide;
  readonly why: string;
  readonly restored: boolean;
}

/** What the cluster tells, at any time from its opening to its closing. */
export interface ClusterListener {
  onConnected(peer: ConnectedPeer): void;
  /** It is looking for another peer by itself; `why` is for people. */
  onDisconnected(why: string): void;
  /** Of any peer, about every second. */
  onStatus(address: string, report: StatusReport): void;
  /** A peer that does not answer. */
  onSilent(name: string, address: string, why: string): void;
  /** Sampled: `left` more were not sent. */
  onChanges(changes: readonly ClusterChange[], left: number): void;
  /** The feed has a gap; "": it is whole again. */
  onFeedNote(note: string): void;
  /** Oldest first: all the journal has, then each as it comes, once more when it is restored. */
  onConflicts(conflicts: readonly ClusterConflict[]): void;
  /** It gave up: a password is wrong, or needed. */
  onHopeless(why: string): void;
}

/** A command that was refused or lost. */
export interface CommandError {
  readonly code: string;
  readonly message: string;
  readonly outcome: "not-applied" | "unknown";
}

export type CommandResult =
  | { readonly ok: true; readonly reply: WireReply }
  | { readonly ok: false; readonly error: CommandError };

export interface Cluster {
  /** At the connected peer, or at the one with this address. Never rejects. */
  command(words: readonly Latin1[], address?: string): Promise<CommandResult>;
  /** Twice is fine. */
  close(): void;
}

export type OpenCluster = (listener: ClusterListener) => Cluster;
