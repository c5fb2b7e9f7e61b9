/** A peer that is nothing but a `/client`: it answers commands as a test says, and can vanish, hang, or not be ready. */
import { createServer, type Server } from "node:http";
import type { Socket } from "node:net";
import type { TestContext } from "node:test";
import { type WebSocket, WebSocketServer } from "ws";
import type { ClientRequest } from "../../protocol/client-messages.ts";
import { statusReportOf } from "../support/status-report.ts";

type Command = Extract<ClientRequest, { readonly type: "command" }>;

/** What to do with a command: an answer's fields, nothing at all, or the end of the connection. */
export type Reaction =
  | { readonly reply: unknown; readonly position?: string }
  | { readonly code: string; readonly message?: string; readonly outcome?: "not-applied" | "unknown" }
  | "silence"
  | "vanish";

export class FakePeer {
  readonly name: string;
  readonly commands: Command[] = [];
  react: (command: Command) => Reaction = () => ({ reply: { status: "OK" } });
  ready = true;
  versionVector: Readonly<Record<string, number>> = {};
  port = 0;
  readonly #server: Server;
  readonly #sockets = new Set<WebSocket>();
  readonly #raw = new Set<Socket>();
  readonly #timers = new Set<NodeJS.Timeout>();

  private constructor(name: string) {
    this.name = name;
    this.#server = createServer();
    this.#server.on("connection", (socket) => {
      this.#raw.add(socket);
      socket.on("close", () => this.#raw.delete(socket));
    });
    const webSockets = new WebSocketServer({ server: this.#server, path: "/client" });
    webSockets.on("connection", (ws) => this.#onConnection(ws));
  }

  static async start(t: TestContext, name: string): Promise<FakePeer> {
    const peer = new FakePeer(name);
    await peer.listen();
    t.after(() => peer.stop());
    return peer;
  }

  listen(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.listen(this.port, "127.0.0.1", () => {
        const address = this.#server.address();
        this.port = typeof address === "object" && address !== null ? address.port : 0;
        resolve();
      });
    });
  }

  /** Killed: connections are reset, and none is taken. */
  stop(): void {
    this.#server.close();
    this.vanish();
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers.clear();
  }

  vanish(): void {
    for (const ws of this.#sockets) ws.terminate();
    for (const socket of this.#raw) socket.destroy();
  }

  #onConnection(ws: WebSocket): void {
    this.#sockets.add(ws);
    ws.on("close", () => this.#sockets.delete(ws));
    ws.on("error", () => undefined);
    const send = (message: unknown): void => ws.send(JSON.stringify(message));
    ws.on("message", (data: Buffer) => {
      const request = JSON.parse(data.toString()) as ClientRequest;
      if (request.type === "hello") {
        send({
          type: "welcome",
          protocolVersion: 1,
          peer: this.name,
          incarnation: "000000000000001",
          cluster: "chorus",
          version: "0.1.0",
          peers: [],
        });
      } else if (request.type === "status") {
        const tell = (): void =>
          send({
            type: "status",
            id: request.id,
            status: statusReportOf(this.name, {
              ready: this.ready,
              reasons: this.ready ? [] : ["on purpose"],
              versionVector: this.versionVector,
            }),
          });
        tell();
        const timer = setInterval(tell, 50);
        this.#timers.add(timer);
        ws.on("close", () => clearInterval(timer));
      } else if (request.type === "command") this.#onCommand(ws, request);
    });
  }

  #onCommand(ws: WebSocket, request: Command): void {
    this.commands.push(request);
    const reaction = this.react(request);
    if (reaction === "silence") return;
    if (reaction === "vanish") return this.vanish();
    const message =
      "reply" in reaction
        ? { type: "reply", id: request.id, ...reaction }
        : { type: "error", id: request.id, message: "on purpose", outcome: "not-applied", ...reaction };
    ws.send(JSON.stringify(message));
  }
}
