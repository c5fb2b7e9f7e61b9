/**
 * One authenticated WebSocket to one run of another peer: messages, flow control, heartbeat, end.
 *
 * The link watches its queue but does not stop its user: who sends must stop above the high-water mark and go on at
 * `onWritable`. Beyond the cap the link closes, which loses nothing, since the replica goes on from its log.
 *
 * Who keeps a message keeps the read it came in (up to 64 KiB): copy what is small and stays long.
 */
import type { Socket } from "node:net";
import type { RawData, WebSocket } from "ws";
import { linkMessageBytesMax } from "../../protocol/limits.ts";
import type { Incarnation, PeerName } from "../../protocol/words.ts";
import { controlByteMin, decodeControl, encodeControl, Heartbeat, type HeartbeatOptions } from "./heartbeat.ts";
import type { Link } from "./link.ts";

/** Wall: unix ms, may jump. Monotonic: ms since some start, only grows. */
export interface LinkClock {
  wallMs(): number;
  monotonicMs(): number;
}

export interface PeerLinkOptions {
  readonly id: number;
  readonly peer: PeerName;
  readonly incarnation: Incarnation;
  readonly ws: WebSocket;
  readonly socket: Socket;
  readonly clock: LinkClock;
  readonly heartbeat: HeartbeatOptions;
  readonly queueHighBytes: number;
  readonly queueLowBytes: number;
  readonly queueBytesMax: number;
  /** The fault seam: messages of this direction vanish. */
  readonly drops: (direction: "in" | "out") => boolean;
  readonly onMessage: (link: PeerLink, message: Uint8Array) => void;
  readonly onWritable: (link: PeerLink) => void;
  /** Once, whoever ended it. `byPeer`: its process closed the connection. */
  readonly onDown: (link: PeerLink, reason: string, byPeer: boolean) => void;
}

export class PeerLink implements Link {
  readonly id: number;
  readonly peer: PeerName;
  readonly incarnation: Incarnation;
  readonly remoteAddress: string;
  /** Monotonic. */
  readonly upAtMs: number;
  receivedBytes = 0;
  sentBytes = 0;
  /** For whoever closes all sockets; nobody else writes to it. */
  readonly ws: WebSocket;
  readonly #options: PeerLinkOptions;
  readonly #heartbeat: Heartbeat;
  /** One for all sends: no closure per message. */
  readonly #onSent: () => void;
  /** `closing`: nothing is delivered or sent any more; the user has yet to be told. */
  #state: "up" | "closing" | "down" = "up";
  #closeReason = "";
  #isAboveHigh = false;
  #isResting = false;
  /** A message of this direction vanished in a cut: when the cut ends, so must the link. */
  readonly #lost = { in: false, out: false };
  #bytesHeard = 0;

  constructor(options: PeerLinkOptions) {
    this.#options = options;
    this.ws = options.ws;
    this.id = options.id;
    this.peer = options.peer;
    this.incarnation = options.incarnation;
    const { remoteAddress, remotePort } = options.socket;
    this.remoteAddress = remoteAddress?.includes(":")
      ? `[${remoteAddress}]:${remotePort}`
      : `${remoteAddress}:${remotePort}`;
    this.upAtMs = options.clock.monotonicMs();
    this.#heartbeat = new Heartbeat(options.heartbeat, this.upAtMs);
    this.#onSent = () => this.#onQueueShrunk();
    this.ws.on("message", (data, isBinary) => this.#onMessage(data, isBinary));
    this.ws.on("close", (code, reason) => this.#end(closeText(code, reason), true));
    this.ws.on("error", (error) => this.#end(error.message, false));
  }

  get queuedBytes(): number {
    return this.ws.bufferedAmount;
  }

  get rttMs(): number | undefined {
    return this.#heartbeat.rttMs;
  }

  get clockOffsetMs(): number | undefined {
    return this.#heartbeat.clockOffsetMs;
  }

  send(message: Uint8Array): void {
    if (this.#state !== "up") return;
    if (message.length > linkMessageBytesMax) {
      return this.close(`message of ${message.length} bytes to send, limit ${linkMessageBytesMax}`);
    }
    if (this.#options.drops("out")) {
      this.#lost.out = true;
      return;
    }
    this.sentBytes += message.length;
    this.ws.send(message, this.#onSent);
    const queuedBytes = this.ws.bufferedAmount;
    if (queuedBytes > this.#options.queueHighBytes) this.#isAboveHigh = true;
    if (queuedBytes > this.#options.queueBytesMax) {
      this.close(`${queuedBytes} bytes queued, limit ${this.#options.queueBytesMax}: the peer does not take them`);
    }
  }

  /**
   * Without this one look at the socket brings up to 2 MiB (libuv reads 32 times in a row): 20,000 writes, 60 ms in which
   * no client is answered. What of the read at hand is still to come, comes.
   */
  rest(): void {
    if (this.#isResting || this.#state !== "up") return;
    this.#isResting = true;
    this.ws.pause();
    setImmediate(this.#onRested);
  }

  readonly #onRested = (): void => {
    this.#isResting = false;
    this.ws.resume();
  };

  /** The user is told by onDown in a later microtask, so never from within its own call. What is queued still goes. */
  close(reason: string): void {
    if (this.#state !== "up") return;
    this.#state = "closing";
    this.#closeReason = reason;
    // ws gives the other end closeTimeout to take what is queued and to answer, then destroys the socket.
    if (this.queuedBytes > this.#options.queueBytesMax) this.ws.terminate();
    else this.ws.close(1000, closeReasonOf(reason));
    queueMicrotask(() => this.flushDown());
  }

  /** Tells the user of a close that it has not heard of yet: before the next link of the same peer comes up. */
  flushDown(): void {
    if (this.#state !== "closing") return;
    this.#state = "down";
    this.#options.onDown(this, this.#closeReason, false);
  }

  /** Starts measuring at once: the clock offset matters before the first interval has passed. */
  start(): void {
    this.#ping();
  }

  /** A cut began or ended. A stream with a hole in it must not go on. */
  onFaultChanged(): void {
    const { drops } = this.#options;
    const hole = (this.#lost.in && !drops("in")) || (this.#lost.out && !drops("out"));
    if (hole) this.close("a cut ended: what vanished meanwhile is asked for anew");
  }

  /** Every heartbeat interval. */
  tick(): void {
    if (this.#state !== "up") return;
    // Bytes, not messages: a large frame on a slow network is life too. With a cut, what arrives must not count.
    if (!this.#options.drops("in")) this.#bytesHeard = this.#options.socket.bytesRead;
    if (this.#heartbeat.tick(this.#options.clock.monotonicMs(), this.#bytesHeard)) {
      this.ws.terminate();
      return this.#end(`no answer for ${formatSeconds(this.#heartbeat.silentMs)}`, false);
    }
    this.#ping();
  }

  get isSilent(): boolean {
    return this.#heartbeat.silentMs > 0;
  }

  #ping(): void {
    const { clock } = this.#options;
    this.#sendControl(
      encodeControl(this.#heartbeat.ping({ monotonicMs: clock.monotonicMs(), wallMs: clock.wallMs() })),
    );
  }

  #sendControl(message: Buffer): void {
    // A queue that does not move needs no more pings in it: the silence is measured without them.
    if (!this.#options.drops("out") && !this.#isAboveHigh) this.ws.send(message);
  }

  #onMessage(data: RawData, isBinary: boolean): void {
    if (this.#state !== "up") return;
    if (this.#options.drops("in")) {
      this.#lost.in = true;
      return;
    }
    if (!isBinary) return this.#violate(1003, "text message after authentication");
    // Never fragments or an ArrayBuffer: binaryType is left at its default.
    const message = data as Buffer;
    this.receivedBytes += message.length;
    const first = message[0];
    if (first === undefined) return this.#violate(1002, "empty message");
    if (first >= controlByteMin) return this.#onControl(message);
    this.#options.onMessage(this, message);
  }

  #onControl(message: Buffer): void {
    const control = decodeControl(message);
    if (control === undefined) return this.#violate(1002, `unknown control message 0x${message[0]?.toString(16)}`);
    const { clock } = this.#options;
    if (control.type === "pong") {
      this.#heartbeat.onPong(control, { monotonicMs: clock.monotonicMs(), wallMs: clock.wallMs() });
    } else {
      this.#sendControl(encodeControl({ type: "pong", sequence: control.sequence, wallMs: clock.wallMs() }));
    }
  }

  #violate(code: number, reason: string): void {
    this.ws.close(code, reason);
    this.#end(reason, false);
  }

  #onQueueShrunk(): void {
    if (!this.#isAboveHigh || this.#state !== "up") return;
    if (this.ws.bufferedAmount >= this.#options.queueLowBytes) return;
    this.#isAboveHigh = false;
    this.#options.onWritable(this);
  }

  #end(reason: string, byPeer: boolean): void {
    if (this.#state === "closing") return this.flushDown();
    if (this.#state === "down") return;
    this.#state = "down";
    this.#options.onDown(this, reason, byPeer);
  }
}

const formatSeconds = (ms: number): string => (ms >= 1000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms)} ms`);

/** 1006: no close frame came, so the process died or the network broke. 1005: one without a code. */
const closeText = (code: number, reason: Buffer): string => {
  if (code === 1006) return "the connection broke";
  return reason.length > 0
    ? `closed by the peer: ${closeReasonOf(reason.toString("latin1"))}`
    : `closed by the peer (${code})`;
};

/** A close frame has room for 123 bytes. */
const closeReasonOf = (reason: string): string => reason.replace(/[^ -~]/g, "?").slice(0, 123);
