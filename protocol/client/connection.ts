/**
 * One connection to one peer, from its hello to its end: messages in and out, and whether the peer is alive.
 *
 * A peer that says nothing for `deadAfterMs` is given up. It is pinged when it is quiet; where the platform cannot ping
 * (a browser), it is asked PING. Not held against the peer: time in which this very process stood still; a long message
 * on its way in or out; and, up to `staleAfterMs`, that it reads nothing while it gets to our position.
 */
import {
  type ClientRequest,
  clientProtocolVersion,
  type Outcome,
  type PeerMessage,
  parsePeerMessage,
  type WireReply,
} from "../client-messages.ts";
import { ChorusError } from "./errors.ts";
import { openSocket, type Socket } from "./socket.ts";

export type Welcome = Extract<PeerMessage, { type: "welcome" }>;
export type Pushed = Extract<
  PeerMessage,
  { type: "watching" | "changes" | "reset" | "lagging" | "status" | "conflicts" | "ended" }
>;

export interface Answer {
  readonly id: number;
  readonly position: string | undefined;
  readonly result:
    | { readonly ok: true; readonly reply: WireReply }
    | { readonly ok: false; readonly code: string; readonly message: string; readonly outcome: Outcome };
}

export interface ConnectionEvents {
  /** To a command, or the refusal of a subscription. */
  readonly onAnswer: (answer: Answer) => void;
  readonly onPushed: (message: Pushed) => void;
}

export interface ConnectionOptions {
  readonly url: string;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly name: string | undefined;
  /** "": nothing was seen. */
  readonly position: string;
  readonly staleAfterMs: number;
  readonly deadAfterMs: number;
}

/** A long message on its way out is given this rate, at least, before its peer counts as silent. */
const uploadBytesPerMs = 1024;
/** Ticks of the watchdog in `deadAfterMs`: silence is found at most one tick late. */
const ticksPerDeath = 7;

export class Connection {
  readonly url: string;
  readonly #options: ConnectionOptions;
  readonly #events: ConnectionEvents;
  #socket: Socket | undefined;
  #welcome: Welcome | undefined;
  #onWelcome: ((failure: ChorusError | undefined) => void) | undefined;
  /** Resolves with why, for people. Never rejects. */
  readonly ended: Promise<string>;
  #onEnded: (why: string) => void = () => undefined;
  #isOver = false;
  #nextId = 1;
  #watchdog: ReturnType<typeof setInterval> | undefined;
  #heardAtMs = performance.now();
  #aliveAtMs = performance.now();
  #tickAtMs = performance.now();
  /** Commands are held until the peer has reached our position; too many of those, and it does not even read a ping. */
  #graceMs = 0;
  #receivedBytes = 0;
  #pingId: number | undefined;

  private constructor(options: ConnectionOptions, events: ConnectionEvents) {
    this.url = options.url;
    this.#options = options;
    this.#events = events;
    this.ended = new Promise((resolve) => {
      this.#onEnded = resolve;
    });
  }

  /** Resolves once the peer has welcomed us; rejects with a ChorusError when it does not. */
  static async open(options: ConnectionOptions, events: ConnectionEvents, signal: AbortSignal): Promise<Connection> {
    const connection = new Connection(options, events);
    await connection.#open(signal);
    return connection;
  }

  get welcome(): Welcome {
    if (this.#welcome === undefined) throw new Error("open() has resolved");
    return this.#welcome;
  }

  /** It has reached our position: it has answered something, or there was none. */
  get hasAnswered(): boolean {
    return this.#graceMs === 0;
  }

  /** When the peer was heard last, `performance.now()`. Unlike what it is given up by, no excuse is counted here. */
  get aliveAtMs(): number {
    return this.#aliveAtMs;
  }

  /** Ids are used once. */
  nextId(): number {
    return this.#nextId++;
  }

  send(request: ClientRequest): void {
    if (!this.#isOver) this.#socket?.send(JSON.stringify(request));
  }

  /** At once. No event comes any more, but that it has ended. */
  cut(why: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#watchdog);
    this.#socket?.cut();
    const onWelcome = this.#onWelcome;
    this.#onWelcome = undefined;
    onWelcome?.(new ChorusError("UNREACHABLE", why, "not-applied"));
    this.#onEnded(why);
  }

  /** The same, politely: resolves when the other end knows. */
  async close(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#watchdog);
    this.#onEnded("closed");
    await this.#socket?.close();
  }

  async #open(signal: AbortSignal): Promise<void> {
    const { url, user, password, name, position, staleAfterMs, deadAfterMs } = this.#options;
    const welcomed = new Promise<void>((resolve, reject) => {
      this.#onWelcome = (failure) => (failure === undefined ? resolve() : reject(failure));
    });
    // It may fail before anybody waits for it.
    welcomed.catch(() => undefined);
    const onAbort = (): void => this.cut("given up");
    try {
      this.#socket = await openSocket(
        url,
        {
          onText: (text) => this.#onText(text),
          onPong: () => {
            this.#heardAtMs = this.#aliveAtMs = performance.now();
          },
          onEnd: (why) => this.cut(why),
        },
        signal,
      );
      signal.addEventListener("abort", onAbort, { once: true });
      this.send({
        type: "hello",
        protocolVersion: clientProtocolVersion,
        ...(user === undefined ? {} : { user }),
        ...(password === undefined ? {} : { password }),
        ...(name === undefined ? {} : { name }),
        ...(position === "" ? {} : { position }),
        // Also of a watch that begins at a token.
        staleAfterMs,
      });
      await welcomed;
    } catch (error) {
      this.cut("given up");
      if (error instanceof ChorusError) throw error;
      throw new ChorusError("UNREACHABLE", error instanceof Error ? error.message : String(error), "not-applied");
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
    this.#graceMs = position === "" ? 0 : staleAfterMs;
    this.#heardAtMs = this.#tickAtMs = performance.now();
    this.#watchdog = setInterval(() => this.#onTick(), deadAfterMs / ticksPerDeath);
  }

  #onTick(): void {
    const { deadAfterMs } = this.#options;
    const nowMs = performance.now();
    // We stood still so long: what the peer said meanwhile may wait in the socket.
    const lateMs = nowMs - this.#tickAtMs - deadAfterMs / ticksPerDeath;
    if (lateMs > 0) this.#heardAtMs += lateMs;
    this.#tickAtMs = nowMs;
    const { receivedBytes = 0, bufferedBytes = 0 } = this.#socket ?? {};
    if (receivedBytes !== this.#receivedBytes) this.#heardAtMs = nowMs;
    this.#receivedBytes = receivedBytes;
    const silentMs = nowMs - this.#heardAtMs;
    if (silentMs > deadAfterMs + this.#graceMs + bufferedBytes / uploadBytesPerMs)
      return this.cut(`silent for ${Math.round(silentMs)} ms`);
    if (silentMs > (2 * deadAfterMs) / ticksPerDeath) this.#ping();
  }

  #ping(): void {
    if (this.#socket?.ping !== undefined) this.#socket.ping();
    else if (this.#pingId === undefined) {
      this.#pingId = this.nextId();
      this.send({ type: "command", id: this.#pingId, args: ["PING"] });
    }
  }

  #onText(text: string): void {
    if (this.#isOver) return;
    this.#heardAtMs = this.#aliveAtMs = performance.now();
    const parsed = parsePeerMessage(text);
    if (!parsed.ok) return this.cut(`it sent what is no message of this protocol: ${parsed.why}`);
    const { message } = parsed;
    if (this.#welcome === undefined) return this.#onFirst(message);
    switch (message.type) {
      case "welcome":
        return this.cut("it welcomed us twice");
      case "reply":
        this.#graceMs = 0;
        this.#onPingAnswer(message.id);
        return this.#events.onAnswer({
          id: message.id,
          position: message.position,
          result: { ok: true, reply: message.reply },
        });
      case "error": {
        const { id, code, outcome, position } = message;
        // Something we sent could not even be read; which of all that waits for an answer it was, nobody knows.
        if (id === undefined) return this.cut(`${code}: ${message.message}`);
        if (code !== "STALE") this.#graceMs = 0;
        this.#onPingAnswer(id);
        return this.#events.onAnswer({ id, position, result: { ok: false, code, message: message.message, outcome } });
      }
      default:
        return this.#events.onPushed(message);
    }
  }

  /** It goes on to the session too: of several answers of a turn only the first carries the position. */
  #onPingAnswer(id: number): void {
    if (id === this.#pingId) this.#pingId = undefined;
  }

  #onFirst(message: PeerMessage): void {
    const onWelcome = this.#onWelcome;
    this.#onWelcome = undefined;
    if (message.type === "welcome") {
      this.#welcome = message;
      return onWelcome?.(undefined);
    }
    if (message.type === "error") return onWelcome?.(new ChorusError(message.code, message.message, "not-applied"));
    onWelcome?.(new ChorusError("PROTOCOL", `it answered hello with ${message.type}`, "not-applied"));
  }
}
