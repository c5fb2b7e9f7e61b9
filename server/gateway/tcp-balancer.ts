/**
 * TCP clients, each handed on to a peer that is up (layer 4): bytes are carried, not looked at. A client's AUTH, MULTI,
 * WATCH and SUBSCRIBE are the peer's, who sees one connection per client.
 *
 * A new connection goes to the peer with the fewest; one that does not take it within a moment is passed over, which costs
 * the client nothing: no byte of it has been read. A connection to a peer that is given up is cut, so that the client
 * comes again; only the client can know what may be sent again.
 *
 * Each side may end its half, and is not read while the other side does not read. Stopping: no new ones; a connection is
 * ended once nothing is under way on it (the last bytes came from the peer), and cut when that takes too long.
 */
import { createServer, connect as dial, type Server, type Socket } from "node:net";
import { performance } from "node:perf_hooks";
import { gatewayBufferBytes, gatewayConnectionsMax, gatewayConnectMsMax, keepAliveMs } from "../../protocol/limits.ts";
import { encodeProxyHeader } from "../../protocol/proxy-protocol.ts";
import { ReadBuffer, readInto } from "./read-buffer.ts";

/** A peer as TCP clients need it. */
export interface TcpTarget {
  readonly name: string;
  readonly host: string;
  /** Of its TCP port. */
  readonly port: number;
}

export interface TcpBalancerOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly proxyProtocol: "off" | "v1" | "v2";
  /** Peers that take connections now, with their share (1: all of it; less: it came up lately). */
  readonly targets: () => readonly { readonly target: TcpTarget; readonly share: number }[];
  /** It did not take a connection. */
  readonly onRefused: (target: TcpTarget, why: string) => void;
  /** How an accepted socket comes to read into memory of ours. Default: `readInto`. */
  readonly adopt?: typeof readInto;
}

/** Plain numbers, only ever added to. */
export interface TcpBalancerCounters {
  connectionsReceived: number;
  /** Too many, or stopping. */
  connectionsRejected: number;
  /** No peer took it in time. */
  connectionsUnserved: number;
  /** Attempts at a peer that failed. */
  attemptsFailed: number;
  /** From clients, and from peers. */
  bytesIn: number;
  bytesOut: number;
}

/** A peer that has not taken a connection by then is passed over. */
const attemptMsMax = 1000;
/** While no peer is up a connection waits, and looks again this often. */
const lookAgainMs = 50;
/** Without bytes for so long, the last of them from the peer: nothing is under way. */
const idleMs = 100;

/** A socket, and the memory it is read into. */
interface Side {
  readonly socket: Socket;
  readonly buffer: ReadBuffer;
}

interface Carried {
  readonly client: Socket;
  readonly peer: Socket;
  readonly target: TcpTarget;
  /** Bytes went to the peer since the last came from it. */
  awaitsReply: boolean;
  heardAtMs: number;
}

export class TcpBalancer {
  readonly counters: TcpBalancerCounters = {
    connectionsReceived: 0,
    connectionsRejected: 0,
    connectionsUnserved: 0,
    attemptsFailed: 0,
    bytesIn: 0,
    bytesOut: 0,
  };

  readonly #options: TcpBalancerOptions;
  readonly #server: Server;
  readonly #carried = new Set<Carried>();
  /** Clients that have no peer yet. */
  readonly #waiting = new Set<Socket>();
  readonly #countByName = new Map<string, number>();
  #draining = false;
  #onEmpty: (() => void) | undefined;

  constructor(options: TcpBalancerOptions) {
    this.#options = options;
    this.#server = createServer(
      {
        allowHalfOpen: true,
        pauseOnConnect: true,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: keepAliveMs,
        highWaterMark: gatewayBufferBytes,
      },
      (accepted) => this.#onAccepted(accepted),
    );
  }

  /** Clients carried now, or waiting for a peer. */
  get connectionCount(): number {
    return this.#carried.size + this.#waiting.size;
  }

  connectionsOf(name: string): number {
    return this.#countByName.get(name) ?? 0;
  }

  /** 0 before `open` and after `close`. */
  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  /** Rejects with node's error, its code and port among it. */
  open(): Promise<void> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ host, port, backlog: 511 }, () => {
        this.#server.off("error", reject);
        // A failed accept concerns that client only.
        this.#server.on("error", () => undefined);
        resolve();
      });
    });
  }

  /** The peer is given up: its clients come again and get another. */
  cutPeer(name: string): void {
    for (const { target, client, peer } of this.#carried) {
      if (target.name !== name) continue;
      client.destroy();
      peer.destroy();
    }
  }

  /** Resolves when all are gone: at the latest a moment behind `drainMs`. */
  async close(drainMs: number): Promise<void> {
    if (this.#draining) return;
    this.#draining = true;
    this.#server.close();
    for (const client of this.#waiting) client.destroy();
    if (this.#carried.size === 0) return;
    const deadlineMs = performance.now() + drainMs;
    const sweep = setInterval(() => {
      const nowMs = performance.now();
      for (const carried of this.#carried) {
        const { client, peer, awaitsReply, heardAtMs } = carried;
        if (nowMs >= deadlineMs) {
          client.destroy();
          peer.destroy();
        } else if (!awaitsReply && nowMs - heardAtMs >= idleMs && client.writableLength + peer.writableLength === 0) {
          client.end();
          peer.end();
          // The client has all it is going to get; what it sends now nobody would read.
          carried.awaitsReply = true;
        }
      }
    }, idleMs / 2);
    await new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
    });
    clearInterval(sweep);
  }

  // ---- A client and its peer ------------------------------------------------------------------------------------------

  #onAccepted(accepted: Socket): void {
    this.counters.connectionsReceived += 1;
    if (this.#draining || this.connectionCount >= gatewayConnectionsMax) {
      this.counters.connectionsRejected += 1;
      accepted.destroy();
      return;
    }
    const buffer = new ReadBuffer();
    const client = (this.#options.adopt ?? readInto)(accepted, buffer);
    this.#waiting.add(client);
    client.on("error", ignoreError);
    client.once("close", () => this.#waiting.delete(client));
    const from: Side = { socket: client, buffer };
    this.#find(from, performance.now() + gatewayConnectMsMax, new Set());
  }

  /** Tries peers by turns until one takes the client; `refused`: passed over in this round. */
  #find(from: Side, deadlineMs: number, refused: Set<string>): void {
    const client = from.socket;
    if (client.destroyed) return;
    if (performance.now() >= deadlineMs) {
      this.counters.connectionsUnserved += 1;
      client.destroy();
      return;
    }
    const target = this.#choose(refused);
    if (target === undefined) {
      setTimeout(() => this.#find(from, deadlineMs, new Set()), lookAgainMs);
      return;
    }
    const { host, port, name } = target;
    this.#count(name, 1);
    const buffer = new ReadBuffer();
    const options = {
      host,
      port,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveMs,
      // Of every stream, though its types leave it out here.
      highWaterMark: gatewayBufferBytes,
      onread: buffer.onread,
    };
    const peer = dial(options);
    let isTaken = false;
    let why = "it did not take the connection in time";
    const impatience = setTimeout(() => peer.destroy(), attemptMsMax);
    peer.on("error", (error) => {
      why = error.message;
    });
    peer.once("connect", () => {
      isTaken = true;
      clearTimeout(impatience);
      if (client.destroyed) peer.destroy();
      else this.#carry(from, { socket: peer, buffer }, target);
    });
    peer.once("close", () => {
      clearTimeout(impatience);
      this.#count(name, -1);
      if (isTaken) return;
      this.counters.attemptsFailed += 1;
      this.#options.onRefused(target, why);
      this.#find(from, deadlineMs, refused.add(name));
    });
  }

  #count(name: string, by: number): void {
    this.#countByName.set(name, this.connectionsOf(name) + by);
  }

  /** The one with the fewest connections for its share. */
  #choose(refused: ReadonlySet<string>): TcpTarget | undefined {
    let best: TcpTarget | undefined;
    let bestLoad = Number.POSITIVE_INFINITY;
    for (const { target, share } of this.#options.targets()) {
      const load = (this.connectionsOf(target.name) + 1) / share;
      if (refused.has(target.name) || load >= bestLoad) continue;
      best = target;
      bestLoad = load;
    }
    return best;
  }

  /** Called before a byte was read of either. */
  #carry(
    { socket: client, buffer: fromClient }: Side,
    { socket: peer, buffer: fromPeer }: Side,
    target: TcpTarget,
  ): void {
    this.#waiting.delete(client);
    const { proxyProtocol } = this.#options;
    const carried: Carried = { client, peer, target, awaitsReply: false, heardAtMs: performance.now() };
    this.#carried.add(carried);
    if (proxyProtocol !== "off") {
      const from = { address: client.remoteAddress ?? "", port: client.remotePort ?? 0 };
      const to = { address: client.localAddress ?? "", port: client.localPort ?? 0 };
      peer.write(encodeProxyHeader(proxyProtocol, from, to), "latin1");
    }
    const { counters } = this;
    const noteIn = (bytes: number): void => {
      counters.bytesIn += bytes;
      carried.awaitsReply = true;
    };
    fromClient.handOn = (bytes) => {
      noteIn(bytes);
      const isRoomLeft = fromClient.writeTo(peer, bytes);
      if (!isRoomLeft) client.pause();
      return isRoomLeft;
    };
    // Where the client's socket could not be adopted. Else there are no such events.
    client.on("data", (chunk: Buffer) => {
      noteIn(chunk.length);
      if (!peer.write(chunk)) client.pause();
    });
    fromPeer.handOn = (bytes) => {
      counters.bytesOut += bytes;
      carried.awaitsReply = false;
      if (this.#draining) carried.heardAtMs = performance.now();
      const isRoomLeft = fromPeer.writeTo(client, bytes);
      if (!isRoomLeft) peer.pause();
      return isRoomLeft;
    };
    client.on("drain", () => peer.resume());
    peer.on("drain", () => client.resume());
    client.on("end", () => peer.end());
    peer.on("end", () => client.end());
    const onClose = (): void => {
      client.destroy();
      peer.destroy();
      if (this.#carried.delete(carried) && this.#draining && this.#carried.size === 0) this.#onEmpty?.();
    };
    client.on("close", onClose);
    peer.on("close", onClose);
    client.resume();
  }
}

const ignoreError = (): void => {};
