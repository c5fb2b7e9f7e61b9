/** The fields of INFO, with Redis's names where Redis has them: what clients, exporters and `--stat` read. */
import { performance } from "node:perf_hooks";
import type { PeerConfig } from "./config.ts";
import type { Replica } from "./replica/index.ts";
import type { StrongKeys } from "./strong/strong-keys.ts";

export interface InfoParts {
  readonly config: PeerConfig;
  readonly version: string;
  readonly replica: Replica;
  readonly strong: StrongKeys;
  readonly tcpPort: number;
  readonly startedAtMs: number;
  readonly clients: number;
  readonly blockedClients: number;
  readonly commands: number;
  readonly opsPerSecond: number;
  readonly keyspaceHits: number;
  readonly keyspaceMisses: number;
  readonly connectionsReceived: number;
  readonly connectionsRejected: number;
  readonly inputBytes: number;
  readonly outputBytes: number;
  readonly pubSub: { readonly channels: number; readonly patterns: number; readonly clients: number };
  /** Batches of published messages that a link was too full to be sent. */
  readonly publishMissed: number;
  readonly linksUp: number;
  readonly loading: boolean;
  readonly checkpointRunning: boolean;
  readonly logBytes: number;
}

const human = (bytes: number): string => {
  const units = ["B", "K", "M", "G", "T"];
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return unit === 0 ? `${bytes}B` : `${value.toFixed(2)}${units[unit]}`;
};

export const infoSections = (parts: InfoParts): ReadonlyMap<string, ReadonlyMap<string, string | number>> => {
  const { config, replica, strong, version } = parts;
  const { state } = replica;
  const { status: registers, counters } = strong;
  const usage = process.memoryUsage();
  const uptimeSeconds = Math.floor((performance.now() - parts.startedAtMs) / 1000);
  const section = (fields: Record<string, string | number>): ReadonlyMap<string, string | number> =>
    new Map(Object.entries(fields));
  const keys = state.map.liveCount;
  return new Map([
    [
      "Server",
      section({
        redis_version: "7.4.0",
        chorus_version: version,
        redis_mode: "standalone",
        os: `${process.platform} ${process.arch}`,
        arch_bits: 64,
        process_id: process.pid,
        run_id: `${config.name}.${state.incarnation}`,
        tcp_port: parts.tcpPort,
        uptime_in_seconds: uptimeSeconds,
        uptime_in_days: Math.floor(uptimeSeconds / 86_400),
        node_version: process.version,
      }),
    ],
    [
      "Clients",
      section({
        connected_clients: parts.clients,
        blocked_clients: parts.blockedClients,
        pubsub_clients: parts.pubSub.clients,
      }),
    ],
    [
      "Memory",
      section({
        used_memory: state.map.bytes,
        used_memory_human: human(state.map.bytes),
        used_memory_rss: usage.rss,
        used_memory_rss_human: human(usage.rss),
        heap_used: usage.heapUsed,
        heap_total: usage.heapTotal,
        external: usage.external,
        array_buffers: usage.arrayBuffers,
        maxmemory: config.memoryBytesMax,
        maxmemory_human: human(config.memoryBytesMax),
        maxmemory_policy: "noeviction",
      }),
    ],
    [
      "Persistence",
      section({
        loading: parts.loading ? 1 : 0,
        loading_eta_seconds: parts.loading ? 1 : 0,
        rdb_bgsave_in_progress: parts.checkpointRunning ? 1 : 0,
        bgsave_in_progress: parts.checkpointRunning ? 1 : 0,
        aof_enabled: 1,
        aof_rewrite_in_progress: 0,
        log_bytes: parts.logBytes,
      }),
    ],
    [
      "Stats",
      section({
        total_connections_received: parts.connectionsReceived,
        total_commands_processed: parts.commands,
        instantaneous_ops_per_sec: parts.opsPerSecond,
        total_net_input_bytes: parts.inputBytes,
        total_net_output_bytes: parts.outputBytes,
        rejected_connections: parts.connectionsRejected,
        keyspace_hits: parts.keyspaceHits,
        keyspace_misses: parts.keyspaceMisses,
        expired_keys: state.counts["purgedExpired"] ?? 0,
        evicted_keys: 0,
        pubsub_channels: parts.pubSub.channels,
        pubsub_patterns: parts.pubSub.patterns,
        chorus_publish_missed: parts.publishMissed,
      }),
    ],
    [
      "Replication",
      section({
        role: "master",
        connected_slaves: 0,
        chorus_peer: config.name,
        chorus_cluster: config.clusterId,
        chorus_peers: config.peers.length,
        chorus_links_up: parts.linksUp,
        chorus_gated: state.gated ? 1 : 0,
        chorus_digest: state.map.digest.text,
        chorus_tombstones: state.map.tombstoneCount,
        chorus_conflicts: state.journal.count,
        chorus_conflicts_dropped: state.journal.dropped,
      }),
    ],
    [
      "Strong",
      section({
        strong_prefixes: strong.prefixes.join(","),
        strong_standing: strong.standing,
        strong_keys: strong.keyCount,
        strong_memory: strong.bytes,
        strong_leases: registers.leases,
        strong_waiting: strong.waitingCount,
        strong_pending_rounds: registers.pendingRounds,
        strong_quorum: strong.quorum,
        strong_reachable: strong.reachable,
        strong_answering: strong.answering,
        strong_done: counters.done,
        strong_noquorum: counters.noQuorum,
        strong_unknown: counters.unknown,
        strong_busy: counters.busy,
      }),
    ],
    [
      "Keyspace",
      keys === 0 ? section({}) : section({ db0: `keys=${keys},expires=${state.map.withExpiryCount},avg_ttl=0` }),
    ],
  ]);
};
