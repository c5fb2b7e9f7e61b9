/**
 * What a gateway's `/metrics` shows, from plain numbers that it keeps.
 *
 * To wire it: keep one `GatewayCounts` and add to it where things happen: `counts.http.route(template).note(status, micros)` once a
 * response is handed to its socket, the rest are fields. At the port:
 *
 *     const metrics = gatewayMetrics({ version, name, counts, state: () => ({ peers, tcpConnections, ... }) });
 *     // GET /metrics: Content-Type metrics.contentType, body await metrics.scrape()
 *
 * `state` is called per scrape, for what is a state rather than a count. A route is a template such as `/kv/{key}`, never
 * a path: labels must be few. docs/OPERATIONS.md has the same list, made from this one.
 */
import { buildInfo } from "./build-info.ts";
import {
  type Family,
  type Metrics,
  metricsOf,
  msToSeconds,
  samplesBy,
  samplesPerPeer,
  stateSamples,
} from "./family.ts";
import { HttpCounts, httpFamilies } from "./http-families.ts";
import { type LoopDelays, loopDelayMax } from "./loop-delay.ts";
import { type ProcessFigures, processFamilies, processFigures } from "./process-families.ts";

/** Plain numbers, only ever added to. */
export class GatewayCounts {
  readonly http = new HttpCounts();
  /** Reads that the cache was asked for: answered from it; not in it; not asked, as its feed is down or behind. */
  cacheHits = 0;
  cacheMisses = 0;
  cacheBypasses = 0;
  /** Entries that went for want of room, and those that a change made stale. */
  cacheEvictions = 0;
  cacheInvalidations = 0;
  /** Requests sent again, to the same or another peer. */
  retries = 0;
  /** Times the peer that takes the writes was another than before. */
  writeFailovers = 0;
  /** Times the breaker of a peer opened. */
  readonly breakerOpened = new Map<string, number>();
  tcpConnections = 0;
  /** No healthy peer, or too many. */
  tcpConnectionsRefused = 0;
  tcpInputBytes = 0;
  tcpOutputBytes = 0;
  /** Bounds that were met, by name. */
  readonly limitHits = new Map<string, number>();
}

export const upstreamStates = ["up", "slow-start", "catching-up", "breaker-open", "draining", "down"] as const;

export interface UpstreamFigures {
  readonly name: string;
  readonly state: (typeof upstreamStates)[number];
  /** Takes the writes now (`--writes sticky`). */
  readonly isPreferred: boolean;
  /** Requests sent and not answered. */
  readonly inFlight: number;
  /** Answered, and failed, since the start. */
  readonly requests: number;
  readonly failures: number;
  /** As the peer's heartbeats tell; undefined when unknown. */
  readonly lagMs: number | undefined;
  readonly tcpConnections: number;
}

/** Of the moment of a scrape. */
export interface GatewayState {
  readonly ready: boolean;
  readonly upstreams: readonly UpstreamFigures[];
  readonly httpConnections: number;
  readonly tcpConnections: number;
  /** Undefined: there is no cache. */
  readonly cache:
    | { readonly entries: number; readonly bytes: number; readonly bytesMax: number; readonly trusted: boolean }
    | undefined;
  /** Readers of `/watch` now. */
  readonly watches: number;
}

export interface GatewayMetricsSource {
  readonly version: string;
  readonly name: string;
  readonly counts: GatewayCounts;
  /** Undefined where nobody measures them. */
  readonly loopDelays?: LoopDelays;
  readonly state: () => GatewayState;
}

interface GatewayFigures extends Omit<GatewayMetricsSource, "state"> {
  readonly process: ProcessFigures;
  readonly http: HttpCounts;
  readonly state: GatewayState;
}

export const gatewayMetrics = (source: GatewayMetricsSource): Metrics =>
  metricsOf(gatewayFamilies, () => ({
    ...source,
    process: processFigures(),
    http: source.counts.http,
    state: source.state(),
  }));

const perUpstream =
  (read: (upstream: UpstreamFigures) => number | undefined): Family<GatewayFigures>["read"] =>
  ({ state }) =>
    samplesPerPeer(state.upstreams, read);

export const gatewayFamilies: readonly Family<GatewayFigures>[] = [
  buildInfo,
  {
    name: "chorus_gateway_info",
    type: "gauge",
    help: "1, with this gateway's name.",
    labels: ["name"],
    read: ({ name }) => [{ labels: { name }, value: 1 }],
  },
  {
    name: "chorus_gateway_ready",
    type: "gauge",
    help: "1 when /readyz says so: at least one peer takes requests.",
    read: ({ state }) => (state.ready ? 1 : 0),
  },
  ...httpFamilies,
  {
    name: "chorus_gateway_cache_requests_total",
    type: "counter",
    help: "Reads that may be cached: hit; miss; bypass: the feed of changes is down or behind, so the cache was not trusted.",
    labels: ["result"],
    read: ({ counts }) =>
      samplesBy("result", [
        ["hit", counts.cacheHits],
        ["miss", counts.cacheMisses],
        ["bypass", counts.cacheBypasses],
      ]),
  },
  {
    name: "chorus_gateway_cache_removals_total",
    type: "counter",
    help: "Entries that left the cache: evicted for want of room, or invalidated by a change.",
    labels: ["reason"],
    read: ({ counts }) =>
      samplesBy("reason", [
        ["evicted", counts.cacheEvictions],
        ["invalidated", counts.cacheInvalidations],
      ]),
  },
  {
    name: "chorus_gateway_cache_entries",
    type: "gauge",
    help: "Keys in the cache, absent ones among them.",
    read: ({ state }) => state.cache?.entries,
  },
  {
    name: "chorus_gateway_cache_bytes",
    type: "gauge",
    help: "Memory of the cache, as counted against its bound.",
    read: ({ state }) => state.cache?.bytes,
  },
  {
    name: "chorus_gateway_cache_max_bytes",
    type: "gauge",
    help: "The bound.",
    read: ({ state }) => state.cache?.bytesMax,
  },
  {
    name: "chorus_gateway_cache_trusted",
    type: "gauge",
    help: "1 while the feed of changes is up and the cache is used.",
    read: ({ state }) => (state.cache === undefined ? undefined : state.cache.trusted ? 1 : 0),
  },
  {
    name: "chorus_gateway_upstream_state",
    type: "gauge",
    help: `1 for the state a peer is in as this gateway sees it: ${upstreamStates.join(", ")}.`,
    labels: ["peer", "state"],
    read: ({ state }) =>
      state.upstreams.flatMap((upstream) => stateSamples(upstreamStates, upstream.state, { peer: upstream.name })),
  },
  {
    name: "chorus_gateway_upstream_preferred",
    type: "gauge",
    help: "1 for the peer that takes the writes.",
    labels: ["peer"],
    read: perUpstream(({ isPreferred }) => (isPreferred ? 1 : 0)),
  },
  {
    name: "chorus_gateway_upstream_in_flight",
    type: "gauge",
    help: "Requests sent to a peer and not answered.",
    labels: ["peer"],
    read: perUpstream(({ inFlight }) => inFlight),
  },
  {
    name: "chorus_gateway_upstream_requests_total",
    type: "counter",
    help: "Requests a peer answered.",
    labels: ["peer"],
    read: perUpstream((upstream) => upstream.requests),
  },
  {
    name: "chorus_gateway_upstream_failures_total",
    type: "counter",
    help: "Requests a peer did not answer, or refused.",
    labels: ["peer"],
    read: perUpstream(({ failures }) => failures),
  },
  {
    name: "chorus_gateway_upstream_lag_seconds",
    type: "gauge",
    help: "How far a peer is behind, as the status feed tells.",
    labels: ["peer"],
    read: perUpstream(({ lagMs }) => msToSeconds(lagMs)),
  },
  {
    name: "chorus_gateway_breaker_opened_total",
    type: "counter",
    help: "Times a peer failed so often that it was left alone for a while.",
    labels: ["peer"],
    read: ({ counts }) => samplesBy("peer", counts.breakerOpened),
  },
  {
    name: "chorus_gateway_retries_total",
    type: "counter",
    help: "Requests sent once more, after one that was not applied or may be repeated.",
    read: ({ counts }) => counts.retries,
  },
  {
    name: "chorus_gateway_write_failovers_total",
    type: "counter",
    help: "Times the writes moved to another peer.",
    read: ({ counts }) => counts.writeFailovers,
  },
  {
    name: "chorus_gateway_http_connections",
    type: "gauge",
    help: "HTTP connections now.",
    read: ({ state }) => state.httpConnections,
  },
  {
    name: "chorus_gateway_watches",
    type: "gauge",
    help: "Streams of /watch now.",
    read: ({ state }) => state.watches,
  },
  {
    name: "chorus_gateway_tcp_connections",
    type: "gauge",
    help: "Redis clients now, through the TCP port.",
    read: ({ state }) => state.tcpConnections,
  },
  {
    name: "chorus_gateway_tcp_upstream_connections",
    type: "gauge",
    help: "Of these, those at a peer.",
    labels: ["peer"],
    read: perUpstream(({ tcpConnections }) => tcpConnections),
  },
  {
    name: "chorus_gateway_tcp_connections_total",
    type: "counter",
    help: "TCP connections there were: balanced to a peer, or refused.",
    labels: ["result"],
    read: ({ counts }) =>
      samplesBy("result", [
        ["balanced", counts.tcpConnections],
        ["refused", counts.tcpConnectionsRefused],
      ]),
  },
  {
    name: "chorus_gateway_tcp_bytes_total",
    type: "counter",
    help: "Bytes through the TCP port: in from clients, out to them.",
    labels: ["direction"],
    read: ({ counts }) =>
      samplesBy("direction", [
        ["in", counts.tcpInputBytes],
        ["out", counts.tcpOutputBytes],
      ]),
  },
  {
    name: "chorus_gateway_limit_hits_total",
    type: "counter",
    help: "Times a bound was met: docs, Limits.",
    labels: ["limit"],
    read: ({ counts }) => samplesBy("limit", counts.limitHits),
  },
  loopDelayMax,
  ...processFamilies,
];
