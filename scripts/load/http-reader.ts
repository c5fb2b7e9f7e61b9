/** Reads HTTP/1.1 answers from a socket, one after another: status, what the load looks at of the head, the body. */

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
  /** X-Cache; empty when there was none. */
  readonly cache: string;
  /** X-Chorus-Session; empty when there was none. */
  readonly session: string;
  /** The connection stays open behind it. */
  readonly keeps: boolean;
}

const headBytesMax = 128 * 1024;
const headEnd = "\r\n\r\n";

interface Head extends Omit<HttpAnswer, "body"> {
  /** Undefined: chunked. */
  readonly bodyBytes: number | undefined;
}

export class HttpReader {
  #rest: Buffer = Buffer.alloc(0);
  #head: Head | undefined;

  reset(): void {
    this.#rest = Buffer.alloc(0);
    this.#head = undefined;
  }

  /** The answer, once it is whole. Throws on what is no HTTP. */
  read(chunk: Buffer): HttpAnswer | undefined {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    if (this.#head === undefined) {
      const end = this.#rest.indexOf(headEnd);
      if (end < 0) {
        if (this.#rest.length > headBytesMax) throw new Error("a head without end");
        return undefined;
      }
      this.#head = parseHead(this.#rest.latin1Slice(0, end));
      this.#rest = this.#rest.subarray(end + headEnd.length);
    }
    const { bodyBytes, ...head } = this.#head;
    if (bodyBytes === undefined) {
      const unchunked = parseChunks(this.#rest);
      if (unchunked === undefined) return undefined;
      return this.#done(head, unchunked.body, unchunked.end);
    }
    if (this.#rest.length < bodyBytes) return undefined;
    return this.#done(head, this.#rest.latin1Slice(0, bodyBytes), bodyBytes);
  }

  #done(head: Omit<HttpAnswer, "body">, body: string, end: number): HttpAnswer {
    this.#head = undefined;
    this.#rest = this.#rest.subarray(end);
    return { ...head, body };
  }
}

const parseHead = (text: string): Head => {
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1];
  if (status === undefined) throw new Error("not HTTP/1");
  const isBodiless = status === "204" || status === "304";
  const length = field(text, "content-length");
  const isChunked = field(text, "transfer-encoding").toLowerCase() === "chunked";
  if (!isBodiless && length === "" && !isChunked) throw new Error("an answer of unknown length");
  return {
    status: Number(status),
    cache: field(text, "x-cache"),
    session: field(text, "x-chorus-session"),
    keeps: field(text, "connection").toLowerCase() !== "close",
    bodyBytes: isBodiless ? 0 : length !== "" ? Number(length) : undefined,
  };
};

/** Names are compared without regard to case; a search beats a table of all fields, most of which nobody asks for. */
const field = (head: string, name: string): string => {
  const match = patterns.get(name)?.exec(head);
  return match?.[1] ?? "";
};

const patterns = new Map(
  ["content-length", "transfer-encoding", "x-cache", "x-chorus-session", "connection"].map((name) => [
    name,
    new RegExp(`\\r\\n${name}:[ \\t]*([^\\r]*)`, "i"),
  ]),
);

const parseChunks = (bytes: Buffer): { readonly body: string; readonly end: number } | undefined => {
  let body = "";
  let at = 0;
  for (;;) {
    const lineEnd = bytes.indexOf("\r\n", at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(bytes.latin1Slice(at, lineEnd), 16);
    if (!Number.isInteger(size)) throw new Error("not a chunk");
    const from = lineEnd + 2;
    if (bytes.length < from + size + 2) return undefined;
    body += bytes.latin1Slice(from, from + size);
    at = from + size + 2;
    if (size === 0) return { body, end: at };
  }
};
