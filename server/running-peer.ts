/** The seam between a peer and the process it runs in. */
import type { PeerConfig } from "./config.ts";

/** A peer that serves. */
export interface RunningPeer {
  readonly tcpPort: number;
  readonly httpPort: number;
  /** Answers what was taken, syncs the log, leaves the links. Twice is fine. */
  close(): Promise<void>;
  /** Resolves when the peer has ended, of its own accord or by close(). */
  readonly stopped: Promise<{ readonly code: number; readonly reason: string }>;
}

/** Rejects when it cannot serve: a port is taken, the directory is in use or damaged. The message says what to do. */
export type RunPeer = (config: PeerConfig) => Promise<RunningPeer>;
