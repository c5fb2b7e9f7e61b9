/** What a peer's `/metrics` shows. docs/OPERATIONS.md has the same list, made from this one. */

import { clientSocketsMax, connectionsMax, diskFreeBytesLow } from "../../protocol/limits.ts";
import type { LinkVerdict } from "../../protocol/status.ts";
import type { BackupCounters } from "../backup/backup-streams.ts";
import { type CommandFigures, countedCommands } from "../commands/figures.ts";
import type { PeerReport } from "../commands/session.ts";
import type { PeerLinkStatus } from "../links/peer-links.ts";
import type { Maintenance } from "../maintenance.ts";
import type { ClientSocketCounters } from "../ports/client-socket-owner.ts";
import type { TcpCounters } from "../ports/connection.ts";
import { type Replica, stampToMs } from "../replica/index.ts";
import type { Storage } from "../storage/storage.ts";
import type { StrongKeys } from "../strong/strong-keys.ts";
import type { DurationHistogram } from "./duration-histogram.ts";
import { type Family, histogramSamples, type Sample, samplesBy, stateSamples } from "./family.ts";
import { type HttpCounts, httpFamilies } from "./http-families.ts";
import type { LatencyEvents } from "./latency-events.ts";
import type { LoopDelays } from "./loop-delay.ts";
import type { CatchUpCounts } from "./peer-measures.ts";
import { type ProcessFigures, processFamilies } from "./process-families.ts";

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

const linkStates = ["up", "connecting", "catching-up", "transfer", "refused", "down"];
const verdicts: readonly LinkVerdict[] = ["identical", "different", "syncing", "not-compared", "no-link"];
const skewStates = ["ok", "warning", "refusing"];
const standings = ["admitted", "new", "lost", "readmitting"];

// ---- How families are read ------------------------------------------------------------------------------------------

const running =
  (read: (figures: RunningFigures) => number | undefined | readonly Sample[]): Family<PeerFigures>["read"] =>
  (figures) =>
    figures.running === undefined ? undefined : read(figures.running);

/** One sample per other peer. */
const perPeer = (read: (peer: PeerReport) => number | undefined): Family<PeerFigures>["read"] =>
  running(({ peers }) =>
    peers.flatMap((peer) => {
      const value = read(peer);
      return value === undefined ? [] : [{ labels: { peer: peer.name }, value }];
    }),
  );

const perLink = (read: (link: PeerLinkStatus) => number): Family<PeerFigures>["read"] =>
  running(({ links }) => links.map((link) => ({ labels: { peer: link.peer }, value: read(link) })));

/** Counters of the replica; those that never counted are 0. */
const counted = (name: string): Family<PeerFigures>["read"] =>
  running(({ replica }) => replica.state.counts[name] ?? 0);

const perPort = (read: (counters: TcpCounters | ClientSocketCounters) => number): Family<PeerFigures>["read"] =>
  running(({ tcp, webSocket }) => [
    { labels: { port: "tcp" }, value: read(tcp.counters) },
    { labels: { port: "websocket" }, value: read(webSocket.counters) },
  ]);

const seconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1000);

/** Only commands that were ever called: a hundred silent ones are noise. */
const commandResults = ({ commands }: RunningFigures): readonly Sample[] => {
  const samples: Sample[] = [];
  countedCommands.forEach((command, index) => {
    const calls = commands.calls[index] ?? 0;
    const failed = commands.failed[index] ?? 0;
    const refused = commands.refused[index] ?? 0;
    if (calls + refused === 0) return;
    samples.push({ labels: { command, result: "ok" }, value: calls - failed });
    samples.push({ labels: { command, result: "error" }, value: failed });
    samples.push({ labels: { command, result: "refused" }, value: refused });
  });
  samples.push({ labels: { command: "unknown", result: "refused" }, value: commands.unknown });
  return samples;
};

const limitHits = ({ tcp, webSocket, replica, publishMissed }: RunningFigures): readonly Sample[] => {
  const [a, b] = [tcp.counters, webSocket.counters];
  return samplesBy("limit", [
    ["connections", a.connectionsRejected + b.connectionsRejected],
    ["client_output", a.closedForOutput + b.closedForOutput],
    ["authentication_time", a.closedUnauthenticated + b.closedUnauthenticated],
    ["silence", a.closedLingering + b.closedSilent],
    ["conflict_journal", replica.state.journal.dropped],
    ["waiting_frames", replica.state.counts["bufferFull"] ?? 0],
    ["publish_queue", publishMissed],
  ]);
};

// ---- The families ---------------------------------------------------------------------------------------------------

export const peerFamilies: readonly Family<PeerFigures>[] = [
  {
    name: "chorus_build_info",
    type: "gauge",
    help: "1, with the versions that run.",
    labels: ["version", "node_version"],
    read: ({ version }) => [{ labels: { version, node_version: process.version }, value: 1 }],
  },
  {
    name: "chorus_peer_info",
    type: "gauge",
    help: "1, with this peer's name and its cluster's.",
    labels: ["name", "cluster"],
    read: ({ name, cluster }) => [{ labels: { name, cluster }, value: 1 }],
  },
  {
    name: "chorus_ready",
    type: "gauge",
    help: "1 when /readyz says so: send it clients.",
    read: ({ checks }) => (checks.every(({ ok }) => ok) ? 1 : 0),
  },
  {
    name: "chorus_check_ok",
    type: "gauge",
    help: "1 for each check of /readyz that is passed, 0 for one that fails.",
    labels: ["check"],
    read: ({ checks }) =>
      samplesBy(
        "check",
        checks.map(({ name, ok }) => [name, ok ? 1 : 0] as const),
      ),
  },
  { name: "chorus_alarms", type: "gauge", help: "Alarms in /status now.", read: ({ alarms }) => alarms },

  // Commands.
  {
    name: "chorus_commands_total",
    type: "counter",
    help: "Commands by name and end: ok; error: it ran and answered an error; refused: before it ran (arity, login, a peer that takes no writes). No such command: unknown.",
    labels: ["command", "result"],
    read: running(commandResults),
  },
  {
    name: "chorus_command_duration_seconds",
    type: "histogram",
    help: "Time in a command's handler. Those of bounded work (GET, SET) are timed once in 31 and counted for all. Waiting for disk and peers: see chorus_reply_duration_seconds.",
    labels: ["command"],
    read: running(({ commands }) =>
      commands.durations.flatMap((durations, index) =>
        (commands.calls[index] ?? 0) === 0 || durations.count === 0
          ? []
          : histogramSamples(durations, { command: countedCommands[index] ?? "" }),
      ),
    ),
  },
  {
    name: "chorus_reply_duration_seconds",
    type: "histogram",
    help: "From the turn that ran a connection's commands until their replies were let go, with the waits of --fsync always and --acks. A connection's commands of one turn count once.",
    read: running(({ replyTimes }) => histogramSamples(replyTimes)),
  },
  {
    name: "chorus_errors_total",
    type: "counter",
    help: "Error replies by their first word: docs/ERRORS.md.",
    labels: ["code"],
    read: running(({ commands }) => samplesBy("code", commands.errors)),
  },
  {
    name: "chorus_slow_commands_total",
    type: "counter",
    help: "Entries SLOWLOG took in.",
    read: running(({ slowCommands }) => slowCommands),
  },
  {
    name: "chorus_latency_events_total",
    type: "counter",
    help: "Samples of LATENCY: what took longer than latency-monitor-threshold.",
    labels: ["event"],
    read: ({ latencyEvents }) => samplesBy("event", Object.entries(latencyEvents.counts)),
  },
  {
    name: "chorus_keyspace_reads_total",
    type: "counter",
    help: "Keys looked for by reading commands.",
    labels: ["result"],
    read: running(({ commands }) =>
      samplesBy("result", [
        ["hit", commands.keyspaceHits],
        ["miss", commands.keyspaceMisses],
      ]),
    ),
  },

  // Clients.
  {
    name: "chorus_clients",
    type: "gauge",
    help: `Client connections now. Limits: ${connectionsMax} on tcp, ${clientSocketsMax} on websocket.`,
    labels: ["port"],
    read: running(({ tcp, webSocket }) =>
      samplesBy("port", [
        ["tcp", tcp.open],
        ["websocket", webSocket.open],
      ]),
    ),
  },
  {
    name: "chorus_clients_blocked",
    type: "gauge",
    help: "Connections in WAIT now.",
    read: running(({ commands }) => commands.blocked),
  },
  {
    name: "chorus_connections_total",
    type: "counter",
    help: "Client connections there were, those turned away among them.",
    labels: ["port"],
    read: perPort((counters) => counters.connectionsReceived),
  },
  {
    name: "chorus_client_input_bytes_total",
    type: "counter",
    help: "Bytes read from clients.",
    labels: ["port"],
    read: perPort((counters) => counters.inputBytes),
  },
  {
    name: "chorus_client_output_bytes_total",
    type: "counter",
    help: "Bytes of replies and pushes given to sockets.",
    labels: ["port"],
    read: perPort((counters) => counters.outputBytes),
  },
  {
    name: "chorus_protocol_errors_total",
    type: "counter",
    help: "Requests that made no sense; the connection was closed.",
    labels: ["port"],
    read: running(({ tcp, webSocket }) =>
      samplesBy("port", [
        ["tcp", tcp.counters.protocolErrors + tcp.counters.httpRefused],
        ["websocket", webSocket.counters.badMessages],
      ]),
    ),
  },
  {
    name: "chorus_limit_hits_total",
    type: "counter",
    help: "Times a bound was met that is not an error reply: see Limits. Those that are: chorus_errors_total (OOM, MISCONF, NOREPLICAS, BUSY).",
    labels: ["limit"],
    read: running(limitHits),
  },
  ...httpFamilies,
  {
    name: "chorus_watches",
    type: "gauge",
    help: "Readers of the feed of changes now: /watch, client WebSockets, keyspace events.",
    read: running(({ watches }) => watches),
  },
  {
    name: "chorus_backups_running",
    type: "gauge",
    help: "Backups that are read now.",
    read: running(({ backups }) => backups.running),
  },
  {
    name: "chorus_backups_total",
    type: "counter",
    help: "Backups that ended: sent whole; given_up, as the reader left or was too slow; failed, a fault of the peer; refused.",
    labels: ["result"],
    read: running(({ backups: { counters } }) =>
      samplesBy("result", [
        ["sent", counters.finished],
        ["given_up", counters.givenUp],
        ["failed", counters.failed],
        ["refused", counters.refused],
      ]),
    ),
  },
  {
    name: "chorus_backup_bytes_total",
    type: "counter",
    help: "Bytes of backups that ended, whole or not.",
    read: running(({ backups }) => backups.counters.bytes),
  },
  {
    name: "chorus_pubsub_subscriptions",
    type: "gauge",
    help: "Channels and patterns somebody listens to now.",
    labels: ["kind"],
    read: running(({ pubSub }) =>
      samplesBy("kind", [
        ["channels", pubSub.channels],
        ["patterns", pubSub.patterns],
      ]),
    ),
  },

  // The map.
  {
    name: "chorus_keys",
    type: "gauge",
    help: "Live keys.",
    read: running(({ replica }) => replica.state.map.liveCount),
  },
  {
    name: "chorus_keys_with_expiry",
    type: "gauge",
    help: "Of these, with an expiry.",
    read: running(({ replica }) => replica.state.map.withExpiryCount),
  },
  {
    name: "chorus_memory_bytes",
    type: "gauge",
    help: "Memory of the map, as counted against --max-memory.",
    read: running(({ replica }) => replica.state.map.bytes),
  },
  {
    name: "chorus_memory_max_bytes",
    type: "gauge",
    help: "--max-memory; 0 is no limit.",
    read: ({ memoryBytesMax }) => memoryBytesMax,
  },
  {
    name: "chorus_tombstones",
    type: "gauge",
    help: "Deletes that cannot be forgotten yet.",
    read: running(({ replica }) => replica.state.map.tombstoneCount),
  },
  {
    name: "chorus_tombstone_bytes",
    type: "gauge",
    help: "Memory they take.",
    read: running(({ replica }) => replica.state.map.tombstoneBytes),
  },
  {
    name: "chorus_tombstones_held",
    type: "gauge",
    help: "Tombstones that a peer holds back: it is away, or has yet to say what it has on disk.",
    labels: ["peer"],
    read: perPeer((peer) => peer.tombstonesHeld),
  },
  {
    name: "chorus_purged_total",
    type: "counter",
    help: "Cells forgotten because every peer had them on disk.",
    labels: ["kind"],
    read: running(({ replica: { state } }) =>
      samplesBy("kind", [
        ["tombstone", state.counts["purgedTombstones"] ?? 0],
        ["expired", state.counts["purgedExpired"] ?? 0],
      ]),
    ),
  },
  {
    name: "chorus_conflicts_total",
    type: "counter",
    help: "Conflicts that went into the journal of this peer since its start.",
    read: running(({ replica }) => replica.state.journal.recorded),
  },
  {
    name: "chorus_conflicts_kept",
    type: "gauge",
    help: 'Conflicts in the journal now. Those it let go: chorus_limit_hits_total{limit="conflict_journal"}.',
    read: running(({ replica }) => replica.state.journal.count),
  },

  // Strong keys.
  {
    name: "chorus_strong_standing",
    type: "gauge",
    help: `1 for what this disk is to strong keys: ${standings.join(", ")}. Only admitted ones answer.`,
    labels: ["state"],
    read: running(({ strong }) => stateSamples(standings, strong.standing)),
  },
  {
    name: "chorus_strong_answering",
    type: "gauge",
    help: "Peers this one reaches whose registers answer, itself among them.",
    read: running(({ strong }) => strong.answering),
  },
  {
    name: "chorus_strong_quorum",
    type: "gauge",
    help: "Peers that make a majority. While fewer answer, strong keys say NOQUORUM.",
    read: running(({ strong }) => strong.quorum),
  },
  {
    name: "chorus_strong_operations_total",
    type: "counter",
    help: "Operations on strong keys by outcome: done (also those that changed nothing), noquorum, unknown, busy.",
    labels: ["outcome"],
    read: running(({ strong: { counters } }) =>
      samplesBy("outcome", [
        ["done", counters.done],
        ["noquorum", counters.noQuorum],
        ["unknown", counters.unknown],
        ["busy", counters.busy],
      ]),
    ),
  },
  {
    name: "chorus_strong_operation_duration_seconds",
    type: "histogram",
    help: "From an operation's arrival at this peer to its outcome, whatever that was.",
    read: running(({ strong }) => histogramSamples(strong.operationTimes)),
  },
  {
    name: "chorus_strong_waiting",
    type: "gauge",
    help: "Operations that wait for an outcome now.",
    read: running(({ strong }) => strong.waitingCount),
  },
  {
    name: "chorus_strong_pending_rounds",
    type: "gauge",
    help: "Rounds under way for them, one per key.",
    read: running(({ strong }) => strong.status.pendingRounds),
  },
  {
    name: "chorus_strong_messages_total",
    type: "counter",
    help: "Link messages about registers; each carries what a turn had to say.",
    labels: ["direction"],
    read: running(({ strong: { counters } }) =>
      samplesBy("direction", [
        ["in", counters.messagesIn],
        ["out", counters.messagesOut],
      ]),
    ),
  },
  {
    name: "chorus_strong_keys",
    type: "gauge",
    help: "Strong keys that have a value, as this peer holds them.",
    read: running(({ strong }) => strong.keyCount),
  },
  {
    name: "chorus_strong_registers",
    type: "gauge",
    help: "Registers held: strong keys, and those deleted and not purged yet, which waits for all peers.",
    read: running(({ strong }) => strong.status.registers),
  },
  {
    name: "chorus_strong_memory_bytes",
    type: "gauge",
    help: "Memory they take; counted against --max-memory too.",
    read: running(({ strong }) => strong.bytes),
  },

  // Links to the other peers.
  {
    name: "chorus_link_up",
    type: "gauge",
    help: "1 when the link carries each write as it is made; 0 also while it catches up.",
    labels: ["peer"],
    read: perPeer((peer) => (peer.state === "up" ? 1 : 0)),
  },
  {
    name: "chorus_link_state",
    type: "gauge",
    help: `1 for the state the link is in: ${linkStates.join(", ")}.`,
    labels: ["peer", "state"],
    read: running(({ peers }) => peers.flatMap((peer) => stateSamples(linkStates, peer.state, { peer: peer.name }))),
  },
  {
    name: "chorus_lag_ops",
    type: "gauge",
    help: "Writes this peer has that the other has not said to have.",
    labels: ["peer"],
    read: perPeer((peer) => peer.lagOps),
  },
  {
    name: "chorus_lag_seconds",
    type: "gauge",
    help: "For how long the other has lacked the oldest of this peer's own writes that it lacks; heartbeats tell twice a second, so up to a second is no lag. Absent when it lacks only those of others.",
    labels: ["peer"],
    read: perPeer((peer) => seconds(peer.lagMs)),
  },
  {
    name: "chorus_behind_ops",
    type: "gauge",
    help: "Writes the other told of that this peer has yet to get.",
    labels: ["peer"],
    read: perPeer((peer) => peer.behindOps),
  },
  {
    name: "chorus_link_queue_bytes",
    type: "gauge",
    help: "Bytes that wait for the link's socket.",
    labels: ["peer"],
    read: perPeer((peer) => peer.queuedBytes),
  },
  {
    name: "chorus_link_rtt_seconds",
    type: "gauge",
    help: "Round-trip time on the link, smoothed.",
    labels: ["peer"],
    read: perPeer((peer) => seconds(peer.rttMs)),
  },
  {
    name: "chorus_clock_offset_seconds",
    type: "gauge",
    help: "The other's clock minus this peer's.",
    labels: ["peer"],
    read: perPeer((peer) => seconds(peer.clockOffsetMs)),
  },
  {
    name: "chorus_link_sent_bytes_total",
    type: "counter",
    help: "Payload sent, heartbeats aside.",
    labels: ["peer"],
    read: perLink((link) => link.sentBytes),
  },
  {
    name: "chorus_link_received_bytes_total",
    type: "counter",
    help: "Payload received.",
    labels: ["peer"],
    read: perLink((link) => link.receivedBytes),
  },
  {
    name: "chorus_link_connects_total",
    type: "counter",
    help: "Links there were to the peer: more than one means it was lost.",
    labels: ["peer"],
    read: perLink((link) => link.links),
  },
  {
    name: "chorus_clock_skew_state",
    type: "gauge",
    help: "1 for the state this peer's clock is in: ok, warning (more than 0.5 s from another's), refusing (takes no writes).",
    labels: ["state"],
    read: running(({ skewState }) => stateSamples(skewStates, skewState)),
  },
  {
    name: "chorus_clock_ahead_seconds",
    type: "gauge",
    help: "How far the stamps of writes are ahead of this peer's clock; negative when idle.",
    read: running(({ replica, wallMs }) => (stampToMs(replica.state.clock.last) - wallMs) / 1000),
  },
  {
    name: "chorus_paused_origins",
    type: "gauge",
    help: "Runs of peers whose writes wait here: stamped too far ahead of real time.",
    read: running(({ replica }) => replica.pausedOrigins().size),
  },

  // Do the peers hold the same?
  {
    name: "chorus_digest_agreement",
    type: "gauge",
    help: `1 for what is known of the other's map: ${verdicts.join(", ")}. While writes go on: syncing.`,
    labels: ["peer", "verdict"],
    read: running(({ peers }) =>
      peers.flatMap((peer) => stateSamples(verdicts, peer.verdict, { peer: peer.name }, "verdict")),
    ),
  },
  {
    name: "chorus_digest_comparisons_total",
    type: "counter",
    help: "Digests compared at equal version vectors and expiry horizons.",
    read: counted("digestsCompared"),
  },
  {
    name: "chorus_digest_mismatches_total",
    type: "counter",
    help: "Of these, those that differed: a bug, or memory that cannot be trusted.",
    read: counted("digestMismatches"),
  },
  {
    name: "chorus_repaired_keys_total",
    type: "counter",
    help: "Keys repaired from another peer after a mismatch.",
    read: running(({ catchUps }) => catchUps.repairedKeys),
  },

  // Replication.
  {
    name: "chorus_frames_applied_total",
    type: "counter",
    help: "Frames of other peers' writes applied.",
    read: counted("applied"),
  },
  {
    name: "chorus_frames_waited_total",
    type: "counter",
    help: "Of these, those that came before their causes and had to wait.",
    read: counted("waited"),
  },
  {
    name: "chorus_frames_duplicate_total",
    type: "counter",
    help: "Frames that were here already.",
    read: counted("duplicates"),
  },
  {
    name: "chorus_catch_ups_total",
    type: "counter",
    help: "Times another peer was brought up to date from the log.",
    read: running(({ catchUps }) => catchUps.sent),
  },
  {
    name: "chorus_catch_up_ops_total",
    type: "counter",
    help: "Writes sent by that.",
    read: running(({ catchUps }) => catchUps.opsSent),
  },
  {
    name: "chorus_transfers_total",
    type: "counter",
    help: "State transfers: sent (begun), because the log did not reach back; received (installed).",
    labels: ["direction"],
    read: running(({ catchUps }) =>
      samplesBy("direction", [
        ["sent", catchUps.transfersSent],
        ["received", catchUps.transfersReceived],
      ]),
    ),
  },
  {
    name: "chorus_transfer_cells_received_total",
    type: "counter",
    help: "Cells of the transfers installed.",
    read: running(({ catchUps }) => catchUps.transferCellsReceived),
  },

  // The disk.
  {
    name: "chorus_log_bytes",
    type: "gauge",
    help: "The log on disk.",
    read: running(({ storage }) => storage.log.bytes),
  },
  {
    name: "chorus_log_retention_bytes",
    type: "gauge",
    help: "--log-retention: beyond it a peer that is away gets a transfer instead.",
    read: ({ logRetentionBytes }) => logRetentionBytes,
  },
  {
    name: "chorus_log_appended_bytes_total",
    type: "counter",
    help: "Bytes of records appended to the log.",
    read: running(({ appendedBytes }) => appendedBytes),
  },
  {
    name: "chorus_log_unsynced_records",
    type: "gauge",
    help: "Records that a power loss now would take from the end of the log.",
    read: running(({ storage: { log } }) => log.nextLsn - log.syncedLsn),
  },
  {
    name: "chorus_fsync_duration_seconds",
    type: "histogram",
    help: "Syncs of the log.",
    read: running(({ fsyncTimes }) => histogramSamples(fsyncTimes)),
  },
  {
    name: "chorus_checkpoint_bytes",
    type: "gauge",
    help: "The checkpoint on disk.",
    read: running(({ checkpointBytes }) => checkpointBytes),
  },
  {
    name: "chorus_checkpoint_duration_seconds",
    type: "histogram",
    help: "Checkpoints, from begin to end; they go in slices beside everything else.",
    read: running(({ checkpointTimes }) => histogramSamples(checkpointTimes)),
  },
  {
    name: "chorus_checkpoint_age_seconds",
    type: "gauge",
    help: "Since the last checkpoint of this run ended; absent before. There is none while nothing changes.",
    read: running(({ maintenance, nowMs }) =>
      maintenance.checkpointFinishedAtMs === undefined
        ? undefined
        : (nowMs - maintenance.checkpointFinishedAtMs) / 1000,
    ),
  },
  {
    name: "chorus_disk_free_bytes",
    type: "gauge",
    help: `Free on the file system of --data. Below ${diskFreeBytesLow} writes are refused.`,
    read: running(({ diskFreeBytes }) => diskFreeBytes),
  },

  // The process.
  {
    name: "chorus_turns_total",
    type: "counter",
    help: "Turns of the event loop in which anything was done.",
    read: running(({ turns }) => turns),
  },
  {
    name: "chorus_event_loop_delay_max_seconds",
    type: "gauge",
    help: "The longest the event loop stood still within the last minute.",
    read: ({ loopDelays }) => loopDelays.maxMs / 1000,
  },
  {
    name: "chorus_event_loop_stalls_total",
    type: "counter",
    help: "Half seconds in which it stood still for more than 50 ms.",
    read: ({ loopDelays }) => loopDelays.slow,
  },
  ...processFamilies,
];
