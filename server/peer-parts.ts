/**
 * The parts of a peer, made and joined in two steps: the core, which turns need, when the data is read; and what serves
 * clients, when the run has begun. Nothing is opened or started here: that has an order, and the order is in peer.ts.
 */
import type { Admission } from "./admission.ts";
import { ClientPorts } from "./client-ports.ts";
import { makeExecutor } from "./commands/execute.ts";
import type { PeerConfig } from "./config.ts";
import type { ConflictFeed } from "./feed/conflict-feed.ts";
import { ReplicaFeed } from "./feed/replica-feed.ts";
import { PeerHost } from "./host.ts";
import type { LagClock } from "./lag-clock.ts";
import { linkFaultControl } from "./link-faults.ts";
import { LinkStreams } from "./link-streams.ts";
import type { LinkFaults, PeerLinks } from "./links/index.ts";
import type { Logger } from "./logger.ts";
import { Maintenance, type MaintenanceTiming } from "./maintenance.ts";
import { MapLock } from "./map-lock.ts";
import type { PeerMeasures } from "./metrics/peer-measures.ts";
import type { PeerReports, ServingParts } from "./peer-reports.ts";
import type { PubSubHub } from "./pubsub/hub.ts";
import { KeyEvents } from "./pubsub/key-events.ts";
import type { Ready, Replica } from "./replica/index.ts";
import { SliceGate } from "./slice-gate.ts";
import type { FileStorage } from "./storage/open.ts";
import type { StrongKeys } from "./strong/strong-keys.ts";
import { StrongStore } from "./strong/strong-store.ts";
import { TurnLoop } from "./turn-loop.ts";

/** What there is from the beginning, data or not. */
export interface BaseParts {
  readonly config: PeerConfig;
  readonly version: string;
  readonly logger: Logger;
  readonly replica: Replica;
  readonly strong: StrongKeys;
  readonly conflicts: ConflictFeed;
  readonly pubSub: PubSubHub;
  readonly faults: LinkFaults;
  readonly lag: LagClock;
  readonly measures: PeerMeasures;
  readonly admission: Admission;
  readonly reports: PeerReports;
  readonly maintenanceTiming: Partial<MaintenanceTiming>;
  readonly wallMs: () => number;
  /** Throws while there are none. */
  readonly links: () => PeerLinks;
  /** Something is broken that must not be gone on with. */
  readonly onFailure: (error: unknown) => void;
  readonly isStopping: () => boolean;
  /** SHUTDOWN. */
  readonly shutdown: () => void;
}

export interface Core {
  readonly storage: FileStorage;
  readonly loop: TurnLoop;
  readonly gate: SliceGate;
  readonly feed: ReplicaFeed;
  readonly streams: LinkStreams;
}

export interface Serving extends Core, ServingParts {
  readonly storage: FileStorage;
}

/** `onReady`: behind each append, with the core that is made here. */
export const makeCore = (base: BaseParts, storage: FileStorage, onReady: (core: Core, ready: Ready) => void): Core => {
  const { config, replica, strong, pubSub, logger, wallMs, onFailure, isStopping } = base;
  const { log } = storage;
  const loop = new TurnLoop({
    replica,
    log,
    tenant: strong,
    fsync: config.fsync,
    acks: config.acks,
    onReady: (ready) => onReady(core, ready),
    onFailure,
    wallMs,
  });
  const feed = new ReplicaFeed({
    replica,
    log,
    wallMs,
    onFailure: (error) => {
      if (!isStopping()) onFailure(error);
    },
  });
  const gate = new SliceGate(() => loop.turnMs);
  const streams = new LinkStreams({ replica, loop, log, gate, pubSub, strong, logger, onFailure });
  const core: Core = { storage, loop, gate, feed, streams };
  return core;
};

export const makeServing = (base: BaseParts, core: Core): Serving => {
  const { config, version, logger, replica, pubSub, measures, admission, reports, wallMs, onFailure } = base;
  const { storage, loop, gate, feed } = core;
  const lock = new MapLock(loop);
  const host: PeerHost = new PeerHost({
    config,
    version,
    replica,
    strong: base.strong,
    loop,
    lag: base.lag,
    links: base.links,
    admission,
    pubSub,
    keyEvents: new KeyEvents(pubSub, feed),
    slowLog: measures.slowLog,
    latencyEvents: measures.latencyEvents,
    linkFaults: config.faultLinks
      ? linkFaultControl({
          faults: base.faults,
          others: config.peers.map((peer) => peer.name).filter((name) => name !== config.name),
          onChange: (peer, fault) => logger.warn({ fault }, `FAULT LINK: ${peer}`),
        })
      : undefined,
    // The ports are made below: they need the host, which asks for them only when a command does.
    sessions: () => ports.sessions(),
    session: (id) => ports.session(id),
    kill: ({ id }) => ports.session(id)?.kill(),
    shutdown: base.shutdown,
    info: () => reports.info(),
    exclusively: (work) => lock.exclusively(work),
  });
  const executor = makeExecutor(host);
  const maintenance = new Maintenance({
    replica,
    storage,
    loop,
    gate,
    strong: new StrongStore(base.strong),
    logRetentionBytes: config.logRetentionBytes,
    onFailure,
    onCheckpoint: (report) => {
      measures.onCheckpoint(report);
      logger.debug({ cells: report.cells, ms: Math.round(report.tookMs) }, "checkpoint finished");
    },
    timing: base.maintenanceTiming,
  });
  const ports: ClientPorts = new ClientPorts({
    config,
    version,
    replica,
    log: storage.log,
    loop,
    gate,
    feed,
    conflicts: base.conflicts,
    host,
    executor,
    logger,
    wallMs,
    status: () => reports.status(),
    welcome: () => reports.welcome(),
    onFailure,
  });
  return { ...core, host, executor, maintenance, ports };
};
