/**
 * One gateway put together from its parts: the pool of peers, the read cache and its feed, the HTTP port, the TCP balancer.
 *
 * It keeps nothing that outlives it: any number may run, each for itself. It listens at once, ready or not; `/readyz` says
 * whether a peer is up. Stop: `/readyz` says no for a moment, so that balancers before it look elsewhere; requests under
 * way are answered, TCP connections end when nothing is under way on them, then the peers are left.
 */
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import type { GatewayStatus } from "../../protocol/gateway-status.ts";
import { gatewayStatusFormat } from "../../protocol/gateway-status.ts";
import { closeHttpServer, createHttpServer, type HealthCheck, listenHttp } from "../http.ts";
import { drainHttp } from "../http-drain.ts";
import { createLogger, type Logger } from "../logger.ts";
import { CountedRoutes } from "../metrics/counted-routes.ts";
import { GatewayCounts, type GatewayState, gatewayMetrics, type UpstreamFigures } from "../metrics/gateway-families.ts";
import { LoopDelays } from "../metrics/loop-delay.ts";
import { packageVersion } from "../package-version.ts";
import { passwordCheckOf } from "../password-check.ts";
import { RateMeter } from "../rate-meter.ts";
import { hostPortToText } from "../settings.ts";
import { KvRoutes } from "../web/kv-routes.ts";
import { CacheFeed } from "./cache-feed.ts";
import type { GatewayConfig } from "./config.ts";
import { GatewayBackend } from "./gateway-backend.ts";
import type { GatewayPeer } from "./gateway-peer.ts";
import { isUp, PeerPool } from "./peer-pool.ts";
import { ReadCache } from "./read-cache.ts";
import { TcpBalancer } from "./tcp-balancer.ts";
import { WatchRelay } from "./watch-relay.ts";

/** A gateway that serves. */
export interface RunningGateway {
  /** 0: it balances no TCP. */
  readonly tcpPort: number;
  readonly httpPort: number;
  /** Twice is fine. */
  close(): Promise<void>;
  readonly stopped: Promise<{ readonly code: number; readonly reason: string }>;
}

export interface GatewayOptions {
  readonly logger?: Logger;
  /** How long `/readyz` says no before ports close, ms. */
  readonly farewellMs?: number;
}

/** What a balancer that asks every second may need to hear of it. Without requests under way nobody waits for it. */
const farewellMsDefault = 1000;
const rateIntervalMs = 500;
const slowLoopMs = 50;
/** HTTP requests under way get this long, beyond what a call may take. */
const httpGraceMs = 500;

export const runGateway = async (config: GatewayConfig, options: GatewayOptions = {}): Promise<RunningGateway> => {
  const gateway = new Gateway(config, options);
  await gateway.open();
  return gateway;
};

class Gateway implements RunningGateway {
  readonly #config: GatewayConfig;
  readonly #options: GatewayOptions;
  readonly #logger: Logger;
  readonly #startedAtMs = performance.now();
  readonly #version = packageVersion();
  readonly #pool: PeerPool;
  readonly #cache: ReadCache | undefined;
  readonly #feed: CacheFeed | undefined;
  readonly #backend: GatewayBackend;
  readonly #tcp: TcpBalancer | undefined;
  readonly #watches: WatchRelay<GatewayPeer>;
  readonly #http: ReturnType<typeof createHttpServer>;
  readonly #rate = new RateMeter();
  readonly #counts = new GatewayCounts();
  readonly #loopDelay = monitorEventLoopDelay({ resolution: 10 });
  readonly #loopDelays = new LoopDelays(slowLoopMs);
  #httpConnections = 0;
  #rateTimer: NodeJS.Timeout | undefined;
  #httpPort = 0;
  #tcpPort = 0;
  #draining = false;
  #closing: Promise<void> | undefined;
  readonly stopped: Promise<{ readonly code: number; readonly reason: string }>;
  #onStopped: (end: { readonly code: number; readonly reason: string }) => void = () => undefined;

  constructor(config: GatewayConfig, options: GatewayOptions) {
    this.#config = config;
    this.#options = options;
    this.#logger =
      options.logger ?? createLogger({ name: "gateway", logLevel: config.logLevel, logFormat: config.logFormat });
    this.stopped = new Promise((resolve) => {
      this.#onStopped = resolve;
    });
    // The file holds bytes, the wire takes text.
    const password = config.password === undefined ? undefined : Buffer.from(config.password, "latin1").toString();
    this.#pool = new PeerPool({
      ...config,
      password,
      logger: this.#logger,
      onDown: (peer) => {
        this.#tcp?.cutPeer(peer.name);
        this.#watches.leave(peer);
      },
      onChange: () => {
        this.#feed?.onPeers();
        this.#backend.onPeers();
      },
    });
    if (config.cacheBytesMax > 0) {
      this.#cache = new ReadCache(config.cacheBytesMax);
      this.#feed = new CacheFeed({
        cache: this.#cache,
        pool: this.#pool,
        password,
        logger: this.#logger,
      });
    }
    const feed = this.#feed;
    this.#backend = new GatewayBackend({
      pool: this.#pool,
      cache: this.#cache,
      isFeedAlive: () => feed?.isAlive === true,
      timeoutMs: config.timeoutMs,
      staleAfterMs: config.staleAfterMs,
    });
    if (config.balancesTcp) {
      this.#tcp = new TcpBalancer({
        host: config.bind,
        port: config.tcpPort,
        proxyProtocol: config.proxyProtocol,
        targets: () => this.#pool.tcpTargets(),
        onRefused: (target, why) => {
          this.#logger.debug({ why }, `peer ${target.name} did not take a TCP connection`);
          this.#pool.onTcpRefused(target);
        },
      });
    }
    const checkPassword = passwordCheckOf(config.password);
    this.#watches = new WatchRelay({
      choose: (avoid) => this.#pool.forFeed(avoid),
      password: config.password,
      checkPassword,
    });
    const routes = new KvRoutes({
      backend: this.#backend,
      checkPassword,
      onError: (error) => this.#logger.error({ err: error }, "HTTP request failed"),
    });
    const counted = new CountedRoutes(routes, this.#counts.http);
    const metrics = gatewayMetrics({
      version: this.#version,
      name: "gateway",
      counts: this.#counts,
      loopDelays: this.#loopDelays,
      state: () => this.#metricsState(),
    });
    this.#http = createHttpServer({
      source: { status: () => this.#status(), checks: () => this.#checks(), metrics },
      routes: counted,
      streams: new Map([["/watch", (request, response) => this.#watches.handle(request, response)]]),
      counts: this.#counts.http,
      upgrades: new Map(),
      allowOrigins: config.allowOrigins,
      hosts: config.hosts,
      who: "gateway",
      onError: (error) => this.#logger.error({ err: error }, "HTTP request failed"),
    });
  }

  /** Of the HTTP port, for metrics. */
  #countConnections(): void {
    this.#http.on("connection", (socket) => {
      this.#httpConnections += 1;
      socket.once("close", () => {
        this.#httpConnections -= 1;
      });
    });
  }

  get tcpPort(): number {
    return this.#tcpPort;
  }

  get httpPort(): number {
    return this.#httpPort;
  }

  async open(): Promise<void> {
    const { bind, httpPort } = this.#config;
    this.#countConnections();
    const { port } = await listenHttp(this.#http, { host: bind, port: httpPort });
    this.#httpPort = port;
    try {
      await this.#tcp?.open();
    } catch (error) {
      await closeHttpServer(this.#http, 0);
      throw error;
    }
    this.#tcpPort = this.#tcp?.port ?? 0;
    this.#pool.open();
    this.#feed?.open();
    this.#loopDelay.enable();
    this.#rateTimer = setInterval(() => {
      const nowMs = performance.now();
      this.#rate.sample(this.#requests(), nowMs);
      this.#loopDelays.note(this.#loopDelay.max / 1e6, nowMs);
      this.#loopDelay.reset();
    }, rateIntervalMs);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#draining = true;
    drainHttp(this.#http);
    this.#logger.info("stopping");
    const { timeoutMs, drainMs } = this.#config;
    const { farewellMs = farewellMsDefault } = this.#options;
    // Whoever balances over several gateways hears of it before the port is gone; alone nobody has to wait.
    if (this.#httpConnections + (this.#tcp?.connectionCount ?? 0) > 0) await delay(farewellMs);
    this.#watches.close();
    await Promise.all([closeHttpServer(this.#http, timeoutMs + httpGraceMs), this.#tcp?.close(drainMs)]);
    clearInterval(this.#rateTimer);
    this.#loopDelay.disable();
    this.#backend.close();
    await this.#feed?.close();
    await this.#pool.close();
    this.#onStopped({ code: 0, reason: "stopped" });
  }

  // ---- Reports --------------------------------------------------------------------------------------------------------

  #requests(): number {
    return this.#backend.counters.calls + (this.#cache?.counters.hits ?? 0);
  }

  #checks(): readonly HealthCheck[] {
    const isServed = this.#pool.peers.some(({ state }) => isUp(state));
    return [
      { name: "peers", ok: isServed, detail: "no peer is up" },
      { name: "draining", ok: !this.#draining, detail: "stopping" },
    ];
  }

  #metricsState(): GatewayState {
    const { pool, counts, tcp, cache } = { pool: this.#pool, counts: this.#counts, tcp: this.#tcp, cache: this.#cache };
    counts.retries = this.#backend.counters.retries;
    counts.writeFailovers = pool.writeFailovers;
    if (cache !== undefined) {
      counts.cacheHits = cache.counters.hits;
      counts.cacheMisses = cache.counters.misses;
      counts.cacheBypasses = cache.counters.bypasses;
      counts.cacheInvalidations = cache.counters.invalidations;
      counts.cacheEvictions = cache.counters.evictions;
    }
    if (tcp !== undefined) {
      counts.tcpConnections = tcp.counters.connectionsReceived;
      counts.tcpConnectionsRefused = tcp.counters.connectionsRejected + tcp.counters.connectionsUnserved;
      counts.tcpInputBytes = tcp.counters.bytesIn;
      counts.tcpOutputBytes = tcp.counters.bytesOut;
    }
    for (const peer of pool.peers) counts.breakerOpened.set(peer.name, peer.breaker.timesOpened);
    return {
      ready: this.#checks().every(({ ok }) => ok),
      upstreams: pool.peers.map((peer) => ({
        name: peer.name,
        state: upstreamStateOf(peer),
        isPreferred: pool.writesTo === peer,
        inFlight: peer.callsUnderWay,
        requests: peer.counters.answered,
        failures: peer.counters.failed,
        lagMs: peer.status === undefined ? undefined : peer.measuredLagMs,
        tcpConnections: tcp?.connectionsOf(peer.name) ?? 0,
      })),
      httpConnections: this.#httpConnections,
      tcpConnections: tcp?.connectionCount ?? 0,
      cache:
        cache === undefined
          ? undefined
          : { entries: cache.size, bytes: cache.bytes, bytesMax: cache.bytesMax, trusted: cache.trusted },
      watches: this.#watches.count,
    };
  }

  #status(): GatewayStatus {
    const cache = this.#cache;
    const reasons = this.#checks()
      .filter(({ ok }) => !ok)
      .map(({ detail }) => detail);
    return {
      format: gatewayStatusFormat,
      gateway: {
        version: this.#version,
        pid: process.pid,
        uptimeSeconds: Math.floor((performance.now() - this.#startedAtMs) / 1000),
        httpPort: this.#httpPort,
        tcpPort: this.#tcpPort,
        requestsPerSecond: this.#rate.perSecond,
        tcpConnections: this.#tcp?.connectionCount ?? 0,
        writesTo: this.#pool.writesTo?.name ?? null,
        cache:
          cache === undefined
            ? null
            : {
                entries: cache.size,
                bytes: cache.bytes,
                bytesMax: cache.bytesMax,
                hits: cache.counters.hits,
                misses: cache.counters.misses,
                bypasses: cache.counters.bypasses,
                trusted: cache.trusted,
              },
      },
      ready: reasons.length === 0,
      reasons,
      peers: this.#pool.peers.map((peer) => ({
        name: peer.name,
        address: hostPortToText(peer.address),
        state: peer.state,
        why: this.#pool.whyOf(peer),
        status: peer.status ?? null,
      })),
    };
  }
}

const upstreamStateOf = ({ state, status }: GatewayPeer): UpstreamFigures["state"] => {
  switch (state) {
    case "up":
    case "slow-start":
    case "down":
      return state;
    case "starting":
      return "down";
    case "behind":
      return "catching-up";
    case "open":
      return "breaker-open";
    case "not-ready":
      return status?.loading === true || status?.gated === true ? "catching-up" : "draining";
    default:
      return state satisfies never;
  }
};
