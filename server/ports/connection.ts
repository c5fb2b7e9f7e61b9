/**
 * One client of the TCP port: bytes in, commands run one after another, replies out at the end of the turn.
 *
 * Commands are pulled from the parser one at a time. A connection stops pulling whenever something stands in the way:
 *
 *   waiting   a command answers later (its promise), or somebody holds the map still
 *   yielding  it had its share of this turn; the other connections come first
 *   choked    the client does not read its replies, or they are held back until durable
 *   closing   QUIT, a protocol error, the end of the client's stream, shutdown
 *
 * Messages of channels and lines of MONITOR are put among the replies, never into one, and go the same way. They come
 * whether the client reads or not, so past a bound of their own the client is cut.
 *
 * What has not run stays bytes in the parser; past a bound the socket is not read either, so TCP slows the client down.
 * Order is kept in every case: nothing runs or is answered before what came earlier.
 *
 * A failure the client caused is answered and counted. What the executor throws is our own fault and is not caught
 * here: a peer with a bug in its commands must stop, not answer on.
 */
import type { Socket } from "node:net";
import { performance } from "node:perf_hooks";
import type { Endpoint } from "../../protocol/proxy-protocol.ts";
import { RequestParser, RespWriter } from "../../protocol/resp.ts";
import { PlainWriter } from "../../protocol/text.ts";
import type { Session } from "../commands/session.ts";
import type { Subscriber } from "../pubsub/hub.ts";
import type { PushTarget, PushText } from "../pubsub/push.ts";
import type { Releasable, Turn } from "../turn.ts";
import type { TcpLimits } from "./tcp-limits.ts";

/**
 * Runs one command and writes its whole reply to `session.reply`: before it returns, or before the promise it returned
 * resolves. Expected failures are error replies; a throw or a rejection is a bug and stops the process.
 */
export type Executor = (session: Session, args: string[]) => void | Promise<void>;

/** What a connection needs of its port. */
export interface ConnectionOwner {
  readonly execute: Executor;
  readonly turn: Turn;
  readonly limits: TcpLimits;
  readonly counters: TcpCounters;
  /** It has (or has no longer) yet to authenticate. */
  onAuthenticationChanged(connection: Connection): void;
  /** It has a deadline: call `onSweep` now and then until that returns false. */
  watch(connection: Connection): void;
  onClosed(connection: Connection): void;
}

/** Plain numbers, only ever added to. */
export interface TcpCounters {
  connectionsReceived: number;
  /** Turned away because there are too many. */
  connectionsRejected: number;
  inputBytes: number;
  outputBytes: number;
  commands: number;
  protocolErrors: number;
  /** Lines that spoke HTTP. */
  httpRefused: number;
  /** Closed because the client did not read, did not authenticate in time, did not go away. */
  closedForOutput: number;
  closedUnauthenticated: number;
  closedLingering: number;
  /** Connections that broke before or while they were accepted, or later (reset, unreachable). */
  socketErrors: number;
}

/** How often the clock is asked whether a turn's share is used up: every so many commands. */
const clockEvery = 16;

export class Connection implements Session, Releasable, PushTarget {
  readonly id: number;
  readonly connectedAtMs: number;
  name = "";
  libraryName = "";
  libraryVersion = "";
  noEvict = false;
  noTouch = false;
  lastCommand = "";
  lastCommandAtMs: number;
  queue: string[][] | undefined;
  queueBroken = false;
  watched: Map<string, string> | undefined;
  /** Set by a command that runs on this connection. From elsewhere use `kill` or `shutDown`. */
  closing = false;
  lastWriteSeq = 0;
  reply: RespWriter | PlainWriter;
  readonly pushTarget: PushTarget = this;
  subscriber: Subscriber | undefined;

  readonly #owner: ConnectionOwner;
  readonly #socket: Socket;
  readonly #parser = new RequestParser();
  readonly #resp = new RespWriter();
  #plain: PlainWriter | undefined;
  /** Replies written in the other dialect earlier in this turn. */
  #earlierReplies = "";
  /** Pushed while a command of ours runs: goes behind its reply. */
  #pushed = "";
  /** Was pushed to at least once: the tighter bounds hold. */
  #isPushedTo = false;
  /** Taken at the end of a turn, not yet released. */
  #heldBytes = 0;

  /** This turn will take our replies at its end. */
  #inTurn = false;
  #running = false;
  #waiting = false;
  #yielding = false;
  #choked = false;
  #readingPaused = false;
  /** The client has sent its last byte. */
  #inputEnded = false;
  /** Our side of the stream is ended; what still comes in is thrown away. */
  #outputEnded = false;
  #closed = false;
  #authenticated: boolean;

  /** Share left of this turn. The clock is read from `#turnStartedMs` on; -1: no command ran in this turn yet. */
  #commandsLeft: number;
  #turnStartedMs = -1;

  /** Monotonic ms; Infinity when there is none. */
  #authenticateBeforeMs = Number.POSITIVE_INFINITY;
  #cutAtMs = Number.POSITIVE_INFINITY;
  #tooMuchOutputSinceMs = Number.POSITIVE_INFINITY;

  #address: string | undefined;
  #localAddress: string | undefined;

  /** `client`: who the client is, where a trusted balancer said so. */
  constructor(owner: ConnectionOwner, socket: Socket, id: number, authenticated: boolean, client?: Endpoint) {
    if (client !== undefined) this.#address = endpoint(client.address, client.port);
    this.#owner = owner;
    this.#socket = socket;
    this.id = id;
    this.connectedAtMs = Date.now();
    this.lastCommandAtMs = this.connectedAtMs;
    this.reply = this.#resp;
    this.#authenticated = authenticated;
    this.#parser.authenticated = authenticated;
    this.#commandsLeft = this.#turnCommands();
    if (!authenticated) this.#startAuthenticationClock();
    socket.on("data", this.#onData);
    socket.on("drain", this.#onDrain);
    socket.on("end", this.#onEnd);
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
  }

  // ---- What commands see ---------------------------------------------------------------------------------------------

  get address(): string {
    this.#address ??= endpoint(this.#socket.remoteAddress, this.#socket.remotePort);
    return this.#address;
  }

  get localAddress(): string {
    this.#localAddress ??= endpoint(this.#socket.localAddress, this.#socket.localPort);
    return this.#localAddress;
  }

  get authenticated(): boolean {
    return this.#authenticated;
  }

  set authenticated(authenticated: boolean) {
    if (authenticated === this.#authenticated) return;
    this.#authenticated = authenticated;
    this.#parser.authenticated = authenticated;
    this.#commandsLeft = this.#turnCommands();
    if (authenticated) this.#authenticateBeforeMs = Number.POSITIVE_INFINITY;
    else this.#startAuthenticationClock();
    this.#owner.onAuthenticationChanged(this);
  }

  setProtocol(protocol: 2 | 3): void {
    this.#resp.protocol = protocol;
  }

  get queuedInputBytes(): number {
    return this.#parser.bufferedBytes;
  }

  get queuedOutputBytes(): number {
    const made = this.#earlierReplies.length + this.reply.length + this.#pushed.length;
    return made + this.#heldBytes + this.#socket.writableLength;
  }

  // ---- What it did not ask for ---------------------------------------------------------------------------------------

  push(push: PushText): void {
    if (this.closing || this.#closed) return;
    const text = push.text(this.reply.protocol);
    this.#isPushedTo = true;
    if (this.queuedOutputBytes + text.length > this.#owner.limits.pushBytesMax) {
      this.#closeForOutput();
    } else if (this.#running) {
      this.#pushed += text;
    } else {
      this.reply.append(text);
      this.#finishTurn();
    }
  }

  answer(text: PushText): void {
    this.reply.append(text.text(this.reply.protocol));
  }

  // ---- Ending it -----------------------------------------------------------------------------------------------------

  /** CLIENT KILL: at once; a connection that kills itself is answered first. */
  kill(): void {
    if (this.#running) this.closing = true;
    else this.#cut();
  }

  /** The port closes: the command that runs is finished and its reply goes out, nothing further is run. */
  shutDown(): void {
    this.closing = true;
    this.#endIfAnswered();
  }

  /** Past a deadline: cut it. False: there is no deadline any more. */
  onSweep(nowMs: number): boolean {
    const { counters, limits } = this.#owner;
    if (this.#closed) return false;
    if (
      this.#tooMuchOutputSinceMs !== Number.POSITIVE_INFINITY &&
      this.#socket.writableLength <= this.#outputBytesSoft()
    ) {
      this.#tooMuchOutputSinceMs = Number.POSITIVE_INFINITY;
    }
    if (nowMs >= this.#tooMuchOutputSinceMs + (this.#isPushedTo ? limits.pushSoftMs : limits.replySoftMs)) {
      this.#closeForOutput();
    } else if (nowMs >= this.#authenticateBeforeMs) {
      counters.closedUnauthenticated += 1;
      this.#cut();
    } else if (nowMs >= this.#cutAtMs) {
      counters.closedLingering += 1;
      this.#cut();
    }
    return (
      this.#authenticateBeforeMs !== Number.POSITIVE_INFINITY ||
      this.#cutAtMs !== Number.POSITIVE_INFINITY ||
      this.#tooMuchOutputSinceMs !== Number.POSITIVE_INFINITY
    );
  }

  // ---- Input ---------------------------------------------------------------------------------------------------------

  readonly #onData = (chunk: Buffer): void => {
    this.#owner.counters.inputBytes += chunk.length;
    if (this.closing) return;
    this.#parser.push(chunk);
    this.#progress();
  };

  readonly #onEnd = (): void => {
    this.#inputEnded = true;
    this.#setCutDeadline(this.#owner.limits.halfClosedMs);
    this.#progress();
  };

  /** Runs what can run. Called whenever a reason not to may have gone; calling it in vain is fine. */
  #progress(): void {
    if (this.#closed || this.#running) return;
    if (this.#mayRun()) this.#run();
    if (this.#socket.destroyed) return;
    if (this.closing) {
      this.#endIfAnswered();
      return;
    }
    const parser = this.#parser;
    if (this.#mayRun()) {
      // Everything whole has run.
      if (this.#inputEnded) {
        this.closing = true;
        this.#endIfAnswered();
      } else if (this.#readingPaused) {
        this.#readingPaused = false;
        this.#socket.resume();
      }
    } else {
      if (!this.#readingPaused && parser.bufferedBytes > this.#owner.limits.queuedInputBytesMax) {
        this.#readingPaused = true;
        this.#socket.pause();
      }
    }
  }

  #mayRun(): boolean {
    return !this.#waiting && !this.#yielding && !this.#choked && !this.closing;
  }

  #run(): void {
    const { execute, turn, counters } = this.#owner;
    const parser = this.#parser;
    let answered = false;
    this.#running = true;
    for (;;) {
      if (turn.blocked !== undefined) {
        this.#waitFor(turn.blocked);
        break;
      }
      if (this.#shareUsed()) {
        this.#yielding = true;
        setImmediate(this.#onYielded);
        break;
      }
      const args = parser.next();
      if (args === undefined) {
        if (parser.fault === undefined) break;
        answered = true;
        this.#refuse();
        break;
      }
      if (parser.plain !== (this.reply !== this.#resp)) this.#switchDialect(parser.plain);
      answered = true;
      this.#commandsLeft -= 1;
      counters.commands += 1;
      const pending = execute(this, args);
      if (this.#pushed.length > 0) this.#takePushed();
      if (pending !== undefined) {
        this.#waitFor(pending);
        break;
      }
      if (this.closing) break;
    }
    this.#running = false;
    if (this.reply.overflowed) {
      this.#closeForOutput();
      return;
    }
    if (answered) this.#finishTurn();
  }

  /** Goes on when `pending` resolves, which also means that a reply may have been written. */
  #waitFor(pending: Promise<void>): void {
    this.#waiting = true;
    // A rejection is the executor's bug: left unhandled on purpose, so that it stops the process.
    void pending.then(() => {
      this.#waiting = false;
      if (this.#closed) return;
      if (this.reply.overflowed) {
        this.#closeForOutput();
        return;
      }
      this.#finishTurn();
      this.#progress();
    });
  }

  #takePushed(): void {
    this.reply.append(this.#pushed);
    this.#pushed = "";
  }

  #shareUsed(): boolean {
    const { limits } = this.#owner;
    if (this.#commandsLeft <= 0 || this.reply.length > limits.turnReplyBytes) return true;
    if (this.#commandsLeft % clockEvery !== 0) return false;
    const nowMs = performance.now();
    if (this.#turnStartedMs < 0) this.#turnStartedMs = nowMs;
    return nowMs - this.#turnStartedMs > limits.turnMs;
  }

  readonly #onYielded = (): void => {
    this.#yielding = false;
    this.#startShare();
    this.#progress();
  };

  #startShare(): void {
    this.#commandsLeft = this.#turnCommands();
    this.#turnStartedMs = -1;
  }

  #turnCommands(): number {
    const { limits } = this.#owner;
    return this.#authenticated ? limits.turnCommandsMax : limits.unauthenticatedTurnCommandsMax;
  }

  /** The dialect of an inline line is its own; whatever came before goes out before. */
  #switchDialect(plain: boolean): void {
    this.#earlierReplies += this.reply.take();
    if (plain) this.#plain ??= new PlainWriter();
    this.reply = plain && this.#plain !== undefined ? this.#plain : this.#resp;
  }

  #refuse(): void {
    const { counters } = this.#owner;
    const fault = this.#parser.fault;
    this.closing = true;
    if (fault?.code === "HTTP") counters.httpRefused += 1;
    else counters.protocolErrors += 1;
    if (fault?.reply === undefined) return;
    if (this.#parser.plain !== (this.reply !== this.#resp)) this.#switchDialect(this.#parser.plain);
    this.reply.error(fault.reply);
  }

  #finishTurn(): void {
    if (this.#inTurn) return;
    this.#inTurn = true;
    this.#owner.turn.finish(this);
  }

  // ---- Output --------------------------------------------------------------------------------------------------------

  takeOutput(): string {
    this.#inTurn = false;
    this.#startShare();
    let output = this.reply.take();
    if (this.#earlierReplies.length > 0) {
      output = this.#earlierReplies + output;
      this.#earlierReplies = "";
    }
    this.#heldBytes += output.length;
    if (this.#heldBytes > this.#owner.limits.heldReplyBytesMax) this.#choked = true;
    return output;
  }

  release(output: string): void {
    this.#heldBytes -= output.length;
    if (this.#closed || this.#outputEnded || this.#socket.destroyed) return;
    if (output.length > 0 && !this.#write(output)) return;
    if (this.closing) this.#endIfAnswered();
    else if (this.#choked && !this.#socket.writableNeedDrain) this.#unchoke();
  }

  /** False: the client was cut, it has far too much to read already. */
  #write(output: string): boolean {
    const { counters, limits } = this.#owner;
    const socket = this.#socket;
    counters.outputBytes += output.length;
    if (socket.writableLength + output.length > limits.replyBytesMax) return this.#closeForOutput();
    if (socket.write(output, "latin1")) return true;
    // What the kernel took at once is no longer counted here.
    const waiting = socket.writableLength;
    if (waiting === 0) return true;
    if (!this.#authenticated && waiting > limits.unauthenticatedReplyBytesMax) return this.#closeForOutput();
    this.#choked = true;
    if (waiting > this.#outputBytesSoft() && this.#tooMuchOutputSinceMs === Number.POSITIVE_INFINITY) {
      this.#tooMuchOutputSinceMs = performance.now();
      this.#owner.watch(this);
    }
    return true;
  }

  #outputBytesSoft(): number {
    const { limits } = this.#owner;
    return this.#isPushedTo ? limits.pushBytesSoft : limits.replyBytesSoft;
  }

  readonly #onDrain = (): void => {
    if (this.#choked) this.#unchoke();
  };

  #unchoke(): void {
    if (this.#heldBytes > this.#owner.limits.heldReplyBytesMax) return;
    this.#choked = false;
    this.#progress();
  }

  #closeForOutput(): false {
    this.#owner.counters.closedForOutput += 1;
    this.#cut();
    return false;
  }

  // ---- The end -------------------------------------------------------------------------------------------------------

  /**
   * Ends our side once every reply is out. Then the client has a moment to read: closing a socket that has unread input
   * sends a reset, which would take the last replies from under the client.
   */
  #endIfAnswered(): void {
    if (this.#outputEnded || this.#closed || this.#waiting || this.#running) return;
    if (this.#heldBytes > 0 || this.reply.length > 0 || this.#earlierReplies.length > 0) return;
    this.#outputEnded = true;
    if (this.#parser.fault?.code === "HTTP") {
      this.#cut();
      return;
    }
    this.#setCutDeadline(this.#owner.limits.halfClosedMs);
    this.#socket.end(() => this.#setCutDeadline(this.#owner.limits.closeLingerMs));
    if (this.#readingPaused) {
      this.#readingPaused = false;
      this.#socket.resume();
    }
  }

  /** Without a word more. Nothing runs from here on, not even what was already read. */
  #cut(): void {
    this.closing = true;
    this.#socket.destroy();
  }

  #setCutDeadline(afterMs: number): void {
    if (this.#closed) return;
    this.#cutAtMs = performance.now() + afterMs;
    this.#owner.watch(this);
  }

  #startAuthenticationClock(): void {
    this.#authenticateBeforeMs = performance.now() + this.#owner.limits.authenticateMs;
    this.#owner.watch(this);
  }

  readonly #onError = (): void => {
    // 'close' follows. Resets and timeouts are the world's business: counted, nothing else.
    this.#owner.counters.socketErrors += 1;
  };

  readonly #onClose = (): void => {
    this.#closed = true;
    this.closing = true;
    this.#earlierReplies = "";
    this.#pushed = "";
    this.reply.take();
    this.#owner.onClosed(this);
  };
}

const endpoint = (address: string | undefined, port: number | undefined): string => {
  if (address === undefined) return "?:0";
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
};
