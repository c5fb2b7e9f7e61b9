/**
 * A user of `/kv/<key>`: HTTP/1.1 over kept connections, as many as ops may be outstanding (nobody pipelines HTTP).
 *
 * Written on a plain socket: node's own HTTP client takes more time per request than the gateway it would measure. A
 * connection that ends moves the client to the next target; what was under way is not sent again.
 */
import { connect, type Socket } from "node:net";
import { type HostPort, hostPortToText } from "../../server/settings.ts";
import { type Driver, type DriverEvents, type DriverOptions, reconnectPauseMs } from "./driver.ts";
import { type HttpAnswer, HttpReader } from "./http-reader.ts";
import { answered, answeredNothing, type Op, type OpEnd } from "./operation.ts";

const connectMsMax = 1000;
/** Servers close what is idle for some seconds. Ours is renewed before, so that no request meets the close. */
const idleMsMax = 3000;

export class HttpDriver implements Driver {
  readonly #events: DriverEvents;
  readonly #place: Place;
  readonly #slots: readonly Slot[];

  constructor(options: DriverOptions, events: DriverEvents) {
    this.#events = events;
    this.#place = new Place(options);
    this.#slots = Array.from({ length: options.pipeline }, () => new Slot(options, this.#place, events));
    for (const slot of this.#slots) slot.open();
  }

  get room(): number {
    let room = 0;
    for (const slot of this.#slots) if (slot.isFree) room++;
    return room;
  }

  get outstanding(): number {
    let outstanding = 0;
    for (const slot of this.#slots) if (slot.isBusy) outstanding++;
    return outstanding;
  }

  get trouble(): string | undefined {
    return this.#slots.some(({ isOpen }) => isOpen) ? undefined : this.#place.trouble;
  }

  send(op: Op): void {
    const slot = this.#slots.find(({ isFree }) => isFree);
    if (slot === undefined) this.#events.onEnd(op, { ok: false, code: "CONNECTION_LOST", outcome: "not-applied" });
    else slot.send(op);
  }

  flush(): void {}

  tick(nowMs: number): void {
    for (const slot of this.#slots) slot.tick(nowMs);
  }

  close(): void {
    for (const slot of this.#slots) slot.close();
  }
}

/** Which target the client is at, and its session there: shared by its connections. */
class Place {
  readonly #addresses: readonly HostPort[];
  #index: number;
  failures = 0;
  trouble: string | undefined = "not connected yet";
  session = "";

  constructor({ targets, startAt }: DriverOptions) {
    this.#addresses = targets.addresses;
    this.#index = startAt % targets.addresses.length;
  }

  get address(): HostPort {
    return this.#addresses[this.#index] ?? { host: "127.0.0.1", port: 0 };
  }

  get targetsCount(): number {
    return this.#addresses.length;
  }

  /** Leaves the address, unless another connection of this client has done so. */
  leave(address: HostPort): void {
    if (address === this.address) this.#index = (this.#index + 1) % this.#addresses.length;
  }
}

class Slot {
  readonly #options: DriverOptions;
  readonly #place: Place;
  readonly #events: DriverEvents;
  readonly #reader = new HttpReader();
  #socket: Socket | undefined;
  #address: HostPort;
  #head = "";
  #op: Op | undefined;
  #usedMs = 0;
  #pause: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;
  isOpen = false;

  constructor(options: DriverOptions, place: Place, events: DriverEvents) {
    this.#options = options;
    this.#place = place;
    this.#events = events;
    this.#address = place.address;
  }

  get isFree(): boolean {
    return this.isOpen && this.#op === undefined;
  }

  get isBusy(): boolean {
    return this.#op !== undefined;
  }

  open(): void {
    if (this.#isClosed) return;
    const address = this.#place.address;
    this.#address = address;
    this.#head = headOf(address, this.#options.targets.password);
    this.#reader.reset();
    const socket = connect({ host: address.host, port: address.port, noDelay: true });
    this.#socket = socket;
    const deadline = setTimeout(() => socket.destroy(), connectMsMax);
    socket.on("connect", () => {
      clearTimeout(deadline);
      this.isOpen = true;
      this.#usedMs = performance.now();
      this.#place.failures = 0;
      this.#events.onConnected?.(hostPortToText(address));
      this.#events.onRoom();
    });
    socket.on("data", (chunk: Buffer) => {
      if (this.#socket === socket) this.#onData(chunk);
    });
    socket.on("error", (error) => {
      if (this.#socket === socket) this.#place.trouble = error.message;
    });
    socket.on("close", () => {
      clearTimeout(deadline);
      if (this.#socket === socket) this.#lose("CONNECTION_LOST");
    });
  }

  send(op: Op): void {
    this.#op = op;
    this.#usedMs = op.sentMs;
    this.#socket?.write(this.#requestOf(op), "latin1");
  }

  tick(nowMs: number): void {
    if (this.#op !== undefined && nowMs - this.#op.sentMs > this.#options.timeoutMs) this.#lose("TIMEOUT");
    else if (this.isFree && nowMs - this.#usedMs > idleMsMax) this.#reopen();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#pause);
    this.#lose("CLOSED");
  }

  #requestOf({ kind, key, value }: Op): string {
    const { session } = this.#place;
    const head = session === "" ? this.#head : `${this.#head}X-Chorus-Session: ${session}\r\n`;
    const path = `/kv/${key}`;
    switch (kind) {
      case "get":
        return `GET ${path} HTTP/1.1\r\n${head}\r\n`;
      case "set":
        return `PUT ${path} HTTP/1.1\r\n${head}Content-Length: ${value.length}\r\n\r\n${value}`;
      case "incr":
        return `POST ${path}?incr=1 HTTP/1.1\r\n${head}Content-Length: 0\r\n\r\n`;
      case "del":
        return `DELETE ${path} HTTP/1.1\r\n${head}\r\n`;
    }
  }

  #onData(chunk: Buffer): void {
    let answer: HttpAnswer | undefined;
    try {
      answer = this.#reader.read(chunk);
    } catch {
      return this.#lose("PROTOCOL");
    }
    if (answer === undefined) return;
    const op = this.#op;
    this.#op = undefined;
    if (op === undefined) return this.#reopen();
    if (this.#options.session && answer.session !== "") this.#place.session = answer.session;
    if (answer.cache !== "") this.#events.onCache?.(answer.cache);
    const end = endOf(op, answer);
    // A peer that loads or stops: another one may take it. A gateway knows better than we do.
    if (!end.ok && answer.status === 503 && this.#place.targetsCount > 1) this.#place.leave(this.#address);
    this.#events.onEnd(op, end);
    if (!answer.keeps || this.#address !== this.#place.address) this.#reopen();
    else this.#events.onRoom();
  }

  /** A new connection in the place of one that nothing was wrong with. */
  #reopen(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    this.isOpen = false;
    socket?.destroy();
    this.open();
  }

  #lose(code: string): void {
    const socket = this.#socket;
    const op = this.#op;
    this.#socket = undefined;
    this.#op = undefined;
    this.isOpen = false;
    socket?.destroy();
    // What stands behind the address (a gateway and its peers) may still do it.
    if (op !== undefined) this.#events.onEnd(op, { ok: false, code, outcome: "late" });
    if (this.#isClosed) return;
    this.#place.failures++;
    this.#place.leave(this.#address);
    const { failures, targetsCount } = this.#place;
    this.#pause = setTimeout(() => this.open(), reconnectPauseMs(failures, targetsCount, this.#options.random));
  }
}

const headOf = (address: HostPort, password: string | undefined): string => {
  const authorization =
    password === undefined ? "" : `Authorization: Basic ${Buffer.from(`default:${password}`).toString("base64")}\r\n`;
  return `Host: ${hostPortToText(address)}\r\n${authorization}`;
};

const endOf = ({ kind }: Op, { status, body }: HttpAnswer): OpEnd => {
  if (status >= 200 && status < 300) return answered;
  if (status === 404 && (kind === "get" || kind === "del")) return answeredNothing;
  const { code, outcome } = failureIn(body);
  return {
    ok: false,
    code: code === undefined ? `HTTP_${status}` : code,
    outcome: outcome === "not-applied" ? outcome : "late",
  };
};

/** `{ "error": { code, message, outcome } }`, or the same without the outer braces. */
const failureIn = (body: string): { readonly code?: string; readonly outcome?: string } => {
  try {
    const parsed = JSON.parse(body) as Record<string, unknown> | null;
    const inner = (typeof parsed?.["error"] === "object" ? parsed["error"] : parsed) as Record<string, unknown> | null;
    const { code, outcome } = inner ?? {};
    return {
      ...(typeof code === "string" ? { code } : {}),
      ...(typeof outcome === "string" ? { outcome } : {}),
    };
  } catch {
    return {};
  }
};
