/**
 * A client's session with a cluster: calls and subscriptions that outlive the connection they began on.
 *
 * Calls are sent in the order they were made. When a connection ends, those without an answer are sent again at the next
 * peer, in that order, if that can do no harm (repeatable.ts); the others reject, `unknown`. Whatever happens, a call is
 * settled by its deadline.
 *
 * Read your writes, never back in time: each answer carries the position of who answered. The next peer is told the last
 * one, answers nothing until it has got there, and STALE when that takes too long; then the one after it is asked.
 *
 * A peer that refuses what another may grant (it loads, its clock is wrong, its disk is full) is left: nothing more is
 * sent, what is under way is waited for, and the session goes on elsewhere.
 */
import type { ClientRequest, WireReply } from "../client-messages.ts";
import {
  clientCommandsInFlightMax,
  clientInFlightBytesMax,
  clientMessageBytesMax,
  clientPendingBytesMax,
  clientPendingCallsMax,
} from "../limits.ts";
import type { WireVector } from "../link-messages.ts";
import { formatPosition, parsePosition } from "../position.ts";
import type { WireText } from "../wire-text.ts";
import { type Answer, Connection, type ConnectionOptions, type Pushed, type Welcome } from "./connection.ts";
import { dialRound } from "./dial.ts";
import { ChorusError, refused } from "./errors.ts";
import { pause } from "./pause.ts";
import { backoffMs, PeerList } from "./peer-list.ts";
import { wireBytes } from "./values.ts";

/** Refusals that say something about this peer now, not about the command. */
const elsewhereCodes = new Set(["LOADING", "STALE", "CLOCKSKEW", "MISCONF"]);
/**
 * Of strong keys: this peer found no majority, or has too much to do. NOQUORUM and BUSY certainly did not happen; after
 * UNKNOWN only what may be sent again is.
 */
const majorityCodes = new Set(["NOQUORUM", "BUSY", "UNKNOWN"]);
/** Refusals of a hello that trying again does not cure. */
const hopelessCodes = new Set(["WRONGPASS", "NOAUTH", "NOPERM", "UNKNOWN_VERSION", "BAD_POSITION", "PROTOCOL"]);
/** A failover begins within this, so that the clients of a dead peer do not all come at once. */
const failoverJitterMs = 30;

export interface SessionOptions extends Omit<ConnectionOptions, "url"> {
  readonly urls: readonly string[];
  /** Of connecting at first. */
  readonly timeoutMs: number;
  /** Reject the first connecting when everybody was tried once. */
  readonly failFast: boolean;
  /** Go also to peers that only a peer told of. */
  readonly discover: boolean;
  readonly onState: ((state: ClientState) => void) | undefined;
  /** For commands on strong keys alone: it keeps no position, and goes elsewhere for a majority. */
  readonly forStrongKeys: boolean;
}

/** Whom the client talks to. */
export type ClientState =
  | {
      readonly kind: "connected";
      readonly peer: string;
      readonly incarnation: string;
      readonly cluster: string;
      /** Of the peer's program. */
      readonly version: string;
      readonly url: string;
      /** All peers of the cluster, `address` as they reach each other. */
      readonly peers: readonly { readonly name: string; readonly address: string }[];
    }
  /** `why` the last connection ended, or nobody can be reached. */
  | { readonly kind: "connecting"; readonly why: string }
  | { readonly kind: "closed" };

export interface CallOptions {
  /** May be sent again when it may have happened. */
  readonly repeatable: boolean;
  /** Changes nothing: its outcome is never unknown. */
  readonly reads: boolean;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** What is asked for until it is no longer wanted, at whatever peer the session is connected to. */
export interface Subscription {
  /** Undefined: it wants nothing now. */
  request(id: number): ClientRequest | undefined;
  onPushed(message: Pushed): void;
  /** The peer does not take it. */
  onRefused(error: ChorusError): void;
  /** The session is closed. */
  onClosed(error: ChorusError): void;
  /** What it has seen; "" when it cannot tell. */
  readonly position: string;
  /** Until then one that has seen nothing yet is tried elsewhere when a peer does not take it now. `performance.now()`. */
  readonly patientUntilMs: number;
}

/** Of one command. `run`: which run of which peer answered. */
export type Result = Answer["result"] & { readonly run: string };

class Call {
  readonly commands: readonly (readonly WireText[])[];
  readonly options: CallOptions;
  readonly bytes: number;
  /** Orders the calls of a session. */
  readonly order: number;
  answers: Result[] = [];
  /** It was sent, and no answer came. */
  mayHaveHappened = false;
  isFlying = false;
  isQueued = false;
  isSettled = false;
  /** What a peer answered that was asked before. */
  refusal: ChorusError | undefined;
  settle: (result: readonly Result[] | ChorusError) => void = () => undefined;

  constructor(commands: readonly (readonly WireText[])[], options: CallOptions, order: number) {
    this.commands = commands;
    this.options = options;
    this.order = order;
    let bytes = 0;
    for (const args of commands) for (const arg of args) bytes += wireBytes(arg);
    this.bytes = bytes;
  }

  fail(code: string, message: string, cause?: unknown): void {
    const isUnknown = !this.options.reads && (this.mayHaveHappened || this.isFlying);
    this.settle(new ChorusError(code, message, isUnknown ? "unknown" : "not-applied", cause));
  }
}

/** The least position that covers all given; text that is no position counts as none. */
export const joinPositions = (positions: readonly string[]): string => {
  const [first = "", ...others] = [...new Set(positions.filter((position) => position !== ""))];
  if (others.length === 0) return first;
  const joined = new Map<WireVector[number][0], number>();
  for (const position of [first, ...others])
    for (const [origin, seq] of parsePosition(position) ?? [])
      joined.set(origin, Math.max(seq, joined.get(origin) ?? 0));
  return formatPosition([...joined]);
};

export class Session {
  readonly #options: SessionOptions;
  readonly #peers: PeerList;
  readonly #closing = new AbortController();
  #state: ClientState = { kind: "connecting", why: "" };
  #connection: Connection | undefined;
  /** The peer is being left: nothing more is sent to it. */
  #leaving: string | undefined;
  #leaveTimer: ReturnType<typeof setTimeout> | undefined;
  #over: Promise<void> = Promise.resolve();
  /** Which run of which peer the connection goes to. */
  #run = "";
  #strong: Session | undefined;
  /** Keys that begin with one of these are strong; the cluster's for ever. Sorted. */
  strongPrefixes: readonly string[] = [];

  /** Not sent, in order. */
  #queue: Call[] = [];
  /** Sent over this connection and not answered, by the id of each of its commands. */
  readonly #flying = new Map<number, Call>();
  #flyingBytes = 0;
  #pendingCalls = 0;
  #pendingBytes = 0;
  #nextOrder = 1;

  readonly #subscriptions = new Set<Subscription>();
  readonly #closeListeners = new Set<() => void>();
  readonly #running = new Map<number, Subscription>();
  /** Of the last answer. Positions of watches come on top, see `position`. */
  #answered: string;
  /** This connection was of use: whoever comes next is not waited for. */
  #isFruitful = false;
  /** Told once, when it closes. */
  onClosed: () => void = () => {};

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#peers = new PeerList(options.urls);
    this.#answered = options.position;
  }

  get state(): ClientState {
    return this.#state;
  }

  /** Told by close(). The result ends it. (An AbortSignal warns of a leak from its eleventh listener on.) */
  whenClosed(listener: () => void): () => void {
    if (this.#closing.signal.aborted) listener();
    else this.#closeListeners.add(listener);
    return () => this.#closeListeners.delete(listener);
  }

  get timeoutMs(): number {
    return this.#options.timeoutMs;
  }

  /** All that was seen, by answers and by watches. */
  get position(): string {
    return joinPositions([this.#answered, ...[...this.#subscriptions].map(({ position }) => position)]);
  }

  /**
   * The session for commands on strong keys: another connection, opened when it is first wanted. Each of those commands
   * takes a round over a majority, which nothing else shall wait behind. And a majority knows what it knows whatever this
   * client saw elsewhere, so that a peer which lacks a plain write of ours (STALE) may still renew our locks.
   */
  get strong(): Session {
    if (this.#closing.signal.aborted) return this;
    if (this.#strong === undefined) {
      this.#strong = new Session({ ...this.#options, position: "", onState: undefined, forStrongKeys: true });
      this.#strong.#start();
    }
    return this.#strong;
  }

  /** Without waiting for a welcome: calls wait for it, as after any failover. */
  #start(): void {
    this.#over = this.#keepConnected(() => undefined, undefined);
  }

  /** Resolves with the first welcome. Rejects, closed, when there is none in time. */
  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      const { timeoutMs } = this.#options;
      const fail = (error: ChorusError): void => {
        clearTimeout(timer);
        reject(error);
        this.close().catch(() => undefined);
      };
      const timer = setTimeout(() => fail(this.#unreachable(`within ${timeoutMs} ms`)), timeoutMs);
      this.#over = this.#keepConnected(() => {
        clearTimeout(timer);
        resolve();
      }, fail);
      this.#over.then(
        () => fail(refused("CLOSED", "the client was closed")),
        (error: unknown) => reject(error),
      );
    });
  }

  /** Calls and subscriptions that wait reject with CLOSED. Closing twice is fine. */
  async close(): Promise<void> {
    if (!this.#closing.signal.aborted) {
      this.#answered = this.position;
      const connection = this.#connection;
      this.#connection = undefined;
      this.#closing.abort();
      const closed = connection?.close();
      const flying = new Set(this.#flying.values());
      this.#flying.clear();
      const waiting = this.#queue;
      this.#queue = [];
      for (const call of waiting) call.isQueued = false;
      for (const call of [...flying, ...waiting]) call.fail("CLOSED", "the client was closed");
      for (const subscription of this.#subscriptions) subscription.onClosed(refused("CLOSED", "the client was closed"));
      this.#subscriptions.clear();
      for (const listener of this.#closeListeners) listener();
      this.#setState({ kind: "closed" });
      this.onClosed();
      await this.#strong?.close();
      await closed;
    }
    await this.#over;
  }

  // ---- Calls ----------------------------------------------------------------------------------------------------------

  /** One answer per command; they travel together. Rejects with a ChorusError. */
  call(commands: readonly (readonly WireText[])[], options: CallOptions): Promise<readonly Result[]> {
    const { signal, timeoutMs } = options;
    if (this.#closing.signal.aborted) return Promise.reject(refused("CLOSED", "the client is closed"));
    if (signal?.aborted === true)
      return Promise.reject(refused("ABORTED", "aborted before it was sent", signal.reason));
    const call = new Call(commands, options, this.#nextOrder++);
    for (const args of commands) {
      const bytes = messageBytes(args);
      if (bytes > clientMessageBytesMax) {
        return Promise.reject(refused("TOO_LARGE", `a command of ${bytes} bytes, limit ${clientMessageBytesMax}`));
      }
    }
    if (this.#pendingCalls >= clientPendingCallsMax || this.#pendingBytes + call.bytes > clientPendingBytesMax) {
      return Promise.reject(
        refused("TOO_MANY", `${this.#pendingCalls} calls, ${this.#pendingBytes} bytes wait already: await some`),
      );
    }
    return new Promise((resolve, reject) => {
      const onAbort = (): void => call.fail("ABORTED", "aborted", signal?.reason);
      const timer = setTimeout(() => this.#onDeadline(call), timeoutMs);
      call.settle = (result) => {
        if (call.isSettled) return;
        call.isSettled = true;
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        this.#pendingCalls -= 1;
        this.#pendingBytes -= call.bytes;
        // A call under way stays in #flying, so that its answer is known for what it is.
        if (call.isQueued) this.#queue.splice(this.#queue.indexOf(call), 1);
        if (result instanceof ChorusError) reject(result);
        else resolve(result);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#pendingCalls += 1;
      this.#pendingBytes += call.bytes;
      this.#enqueue(call);
      this.#flush();
    });
  }

  #enqueue(call: Call): void {
    call.isQueued = true;
    this.#queue.push(call);
  }

  #onDeadline(call: Call): void {
    const { timeoutMs } = call.options;
    const within = `within ${timeoutMs} ms`;
    // The last word heard says more than the silence since.
    if (call.refusal !== undefined)
      call.fail(call.refusal.code, `${call.refusal.message} (asked again and again ${within})`);
    else if (call.isFlying) call.fail("TIMEOUT", `no answer ${within}`);
    else if (this.#connection === undefined) call.fail("UNREACHABLE", this.#unreachable(within).message);
    else call.fail("TIMEOUT", `not sent ${within}: others were before it`);
  }

  #unreachable(within: string): ChorusError {
    return refused("UNREACHABLE", `no peer reached ${within} (${this.#peers.whyNot()})`);
  }

  #flush(): void {
    const connection = this.#connection;
    if (connection === undefined || this.#leaving !== undefined) return;
    while (
      this.#queue.length > 0 &&
      this.#flying.size < clientCommandsInFlightMax &&
      (this.#flyingBytes < clientInFlightBytesMax || this.#flying.size === 0)
    ) {
      const call = this.#queue[0] as Call;
      if (call.commands.length > 1 && !connection.hasAnswered && !this.#mayBegin(call)) return;
      this.#queue.shift();
      call.isQueued = false;
      call.answers = [];
      call.isFlying = true;
      this.#flyingBytes += call.bytes;
      for (const args of call.commands) {
        const id = connection.nextId();
        this.#flying.set(id, call);
        connection.send({ type: "command", id, args: [...args] });
      }
    }
  }

  /**
   * A transaction must not be cut in two by the peer reaching our position: MULTI refused as STALE, and then the commands
   * run one by one. So a peer that was told a position answers something else first.
   */
  #mayBegin(call: Call): boolean {
    if (this.#flying.size > 0) return false;
    const probe = new Call(
      [["PING"]],
      { repeatable: true, reads: true, timeoutMs: 0, signal: undefined },
      call.order - 0.5,
    );
    // It is nobody's, so nobody hears of its end; a failed one is made again.
    probe.settle = () => {
      probe.isSettled = true;
    };
    probe.isQueued = true;
    this.#queue.unshift(probe);
    this.#flush();
    return false;
  }

  #onAnswer(answer: Answer): void {
    const { id, result, position } = answer;
    // Whatever it answers: it may be of what is answered next too. A stale peer's lies before what was seen.
    const isKept = !this.#options.forStrongKeys && (result.ok || result.code !== "STALE");
    if (position !== undefined && isKept) this.#answered = position;
    const subscription = this.#running.get(id);
    if (subscription !== undefined && !result.ok) {
      this.#running.delete(id);
      const error = new ChorusError(result.code, result.message, "not-applied");
      // A token of the caller's may be one that nobody will ever reach.
      const isPatient = subscription.position !== "" || performance.now() < subscription.patientUntilMs;
      if (elsewhereCodes.has(error.code) && isPatient) return this.#leave(`${error.code}: ${error.message}`);
      this.#subscriptions.delete(subscription);
      return subscription.onRefused(error);
    }
    const call = this.#flying.get(id);
    // Of a ping, or of a subscription that was just cancelled.
    if (call === undefined) return;
    this.#flying.delete(id);
    // Sent again and refused: then the first time may still have been taken.
    const outcome = call.mayHaveHappened && !call.options.reads ? ("unknown" as const) : undefined;
    call.answers.push({ ...result, ...(result.ok || outcome === undefined ? {} : { outcome }), run: this.#run });
    if (call.answers.length === call.commands.length) this.#onAnswered(call, result);
    if (this.#leaving === undefined) this.#flush();
    else if (this.#flying.size === 0) this.#connection?.cut(this.#leaving);
  }

  /** `last`: as the peer said it. */
  #onAnswered(call: Call, last: Answer["result"]): void {
    call.isFlying = false;
    this.#flyingBytes -= call.bytes;
    const refusal = call.answers.find((result) => !result.ok && this.#isForElsewhere(result.code, call));
    const isUndecided = refusal?.ok === false && refusal.code === "UNKNOWN";
    if (last.ok || (last.outcome === "unknown" && !isUndecided) || refusal?.ok !== false) {
      this.#isFruitful = true;
      return call.settle(call.answers);
    }
    if (isUndecided) call.mayHaveHappened = true;
    if (!call.isSettled) {
      call.refusal = new ChorusError(refusal.code, refusal.message, "not-applied");
      this.#enqueue(call);
    }
    this.#leave(`${refusal.code}: ${refusal.message}`);
  }

  #isForElsewhere(code: string, call: Call): boolean {
    if (elsewhereCodes.has(code)) return true;
    if (!this.#options.forStrongKeys || !majorityCodes.has(code)) return false;
    return code !== "UNKNOWN" || call.options.repeatable;
  }

  // ---- Subscriptions --------------------------------------------------------------------------------------------------

  subscribe(subscription: Subscription): void {
    if (this.#closing.signal.aborted) return subscription.onClosed(refused("CLOSED", "the client is closed"));
    this.#subscriptions.add(subscription);
    this.resume(subscription);
  }

  unsubscribe(subscription: Subscription): void {
    // What it has seen stays seen.
    this.#answered = joinPositions([this.#answered, subscription.position]);
    this.#subscriptions.delete(subscription);
    this.pause(subscription);
  }

  /** Asks for it no longer, until resume(). */
  pause(subscription: Subscription): void {
    for (const [id, running] of this.#running) {
      if (running !== subscription) continue;
      this.#running.delete(id);
      this.#connection?.send({ type: "cancel", id });
    }
  }

  resume(subscription: Subscription): void {
    const connection = this.#connection;
    if (connection === undefined || this.#leaving !== undefined) return;
    for (const running of this.#running.values()) if (running === subscription) return;
    const id = connection.nextId();
    const request = subscription.request(id);
    if (request === undefined) return;
    this.#running.set(id, subscription);
    connection.send(request);
  }

  #onPushed(message: Pushed): void {
    this.#isFruitful = true;
    const subscription = this.#running.get(message.id);
    // Cancelled, and this was under way.
    if (subscription === undefined) return;
    if (message.type !== "ended") return subscription.onPushed(message);
    this.#running.delete(message.id);
    this.#leave(message.why);
  }

  // ---- The connection -------------------------------------------------------------------------------------------------

  /** To another peer, once what is under way is answered, or the peer is too slow about it. */
  #leave(why: string): void {
    const connection = this.#connection;
    if (connection === undefined || this.#leaving !== undefined) return;
    this.#leaving = why;
    if (this.#flying.size === 0) return connection.cut(why);
    this.#leaveTimer = setTimeout(() => connection.cut(why), this.#options.deadAfterMs);
  }

  /** Until closed: a connection, and when it ends the next one. */
  async #keepConnected(onFirst: () => void, onHopeless: ((error: ChorusError) => void) | undefined): Promise<void> {
    const { signal } = this.#closing;
    let fruitless = 0;
    let wasConnected = false;
    while (!signal.aborted) {
      const result = await dialRound(this.#urls(), (url, attempt) => this.#dial(url, attempt), signal);
      if (result instanceof Connection) {
        if (signal.aborted) return result.cut("closed");
        wasConnected = true;
        this.#onConnected(result);
        onFirst();
        this.#onDisconnected(result, await result.ended);
        fruitless = this.#isFruitful ? 0 : fruitless + 1;
        await pause(fruitless === 0 ? Math.random() * failoverJitterMs : backoffMs(fruitless, Math.random()), signal);
        continue;
      }
      const nowMs = performance.now();
      for (const { url, error } of result) this.#peers.failed(url, nowMs, textOf(error));
      const hopeless = result.find(({ error }) => hopelessCodes.has(error.code))?.error;
      if (!signal.aborted && (hopeless !== undefined || this.#options.failFast)) {
        const error = hopeless ?? refused("UNREACHABLE", `no peer reached (${this.#peers.whyNot()})`);
        if (!wasConnected && onHopeless !== undefined) onHopeless(error);
        else if (hopeless !== undefined)
          for (const call of [...this.#queue]) call.fail(error.code, error.message, error);
      }
      if (!signal.aborted) this.#setState({ kind: "connecting", why: this.#peers.whyNot() });
      fruitless += 1;
      await pause(backoffMs(fruitless, Math.random()), signal);
    }
  }

  #urls(): readonly string[] {
    const order = this.#peers.order(performance.now()).map(({ url }) => url);
    return this.#options.discover ? order : order.filter((url) => this.#options.urls.includes(url));
  }

  #dial(url: string, attempt: AbortSignal): Promise<Connection> {
    const { user, password, name, staleAfterMs, deadAfterMs } = this.#options;
    return Connection.open(
      { url, user, password, name, position: this.position, staleAfterMs, deadAfterMs },
      { onAnswer: (answer) => this.#onAnswer(answer), onPushed: (message) => this.#onPushed(message) },
      attempt,
    );
  }

  #onConnected(connection: Connection): void {
    const welcome: Welcome = connection.welcome;
    this.#connection = connection;
    this.#leaving = undefined;
    this.#isFruitful = false;
    this.#run = `${welcome.peer}.${welcome.incarnation}`;
    this.#peers.welcomed(connection.url, welcome.peer, welcome.peers);
    this.strongPrefixes = welcome.strongPrefixes ?? [];
    const { peer, incarnation, cluster, version, peers } = welcome;
    this.#setState({ kind: "connected", peer, incarnation, cluster, version, url: connection.url, peers });
    for (const subscription of this.#subscriptions) this.resume(subscription);
    this.#flush();
  }

  #onDisconnected({ url }: Connection, why: string): void {
    clearTimeout(this.#leaveTimer);
    if (this.#closing.signal.aborted) return;
    this.#answered = this.position;
    this.#connection = undefined;
    this.#leaving = undefined;
    this.#peers.failed(url, performance.now(), why);
    this.#running.clear();
    const flying = new Set(this.#flying.values());
    this.#flying.clear();
    this.#flyingBytes = 0;
    for (const call of flying) {
      if (call.isSettled) continue;
      if (call.options.repeatable) {
        call.isFlying = false;
        call.mayHaveHappened = true;
        this.#enqueue(call);
      } else call.fail("CONNECTION_LOST", `the connection to ${new URL(url).host} ended before the answer: ${why}`);
    }
    this.#queue.sort((a, b) => a.order - b.order);
    this.#setState({ kind: "connecting", why });
  }

  #setState(state: ClientState): void {
    if (this.#state.kind === "closed") return;
    this.#state = state;
    try {
      this.#options.onState?.(state);
    } catch (error) {
      // The caller's mistake must not stop the session, nor be hidden.
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}

/** As JSON; exact only where it could be too long. */
const messageBytes = (args: readonly WireText[]): number => {
  let bytes = 64;
  for (const arg of args) bytes += wireBytes(arg);
  // No character takes more than six bytes.
  return 6 * bytes <= clientMessageBytesMax ? bytes : 64 + new TextEncoder().encode(JSON.stringify(args)).length;
};

const textOf = ({ code, message }: ChorusError): string => (code === "UNREACHABLE" ? message : `${code}: ${message}`);

/** Of one command's answer. */
export const replyOf = (result: Result | undefined): WireReply => {
  if (result === undefined) throw new ChorusError("PROTOCOL", "no answer", "unknown");
  if (result.ok) return result.reply;
  throw new ChorusError(result.code, result.message, result.outcome);
};
