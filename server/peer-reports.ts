/**
 * What a peer says of itself: `/status`, `/metrics`, INFO, the greeting of clients. The parts are gathered here, for each
 * report anew; what a report makes of them is in status-report.ts, metrics/peer-families.ts and info.ts.
 */
import { performance } from "node:perf_hooks";
import type { Admission } from "./admission.ts";
import { linksUp } from "./admission.ts";
import type { ClientPorts } from "./client-ports.ts";
import type { Executor } from "./commands/execute.ts";
import type { PeerReport } from "./commands/session.ts";
import type { PeerConfig } from "./config.ts";
import type { ReplicaFeed } from "./feed/replica-feed.ts";
import type { PeerHost } from "./host.ts";
import { infoSections } from "./info.ts";
import { LatencyWindow } from "./latency-window.ts";
import type { LinkStreams } from "./link-streams.ts";
import type { PeerLinks } from "./links/index.ts";
import type { Maintenance } from "./maintenance.ts";
import type { PeerFigures } from "./metrics/peer-figures.ts";
import type { PeerMeasures } from "./metrics/peer-measures.ts";
import { processFigures } from "./metrics/process-families.ts";
import type { Welcome } from "./ports/client-socket-owner.ts";
import type { PubSubHub } from "./pubsub/hub.ts";
import type { RateMeter } from "./rate-meter.ts";
import { InvariantError, type Replica } from "./replica/index.ts";
import { hostPortToText } from "./settings.ts";
import { statusReport } from "./status-report.ts";
import type { Storage } from "./storage/storage.ts";
import type { StrongKeys } from "./strong/strong-keys.ts";
import type { TurnLoop } from "./turn-loop.ts";

export interface PeerReportsParts {
  readonly config: PeerConfig;
  readonly version: string;
  readonly replica: Replica;
  readonly strong: StrongKeys;
  readonly admission: Admission;
  readonly measures: PeerMeasures;
  readonly commandRate: RateMeter;
  readonly pubSub: PubSubHub;
  readonly wallMs: () => number;
  readonly httpPort: () => number;
  /** Undefined while there are none. */
  readonly links: () => PeerLinks | undefined;
  /** Undefined while the data is read. */
  readonly serving: () => ServingParts | undefined;
}

/** What there is once the data is read. */
export interface ServingParts {
  readonly storage: Storage;
  readonly loop: TurnLoop;
  readonly feed: ReplicaFeed;
  readonly streams: LinkStreams;
  readonly maintenance: Maintenance;
  readonly host: PeerHost;
  readonly executor: Executor;
  readonly ports: ClientPorts;
}

export class PeerReports {
  readonly #parts: PeerReportsParts;
  readonly #startedAtMs = performance.now();

  constructor(parts: PeerReportsParts) {
    this.#parts = parts;
  }

  welcome(): Welcome {
    const { config, version, replica } = this.#parts;
    return {
      peer: config.name,
      incarnation: replica.state.incarnation,
      cluster: config.clusterId,
      version,
      peers: this.#addresses(),
      strongPrefixes: config.strongPrefixes,
    };
  }

  /** One that runs alone may have taken any free port: its own entry says where it listens. */
  #addresses(): readonly { readonly name: string; readonly address: string }[] {
    const { config, httpPort } = this.#parts;
    return config.peers.map((peer) => ({
      name: peer.name,
      address: hostPortToText(peer.name === config.name && peer.port === 0 ? { ...peer, port: httpPort() } : peer),
    }));
  }

  #serving(): ServingParts | undefined {
    return this.#parts.admission.isLoaded ? this.#parts.serving() : undefined;
  }

  /** Empty while there are no links: then nothing is known of anybody. */
  #peers(host: PeerHost): readonly PeerReport[] {
    return this.#parts.links() === undefined ? [] : host.peers();
  }

  status(): unknown {
    const { config, version, replica, strong, admission, measures, commandRate } = this.#parts;
    const serving = this.#serving();
    // Who reads a status may act on it, such as stop counting on another copy: it tells only of what is in the log.
    serving?.loop.flush();
    return statusReport({
      config,
      version,
      startedAtMs: this.#startedAtMs,
      tcpPort: serving?.ports.tcp.port ?? 0,
      httpPort: this.#parts.httpPort(),
      strong,
      running:
        serving === undefined
          ? undefined
          : {
              replica,
              storage: serving.storage,
              maintenance: serving.maintenance,
              peers: this.#peers(serving.host),
              checkpointBytes: measures.checkpointBytes,
            },
      reasons: admission
        .checks()
        .filter((check) => !check.ok)
        .map((check) => check.detail),
      alarms: admission.alarms(),
      opsPerSecond: commandRate.perSecond,
      latency: (serving?.loop.latency ?? new LatencyWindow()).report(performance.now()),
      clients: {
        tcp: serving?.ports.tcp.connectionCount ?? 0,
        webSocket: serving?.ports.sockets.connectionCount ?? 0,
        blocked: serving?.executor.stats.blocked ?? 0,
        watches: serving?.feed.subscriberCount ?? 0,
      },
      peers: this.#addresses(),
      skewState: admission.clockState,
    });
  }

  figures(): PeerFigures {
    const { config, version, admission, measures } = this.#parts;
    const { loopDelays, latencyEvents, http } = measures;
    const serving = this.#serving();
    serving?.loop.begin();
    return {
      process: processFigures(),
      version,
      name: config.name,
      cluster: config.clusterId,
      checks: admission.checks(),
      http,
      alarms: admission.alarms().length,
      loopDelays,
      latencyEvents,
      memoryBytesMax: config.memoryBytesMax,
      logRetentionBytes: config.logRetentionBytes,
      running: serving === undefined ? undefined : this.#servingFigures(serving),
    };
  }

  #servingFigures(serving: ServingParts): NonNullable<PeerFigures["running"]> {
    const { replica, strong, admission, measures, pubSub, links, wallMs } = this.#parts;
    const { slowLog, fsyncTimes, checkpointTimes, checkpointBytes, catchUps, diskFreeBytes } = measures;
    const { storage, loop, maintenance, executor, host, feed, streams } = serving;
    const { tcp, sockets, backups } = serving.ports;
    return {
      replica,
      strong,
      storage,
      maintenance,
      commands: executor.stats,
      slowCommands: slowLog.recorded,
      peers: this.#peers(host).filter((peer) => !peer.self),
      links: links()?.status() ?? [],
      wallMs: wallMs(),
      nowMs: performance.now(),
      skewState: admission.clockState,
      turns: loop.counters.turns,
      appendedBytes: loop.counters.appendedBytes,
      replyTimes: loop.replyTimes,
      fsyncTimes,
      checkpointTimes,
      checkpointBytes,
      diskFreeBytes,
      catchUps,
      tcp: { open: tcp.connectionCount, counters: tcp.counters },
      webSocket: { open: sockets.connectionCount, counters: sockets.counters },
      watches: feed.subscriberCount,
      backups: { running: backups.count, counters: backups.counters },
      pubSub: pubSub.counts,
      publishMissed: streams.publishMissed,
    };
  }

  /** Asked for by commands, so the peer serves. */
  info(): ReturnType<typeof infoSections> {
    const { config, version, replica, strong, commandRate, pubSub } = this.#parts;
    const serving = this.#parts.serving();
    if (serving === undefined) throw new InvariantError("commands run only at a peer that serves");
    const { ports, storage, streams } = serving;
    const [tcp, sockets] = [ports.tcp.counters, ports.sockets.counters];
    const { stats } = serving.executor;
    return infoSections({
      config,
      version,
      replica,
      strong,
      tcpPort: ports.tcp.port,
      startedAtMs: this.#startedAtMs,
      clients: ports.connectionCount,
      blockedClients: stats.blocked,
      commands: stats.commands,
      opsPerSecond: commandRate.perSecond,
      keyspaceHits: stats.keyspaceHits,
      keyspaceMisses: stats.keyspaceMisses,
      connectionsReceived: tcp.connectionsReceived + sockets.connectionsReceived,
      connectionsRejected: tcp.connectionsRejected + sockets.connectionsRejected,
      inputBytes: tcp.inputBytes + sockets.inputBytes,
      outputBytes: tcp.outputBytes + sockets.outputBytes,
      pubSub: pubSub.counts,
      publishMissed: streams.publishMissed,
      linksUp: linksUp(replica),
      loading: replica.state.gated,
      checkpointRunning: replica.checkpointer.running,
      logBytes: storage.log.bytes,
    });
  }
}
