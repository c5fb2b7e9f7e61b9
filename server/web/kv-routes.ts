/**
 * The routes for keys, for curl, browsers and whatever speaks HTTP, over a peer or a gateway (docs/HTTP.md):
 *
 *   GET /set?key=&value=&ttl=   GET /get?key=   GET /delete?key=      for people: plain words
 *   GET HEAD PUT DELETE POST /kv/<key>                                 for programs: bytes, conditions, JSON errors
 *   GET /kv?prefix=&cursor=&limit=                                     keys
 *
 * Plain handlers of node:http, since a value from a gateway's cache must cost hardly more than node itself: it is looked up
 * and answered without a promise, with headers that were made when it came into the cache.
 *
 * Values are strangers' bytes and our origin is where the status page lives, so no value is ever answered as something
 * that a browser would run: no type of its own, no sniffing, a sandbox, and only as a download.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { performance } from "node:perf_hooks";
import { httpPipelinedMax, listKeysDefault, listKeysMax, listPageMs, scanCountMax } from "../../protocol/limits.ts";
import { parseOriginId } from "../../protocol/words.ts";
import { authorizationChallenge, authorizationWanted, isAuthorized } from "../ports/authorization.ts";
import { latin1ToJson } from "../ports/client-socket-bytes.ts";
import { answerFailure, badArgument, badMethod, forbidden } from "./answers.ts";
import { judgeRead, tagOf, type WriteCondition, writeCondition } from "./conditions.ts";
import { type KvAnswer, type KvBackend, type KvCached, type KvCall, KvFailure } from "./kv-backend.ts";
import type { PageRules, RequestKind } from "./page-rules.ts";
import { decodePath, parseQuery } from "./query.ts";
import { BodyReader } from "./request-body.ts";
import { readToken, sessionCookie, sessionHeader, sessionOf, writeToken } from "./session-token.ts";

export interface KvRoutesOptions {
  readonly backend: KvBackend;
  /** Undefined: no password is set. Compares in constant time. */
  readonly checkPassword: ((user: string, password: string) => boolean) | undefined;
  /** A bug while answering; the client gets a bare 500. */
  readonly onError: (error: unknown) => void;
  readonly bodies?: BodyReader;
  readonly pipelinedMax?: number;
}

/** One request on its way. */
interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly form: "json" | "text";
  /** The token it came with; "" without one. */
  readonly session: string;
}

type Kind = KvCall["kind"];

const plainText = "text/plain; charset=utf-8";

/** For every answer that holds a stranger's bytes. */
const guards = [
  "X-Content-Type-Options",
  "nosniff",
  "Content-Security-Policy",
  "default-src 'none'; sandbox",
  "Cross-Origin-Resource-Policy",
  "same-origin",
];

const ownPaths: ReadonlySet<string> = new Set(["/get", "/set", "/delete", "/kv"]);
const noNames: ReadonlySet<string> = new Set();
const keyNames: ReadonlySet<string> = new Set(["key"]);
const setNames: ReadonlySet<string> = new Set(["key", "value", "ttl"]);
const ttlNames: ReadonlySet<string> = new Set(["ttl"]);
const incrNames: ReadonlySet<string> = new Set(["incr"]);
const listNames: ReadonlySet<string> = new Set(["prefix", "cursor", "limit"]);

export class KvRoutes {
  /** Plain numbers, only ever added to. */
  readonly counters = { requests: 0, failures: 0 };
  readonly #backend: KvBackend;
  readonly #checkPassword: KvRoutesOptions["checkPassword"];
  readonly #onError: (error: unknown) => void;
  readonly #bodies: BodyReader;
  readonly #pipelinedMax: number;
  /** Requests behind others on their connections. */
  #pipelined = 0;

  constructor(options: KvRoutesOptions) {
    this.#backend = options.backend;
    this.#checkPassword = options.checkPassword;
    this.#onError = options.onError;
    this.#bodies = options.bodies ?? new BodyReader();
    this.#pipelinedMax = options.pipelinedMax ?? httpPipelinedMax;
  }

  /** True: it answers, now or later. The Host was looked at; who asks, and from which page, is looked at here. */
  handle(request: IncomingMessage, response: ServerResponse, rules: PageRules): boolean {
    const url = request.url ?? "";
    const queryAt = url.indexOf("?");
    const path = queryAt < 0 ? url : url.slice(0, queryAt);
    if (!path.startsWith("/kv/") && !ownPaths.has(path)) return false;
    // No socket: sent behind another request of its connection, which is still to be answered.
    if (response.socket !== null) this.#route(request, response, rules, path, url);
    else this.#inTurn(request, response, () => this.#route(request, response, rules, path, url));
    return true;
  }

  /** What a PUT wrote, the GET behind it reads. Node gives a response the socket when it is its turn. */
  #inTurn(request: IncomingMessage, response: ServerResponse, work: () => void): void {
    if (this.#pipelined >= this.#pipelinedMax) {
      request.socket.destroy();
      return;
    }
    this.#pipelined += 1;
    let waits = true;
    const leave = (): void => {
      if (waits) this.#pipelined -= 1;
      waits = false;
    };
    // The connection ended: its responses get no socket any more.
    request.once("close", leave);
    response.once("socket", () => {
      leave();
      work();
    });
  }

  #route(request: IncomingMessage, response: ServerResponse, rules: PageRules, path: string, url: string): void {
    if (path.startsWith("/kv/")) {
      if (this.#admit(request, response, rules, "json", isRead(request) ? "read" : "change")) {
        this.#onKey(request, response, path, url);
      }
      return;
    }
    switch (path) {
      case "/get":
        if (this.#admit(request, response, rules, "text", "read")) this.#onGet(request, response, url);
        return;
      case "/set":
      case "/delete": {
        const kind = isRead(request) ? "change-by-get" : "change";
        if (!this.#admit(request, response, rules, "text", kind)) return;
        if (path === "/set") this.#onSet(request, response, url);
        else this.#onDelete(request, response, url);
        return;
      }
      case "/kv":
        if (this.#admit(request, response, rules, "json", "read")) this.#onList(request, response, url);
        return;
    }
  }

  /** False: it was answered. */
  #admit(
    request: IncomingMessage,
    response: ServerResponse,
    rules: PageRules,
    form: "json" | "text",
    kind: RequestKind,
  ): boolean {
    this.counters.requests += 1;
    const refusal = rules.refusal(request, kind);
    if (refusal !== undefined) {
      this.counters.failures += 1;
      answerFailure(request, response, forbidden(refusal), {}, form);
      return false;
    }
    if (rules.cors(request, response)) return false;
    if (this.#checkPassword === undefined || isAuthorized(request.headers.authorization, this.#checkPassword))
      return true;
    this.counters.failures += 1;
    answerFailure(request, response, new KvFailure("NOAUTH", authorizationWanted), authorizationChallenge, form);
    return false;
  }

  // ---- /set, /get, /delete -------------------------------------------------------------------------------------------

  #onGet(request: IncomingMessage, response: ServerResponse, url: string): void {
    const exchange = this.#begin(request, response, "text");
    if (exchange === undefined || !this.#allows(exchange, "GET", "HEAD")) return;
    const key = this.#query(exchange, url, keyNames)?.get("key");
    if (key === undefined) return this.#refuseKey(exchange);
    this.#read(exchange, key);
  }

  #onSet(request: IncomingMessage, response: ServerResponse, url: string): void {
    const exchange = this.#begin(request, response, "text");
    if (exchange === undefined || !this.#allows(exchange, "GET", "POST")) return;
    const query = this.#query(exchange, url, setNames);
    if (query === undefined) return;
    const [key, value, expiry] = [query.get("key"), query.get("value"), ttlWords(query.get("ttl"))];
    if (key === undefined || value === undefined) {
      return this.#fail(exchange, badArgument("/set?key=KEY&value=VALUE, and &ttl=SECONDS if it shall expire"));
    }
    if (expiry === undefined) return this.#fail(exchange, badTtl);
    this.#call(exchange, ["SET", key, value, ...expiry], "absolute", (answer) => {
      this.#sendText(exchange, "OK", this.#written(exchange, answer, true));
    });
  }

  #onDelete(request: IncomingMessage, response: ServerResponse, url: string): void {
    const exchange = this.#begin(request, response, "text");
    if (exchange === undefined || !this.#allows(exchange, "GET", "POST")) return;
    const key = this.#query(exchange, url, keyNames)?.get("key");
    if (key === undefined) return this.#refuseKey(exchange);
    this.#call(exchange, ["DEL", key], "absolute", (answer) => {
      const headers = this.#written(exchange, answer, answer.reply === 1);
      if (answer.reply === 1) this.#sendText(exchange, "OK", headers);
      else this.#fail(exchange, noSuchKey, headers);
    });
  }

  /** Of a query that was parsed and has no key, or was refused already. */
  #refuseKey(exchange: Exchange): void {
    if (!exchange.response.headersSent) this.#fail(exchange, badArgument("the key is missing: ?key=KEY"));
  }

  #sendText({ response }: Exchange, text: string, headers: readonly string[]): void {
    response.writeHead(200, [
      "Content-Type",
      plainText,
      "Content-Length",
      String(Buffer.byteLength(text)),
      "Cache-Control",
      "no-store",
      "X-Content-Type-Options",
      "nosniff",
      ...headers,
    ]);
    response.end(text);
  }

  // ---- /kv/<key> -----------------------------------------------------------------------------------------------------

  #onKey(request: IncomingMessage, response: ServerResponse, path: string, url: string): void {
    const exchange = this.#begin(request, response, "json");
    if (exchange === undefined) return;
    const key = decodePath(path.slice("/kv/".length));
    if (key === undefined)
      return this.#fail(exchange, badArgument("a % in the path is not followed by two hex digits"));
    switch (request.method) {
      case "GET":
      case "HEAD":
        if (url.length > path.length && this.#query(exchange, url, noNames) === undefined) return;
        return this.#read(exchange, key);
      case "PUT":
        return this.#put(exchange, key, url);
      case "DELETE":
        return this.#delete(exchange, key, url);
      case "POST":
        return this.#increment(exchange, key, url);
      default:
        this.#allows(exchange, "GET", "HEAD", "PUT", "DELETE", "POST");
    }
  }

  #put(exchange: Exchange, key: string, url: string): void {
    const query = this.#query(exchange, url, ttlNames);
    if (query === undefined) return;
    const expiry = ttlWords(query.get("ttl"));
    if (expiry === undefined) return this.#fail(exchange, badTtl);
    const condition = this.#condition(exchange);
    if (condition === undefined) return;
    const { request, response } = exchange;
    this.#bodies.read(request, response, (body) => {
      if (typeof body !== "string") return this.#fail(exchange, body);
      const words = ["SET", key, body, ...expiry, ...setWords(condition), "WITHVERSION"];
      this.#call(exchange, words, condition.type === "none" ? "absolute" : "once", (answer) => {
        const { reply } = answer;
        if (reply === null) return this.#fail(exchange, conditionFailed, this.#written(exchange, answer, false));
        const headers = this.#written(exchange, answer, true);
        // Its time was over when it was written: there is nothing to have a version.
        if (typeof reply === "string" && reply !== "") headers.push("ETag", tagOf(reply));
        headers.push("Cache-Control", "no-store");
        if (condition.type === "absent") headers.push("Content-Length", "0");
        response.writeHead(condition.type === "absent" ? 201 : 204, headers).end();
      });
    });
  }

  #delete(exchange: Exchange, key: string, url: string): void {
    if (this.#query(exchange, url, noNames) === undefined) return;
    const condition = this.#condition(exchange);
    if (condition === undefined) return;
    if (condition.type === "absent") {
      return this.#fail(exchange, badArgument("If-None-Match: * and DELETE exclude each other"));
    }
    const words = condition.type === "version" ? ["DELEX", key, "IFVERSION", condition.version] : ["DEL", key];
    const isPlain = condition.type === "none";
    this.#call(exchange, words, isPlain ? "absolute" : "once", (answer) => {
      const headers = this.#written(exchange, answer, answer.reply === 1);
      if (answer.reply !== 1) return this.#fail(exchange, isPlain ? noSuchKey : conditionFailed, headers);
      exchange.response.writeHead(204, [...headers, "Cache-Control", "no-store"]).end();
    });
  }

  #increment(exchange: Exchange, key: string, url: string): void {
    const by = this.#query(exchange, url, incrNames)?.get("incr");
    if (exchange.response.headersSent) return;
    if (by === undefined || !isInt64(by)) {
      return this.#fail(exchange, badArgument("POST /kv/<key>?incr=N, N an integer of 64 bits"));
    }
    this.#call(
      exchange,
      ["INCRBY", key, by],
      "once",
      (answer) => this.#sendText(exchange, String(answer.reply), this.#written(exchange, answer, true)),
      // The step is right, so it is about what stands there.
      (failure) => (failure.code === "ERR" ? new KvFailure("NOT_A_NUMBER", failure.message) : failure),
    );
  }

  /** Undefined: it was answered. */
  #condition(exchange: Exchange): Exclude<WriteCondition, { readonly type: "malformed" | "never" }> | undefined {
    const condition = writeCondition(exchange.request.headers);
    if (condition.type === "malformed") this.#fail(exchange, badArgument(condition.why));
    else if (condition.type === "never") this.#fail(exchange, conditionFailed);
    else return condition;
    return undefined;
  }

  // ---- Reading a key -------------------------------------------------------------------------------------------------

  #read(exchange: Exchange, key: string): void {
    const cached = this.#backend.cached?.(key, exchange.session);
    if (cached !== undefined) return this.#sendCached(exchange, cached);
    this.#call(exchange, ["VERSION", key, "WITHVALUE"], "read", (answer) => {
      const headers = this.#saw(exchange, answer);
      const { reply } = answer;
      const [version, value, expiresAtMs] = Array.isArray(reply) ? reply : [];
      if (reply === null) return this.#sendValue(exchange, undefined, headers);
      if (typeof version !== "string" || typeof value !== "string" || typeof expiresAtMs !== "number") {
        return this.#fail(exchange, new KvFailure("PROTOCOL", "the peer answered something else"));
      }
      this.#sendValue(exchange, { value, version, expiresAtMs: Math.max(0, expiresAtMs) }, headers);
    });
  }

  #sendCached(exchange: Exchange, cached: KvCached): void {
    const { value, version, expiresAtMs } = cached;
    const { request, response, form } = exchange;
    const { headers } = request;
    const isPlain = headers["if-match"] === undefined && headers["if-none-match"] === undefined && expiresAtMs === 0;
    if (value === undefined || !isPlain) {
      const found = value === undefined ? undefined : { value, version, expiresAtMs };
      return this.#sendValue(exchange, found, ["X-Cache", "hit"]);
    }
    // Made once per entry of the cache. The cast holds: only these lines write it.
    const prepared = (cached.prepared ??= prepare(value, version)) as Prepared;
    response.writeHead(200, prepared[form]);
    response.end(value);
  }

  #sendValue(exchange: Exchange, found: Found | undefined, headers: readonly string[]): void {
    const { request, response, form } = exchange;
    switch (judgeRead(request.headers, found?.version)) {
      case "malformed":
        return this.#fail(exchange, badArgument('If-Match and If-None-Match are * or a list of ETags, "..."'));
      case "failed":
        return this.#fail(exchange, conditionFailed, headers);
      case "not-modified":
        response.writeHead(304, ["ETag", tagOf(found?.version ?? ""), "Cache-Control", "no-cache", ...headers]).end();
        return;
      case "answer":
    }
    if (found === undefined) return this.#fail(exchange, noSuchKey, headers);
    const all = [...valueHeaders(found.value, found.version, form), ...headers];
    if (found.expiresAtMs > 0) all.push("X-Chorus-TTL", String(Math.max(0, found.expiresAtMs - Date.now()) / 1000));
    response.writeHead(200, all);
    // Of a HEAD node sends none of it.
    response.end(found.value, "latin1");
  }

  // ---- /kv -----------------------------------------------------------------------------------------------------------

  #onList(request: IncomingMessage, response: ServerResponse, url: string): void {
    const exchange = this.#begin(request, response, "json");
    if (exchange === undefined || !this.#allows(exchange, "GET", "HEAD")) return;
    const query = this.#query(exchange, url, listNames);
    if (query === undefined) return;
    const limit = query.has("limit") ? parseCount(query.get("limit") ?? "") : listKeysDefault;
    const from = parseCursor(query.get("cursor") ?? "");
    if (limit === undefined) return this.#fail(exchange, badArgument(`limit is 1 to ${listKeysMax}`));
    if (from === undefined) return this.#fail(exchange, badArgument("the cursor is none of ours"));
    this.#listPage(exchange, { prefix: query.get("prefix") ?? "", limit, ...from }).catch(this.#onError);
  }

  /** SCANs until the page is full, or it took long: a rare prefix is looked for in bigger and bigger steps. */
  async #listPage(exchange: Exchange, page: ListPage): Promise<void> {
    const pattern = page.prefix === "" ? [] : ["MATCH", `${globEscaped(page.prefix)}*`];
    const deadlineMs = performance.now() + listPageMs;
    const keys: string[] = [];
    let { cursor, run } = page;
    let count = page.limit;
    let answer: KvAnswer;
    try {
      do {
        answer = await this.#backend.call({
          command: ["SCAN", cursor, ...pattern, "COUNT", String(count)],
          position: exchange.session,
          kind: "read",
          ...(run === undefined ? {} : { run }),
          isGone: () => exchange.response.destroyed,
          from: addressOf(exchange.request),
        });
        const [next, found] = Array.isArray(answer.reply) ? answer.reply : [];
        if (typeof next !== "string" || !Array.isArray(found)) {
          throw new KvFailure("PROTOCOL", "the peer answered something else");
        }
        for (const key of found) if (typeof key === "string") keys.push(key);
        cursor = next;
        run = answer.run;
        count = found.length > 0 ? page.limit - keys.length : Math.min(count * 4, scanCountMax);
      } while (cursor !== "0" && keys.length < page.limit && performance.now() < deadlineMs);
    } catch (error) {
      return this.#fail(exchange, this.#failureOf(error));
    }
    const next = cursor === "0" ? "null" : JSON.stringify(`${run}:${cursor}`);
    const body = `{"keys":[${keys.map(latin1ToJson).join(",")}],"cursor":${next}}\n`;
    const { response } = exchange;
    response.writeHead(200, [
      "Content-Type",
      "application/json",
      "Content-Length",
      String(Buffer.byteLength(body)),
      "Cache-Control",
      "no-store",
      ...guards,
      ...this.#saw(exchange, answer),
    ]);
    response.end(body);
  }

  // ---- What all do ---------------------------------------------------------------------------------------------------

  /** Undefined: it was answered. */
  #begin(request: IncomingMessage, response: ServerResponse, form: "json" | "text"): Exchange | undefined {
    const session = sessionOf(request);
    if (session !== undefined) return { request, response, form, session };
    const why = `${sessionHeader} is none that an answer gave`;
    this.#fail({ request, response, form, session: "" }, new KvFailure("BAD_POSITION", why));
    return undefined;
  }

  #allows(exchange: Exchange, ...methods: readonly string[]): boolean {
    const { method } = exchange.request;
    if (method !== undefined && methods.includes(method)) return true;
    this.#fail(exchange, badMethod(method), ["Allow", methods.join(", ")]);
    return false;
  }

  #query(exchange: Exchange, url: string, names: ReadonlySet<string>): ReadonlyMap<string, string> | undefined {
    const parsed = parseQuery(url, names);
    if (parsed.ok) return parsed.values;
    this.#fail(exchange, badArgument(parsed.why));
    return undefined;
  }

  #call(
    exchange: Exchange,
    command: readonly string[],
    kind: Kind,
    onAnswer: (answer: KvAnswer) => void,
    failureFor: (failure: KvFailure) => KvFailure = (failure) => failure,
  ): void {
    const { response, session } = exchange;
    const isGone = (): boolean => response.destroyed;
    this.#backend
      .call({ command, position: session, kind, isGone, from: addressOf(exchange.request) })
      .then(onAnswer)
      .catch((error: unknown) => this.#fail(exchange, failureFor(this.#failureOf(error))));
  }

  #failureOf(error: unknown): KvFailure {
    if (error instanceof KvFailure) return error;
    this.#onError(error);
    return new KvFailure("INTERNAL", "an error inside; the log has it", "unknown");
  }

  #fail(exchange: Exchange, failure: KvFailure, headers: readonly string[] = []): void {
    this.counters.failures += 1;
    const { request, response, form } = exchange;
    if (response.destroyed) return;
    // A bug behind the first byte: nothing can be said any more.
    if (response.headersSent) return void response.destroy();
    const fields: Record<string, string> = {};
    for (let at = 0; at + 1 < headers.length; at += 2) fields[headers[at] ?? ""] = headers[at + 1] ?? "";
    answerFailure(request, response, failure, fields, form);
  }

  /** Headers of an answer to a write. `changed` false: it wrote nothing, so it is a read. */
  #written(exchange: Exchange, answer: KvAnswer, changed: boolean): string[] {
    if (!changed) return this.#saw(exchange, answer);
    const headers = peerHeaders(answer);
    const token = writeToken(answer.position, answer.run);
    if (token !== undefined) headers.push(sessionHeader, token, "Set-Cookie", sessionCookie(token));
    return headers;
  }

  #saw({ session }: Exchange, answer: KvAnswer): string[] {
    const headers = peerHeaders(answer);
    if (answer.cache !== undefined) headers.push("X-Cache", answer.cache);
    if (session !== "") headers.push(sessionHeader, readToken(answer.position, session));
    return headers;
  }
}

// ---- Values -----------------------------------------------------------------------------------------------------------

interface Found {
  /** A string is latin1. */
  readonly value: string | Buffer;
  readonly version: string;
  /** Unix ms, 0 for none. */
  readonly expiresAtMs: number;
}

interface Prepared {
  readonly json: string[];
  readonly text: string[];
}

interface ListPage {
  readonly prefix: string;
  readonly limit: number;
  readonly cursor: string;
  readonly run: string | undefined;
}

const prepare = (value: Buffer, version: string): Prepared => ({
  json: [...valueHeaders(value, version, "json"), "X-Cache", "hit"],
  text: [...valueHeaders(value, version, "text"), "X-Cache", "hit"],
});

const valueHeaders = (value: string | Buffer, version: string, form: "json" | "text"): string[] => [
  "Content-Type",
  form === "json" ? "application/octet-stream" : plainText,
  "Content-Length",
  String(value.length),
  "ETag",
  tagOf(version),
  // May be kept, must be asked for again: that is what the ETag is for.
  "Cache-Control",
  "no-cache",
  ...guards,
  ...(form === "json" ? ["Content-Disposition", "attachment"] : []),
];

const peerHeaders = ({ run }: KvAnswer): string[] => ["X-Chorus-Peer", run.slice(0, run.indexOf("."))];

const noSuchKey = new KvFailure("NOT_FOUND", "no such key");
const conditionFailed = new KvFailure("CONDITION_FAILED", "the key is not, or no longer, what the condition says");
const badTtl = badArgument("ttl is in seconds, above 0, with at most three decimals");

const addressOf = ({ socket }: IncomingMessage): string => {
  const { remoteAddress = "?", remotePort = 0 } = socket;
  return remoteAddress.includes(":") ? `[${remoteAddress}]:${remotePort}` : `${remoteAddress}:${remotePort}`;
};

const isRead = ({ method }: IncomingMessage): boolean => method === "GET" || method === "HEAD";

const setWords = (condition: WriteCondition): readonly string[] => {
  if (condition.type === "absent") return ["NX"];
  if (condition.type === "present") return ["XX"];
  return condition.type === "version" ? ["IFVERSION", condition.version] : [];
};

/** Words for SET. Undefined: not a time. */
const ttlWords = (ttl: string | undefined): readonly string[] | undefined => {
  if (ttl === undefined) return [];
  if (!/^[0-9]{1,12}(?:\.[0-9]{1,3})?$/.test(ttl)) return undefined;
  const ms = Math.round(Number(ttl) * 1000);
  return ms > 0 ? ["PX", String(ms)] : undefined;
};

const isInt64 = (text: string): boolean =>
  /^-?[0-9]{1,19}$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);

const parseCount = (text: string): number | undefined =>
  /^[1-9][0-9]{0,3}$/.test(text) && Number(text) <= listKeysMax ? Number(text) : undefined;

/** `run:number`, of the peer that gave it. */
const parseCursor = (text: string): { readonly cursor: string; readonly run: string | undefined } | undefined => {
  if (text === "") return { cursor: "0", run: undefined };
  const colonAt = text.indexOf(":");
  const [run, cursor] = [text.slice(0, colonAt), text.slice(colonAt + 1)];
  return parseOriginId(run) !== undefined && /^[0-9]{1,16}$/.test(cursor) ? { cursor, run } : undefined;
};

const globEscaped = (text: string): string => text.replaceAll(/[\\*?[\]]/g, "\\$&");
