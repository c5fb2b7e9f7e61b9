/**
 * One peer, from its start to its end: its parts (peer-parts.ts) opened, driven by timers, closed.
 *
 * Start: the HTTP port first (a loading peer says so), then the data is read, the new run's incarnation is made durable,
 * and only then links and clients are let in. Stop: clients are answered, the log is synced, the links end. Any failure
 * of the log ends the peer: memory may not outrun disk.
 *
 * A part that needs another which is made after it gets a function that gives it.
 */
import type { Server } from "node:http";
import { performance } from "node:perf_hooks";
import { conflictBytesMax } from "../protocol/limits.ts";
import { originId } from "../protocol/words.ts";
import { Admission } from "./admission.ts";
import type { PeerConfig } from "./config.ts";
import { ConflictFeed } from "./feed/conflict-feed.ts";
import { closeHttpServer, listenHttp } from "./http.ts";
import { drainHttp } from "./http-drain.ts";
import { LagClock } from "./lag-clock.ts";
import { LinkFaults, type LinkTiming, type PeerLinks } from "./links/index.ts";
import { createLogger, type Logger } from "./logger.ts";
import { LoopWatch, slowLoopMs } from "./loop-watch.ts";
import type { MaintenanceTiming } from "./maintenance.ts";
import { metricsOf } from "./metrics/family.ts";
import { peerFamilies } from "./metrics/peer-families.ts";
import { PeerMeasures } from "./metrics/peer-measures.ts";
import { packageVersion } from "./package-version.ts";
import { createPeerHttp } from "./peer-http.ts";
import { type BaseParts, type Core, makeCore, makeServing, type Serving } from "./peer-parts.ts";
import { PeerReports } from "./peer-reports.ts";
import { PeerRun } from "./peer-run.ts";
import { PubSubHub } from "./pubsub/hub.ts";
import { RateMeter } from "./rate-meter.ts";
import { recover } from "./recovery.ts";
import { InvariantError, type Ready, Replica, type ReplicaEvent, recordType } from "./replica/index.ts";
import { logReplicaEvent } from "./replica-event-log.ts";
import type { RunningPeer } from "./running-peer.ts";
import { type FileStorage, openFileStorage } from "./storage/open.ts";
import { StorageFailure } from "./storage/storage.ts";
import { StrongKeys } from "./strong/strong-keys.ts";
import { logStanding } from "./strong/strong-reports.ts";
import { encodePrefixes, StoredStrongKeys } from "./strong/strong-store.ts";

/** Facts, digests and clocks are told so often. Less: purging and relaying lag more; more: idle traffic. */
const heartbeatIntervalMs = 500;
const tickIntervalMs = 50;
const fsyncIntervalMs = 1000;
/** Facts speak of a finished sync, so the log is synced at least so often, whatever --fsync says. */
const factIntervalMs = 5000;
const recentBytesMax = 4 * 1024 * 1024;
const diskCheckIntervalMs = 2000;

export interface PeerOptions {
  readonly logger?: Logger;
  readonly maintenance?: Partial<MaintenanceTiming>;
  /** Bytes after which a log segment is followed by another: the log is trimmed by whole segments. */
  readonly segmentBytes?: number;
  readonly linkTiming?: Partial<LinkTiming>;
  /** Milliseconds, at least 1000. */
  readonly factIntervalMs?: number;
  readonly wallMs?: () => number;
}

export const runPeer = async (config: PeerConfig, options: PeerOptions = {}): Promise<RunningPeer> => {
  const peer = new Peer(config, options);
  try {
    await peer.open();
  } catch (error) {
    await peer.abandon();
    throw error;
  }
  return peer;
};

class Peer implements RunningPeer {
  readonly #options: PeerOptions;
  readonly #base: BaseParts;
  readonly #run: PeerRun;
  readonly #commandRate = new RateMeter();
  readonly #loopWatch: LoopWatch;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly stopped: Promise<{ readonly code: number; readonly reason: string }>;
  #onStopped: (end: { readonly code: number; readonly reason: string }) => void = () => {};
  #storage: FileStorage | undefined;
  #http: Server | undefined;
  #httpPort = 0;
  #core: Core | undefined;
  #serving: Serving | undefined;
  #closing: Promise<void> | undefined;
  #lastSyncAtMs = 0;

  constructor(config: PeerConfig, options: PeerOptions) {
    this.#options = options;
    this.stopped = new Promise((resolve) => {
      this.#onStopped = resolve;
    });
    const version = packageVersion();
    const logger = options.logger ?? createLogger(config);
    const wallMs = options.wallMs ?? Date.now;
    const onFailure = (error: unknown): void => this.#fail(error);
    const links = (): PeerLinks | undefined => this.#run.links;
    const faults = new LinkFaults();
    const pubSub = new PubSubHub();
    const measures = new PeerMeasures({ slowLoopMs, wallMs });
    const replica = new Replica({
      name: config.name,
      peers: config.peers.map((peer) => peer.name),
      clockSkewMaxMs: config.clockSkewMsMax,
      conflicts: { entriesMax: config.conflictsMax, bytesMax: conflictBytesMax },
      recentBytesMax,
    });
    this.#run = new PeerRun({
      config,
      replica,
      faults,
      linkTiming: options.linkTiming ?? {},
      logger,
      wallMs,
      onFailure,
      onSuperseded: (reason) => this.#end(1, reason),
    });
    const strong = new StrongKeys({
      name: config.name,
      peers: config.peers.map((peer) => peer.name),
      prefixes: config.strongPrefixes,
      timeoutMs: config.strongTimeoutMs,
      begin: () => this.#core?.loop.begin(),
      append: (bytes) => replica.appendForeign(recordType.registers, bytes),
      send: (to, message) => this.#core?.streams.sendRegisters(to, message),
      onStanding: (standing, before) => logStanding(logger, standing, before),
      onFailure,
    });
    this.#loopWatch = new LoopWatch({ measures, logger });
    const admission = new Admission({ config, replica, strong, faults, logger, wallMs, links });
    const reports = new PeerReports({
      config,
      version,
      replica,
      strong,
      admission,
      measures,
      commandRate: this.#commandRate,
      pubSub,
      wallMs,
      httpPort: () => this.#httpPort,
      links,
      serving: () => this.#serving,
    });
    this.#base = {
      strong,
      config,
      version,
      logger,
      replica,
      conflicts: new ConflictFeed(replica.state.journal),
      pubSub,
      faults,
      lag: new LagClock(),
      measures,
      admission,
      reports,
      maintenanceTiming: options.maintenance ?? {},
      wallMs,
      links: () => this.#run.openedLinks(),
      onFailure,
      isStopping: () => this.#closing !== undefined,
      shutdown: () => this.#end(0, "SHUTDOWN"),
    };
  }

  get tcpPort(): number {
    return this.#serving?.ports.tcp.port ?? 0;
  }

  get httpPort(): number {
    return this.#httpPort;
  }

  // ---- start --------------------------------------------------------------------------------------------------------

  async open(): Promise<void> {
    const { config, replica, strong, logger, admission } = this.#base;
    const storage = await this.#openStorage();
    await this.#openHttp();
    const stored = new StoredStrongKeys(strong);
    const recovery = await recover(storage, replica, (words) => logger.info(words), stored);
    stored.checkPrefixes(config.dataDirectory);
    const core = makeCore(this.#base, storage, (made, ready) => this.#onReady(made, ready));
    this.#core = core;
    await this.#run.begin(core.loop, { firstStart: recovery.firstStart });
    if (!stored.hasPrefixes) replica.appendForeign(recordType.strongPrefixes, encodePrefixes(strong.prefixes));
    this.#beginStrongKeys(recovery.firstStart);
    if (!recovery.firstStart) {
      logger.info(
        { cells: recovery.cells, records: recovery.records, ms: Math.round(recovery.tookMs) },
        `recovered ${replica.state.map.liveCount.toLocaleString("en")} keys`,
      );
    }
    const serving = makeServing(this.#base, core);
    this.#serving = serving;
    // Before the first client can ask: an empty disk must not answer as if all had been deleted.
    admission.judge();
    await serving.ports.open();
    admission.onLoaded();
    this.#run.openLinks(core.loop, core.streams);
    this.#startTimers(serving);
  }

  #beginStrongKeys(firstStart: boolean): void {
    const { config, replica, strong } = this.#base;
    const origin = originId(config.name, replica.state.incarnation);
    strong.start(origin);
    // Alone there is nobody else to take part without it.
    if (config.restored && config.peers.length > 1) strong.expel();
    else if (firstStart && config.bootstrap) strong.admitNew();
    if (config.readmitRegisters) strong.readmit(origin);
  }

  async #openStorage(): Promise<FileStorage> {
    const { segmentBytes } = this.#options;
    const { config, measures, logger } = this.#base;
    const storage = await openFileStorage({
      dir: config.dataDirectory,
      peerName: config.name,
      ...(segmentBytes === undefined ? {} : { segmentBytes }),
    });
    this.#storage = storage;
    storage.log.onSynced = (tookMs) => measures.onSynced(tookMs);
    for (const warning of storage.warnings) logger.warn(warning);
    return storage;
  }

  async #openHttp(): Promise<void> {
    const { config, reports, admission, measures, logger } = this.#base;
    this.#http = createPeerHttp({
      config,
      source: {
        status: () => reports.status(),
        checks: () => admission.checks(),
        metrics: metricsOf(peerFamilies, () => reports.figures()),
      },
      counts: measures.http,
      logger,
      links: () => this.#run.links,
      ports: () => this.#serving?.ports,
    });
    const { port } = await listenHttp(this.#http, { host: config.bind, port: config.httpPort });
    this.#httpPort = port;
  }

  // ---- timers ---------------------------------------------------------------------------------------------------------

  #startTimers({ loop, feed, streams, storage, executor, maintenance }: Serving): void {
    const { config, replica, lag, admission, wallMs } = this.#base;
    const { fsync } = config;
    this.#loopWatch.start();
    this.#every(tickIntervalMs, () => {
      loop.begin();
      // Before the replica's: what expired is told before the replica may forget that it was there.
      feed.tick(wallMs());
      replica.tick();
      lag.sample(performance.now(), replica.state.lastSeq);
      streams.scan();
      // Often: memory grows by megabytes between two looks, and with --acks a link that came or went decides.
      admission.judge();
    });
    this.#every(heartbeatIntervalMs, () => {
      loop.begin();
      replica.heartbeat();
      this.#run.tellLinksOfRuns();
      this.#loopWatch.look();
      this.#commandRate.sample(executor.stats.commands, performance.now());
    });
    this.#every(fsyncIntervalMs, () => {
      const due = performance.now() - this.#lastSyncAtMs >= (this.#options.factIntervalMs ?? factIntervalMs);
      if (!due && (fsync === "never" || !loop.unsynced)) return;
      this.#lastSyncAtMs = performance.now();
      loop.requestSync();
    });
    this.#every(diskCheckIntervalMs, () => {
      this.#lookAtDisk(storage).catch((error: unknown) => this.#fail(error));
    });
    maintenance.start();
  }

  #every(ms: number, work: () => void): void {
    this.#timers.push(
      setInterval(() => {
        try {
          work();
        } catch (error) {
          this.#fail(error);
        }
      }, ms),
    );
  }

  async #lookAtDisk(storage: FileStorage): Promise<void> {
    if (this.#closing !== undefined) return;
    const { measures, admission } = this.#base;
    const freeBytes = await storage.freeBytes();
    measures.diskFreeBytes = freeBytes;
    admission.onDiskFree(freeBytes);
    measures.checkpointBytes = await storage.checkpoint.bytes();
  }

  // ---- the end of a turn ------------------------------------------------------------------------------------------------

  #onReady(core: Core, ready: Ready): void {
    const { feed, streams } = core;
    // Before the events: an installed transfer is told to the feed as part of what is in the log.
    if (ready.append.length > 0) feed.onAppended(ready.append);
    streams.onReady(ready);
    for (const event of ready.events) this.#onEvent(core, event);
    for (const comparison of ready.comparisons) this.#serving?.host.onComparison(comparison);
    this.#base.conflicts.onTurn();
  }

  #onEvent({ loop, feed }: Core, event: ReplicaEvent): void {
    this.#base.measures.onReplicaEvent(event, loop.turnMs);
    if (event.type === "fatal") return this.#end(1, event.reason);
    if (event.type === "transfer-installed") {
      this.#serving?.maintenance.requestCheckpoint();
      feed.onCells(`a state transfer from ${event.peer} was installed`);
    } else if (event.type === "repaired") {
      feed.onCells(`cells were repaired from ${event.peer}`);
    } else if (event.type === "gate-opened") {
      this.#base.admission.judge();
    }
    logReplicaEvent(this.#base.logger, event);
  }

  // ---- end ----------------------------------------------------------------------------------------------------------------

  /** Something is broken that must not be gone on with: no acknowledgement leaves any more. */
  #fail(error: unknown): void {
    this.#core?.loop.abort();
    const ours = error instanceof InvariantError || !(error instanceof StorageFailure);
    this.#base.logger.fatal(
      { err: error },
      ours ? "stopping: a bug, or memory that cannot be trusted" : "stopping: the disk failed",
    );
    this.#onStopped({ code: 1, reason: error instanceof Error ? error.message : String(error) });
  }

  #end(code: number, reason: string): void {
    if (code !== 0) {
      this.#core?.loop.abort();
      this.#base.logger.fatal(reason);
      this.#onStopped({ code, reason });
      return;
    }
    this.close().then(
      () => this.#onStopped({ code, reason }),
      (error: unknown) => this.#fail(error),
    );
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#base.logger.info("stopping");
    const serving = this.#serving;
    this.#base.admission.onDraining();
    if (this.#http !== undefined) drainHttp(this.#http);
    this.#core?.streams.stop();
    for (const timer of this.#timers) clearInterval(timer);
    this.#loopWatch.stop();
    const portsClosed = serving?.ports.close();
    this.#core?.feed.close();
    await portsClosed;
    await serving?.maintenance.stop();
    this.#base.strong.stop();
    if (serving !== undefined) {
      // Once more around, so that the last frames leave for the peers before the links end.
      await serving.loop.flushAndSync();
      serving.loop.stop();
      serving.streams.close();
    }
    await this.#run.closeLinks();
    await serving?.loop.flushAndSync();
    if (this.#http !== undefined) await closeHttpServer(this.#http);
    await this.#storage?.close();
    this.#onStopped({ code: 0, reason: "closed" });
  }

  /** The start failed: let go of what was taken, saying nothing of what fails besides. */
  async abandon(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#base.strong.stop();
    await this.#serving?.ports.abandon();
    await this.#run.closeLinks().catch(() => undefined);
    if (this.#http !== undefined) await closeHttpServer(this.#http, 0).catch(() => undefined);
    await this.#storage?.close().catch(() => undefined);
  }
}
