/**
 * One method of etcd's gRPC API over one TCP connection, for measuring: as much of HTTP/2 as that takes, written as bytes.
 *
 * Why not a gRPC library, nor node:http2: either spends more processor time per call than the RESP client on the other
 * side, on the cores the servers run on, and etcd would pay for it. Here a call is two frames whose bytes are known but
 * for the stream's number, and an answer is a message, then trailers. Calls of one turn leave in one write.
 *
 * What makes this little enough: gRPC sends a message only with success, so a stream that ends with one succeeded and one
 * that ends without failed, and headers need not be decoded. Our requests are far smaller than the windows etcd opens
 * (checked), and etcd's answers than those we open. RFC 9113, RFC 7541, and gRPC's "PROTOCOL-HTTP2".
 */
import type { Socket } from "node:net";
import { openSocket } from "./open-socket.ts";

export type EtcdMethod = "Put" | "Range";

const frame = { data: 0, headers: 1, resetStream: 3, settings: 4, ping: 6, goAway: 7, windowUpdate: 8 } as const;
const endStream = 0x1;
const endHeaders = 0x4;
const ack = 0x1;
const frameHeaderBytes = 9;
const messageHeaderBytes = 5;
/** What the server lets us send before it opens the window further, as RFC 9113 begins. */
const sendWindowBytes = 65_535;
/** We open ours so far at once, and again by as much as was used of it. */
const receiveWindowBytes = 1 << 30;
const streamIdMax = 2 ** 31 - 1;

interface Call {
  messageBytes: number;
  readonly onDone: (failure: Error | undefined, messageBytes: number) => void;
}

export class EtcdConnection {
  readonly #socket: Socket;
  readonly #firstHeaders: string;
  readonly #calls = new Map<number, Call>();
  #rest: Buffer = Buffer.alloc(0);
  #out = "";
  #streamId = 1;
  #sendWindow = sendWindowBytes;
  #received = 0;
  #failure: Error | undefined;

  private constructor(socket: Socket, method: EtcdMethod, authority: string) {
    this.#socket = socket;
    this.#firstHeaders =
      `${headersBegin}\x44${hpackText(`/etcdserverpb.KV/${method}`)}\x41${hpackText(authority)}` +
      `\x5f${hpackText("application/grpc")}\x40${hpackText("te")}${hpackText("trailers")}`;
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("error", (error) => this.#end(error));
    socket.on("close", () => this.#end(new Error("the server closed the connection")));
    this.#write(
      `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${frameOf(frame.settings, 0, 0, "")}` +
        frameOf(frame.windowUpdate, 0, 0, uint32(receiveWindowBytes)),
    );
  }

  static async open(port: number, method: EtcdMethod): Promise<EtcdConnection> {
    return new EtcdConnection(await openSocket(port), method, `127.0.0.1:${port}`);
  }

  /** `message`: an encoded request, as latin1. `onDone` is called once, with the bytes of the answer's message. */
  call(message: string, onDone: Call["onDone"]): void {
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      queueMicrotask(() => onDone(failure, 0));
      return;
    }
    const id = this.#streamId;
    if (id > streamIdMax) throw new Error("the connection has no more streams");
    const body = `\0${uint32(message.length)}${message}`;
    this.#sendWindow -= body.length;
    if (this.#sendWindow < 0) throw new Error("more is under way than etcd's window holds");
    this.#calls.set(id, { messageBytes: 0, onDone });
    this.#streamId += 2;
    const headers = id === 1 ? this.#firstHeaders : laterHeaders;
    this.#write(frameOf(frame.headers, endHeaders, id, headers) + frameOf(frame.data, endStream, id, body));
  }

  #write(bytes: string): void {
    if (this.#out === "") queueMicrotask(() => this.#flush());
    this.#out += bytes;
  }

  #flush(): void {
    const bytes = this.#out;
    this.#out = "";
    if (this.#failure === undefined) this.#socket.write(bytes, "latin1");
  }

  #onData(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (bytes.length - at >= frameHeaderBytes) {
      const length = bytes.readUIntBE(at, 3);
      const end = at + frameHeaderBytes + length;
      if (end > bytes.length) break;
      const id = bytes.readUInt32BE(at + 5) & streamIdMax;
      this.#onFrame(bytes[at + 3] ?? 0, bytes[at + 4] ?? 0, id, bytes.subarray(at + frameHeaderBytes, end));
      at = end;
    }
    this.#rest = bytes.subarray(at);
  }

  #onFrame(type: number, flags: number, id: number, payload: Buffer): void {
    switch (type) {
      case frame.data: {
        const call = this.#calls.get(id);
        if (call !== undefined) call.messageBytes += payload.length;
        this.#received += payload.length;
        if (this.#received >= receiveWindowBytes / 2) {
          this.#write(frameOf(frame.windowUpdate, 0, 0, uint32(this.#received)));
          this.#received = 0;
        }
        break;
      }
      case frame.headers:
        break;
      case frame.resetStream:
        this.#done(id, new Error("etcd reset the stream"));
        return;
      case frame.settings:
        if ((flags & ack) === 0) this.#write(frameOf(frame.settings, ack, 0, ""));
        return;
      case frame.ping:
        if ((flags & ack) === 0) this.#write(frameOf(frame.ping, ack, 0, payload.toString("latin1")));
        return;
      case frame.windowUpdate:
        if (id === 0) this.#sendWindow += payload.readUInt32BE(0);
        return;
      case frame.goAway:
        this.#end(new Error("etcd ended the connection"));
        return;
      default:
        return;
    }
    if ((flags & endStream) !== 0) this.#done(id, undefined);
  }

  #done(id: number, failure: Error | undefined): void {
    const call = this.#calls.get(id);
    if (call === undefined) return;
    this.#calls.delete(id);
    if (failure !== undefined) call.onDone(failure, 0);
    else if (call.messageBytes < messageHeaderBytes) call.onDone(new Error("etcd refused the call"), 0);
    else call.onDone(undefined, call.messageBytes - messageHeaderBytes);
  }

  #end(failure: Error): void {
    this.#failure ??= failure;
    this.#socket.destroy();
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const { onDone } of calls) onDone(failure, 0);
  }

  close(): void {
    this.#end(new Error("closed by the bench"));
  }
}

// ---- Bytes, as latin1 ---------------------------------------------------------------------------------------------------

const byte = String.fromCharCode;

const uint32 = (number: number): string =>
  byte((number >>> 24) & 0xff, (number >>> 16) & 0xff, (number >>> 8) & 0xff, number & 0xff);

const frameOf = (type: number, flags: number, id: number, payload: string): string =>
  uint32(payload.length).slice(1) + byte(type, flags) + uint32(id) + payload;

/** A string of HPACK, as it is. */
const hpackText = (text: string): string => {
  if (text.length > 126) throw new Error(`${text.length} bytes, one byte of length has room for 126`);
  return byte(text.length) + text;
};

/** `:method: POST`, `:scheme: http`, by their numbers in HPACK's static table. */
const headersBegin = "\x83\x86";
/**
 * The first request's other four headers went into the table of the connection, the newest as 62, so later ones name them
 * by number alone.
 */
const laterHeaders = `${headersBegin}\xc1\xc0\xbf\xbe`;

/** A field of bytes in a protocol buffer; of fewer than 16384, for the length to take two bytes at most. */
const bytesField = (number: number, value: string): string =>
  byte((number << 3) | 2) +
  (value.length < 0x80 ? byte(value.length) : byte((value.length & 0x7f) | 0x80, value.length >>> 7)) +
  value;

/** etcdserverpb.PutRequest. */
export const putRequest = (key: string, value: string): string => bytesField(1, key) + bytesField(2, value);

/** etcdserverpb.RangeRequest of one key; linearizable, as it is unless asked otherwise. */
export const rangeRequest = (key: string): string => bytesField(1, key);
