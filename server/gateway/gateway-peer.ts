/**
 * One peer as a gateway sees it: a connection to its `/client`, kept up; what it says of itself every second; and the
 * calls under way there.
 *
 * Many callers share the connection, so each call carries the position it must not be answered before. The peer's own
 * position, as last told, says what it is sure to have seen (`known`): of two answers the later one's state is no older,
 * and whatever is asked from now on is answered from that state or a newer one.
 *
 * A connection that ends settles every call: those not sent as `unsent`, those sent as `lost`. Nothing is sent twice here;
 * who asked decides.
 */
import { performance } from "node:perf_hooks";
import { type Answer, Connection, type Pushed } from "../../protocol/client/connection.ts";
import { ChorusError } from "../../protocol/client/errors.ts";
import { pause } from "../../protocol/client/pause.ts";
import { backoffMs, clientUrl } from "../../protocol/client/peer-list.ts";
import { wireBytes } from "../../protocol/client/values.ts";
import type { Outcome, WireReply } from "../../protocol/client-messages.ts";
import { gatewayInFlightBytesMax, gatewayInFlightMax } from "../../protocol/limits.ts";
import { parseStatus, type StatusReport } from "../../protocol/status.ts";
import type { WireText } from "../../protocol/wire-text.ts";
import { type HostPort, hostPortToText } from "../settings.ts";
import { Breaker } from "./breaker.ts";
import { deadlineSignal } from "./deadline-signal.ts";
import { emptyVector, parseVector, type Vector } from "./vector.ts";

/** How a call at a peer ended. */
export type CallEnd =
  | { readonly kind: "answered"; readonly reply: WireReply; readonly position: string; readonly run: string }
  | { readonly kind: "refused"; readonly code: string; readonly message: string; readonly outcome: Outcome }
  /** The connection ended before it was sent. */
  | { readonly kind: "unsent"; readonly why: string }
  /** It was sent, and nobody knows what became of it. */
  | { readonly kind: "lost"; readonly why: string };

export interface PeerCall {
  readonly args: readonly WireText[];
  /** Not answered from a state older than this; empty: any. */
  readonly position: string;
  readonly staleAfterMs: number;
  /** Called once, never from within `call`. */
  readonly onEnd: (end: CallEnd, peer: GatewayPeer) => void;
  /** Nobody waits for it any more: it is not sent if it was not yet, and its answer is nobody's. */
  abandoned: boolean;
  /** What the peer was known to have seen when it was sent: the answer is from that state, or a newer one. */
  knownWhenSent?: Vector;
}

/**
 *   up          takes everything        behind     lacks what others had long ago: asked only when nobody is up
 *   slow-start  takes part of it        not-ready  says so itself: loading, gated, draining, its clock, its disk
 *   open        failed calls lately     down       not connected     starting   connected, has not spoken yet
 */
export type PeerState = "up" | "slow-start" | "behind" | "not-ready" | "open" | "starting" | "down";

export interface GatewayPeerOptions {
  readonly address: HostPort;
  /** Named in the settings, not told of by another peer. */
  readonly given: boolean;
  readonly password: string | undefined;
  /** Something changed that routing depends on. */
  readonly onChange: (peer: GatewayPeer) => void;
  /** Its other peers, as it told. */
  readonly onTold: (peer: GatewayPeer, peers: readonly { readonly name: string; readonly address: string }[]) => void;
}

/** A peer silent for so long is given up: pings go a few times within it. */
const deadAfterMs = 1000;

export class GatewayPeer {
  readonly address: HostPort;
  readonly given: boolean;
  readonly breaker = new Breaker();
  /** Calls, by their ends: only ever added to. Refusals are answers. */
  readonly counters = { answered: 0, failed: 0 };
  /** `name` once it has said it; its address before. */
  name: string;
  cluster = "";
  incarnation = "";
  /** Its last report; undefined while there is no connection. */
  status: StatusReport | undefined;
  /** What it has seen, at least, while the connection lasts. */
  known: Vector = emptyVector;
  /** Why the last connection ended, or there is none; "" while connected. */
  why = "not connected yet";
  /** What of that the log has. */
  toldWhy = "not connected yet";
  // Of routing (peer-pool.ts):
  state: PeerState = "down";
  /** Since when it could be `up`; a share of calls grows from there. */
  upSinceMs = 0;
  /** Of smooth weighted round-robin. */
  credit = 0;
  /** How long ago somebody had what it is not known to have now, ms. Its word is up to a second old. */
  lagMs = 0;
  /** The same, when it spoke last: that is fair to all. */
  measuredLagMs = 0;
  measuredStatus: StatusReport | undefined;
  /** How many others had something, as long ago as is still known, that it lacks. */
  lacksOf = 0;
  /** A TCP connection was refused: none is sent there before. */
  tcpRestUntilMs = 0;

  readonly #options: GatewayPeerOptions;
  readonly #closing = new AbortController();
  #connection: Connection | undefined;
  readonly #flying = new Map<number, PeerCall>();
  #flyingBytes = 0;
  #waiting: PeerCall[] = [];
  #position = "";
  #knownText = "";
  #statusId = 0;
  #over: Promise<void> = Promise.resolve();

  constructor(options: GatewayPeerOptions) {
    this.#options = options;
    this.address = options.address;
    this.given = options.given;
    this.name = hostPortToText(options.address);
  }

  open(): void {
    this.#over = this.#keepConnected();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#connection?.close();
    await this.#over;
  }

  get isConnected(): boolean {
    return this.#connection !== undefined;
  }

  get url(): string {
    // Always one: the address was checked.
    return clientUrl(hostPortToText(this.address)) ?? "";
  }

  /** `name.incarnation`: an origin. */
  get run(): string {
    return `${this.name}.${this.incarnation}`;
  }

  get callsUnderWay(): number {
    return this.#flying.size + this.#waiting.length;
  }

  /** It may have to wait here, until others are answered; only when the peer is connected. */
  call(call: PeerCall): void {
    if (this.#connection !== undefined && this.#waiting.length === 0 && this.#hasRoom()) this.#send(call);
    else this.#waiting.push(call);
  }

  #hasRoom(): boolean {
    return (
      this.#flying.size < gatewayInFlightMax && (this.#flyingBytes < gatewayInFlightBytesMax || this.#flying.size === 0)
    );
  }

  #send(call: PeerCall): void {
    const connection = this.#connection as Connection;
    const { args, position, staleAfterMs } = call;
    const id = connection.nextId();
    this.#flying.set(id, call);
    this.#flyingBytes += bytesOf(call);
    call.knownWhenSent = this.known;
    connection.send(
      position === ""
        ? { type: "command", id, args: args as WireText[] }
        : { type: "command", id, args: args as WireText[], position, staleAfterMs },
    );
  }

  #flush(): void {
    let next = 0;
    while (next < this.#waiting.length && this.#hasRoom()) {
      const call = this.#waiting[next++] as PeerCall;
      if (!call.abandoned) this.#send(call);
    }
    if (next > 0) this.#waiting = this.#waiting.slice(next);
  }

  #onAnswer({ id, position, result }: Answer): void {
    // In the order of the peer's turns, so the last one told is the newest; a stale one's too.
    if (position !== undefined) this.#learn(position);
    const call = this.#flying.get(id);
    if (call === undefined) return;
    this.#flying.delete(id);
    this.#flyingBytes -= bytesOf(call);
    this.counters.answered += 1;
    if (this.#waiting.length > 0) this.#flush();
    if (result.ok) call.onEnd({ kind: "answered", reply: result.reply, position: this.#position, run: this.run }, this);
    else call.onEnd({ kind: "refused", code: result.code, message: result.message, outcome: result.outcome }, this);
  }

  #learn(position: string): void {
    this.#position = position;
    if (position === this.#knownText) return;
    this.#knownText = position;
    this.known = parseVector(position) ?? emptyVector;
  }

  #onPushed(message: Pushed): void {
    if (message.id !== this.#statusId) return;
    if (message.type === "ended") return this.#connection?.cut(message.why);
    if (message.type !== "status") return;
    const parsed = parseStatus(message.status);
    if (!parsed.ok) return this.#connection?.cut(parsed.why);
    this.status = parsed.status;
    // Told in the order of the answers too: no older than what any of them saw.
    this.known = new Map(Object.entries(parsed.status.versionVector));
    this.#knownText = "";
    this.#options.onChange(this);
  }

  // ---- The connection -------------------------------------------------------------------------------------------------

  async #keepConnected(): Promise<void> {
    const { signal } = this.#closing;
    let fruitless = 0;
    while (!signal.aborted) {
      const deadline = deadlineSignal(signal, 2 * deadAfterMs);
      try {
        const connection = await Connection.open(
          {
            url: this.url,
            user: undefined,
            password: this.#options.password,
            name: "gateway",
            position: "",
            staleAfterMs: 0,
            deadAfterMs,
          },
          { onAnswer: (answer) => this.#onAnswer(answer), onPushed: (message) => this.#onPushed(message) },
          deadline.signal,
        );
        deadline.release();
        this.#onConnected(connection);
        const startedMs = performance.now();
        const why = await connection.ended;
        // One that lasted was of use.
        fruitless = performance.now() - startedMs > 1000 ? 0 : fruitless + 1;
        this.#onDisconnected(why);
      } catch (error) {
        if (!(error instanceof ChorusError)) throw error;
        fruitless += 1;
        this.why = error.code === "UNREACHABLE" ? error.message : `${error.code}: ${error.message}`;
        this.#options.onChange(this);
      } finally {
        deadline.release();
      }
      await pause(backoffMs(Math.max(0, fruitless - 1), Math.random()), signal);
    }
    this.#onDisconnected("the gateway stops");
  }

  #onConnected(connection: Connection): void {
    const { peer, incarnation, cluster, peers } = connection.welcome;
    this.#connection = connection;
    this.name = peer;
    this.incarnation = incarnation;
    this.cluster = cluster;
    this.why = "";
    this.#statusId = connection.nextId();
    connection.send({ type: "status", id: this.#statusId });
    this.#options.onTold(this, peers);
    this.#options.onChange(this);
  }

  #onDisconnected(why: string): void {
    this.#connection = undefined;
    this.status = undefined;
    this.known = emptyVector;
    this.#knownText = "";
    this.#position = "";
    this.why = why;
    const lost = [...this.#flying.values()];
    const unsent = this.#waiting;
    this.#flying.clear();
    this.#flyingBytes = 0;
    this.#waiting = [];
    this.breaker.reset();
    this.counters.failed += lost.length + unsent.length;
    this.#options.onChange(this);
    for (const call of lost) call.onEnd({ kind: "lost", why }, this);
    for (const call of unsent) call.onEnd({ kind: "unsent", why }, this);
  }
}

const bytesOf = ({ args, position }: PeerCall): number => {
  let bytes = 64 + position.length;
  for (const arg of args) bytes += wireBytes(arg);
  return bytes;
};
