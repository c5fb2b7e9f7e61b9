/**
 * A RESP2 client for measuring: commands are written as bytes, replies counted or looked at, nothing else. It never
 * retries, reconnects or queues, since each of these would hide what is measured.
 */
import type { Socket } from "node:net";
import { openSocket } from "./open-socket.ts";

export class ErrorReply {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export type Reply = string | number | null | ErrorReply | readonly Reply[];

export const encodeCommand = (...words: readonly string[]): string => {
  let text = `*${words.length}\r\n`;
  for (const word of words) text += `$${word.length}\r\n${word}\r\n`;
  return text;
};

interface Waiting {
  left: number;
  readonly onReply: ((reply: Reply) => void) | undefined;
  readonly onDone: (failure?: Error) => void;
}

const carriageReturn = 13;

/** The reply that starts at `at`, and where it ends; undefined when it is not all there. Latin1, as all of Chorus. */
export const parseReply = (bytes: Buffer, at: number): { readonly reply: Reply; readonly end: number } | undefined => {
  const lineEnd = bytes.indexOf(carriageReturn, at);
  if (lineEnd < 0 || lineEnd + 2 > bytes.length) return undefined;
  const line = bytes.latin1Slice(at + 1, lineEnd);
  const behind = lineEnd + 2;
  switch (String.fromCharCode(bytes[at] ?? 0)) {
    case "+":
      return { reply: line, end: behind };
    case "-":
      return { reply: new ErrorReply(line), end: behind };
    case ":":
      return { reply: Number(line), end: behind };
    case "$": {
      const length = Number(line);
      if (length < 0) return { reply: null, end: behind };
      const end = behind + length + 2;
      return end > bytes.length ? undefined : { reply: bytes.latin1Slice(behind, end - 2), end };
    }
    case "*": {
      const count = Number(line);
      if (count < 0) return { reply: null, end: behind };
      const items: Reply[] = [];
      let end = behind;
      while (items.length < count) {
        const item = parseReply(bytes, end);
        if (item === undefined) return undefined;
        items.push(item.reply);
        end = item.end;
      }
      return { reply: items, end };
    }
    default:
      throw new Error(`a reply cannot begin with ${JSON.stringify(String.fromCharCode(bytes[at] ?? 0))}`);
  }
};

export class RespConnection {
  readonly #socket: Socket;
  #rest: Buffer = Buffer.alloc(0);
  readonly #waiting: Waiting[] = [];
  /** Commands written whose reply has not come. */
  outstanding = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => {
      try {
        this.#onData(chunk);
      } catch (error) {
        this.#end(error instanceof Error ? error : new Error(String(error)));
      }
    });
    socket.on("error", (error) => this.#end(error));
    socket.on("close", () => this.#end(new Error("the server closed the connection")));
  }

  static async open(port: number, timeoutMs?: number, host?: string): Promise<RespConnection> {
    return new RespConnection(await openSocket(port, timeoutMs, host));
  }

  call(...words: readonly string[]): Promise<Reply> {
    return new Promise((resolve, reject) => {
      let reply: Reply = null;
      this.send(
        encodeCommand(...words),
        1,
        (failure) => (failure === undefined ? resolve(reply) : reject(failure)),
        (got) => {
          reply = got;
        },
      );
    });
  }

  /**
   * Writes `count` encoded commands. `onReply` sees each reply (without it, an error reply is a failure); `onDone` is
   * called once, after the last reply or with what went wrong.
   */
  send(commands: string, count: number, onDone: (failure?: Error) => void, onReply?: (reply: Reply) => void): void {
    this.#waiting.push({ left: count, onReply, onDone });
    this.outstanding += count;
    this.#socket.write(commands, "latin1");
  }

  #onData(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (at < bytes.length) {
      const parsed = parseReply(bytes, at);
      if (parsed === undefined) break;
      at = parsed.end;
      this.#onReply(parsed.reply);
    }
    this.#rest = bytes.subarray(at);
  }

  #onReply(reply: Reply): void {
    const [first] = this.#waiting;
    if (first === undefined) throw new Error("a reply that nobody asked for");
    this.outstanding--;
    if (first.onReply !== undefined) first.onReply(reply);
    else if (reply instanceof ErrorReply) throw new Error(`the server answered -${reply.text}`);
    if (--first.left > 0) return;
    this.#waiting.shift();
    first.onDone();
  }

  #end(failure: Error): void {
    this.#socket.destroy();
    for (const { onDone } of this.#waiting.splice(0)) onDone(failure);
  }

  close(): void {
    this.#end(new Error("closed by the bench"));
  }
}
