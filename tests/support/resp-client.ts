/**
 * A tiny RESP2 client that tells what became of each command: acknowledged, refused, or not known.
 *
 * What real clients hide is the point here: it never reconnects or retries by itself, and a command whose connection
 * ended before its reply is `unknown`, since it may or may not have been carried out. Everything is latin1.
 */
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

export type Reply = string | number | null | readonly Reply[] | ReplyError;

/** An error reply inside an array (EXEC); alone it makes an outcome of state `failed`. */
export class ReplyError extends Error {}

export type Outcome =
  | { readonly state: "acked"; readonly reply: Reply }
  /** Refused by an error reply: nothing was written. */
  | { readonly state: "failed"; readonly error: string }
  | { readonly state: "unknown"; readonly why: string };

export interface RespAddress {
  readonly port: number;
  readonly host?: string;
  readonly timeoutMs?: number;
}

/** Replies out of chunks. A long bulk is not looked at again before it can be whole. */
class ReplyReader {
  #chunks: string[] = [];
  #length = 0;
  #needed = 0;
  #text = "";
  #at = 0;

  push(chunk: string): void {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
  }

  /** Undefined: no whole reply is there yet. */
  next(): { readonly reply: Reply } | undefined {
    if (this.#length < this.#needed) return undefined;
    if (this.#chunks.length > 0) {
      this.#text = this.#text.slice(this.#at) + this.#chunks.join("");
      this.#chunks = [];
      this.#at = 0;
    }
    const start = this.#at;
    this.#needed = 0;
    const reply = this.#parse();
    if (reply === undefined) {
      this.#at = start;
      this.#needed = Math.max(this.#needed - start, this.#text.length - start + 1);
    }
    this.#length = this.#text.length - this.#at;
    return reply === undefined ? undefined : { reply };
  }

  #parse(): Reply | undefined {
    const text = this.#text;
    const end = text.indexOf("\r\n", this.#at);
    if (end < 0) return undefined;
    const rest = text.slice(this.#at + 1, end);
    const kind = text[this.#at];
    this.#at = end + 2;
    switch (kind) {
      case "+":
        return rest;
      case "-":
        return new ReplyError(rest);
      case ":":
        return Number(rest);
      case "$": {
        if (rest === "-1") return null;
        const from = this.#at;
        const to = from + Number(rest);
        if (text.length < to + 2) {
          this.#needed = to + 2;
          return undefined;
        }
        this.#at = to + 2;
        return text.slice(from, to);
      }
      case "*": {
        if (rest === "-1") return null;
        const items: Reply[] = [];
        for (let left = Number(rest); left > 0; left--) {
          const item = this.#parse();
          if (item === undefined) return undefined;
          items.push(item);
        }
        return items;
      }
      default:
        throw new Error(`no RESP2 reply begins with ${JSON.stringify(text.slice(end - 20, end))}`);
    }
  }
}

const encode = (words: readonly (string | number)[]): string => {
  let text = `*${words.length}\r\n`;
  for (const word of words) {
    const bytes = String(word);
    text += `$${bytes.length}\r\n${bytes}\r\n`;
  }
  return text;
};

export class RespClient {
  readonly #socket: Socket;
  readonly #reader = new ReplyReader();
  #waiting: ((outcome: Outcome) => void)[] = [];
  #output: string[] = [];
  #why: string | undefined;
  /** Resolves with the reason when the connection is over. */
  readonly ended: Promise<string>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    this.ended = new Promise((resolve) => {
      let why = "closed by the peer";
      socket.on("error", (error) => {
        why = error.message;
      });
      socket.on("close", () => {
        this.#why ??= why;
        const waiting = this.#waiting;
        this.#waiting = [];
        for (const settle of waiting) settle({ state: "unknown", why: this.#why });
        resolve(this.#why);
      });
    });
    socket.on("data", (chunk: Buffer) => this.#onData(chunk.toString("latin1")));
  }

  /** Rejects when nobody accepts the connection. */
  static connect({ port, host = "127.0.0.1", timeoutMs = 5000 }: RespAddress): Promise<RespClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host });
      const timer = setTimeout(
        () => socket.destroy(new Error(`no connection to ${port} in ${timeoutMs} ms`)),
        timeoutMs,
      );
      socket.once("error", reject);
      socket.once("connect", () => {
        clearTimeout(timer);
        socket.removeListener("error", reject);
        resolve(new RespClient(socket));
      });
      socket.once("close", () => clearTimeout(timer));
    });
  }

  /** Tries again until somebody accepts: for peers that are being restarted. */
  static async connectSoon(address: RespAddress, withinMs = 15_000): Promise<RespClient> {
    const deadlineMs = performance.now() + withinMs;
    for (;;) {
      try {
        return await RespClient.connect(address);
      } catch (error) {
        if (performance.now() > deadlineMs) throw error;
        await delay(20);
      }
    }
  }

  get isOpen(): boolean {
    return this.#why === undefined && !this.#socket.destroyed;
  }

  /** Commands sent and not answered yet. */
  get unanswered(): number {
    return this.#waiting.length;
  }

  /** Pipelined: does not wait for the replies before. Never rejects. */
  send(...words: readonly (string | number)[]): Promise<Outcome> {
    if (!this.isOpen) return Promise.resolve({ state: "failed", error: `not sent: ${this.#why ?? "closed"}` });
    // One write for all that is sent in one go.
    if (this.#output.length === 0) queueMicrotask(() => this.#flush());
    this.#output.push(encode(words));
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #flush(): void {
    const text = this.#output.join("");
    this.#output = [];
    if (!this.#socket.destroyed) this.#socket.write(text, "latin1");
  }

  /** The reply, or an Error: when only success will do. */
  async call(...words: readonly (string | number)[]): Promise<Reply> {
    const outcome = await this.send(...words);
    if (outcome.state === "acked") return outcome.reply;
    const what = words.join(" ").slice(0, 60);
    throw new ReplyError(outcome.state === "failed" ? outcome.error : `${what}: not answered: ${outcome.why}`);
  }

  pipeline(commands: readonly (readonly (string | number)[])[]): Promise<Outcome[]> {
    return Promise.all(commands.map((words) => this.send(...words)));
  }

  /** Stops reading, as a client that hangs. */
  pause(): void {
    this.#socket.pause();
  }

  close(): void {
    this.#why ??= "closed by the test";
    this.#socket.destroy();
  }

  #onData(text: string): void {
    this.#reader.push(text);
    for (;;) {
      const found = this.#reader.next();
      if (found === undefined) return;
      const { reply } = found;
      this.#waiting.shift()?.(
        reply instanceof ReplyError ? { state: "failed", error: reply.message } : { state: "acked", reply },
      );
    }
  }
}
