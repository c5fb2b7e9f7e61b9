/** A real redis-server on a free port, and a raw connection to it: what we compare ourselves with. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Undefined when the program is there; else why a test that needs it is skipped. */
export const missingProgram = (program: string, versionFlag = "--version"): string | undefined => {
  const found = spawnSync(program, [versionFlag], { stdio: "ignore" });
  return found.error === undefined ? undefined : `${program} is not installed`;
};

export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (typeof address === "object" && address !== null ? resolve(address.port) : reject()));
    });
  });

export interface RedisProcess {
  readonly port: number;
  stop(): Promise<void>;
}

const startMs = 10_000;

/** Without persistence, with one database and our limits. */
export const startRedis = async (options: readonly string[] = []): Promise<RedisProcess> => {
  const port = await freePort();
  const directory = mkdtempSync(join(tmpdir(), "chorus-redis-"));
  const child: ChildProcess = spawn(
    "redis-server",
    ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--databases", "1", "--dir", directory, ...options],
    { stdio: "ignore" },
  );
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited;
    rmSync(directory, { recursive: true, force: true });
  };
  const deadlineMs = Date.now() + startMs;
  for (;;) {
    try {
      const connection = await RawConnection.open(port);
      connection.close();
      return { port, stop };
    } catch (failure) {
      if (Date.now() > deadlineMs) {
        await stop();
        throw new Error("redis-server did not start", { cause: failure });
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
};

/** Where the reply that starts at `at` ends; undefined when it is not all there. Enough of RESP for what Redis sends. */
export const replyEnd = (text: string, at: number): number | undefined => {
  const lineEnd = text.indexOf("\r\n", at);
  if (lineEnd < 0) return undefined;
  const count = Number(text.slice(at + 1, lineEnd));
  const behind = lineEnd + 2;
  switch (text[at]) {
    case "$":
    case "=": {
      const end = count < 0 ? behind : behind + count + 2;
      return end > text.length ? undefined : end;
    }
    case "*":
    case "~":
    case "%": {
      let end: number | undefined = behind;
      const items = text[at] === "%" ? count * 2 : count;
      for (let item = 0; item < items && end !== undefined; item += 1) end = replyEnd(text, end);
      return end;
    }
    default:
      return behind;
  }
};

export const encodeCommand = (words: readonly string[]): string =>
  `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;

export class RawConnection {
  readonly #socket: Socket;
  /** What came and nobody took yet. */
  received = "";
  #closed = false;
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      this.received += chunk;
      this.#wake();
    });
    socket.on("close", () => {
      this.#closed = true;
      this.#wake();
    });
    socket.on("error", () => {});
  }

  static open(port: number): Promise<RawConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => resolve(new RawConnection(socket)));
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** All in one write. */
  send(commands: readonly (readonly string[])[]): void {
    if (!this.#closed) this.#socket.write(commands.map(encodeCommand).join(""), "latin1");
  }

  /** Resolves when more came, or the end; and after a second, for those who have a deadline. */
  more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, 1000).unref();
    });
  }

  /** Sends all commands in one write and gives the raw reply of each. */
  async pipeline(commands: readonly (readonly string[])[]): Promise<string[]> {
    this.send(commands);
    const replies: string[] = [];
    let at = 0;
    while (replies.length < commands.length) {
      const end = replyEnd(this.received, at);
      if (end !== undefined) {
        replies.push(this.received.slice(at, end));
        at = end;
        continue;
      }
      if (this.#closed) throw new Error(`closed after ${replies.length} of ${commands.length} replies`);
      await this.more();
    }
    this.received = this.received.slice(at);
    return replies;
  }

  close(): void {
    this.#socket.destroy();
  }
}
