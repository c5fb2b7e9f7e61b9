/**
 * What answers the HTTP routes at a gateway: calls, each sent to a peer of the pool and, when that does not answer it, to
 * the next; and the read cache.
 *
 * What may be sent again: everything that certainly did not happen (it was not sent, or refused for what another peer may
 * grant); and of what may have happened whatever leaves the same when it happens twice. A call is settled by its deadline,
 * come what may.
 *
 * Strong keys are not in the watch feed, so nothing of them is cached, and no read is shared with one that began before it.
 * Their writes carry an operation id: under it they may be sent again whatever happened, and happen once.
 *
 * A call is not answered from before its position: it goes to a peer that is known to have it, else it carries it along
 * and the peer waits. `STALE` comes back only when no peer got there: what was seen, only a peer that is gone had.
 */
import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";
import { gatewayPendingBytesMax, gatewayPendingCallsMax } from "../../protocol/limits.ts";
import { formatPosition } from "../../protocol/position.ts";
import type { OriginId } from "../../protocol/words.ts";
import { type KvAnswer, type KvBackend, type KvCached, type KvCall, KvFailure } from "../web/kv-backend.ts";
import type { CallEnd, GatewayPeer, PeerCall } from "./gateway-peer.ts";
import type { PeerPool } from "./peer-pool.ts";
import type { ReadCache } from "./read-cache.ts";
import { covers, emptyVector, joinVectors, parseVector, type Vector } from "./vector.ts";
import { latin1ToWire, wireToBuffer, wireToReply } from "./wire.ts";

export interface GatewayBackendOptions {
  readonly pool: PeerPool;
  /** Undefined: no cache. */
  readonly cache: ReadCache | undefined;
  /** The feed's peer was heard of just now. */
  readonly isFeedAlive: () => boolean;
  /** Of a call, all its repetitions included. */
  readonly timeoutMs: number;
  readonly staleAfterMs: number;
}

/** Plain numbers, only ever added to. */
export interface BackendCounters {
  calls: number;
  /** Sent again, to another peer or the same. */
  retries: number;
  failures: number;
}

/** Refusals that say something about a peer now, not about the command. */
const elsewhereCodes = new Set([
  "LOADING",
  "STALE",
  "CLOCKSKEW",
  "MISCONF",
  "NOREPLICAS",
  "NOQUORUM",
  "BUSY",
  "TOO_MANY",
]);
/** Deadlines are late by at most this; who waits for a peer looks again this often. */
const sweepIntervalMs = 25;

class Attempts {
  readonly call: KvCall;
  readonly args: PeerCall["args"];
  readonly bytes: number;
  readonly deadlineMs: number;
  readonly settle: (end: KvAnswer | KvFailure) => void;
  readonly wanted: Vector | undefined;
  /** Of a read for the cache: the key. */
  fillKey: string | undefined;
  cache: KvAnswer["cache"];
  /** Position that went along with the last sending. */
  sent: Vector = emptyVector;
  tried: Set<GatewayPeer> | undefined;
  mayHaveHappened = false;
  refusal: KvFailure | undefined;
  under: PeerCall | undefined;
  peer: GatewayPeer | undefined;
  isSettled = false;
  count = 0;

  constructor(call: KvCall, deadlineMs: number, settle: (end: KvAnswer | KvFailure) => void) {
    this.call = call;
    this.args = call.command.map(latin1ToWire);
    let bytes = 0;
    for (const word of call.command) bytes += word.length;
    this.bytes = bytes;
    this.deadlineMs = deadlineMs;
    this.settle = settle;
    this.wanted = call.position === "" ? undefined : parseVector(call.position);
  }
}

export class GatewayBackend implements KvBackend {
  readonly counters: BackendCounters = { calls: 0, retries: 0, failures: 0 };
  readonly #options: GatewayBackendOptions;
  /** In the order of their deadlines: all have the same time. */
  readonly #pending = new Set<Attempts>();
  #pendingBytes = 0;
  /** Waiting for a peer that takes them. */
  #parked: Attempts[] = [];
  /** Reads for the cache under way, so that a crowd that misses one key asks once. */
  readonly #filling = new Map<string, Promise<KvAnswer>>();
  /** Positions of sessions, as they come again and again. */
  readonly #parsed = new Map<string, Vector>();
  readonly #name = randomBytes(9).toString("base64url");
  #lastOperation = 0;
  #sweeper: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: GatewayBackendOptions) {
    this.#options = options;
  }

  /** What waits is refused. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#sweeper);
    for (const attempts of this.#pending) this.#fail(attempts, "CLOSED", "the gateway stops");
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  /** Some peer's state changed. */
  onPeers(): void {
    this.#unpark();
  }

  // ---- KvBackend ------------------------------------------------------------------------------------------------------

  cached(key: string, position: string): KvCached | undefined {
    const { cache, isFeedAlive } = this.#options;
    if (cache === undefined || !isFeedAlive()) return undefined;
    if (position !== "" && !cache.covers(this.#vectorOf(position))) return undefined;
    return cache.get(key, Date.now);
  }

  call(call: KvCall): Promise<KvAnswer> {
    const key = call.command[1];
    if (key !== undefined && this.#options.pool.isStrong(key)) return this.#callStrong(call);
    const fillKey = this.#fillKeyOf(call);
    if (fillKey === undefined) return this.#call(call, undefined);
    const { cache } = this.#options;
    if (cache === undefined) return this.#call(call, undefined);
    const isTrusted =
      cache.trusted &&
      this.#options.isFeedAlive() &&
      (call.position === "" || cache.covers(this.#vectorOf(call.position)));
    if (isTrusted) cache.counters.misses += 1;
    else cache.counters.bypasses += 1;
    const state = isTrusted ? "miss" : "bypass";
    if (call.position !== "") return this.#call(call, fillKey, state);
    const filling = this.#filling.get(fillKey);
    if (filling !== undefined) return filling;
    // Shared by whoever comes meanwhile, so nobody's leaving ends it.
    const { isGone: _isGone, ...shared } = call;
    const answer = this.#call(shared, fillKey, state);
    this.#filling.set(fillKey, answer);
    const done = (): void => {
      this.#filling.delete(fillKey);
    };
    answer.then(done, done);
    return answer;
  }

  #callStrong(call: KvCall): Promise<KvAnswer> {
    if (call.kind === "read") {
      const { cache } = this.#options;
      if (cache !== undefined) cache.counters.bypasses += 1;
      return this.#call(call, undefined, cache === undefined ? undefined : "bypass");
    }
    const id = `${this.#name}.${++this.#lastOperation}`;
    return this.#call({ ...call, command: [...call.command, "OPID", id], kind: "absolute" }, undefined);
  }

  #fillKeyOf({ command, kind }: KvCall): string | undefined {
    const isFill = kind === "read" && command.length === 3 && command[0] === "VERSION" && command[2] === "WITHVALUE";
    return isFill ? command[1] : undefined;
  }

  #vectorOf(position: string): Vector {
    let vector = this.#parsed.get(position);
    if (vector === undefined) {
      vector = parseVector(position) ?? emptyVector;
      if (this.#parsed.size >= 1000) this.#parsed.clear();
      this.#parsed.set(position, vector);
    }
    return vector;
  }

  #call(call: KvCall, fillKey: string | undefined, cache?: KvAnswer["cache"]): Promise<KvAnswer> {
    this.counters.calls += 1;
    if (this.#isClosed) return Promise.reject(new KvFailure("CLOSED", "the gateway stops"));
    if (this.#pending.size >= gatewayPendingCallsMax || this.#pendingBytes > gatewayPendingBytesMax)
      return Promise.reject(new KvFailure("TOO_MANY", `${this.#pending.size} calls wait here already`));
    return new Promise((resolve, reject) => {
      const attempts = new Attempts(call, performance.now() + this.#options.timeoutMs, (end) => {
        if (attempts.isSettled) return;
        attempts.isSettled = true;
        this.#pending.delete(attempts);
        this.#pendingBytes -= attempts.bytes;
        if (attempts.under !== undefined) attempts.under.abandoned = true;
        if (end instanceof KvFailure) {
          this.counters.failures += 1;
          reject(end);
        } else resolve(end);
      });
      this.#pending.add(attempts);
      this.#sweeper ??= setInterval(() => this.#sweep(), sweepIntervalMs);
      this.#pendingBytes += attempts.bytes;
      attempts.fillKey = fillKey;
      attempts.cache = cache;
      this.#next(attempts);
    });
  }

  // ---- One call -------------------------------------------------------------------------------------------------------

  /** To the next peer; or it waits for one. */
  #next(attempts: Attempts): void {
    const { call, tried, wanted } = attempts;
    if (attempts.isSettled) return;
    if (call.isGone?.() === true) return this.#fail(attempts, "ABORTED", "nobody waits for it any more");
    const { pool, staleAfterMs } = this.#options;
    let peer: GatewayPeer | undefined;
    if (call.run !== undefined) {
      peer = pool.ofRun(call.run);
      if (peer === undefined || tried?.has(peer) === true)
        return this.#fail(attempts, "CURSOR_GONE", "the peer this scan began at is gone: begin anew");
    } else peer = call.kind === "read" ? pool.forRead(wanted, tried) : pool.forWrite(tried);
    if (peer === undefined) return this.#onNobody(attempts);

    attempts.peer = peer;
    attempts.count += 1;
    if (attempts.count > 1) this.counters.retries += 1;
    attempts.sent = this.#toSend(attempts, peer);
    const peerCall: PeerCall = {
      args: attempts.args,
      // The casts hold: these origins came from positions.
      position: attempts.sent.size === 0 ? "" : formatPosition([...attempts.sent] as [OriginId, number][]),
      staleAfterMs,
      onEnd: (end) => this.#onEnd(attempts, peerCall, end),
      abandoned: false,
    };
    attempts.under = peerCall;
    peer.call(peerCall);
  }

  /** What the peer must have seen and is not sure to have. */
  #toSend({ wanted, fillKey }: Attempts, peer: GatewayPeer): Vector {
    let sent = wanted !== undefined && !covers(peer.known, wanted) ? wanted : emptyVector;
    // What the feed told of this key lately: an answer without it could not be kept, and would be older than need be.
    const dots = fillKey === undefined ? undefined : this.#options.cache?.dotsOf(fillKey);
    if (dots !== undefined && !covers(peer.known, dots)) sent = joinVectors(sent, dots);
    return sent;
  }

  /** All were asked, or there is nobody. */
  #onNobody(attempts: Attempts): void {
    const { refusal } = attempts;
    // Each peer has waited for it.
    if (refusal?.code === "STALE") return this.#fail(attempts, refusal.code, refusal.message);
    attempts.tried = undefined;
    this.#parked.push(attempts);
  }

  #unpark(): void {
    if (this.#parked.length === 0) return;
    const parked = this.#parked;
    this.#parked = [];
    for (const attempts of parked) this.#next(attempts);
  }

  #onEnd(attempts: Attempts, peerCall: PeerCall, end: CallEnd): void {
    const { call, peer, isSettled } = attempts;
    const { pool } = this.#options;
    if (isSettled || peer === undefined || attempts.under !== peerCall) return;
    attempts.under = undefined;
    switch (end.kind) {
      case "answered":
        pool.note(peer, false);
        return this.#onAnswered(attempts, peerCall, end);
      case "refused": {
        const { code, message, outcome } = end;
        if (code === "UNKNOWN" && call.kind !== "once") {
          // Of a strong key, under an operation id: whoever is asked next finds out whether it happened.
          attempts.mayHaveHappened = true;
          attempts.refusal = new KvFailure(code, message, outcome);
          (attempts.tried ??= new Set()).add(peer);
          return this.#next(attempts);
        }
        if (!elsewhereCodes.has(code) || outcome === "unknown") {
          pool.note(peer, false);
          if (outcome === "unknown") attempts.mayHaveHappened = true;
          return this.#fail(attempts, code, message);
        }
        // That one is behind a session says nothing about how it is.
        if (code !== "STALE") pool.note(peer, true);
        attempts.refusal = new KvFailure(code, message);
        (attempts.tried ??= new Set()).add(peer);
        return this.#next(attempts);
      }
      case "unsent":
        return this.#next(attempts);
      case "lost":
        attempts.mayHaveHappened = true;
        if (call.kind === "once")
          return this.#fail(
            attempts,
            "CONNECTION_LOST",
            `the connection to ${peer.name} ended before the answer: ${end.why}`,
          );
        return this.#next(attempts);
      default:
        return end satisfies never;
    }
  }

  #onAnswered(attempts: Attempts, peerCall: PeerCall, end: Extract<CallEnd, { kind: "answered" }>): void {
    const { fillKey, cache } = attempts;
    try {
      if (fillKey !== undefined) this.#fill(fillKey, attempts, peerCall, end.reply);
      const reply = wireToReply(end.reply);
      const { position, run } = end;
      attempts.settle(cache === undefined ? { reply, position, run } : { reply, position, run, cache });
    } catch (error) {
      if (!(error instanceof KvFailure)) throw error;
      attempts.settle(error);
    }
  }

  /** `[version, value, expiry]`, or nil. */
  #fill(key: string, { sent }: Attempts, { knownWhenSent = emptyVector }: PeerCall, reply: unknown): void {
    const { cache } = this.#options;
    const nothing = { value: undefined, version: "", expiresAtMs: 0 };
    if (reply === null) return cache?.fill(key, nothing, knownWhenSent, sent, Date.now());
    if (!Array.isArray(reply) || reply.length !== 3) return;
    const [version, value, expiry] = reply as [unknown, never, unknown];
    if (typeof version !== "string" || typeof expiry !== "number") return;
    const answer = { value: wireToBuffer(value), version, expiresAtMs: Math.max(0, expiry) };
    cache?.fill(key, answer, knownWhenSent, sent, Date.now());
  }

  #fail(attempts: Attempts, code: string, message: string): void {
    const isUnknown = attempts.mayHaveHappened && attempts.call.kind !== "read";
    attempts.settle(new KvFailure(code, message, isUnknown ? "unknown" : "not-applied"));
  }

  // ---- Deadlines ------------------------------------------------------------------------------------------------------

  #sweep(): void {
    const nowMs = performance.now();
    for (const attempts of this.#pending) {
      if (attempts.deadlineMs > nowMs) break;
      this.#onDeadline(attempts);
    }
    this.#unpark();
    if (this.#pending.size > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }

  #onDeadline(attempts: Attempts): void {
    const { under, refusal, peer } = attempts;
    const { timeoutMs, pool } = this.#options;
    const within = `within ${timeoutMs} ms`;
    if (under?.knownWhenSent !== undefined) {
      attempts.mayHaveHappened = true;
      if (peer !== undefined) pool.note(peer, true);
      return this.#fail(attempts, "TIMEOUT", `no answer ${within}`);
    }
    // The last word heard says more than the silence since.
    if (refusal !== undefined) return this.#fail(attempts, refusal.code, `${refusal.message} (asked again ${within})`);
    if (under !== undefined) return this.#fail(attempts, "TIMEOUT", `not sent ${within}: others were before it`);
    return this.#fail(attempts, "UNREACHABLE", `no peer took it ${within}: ${this.#whyNobody()}`);
  }

  #whyNobody(): string {
    const { pool } = this.#options;
    return pool.peers.map((each) => `${each.name}: ${pool.whyOf(each) || each.state}`).join("; ");
  }
}
