/**
 * RESP, the Redis protocol: bytes to commands, replies to bytes.
 *
 * The parser is pulled: `push` takes a chunk from the socket, `next` gives one command at a time. So whoever runs the
 * commands may stop anywhere (a full output, a lock, a budget) and what is not run yet stays bytes; and what one command
 * changed (AUTH) already binds the next. Commands are parsed in place; only an incomplete tail is copied, into a buffer
 * that doubles, so a value sent byte by byte costs a constant per byte and at most twice what arrived. Nothing is ever
 * reserved because of a length somebody claimed.
 *
 * Refused, with Redis's words where it has some: integers with a sign, leading zeros or too many digits; negative
 * counts (`*0` and `*-1` are empty commands, as in Redis); anything but CRLF after a bulk (Redis skips two bytes
 * unseen; a client that is off by one would then run data as commands). After an error the parser is dead.
 *
 * Strings are latin1, one character a byte, each flat and on its own: no argument keeps a chunk alive.
 */
import {
  argumentOverheadBytes,
  argumentsMax,
  commandBytesMax,
  inlineBytesMax,
  replyBytesMax,
  unauthenticatedArgumentsMax,
  unauthenticatedBulkBytesMax,
  unauthenticatedInlineBytesMax,
  valueBytesMax,
} from "./limits.ts";
import type { ReplyWriter } from "./reply.ts";
import { formatDouble, isHttp, splitArguments } from "./text.ts";

/** Why a connection cannot go on. `reply` is the error line to send first; undefined: close without a word. */
export interface ProtocolFault {
  readonly code: "PROTOCOL" | "HTTP";
  readonly reply: string | undefined;
}

const nothing = Buffer.alloc(0);

const asterisk = 0x2a;
const dollar = 0x24;
const minus = 0x2d;
const zero = 0x30;
const one = 0x31;
const cr = 0x0d;
const lf = 0x0a;

/** Results of reading an integer that are none: all below -1. */
const incomplete = -2;
const invalid = -3;
/** More digits than any bound here has. */
const digitsMax = 10;

export class RequestParser {
  /** While false, the small budgets hold for all that is parsed from now on. */
  authenticated = true;
  /** The command last given was a line ended by a bare LF: its answer is plain text. */
  plain = false;
  /** Set once; `next` gives nothing any more. */
  fault: ProtocolFault | undefined;

  /** Bytes not yet parsed are buffer[at, end). */
  #buffer: Buffer = nothing;
  #at = 0;
  #end = 0;
  /** The buffer is our own (with room after `end`), not the socket's chunk. */
  #owned = false;

  /** The command being read: arguments so far, how many are missing, and the length of the one begun (-1: none). */
  #args: string[] = [];
  #argsLeft = 0;
  #bulkBytes = -1;
  #commandBytes = 0;
  /** Bytes of the line being read that were searched for its end. */
  #lineScanned = 0;

  /** Bytes taken and not yet given out as commands; the arguments of an unfinished command count. */
  get bufferedBytes(): number {
    // The length of the argument begun is only claimed; what came of it is in the buffer.
    const claimed = this.#bulkBytes < 0 ? 0 : this.#bulkBytes + argumentOverheadBytes;
    return this.#end - this.#at + this.#commandBytes - claimed;
  }

  /** The parser holds nothing: no byte, no unfinished command. */
  get empty(): boolean {
    return this.#at === this.#end && this.#argsLeft === 0;
  }

  /** Takes a chunk. It is read in place until `next` gives undefined or `retain` is called. */
  push(chunk: Buffer): void {
    const left = this.#end - this.#at;
    if (left === 0) {
      this.#buffer = chunk;
      this.#at = 0;
      this.#end = chunk.length;
      this.#owned = false;
      return;
    }
    if (!this.#owned || this.#buffer.length - this.#end < chunk.length) this.#moveTail(left + chunk.length);
    chunk.copy(this.#buffer, this.#end);
    this.#end += chunk.length;
  }

  /** Copies what is left of the chunk, which may then be overwritten or freed. */
  retain(): void {
    const left = this.#end - this.#at;
    if (left === 0) {
      this.#buffer = nothing;
      this.#at = 0;
      this.#end = 0;
      this.#owned = false;
    } else if (!this.#owned) {
      this.#moveTail(left);
    }
  }

  /** The next whole command, never empty; undefined: more bytes are needed, or `fault` is set. */
  next(): string[] | undefined {
    if (this.fault !== undefined) return undefined;
    for (;;) {
      if (this.#argsLeft === 0) {
        if (this.#at === this.#end) return this.#starve();
        if (this.#buffer[this.#at] !== asterisk) {
          const args = this.#nextInline();
          if (args === undefined || args.length > 0) return args;
          continue;
        }
        const count = this.#integer(this.#at + 1);
        if (count === incomplete) return this.#starve();
        if (count === invalid || count > argumentsMax) return this.#refuse("invalid multibulk length");
        if (count > unauthenticatedArgumentsMax && !this.authenticated) {
          return this.#refuse("unauthenticated multibulk length");
        }
        if (count <= 0) continue;
        this.#argsLeft = count;
        this.#args = [];
        this.#commandBytes = 0;
      }
      return this.#nextMultibulk();
    }
  }

  #nextMultibulk(): string[] | undefined {
    const args = this.#args;
    while (this.#argsLeft > 0) {
      let bytes = this.#bulkBytes;
      if (bytes < 0) {
        if (this.#at === this.#end) return this.#starve();
        const sign = this.#buffer[this.#at];
        if (sign !== dollar) return this.#refuse(`expected '$', got '${String.fromCharCode(sign ?? 0)}'`);
        bytes = this.#integer(this.#at + 1);
        if (bytes === incomplete) return this.#starve();
        if (bytes < 0 || bytes > valueBytesMax) return this.#refuse("invalid bulk length");
        if (bytes > unauthenticatedBulkBytesMax && !this.authenticated) {
          return this.#refuse("unauthenticated bulk length");
        }
        this.#commandBytes += bytes + argumentOverheadBytes;
        if (this.#commandBytes > commandBytesMax) return this.#refuse("too big mbulk request");
        this.#bulkBytes = bytes;
      }
      const start = this.#at;
      const stop = start + bytes;
      if (this.#end < stop + 2) return this.#starve();
      const buffer = this.#buffer;
      if (buffer[stop] !== cr || buffer[stop + 1] !== lf) return this.#refuse("expected CRLF after a bulk string");
      args.push(sliceString(buffer, start, stop));
      this.#at = stop + 2;
      this.#bulkBytes = -1;
      this.#argsLeft -= 1;
    }
    this.#args = [];
    this.#commandBytes = 0;
    this.plain = false;
    return args;
  }

  /** One line that does not begin with `*`. An empty array: a blank line. */
  #nextInline(): string[] | undefined {
    const start = this.#at;
    const lineBytesMax = this.authenticated ? inlineBytesMax : unauthenticatedInlineBytesMax;
    const found = this.#buffer.indexOf(lf, start + this.#lineScanned);
    // Our own buffer has old bytes behind `end`.
    if (found === -1 || found >= this.#end) {
      if (this.#end - start > lineBytesMax) return this.#refuse("too big inline request");
      this.#lineScanned = this.#end - start;
      return this.#starve();
    }
    this.#lineScanned = 0;
    if (found - start > lineBytesMax) return this.#refuse("too big inline request");
    this.plain = found === start || this.#buffer[found - 1] !== cr;
    const args = splitArguments(this.#buffer.latin1Slice(start, this.plain ? found : found - 1));
    if (args === undefined) return this.#refuse("unbalanced quotes in request");
    if (args.length > unauthenticatedArgumentsMax && !this.authenticated) {
      return this.#refuse("unauthenticated multibulk length");
    }
    if (isHttp(args)) {
      this.fault = { code: "HTTP", reply: undefined };
      this.#drop();
      return undefined;
    }
    this.#at = found + 1;
    return args;
  }

  /**
   * Reads `digits CRLF` from `from` and moves `at` behind it. Only `-1` may be negative. The result depends on the bytes
   * alone, never on how they were cut into chunks: an incomplete integer is read again from its start, 13 bytes at most.
   */
  #integer(from: number): number {
    const buffer = this.#buffer;
    const end = this.#end;
    let at = from;
    let value = 0;
    if (at < end && buffer[at] === minus) {
      at += 1;
      if (at < end && buffer[at] !== one) return invalid;
      at += 1;
      value = -1;
    } else {
      while (at < end) {
        // In bounds: at < end <= length.
        const digit = (buffer[at] as number) - zero;
        if (digit < 0 || digit > 9) break;
        value = value * 10 + digit;
        at += 1;
      }
      const digits = at - from;
      if (digits > digitsMax || (digits > 1 && buffer[from] === zero) || (digits === 0 && at < end)) return invalid;
    }
    if (at >= end) return incomplete;
    if (buffer[at] !== cr) return invalid;
    if (at + 1 >= end) return incomplete;
    if (buffer[at + 1] !== lf) return invalid;
    this.#at = at + 2;
    return value;
  }

  #starve(): undefined {
    this.retain();
    return undefined;
  }

  #refuse(text: string): undefined {
    this.fault = { code: "PROTOCOL", reply: `ERR Protocol error: ${text}` };
    this.#drop();
    return undefined;
  }

  #drop(): void {
    this.#at = this.#end;
    this.#args = [];
    this.#argsLeft = 0;
    this.#bulkBytes = -1;
    this.#commandBytes = 0;
    this.retain();
  }

  /** Moves the unparsed bytes to the start of a buffer of our own with room for `bytes` in all, and for more. */
  #moveTail(bytes: number): void {
    const left = this.#end - this.#at;
    let capacity = Math.max(bytes * 2, 64);
    // The last argument begun needs no more than it said: spares half of what a large value would take.
    const wanted = this.#bulkBytes + 2;
    if (wanted >= bytes && wanted < capacity) capacity = wanted;
    const tail = Buffer.allocUnsafeSlow(capacity);
    this.#buffer.copy(tail, 0, this.#at, this.#end);
    this.#buffer = tail;
    this.#at = 0;
    this.#end = left;
    this.#owned = true;
  }
}

/** A call into C++ costs five times as much as making a short string here, and every command has a short name. */
const sliceString = (buffer: Buffer, start: number, stop: number): string => {
  // In bounds: the caller has seen stop + 2 <= length.
  switch (stop - start) {
    case 0:
      return "";
    case 1:
      return String.fromCharCode(buffer[start] as number);
    case 3:
      return String.fromCharCode(buffer[start] as number, buffer[start + 1] as number, buffer[start + 2] as number);
    case 4:
      return String.fromCharCode(
        buffer[start] as number,
        buffer[start + 1] as number,
        buffer[start + 2] as number,
        buffer[start + 3] as number,
      );
    default:
      return buffer.latin1Slice(start, stop);
  }
};

/** `$0\r\n` to `$1023\r\n`, made once. */
const bulkHeaders: readonly string[] = Array.from({ length: 1024 }, (_, bytes) => `$${bytes}\r\n`);

/**
 * Writes RESP2 or RESP3 into a latin1 string. `protocol` may change at any time and holds for what follows, so a handler
 * that kept the writer over a HELLO still speaks the right version.
 */
export class RespWriter implements ReplyWriter {
  protocol: 2 | 3 = 2;
  /** More than `replyBytesMax` was written: what there was is gone, and the connection must close. */
  overflowed = false;
  errors = 0;
  lastError = "";
  #out = "";

  get length(): number {
    return this.#out.length;
  }

  take(): string {
    const out = this.#out;
    this.#out = "";
    return out;
  }

  /** Whole replies, already in the version spoken. */
  append(text: string): void {
    if (this.#out.length + text.length > replyBytesMax) return this.#overflow();
    this.#out += text;
  }

  simple(text: string): void {
    this.#out += text === "OK" ? "+OK\r\n" : `+${oneLine(text)}\r\n`;
  }

  error(text: string): void {
    this.errors += 1;
    this.lastError = text;
    this.#out += `-${oneLine(text)}\r\n`;
  }

  integer(value: number | bigint): void {
    this.#out += `:${value}\r\n`;
  }

  bulk(value: string): void {
    if (this.#out.length + value.length > replyBytesMax) return this.#overflow();
    this.#out += `${bulkHeaders[value.length] ?? `$${value.length}\r\n`}${value}\r\n`;
  }

  nil(): void {
    this.#out += this.protocol === 2 ? "$-1\r\n" : "_\r\n";
  }

  nilArray(): void {
    this.#out += this.protocol === 2 ? "*-1\r\n" : "_\r\n";
  }

  array(count: number): void {
    this.#out += `*${count}\r\n`;
  }

  map(count: number): void {
    this.#out += this.protocol === 2 ? `*${count * 2}\r\n` : `%${count}\r\n`;
  }

  set(count: number): void {
    this.#out += this.protocol === 2 ? `*${count}\r\n` : `~${count}\r\n`;
  }

  double(value: number): void {
    if (this.protocol === 2) this.bulk(formatDouble(value));
    else this.#out += `,${formatDouble(value)}\r\n`;
  }

  boolean(value: boolean): void {
    if (this.protocol === 2) this.#out += value ? ":1\r\n" : ":0\r\n";
    else this.#out += value ? "#t\r\n" : "#f\r\n";
  }

  verbatim(text: string): void {
    if (this.protocol === 2) return this.bulk(text);
    if (this.#out.length + text.length > replyBytesMax) return this.#overflow();
    this.#out += `=${text.length + 4}\r\ntxt:${text}\r\n`;
  }

  /** From here on nothing is kept: the reply has a hole, so none of it may go out. */
  #overflow(): void {
    this.overflowed = true;
    this.#out = "";
  }
}

/** A line end inside a status or an error would be read as the end of the reply. */
const oneLine = (text: string): string => (/[\r\n]/.test(text) ? text.replace(/[\r\n]/g, " ") : text);
