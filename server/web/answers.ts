/** What all HTTP answers of Chorus have in common: the form of errors, and that nothing we answer ever runs as a page. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { httpLingerMs } from "../../protocol/limits.ts";
import { httpStatusOf, KvFailure } from "./kv-backend.ts";

export const baseHeaders = { "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff" } as const;

/** `Retry-After` of answers that mean "not now", seconds. */
const retryAfterSeconds = "1";

/** The body of every error, as JSON. */
export const errorText = (failure: KvFailure, status: number): string => {
  const { code, message, outcome } = failure;
  return `${JSON.stringify({ error: { code, message, outcome, status } }, undefined, 2)}\n`;
};

/** `form`: `/set`, `/get` and `/delete` are for people with curl, who get `CODE why` in a line. */
export const answerFailure = (
  request: IncomingMessage,
  response: ServerResponse,
  failure: KvFailure,
  headers: Readonly<Record<string, string>> = {},
  form: "json" | "text" = "json",
): void => {
  const status = httpStatusOf(failure);
  const body = form === "json" ? errorText(failure, status) : `${failure.code} ${failure.message}\n`;
  // A client's cookie or a proxy must not keep it.
  response.writeHead(status, {
    "Content-Type": form === "json" ? "application/json" : "text/plain; charset=utf-8",
    "Content-Length": Buffer.byteLength(body),
    ...baseHeaders,
    ...(status === 503 ? { "Retry-After": retryAfterSeconds } : {}),
    ...headers,
  });
  response.end(body);
  lingerUnread(request);
};

/**
 * Who is still sending a body nobody will read is read for a moment, so that the answer arrives (a closed socket with
 * unread bytes resets the connection, answer and all), and then cut.
 */
const lingerUnread = (request: IncomingMessage): void => {
  if (request.complete || request.destroyed) return;
  request.resume();
  const cut = setTimeout(() => request.socket.destroy(), httpLingerMs);
  cut.unref();
  request.once("end", () => clearTimeout(cut));
  request.once("close", () => clearTimeout(cut));
};

export const forbidden = (why: string): KvFailure => new KvFailure("FORBIDDEN", why);
export const badArgument = (why: string): KvFailure => new KvFailure("BAD_ARGUMENT", why);
export const badMethod = (method: string | undefined): KvFailure =>
  new KvFailure("BAD_METHOD", `${method} is not allowed here`);
