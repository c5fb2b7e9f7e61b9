/**
 * One link to every other peer: who dials whom, who is let in, which connection stands.
 *
 * Of two peers the one with the byte-wise smaller name dials, so there is one link per pair. A link belongs to one run
 * of a peer: a newer run replaces it, and so does a new connection of the same run (its old one is dead, or it would not
 * have dialed). For one peer the calls of LinkEvents always come as up, messages, down, and only then the next up.
 */
import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { performance } from "node:perf_hooks";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import {
  authAddressesMax,
  authFailuresFree,
  handshakeTimeoutMs,
  linkChunksMax,
  linkFragmentsMax,
  linkMessageBytesMax,
  linkQueueBytesMax,
  linkQueueHighBytes,
  linkQueueLowBytes,
  peersMax,
  unauthenticatedMax,
  unauthenticatedPerAddressMax,
} from "../../protocol/limits.ts";
import { type Incarnation, type PeerName, strongPrefixesDefault } from "../../protocol/words.ts";
import { Dialer } from "./dialer.ts";
import { LinkFaults } from "./faults.ts";
import { Gate } from "./gate.ts";
import { type GreetingResult, greet } from "./greeting.ts";
import { DialerHandshake, type HandshakeIdentity, ListenerHandshake, type Refused } from "./handshake.ts";
import { Incarnations, type Refusal } from "./incarnations.ts";
import type { LinkEvents } from "./link.ts";
import { type LinkClock, PeerLink } from "./peer-link.ts";
import { refuseUpgrade } from "./refuse-upgrade.ts";

/** Times in milliseconds. Tests shorten them; nobody else should need to. */
export interface LinkTiming {
  readonly heartbeatIntervalMs: number;
  /** A link silent for so long is closed. Less: links fall to a busy peer. More: writes are streamed to the dead. */
  readonly deadAfterMs: number;
  readonly handshakeTimeoutMs: number;
  readonly backoffBaseMs: number;
  readonly backoffCapMs: number;
  /** A link that lived longer is redialed at once. */
  readonly steadyAfterMs: number;
  /** How long the other end may take to close its side. */
  readonly closeTimeoutMs: number;
  /** After two live processes claimed one name, how long it must be quiet before one is let in. */
  readonly disputeMs: number;
  /** One report of a refusal per peer and code in this time. */
  readonly refusalReportMs: number;
}

export const defaultLinkTiming: LinkTiming = {
  heartbeatIntervalMs: 1000,
  deadAfterMs: 5000,
  handshakeTimeoutMs,
  backoffBaseMs: 100,
  backoffCapMs: 2000,
  steadyAfterMs: 5000,
  closeTimeoutMs: 2000,
  disputeMs: 10_000,
  refusalReportMs: 10_000,
};

export interface PeerLinksOptions {
  readonly name: PeerName;
  readonly incarnation: Incarnation;
  readonly clusterId: string;
  /** All peers with the `host:port` of their HTTP ports; whether this one is among them does not matter. */
  readonly peers: ReadonlyMap<PeerName, string>;
  /** Sorted; default `strong:` alone. */
  readonly strongPrefixes?: readonly string[];
  /** None, one or two, see parseSecrets. */
  readonly secrets: readonly Buffer[];
  readonly events: LinkEvents;
  /**
   * Peer `from` knows a newer run of our own name, though no such process is alive there: our disk was lost and our
   * clock is behind. Take an incarnation greater than `newest` and make a new PeerLinks.
   */
  readonly onStaleIncarnation?: (newest: Incarnation, from: PeerName) => void;
  readonly clock?: LinkClock;
  /** In [0, 1), for the jitter of waits. */
  readonly random?: () => number;
  readonly faults?: LinkFaults;
  readonly timing?: Partial<LinkTiming>;
  /** Bytes; defaults from limits.ts. */
  readonly queue?: { readonly highBytes: number; readonly lowBytes: number; readonly bytesMax: number };
}

export interface PeerLinkStatus {
  readonly peer: PeerName;
  /** Which end opens the connection. */
  readonly role: "dials" | "listens";
  readonly state: "up" | "connecting" | "down" | "refused";
  /** For people: why it is not up. Empty when up. */
  readonly why: string;
  /** As configured. */
  readonly address: string;
  /** The other end of the socket. */
  readonly remoteAddress: string | undefined;
  /** Of the run linked, else the newest known. */
  readonly incarnation: Incarnation | undefined;
  readonly rttMs: number | undefined;
  readonly clockOffsetMs: number | undefined;
  readonly queuedBytes: number;
  /** Unix ms. */
  readonly upSinceMs: number | undefined;
  /** Links so far; the first included. */
  readonly links: number;
  readonly dialAttempts: number;
  /** Payload of all links so far, heartbeats aside when sent. */
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly lastError: { readonly message: string; readonly atMs: number } | undefined;
  /** Set by the fault seam. */
  readonly cut: "in" | "out" | "both" | undefined;
}

/** What is known of one other peer. */
interface Standing {
  readonly name: PeerName;
  readonly address: string;
  readonly dialer: Dialer | undefined;
  link: PeerLink | undefined;
  upSinceMs: number | undefined;
  /** Of the last attempt, in either direction. */
  refused: Refused | undefined;
  lastError: { message: string; atMs: number } | undefined;
  links: number;
  /** Of links that ended. */
  receivedBytes: number;
  sentBytes: number;
}

export class PeerLinks {
  readonly #options: PeerLinksOptions;
  readonly #timing: LinkTiming;
  readonly #clock: LinkClock;
  readonly #faults: LinkFaults;
  readonly #identity: HandshakeIdentity;
  readonly #incarnations: Incarnations;
  readonly #gate: Gate;
  readonly #webSockets: WebSocketServer;
  readonly #standings = new Map<PeerName, Standing>();
  /** Every socket there is, authenticated or not. */
  readonly #sockets = new Set<WebSocket>();
  /** Of these, who has dialed us and is being greeted. */
  readonly #greeted = new Map<WebSocket, ListenerHandshake>();
  readonly #reportedAtMs = new Map<string, number>();
  #heartbeatTimer: NodeJS.Timeout | undefined;
  #nextLinkId = 1;
  #state: "new" | "open" | "closed" = "new";

  /** Throws a RangeError for an address that is none, or for too many peers. */
  constructor(options: PeerLinksOptions) {
    this.#options = options;
    this.#timing = { ...defaultLinkTiming, ...options.timing };
    this.#clock = options.clock ?? { wallMs: Date.now, monotonicMs: () => performance.now() };
    this.#faults = options.faults ?? new LinkFaults();
    this.#faults.onChange = (peer) => this.#onFaultChanged(peer);
    const peers = [...new Set([options.name, ...options.peers.keys()])].sort();
    if (peers.length > peersMax) throw new RangeError(`${peers.length} peers, limit ${peersMax}`);
    const { name, incarnation, clusterId, secrets } = options;
    const strongPrefixes = options.strongPrefixes ?? strongPrefixesDefault;
    this.#identity = { name, incarnation, clusterId, secrets, peers, strongPrefixes };
    this.#incarnations = new Incarnations({ aliveMs: this.#timing.deadAfterMs, disputeMs: this.#timing.disputeMs });
    this.#incarnations.note(name, incarnation);
    this.#gate = new Gate({
      unauthenticatedMax,
      unauthenticatedPerAddressMax,
      failuresFree: authFailuresFree,
      addressesMax: authAddressesMax,
      backoffBaseMs: this.#timing.backoffBaseMs,
      backoffCapMs: this.#timing.backoffCapMs,
    });
    const socketOptions = {
      perMessageDeflate: false,
      maxPayload: linkMessageBytesMax,
      maxFragments: linkFragmentsMax,
      maxBufferedChunks: linkChunksMax,
      closeTimeout: this.#timing.closeTimeoutMs,
      // Our heartbeats are messages; nobody else's pings are owed an answer.
      autoPong: false,
    };
    this.#webSockets = new WebSocketServer({
      ...socketOptions,
      noServer: true,
      clientTracking: false,
      handleProtocols: () => false,
    });
    for (const [peer, address] of options.peers) {
      if (peer === name) continue;
      const url = urlOf(address);
      const dialer = name < peer ? this.#newDialer(peer, url, socketOptions) : undefined;
      this.#standings.set(peer, {
        name: peer,
        address,
        dialer,
        link: undefined,
        upSinceMs: undefined,
        refused: undefined,
        lastError: undefined,
        links: 0,
        receivedBytes: 0,
        sentBytes: 0,
      });
    }
  }

  /** Begins to dial, and to accept upgrades. */
  open(): void {
    if (this.#state !== "new") return;
    this.#state = "open";
    for (const standing of this.#standings.values()) standing.dialer?.start();
    this.#heartbeatTimer = setInterval(() => this.#onHeartbeat(), this.#timing.heartbeatIntervalMs);
  }

  /** Every link ends (with onLinkDown), what is queued on them still goes. Resolves when all sockets are closed. */
  async close(reason = "this peer stops"): Promise<void> {
    this.#state = "closed";
    clearInterval(this.#heartbeatTimer);
    for (const standing of this.#standings.values()) standing.dialer?.stop();
    const linked = new Set<WebSocket>();
    const closed = [...this.#sockets].map((ws) => new Promise<void>((resolve) => ws.once("close", () => resolve())));
    for (const { link } of this.#standings.values()) {
      if (link === undefined) continue;
      linked.add(link.ws);
      link.close(reason);
      link.flushDown();
    }
    for (const ws of this.#sockets) if (!linked.has(ws)) ws.terminate();
    await Promise.all(closed);
  }

  link(peer: PeerName): PeerLink | undefined {
    return this.#standings.get(peer)?.link;
  }

  /** In the order of the peer list. */
  status(): readonly PeerLinkStatus[] {
    return [...this.#standings.values()].map((standing) => this.#statusOf(standing));
  }

  /** Sockets that have not authenticated yet. */
  get unauthenticated(): number {
    return this.#gate.waiting;
  }

  /** Somebody told of this run, in a frame or a fact. If it is newer than the one linked, that link closes. */
  noteIncarnation(peer: PeerName, incarnation: Incarnation): void {
    if (!this.#incarnations.note(peer, incarnation)) return;
    const link = this.#standings.get(peer)?.link;
    if (link !== undefined && link.incarnation < incarnation) link.close(`a newer run is known: ${incarnation}`);
  }

  /** An HTTP upgrade on the path `/peer`. Bound, so that it can be handed over as it is. */
  readonly handleUpgrade = (request: IncomingMessage, duplex: Duplex, head: Buffer): void => {
    // The cast holds: an http.Server's sockets are net.Sockets.
    const socket = duplex as Socket;
    socket.on("error", ignoreError);
    if (this.#state !== "open") return refuseUpgrade(socket, 503, "this peer is not open");
    // A browser sends Origin and cannot be stopped from it; a peer never does.
    if (request.headers.origin !== undefined || request.headers["sec-websocket-origin"] !== undefined) {
      return refuseUpgrade(socket, 403, "web pages cannot be peers");
    }
    const address = socket.remoteAddress ?? "";
    const refusal = this.#gate.refusal(address, this.#clock.monotonicMs());
    if (refusal !== undefined) return refuseUpgrade(socket, refusal.status, refusal.message);

    let isWaiting = true;
    const leave = (): void => {
      if (isWaiting) this.#gate.leave(address);
      isWaiting = false;
    };
    this.#gate.enter(address);
    socket.once("close", leave);
    this.#webSockets.handleUpgrade(request, socket, head, (ws) => {
      this.#track(ws);
      const identity = this.#identity;
      const handshake = new ListenerHandshake({ identity, nonce: randomBytes(32), admit: this.#admit });
      this.#greeted.set(ws, handshake);
      greet({
        ws,
        socket,
        handshake,
        opening: undefined,
        timeoutMs: this.#timing.handshakeTimeoutMs,
        drops: this.#drops,
        onEnd: (result) => {
          this.#greeted.delete(ws);
          if (result.type === "accepted") {
            leave();
            this.#gate.succeeded(address);
            this.#onAccepted(result.peer, result.incarnation, { ws, socket });
          } else this.#onNotAccepted(result, address);
        },
      });
    });
  };

  #newDialer(peer: PeerName, url: string, socketOptions: object): Dialer {
    const timing = this.#timing;
    return new Dialer({
      peer,
      url,
      socketOptions,
      timeoutMs: timing.handshakeTimeoutMs,
      backoffBaseMs: timing.backoffBaseMs,
      backoffCapMs: timing.backoffCapMs,
      steadyAfterMs: timing.steadyAfterMs,
      random: this.#options.random ?? Math.random,
      newHandshake: () =>
        new DialerHandshake({ identity: this.#identity, peer, nonce: randomBytes(32), admit: this.#admit }),
      drops: this.#drops,
      onSocket: (ws) => this.#track(ws),
      onAttempt: (result, sockets) => {
        if (result.type === "accepted" && sockets !== undefined) this.#onAccepted(peer, result.incarnation, sockets);
        else if (result.type !== "accepted") this.#onNotAccepted(result, undefined);
      },
    });
  }

  #track(ws: WebSocket): void {
    this.#sockets.add(ws);
    ws.on("error", ignoreError);
    ws.once("close", () => this.#sockets.delete(ws));
  }

  readonly #drops = (peer: PeerName, direction: "in" | "out"): boolean => this.#faults.drops(peer, direction);

  /** Whoever waits for an answer that vanished need not wait until the handshake's time is over. */
  #onFaultChanged(peer: PeerName): void {
    if (this.#state !== "open") return;
    const standing = this.#standings.get(peer);
    standing?.link?.onFaultChanged();
    if (this.#faults.cutOf(peer) !== undefined) return;
    standing?.dialer?.retry();
    for (const [ws, handshake] of this.#greeted) if (handshake.peer === peer) ws.terminate();
  }

  readonly #admit = (name: PeerName, incarnation: Incarnation): Refusal | undefined => {
    const refusal = this.#incarnations.claim(name, incarnation, this.#clock.monotonicMs());
    // Neither of two claimants stays: the operator must see it, and choose.
    if (refusal?.code === "NAME_TAKEN") this.#standings.get(name)?.link?.close(refusal.message);
    return refusal;
  };

  #onAccepted(peer: PeerName, incarnation: Incarnation, sockets: { ws: WebSocket; socket: Socket }): void {
    const standing = this.#standings.get(peer);
    if (this.#state !== "open" || standing === undefined) return sockets.ws.terminate();
    const old = standing.link;
    if (old !== undefined) {
      old.close(
        old.incarnation === incarnation
          ? "replaced by a new connection of the same run"
          : `replaced by a newer run: ${incarnation}`,
      );
      old.flushDown();
    }
    const queue = this.#options.queue;
    const link = new PeerLink({
      ...sockets,
      id: this.#nextLinkId++,
      peer,
      incarnation,
      clock: this.#clock,
      heartbeat: { intervalMs: this.#timing.heartbeatIntervalMs, deadAfterMs: this.#timing.deadAfterMs },
      queueHighBytes: queue?.highBytes ?? linkQueueHighBytes,
      queueLowBytes: queue?.lowBytes ?? linkQueueLowBytes,
      queueBytesMax: queue?.bytesMax ?? linkQueueBytesMax,
      drops: (direction) => this.#faults.drops(peer, direction),
      onMessage: (from, message) => this.#options.events.onLinkMessage(from, message),
      onWritable: (to) => this.#options.events.onLinkWritable(to),
      onDown: (ended, reason, byPeer) => this.#onLinkDown(standing, ended, reason, byPeer),
    });
    standing.link = link;
    standing.links += 1;
    standing.upSinceMs = this.#clock.wallMs();
    standing.refused = undefined;
    link.start();
    this.#options.events.onLinkUp(link);
  }

  #onLinkDown(standing: Standing, link: PeerLink, reason: string, byPeer: boolean): void {
    if (standing.link !== link) return;
    standing.link = undefined;
    standing.upSinceMs = undefined;
    standing.receivedBytes += link.receivedBytes;
    standing.sentBytes += link.sentBytes;
    standing.lastError = { message: reason, atMs: this.#clock.wallMs() };
    if (byPeer) this.#incarnations.left(link.peer, link.incarnation);
    this.#options.events.onLinkDown(link, reason);
    standing.dialer?.onLinkEnded(this.#clock.monotonicMs() - link.upAtMs);
  }

  /** `address`: of the one who connected; undefined when we dialed. */
  #onNotAccepted(result: Exclude<GreetingResult, { type: "accepted" }>, address: string | undefined): void {
    const peer = result.type === "refused" ? result.refused.peer : result.peer;
    const standing = peer === undefined ? undefined : this.#standings.get(peer);
    if (standing !== undefined) {
      const message = result.type === "refused" ? `${result.refused.code}: ${result.refused.message}` : result.why;
      standing.lastError = { message, atMs: this.#clock.wallMs() };
      standing.refused = result.type === "refused" ? result.refused : undefined;
    }
    if (result.type === "failed") return;
    const { code, by, newest } = result.refused;
    if (address !== undefined && by === "us" && (code === "BAD_MESSAGE" || code === "WRONG_SECRET")) {
      this.#gate.failed(address, this.#clock.monotonicMs());
    }
    if (code === "STALE_INCARNATION" && by === "them" && newest !== undefined && peer !== undefined) {
      this.#options.onStaleIncarnation?.(newest, peer);
    }
    this.#report(result.refused, address);
  }

  /** A stranger may knock as often as it likes; the log hears of it once per peer and code in a while. */
  #report(refused: Refused, address: string | undefined): void {
    const nowMs = this.#clock.monotonicMs();
    const key = `${refused.peer ?? ""} ${refused.code} ${refused.by}`;
    const reportedAtMs = this.#reportedAtMs.get(key);
    if (reportedAtMs !== undefined && nowMs - reportedAtMs < this.#timing.refusalReportMs) return;
    this.#reportedAtMs.set(key, nowMs);
    const peer = refused.peer ?? `unknown peer at ${address ?? "?"}`;
    const message = refused.by === "us" ? refused.message : `${peer} refuses this peer: ${refused.message}`;
    this.#options.events.onLinkRefused(peer, refused.code, message);
  }

  #onHeartbeat(): void {
    for (const { link } of this.#standings.values()) {
      if (link === undefined) continue;
      link.tick();
      if (!link.isSilent) this.#incarnations.heard(link.peer, link.incarnation, this.#clock.monotonicMs());
    }
  }

  #statusOf(standing: Standing): PeerLinkStatus {
    const { name, link, dialer, refused, lastError } = standing;
    const waits = dialer === undefined ? `waits for ${name} to dial` : "";
    let state: PeerLinkStatus["state"] = "up";
    let why = "";
    if (link === undefined && refused !== undefined) {
      state = "refused";
      why = `${refused.code}: ${refused.message}`;
    } else if (link === undefined) {
      state = dialer !== undefined && lastError === undefined ? "connecting" : "down";
      why = [waits, lastError?.message ?? ""].filter((part) => part !== "").join("; ");
    }
    return {
      peer: name,
      role: dialer === undefined ? "listens" : "dials",
      state,
      why,
      address: standing.address,
      remoteAddress: link?.remoteAddress,
      incarnation: link?.incarnation ?? this.#incarnations.newest(name),
      rttMs: link?.rttMs,
      clockOffsetMs: link?.clockOffsetMs,
      queuedBytes: link?.queuedBytes ?? 0,
      upSinceMs: standing.upSinceMs,
      links: standing.links,
      dialAttempts: dialer?.attempts ?? 0,
      receivedBytes: standing.receivedBytes + (link?.receivedBytes ?? 0),
      sentBytes: standing.sentBytes + (link?.sentBytes ?? 0),
      lastError,
      cut: this.#faults.cutOf(name),
    };
  }
}

const ignoreError = (): void => {
  // What broke shows as `close`, which somebody listens to; without a listener Node would end the process.
};

/** `127.0.0.1:6002`, `[::1]:6002`, `b.example:6002`. */
const urlOf = (address: string): string => {
  const match = /^(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})$/.exec(address);
  const port = Number(match?.[2]);
  if (match === null || port < 1 || port > 65_535) throw new RangeError(`not a peer address (host:port): ${address}`);
  return `ws://${address}/peer`;
};
