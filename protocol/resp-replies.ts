/**
 * RESP2 replies: bytes to values, for whoever asks a Redis something (resp.ts is the other side). Pulled like the parser of
 * commands: `push` a chunk, `next` gives one reply at a time.
 *
 * A bulk string that is not all there is waited for, not looked at again with every chunk. What a length claims is checked
 * against `bytesMax` before it is waited for; nothing is reserved by it.
 */
import { replyBytesMax } from "./limits.ts";

export class ReplyError {
  /** As Redis words it: `WRONGTYPE Operation ...`. */
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** A bulk string is its bytes, a simple one text. */
export type RespReply = Buffer | string | number | null | ReplyError | readonly RespReply[];

/** Arrays in arrays: what we ask for has one level. */
const depthMax = 8;
const lineBytesMax = 64 * 1024;
const carriageReturn = 0x0d;
const lineFeed = 0x0a;

/** The reply is not all there: the buffer must have grown to this before it is worth another look. */
class Incomplete {
  needed = 0;
}

export class ReplyParser {
  readonly #bytesMax: number;
  readonly #incomplete = new Incomplete();
  #chunks: Buffer[] = [];
  #held = 0;
  #needed = 1;
  #at = 0;

  constructor(bytesMax = replyBytesMax) {
    this.#bytesMax = bytesMax;
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#held += chunk.length;
  }

  /** Undefined: more bytes are needed. Throws an Error when the bytes are no RESP2, or more than may be. */
  next(): RespReply | undefined {
    if (this.#held < this.#needed) return undefined;
    const [first] = this.#chunks;
    const buffer = this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks, this.#held);
    this.#at = 0;
    const reply = this.#read(buffer, 0);
    if (reply === this.#incomplete) {
      this.#chunks = [buffer];
      this.#needed = Math.max(this.#incomplete.needed, this.#held + 1);
      if (this.#needed > this.#bytesMax) throw new Error(`a reply of ${this.#needed} bytes, limit ${this.#bytesMax}`);
      return undefined;
    }
    const rest = buffer.subarray(this.#at);
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#held = rest.length;
    this.#needed = 1;
    return reply as RespReply;
  }

  #read(buffer: Buffer, depth: number): RespReply | Incomplete {
    const lineEnd = buffer.indexOf(carriageReturn, this.#at);
    if (lineEnd < 0 || lineEnd + 1 >= buffer.length) {
      if (buffer.length - this.#at > lineBytesMax) throw new Error("a line of a reply has no end");
      return this.#wait(buffer.length + 1);
    }
    if (buffer[lineEnd + 1] !== lineFeed) throw new Error("a line of a reply does not end in CRLF");
    const type = String.fromCharCode(buffer[this.#at] ?? 0);
    const line = buffer.latin1Slice(this.#at + 1, lineEnd);
    const behind = lineEnd + 2;
    switch (type) {
      case "+":
        this.#at = behind;
        return line;
      case "-":
        this.#at = behind;
        return new ReplyError(line);
      case ":":
        this.#at = behind;
        return Number(line);
      case "$": {
        const length = this.#length(line);
        if (length < 0) {
          this.#at = behind;
          return null;
        }
        const end = behind + length + 2;
        if (end > buffer.length) return this.#wait(end);
        this.#at = end;
        // A copy: a small value must not keep a large chunk.
        return Buffer.from(buffer.subarray(behind, end - 2));
      }
      case "*": {
        if (depth >= depthMax) throw new Error(`a reply of more than ${depthMax} levels`);
        const count = this.#length(line);
        this.#at = behind;
        if (count < 0) return null;
        const items: RespReply[] = [];
        while (items.length < count) {
          const item = this.#read(buffer, depth + 1);
          if (item instanceof Incomplete) return item;
          items.push(item);
        }
        return items;
      }
      default:
        throw new Error(`no reply begins with ${JSON.stringify(type)}: is it a Redis?`);
    }
  }

  #wait(needed: number): Incomplete {
    this.#incomplete.needed = needed;
    return this.#incomplete;
  }

  #length(line: string): number {
    const length = /^-?[0-9]{1,15}$/.test(line) ? Number(line) : Number.NaN;
    if (!(length >= -1 && length <= this.#bytesMax))
      throw new Error(`a reply of ${line} bytes, limit ${this.#bytesMax}`);
    return length;
  }
}
