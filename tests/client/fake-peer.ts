/**
 * Peers for tests of the client: they speak `/client` by its schema, share one small map and one history, and misbehave
 * when told to. What a real peer answers is tested with real peers.
 */
import assert from "node:assert/strict";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { type WebSocket, WebSocketServer } from "ws";
import {
  type ClientRequest,
  clientProtocolVersion,
  outcomeOf,
  type PeerMessage,
  parseClientRequest,
  type WireChange,
  type WireReply,
} from "../../protocol/client-messages.ts";
import { parsePosition } from "../../protocol/position.ts";
import { type WireText, wireToLatin1 } from "../../protocol/wire-text.ts";
import { JsonReplyWriter, type ReplyError } from "../../server/ports/client-socket-reply.ts";
import { FakeSession, fakePeerWithCommands } from "../support/fake-host.ts";

const origin = "f.0fake0000000000";

/** What all fake peers of a test hold. */
export class FakeHistory {
  readonly map = new Map<string, WireText>();
  /** Strong keys, as the commands of a real peer treat them; what a majority would say is one map here. Leases do not end. */
  readonly strong = fakePeerWithCommands();
  readonly changes: WireChange[] = [];
  readonly peers: FakePeer[] = [];

  get position(): string {
    return this.changes.length === 0 ? "" : `${origin}:${this.changes.length}`;
  }

  async runStrong(args: readonly WireText[]): Promise<string | ReplyError> {
    const reply = new JsonReplyWriter();
    const session = Object.assign(new FakeSession(2), { reply });
    await this.strong.execute(session, args.map(wireToLatin1));
    return reply.take();
  }

  write(type: WireChange["type"], key: WireText, value?: WireText): void {
    const seq = this.changes.length + 1;
    const change = { type, key, ...(value === undefined ? {} : { value }), origin, seq, stamp: seq, stampMs: seq };
    this.changes.push(change);
    if (value === undefined) this.map.delete(wireToLatin1(key));
    else this.map.set(wireToLatin1(key), value);
    for (const peer of this.peers) peer.publish();
  }
}

type Answer = (message: PeerMessage) => void;

interface Watching {
  readonly id: number;
  readonly prefix: string;
  at: number;
}

class FakeConnection {
  readonly socket: WebSocket;
  readonly watches = new Map<number, Watching>();
  constructor(socket: WebSocket) {
    this.socket = socket;
  }
  send(message: PeerMessage): void {
    this.socket.send(JSON.stringify(message));
  }
}

export class FakePeer {
  readonly name: string;
  readonly history: FakeHistory;
  /** All that was said to it. */
  readonly received: ClientRequest[] = [];
  /** True: it has dealt with the request. */
  intercept: (request: ClientRequest, answer: Answer, connection: FakeConnection) => boolean = () => false;
  /** Told of in the welcome. */
  told: readonly { name: string; address: string }[] = [];
  /** Changes of one message. */
  batch = 3;
  /** Reads and says nothing, not even pongs. */
  isSilent = false;
  #server: WebSocketServer | undefined;
  readonly #connections = new Set<FakeConnection>();
  port = 0;

  constructor(name: string, history: FakeHistory) {
    this.name = name;
    this.history = history;
    history.peers.push(this);
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get connectionsCount(): number {
    return this.#connections.size;
  }

  /** The first words of the commands received. */
  get commands(): string[] {
    return this.received.flatMap((request) => (request.type === "command" ? [String(request.args[0])] : []));
  }

  async start(): Promise<void> {
    const server = new WebSocketServer({ port: this.port, host: "127.0.0.1", autoPong: false });
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("listening", resolve);
      server.once("error", reject);
    });
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", (socket) => {
      const connection = new FakeConnection(socket);
      this.#connections.add(connection);
      socket.on("close", () => this.#connections.delete(connection));
      socket.on("ping", (data) => {
        if (!this.isSilent) socket.pong(data);
      });
      socket.on("message", (data: Buffer) => this.#onMessage(connection, data.toString()));
    });
  }

  /** As a killed process: connections break, new ones are refused. */
  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const { socket } of this.#connections) socket.terminate();
    await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
  }

  publish(): void {
    for (const connection of this.#connections)
      for (const watching of connection.watches.values()) this.#stream(connection, watching);
  }

  #stream(connection: FakeConnection, watching: Watching): void {
    while (watching.at < this.history.changes.length) {
      const slice = this.history.changes.slice(watching.at, watching.at + this.batch);
      watching.at += slice.length;
      connection.send({
        type: "changes",
        id: watching.id,
        changes: slice.filter(({ key }) => wireToLatin1(key).startsWith(watching.prefix)),
        token: `${origin}:${watching.at}`,
      });
    }
  }

  #onMessage(connection: FakeConnection, text: string): void {
    const parsed = parseClientRequest(text);
    assert(parsed.ok, parsed.ok ? "" : `${parsed.why}: ${text}`);
    const request = parsed.message;
    this.received.push(request);
    const answer: Answer = (message) => connection.send(message);
    if (this.isSilent || this.intercept(request, answer, connection)) return;
    switch (request.type) {
      case "hello":
        return answer({
          type: "welcome",
          protocolVersion: clientProtocolVersion,
          peer: this.name,
          incarnation: "0fake0000000000",
          cluster: "fake",
          version: "0.0.0",
          peers: [...this.told],
          strongPrefixes: ["strong:"],
        });
      case "command": {
        const [, key] = request.args;
        if (key !== undefined && wireToLatin1(key).startsWith("strong:")) return this.#runStrong(request, answer);
        const reply = this.#run(request.args);
        const position = this.history.position;
        return answer({ type: "reply", id: request.id, reply, ...(position === "" ? {} : { position }) });
      }
      case "watch": {
        const from = parsePosition(request.token ?? this.history.position)?.[0]?.[1] ?? 0;
        const watching = { id: request.id, prefix: wireToLatin1(request.prefix ?? ""), at: from };
        connection.watches.set(request.id, watching);
        answer({ type: "watching", id: request.id, token: request.token ?? this.history.position });
        return this.#stream(connection, watching);
      }
      case "cancel":
        connection.watches.delete(request.id);
        return answer({ type: "ended", id: request.id, why: "cancelled" });
      default:
        return;
    }
  }

  #runStrong({ id, args }: Extract<ClientRequest, { type: "command" }>, answer: Answer): void {
    void this.history.runStrong(args).then((reply) => {
      if (typeof reply === "string") answer({ type: "reply", id, reply: JSON.parse(reply) as WireReply });
      else answer({ type: "error", id, ...reply, outcome: outcomeOf(reply.code) });
    });
  }

  #run(args: readonly WireText[]): WireReply {
    const { history } = this;
    const [name = "", key = "", value = ""] = args;
    switch (wireToLatin1(name).toUpperCase()) {
      case "PING":
        return { status: "PONG" };
      case "GET":
        return history.map.get(wireToLatin1(key)) ?? null;
      case "SET":
        history.write("set", key, value);
        return { status: "OK" };
      case "INCRBY": {
        const sum = Number(history.map.get(wireToLatin1(key)) ?? 0) + Number(wireToLatin1(value));
        history.write("increment", key, String(sum));
        return sum;
      }
      case "DEL":
        history.write("delete", key);
        return 1;
      default:
        return { status: "OK" };
    }
  }
}

/** Peers a, b, c, ... on free ports; ended with the test. */
export const startFakePeers = async (t: TestContext, count: number): Promise<FakePeer[]> => {
  const history = new FakeHistory();
  const peers = Array.from({ length: count }, (_, index) => new FakePeer(String.fromCharCode(97 + index), history));
  for (const peer of peers) await peer.start();
  t.after(async () => {
    for (const peer of peers) await peer.kill();
  });
  return peers;
};
