/** A TCP port with a small executor and a turn of its own, and a client that talks raw bytes to it. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Session } from "../../server/commands/session.ts";
import type { Executor } from "../../server/ports/connection.ts";
import { TcpPort, type TcpPortOptions } from "../../server/ports/tcp.ts";
import type { Releasable, Turn } from "../../server/turn.ts";

/** Ends turns in setImmediate, as the peer does. `hold` keeps the replies of finished turns back, as a slow disk would. */
export class TestTurn implements Turn {
  blocked: Promise<void> | undefined;
  hold = false;
  turns = 0;
  #finished = new Set<Releasable>();
  #held: (() => void)[] = [];

  nowMs(): number {
    return Date.now();
  }

  finish(connection: Releasable): void {
    if (this.#finished.size === 0) setImmediate(() => this.#end());
    this.#finished.add(connection);
  }

  releaseHeld(): void {
    this.hold = false;
    for (const release of this.#held.splice(0)) release();
  }

  #end(): void {
    this.turns += 1;
    const finished = [...this.#finished];
    this.#finished.clear();
    for (const connection of finished) {
      const output = connection.takeOutput();
      if (this.hold) this.#held.push(() => connection.release(output));
      else connection.release(output);
    }
  }
}

/** A Map and the few commands the port's tests need. Records what it ran. */
export class TestStore {
  readonly values = new Map<string, string>();
  readonly ran: string[][] = [];
  /** WAIT answers when this is called. */
  readonly wakers: (() => void)[] = [];
  readonly password: string | undefined;

  constructor(password: string | undefined) {
    this.password = password;
  }

  readonly execute: Executor = (session, args) => {
    this.ran.push(args);
    const name = (args[0] ?? "").toUpperCase();
    if (!session.authenticated && name !== "AUTH" && name !== "QUIT") {
      session.reply.error("NOAUTH Authentication required.");
      return undefined;
    }
    return this.#run(session, name, args);
  };

  #run(session: Session, name: string, args: string[]): void | Promise<void> {
    const { reply } = session;
    switch (name) {
      case "PING":
        return reply.simple("PONG");
      case "ECHO":
        return reply.bulk(args[1] ?? "");
      case "SET":
        this.values.set(args[1] ?? "", args[2] ?? "");
        return reply.simple("OK");
      case "GET": {
        const value = this.values.get(args[1] ?? "");
        return value === undefined ? reply.nil() : reply.bulk(value);
      }
      case "MGET":
        reply.array(args.length - 1);
        for (const key of args.slice(1)) reply.bulk(this.values.get(key) ?? "");
        return;
      case "HELLO":
        session.setProtocol(args[1] === "3" ? 3 : 2);
        reply.map(1);
        reply.bulk("proto");
        return reply.integer(Number(args[1] ?? 2));
      case "AUTH":
        session.authenticated = args[1] === this.password;
        return session.authenticated ? reply.simple("OK") : reply.error("WRONGPASS invalid");
      case "QUIT":
        session.closing = true;
        return reply.simple("OK");
      case "WAIT":
        return new Promise((resolve) => {
          this.wakers.push(() => {
            session.reply.integer(0);
            resolve();
          });
        });
      case "SPIN": {
        const untilMs = performance.now() + Number(args[1]);
        while (performance.now() < untilMs);
        return reply.simple("OK");
      }
      default:
        return reply.error(`ERR unknown command '${args[0]}'`);
    }
  }
}

/** Only loopback, a free port, closed when the test ends. */
export const openPort = async (
  t: { after(fn: () => Promise<void>): void },
  options: Partial<TcpPortOptions> & { readonly password?: string } = {},
): Promise<{
  readonly port: TcpPort;
  readonly turn: TestTurn;
  readonly store: TestStore;
  connect(): Promise<Client>;
}> => {
  const turn = new TestTurn();
  const store = new TestStore(options.password);
  let lastId = 0;
  const port = new TcpPort({
    host: "127.0.0.1",
    port: 0,
    turn,
    execute: store.execute,
    requiresAuthentication: options.password !== undefined,
    nextSessionId: () => {
      lastId += 1;
      return lastId;
    },
    sweepIntervalMs: 20,
    ...options,
  });
  await port.open();
  const clients: Client[] = [];
  t.after(async () => {
    for (const client of clients) client.socket.destroy();
    await port.close(100);
  });
  return {
    port,
    turn,
    store,
    connect: async () => {
      const client = new Client(connect({ host: "127.0.0.1", port: port.port, allowHalfOpen: true }));
      clients.push(client);
      await once(client.socket, "connect");
      return client;
    },
  };
};

export class Client {
  readonly socket: Socket;
  received = "";
  receivedBytes = 0;
  /** The other side has ended or reset the connection. */
  ended = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => {
      this.receivedBytes += chunk.length;
      if (this.received.length < 1024 * 1024) this.received += chunk.toString("latin1");
    });
    socket.on("end", () => {
      this.ended = true;
      socket.end();
    });
    socket.on("close", () => {
      this.ended = true;
    });
    socket.on("error", () => {});
  }

  send(bytes: string): void {
    this.socket.write(bytes, "latin1");
  }

  /** Sends, waits for exactly this many bytes of answer, and returns them. */
  async ask(bytes: string, answer: string): Promise<string> {
    this.received = "";
    this.send(bytes);
    await until(
      () => this.received.length >= answer.length || this.ended,
      `an answer to ${JSON.stringify(bytes.slice(0, 60))}`,
    );
    return this.received;
  }

  /** Waits for the end of the connection; returns all that came before. */
  async end(): Promise<string> {
    await until(() => this.ended, "the connection to end");
    return this.received;
  }
}

/** Waits for a condition, not for a time. */
export const until = async (condition: () => boolean, what: string, deadlineMs = 5000): Promise<void> => {
  const deadline = performance.now() + deadlineMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited ${deadlineMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
};
