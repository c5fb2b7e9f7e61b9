/** Reads the bodies of requests, each up to the longest value, all of them together up to a bound. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { httpBodiesBytesMax, valueBytesMax } from "../../protocol/limits.ts";
import { KvFailure } from "./kv-backend.ts";

export class BodyReader {
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax = httpBodiesBytesMax) {
    this.#bytesMax = bytesMax;
  }

  /** Of all bodies that are being read. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Calls back once: with the body as latin1, or with why not. Not at all when the client went away before its end; the
   * server's own time-out (HTTP 408) ends a body that does not come.
   */
  read(request: IncomingMessage, response: ServerResponse, done: (body: string | KvFailure) => void): void {
    const announced = Number(request.headers["content-length"] ?? 0);
    if (announced > valueBytesMax) return done(tooLarge(announced));
    if (announced > 0 && this.#bytes + announced > this.#bytesMax) return done(tooMany);
    if (request.headers.expect !== undefined) response.writeContinue();
    const chunks: Buffer[] = [];
    let bytes = 0;
    let isOver = false;
    const end = (result?: string | KvFailure): void => {
      if (isOver) return;
      isOver = true;
      this.#bytes -= bytes;
      request.off("data", onData);
      if (result !== undefined) done(result);
    };
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length;
      this.#bytes += chunk.length;
      if (bytes > valueBytesMax) return end(tooLarge(bytes));
      if (this.#bytes > this.#bytesMax) return end(tooMany);
      chunks.push(chunk);
    };
    request.on("data", onData);
    request.on("end", () => {
      const [first] = chunks;
      if (first === undefined) end("");
      else end((chunks.length === 1 ? first : Buffer.concat(chunks, bytes)).toString("latin1"));
    });
    request.on("close", () => end());
  }
}

const tooLarge = (bytes: number): KvFailure =>
  new KvFailure("TOO_LARGE", `a value of ${bytes} bytes or more, limit ${valueBytesMax}`);
const tooMany = new KvFailure("TOO_MANY", "too many bodies are being read");
