/**
 * One peer put together from its parts: storage, replica, turn loop, links, ports.
 *
 * Start: the HTTP port first (a loading peer says so), then the data is read, the new run's incarnation is made durable,
 * and only then links and clients are let in. Stop: clients are answered, the log is synced, the links end. Any failure
 * of the log ends the peer: memory may not outrun disk.
 */
import { randomInt } from "node:crypto";
import { readFileSync } from "node:fs";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { Mutex } from "async-mutex";
import { DecodeFault } from "../protocol/bytes.ts";
import { conflictBytesMax, diskFreeBytesLow, linkQueueHighBytes, linkTurnMs, portCloseMs } from "../protocol/limits.ts";
import { publishedKind } from "../protocol/published.ts";
import { type Incarnation, originId, type PeerName } from "../protocol/words.ts";
import { BackupStreams } from "./backup/backup-streams.ts";
import { makeExecutor } from "./commands/execute.ts";
import { stopListening } from "./commands/pubsub.ts";
import type { Session } from "./commands/session.ts";
import type { PeerConfig } from "./config.ts";
import { ConflictFeed } from "./feed/conflict-feed.ts";
import { ReplicaFeed } from "./feed/replica-feed.ts";
import { PeerHost } from "./host.ts";
import { closeHttpServer, createHttpServer, type HealthCheck, listenHttp } from "./http.ts";
import { infoSections } from "./info.ts";
import { LagClock } from "./lag-clock.ts";
import { LatencyWindow } from "./latency-window.ts";
import { linkFaultControl, linkFaultOf } from "./link-faults.ts";
import { LinkOutbox } from "./link-outbox.ts";
import { type Link, type LinkEvents, LinkFaults, type LinkTiming, PeerLinks } from "./links/index.ts";
import { refuseUpgrade } from "./links/refuse-upgrade.ts";
import { createLogger, type Logger } from "./logger.ts";
import { Maintenance, type MaintenanceTiming } from "./maintenance.ts";
import { CountedRoutes } from "./metrics/counted-routes.ts";
import { metricsOf } from "./metrics/family.ts";
import { type PeerFigures, peerFamilies } from "./metrics/peer-families.ts";
import { PeerMeasures } from "./metrics/peer-measures.ts";
import { processFigures } from "./metrics/process-families.ts";
import { passwordCheckOf } from "./password-check.ts";
import type { Welcome } from "./ports/client-socket-owner.ts";
import { ClientSocketPort } from "./ports/client-socket-port.ts";
import { TcpPort } from "./ports/tcp.ts";
import { WatchStreams } from "./ports/watch-stream.ts";
import { PubSubHub } from "./pubsub/hub.ts";
import { KeyEvents } from "./pubsub/key-events.ts";
import { PublishRelay } from "./pubsub/relay.ts";
import { RateMeter } from "./rate-meter.ts";
import { recover } from "./recovery.ts";
import { InvariantError, judgeClock, type Ready, Replica, type ReplicaEvent, stampToMs } from "./replica/index.ts";
import type { RunningPeer } from "./running-peer.ts";
import { addressTest, hostPortToText } from "./settings.ts";
import { SliceGate } from "./slice-gate.ts";
import { statusReport } from "./status-report.ts";
import { type FileStorage, openFileStorage } from "./storage/open.ts";
import { LogTrimmed, StorageFailure } from "./storage/storage.ts";
import { TurnLoop } from "./turn-loop.ts";
import { answerFailure } from "./web/answers.ts";
import { KvFailure } from "./web/kv-backend.ts";
import { KvRoutes } from "./web/kv-routes.ts";
import { PeerBackend } from "./web/peer-backend.ts";

/** Facts, digests and clocks are told so often. Less: purging and relaying lag more; more: idle traffic. */
const heartbeatIntervalMs = 500;
const tickIntervalMs = 50;
const fsyncIntervalMs = 1000;
/** Facts speak of a finished sync, so the log is synced at least so often, whatever --fsync says. */
const factIntervalMs = 5000;
const recentBytesMax = 4 * 1024 * 1024;
/** An event loop that stood still this long is logged. */
const slowLoopMs = 50;
/** At most one such line in this time, with the worst of it. */
const slowLoopLogMs = 10_000;
const diskCheckIntervalMs = 2000;
/** A transfer takes at most about a third of the loop: slices of some 0.7 ms, with this pause between. 25 MB/s. */
const scanSliceBytes = 64 * 1024;
const scanPauseMs = 2;

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

const readingData = new KvFailure("LOADING", "this peer is reading its data");

const packageVersion = (): string => {
  for (const up of ["../package.json", "../../package.json"]) {
    try {
      const { version } = JSON.parse(readFileSync(new URL(up, import.meta.url), "utf8")) as { version?: unknown };
      if (typeof version === "string") return version;
    } catch {
      // From dist/ it lies one level further up.
    }
  }
  return "unknown";
};

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

class Peer implements RunningPeer, LinkEvents {
  readonly #config: PeerConfig;
  readonly #options: PeerOptions;
  readonly #logger: Logger;
  readonly #version = packageVersion();
  readonly #startedAtMs = performance.now();
  readonly #mapMutex = new Mutex();
  readonly #gate = new SliceGate(() => this.#loop.turnMs);
  readonly #replica: Replica;
  readonly #loopDelay = monitorEventLoopDelay({ resolution: 10 });
  readonly #rate = new RateMeter();
  readonly #lag = new LagClock();
  readonly #linksById = new Map<number, Link>();
  readonly #outbox = new LinkOutbox();
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #faults = new LinkFaults();
  readonly #pubSub = new PubSubHub();
  readonly #measures = new PeerMeasures({ slowLoopMs, wallMs: () => this.#wallMs() });
  readonly #relay = new PublishRelay({
    links: () => this.#linksById.values(),
    send: (link, message) => this.#outbox.send(link, message),
    deliver: (channel, message) => this.#pubSub.deliver(channel, message),
  });
  readonly stopped: Promise<{ readonly code: number; readonly reason: string }>;
  #onStopped: (end: { readonly code: number; readonly reason: string }) => void = () => {};
  #storage: FileStorage | undefined;
  #loop!: TurnLoop;
  #feed: ReplicaFeed | undefined;
  readonly #conflicts: ConflictFeed;
  #host!: PeerHost;
  #executor!: ReturnType<typeof makeExecutor>;
  #maintenance!: Maintenance;
  #links: PeerLinks | undefined;
  #tcp: TcpPort | undefined;
  #clients: ClientSocketPort | undefined;
  #watches: WatchStreams | undefined;
  #backups: BackupStreams | undefined;
  #web: PeerBackend | undefined;
  #http: ReturnType<typeof createHttpServer> | undefined;
  #httpPort = 0;
  #loaded = false;
  #draining = false;
  #closing: Promise<void> | undefined;
  #scanScheduled = false;
  #scanSlices = 0;
  #lastSessionId = 0;
  #skew: ReturnType<typeof judgeClock> = { state: "ok" };
  #diskLow = false;
  #checkpointBytes = 0;
  #lastSyncAtMs = 0;
  #slowestMs = 0;
  #slowLoggedAtMs = 0;
  /** Links whose queue is above the high-water mark. */
  readonly #full = new Set<number>();

  constructor(config: PeerConfig, options: PeerOptions) {
    this.#config = config;
    this.#options = options;
    this.#logger = options.logger ?? createLogger(config);
    this.stopped = new Promise((resolve) => {
      this.#onStopped = resolve;
    });
    this.#pubSub.onPublish = (channel, message) => this.#relay.add(channel, message);
    this.#replica = new Replica({
      name: config.name,
      peers: config.peers.map((peer) => peer.name),
      clockSkewMaxMs: config.clockSkewMsMax,
      conflicts: { entriesMax: config.conflictsMax, bytesMax: conflictBytesMax },
      recentBytesMax,
    });
    this.#conflicts = new ConflictFeed(this.#replica.state.journal);
  }

  get tcpPort(): number {
    return this.#tcp?.port ?? 0;
  }

  get httpPort(): number {
    return this.#httpPort;
  }

  // ---- start --------------------------------------------------------------------------------------------------------

  async open(): Promise<void> {
    const config = this.#config;
    const { segmentBytes } = this.#options;
    const storage = await openFileStorage({
      dir: config.dataDirectory,
      peerName: config.name,
      ...(segmentBytes === undefined ? {} : { segmentBytes }),
    });
    this.#storage = storage;
    storage.log.onSynced = (tookMs) => this.#measures.onSynced(tookMs);
    for (const warning of storage.warnings) this.#logger.warn(warning);
    await this.#openHttp();
    const recovery = await recover(storage, this.#replica, (words) => this.#logger.info(words));
    this.#loop = new TurnLoop({
      replica: this.#replica,
      log: storage.log,
      fsync: config.fsync,
      acks: config.acks,
      onReady: (ready) => this.#onReady(ready),
      onFailure: (error) => this.#fail(error),
      ...(this.#options.wallMs === undefined ? {} : { wallMs: this.#options.wallMs }),
    });
    this.#feed = new ReplicaFeed({
      replica: this.#replica,
      log: storage.log,
      wallMs: () => this.#wallMs(),
      onFailure: (error) => {
        if (this.#closing === undefined) this.#fail(error);
      },
    });
    await this.#startRun(recovery.firstStart);
    if (!recovery.firstStart) {
      this.#logger.info(
        { cells: recovery.cells, records: recovery.records, ms: Math.round(recovery.tookMs) },
        `recovered ${this.#replica.state.map.liveCount.toLocaleString("en")} keys`,
      );
    }
    this.#host = new PeerHost({
      config,
      version: this.#version,
      replica: this.#replica,
      loop: this.#loop,
      lag: this.#lag,
      links: () => this.#openLinks(),
      pubSub: this.#pubSub,
      keyEvents: new KeyEvents(this.#pubSub, this.#feed),
      slowLog: this.#measures.slowLog,
      latencyEvents: this.#measures.latencyEvents,
      linkFaults: config.faultLinks
        ? linkFaultControl({
            faults: this.#faults,
            others: config.peers.map((peer) => peer.name).filter((name) => name !== config.name),
            onChange: (peer, fault) => this.#logger.warn({ fault }, `FAULT LINK: ${peer}`),
          })
        : undefined,
      sessions: () => this.#sessions(),
      session: (id) => this.#tcp?.session(id) ?? this.#clients?.session(id),
      kill: ({ id }) => (this.#tcp?.session(id) ?? this.#clients?.session(id))?.kill(),
      shutdown: () => {
        this.#end(0, "SHUTDOWN");
      },
      info: () => this.#info(),
      exclusively: (work) => this.#exclusively(work),
    });
    this.#executor = makeExecutor(this.#host);
    this.#maintenance = new Maintenance({
      replica: this.#replica,
      storage,
      loop: this.#loop,
      gate: this.#gate,
      logRetentionBytes: config.logRetentionBytes,
      onFailure: (error) => this.#fail(error),
      onCheckpoint: (report) => {
        this.#measures.onCheckpoint(report);
        this.#logger.debug({ cells: report.cells, ms: Math.round(report.tookMs) }, "checkpoint finished");
      },
      ...(this.#options.maintenance === undefined ? {} : { timing: this.#options.maintenance }),
    });
    this.#tcp = new TcpPort({
      host: config.bind,
      port: config.tcpPort,
      execute: this.#executor,
      turn: this.#loop,
      requiresAuthentication: config.password !== undefined,
      ...(config.proxies.length === 0 ? {} : { isTrustedProxy: addressTest(config.proxies) }),
      nextSessionId: () => ++this.#lastSessionId,
      onSessionClosed: (session) => stopListening(session, this.#host),
    });
    this.#watches = new WatchStreams({
      feed: this.#feed,
      readRefusal: () => this.#host.readRefusal(),
      checkPassword: this.#host.checkPassword,
    });
    this.#web = new PeerBackend({
      execute: this.#executor,
      turn: this.#loop,
      feed: this.#feed,
      run: () => originId(config.name, this.#replica.state.incarnation),
      nextSessionId: () => ++this.#lastSessionId,
    });
    this.#backups = new BackupStreams({
      replica: this.#replica,
      log: storage.log,
      begin: () => this.#loop.begin(),
      flush: () => this.#loop.flush(),
      pass: (pauseMs) => this.#gate.pass(pauseMs),
      wallMs: () => this.#wallMs(),
      header: () => ({ cluster: config.clusterId, peer: config.name, version: this.#version }),
      readRefusal: () => this.#host.readRefusal(),
      checkPassword: this.#host.checkPassword,
      onEvent: (words, facts) => this.#logger.info(facts, words),
      onFailure: (error) => this.#fail(error),
    });
    this.#clients = new ClientSocketPort({
      execute: this.#executor,
      turn: this.#loop,
      feed: this.#feed,
      conflicts: this.#conflicts,
      status: () => this.#status(),
      readRefusal: () => this.#host.readRefusal(),
      checkPassword: this.#host.checkPassword,
      welcome: () => this.#welcome(),
      nextSessionId: () => ++this.#lastSessionId,
    });
    await this.#tcp.open();
    this.#loaded = true;
    this.#judge();
    this.#newLinks();
    this.#startTimers();
  }

  /** The new run, durable before anything else is done. `above`: an incarnation known elsewhere, to be surpassed. */
  async #startRun(firstStart: boolean, above?: Incarnation): Promise<void> {
    this.#replica.start({
      nowMs: this.#wallMs(),
      elapsedMs: performance.now(),
      random: randomInt(36 ** 4)
        .toString(36)
        .padStart(4, "0"),
      above,
      bootstrap: this.#config.bootstrap,
      firstStart,
      rolledBack: this.#config.restored && above === undefined,
    });
    const incarnation = await this.#loop.startRun();
    this.#logger.info({ incarnation }, "run begins");
  }

  *#sessions(): Iterable<Session> {
    if (this.#tcp !== undefined) yield* this.#tcp.sessions();
    if (this.#clients !== undefined) yield* this.#clients.sessions();
  }

  #welcome(): Welcome {
    return {
      peer: this.#config.name,
      incarnation: this.#replica.state.incarnation,
      cluster: this.#config.clusterId,
      version: this.#version,
      peers: this.#peerAddresses(),
    };
  }

  /** One that runs alone may have taken any free port: its own entry says where it listens. */
  #peerAddresses(): readonly { readonly name: string; readonly address: string }[] {
    const { name, peers } = this.#config;
    return peers.map((peer) => ({
      name: peer.name,
      address: hostPortToText(peer.name === name && peer.port === 0 ? { ...peer, port: this.#httpPort } : peer),
    }));
  }

  #wallMs(): number {
    return (this.#options.wallMs ?? Date.now)();
  }

  async #openHttp(): Promise<void> {
    const config = this.#config;
    this.#http = createHttpServer({
      source: {
        status: () => this.#status(),
        checks: () => this.#checks(),
        metrics: metricsOf(peerFamilies, () => this.#figures()),
      },
      upgrades: new Map([
        [
          "/peer",
          (request, socket, head) => {
            if (this.#links !== undefined) this.#links.handleUpgrade(request, socket, head);
            else socket.destroy();
          },
        ],
        [
          "/client",
          (request, socket, head) => {
            if (this.#clients !== undefined) return this.#clients.handleUpgrade(request, socket, head);
            socket.on("error", () => socket.destroy());
            refuseUpgrade(socket, 503, "this peer is reading its data");
          },
        ],
      ]),
      routes: new CountedRoutes(
        new KvRoutes({
          backend: { call: (call) => this.#web?.call(call) ?? Promise.reject(readingData) },
          checkPassword: passwordCheckOf(config.password),
          onError: (error) => this.#logger.error({ err: error }, "HTTP request failed"),
        }),
        this.#measures.http,
      ),
      streams: new Map([
        [
          "/watch",
          (request, response) => {
            if (this.#watches !== undefined) this.#watches.handle(request, response);
            else answerFailure(request, response, readingData);
          },
        ],
        [
          "/backup",
          (request, response) => {
            if (this.#backups !== undefined) this.#backups.handle(request, response);
            else answerFailure(request, response, readingData);
          },
        ],
      ]),
      pagePaths: new Set(["/client"]),
      allowOrigins: config.allowOrigins,
      hosts: [config.advertise.host, ...config.peers.map((peer) => peer.host)],
      onError: (error) => this.#logger.error({ err: error }, "HTTP request failed"),
    });
    const { port } = await listenHttp(this.#http, { host: config.bind, port: config.httpPort });
    this.#httpPort = port;
  }

  #openLinks(): PeerLinks {
    if (this.#links === undefined) throw new Error("links are asked for only once the peer is open");
    return this.#links;
  }

  #newLinks(): void {
    const config = this.#config;
    const { linkTiming } = this.#options;
    this.#links = new PeerLinks({
      name: config.name,
      incarnation: this.#replica.state.incarnation,
      clusterId: config.clusterId,
      peers: new Map(config.peers.map((peer) => [peer.name, hostPortToText(peer)])),
      secrets: config.secrets,
      events: this,
      faults: this.#faults,
      ...(linkTiming === undefined ? {} : { timing: linkTiming }),
      onStaleIncarnation: (newest, from) => this.#onStaleIncarnation(newest, from),
    });
    this.#links.open();
  }

  /** Our disk was lost and our clock is behind the run before it: take a newer incarnation, while nothing was written. */
  #onStaleIncarnation(newest: Incarnation, from: PeerName): void {
    const { state } = this.#replica;
    if (state.lastSeq > 0) {
      this.#end(1, `${from} knows a newer run of ${state.name} (${newest}) than this one, which has already written`);
      return;
    }
    this.#logger.warn({ newest, from }, "a newer run of this peer is known: beginning another, above it");
    const links = this.#links;
    this.#links = undefined;
    Promise.resolve(links?.close("a newer incarnation is taken"))
      .then(() => this.#startRun(false, newest))
      .then(() => this.#newLinks())
      .catch((error: unknown) => this.#fail(error));
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

  #startTimers(): void {
    const { fsync } = this.#config;
    this.#loopDelay.enable();
    this.#every(tickIntervalMs, () => {
      this.#loop.begin();
      // Before the replica's: what expired is told before the replica may forget that it was there.
      this.#feed?.tick(this.#wallMs());
      this.#replica.tick();
      this.#lag.sample(performance.now(), this.#replica.state.lastSeq);
      this.#scan();
      // Often: memory grows by megabytes between two looks, and with --acks a link that came or went decides.
      this.#judge();
    });
    this.#every(heartbeatIntervalMs, () => {
      this.#loop.begin();
      this.#replica.heartbeat();
      this.#tellLinksOfRuns();
      this.#watchLoop();
      this.#rate.sample(this.#executor.stats.commands, performance.now());
    });
    this.#every(fsyncIntervalMs, () => {
      const due = performance.now() - this.#lastSyncAtMs >= (this.#options.factIntervalMs ?? factIntervalMs);
      if (!due && (fsync === "never" || !this.#loop.unsynced)) return;
      this.#lastSyncAtMs = performance.now();
      this.#loop.requestSync();
    });
    this.#every(diskCheckIntervalMs, () => {
      this.#checkDisk().catch((error: unknown) => this.#fail(error));
    });
    this.#maintenance.start();
  }

  /** What others told of newer runs: a connection of an older one is refused at its handshake. */
  #tellLinksOfRuns(): void {
    const { peers, view } = this.#replica.state.facts;
    peers.forEach((peer, index) => {
      const incarnation = view[index];
      if (peer !== this.#config.name && incarnation) this.#links?.noteIncarnation(peer, incarnation);
    });
  }

  async #checkDisk(): Promise<void> {
    const storage = this.#storage;
    if (storage === undefined || this.#closing !== undefined) return;
    const freeBytes = await storage.freeBytes();
    this.#measures.diskFreeBytes = freeBytes;
    const low = freeBytes < diskFreeBytesLow;
    if (low !== this.#diskLow) {
      this.#diskLow = low;
      if (low) this.#logger.error("the disk is nearly full: writes are refused until there is room again");
      else this.#logger.info("the disk has room again: writes are taken");
      this.#judge();
    }
    this.#checkpointBytes = await storage.checkpoint.bytes();
  }

  #watchLoop(): void {
    const delayMs = this.#loopDelay.max / 1e6;
    this.#loopDelay.reset();
    this.#measures.onLoopDelay(delayMs);
    this.#slowestMs = Math.max(this.#slowestMs, delayMs);
    if (this.#slowestMs <= slowLoopMs || performance.now() - this.#slowLoggedAtMs < slowLoopLogMs) return;
    this.#slowLoggedAtMs = performance.now();
    this.#logger.warn({ ms: Math.round(this.#slowestMs) }, "the event loop stood still");
    this.#slowestMs = 0;
  }

  // ---- what is refused, and why ---------------------------------------------------------------------------------------

  #judge(): void {
    const { state } = this.#replica;
    const config = this.#config;
    const offsets = (this.#links?.status() ?? []).flatMap(({ peer, clockOffsetMs, state: link }) =>
      link === "up" && clockOffsetMs !== undefined ? [{ peer, offsetMs: clockOffsetMs }] : [],
    );
    const before = this.#skew.state;
    this.#skew = judgeClock({
      offsetsMs: offsets,
      peersCount: config.peers.length,
      aheadMs: stampToMs(state.clock.last) - this.#wallMs(),
      skewMaxMs: config.clockSkewMsMax,
    });
    if (this.#skew.state !== before) {
      if (this.#skew.state === "ok") this.#logger.info("clocks agree again");
      else if (this.#skew.state === "refusing") this.#logger.error(`writes are refused: ${this.#skew.why}`);
      else this.#logger.warn(this.#skew.why);
    }
    const host = this.#host;
    host.readsRefused = state.gated
      ? `LOADING this peer's disk was empty or rolled back; it answers once it has caught up with another peer`
      : undefined;
    host.writesRefused = this.#draining
      ? "LOADING this peer is stopping"
      : this.#skew.state === "refusing"
        ? `CLOCKSKEW ${this.#skew.why}`
        : this.#diskLow
          ? "MISCONF the disk of this peer is nearly full; it takes no writes until there is room"
          : this.#linksUp() < config.acks
            ? "NOREPLICAS Not enough good replicas to write."
            : undefined;
    host.growthRefused =
      config.memoryBytesMax > 0 && state.map.bytes > config.memoryBytesMax
        ? "OOM command not allowed when used memory > 'maxmemory'."
        : undefined;
  }

  #linksUp(): number {
    let up = 0;
    for (const link of this.#replica.links()) if (link.ready) up++;
    return up;
  }

  #checks(): readonly HealthCheck[] {
    const { gated } = this.#replica.state;
    return [
      { name: "loading", ok: this.#loaded, detail: "reading its data" },
      { name: "gate", ok: !gated, detail: "its disk was empty or rolled back: catching up with another peer" },
      { name: "draining", ok: !this.#draining, detail: "stopping" },
      { name: "clock", ok: this.#skew.state !== "refusing", detail: this.#skew.state === "ok" ? "" : this.#skew.why },
      { name: "disk", ok: !this.#diskLow, detail: "nearly full" },
    ];
  }

  // ---- the map's lock -------------------------------------------------------------------------------------------------

  #exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#mapMutex.runExclusive(async () => {
      let free: () => void = () => {};
      this.#loop.blocked = new Promise<void>((resolve) => {
        free = resolve;
      });
      try {
        return await work();
      } finally {
        this.#loop.blocked = undefined;
        free();
      }
    });
  }

  // ---- effects of the replica -------------------------------------------------------------------------------------------

  #onReady(ready: Ready): void {
    // Before the events: an installed transfer is told to the feed as part of what is in the log.
    if (ready.append.length > 0) this.#feed?.onAppended(ready.append);
    for (const { link, bytes } of ready.send) this.#outbox.send(link, bytes);
    // Behind the turn's frames.
    this.#relay.flush();
    this.#outbox.endTurn();
    for (const { link, reason } of ready.close) this.#linksById.get(link)?.close(reason);
    for (const { link, from, bytesMax } of ready.reads) this.#readLog(link, from, bytesMax);
    for (const event of ready.events) this.#onEvent(event);
    for (const comparison of ready.comparisons) this.#host.onComparison(comparison);
    this.#conflicts.onTurn();
    if (ready.send.length > 0) this.#watchQueues();
    if (!this.#scanScheduled && this.#replica.scanning().length > 0) this.#scan();
  }

  /** A link whose queue is above the high-water mark is left where it stands; onLinkWritable goes on. */
  #watchQueues(): void {
    for (const link of this.#linksById.values()) {
      if (link.queuedBytes > linkQueueHighBytes && !this.#full.has(link.id)) {
        this.#full.add(link.id);
        this.#replica.linkBlocked(link.id, true);
      }
    }
  }

  #readLog(linkId: number, from: number, bytesMax: number): void {
    const storage = this.#storage;
    if (storage === undefined) return;
    storage.log.read(from, bytesMax).then(
      (records) => this.#loggedRead(linkId, records),
      (error: unknown) => {
        if (error instanceof LogTrimmed) this.#loggedRead(linkId, undefined);
        else if (this.#closing === undefined) this.#fail(error);
      },
    );
  }

  #loggedRead(linkId: number, records: Parameters<Replica["logRead"]>[1]): void {
    try {
      this.#loop.begin();
      this.#replica.logRead(linkId, records);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Scans for transfers: a slice at a time, of one link after the other, clients between. */
  #scan(): void {
    if (this.#scanScheduled || this.#closing !== undefined || this.#replica.scanning().length === 0) return;
    this.#scanScheduled = true;
    setTimeout(() => this.#scanSlice(0), scanPauseMs);
  }

  #scanSlice(refusals: number): void {
    if (!this.#gate.tryTake(refusals)) {
      setImmediate(() => this.#scanSlice(refusals + 1));
      return;
    }
    this.#scanScheduled = false;
    try {
      this.#loop.begin();
      const links = this.#replica.scanning();
      const link = links[this.#scanSlices++ % links.length];
      if (link !== undefined) this.#replica.scanSlice(link, scanSliceBytes);
      this.#scan();
    } catch (error) {
      this.#fail(error);
    }
  }

  #onEvent(event: ReplicaEvent): void {
    const logger = this.#logger;
    this.#measures.onReplicaEvent(event, this.#loop.turnMs);
    switch (event.type) {
      case "caught-up":
        return logger.info({ frames: event.frames, ops: event.ops }, `sent ${event.peer} what it lacked`);
      case "transfer-started":
        return logger.info(
          { full: event.full },
          event.outgoing ? `state transfer to ${event.peer} begins` : `state transfer from ${event.peer} begins`,
        );
      case "transfer-installed":
        this.#maintenance.requestCheckpoint();
        this.#feed?.onCells(`a state transfer from ${event.peer} was installed`);
        return logger.info(
          { cells: event.cells, dropped: event.dropped, full: event.full },
          `state transfer from ${event.peer} installed`,
        );
      case "gate-opened":
        this.#judge();
        return logger.info(`takes clients now: ${event.why}`);
      case "stream-paused":
        return logger.error(
          { aheadMs: Math.round(event.aheadMs) },
          `writes of ${event.origin} are stamped too far ahead of real time: they wait`,
        );
      case "digest-mismatch":
        return logger.error(
          `digest differs from ${event.peer}'s at equal version vectors: repairing (see DIFF ${event.peer})`,
        );
      case "repaired":
        this.#feed?.onCells(`cells were repaired from ${event.peer}`);
        return logger.warn({ keys: event.keys }, `repaired from ${event.peer}`);
      case "fatal":
        return this.#end(1, event.reason);
      default:
        return event satisfies never;
    }
  }

  // ---- links ------------------------------------------------------------------------------------------------------------

  onLinkUp(link: Link): void {
    this.#linksById.set(link.id, link);
    this.#outbox.add(link.id, link);
    this.#logger.info({ address: link.remoteAddress, incarnation: link.incarnation }, `link to ${link.peer} up`);
    this.#loop.begin();
    this.#replica.linkUp(link.id, link.peer, link.incarnation);
  }

  onLinkMessage(link: Link, message: Uint8Array): void {
    try {
      this.#loop.begin();
      if (message[0] === publishedKind) this.#relay.receive(message);
      else this.#replica.receive(link.id, message);
      if (this.#loop.turnMs > linkTurnMs) link.rest();
    } catch (error) {
      if (!(error instanceof DecodeFault)) return this.#fail(error);
      this.#logger.error({ peer: link.peer }, `a message of ${link.peer} makes no sense: ${error.message}`);
      link.close(`bad message: ${error.message}`);
    }
  }

  onLinkDown(link: Link, reason: string): void {
    this.#linksById.delete(link.id);
    this.#outbox.remove(link.id);
    this.#full.delete(link.id);
    this.#loop.begin();
    this.#replica.linkDown(link.id);
    if (this.#closing === undefined) this.#logger.warn(`link to ${link.peer} down: ${reason}`);
  }

  onLinkWritable(link: Link): void {
    this.#full.delete(link.id);
    this.#loop.begin();
    this.#replica.linkBlocked(link.id, false);
  }

  onLinkRefused(peer: string, code: string, message: string): void {
    this.#logger.warn({ code }, `link with ${peer} refused: ${message}`);
  }

  // ---- reports ------------------------------------------------------------------------------------------------------------

  #alarms(): string[] {
    const alarms: string[] = [];
    const { state } = this.#replica;
    if (this.#skew.state !== "ok") alarms.push(this.#skew.why);
    if (this.#diskLow) alarms.push("the disk is nearly full");
    for (const [origin, aheadMs] of this.#replica.pausedOrigins()) {
      alarms.push(`writes of ${state.origins.id(origin)} wait: stamped ${Math.round(aheadMs)} ms ahead`);
    }
    for (const { name } of this.#config.peers) {
      const cut = this.#faults.cutOf(name);
      if (cut !== undefined) alarms.push(`the link to ${name} is cut by FAULT LINK (${linkFaultOf(cut)})`);
    }
    for (const link of this.#replica.links()) {
      if (link.digestMismatches > 1) alarms.push(`digest differs from ${link.peer}'s at equal version vectors`);
    }
    return alarms;
  }

  #status(): unknown {
    const storage = this.#storage;
    const running =
      this.#loaded && storage !== undefined
        ? {
            replica: this.#replica,
            storage,
            maintenance: this.#maintenance,
            peers: this.#links === undefined ? [] : this.#host.peers(),
            checkpointBytes: this.#checkpointBytes,
          }
        : undefined;
    // Who reads a status may act on it, such as stop counting on another copy: it tells only of what is in the log.
    if (running !== undefined) this.#loop.flush();
    return statusReport({
      config: this.#config,
      version: this.#version,
      startedAtMs: this.#startedAtMs,
      tcpPort: this.tcpPort,
      httpPort: this.#httpPort,
      running,
      reasons: this.#checks()
        .filter((check) => !check.ok)
        .map((check) => check.detail),
      alarms: this.#alarms(),
      opsPerSecond: this.#rate.perSecond,
      latency: (this.#loop?.latency ?? new LatencyWindow()).report(performance.now()),
      clients: {
        tcp: this.#tcp?.connectionCount ?? 0,
        webSocket: this.#clients?.connectionCount ?? 0,
        blocked: this.#executor?.stats.blocked ?? 0,
        watches: this.#feed?.subscriberCount ?? 0,
      },
      peers: this.#peerAddresses(),
      skewState: this.#skew.state,
    });
  }

  #figures(): PeerFigures {
    const { loopDelays, latencyEvents, slowLog, fsyncTimes, checkpointTimes, catchUps, diskFreeBytes } = this.#measures;
    const [config, storage, tcp, clients] = [this.#config, this.#storage, this.#tcp, this.#clients];
    const isRunning = this.#loaded && storage !== undefined && tcp !== undefined && clients !== undefined;
    if (isRunning) this.#loop.begin();
    return {
      process: processFigures(),
      version: this.#version,
      name: config.name,
      cluster: config.clusterId,
      checks: this.#checks(),
      http: this.#measures.http,
      alarms: this.#alarms().length,
      loopDelays,
      latencyEvents,
      memoryBytesMax: config.memoryBytesMax,
      logRetentionBytes: config.logRetentionBytes,
      running: isRunning
        ? {
            replica: this.#replica,
            storage,
            maintenance: this.#maintenance,
            commands: this.#executor.stats,
            slowCommands: slowLog.recorded,
            peers: this.#links === undefined ? [] : this.#host.peers().filter((peer) => !peer.self),
            links: this.#links?.status() ?? [],
            wallMs: this.#wallMs(),
            nowMs: performance.now(),
            skewState: this.#skew.state,
            turns: this.#loop.counters.turns,
            appendedBytes: this.#loop.counters.appendedBytes,
            replyTimes: this.#loop.replyTimes,
            fsyncTimes,
            checkpointTimes,
            checkpointBytes: this.#checkpointBytes,
            diskFreeBytes,
            catchUps,
            tcp: { open: tcp.connectionCount, counters: tcp.counters },
            webSocket: { open: clients.connectionCount, counters: clients.counters },
            watches: this.#feed?.subscriberCount ?? 0,
            pubSub: this.#pubSub.counts,
            publishMissed: this.#relay.missed,
          }
        : undefined,
    };
  }

  #info(): ReturnType<typeof infoSections> {
    const [tcp, clients] = [this.#tcp?.counters, this.#clients?.counters];
    const { stats } = this.#executor;
    return infoSections({
      config: this.#config,
      version: this.#version,
      replica: this.#replica,
      tcpPort: this.tcpPort,
      startedAtMs: this.#startedAtMs,
      clients: (this.#tcp?.connectionCount ?? 0) + (this.#clients?.connectionCount ?? 0),
      blockedClients: stats.blocked,
      commands: stats.commands,
      opsPerSecond: this.#rate.perSecond,
      keyspaceHits: stats.keyspaceHits,
      keyspaceMisses: stats.keyspaceMisses,
      connectionsReceived: (tcp?.connectionsReceived ?? 0) + (clients?.connectionsReceived ?? 0),
      connectionsRejected: (tcp?.connectionsRejected ?? 0) + (clients?.connectionsRejected ?? 0),
      inputBytes: (tcp?.inputBytes ?? 0) + (clients?.inputBytes ?? 0),
      outputBytes: (tcp?.outputBytes ?? 0) + (clients?.outputBytes ?? 0),
      pubSub: this.#pubSub.counts,
      publishMissed: this.#relay.missed,
      linksUp: this.#linksUp(),
      loading: this.#replica.state.gated,
      checkpointRunning: this.#replica.checkpointer.running,
      logBytes: this.#storage?.log.bytes ?? 0,
    });
  }

  // ---- end ----------------------------------------------------------------------------------------------------------------

  /** Something is broken that must not be gone on with: no acknowledgement leaves any more. */
  #fail(error: unknown): void {
    this.#loop?.abort();
    const ours = error instanceof InvariantError || !(error instanceof StorageFailure);
    this.#logger.fatal(
      { err: error },
      ours ? "stopping: a bug, or memory that cannot be trusted" : "stopping: the disk failed",
    );
    this.#onStopped({ code: 1, reason: error instanceof Error ? error.message : String(error) });
  }

  #end(code: number, reason: string): void {
    if (code !== 0) {
      this.#loop.abort();
      this.#logger.fatal(reason);
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
    this.#logger.info("stopping");
    this.#draining = true;
    if (this.#loaded) this.#judge();
    for (const timer of this.#timers) clearInterval(timer);
    this.#loopDelay.disable();
    this.#watches?.close();
    this.#feed?.close();
    await this.#backups?.close();
    await Promise.all([this.#tcp?.close(), this.#clients?.close(), this.#web?.close(portCloseMs)]);
    await this.#maintenance?.stop();
    if (this.#loaded) {
      // Once more around, so that the last frames leave for the peers before the links end.
      await this.#loop.flushAndSync();
      this.#loop.stop();
      this.#outbox.close();
    }
    await this.#links?.close();
    if (this.#loaded) await this.#loop.flushAndSync();
    if (this.#http !== undefined) await closeHttpServer(this.#http);
    await this.#storage?.close();
    this.#onStopped({ code: 0, reason: "closed" });
  }

  /** The start failed: let go of what was taken, saying nothing of what fails besides. */
  async abandon(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.#tcp?.close(0).catch(() => undefined);
    this.#watches?.close();
    await this.#backups?.close();
    await this.#clients?.close(0).catch(() => undefined);
    await this.#links?.close().catch(() => undefined);
    if (this.#http !== undefined) await closeHttpServer(this.#http, 0).catch(() => undefined);
    await this.#storage?.close().catch(() => undefined);
  }
}
