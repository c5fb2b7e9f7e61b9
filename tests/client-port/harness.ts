/** `/client` on a real HTTP port, with a fake peer behind it, and a client that speaks its messages by hand. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { WebSocket } from "ws";
import { type ClientRequest, type PeerMessage, parsePeerMessage } from "../../protocol/client-messages.ts";
import { ConflictFeed } from "../../server/feed/conflict-feed.ts";
import { closeHttpServer, createHttpServer, listenHttp } from "../../server/http.ts";
import { ClientSocketPort, type ClientSocketPortOptions } from "../../server/ports/client-socket-port.ts";
import { ConflictJournal } from "../../server/replica/conflicts.ts";
import { fakePeerWithCommands } from "../support/fake-host.ts";
import { TestTurn, until } from "../wire/harness.ts";
import { FakeFeed } from "./fake-feed.ts";

export const welcome = {
  peer: "a",
  incarnation: "000000000000001",
  cluster: "chorus",
  version: "0.1.0",
  peers: [{ name: "a", address: "127.0.0.1:6001" }],
  strongPrefixes: ["strong:"],
};

type Cleanup = { after(fn: () => Promise<void>): void };

/** A free port of loopback, closed when the test ends. */
export const openClientPort = async (t: Cleanup, options: Partial<ClientSocketPortOptions> = {}) => {
  const turn = new TestTurn();
  const { host, execute } = fakePeerWithCommands();
  const feed = new FakeFeed();
  const journal = new ConflictJournal({ entriesMax: 1000, bytesMax: 1024 * 1024 });
  const conflicts = new ConflictFeed(journal);
  host.checkPassword = options.checkPassword;
  let lastId = 0;
  const port = new ClientSocketPort({
    turn,
    execute,
    feed,
    conflicts,
    status: () => ({ keys: host.keyspace.size }),
    readRefusal: () => host.readRefusal(),
    checkPassword: undefined,
    welcome: () => welcome,
    nextSessionId: () => ++lastId,
    sweepIntervalMs: 20,
    statusIntervalMs: 20,
    ...options,
  });
  const server = createHttpServer({
    source: { status: () => ({}), checks: () => [] },
    upgrades: new Map([["/client", port.handleUpgrade]]),
    pagePaths: new Set(["/client"]),
    allowOrigins: ["https://app.example"],
    hosts: ["db1.example"],
    onError: (error) => assert.fail(String(error)),
  });
  const { port: httpPort } = await listenHttp(server, { host: "127.0.0.1", port: 0 });
  t.after(async () => {
    await port.close(100);
    await closeHttpServer(server, 0);
  });
  return {
    port,
    turn,
    host,
    feed,
    journal,
    conflicts,
    httpPort,
    connect: () => Client.connect(httpPort),
    greeted: (hello: Readonly<Record<string, unknown>> = {}) => Client.greeted(httpPort, hello),
  };
};

/** Anything, as JSON: also what no client should send. */
type Sendable = ClientRequest | Readonly<Record<string, unknown>>;

export class Client {
  readonly ws: WebSocket;
  readonly received: PeerMessage[] = [];
  /** Code and reason of the close. */
  closed: readonly [code: number, reason: string] | undefined;

  constructor(ws: WebSocket) {
    this.ws = ws;
    ws.on("message", (data: Buffer) => {
      const parsed = parsePeerMessage(data.toString());
      assert.ok(parsed.ok, `a message of the peer: ${data.toString().slice(0, 300)}`);
      this.received.push(parsed.message);
    });
    ws.on("close", (code, reason) => {
      this.closed = [code, reason.toString()];
    });
    ws.on("error", () => {});
  }

  static async connect(httpPort: number): Promise<Client> {
    const ws = new WebSocket(`ws://127.0.0.1:${httpPort}/client`, { perMessageDeflate: false });
    const client = new Client(ws);
    await once(ws, "open");
    return client;
  }

  static async greeted(httpPort: number, hello: Readonly<Record<string, unknown>> = {}): Promise<Client> {
    const client = await Client.connect(httpPort);
    client.send({ type: "hello", protocolVersion: 1, ...hello });
    await client.next();
    return client;
  }

  send(message: Sendable): void {
    this.ws.send(JSON.stringify(message));
  }

  /** The oldest message not looked at. */
  async next(): Promise<PeerMessage> {
    await until(() => this.received.length > 0 || this.closed !== undefined, "a message");
    const message = this.received.shift();
    assert.ok(message !== undefined, `closed: ${this.closed?.join(" ")}`);
    return message;
  }

  /** The next message that is not the feed's word, about once a second, that nothing was wanted. */
  async nextNews(): Promise<PeerMessage> {
    for (;;) {
      const message = await this.next();
      if (message.type !== "changes" || message.changes.length > 0) return message;
    }
  }

  /** Sends, and gives the next message. */
  async ask(message: Sendable): Promise<PeerMessage> {
    this.send(message);
    return await this.next();
  }

  /** What a command answers: the reply, or the error message. */
  async command(id: number, ...args: readonly unknown[]): Promise<unknown> {
    const message = await this.ask({ type: "command", id, args });
    assert.ok(message.type === "reply" || message.type === "error", message.type);
    assert.equal(message.id, id);
    return message.type === "reply" ? message.reply : message;
  }

  async end(): Promise<readonly [code: number, reason: string]> {
    await until(() => this.closed !== undefined, "the end");
    assert.ok(this.closed !== undefined);
    return this.closed;
  }
}
