/** One reply as a value: what a command answers the routes for keys. */
import { replyBytesMax } from "../../protocol/limits.ts";
import type { ReplyWriter } from "../../protocol/reply.ts";
import { latin1ToText } from "../ports/client-socket-bytes.ts";
import { KvFailure, type KvReply } from "./kv-backend.ts";

interface Level {
  readonly parts: KvReply[];
  /** Parts missing. */
  left: number;
}

export class ValueReplyWriter implements ReplyWriter {
  /** Types that only RESP3 has come through. */
  readonly protocol = 3;
  errors = 0;
  lastError = "";
  #bytes = 0;
  #written = false;
  #value: KvReply = null;
  #error: string | undefined;
  readonly #levels: Level[] = [];

  /** Bytes written so far. */
  get length(): number {
    return this.#bytes;
  }

  /** The reply, or what went wrong. A command that answered nothing (SHUTDOWN) is one of those. */
  take(): KvReply | KvFailure {
    if (this.#error !== undefined) return KvFailure.ofLine(latin1ToText(this.#error));
    if (this.#bytes > replyBytesMax) return new KvFailure("ERR", `the reply has more than ${replyBytesMax} bytes`);
    return this.#written ? this.#value : new KvFailure("ERR", "no answer", "unknown");
  }

  simple(text: string): void {
    this.#part({ status: text }, text.length);
  }

  error(text: string): void {
    this.errors += 1;
    this.lastError = text;
    // The first says why.
    this.#error ??= text;
    this.#part(null, 0);
  }

  integer(value: number | bigint): void {
    this.#part(value, 8);
  }

  bulk(value: string): void {
    this.#part(value, value.length);
  }

  nil(): void {
    this.#part(null, 0);
  }

  nilArray(): void {
    this.#part(null, 0);
  }

  array(count: number): void {
    this.#open(count);
  }

  map(count: number): void {
    this.#open(count * 2);
  }

  set(count: number): void {
    this.#open(count);
  }

  double(value: number): void {
    this.bulk(String(value));
  }

  boolean(value: boolean): void {
    this.#part(value ? 1 : 0, 1);
  }

  verbatim(text: string): void {
    this.bulk(text);
  }

  #open(left: number): void {
    const parts: KvReply[] = [];
    this.#put(parts);
    if (left > 0) this.#levels.push({ parts, left });
    else this.#end();
  }

  #part(value: KvReply, bytes: number): void {
    this.#bytes += bytes;
    // Strings are the map's own, so what is kept costs little; the bound is for what is sent.
    this.#put(value);
    this.#end();
  }

  #put(value: KvReply): void {
    this.#written = true;
    const level = this.#levels.at(-1);
    if (level === undefined) this.#value = value;
    else level.parts.push(value);
  }

  /** A part is complete; so may be what it is the last part of, and so on. */
  #end(): void {
    for (;;) {
      const level = this.#levels.at(-1);
      if (level === undefined) return;
      level.left -= 1;
      if (level.left > 0) return;
      this.#levels.pop();
    }
  }
}
