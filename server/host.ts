/**
 * The peer as its commands see it: CommandHost over a replica, its links and its turn loop.
 */
import { performance } from "node:perf_hooks";
import type { LinkVerdict } from "../protocol/status.ts";
import type { PeerName } from "../protocol/words.ts";
import type { Refusals } from "./admission.ts";
import type {
  CommandHost,
  ConflictReport,
  DiffReport,
  DigestReport,
  Keyspace,
  LinkFaultControl,
  PeerReport,
  Session,
  TraceReport,
} from "./commands/session.ts";
import type { PeerConfig } from "./config.ts";
import { conflictReport } from "./conflict-report.ts";
import type { LagClock } from "./lag-clock.ts";
import { linkFaultOf } from "./link-faults.ts";
import type { PeerLinks } from "./links/index.ts";
import type { LatencyEvents } from "./metrics/latency-events.ts";
import type { SlowLog } from "./metrics/slow-log.ts";
import { passwordCheckOf } from "./password-check.ts";
import type { PubSubHub } from "./pubsub/hub.ts";
import type { KeyEvents } from "./pubsub/key-events.ts";
import { Monitors } from "./pubsub/monitors.ts";
import type { LinkState, Replica } from "./replica/index.ts";
import { at, covers, opsAhead, stampToMs } from "./replica/index.ts";
import { notifyParameter, type RuntimeParameter, slowCommandParameters } from "./runtime-parameters.ts";
import type { StrongKeys } from "./strong/strong-keys.ts";
import type { TurnLoop } from "./turn-loop.ts";

export interface HostParts {
  readonly config: PeerConfig;
  readonly version: string;
  readonly replica: Replica;
  readonly strong: StrongKeys;
  readonly loop: TurnLoop;
  readonly lag: LagClock;
  readonly links: () => PeerLinks;
  /** Kept up by the peer, so that a command only looks. */
  readonly admission: { readonly refusals: Refusals };
  readonly linkFaults: LinkFaultControl | undefined;
  readonly pubSub: PubSubHub;
  readonly keyEvents: KeyEvents;
  readonly slowLog: SlowLog;
  readonly latencyEvents: LatencyEvents;
  readonly sessions: () => Iterable<Session>;
  readonly session: (id: number) => Session | undefined;
  readonly kill: (session: Session) => void;
  readonly shutdown: () => void;
  readonly info: () => ReadonlyMap<string, ReadonlyMap<string, string | number>>;
  /** Holds the map still across awaits. */
  readonly exclusively: <Result>(work: () => Promise<Result>) => Promise<Result>;
}

const flushPerSlice = 2048;
const askAgainMs = 200;

export class PeerHost implements CommandHost {
  readonly #parts: HostParts;
  readonly keyspace: Keyspace;
  readonly peerName: string;
  readonly version: string;
  readonly checkPassword: ((user: string, password: string) => boolean) | undefined;
  readonly linkFaults: LinkFaultControl | undefined;
  readonly strong: StrongKeys;
  readonly pubSub: PubSubHub;
  readonly monitors = new Monitors();
  readonly slowLog: SlowLog;
  readonly latencyEvents: LatencyEvents;
  readonly #settable: ReadonlyMap<string, RuntimeParameter>;
  readonly #comparisons = new Map<number, (report: DiffReport | undefined) => void>();

  constructor(parts: HostParts) {
    this.#parts = parts;
    this.keyspace = parts.replica.keyspace;
    this.peerName = parts.config.name;
    this.version = parts.version;
    this.linkFaults = parts.linkFaults;
    this.strong = parts.strong;
    this.pubSub = parts.pubSub;
    this.slowLog = parts.slowLog;
    this.latencyEvents = parts.latencyEvents;
    const settable = [notifyParameter(parts.keyEvents), ...slowCommandParameters(parts.slowLog, parts.latencyEvents)];
    this.#settable = new Map(settable.map((parameter) => [parameter.name, parameter]));
    this.checkPassword = passwordCheckOf(parts.config.password);
  }

  sessions(): Iterable<Session> {
    return this.#parts.sessions();
  }

  session(id: number): Session | undefined {
    return this.#parts.session(id);
  }

  kill(session: Session): void {
    this.#parts.kill(session);
  }

  writeRefusal(grows: boolean): string | undefined {
    const { writes, growth } = this.#parts.admission.refusals;
    return writes ?? (grows ? growth : undefined);
  }

  strongWriteRefusal(grows: boolean): string | undefined {
    const { strongWrites, growth } = this.#parts.admission.refusals;
    return strongWrites ?? (grows ? growth : undefined);
  }

  readRefusal(): string | undefined {
    return this.#parts.admission.refusals.reads;
  }

  configuration(): ReadonlyMap<string, string> {
    const settable = [...this.#settable].map(([name, parameter]) => [name, parameter.value()] as const);
    return new Map([...this.#parts.config.parameters, ...settable]);
  }

  configurationRefusal(name: string, value: string): string | undefined {
    const parameter = this.#settable.get(name);
    return parameter === undefined ? "can't set immutable config" : parameter.refusal(value);
  }

  configure(name: string, value: string): void {
    this.#settable.get(name)?.set(value);
  }

  info(): ReadonlyMap<string, ReadonlyMap<string, string | number>> {
    return this.#parts.info();
  }

  random(): number {
    return Math.random();
  }

  wallMs(): number {
    return this.#parts.loop.nowMs();
  }

  get lastSeq(): number {
    return this.#parts.replica.state.lastSeq;
  }

  heldByPeers(seq: number): number {
    return this.#parts.replica.peersHolding(seq);
  }

  async waitForPeers(seq: number, count: number, timeoutMs: number, isGone: () => boolean): Promise<number> {
    const { replica, loop } = this.#parts;
    const deadlineMs = timeoutMs === 0 ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs;
    let askedAtMs = Number.NEGATIVE_INFINITY;
    for (;;) {
      const held = replica.peersHolding(seq);
      const nowMs = performance.now();
      if (held >= count || nowMs >= deadlineMs || isGone()) return held;
      if (nowMs - askedAtMs >= askAgainMs) {
        // Asked again now and then: a peer may have come back meanwhile.
        askedAtMs = nowMs;
        loop.begin();
        replica.requestSync();
      }
      await within(loop.peersMoved(), Math.min(deadlineMs - nowMs, askAgainMs));
    }
  }

  /** Deletes what this peer sees, in slices, with the map held still; concurrent writes elsewhere survive. */
  flushAll(): Promise<void> {
    const { replica, loop } = this.#parts;
    return this.#parts.exclusively(async () => {
      let cursor = 0;
      do {
        const keys: string[] = [];
        replica.keyspace.begin(loop.nowMs());
        cursor = replica.keyspace.scan(cursor, flushPerSlice, (key) => keys.push(key));
        for (const key of keys) {
          replica.keyspace.begin(loop.nowMs());
          replica.keyspace.delete(key);
        }
        await new Promise((resolve) => setImmediate(resolve));
      } while (cursor !== 0);
    });
  }

  shutdown(): void {
    this.#parts.shutdown();
  }

  // ---- reports --------------------------------------------------------------------------------------------------------

  peers(): readonly PeerReport[] {
    const { replica, config } = this.#parts;
    const { state } = replica;
    const statuses = new Map(
      this.#parts
        .links()
        .status()
        .map((status) => [status.peer as string, status]),
    );
    const links = new Map([...replica.links()].map((link) => [link.peer as string, link]));
    state.facts.recount(state.vv);
    return state.facts.peers.map((name, index): PeerReport => {
      const counts = state.facts.counts(index);
      const self = index === state.selfIndex;
      const status = statuses.get(name);
      const link = links.get(name);
      // What they said last, not what was sent: at most a heartbeat old.
      const known = link?.ready === true ? link.told : (state.facts.newestOf(index)?.vv ?? []);
      const address = config.peers.find((peer) => peer.name === name);
      const lagOps = self ? 0 : opsAhead(state.vv, known);
      // Also one whose last fact still counts holds back what came after it, for as long as it is away.
      const isAway = !self && link?.ready !== true && !covers(state.facts.newestOf(index)?.vv ?? [], state.vv);
      const holdsBack = !counts || isAway;
      return {
        name,
        self,
        incarnation: state.facts.view[index] ?? "",
        state: self ? "up" : linkStateText(status?.state, link?.out.mode, link?.staging !== undefined),
        address: address === undefined ? "" : `${address.host}:${address.port}`,
        rttMs: status?.rttMs,
        clockOffsetMs: status?.clockOffsetMs,
        lagOps,
        lagMs: self || lagOps === 0 ? 0 : this.#parts.lag.lagMs(at(known, state.self), performance.now()) || undefined,
        behindOps: self ? 0 : opsAhead(known, state.vv),
        verdict: self ? "identical" : this.#verdictOn(link),
        queuedBytes: status?.queuedBytes ?? 0,
        factCounts: counts,
        tombstonesHeld: holdsBack ? state.map.tombstoneCount : 0,
        tombstoneBytesHeld: holdsBack ? state.map.tombstoneBytes : 0,
        digest: self ? state.map.digest.text : undefined,
        gated: self ? state.gated : (link?.theirGate ?? false),
        fault: linkFaultOf(status?.cut),
        note: self ? "" : (status?.why ?? ""),
      };
    });
  }

  conflicts(key: string | undefined): readonly ConflictReport[] {
    return this.#parts.replica.conflicts(key).map(conflictReport);
  }

  restoreConflict(id: string): boolean {
    return this.#parts.replica.restoreConflict(id);
  }

  trace(key: string): TraceReport | undefined {
    const { replica, loop } = this.#parts;
    const { state } = replica;
    const { map } = state;
    const ref = map.locate(key);
    if (ref < 0) return undefined;
    const cell = map.cellAt(ref);
    const nowMs = loop.nowMs();
    // Of a counter the newest part decides: the base, or the total with the highest seq of its origin.
    const parts: { origin: number; seq: number }[] = [
      ...(cell.value === undefined ? [] : [{ origin: cell.origin, seq: cell.seq }]),
      ...cell.totals.map((total) => ({ origin: total.origin, seq: total.seq })),
    ];
    const newest = cell.totals.at(-1) ?? cell;
    const visible = replica.keyspace.has(key);
    const stampMs = cell.value === undefined ? nowMs : stampToMs(cell.stamp);
    const holds = (vv: readonly number[]): boolean => parts.every(({ origin, seq }) => seq <= at(vv, origin));
    return {
      key,
      state: visible ? "live" : cell.value === null ? "deleted" : "expired",
      origin: state.origins.id(newest.origin),
      dot: state.dotText(newest.origin, newest.seq),
      stampMs,
      ageMs: Math.max(0, nowMs - stampMs),
      expiresAtMs: cell.expiresAtMs,
      holders: state.facts.peers.map((peer, index) => {
        if (index === state.selfIndex) return { peer, holds: holds(replica.synced) ? "durable" : "memory" };
        const fact = state.facts.newestOf(index);
        if (fact !== undefined && holds(fact.vv)) return { peer, holds: "durable" };
        for (const link of replica.links()) {
          if (link.peerIndex !== index || !link.ready) continue;
          if (holds(link.synced)) return { peer, holds: "durable" };
          const made = parts.every(
            ({ origin, seq }) =>
              seq <= at(link.told, origin) ||
              (state.origins.names[origin] === peer && state.origins.incarnations[origin] === link.incarnation),
          );
          return { peer, holds: made ? "memory" : "not-yet" };
        }
        return { peer, holds: "unknown" };
      }),
    };
  }

  digest(): DigestReport {
    const { replica } = this.#parts;
    const { state } = replica;
    const links = new Map([...replica.links()].map((link) => [link.peer as string, link]));
    return {
      digest: state.map.digest.text,
      keys: state.map.liveCount,
      versionVector: new Map(state.wire(state.sealedVv())),
      peers: state.facts.peers
        .filter((_name, index) => index !== state.selfIndex)
        .map((peer) => {
          return { peer, verdict: verdictWords[this.#verdictOn(links.get(peer))] };
        }),
    };
  }

  /** On evidence only: digests speak when taken at equal vectors and horizons. */
  #verdictOn(link: LinkState | undefined): LinkVerdict {
    const { state } = this.#parts.replica;
    if (link === undefined || !link.ready) return "no-link";
    if (link.digestMismatches > 0) return "different";
    if (!covers(link.told, state.vv) || !covers(state.vv, link.told)) return "syncing";
    return link.digestsAgree ? "identical" : "not-compared";
  }

  diff(peer: string): Promise<DiffReport> {
    const { replica, loop } = this.#parts;
    loop.begin();
    const id = replica.compare(peer as PeerName);
    if (id === undefined) {
      const known = replica.state.facts.peers.some((name) => name === peer);
      return Promise.reject(
        new Error(known ? `ERR no link to peer '${peer}' now` : `ERR no peer '${peer}' in this cluster`),
      );
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#comparisons.delete(id);
        reject(new Error(`ERR peer '${peer}' did not answer in time`));
      }, diffTimeoutMs);
      this.#comparisons.set(id, (report) => {
        clearTimeout(timer);
        this.#comparisons.delete(id);
        if (report === undefined) reject(new Error(`ERR the link to peer '${peer}' ended`));
        else resolve(report);
      });
    });
  }

  onComparison(comparison: {
    readonly id: number;
    readonly identical: boolean;
    readonly differences: DiffReport["keys"];
    readonly truncated: boolean;
  }): void {
    this.#comparisons.get(comparison.id)?.({
      identical: comparison.identical,
      keys: comparison.differences,
      truncated: comparison.truncated,
    });
  }
}

const diffTimeoutMs = 10_000;

const verdictWords: Readonly<Record<LinkVerdict, string>> = {
  "no-link": "no link",
  different: "different at equal version vectors",
  syncing: "syncing",
  identical: "identical",
  "not-compared": "not compared yet",
};

/** `up`, `connecting`, `catching-up`, `transfer`, `down`: one word for people, from the socket and the stream. */
const linkStateText = (socket: string | undefined, stream: string | undefined, staging: boolean): string => {
  if (socket !== "up") return socket ?? "down";
  if (staging || stream === "scan" || stream === "transfer-log") return "transfer";
  return stream === "live" ? "up" : "catching-up";
};

/** Resolves with `promise`, or after `ms`. */
const within = (promise: Promise<void>, ms: number): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    promise.then(() => {
      clearTimeout(timer);
      resolve();
    }, resolve);
  });
