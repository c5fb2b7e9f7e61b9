/**
 * A Redis client of the simple kind: one connection, replies in order. When it ends, what was under way is reported as
 * unknown and never sent again; the next command goes to the next target. A refusal such as LOADING makes it move on too.
 */
import { connect, type Socket } from "node:net";
import { hostPortToText } from "../../server/settings.ts";
import { ErrorReply, encodeCommand, parseReply, type Reply } from "../bench/resp-connection.ts";
import { type Driver, type DriverEvents, type DriverOptions, elsewhereCodes, reconnectPauseMs } from "./driver.ts";
import { answered, answeredNothing, type Op, type OpEnd } from "./operation.ts";

const connectMsMax = 1000;

export class RespDriver implements Driver {
  readonly #options: DriverOptions;
  readonly #events: DriverEvents;
  readonly #outstanding: Op[] = [];
  #targetIndex: number;
  #socket: Socket | undefined;
  #isReady = false;
  #isClosed = false;
  /** Connections in a row that came to nothing. */
  #failures = 0;
  #trouble: string | undefined = "not connected yet";
  /** Refused what another may grant: nothing more is sent to it. */
  #isLeaving = false;
  #pause: ReturnType<typeof setTimeout> | undefined;
  #rest: Buffer = Buffer.alloc(0);
  #text = "";

  constructor(options: DriverOptions, events: DriverEvents) {
    this.#options = options;
    this.#events = events;
    this.#targetIndex = options.startAt % options.targets.addresses.length;
    this.#connect();
  }

  get room(): number {
    return this.#isReady && !this.#isLeaving ? this.#options.pipeline - this.#outstanding.length : 0;
  }

  get outstanding(): number {
    return this.#outstanding.length;
  }

  get trouble(): string | undefined {
    return this.#isReady ? undefined : this.#trouble;
  }

  send(op: Op): void {
    this.#outstanding.push(op);
    this.#text += encodeOp(op);
  }

  flush(): void {
    if (this.#text === "") return;
    this.#socket?.write(this.#text, "latin1");
    this.#text = "";
  }

  tick(nowMs: number): void {
    const [oldest] = this.#outstanding;
    if (oldest !== undefined && nowMs - oldest.sentMs > this.#options.timeoutMs) this.#lose("TIMEOUT", "late");
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#pause);
    this.#lose("CLOSED", "unknown");
  }

  #connect(): void {
    const { targets } = this.#options;
    const address = targets.addresses[this.#targetIndex];
    if (address === undefined || this.#isClosed) return;
    const socket = connect({ host: address.host, port: address.port, noDelay: true });
    this.#socket = socket;
    this.#rest = Buffer.alloc(0);
    const deadline = setTimeout(() => socket.destroy(), connectMsMax);
    let isGreeting = targets.password !== undefined;
    const onReady = (): void => {
      clearTimeout(deadline);
      this.#isReady = true;
      this.#isLeaving = false;
      this.#events.onConnected?.(hostPortToText(address));
      this.#events.onRoom();
    };
    socket.on("connect", () => {
      if (targets.password === undefined) onReady();
      else socket.write(encodeCommand("AUTH", targets.password), "latin1");
    });
    socket.on("data", (chunk: Buffer) => {
      if (this.#socket !== socket) return;
      if (!isGreeting) return this.#onData(chunk);
      if (chunk[0] !== "+".charCodeAt(0)) return socket.destroy();
      isGreeting = false;
      onReady();
    });
    socket.on("error", (error) => {
      if (this.#socket === socket) this.#trouble = error.message;
    });
    socket.on("close", () => {
      clearTimeout(deadline);
      // A peer that is gone takes with it what it had not done; what it had done is done.
      if (this.#socket === socket) this.#lose("CONNECTION_LOST", "unknown");
    });
  }

  #onData(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (at < bytes.length) {
      const parsed = parseReply(bytes, at);
      if (parsed === undefined) break;
      at = parsed.end;
      const op = this.#outstanding.shift();
      if (op === undefined) return this.#lose("PROTOCOL", "unknown");
      const end = endOf(op, parsed.reply);
      if (!end.ok && elsewhereCodes.has(end.code) && this.#options.targets.addresses.length > 1) this.#isLeaving = true;
      else this.#failures = 0;
      this.#events.onEnd(op, end);
    }
    this.#rest = at === bytes.length ? empty : bytes.subarray(at);
    if (this.#isLeaving && this.#outstanding.length === 0) return this.#lose("CONNECTION_LOST", "unknown");
    this.#events.onRoom();
  }

  /** The connection is over; what was under way too. */
  #lose(code: string, outcome: "unknown" | "late"): void {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#isReady = false;
    this.#isLeaving = false;
    this.#text = "";
    socket?.destroy();
    for (const op of this.#outstanding.splice(0)) this.#events.onEnd(op, { ok: false, code, outcome });
    if (this.#isClosed) return;
    this.#failures++;
    const count = this.#options.targets.addresses.length;
    this.#targetIndex = (this.#targetIndex + 1) % count;
    this.#pause = setTimeout(() => this.#connect(), reconnectPauseMs(this.#failures, count, this.#options.random));
  }
}

const empty = Buffer.alloc(0);

const encodeOp = ({ kind, key, value }: Op): string => {
  switch (kind) {
    case "get":
      return `*2\r\n$3\r\nGET\r\n$${key.length}\r\n${key}\r\n`;
    case "set":
      return `*3\r\n$3\r\nSET\r\n$${key.length}\r\n${key}\r\n$${value.length}\r\n${value}\r\n`;
    case "incr":
      return `*2\r\n$4\r\nINCR\r\n$${key.length}\r\n${key}\r\n`;
    case "del":
      return `*2\r\n$3\r\nDEL\r\n$${key.length}\r\n${key}\r\n`;
  }
};

/** A refusal of a peer did nothing (docs/ERRORS.md). */
const endOf = ({ kind }: Op, reply: Reply): OpEnd => {
  if (reply instanceof ErrorReply)
    return { ok: false, code: reply.text.split(" ", 1)[0] ?? "ERR", outcome: "not-applied" };
  return reply === null && kind === "get" ? answeredNothing : answered;
};
