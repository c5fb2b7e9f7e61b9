/**
 * One reply as the JSON of `/client`: the fourth dialect beside RESP2, RESP3 and plain lines.
 *
 * Handlers announce an array or a map and then give its parts, so the writer keeps a stack of what is still open and
 * closes each as its last part comes. The text is made at once: no tree of the reply is ever in memory.
 */
import { replyBytesMax } from "../../protocol/limits.ts";
import type { ReplyWriter } from "../../protocol/reply.ts";
import { latin1ToJson, latin1ToText } from "./client-socket-bytes.ts";

export interface ReplyError {
  /** The first word of the error line, such as `WRONGTYPE`. */
  readonly code: string;
  readonly message: string;
}

interface Level {
  /** Parts missing. */
  left: number;
  /** Map: parts come in pairs, each in brackets. */
  readonly pairs: boolean;
  first: boolean;
  readonly close: string;
}

export class JsonReplyWriter implements ReplyWriter {
  /** Types that only RESP3 has come through. */
  readonly protocol = 3;
  /** More than `replyBytesMax`: what there was is gone, and what follows is not kept. */
  overflowed = false;
  errors = 0;
  lastError = "";
  #out = "";
  #bytes = 0;
  #error: ReplyError | undefined;
  readonly #levels: Level[] = [];

  /** Bytes written so far, and not taken. */
  get length(): number {
    return this.#bytes;
  }

  /** Whether anything was answered. */
  get written(): boolean {
    return this.#bytes > 0 || this.overflowed;
  }

  /** The whole reply: JSON, or the error it is. The writer is empty again. */
  take(): string | ReplyError {
    const answer = this.#error ?? this.#out;
    this.#out = "";
    this.#bytes = 0;
    this.#error = undefined;
    this.overflowed = false;
    this.#levels.length = 0;
    return answer;
  }

  simple(text: string): void {
    this.#part(text === "OK" ? '{"status":"OK"}' : `{"status":${JSON.stringify(latin1ToText(text))}}`);
  }

  error(text: string): void {
    this.errors += 1;
    this.lastError = text;
    const line = latin1ToText(text);
    const spaceAt = line.indexOf(" ");
    const code = spaceAt < 0 ? line : line.slice(0, spaceAt);
    const message = spaceAt < 0 ? "" : line.slice(spaceAt + 1);
    if (this.#levels.length > 0) return this.#part(`{"error":${JSON.stringify({ code, message })}}`);
    this.#error = { code, message };
    this.#bytes += text.length;
  }

  integer(value: number | bigint): void {
    this.#part(Number.isSafeInteger(Number(value)) ? String(value) : `{"integer":"${value}"}`);
  }

  bulk(value: string): void {
    if (this.#hasRoom(value.length)) this.#part(latin1ToJson(value));
  }

  nil(): void {
    this.#part("null");
  }

  nilArray(): void {
    this.#part("null");
  }

  array(count: number): void {
    this.#open("[", { left: count, pairs: false, first: true, close: "]" });
  }

  map(count: number): void {
    this.#open('{"map":[', { left: count * 2, pairs: true, first: true, close: "]}" });
  }

  set(count: number): void {
    this.#open('{"set":[', { left: count, pairs: false, first: true, close: "]}" });
  }

  double(value: number): void {
    const name = Number.isNaN(value) ? '"nan"' : value > 0 ? '"inf"' : '"-inf"';
    // JSON has no negative zero that survives String().
    this.#part(`{"double":${Number.isFinite(value) ? JSON.stringify(value) : name}}`);
  }

  boolean(value: boolean): void {
    this.#part(value ? "true" : "false");
  }

  verbatim(text: string): void {
    if (this.#hasRoom(text.length)) this.#part(`{"verbatim":${latin1ToJson(text)}}`);
  }

  // ---- Structure -----------------------------------------------------------------------------------------------------

  #hasRoom(bytes: number): boolean {
    if (this.#bytes + bytes > replyBytesMax) this.#overflow();
    return !this.overflowed;
  }

  #overflow(): void {
    this.overflowed = true;
    this.#out = "";
  }

  #part(json: string): void {
    this.#begin(json);
    this.#end();
  }

  #open(json: string, level: Level): void {
    this.#begin(json);
    this.#levels.push(level);
    if (level.left === 0) this.#close();
  }

  #begin(json: string): void {
    const level = this.#levels.at(-1);
    let before = "";
    if (level !== undefined) {
      const opens = level.pairs && level.left % 2 === 0;
      before = level.first ? (opens ? "[" : "") : opens ? ",[" : ",";
      level.first = false;
    }
    this.#bytes += before.length + json.length;
    if (this.#bytes > replyBytesMax) this.#overflow();
    if (!this.overflowed) this.#out += before + json;
  }

  /** A part is complete; so may be what it is the last part of, and so on. */
  #end(): void {
    const level = this.#levels.at(-1);
    if (level === undefined) return;
    level.left -= 1;
    if (level.pairs && level.left % 2 === 0 && !this.overflowed) this.#out += "]";
    if (level.left === 0) this.#close();
  }

  #close(): void {
    const level = this.#levels.pop();
    if (level === undefined) return;
    if (!this.overflowed) this.#out += level.close;
    this.#end();
  }
}
