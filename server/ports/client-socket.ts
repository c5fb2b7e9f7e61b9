/**
 * One client of `/client`: JSON messages in, commands run one after another, replies out at the end of the turn.
 *
 * As a connection of the TCP port it is a Session and a Releasable, and it stops running commands for the same reasons:
 *
 *   waiting   a command answers later (its promise), or somebody holds the map still
 *   yielding  it had its share of this turn; the other connections come first
 *   choked    the client does not read, or replies are held back until durable
 *   behind    the peer has not reached the position of the hello yet: commands and watches wait, the rest runs
 *   closing   QUIT, shutdown
 *
 * What has not run waits parsed; past a bound the socket is not read, so TCP slows the client down. Whatever the client
 * sends is answered in its place in the order, refusals too: a flood of nonsense is slowed down like one of commands.
 *
 * The first reply of a turn carries the peer's position at the end of the turn, which is no older than what any reply of
 * that turn saw: a client that got any of them has it.
 */
import type { Socket } from "node:net";
import { performance } from "node:perf_hooks";
import type { RawData, WebSocket } from "ws";
import {
  type ClientHello,
  type ClientRequest,
  type CommandRequest,
  clientProtocolVersion,
  type Outcome,
  outcomeOf,
  parseClientRequest,
  type WatchRequest,
} from "../../protocol/client-messages.ts";
import { replyBytesMax } from "../../protocol/limits.ts";
import type { WireVector } from "../../protocol/link-messages.ts";
import { parsePosition } from "../../protocol/position.ts";
import { isClientName, nameRefusal } from "../commands/clients.ts";
import { loginRequired, wrongPassword } from "../commands/errors.ts";
import type { Session } from "../commands/session.ts";
import type { Releasable } from "../turn.ts";
import { wireToLatin1 } from "./client-socket-bytes.ts";
import type { ClientSocketOwner } from "./client-socket-owner.ts";
import { JsonReplyWriter } from "./client-socket-reply.ts";
import { Subscriptions } from "./client-socket-subscriptions.ts";

/** How often the clock is asked whether a turn's share is used up: every so many messages. */
const clockEvery = 16;
/** While the peer has not reached the position and the client was told so: how often it is looked at again. */
const staleRetryMs = 1000;

/** They would change what this connection is, or make it speak unasked. Watches and hello do that here. */
const refusedCommands: ReadonlySet<string> = new Set([
  "HELLO",
  "RESET",
  "MONITOR",
  "SUBSCRIBE",
  "PSUBSCRIBE",
  "SSUBSCRIBE",
  "UNSUBSCRIBE",
  "PUNSUBSCRIBE",
  "SUNSUBSCRIBE",
]);

/** A message that is none. */
interface BadRequest {
  readonly type: "bad";
  readonly id: number | undefined;
  readonly why: string;
}

interface Waiting {
  readonly request: ClientRequest | BadRequest;
  readonly bytes: number;
}

/** An object and its place in the queue, counted for each message besides its length. */
const waitingOverheadBytes = 64;

export class ClientSocket implements Session, Releasable {
  readonly id: number;
  readonly address: string;
  readonly localAddress: string;
  readonly connectedAtMs: number;
  name = "";
  libraryName = "";
  libraryVersion = "";
  noEvict = false;
  noTouch = false;
  authenticated = false;
  lastCommand = "";
  lastCommandAtMs: number;
  queue: string[][] | undefined;
  queueBroken = false;
  watched: Map<string, string> | undefined;
  closing = false;
  lastWriteSeq = 0;
  /** The same before the command that runs. */
  #writeSeqBefore = 0;
  readonly reply = new JsonReplyWriter();

  readonly #owner: ClientSocketOwner;
  readonly #subscriptions: Subscriptions;
  readonly #ws: WebSocket;
  readonly #socket: Socket;
  /** Read and not run, oldest first from #nextAt on. */
  #waitingRequests: Waiting[] = [];
  #nextAt = 0;
  #waitingBytes = 0;
  /** Commands and watches that wait for the position. */
  #deferred: Waiting[] = [];
  /** Commands that wait for a position of their own. */
  readonly #aside = new Set<Waiting>();

  /** What is answered in this turn: the first reply without its closing brace, then whole messages, a line each. */
  #head: string | undefined;
  #tail = "";
  #positionTold = "";
  /** Taken at the end of a turn, not yet released. */
  #heldBytes = 0;

  #greeted = false;
  #position: "reached" | "behind" | "stale" = "reached";
  #staleAfterMs = 0;
  /** This turn will take our replies at its end. */
  #inTurn = false;
  #running = false;
  /** For a command that answers later, or for the map, which somebody holds still. */
  #waitsFor: "command" | "map" | undefined;
  #yielding = false;
  #choked = false;
  #readingPaused = false;
  #closeSent = false;
  #closed = false;
  #closeCode = 1000;
  #closeReason = "";

  /** Share left of this turn. The clock is read from `#turnStartedMs` on; -1: nothing ran in this turn yet. */
  #messagesLeft: number;
  #turnStartedMs = -1;

  /** Monotonic ms; Infinity when there is none. */
  #helloBeforeMs: number;
  #tooMuchOutputSinceMs = Number.POSITIVE_INFINITY;
  #helloBytes = 0;
  #heard = true;
  #heardAtMs: number;
  #bufferedAtSweep = 0;

  constructor(owner: ClientSocketOwner, sockets: { readonly ws: WebSocket; readonly socket: Socket }, id: number) {
    this.#owner = owner;
    this.#ws = sockets.ws;
    this.#socket = sockets.socket;
    this.id = id;
    this.address = endpoint(this.#socket.remoteAddress, this.#socket.remotePort);
    this.localAddress = endpoint(this.#socket.localAddress, this.#socket.localPort);
    this.connectedAtMs = Date.now();
    this.lastCommandAtMs = this.connectedAtMs;
    this.#messagesLeft = owner.limits.unauthenticatedTurnCommandsMax;
    this.#heardAtMs = performance.now();
    this.#helloBeforeMs = this.#heardAtMs + owner.limits.helloMs;
    this.#subscriptions = new Subscriptions(owner, {
      send: (message) => this.#send(message),
      isFull: () => this.closing || this.#ws.bufferedAmount > owner.limits.feedQueueBytesMax,
      refuse: (refusedId, code, message) => {
        this.#refuse(refusedId, code, message);
        this.#finishTurn();
      },
    });
    this.#ws.on("message", this.#onMessage);
    this.#ws.on("ping", this.#onPing);
    this.#ws.on("error", this.#onError);
    this.#ws.on("close", this.#onClose);
    this.#socket.on("data", this.#onData);
    this.#socket.on("drain", this.#onDrain);
  }

  // ---- What commands see ---------------------------------------------------------------------------------------------

  /** There is one dialect here; HELLO and RESET are refused. */
  setProtocol(): void {}

  get queuedInputBytes(): number {
    return this.#waitingBytes;
  }

  get queuedOutputBytes(): number {
    const head = this.#head?.length ?? 0;
    return head + this.#tail.length + this.reply.length + this.#heldBytes + this.#ws.bufferedAmount;
  }

  get greeted(): boolean {
    return this.#greeted;
  }

  // ---- Ending it -----------------------------------------------------------------------------------------------------

  /** CLIENT KILL: at once; a session that kills itself is answered first. */
  kill(): void {
    if (this.#running) this.closing = true;
    else this.#cut();
  }

  /** The port closes: the command that runs is finished and its reply goes out; what has not run is refused. */
  shutDown(): void {
    if (this.#closed || this.#closeSent) return;
    this.#closeCode = 1001;
    this.#closeReason = "this peer stops";
    this.closing = true;
    this.#subscriptions.endAll("this peer stops");
    this.#refuseWaiting();
    this.#closeIfAnswered();
  }

  #refuseWaiting(): void {
    const waiting = [...this.#deferred, ...this.#aside, ...this.#waitingRequests.slice(this.#nextAt)];
    this.#aside.clear();
    this.#deferred = [];
    this.#waitingRequests = [];
    this.#nextAt = 0;
    this.#waitingBytes = 0;
    for (const { request } of waiting) {
      if (request.type === "command") this.#refuse(request.id, "LOADING", "this peer is stopping");
    }
    if (waiting.length > 0) this.#finishTurn();
  }

  /** Called about once a second: deadlines, and whether the other end is still there. */
  onSweep(nowMs: number): void {
    const { limits, counters } = this.#owner;
    if (this.#closed) return;
    const buffered = this.#ws.bufferedAmount;
    // Who reads what was sent is there, also while our ping still stands behind it.
    if (this.#heard || this.#readingPaused || buffered < this.#bufferedAtSweep) this.#heardAtMs = nowMs;
    this.#heard = false;
    this.#bufferedAtSweep = buffered;
    if (buffered <= limits.replyBytesSoft) this.#tooMuchOutputSinceMs = Number.POSITIVE_INFINITY;
    if (nowMs >= this.#tooMuchOutputSinceMs + limits.replySoftMs) {
      this.#closeForOutput();
    } else if (nowMs >= this.#helloBeforeMs) {
      counters.closedUnauthenticated += 1;
      this.#cut();
    } else if (nowMs >= this.#heardAtMs + limits.silentMs) {
      counters.closedSilent += 1;
      this.#cut();
    } else if (nowMs >= this.#heardAtMs + limits.pingMs && !this.#closeSent) {
      this.#ws.ping();
    }
  }

  // ---- Input ---------------------------------------------------------------------------------------------------------

  readonly #onData = (chunk: Buffer): void => {
    const { counters, limits } = this.#owner;
    counters.inputBytes += chunk.length;
    this.#heard = true;
    if (this.#greeted) return;
    // ws knows one limit of a message for all; a stranger's is smaller. It has kept what came, and no more.
    this.#helloBytes += chunk.length;
    if (this.#helloBytes <= limits.helloSocketBytesMax) return;
    counters.badMessages += 1;
    this.#cut();
  };

  /** Answered by hand: who pings and does not read would fill memory with pongs. */
  readonly #onPing = (data: Buffer): void => {
    if (!this.#socket.writableNeedDrain && !this.#closeSent) this.#ws.pong(data);
  };

  readonly #onMessage = (data: RawData, isBinary: boolean): void => {
    if (this.closing) return;
    // Never fragments or an ArrayBuffer: binaryType is left at its default.
    const bytes = data as Buffer;
    this.#waitingRequests.push({ request: this.#parse(bytes, isBinary), bytes: bytes.length });
    this.#waitingBytes += bytes.length + waitingOverheadBytes;
    this.#progress();
  };

  #parse(bytes: Buffer, isBinary: boolean): ClientRequest | BadRequest {
    const { limits } = this.#owner;
    const bytesMax = this.#greeted ? limits.messageBytesMax : limits.helloBytesMax;
    const bad = (why: string, id?: number): BadRequest => ({ type: "bad", id, why });
    if (isBinary) return bad("a binary message; here is only text");
    if (bytes.length > bytesMax) return bad(`message of ${bytes.length} bytes, limit ${bytesMax}`);
    const parsed = parseClientRequest(bytes.toString());
    return parsed.ok ? parsed.message : bad(parsed.why, parsed.id);
  }

  /** Runs what can run. Called whenever a reason not to may have gone; calling it in vain is fine. */
  #progress(): void {
    if (this.#closed || this.#running) return;
    if (this.#mayRun()) this.#run();
    if (this.closing) {
      this.#closeIfAnswered();
      return;
    }
    const tooMuch = this.#waitingBytes > this.#owner.limits.queuedInputBytesMax;
    if (tooMuch === this.#readingPaused) return;
    this.#readingPaused = tooMuch;
    if (tooMuch) this.#ws.pause();
    else this.#ws.resume();
  }

  #mayRun(): boolean {
    return this.#waitsFor === undefined && !this.#yielding && !this.#choked && !this.closing;
  }

  #run(): void {
    const { turn } = this.#owner;
    this.#running = true;
    while (this.#mayRun()) {
      const waiting = this.#waitingRequests[this.#nextAt];
      if (waiting === undefined) break;
      if (turn.blocked !== undefined) {
        this.#waitFor(turn.blocked);
        break;
      }
      if (this.#shareUsed()) {
        this.#yielding = true;
        setImmediate(this.#onYielded);
        break;
      }
      this.#messagesLeft -= 1;
      this.#nextAt += 1;
      this.#waitingBytes -= waiting.bytes + waitingOverheadBytes;
      this.#handle(waiting);
    }
    this.#running = false;
    if (this.#nextAt === this.#waitingRequests.length || this.#nextAt > 1024) {
      this.#waitingRequests = this.#waitingRequests.slice(this.#nextAt);
      this.#nextAt = 0;
    }
    if (this.#head !== undefined || this.closing) this.#finishTurn();
  }

  /** Goes on when `pending` resolves. */
  #waitFor(pending: Promise<void>, command?: CommandRequest): void {
    this.#waitsFor = command === undefined ? "map" : "command";
    // A rejection is the executor's bug: left unhandled on purpose, so that it stops the process.
    void pending.then(() => {
      this.#waitsFor = undefined;
      if (this.#closed) return;
      if (command !== undefined) {
        this.#answer(command.id);
        this.#finishTurn();
      }
      this.#progress();
    });
  }

  #shareUsed(): boolean {
    const { limits } = this.#owner;
    if (this.#messagesLeft <= 0 || (this.#head?.length ?? 0) + this.#tail.length > limits.turnReplyBytes) return true;
    if (this.#messagesLeft % clockEvery !== 0) return false;
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
    const { limits } = this.#owner;
    this.#messagesLeft = this.#greeted ? limits.turnCommandsMax : limits.unauthenticatedTurnCommandsMax;
    this.#turnStartedMs = -1;
  }

  #finishTurn(): void {
    if (this.#inTurn) return;
    this.#inTurn = true;
    this.#owner.turn.finish(this);
  }

  // ---- Messages ------------------------------------------------------------------------------------------------------

  #handle(waiting: Waiting): void {
    const { request } = waiting;
    if (request.type === "bad") {
      this.#owner.counters.badMessages += 1;
      return this.#refuse(request.id, "BAD_MESSAGE", request.why);
    }
    if (request.type === "hello") return this.#onHello(request);
    if (!this.#greeted) return this.#refuse(request.id, "NO_HELLO", "the first message must be hello");
    switch (request.type) {
      case "command":
      case "watch":
        if (this.#position === "reached") {
          if (request.type === "watch") return this.#subscriptions.watch(request, this.#staleAfterMs);
          return request.position === undefined ? this.#onCommand(request) : this.#onPositioned(request, waiting.bytes);
        }
        if (this.#position === "stale") return this.#refuseStale(request);
        this.#waitingBytes += waiting.bytes + waitingOverheadBytes;
        this.#deferred.push(waiting);
        return;
      case "status":
      case "conflicts":
      case "cancel":
        return this.#subscriptions.handle(request);
      default:
        return request satisfies never;
    }
  }

  #onHello(hello: ClientHello): void {
    const { checkPassword, welcome, limits } = this.#owner;
    if (this.#greeted) return this.#refuse(undefined, "BAD_MESSAGE", "hello was said already");
    if (hello.protocolVersion !== clientProtocolVersion) {
      const why = `protocol version ${hello.protocolVersion}, this peer speaks ${clientProtocolVersion}`;
      return this.#refuse(undefined, "UNKNOWN_VERSION", why);
    }
    const user = wireToLatin1(hello.user ?? "default");
    const givesPassword = hello.user !== undefined || hello.password !== undefined;
    if (checkPassword !== undefined && !givesPassword) return this.#refuseLine(undefined, loginRequired);
    const right = checkPassword === undefined || checkPassword(user, wireToLatin1(hello.password ?? ""));
    if (!right || user !== "default") return this.#refuseLine(undefined, wrongPassword);
    if (hello.name !== undefined && !isClientName(hello.name)) {
      return this.#refuseLine(undefined, nameRefusal("Client names"));
    }
    const position = parsePosition(hello.position ?? "");
    if (position === undefined) return this.#refuse(undefined, "BAD_POSITION", "not a position");
    this.name = hello.name ?? "";
    this.authenticated = true;
    this.#greeted = true;
    this.#helloBeforeMs = Number.POSITIVE_INFINITY;
    this.#startShare();
    this.#owner.onGreeted(this);
    this.#send(JSON.stringify({ type: "welcome", protocolVersion: clientProtocolVersion, ...welcome() }));
    this.#staleAfterMs = hello.staleAfterMs ?? limits.staleAfterMs;
    if (position.length === 0) return;
    this.#position = "behind";
    this.#awaitPosition(position, this.#staleAfterMs);
  }

  #awaitPosition(position: WireVector, timeoutMs: number): void {
    void this.#owner.feed.reached(position, timeoutMs).then((reached) => {
      if (this.#closed || this.closing) return;
      this.#position = reached ? "reached" : "stale";
      if (!reached) this.#awaitPosition(position, staleRetryMs);
      if (this.#deferred.length > 0) {
        this.#waitingRequests = [...this.#deferred, ...this.#waitingRequests.slice(this.#nextAt)];
        this.#nextAt = 0;
        this.#deferred = [];
      }
      this.#progress();
    });
  }

  /** A command with a position of its own: it waits aside, and whatever comes behind it goes before it. */
  #onPositioned({ position: text = "", staleAfterMs, ...request }: CommandRequest, bytes: number): void {
    const { feed } = this.#owner;
    const position = parsePosition(text);
    if (position === undefined) return this.#refuse(request.id, "BAD_POSITION", "not a position");
    if (this.queue !== undefined) {
      this.queueBroken = true;
      return this.#refuse(request.id, "ERR", "a position inside MULTI: it goes with a command alone");
    }
    if (feed.covers(position)) return this.#onCommand(request);
    const waiting: Waiting = { request, bytes };
    this.#aside.add(waiting);
    this.#waitingBytes += bytes + waitingOverheadBytes;
    void feed.reached(position, staleAfterMs ?? this.#staleAfterMs).then((reached) => {
      // Closing, it was refused.
      if (!this.#aside.delete(waiting)) return;
      if (reached) {
        this.#waitingRequests = [waiting, ...this.#waitingRequests.slice(this.#nextAt)];
        this.#nextAt = 0;
      } else {
        this.#waitingBytes -= bytes + waitingOverheadBytes;
        this.#refuse(request.id, "STALE", "this peer has not reached the position of the command in time");
        this.#finishTurn();
      }
      this.#progress();
    });
  }

  #refuseStale({ id }: CommandRequest | WatchRequest): void {
    this.#refuse(id, "STALE", "this peer has not reached the position of hello yet");
  }

  #onCommand(request: CommandRequest): void {
    if (this.#subscriptions.has(request.id)) {
      return this.#refuse(request.id, "ID_IN_USE", "a subscription has this id");
    }
    const words = request.args.map(wireToLatin1);
    const name = words[0]?.toUpperCase() ?? "";
    if (refusedCommands.has(name)) {
      if (this.queue !== undefined) this.queueBroken = true;
      const instead = name === "HELLO" || name === "RESET" ? "connect anew" : "send watch";
      return this.#refuse(request.id, "ERR", `${name} has no meaning here: ${instead}`);
    }
    this.#owner.counters.commands += 1;
    this.#writeSeqBefore = this.lastWriteSeq;
    const pending = this.#owner.execute(this, words);
    if (pending === undefined) this.#answer(request.id);
    else this.#waitFor(pending, request);
  }

  // ---- Output --------------------------------------------------------------------------------------------------------

  /** What the command wrote to `reply`. SHUTDOWN answers nothing. */
  #answer(id: number): void {
    const { reply } = this;
    if (!reply.written) return;
    if (reply.overflowed) {
      reply.take();
      // An EXEC has run all the same.
      const outcome = this.lastWriteSeq === this.#writeSeqBefore ? "not-applied" : "unknown";
      return this.#refuse(id, "ERR", `the reply has more than ${replyBytesMax} bytes`, outcome);
    }
    const answer = reply.take();
    if (typeof answer === "string") this.#put(`{"type":"reply","id":${id},"reply":${answer}`);
    else this.#refuse(id, answer.code, answer.message, outcomeOf(answer.code));
  }

  /** An error line of Redis: its first word is the code. */
  #refuseLine(id: number | undefined, line: string): void {
    const spaceAt = line.indexOf(" ");
    this.#refuse(id, line.slice(0, spaceAt), line.slice(spaceAt + 1));
  }

  #refuse(id: number | undefined, code: string, message: string, outcome: Outcome = "not-applied"): void {
    const start = id === undefined ? '{"type":"error"' : `{"type":"error","id":${id}`;
    this.#put(`${start},"code":${JSON.stringify(code)},"message":${JSON.stringify(message)},"outcome":"${outcome}"`);
  }

  #put(openMessage: string): void {
    if (this.#head === undefined) this.#head = openMessage;
    else this.#tail += `${openMessage}}\n`;
  }

  takeOutput(): string {
    this.#inTurn = false;
    this.#startShare();
    if (this.#head === undefined) return "";
    let output = this.#head;
    // A stranger is told nothing of the data, not even how much there is.
    const position = this.#greeted ? this.#owner.feed.position() : "";
    if (position !== this.#positionTold) {
      this.#positionTold = position;
      output += `,"position":"${position}"`;
    }
    output += `}\n${this.#tail}`;
    this.#head = undefined;
    this.#tail = "";
    this.#heldBytes += output.length;
    if (this.#heldBytes > this.#owner.limits.heldReplyBytesMax) this.#choked = true;
    return output;
  }

  release(output: string): void {
    this.#heldBytes -= output.length;
    if (this.#closed || this.#closeSent) return;
    if (output.length > 0 && !this.#sendLines(output)) return;
    if (this.closing) this.#closeIfAnswered();
    else if (this.#choked && !this.#socket.writableNeedDrain) this.#unchoke();
  }

  /** Messages, each ended by a line feed: JSON has none inside. False: the client was cut. */
  #sendLines(output: string): boolean {
    this.#socket.cork();
    let at = 0;
    for (;;) {
      const end = output.indexOf("\n", at);
      if (end < 0) break;
      this.#ws.send(output.slice(at, end));
      at = end + 1;
    }
    this.#socket.uncork();
    return this.#sent(output.length);
  }

  /** One whole message, now. */
  #send(message: string): void {
    if (this.#closed || this.#closeSent) return;
    this.#ws.send(message);
    this.#sent(message.length);
  }

  /** False: the client was cut, it has far too much to read. */
  #sent(bytes: number): boolean {
    const { counters, limits } = this.#owner;
    counters.outputBytes += bytes;
    // What the kernel took at once is no longer counted here.
    const buffered = this.#ws.bufferedAmount;
    if (buffered > limits.replyBytesMax + bytes) return this.#closeForOutput();
    if (!this.#socket.writableNeedDrain) return true;
    this.#choked = true;
    if (buffered > limits.replyBytesSoft && this.#tooMuchOutputSinceMs === Number.POSITIVE_INFINITY) {
      this.#tooMuchOutputSinceMs = performance.now();
    }
    return true;
  }

  readonly #onDrain = (): void => {
    if (this.#closed) return;
    if (this.#choked) this.#unchoke();
    this.#subscriptions.onWritable();
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

  /** Says close once every reply is out; ws waits for the client's close, and cuts it when that takes too long. */
  #closeIfAnswered(): void {
    if (this.#closeSent || this.#closed || this.#running || this.#waitsFor === "command") return;
    if (this.#heldBytes > 0 || this.#head !== undefined) return;
    this.#closeSent = true;
    if (this.#readingPaused) this.#ws.resume();
    this.#ws.close(this.#closeCode, this.#closeReason);
  }

  /** Without a word more. Nothing runs from here on, not even what was already read. */
  #cut(): void {
    this.closing = true;
    this.#ws.terminate();
  }

  readonly #onError = (): void => {
    // A frame that breaks RFC 6455 or a limit: ws closes with a code. Or the world's business: 'close' follows.
    this.#owner.counters.socketErrors += 1;
  };

  readonly #onClose = (): void => {
    this.#closed = true;
    this.closing = true;
    this.#waitingRequests = [];
    this.#nextAt = 0;
    this.#waitingBytes = 0;
    this.#deferred = [];
    this.#aside.clear();
    this.#head = undefined;
    this.#tail = "";
    this.reply.take();
    this.#subscriptions.drop();
    this.#owner.onClosed(this);
  };
}

const endpoint = (address: string | undefined, port: number | undefined): string => {
  if (address === undefined) return "?:0";
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
};
