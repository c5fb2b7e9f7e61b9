/**
 * Keeps the read cache coherent: one watch on all keys, without values, at one peer; at another when that one fails.
 *
 * The cache is trusted only while this feed is up, has told all there was, and its peer was heard of just now. A feed that
 * goes on elsewhere begins behind what it has told, so that the cache stays; a peer that cannot reach that, or no longer
 * has the history, begins anew, with an empty cache.
 *
 * Whether all was told is seen from a PING on the same connection: the position its answer carries is the peer's own, and
 * once the feed's token has come so far nothing older is to come.
 */
import { performance } from "node:perf_hooks";
import { type Answer, Connection, type Pushed } from "../../protocol/client/connection.ts";
import { ChorusError } from "../../protocol/client/errors.ts";
import type { Logger } from "../logger.ts";
import { wireToLatin1 } from "../ports/client-socket-bytes.ts";
import { deadlineSignal } from "./deadline-signal.ts";
import type { GatewayPeer } from "./gateway-peer.ts";
import { isUp, type PeerPool } from "./peer-pool.ts";
import type { ReadCache } from "./read-cache.ts";
import { emptyVector, parseVector, type Vector } from "./vector.ts";

/** The feed's peer is given up after so long a silence, and not trusted any more before. */
const deadAfterMs = 600;
/** Longer than pings are apart. */
const leaseMs = 450;
/** A peer may take so long to get to where the feed stood. Meanwhile reads go to the peers, so it costs only them. */
const staleAfterMs = 1000;
const retryMs = 100;
/** A feed that ended sooner was of no use: the next one is not asked for at once. */
const shortMs = 1000;

export interface CacheFeedOptions {
  readonly cache: ReadCache;
  readonly pool: PeerPool;
  readonly password: string | undefined;
  readonly logger: Logger;
}

export class CacheFeed {
  readonly #options: CacheFeedOptions;
  readonly #closing = new AbortController();
  #over: Promise<void> = Promise.resolve();
  #connection: Connection | undefined;
  #peer: GatewayPeer | undefined;
  #watchId = 0;
  #pingId = 0;
  /** All up to it was told once the token covers it. Undefined: not known yet. */
  #target: Vector | undefined;
  /** The peer's own position, as told last on this connection. */
  #lastTold: Vector = emptyVector;
  /** The cache has something that goes on from its position. */
  #hasBegun = false;
  /** This watch was asked to go on; else to begin now. */
  #isResumed = false;

  constructor(options: CacheFeedOptions) {
    this.#options = options;
  }

  open(): void {
    this.#over = this.#keepFed();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#options.cache.trusted = false;
    await this.#connection?.close();
    await this.#over;
  }

  /** The feed's peer was heard of a moment ago: asked with every read from the cache. */
  get isAlive(): boolean {
    return this.#connection !== undefined && performance.now() - this.#connection.aliveAtMs < leaseMs;
  }

  /** Some peer's state changed: a peer that is no longer up is no place for the feed. */
  onPeers(): void {
    const peer = this.#peer;
    if (peer === undefined || isUp(peer.state)) return;
    const isOtherUp = this.#options.pool.peers.some((other) => other !== peer && isUp(other.state));
    if (isOtherUp) this.#connection?.cut("the peer is not up any more");
  }

  async #keepFed(): Promise<void> {
    const { signal } = this.#closing;
    const { pool, cache, logger } = this.#options;
    let failed: GatewayPeer | undefined;
    while (!signal.aborted) {
      const avoid = failed === undefined ? undefined : new Set([failed]);
      // The one that is written to shows this gateway's own writes first.
      const peer = pool.forFeed(avoid) ?? pool.forFeed();
      if (peer === undefined) {
        await rest(signal);
        continue;
      }
      const startedMs = performance.now();
      try {
        const why = await this.#feedFrom(peer);
        if (!signal.aborted) logger.warn(`the feed of the read cache, at ${peer.name}, ended: ${why}; it is bypassed`);
      } catch (error) {
        if (!(error instanceof ChorusError)) throw error;
      }
      cache.trusted = false;
      this.#connection = undefined;
      this.#peer = undefined;
      failed = peer;
      // One that lasted is followed by the next at once.
      if (performance.now() - startedMs < shortMs) await rest(signal);
    }
  }

  /** Resolves with why it ended. Rejects when there was no connection. */
  async #feedFrom(peer: GatewayPeer): Promise<string> {
    const { password, cache } = this.#options;
    const deadline = deadlineSignal(this.#closing.signal, 2 * deadAfterMs);
    const connection = await Connection.open(
      { url: peer.url, user: undefined, password, name: "gateway-feed", position: "", staleAfterMs, deadAfterMs },
      { onAnswer: (answer) => this.#onAnswer(answer), onPushed: (message) => this.#onPushed(message) },
      deadline.signal,
    ).finally(deadline.release);
    this.#connection = connection;
    this.#peer = peer;
    this.#lastTold = emptyVector;
    this.#watch(this.#hasBegun ? cache.position : undefined);
    return connection.ended;
  }

  #watch(token: string | undefined): void {
    const connection = this.#connection as Connection;
    this.#isResumed = token !== undefined;
    this.#target = undefined;
    this.#pingId = 0;
    this.#watchId = connection.nextId();
    const watch = { type: "watch", id: this.#watchId, values: false } as const;
    connection.send(token === undefined ? watch : { ...watch, token });
  }

  #askHowFar(): void {
    const connection = this.#connection as Connection;
    this.#options.cache.trusted = false;
    this.#target = undefined;
    this.#pingId = connection.nextId();
    connection.send({ type: "command", id: this.#pingId, args: ["PING"] });
  }

  #onAnswer({ id, position, result }: Answer): void {
    const { logger } = this.#options;
    // An answer carries the position only when it moved.
    if (position !== undefined) this.#lastTold = parseVector(position) ?? emptyVector;
    if (id === this.#watchId && !result.ok) {
      if (result.code !== "STALE" && result.code !== "BAD_POSITION") {
        this.#connection?.cut(`${result.code}: ${result.message}`);
        return;
      }
      logger.warn("no peer has all that the read cache was told: it begins anew, empty");
      this.#watch(undefined);
    } else if (id === this.#pingId) {
      this.#target = this.#lastTold;
      this.#trustIfFed();
    }
  }

  #trustIfFed(): void {
    const { cache } = this.#options;
    if (this.#target !== undefined && cache.covers(this.#target)) cache.trusted = true;
  }

  #onPushed(message: Pushed): void {
    if (message.id !== this.#watchId) return;
    const { cache, logger } = this.#options;
    const nowMs = performance.now();
    switch (message.type) {
      case "watching":
        if (this.#isResumed) return this.#askHowFar();
        cache.begin(message.token, nowMs);
        this.#hasBegun = true;
        cache.trusted = true;
        return;
      case "changes":
        cache.onChanges(
          message.changes.map(({ key, type, origin, seq }) => ({
            key: wireToLatin1(key),
            origin: type === "expired" ? "" : origin,
            seq,
          })),
          message.token,
          nowMs,
        );
        if (!cache.trusted) this.#trustIfFed();
        return;
      case "reset":
        logger.warn(`the read cache begins anew: ${message.why}`);
        cache.begin(message.token, nowMs);
        this.#hasBegun = true;
        return this.#askHowFar();
      case "lagging":
        return this.#askHowFar();
      case "ended":
        return this.#connection?.cut(message.why);
      default:
        return undefined;
    }
  }
}

const rest = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(done, retryMs);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done, { once: true });
  });
