/** One moment of a peer as its families read it, and the ways they read it. */
import type { BackupCounters } from "../backup/backup-streams.ts";
import type { CommandFigures } from "../commands/figures.ts";
import type { PeerReport } from "../commands/session.ts";
import type { PeerLinkStatus } from "../links/peer-links.ts";
import type { Maintenance } from "../maintenance.ts";
import type { ClientSocketCounters } from "../ports/client-socket-owner.ts";
import type { TcpCounters } from "../ports/connection.ts";
import type { Replica } from "../replica/index.ts";
import type { Storage } from "../storage/storage.ts";
import type { StrongKeys } from "../strong/strong-keys.ts";
import type { DurationHistogram } from "./duration-histogram.ts";
import { type Family, type Sample, samplesPerPeer } from "./family.ts";
import type { HttpCounts } from "./http-families.ts";
import type { LatencyEvents } from "./latency-events.ts";
import type { LoopDelays } from "./loop-delay.ts";
import type { CatchUpCounts } from "./peer-measures.ts";
import type { ProcessFigures } from "./process-families.ts";

/** One moment of a peer, made per scrape: mostly references to numbers that it keeps anyway. */
export interface PeerFigures {
  readonly process: ProcessFigures;
  readonly version: string;
  readonly name: string;
  readonly cluster: string;
  readonly checks: readonly { readonly name: string; readonly ok: boolean }[];
  readonly alarms: number;
  readonly http: HttpCounts;
  readonly loopDelays: LoopDelays;
  readonly latencyEvents: LatencyEvents;
  readonly memoryBytesMax: number;
  readonly logRetentionBytes: number;
  /** Undefined while the data is read. */
  readonly running: RunningFigures | undefined;
}

export interface RunningFigures {
  readonly replica: Replica;
  readonly strong: StrongKeys;
  readonly storage: Storage;
  readonly maintenance: Maintenance;
  readonly commands: CommandFigures;
  readonly slowCommands: number;
  /** Every other peer. */
  readonly peers: readonly PeerReport[];
  readonly links: readonly PeerLinkStatus[];
  readonly wallMs: number;
  readonly nowMs: number;
  readonly skewState: string;
  readonly turns: number;
  readonly appendedBytes: number;
  readonly replyTimes: DurationHistogram;
  readonly fsyncTimes: DurationHistogram;
  readonly checkpointTimes: DurationHistogram;
  readonly checkpointBytes: number;
  readonly diskFreeBytes: number | undefined;
  readonly catchUps: CatchUpCounts;
  readonly tcp: { readonly open: number; readonly counters: TcpCounters };
  readonly webSocket: { readonly open: number; readonly counters: ClientSocketCounters };
  readonly watches: number;
  readonly backups: { readonly running: number; readonly counters: BackupCounters };
  readonly pubSub: { readonly channels: number; readonly patterns: number; readonly clients: number };
  readonly publishMissed: number;
}

// ---- How families are read ------------------------------------------------------------------------------------------

/** Nothing to tell while the data is read. */
export const running =
  (read: (figures: RunningFigures) => number | undefined | readonly Sample[]): Family<PeerFigures>["read"] =>
  (figures) =>
    figures.running === undefined ? undefined : read(figures.running);

/** One sample per other peer. */
export const perPeer = (read: (peer: PeerReport) => number | undefined): Family<PeerFigures>["read"] =>
  running(({ peers }) => samplesPerPeer(peers, read));

/** Counters of the replica; those that never counted are 0. */
export const counted = (name: string): Family<PeerFigures>["read"] =>
  running(({ replica }) => replica.state.counts[name] ?? 0);
