/**
 * The peers of a gateway: which there are, how each is, and which one a call or a connection goes to.
 *
 * A peer is up when it is connected, calls itself ready, has what the others had `lagMsMax` ago, and does not keep failing.
 * One that came back takes a share of the calls that grows over some seconds: its caches are cold and its clients come all
 * at once otherwise. Reads go by turns, weighted by those shares. Writes go to one peer, the first by name, so that several
 * gateways choose the same without talking: two writes of a key then seldom meet as a conflict.
 */
import { performance } from "node:perf_hooks";
import { clientUrl } from "../../protocol/client/peer-list.ts";
import { gatewayPeersMax } from "../../protocol/limits.ts";
import type { Logger } from "../logger.ts";
import { type HostPort, hostPortToText, parseHostPort } from "../settings.ts";
import type { GatewayConfig } from "./config.ts";
import { GatewayPeer, type PeerState } from "./gateway-peer.ts";
import type { TcpTarget } from "./tcp-balancer.ts";
import { covers, type Vector } from "./vector.ts";

/** Known positions are noted, and the state of all judged anew, so often. */
const judgeIntervalMs = 250;
/** A peer that came up has its full share after this long, and the least of it at once. */
const slowStartMs = 5000;
const shareMin = 0.1;
/** A peer that did not take a TCP connection is sent none for this long, unless there is no other. */
const tcpRestMs = 1000;

export interface PeerPoolOptions
  extends Pick<GatewayConfig, "peers" | "discover" | "reads" | "writes" | "lagMsMax" | "password"> {
  readonly logger: Logger;
  /** It was reachable, and is not any more. */
  readonly onDown: (peer: GatewayPeer) => void;
  /** Some peer's state changed. */
  readonly onChange: () => void;
}

interface Moment {
  readonly atMs: number;
  readonly known: ReadonlyMap<GatewayPeer, Vector>;
}

export class PeerPool {
  readonly #options: PeerPoolOptions;
  #peers: GatewayPeer[] = [];
  /** In order of time, the last some `lagMsMax`. */
  #moments: Moment[] = [];
  #timer: NodeJS.Timeout | undefined;
  #startedMs = 0;
  #cluster = "";
  #writesTo: GatewayPeer | undefined;
  /** Times that writes went to another peer than before; only ever added to. */
  writeFailovers = 0;
  #closed = false;

  constructor(options: PeerPoolOptions) {
    this.#options = options;
  }

  open(): void {
    this.#startedMs = performance.now();
    for (const address of this.#options.peers) this.#add(address, true);
    this.#timer = setInterval(() => this.#onTick(), judgeIntervalMs);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await Promise.all(this.#peers.map((peer) => peer.close()));
  }

  get peers(): readonly GatewayPeer[] {
    return this.#peers;
  }

  /** Where writes go now; undefined: spread, or none is there. */
  get writesTo(): GatewayPeer | undefined {
    return this.#options.writes === "sticky" ? this.#writesTo : undefined;
  }

  // ---- Choice ---------------------------------------------------------------------------------------------------------

  /**
   * Peers to ask: those up; else those behind, and those that failed lately. Where the peers cannot reach each other all are
   * behind somebody: then those on the side of the most, who lack what the fewest had.
   */
  #candidates(avoid: ReadonlySet<GatewayPeer> | undefined): readonly GatewayPeer[] {
    const rest = avoid === undefined ? this.#peers : this.#peers.filter((peer) => !avoid.has(peer));
    const up = rest.filter(({ state }) => isUp(state));
    if (up.length > 0) return up;
    const others = rest.filter(({ state }) => state === "behind" || state === "open");
    const least = Math.min(...others.map(({ lacksOf }) => lacksOf));
    return others.filter(({ lacksOf }) => lacksOf === least);
  }

  /** For a read: by turns among those that are sure to have seen `position`, else among all. */
  /** Is this a strong key, by what the peers say? Known before any of them takes a call. */
  isStrong(key: string): boolean {
    const prefixes = this.#peers.find(({ status }) => status !== undefined)?.status?.strong.prefixes ?? [];
    return prefixes.some((prefix) => key.startsWith(prefix));
  }

  forRead(position: Vector | undefined, avoid?: ReadonlySet<GatewayPeer>): GatewayPeer | undefined {
    let candidates = this.#candidates(avoid);
    if (position !== undefined && candidates.length > 1) {
      const sure = candidates.filter((peer) => covers(peer.known, position));
      if (sure.length > 0) candidates = sure;
    }
    if (this.#options.reads === "least-lag" && candidates.length > 1) {
      const least = Math.min(...candidates.map(({ measuredLagMs }) => measuredLagMs));
      candidates = candidates.filter(({ measuredLagMs }) => measuredLagMs <= least);
    }
    return this.#byTurns(candidates);
  }

  forWrite(avoid?: ReadonlySet<GatewayPeer>): GatewayPeer | undefined {
    const candidates = this.#candidates(avoid);
    if (this.#options.writes === "spread") return this.#byTurns(candidates);
    const preferred = this.#writesTo;
    return preferred !== undefined && candidates.includes(preferred) ? preferred : firstByName(candidates);
  }

  /** For a feed: the one that writes go to, else any that is up. */
  forFeed(avoid?: ReadonlySet<GatewayPeer>): GatewayPeer | undefined {
    const up = this.#peers.filter((peer) => isUp(peer.state) && avoid?.has(peer) !== true);
    const writer = this.#writesTo;
    return writer !== undefined && up.includes(writer) ? writer : firstByName(up);
  }

  /** The peer whose run this is, if it takes calls. */
  ofRun(run: string): GatewayPeer | undefined {
    return this.#peers.find((peer) => peer.run === run && peer.isConnected && peer.state !== "not-ready");
  }

  /** Peers for TCP connections, with their shares. */
  tcpTargets(): readonly { readonly target: TcpTarget; readonly share: number }[] {
    const nowMs = performance.now();
    const candidates = this.#candidates(undefined);
    const rested = candidates.filter(({ tcpRestUntilMs }) => nowMs >= tcpRestUntilMs);
    return (rested.length > 0 ? rested : candidates).flatMap((peer) => {
      const port = peer.status?.peer.tcpPort ?? 0;
      return port === 0
        ? []
        : [{ target: { name: peer.name, host: peer.address.host, port }, share: shareOf(peer, nowMs) }];
    });
  }

  onTcpRefused(target: TcpTarget): void {
    const peer = this.#peers.find(({ name }) => name === target.name);
    if (peer !== undefined) peer.tcpRestUntilMs = performance.now() + tcpRestMs;
  }

  /** Smooth weighted round-robin, as nginx has it: each gains its share, the richest goes and pays for all. */
  #byTurns(candidates: readonly GatewayPeer[]): GatewayPeer | undefined {
    if (candidates.length <= 1) return candidates[0];
    const nowMs = performance.now();
    let total = 0;
    let best: GatewayPeer | undefined;
    for (const peer of candidates) {
      const share = shareOf(peer, nowMs);
      total += share;
      peer.credit += share;
      if (best === undefined || peer.credit > best.credit) best = peer;
    }
    if (best !== undefined) best.credit -= total;
    return best;
  }

  /** What became of a call there, for the breaker. */
  note(peer: GatewayPeer, isFailure: boolean): void {
    const wasOpen = peer.breaker.isOpen;
    if (isFailure) peer.breaker.onFailure(performance.now());
    else peer.breaker.onSuccess();
    if (peer.breaker.isOpen !== wasOpen) this.#judge(peer);
  }

  // ---- Who there is ---------------------------------------------------------------------------------------------------

  #add(address: HostPort, given: boolean): void {
    const peer = new GatewayPeer({
      address,
      given,
      password: this.#options.password,
      onChange: (changed) => this.#judge(changed),
      onTold: (teller, told) => this.#onTold(teller, told),
    });
    this.#peers.push(peer);
    peer.open();
  }

  #remove(peer: GatewayPeer): void {
    this.#peers = this.#peers.filter((other) => other !== peer);
    void peer.close();
  }

  #onTold(teller: GatewayPeer, told: readonly { readonly name: string; readonly address: string }[]): void {
    const { logger, discover } = this.#options;
    if (this.#cluster === "") this.#cluster = teller.cluster;
    // One peer under two addresses: the one that was named stays, else the one known first.
    for (const other of this.#peers) {
      if (other === teller || other.name !== teller.name || !other.isConnected) continue;
      this.#remove(teller.given && !other.given ? other : teller);
      return;
    }
    if (!discover) return;
    for (const { name, address } of told) {
      const parsed = parseHostPort(address);
      const isKnown = this.#peers.some((peer) => peer.name === name || hostPortToText(peer.address) === address);
      if (parsed === undefined || isKnown || clientUrl(address) === undefined) continue;
      // Named ones that have not answered yet may be this very peer under another address: they settle that above.
      if (this.#peers.length >= gatewayPeersMax) continue;
      logger.info({ address }, `${teller.name} told of peer ${name}`);
      this.#add(parsed, false);
    }
  }

  // ---- How they are ---------------------------------------------------------------------------------------------------

  #onTick(): void {
    const nowMs = performance.now();
    const { lagMsMax } = this.#options;
    this.#moments.push({
      atMs: nowMs,
      known: new Map(this.#peers.filter(({ isConnected }) => isConnected).map((peer) => [peer, peer.known])),
    });
    // The newest of those beyond the bound is the one that is compared with.
    const last = this.#moments.findLastIndex(({ atMs }) => nowMs - atMs >= lagMsMax);
    if (last > 0) this.#moments.splice(0, last);
    for (const peer of this.#peers) {
      this.#judge(peer);
      if (peer.state === "open" && peer.breaker.takeProbe(nowMs)) this.#probe(peer);
    }
  }

  /** A read like any other, of a key that need not be there. */
  #probe(peer: GatewayPeer): void {
    peer.call({
      args: ["EXISTS", "chorus:probe"],
      position: "",
      staleAfterMs: 0,
      abandoned: false,
      onEnd: ({ kind }) => this.note(peer, kind !== "answered"),
    });
  }

  /** How long ago somebody had what this peer lacks now, as far as anybody knows; 0: it lacks nothing. */
  #lagMsOf(peer: GatewayPeer, nowMs: number): number {
    // From the newest: the lag is the age of the newest moment all of which it has; beyond all: that of the oldest.
    for (let at = this.#moments.length - 1; at >= 0; at--) {
      const moment = this.#moments[at] as Moment;
      if (this.#hasAllOf(peer, moment)) return at === this.#moments.length - 1 ? 0 : nowMs - moment.atMs;
    }
    const [oldest] = this.#moments;
    return oldest === undefined ? 0 : nowMs - oldest.atMs + judgeIntervalMs;
  }

  #hasAllOf(peer: GatewayPeer, moment: Moment): boolean {
    return this.#lacksOf(peer, moment) === 0;
  }

  /** How many others had something then that this one lacks. */
  #lacksOf(peer: GatewayPeer, { known }: Moment): number {
    let count = 0;
    for (const [other, vector] of known) {
      // Of one that is gone nobody can get anything now.
      if (other !== peer && other.isConnected && !covers(peer.known, vector)) count += 1;
    }
    return count;
  }

  #judge(peer: GatewayPeer): void {
    if (this.#closed) return;
    const nowMs = performance.now();
    const before = peer.state;
    peer.lagMs = peer.status === undefined ? 0 : this.#lagMsOf(peer, nowMs);
    const [oldest] = this.#moments;
    peer.lacksOf = oldest === undefined ? 0 : this.#lacksOf(peer, oldest);
    if (peer.status !== undefined && peer.status !== peer.measuredStatus) {
      peer.measuredStatus = peer.status;
      peer.measuredLagMs = peer.lagMs;
    }
    peer.state = this.#stateOf(peer, nowMs);
    if (this.#options.writes === "sticky") this.#chooseWriter(nowMs);
    const { logger, onDown, onChange } = this.#options;
    if (peer.state === before) {
      // Each reason once: a wrong password should not have to be looked for.
      if (peer.state !== "down" || peer.why === peer.toldWhy) return;
      peer.toldWhy = peer.why;
      logger.warn(`peer ${peer.name} cannot be reached: ${peer.why}`);
      return;
    }
    if (peer.state === "down") {
      peer.toldWhy = peer.why;
      logger.warn(`peer ${peer.name} is down: ${peer.why}`);
      onDown(peer);
    } else if (isUp(peer.state) !== isUp(before)) {
      if (isUp(peer.state)) logger.info(`peer ${peer.name} is up`);
      else if (before !== "down") logger.warn(`peer ${peer.name} is not up: ${this.whyOf(peer)}`);
    }
    onChange();
  }

  #stateOf(peer: GatewayPeer, nowMs: number): PeerState {
    if (!peer.isConnected || peer.status === undefined) {
      peer.upSinceMs = 0;
      return peer.isConnected ? "starting" : "down";
    }
    const isOther = peer.cluster !== this.#cluster;
    if (isOther || !peer.status.ready) {
      peer.upSinceMs = 0;
      return "not-ready";
    }
    if (peer.breaker.isOpen) return "open";
    if (peer.lagMs > this.#options.lagMsMax) {
      peer.upSinceMs = 0;
      return "behind";
    }
    // Who is there when the gateway starts has nothing to be slow about.
    if (peer.upSinceMs === 0)
      peer.upSinceMs = nowMs - this.#startedMs < slowStartMs ? this.#startedMs - slowStartMs : nowMs;
    return nowMs - peer.upSinceMs < slowStartMs ? "slow-start" : "up";
  }

  /** Why a peer is not up, for people; empty when it is. */
  whyOf(peer: GatewayPeer): string {
    switch (peer.state) {
      case "up":
        return "";
      case "slow-start":
        return "it came up lately";
      case "behind":
        return `it lacks what others had ${Math.round(peer.lagMs)} ms ago`;
      case "open":
        return "calls failed there lately";
      case "starting":
        return "it has not spoken yet";
      case "down":
        return peer.why;
      case "not-ready":
        return peer.cluster === this.#cluster
          ? (peer.status?.reasons.join("; ") ?? "")
          : `it belongs to another cluster, ${peer.cluster}`;
      default:
        return peer.state satisfies never;
    }
  }

  /** The first by name of those that have been up for a while; a lesser one stays as long as it can when there is none. */
  #chooseWriter(nowMs: number): void {
    const up = this.#peers.filter(({ state }) => isUp(state));
    const settled = up.filter(({ upSinceMs }) => nowMs - upSinceMs >= slowStartMs);
    const now = this.#writesTo;
    const next = firstByName(settled) ?? (now !== undefined && up.includes(now) ? now : firstByName(up));
    if (next === now || next === undefined) return;
    this.#writesTo = next;
    if (now === undefined) return;
    this.writeFailovers += 1;
    this.#options.logger.info(`writes go to peer ${next.name} now, no longer to ${now.name}`);
  }
}

export const isUp = (state: PeerState): boolean => state === "up" || state === "slow-start";

const shareOf = ({ upSinceMs, state }: GatewayPeer, nowMs: number): number =>
  state === "slow-start" ? Math.max(shareMin, Math.min(1, (nowMs - upSinceMs) / slowStartMs)) : 1;

const firstByName = (peers: readonly GatewayPeer[]): GatewayPeer | undefined => {
  let first: GatewayPeer | undefined;
  for (const peer of peers) if (first === undefined || peer.name < first.name) first = peer;
  return first;
};
