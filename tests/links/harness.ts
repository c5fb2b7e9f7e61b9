/** Peers made of links alone, over loopback, with short times; and raw clients that misbehave. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { type Incarnation, type PeerName, parseIncarnation, parsePeerName } from "../../protocol/words.ts";
import {
  clusterIdOf,
  type Link,
  type LinkEvents,
  LinkFaults,
  type LinkTiming,
  PeerLinks,
  type PeerLinksOptions,
} from "../../server/links/index.ts";

export const name = (text: string): PeerName => parsePeerName(text) ?? fail(`not a peer name: ${text}`);
/** Greater numbers are newer runs. */
export const run = (number: number): Incarnation =>
  parseIncarnation(number.toString(36).padStart(15, "0")) ?? fail("not an incarnation");
const fail = (why: string): never => {
  throw new Error(why);
};

export const quickTiming: LinkTiming = {
  heartbeatIntervalMs: 25,
  // Long enough for a machine that is busy with other tests.
  deadAfterMs: 3000,
  handshakeTimeoutMs: 5000,
  backoffBaseMs: 5,
  backoffCapMs: 40,
  steadyAfterMs: 100,
  closeTimeoutMs: 200,
  disputeMs: 400,
  refusalReportMs: 50,
};

/** Resolves once `holds`; rejects with `what` after the deadline. */
export const eventually = async (what: string, holds: () => boolean, deadlineMs = 5000): Promise<void> => {
  const untilMs = performance.now() + deadlineMs;
  while (!holds()) {
    if (performance.now() > untilMs) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

export interface TestPeer {
  readonly name: PeerName;
  readonly links: PeerLinks;
  readonly faults: LinkFaults;
  readonly port: number;
  /** `up b 2`, `down b 2: reason`, `refused b CODE`, in order. */
  readonly log: string[];
  /** Messages by peer name, as text. */
  readonly messages: { from: string; text: string }[];
  readonly stale: Incarnation[];
  writables: number;
  onUp: ((link: Link) => void) | undefined;
  onMessage: ((link: Link, message: Uint8Array) => void) | undefined;
  close(): Promise<void>;
}

export interface TestPeerOptions {
  readonly name: string;
  readonly incarnation?: number;
  /** Listening servers by name, made before the peers so that everybody knows the ports. */
  readonly doors: ReadonlyMap<PeerName, Door>;
  readonly secrets?: readonly Buffer[];
  readonly clusterId?: string;
  readonly more?: Partial<PeerLinksOptions>;
}

/** The HTTP server of a peer; its links may come and go, as processes do on a port. */
export interface Door {
  readonly server: Server;
  readonly port: number;
  links: PeerLinks | undefined;
}

export const openDoors = async (...names: string[]): Promise<Map<PeerName, Door>> => {
  const doors = new Map<PeerName, Door>();
  for (const text of names) {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const door: Door = { server, port: (server.address() as AddressInfo).port, links: undefined };
    server.on("upgrade", (request, socket, head) => {
      if (door.links === undefined) socket.destroy();
      else door.links.handleUpgrade(request, socket, head);
    });
    doors.set(name(text), door);
  }
  return doors;
};

export const closeDoors = async (doors: ReadonlyMap<PeerName, Door>): Promise<void> => {
  for (const { server } of doors.values()) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
};

export const startPeer = (options: TestPeerOptions): TestPeer => {
  const door = options.doors.get(name(options.name)) ?? fail("no door");
  const addresses = new Map([...options.doors].map(([peer, { port }]) => [peer, `127.0.0.1:${port}`]));
  const events: LinkEvents = {
    onLinkUp: (link) => {
      peer.log.push(`up ${link.peer} ${Number.parseInt(link.incarnation, 36)}`);
      peer.onUp?.(link);
    },
    onLinkMessage: (link, message) => {
      if (peer.onMessage !== undefined) peer.onMessage(link, message);
      else peer.messages.push({ from: link.peer, text: Buffer.from(message).toString("latin1") });
    },
    onLinkDown: (link, reason) =>
      peer.log.push(`down ${link.peer} ${Number.parseInt(link.incarnation, 36)}: ${reason}`),
    onLinkWritable: () => {
      peer.writables += 1;
    },
    onLinkRefused: (other, code) => peer.log.push(`refused ${other} ${code}`),
  };
  const faults = new LinkFaults();
  const stale: Incarnation[] = [];
  const links = new PeerLinks({
    name: name(options.name),
    incarnation: run(options.incarnation ?? 1),
    clusterId: options.clusterId ?? clusterIdOf([...options.doors.keys()]),
    peers: addresses,
    secrets: options.secrets ?? [],
    events,
    faults,
    onStaleIncarnation: (newest) => stale.push(newest),
    timing: quickTiming,
    ...options.more,
  });
  const peer: TestPeer = {
    name: name(options.name),
    links,
    faults,
    port: door.port,
    log: [],
    messages: [],
    stale,
    writables: 0,
    onUp: undefined,
    onMessage: undefined,
    close: () => links.close(),
  };
  door.links = links;
  links.open();
  return peer;
};

/** A client of raw bytes. */
export const connectRaw = async (port: number): Promise<Socket> => {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
};

export const upgradeRequest = (path = "/peer", ...headers: string[]): string =>
  [
    `GET ${path} HTTP/1.1`,
    "Host: 127.0.0.1",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ...headers,
    "",
    "",
  ].join("\r\n");

/** A WebSocket frame from a client, with a zero mask. */
export const frame = (
  opcode: number,
  payload: Uint8Array | string,
  options: { fin?: boolean; claim?: bigint } = {},
): Buffer => {
  const body = typeof payload === "string" ? Buffer.from(payload) : Buffer.from(payload);
  const first = (options.fin === false ? 0 : 0x80) | opcode;
  const claimed = options.claim ?? BigInt(body.length);
  let head: Buffer;
  if (claimed < 126n) head = Buffer.from([first, 0x80 | Number(claimed)]);
  else if (claimed < 65_536n) head = Buffer.from([first, 0x80 | 126, Number(claimed >> 8n), Number(claimed & 255n)]);
  else {
    head = Buffer.alloc(10);
    head[0] = first;
    head[1] = 0x80 | 127;
    head.writeBigUInt64BE(claimed, 2);
  }
  return Buffer.concat([head, Buffer.alloc(4), body]);
};

/** Everything a socket says until it is closed. */
export const readToEnd = async (socket: Socket): Promise<string> => {
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
  });
  // Who closes with bytes unread resets the connection: an end like any other.
  socket.on("error", () => undefined);
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
  return text;
};
