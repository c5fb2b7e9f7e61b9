/** What `GET /status` answers, from the parts of a running peer. */
import { performance } from "node:perf_hooks";
import { type StatusReport, statusFormat } from "../protocol/status.ts";
import type { PeerReport } from "./commands/session.ts";
import type { PeerConfig } from "./config.ts";
import type { Maintenance } from "./maintenance.ts";
import type { Replica } from "./replica/index.ts";
import type { Storage } from "./storage/storage.ts";
import type { StrongKeys } from "./strong/strong-keys.ts";
import { strongStatus } from "./strong/strong-reports.ts";

export interface StatusParts {
  readonly config: PeerConfig;
  readonly version: string;
  readonly startedAtMs: number;
  readonly tcpPort: number;
  readonly httpPort: number;
  readonly strong: StrongKeys;
  /** Undefined while the data is read. */
  readonly running:
    | {
        readonly replica: Replica;
        readonly storage: Storage;
        readonly maintenance: Maintenance;
        readonly peers: readonly PeerReport[];
        readonly checkpointBytes: number;
      }
    | undefined;
  readonly reasons: readonly string[];
  readonly alarms: readonly string[];
  readonly opsPerSecond: number;
  readonly latency: StatusReport["latency"];
  readonly clients: StatusReport["clients"];
  readonly peers: StatusReport["peers"];
  readonly skewState: "ok" | "warning" | "refusing";
}

export const statusReport = (parts: StatusParts): StatusReport => {
  const { config, running, reasons } = parts;
  const state = running?.replica.state;
  const log = running?.storage.log;
  const finishedAtMs = running?.maintenance.checkpointFinishedAtMs;
  return {
    format: statusFormat,
    peer: {
      name: config.name,
      incarnation: state?.incarnation ?? "",
      cluster: config.clusterId,
      version: parts.version,
      pid: process.pid,
      uptimeSeconds: Math.floor((performance.now() - parts.startedAtMs) / 1000),
      tcpPort: parts.tcpPort,
      httpPort: parts.httpPort,
    },
    ready: reasons.length === 0,
    gated: state?.gated ?? false,
    loading: running === undefined,
    reasons,
    keys: state?.map.liveCount ?? 0,
    tombstones: {
      count: state?.map.tombstoneCount ?? 0,
      bytes: state?.map.tombstoneBytes ?? 0,
      heldBy:
        running === undefined
          ? []
          : running.peers.filter((peer) => !peer.factCounts || peer.tombstonesHeld > 0).map((peer) => peer.name),
    },
    conflicts: { kept: state?.journal.count ?? 0, dropped: state?.journal.dropped ?? 0 },
    digest: { value: state?.map.digest.text ?? "", horizon: state?.map.horizonMs ?? 0 },
    versionVector: state === undefined ? {} : Object.fromEntries(state.wire(state.sealedVv())),
    links: (running?.peers ?? [])
      .filter((peer) => !peer.self)
      .map((peer) => ({
        peer: peer.name,
        state: peer.state,
        address: peer.address,
        rttMs: peer.rttMs ?? null,
        clockOffsetMs: peer.clockOffsetMs ?? null,
        lagOps: peer.lagOps,
        lagMs: peer.lagMs ?? null,
        behindOps: peer.behindOps,
        verdict: peer.verdict,
        incarnation: peer.incarnation,
        gated: peer.gated,
        queuedBytes: peer.queuedBytes,
        tombstonesHeld: peer.tombstonesHeld,
        why: peer.note,
        fault: peer.fault,
      })),
    log: {
      bytes: log?.bytes ?? 0,
      firstLsn: log?.firstLsn ?? 0,
      nextLsn: log?.nextLsn ?? 0,
      syncedLsn: log?.syncedLsn ?? 0,
    },
    checkpoint: {
      lsn: running?.replica.checkpointer.lsn ?? 0,
      bytes: running?.checkpointBytes ?? 0,
      ageSeconds: finishedAtMs === undefined ? null : Math.round((performance.now() - finishedAtMs) / 1000),
      running: running?.replica.checkpointer.running ?? false,
    },
    memory: {
      usedBytes: state?.map.bytes ?? 0,
      rssBytes: process.memoryUsage.rss(),
      maxBytes: config.memoryBytesMax,
    },
    opsPerSecond: parts.opsPerSecond,
    latency: parts.latency,
    clients: parts.clients,
    strong: strongStatus(parts.strong),
    peers: parts.peers,
    clock: { skewState: parts.skewState },
    faultLinks: config.faultLinks,
    alarms: parts.alarms,
  };
};
