/**
 * The HTTP port of a peer or a gateway: who may ask at all, and which part answers. Keys (server/web/kv-routes.ts), the status
 * page, what an orchestrator asks (`/status`, `/metrics`, `/livez`, `/readyz`, `/healthz`), streams (`/watch`, `/backup`), and
 * the door through which WebSockets are handed on (`/peer`, see server/links; `/client`, see server/ports/client-socket.ts).
 *
 * It answers requests whose Host is an address, a loopback name or an advertised name, so a web page that had its own name
 * point here (DNS rebinding) is refused. What else a page may is in server/web/page-rules.ts. A WebSocket may be opened by
 * any page, whoever serves it, so `/client` looks at the Origin too.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { performance } from "node:perf_hooks";
import type { Duplex } from "node:stream";
import { getRequestListener } from "@hono/node-server";
import { type Context, Hono } from "hono";
import {
  httpConnectionsMax,
  httpHeaderBytesMax,
  httpHeadersMax,
  httpHeadersTimeoutMs,
  httpKeepAliveTimeoutMs,
  httpRequestTimeoutMs,
} from "../protocol/limits.ts";
import { httpDrained } from "./http-drain.ts";
import { refuseUpgrade } from "./links/refuse-upgrade.ts";
import { countStream, timeAnswer } from "./metrics/counted-routes.ts";
import type { Metrics } from "./metrics/family.ts";
import type { HttpCounts } from "./metrics/http-families.ts";
import { answerFailure, badMethod, baseHeaders, errorText, forbidden } from "./web/answers.ts";
import { httpStatusOf, KvFailure } from "./web/kv-backend.ts";
import { PageRules } from "./web/page-rules.ts";
import { statusPage } from "./web/status-page.ts";

export interface HealthCheck {
  /** One word, such as `loading`, `gate`, `draining`, `storage`. */
  readonly name: string;
  readonly ok: boolean;
  /** For people: the reason when not ok. */
  readonly detail: string;
}

/** What the port shows. Called per request; must be cheap. */
export interface HttpSource {
  /** Becomes JSON: maps become objects, bigints decimal strings. */
  status(): unknown;
  /** All that must be ok for this peer to be sent clients. */
  checks(): readonly HealthCheck[];
  /** `/metrics`; undefined: there is none. */
  readonly metrics?: Metrics;
}

export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

export interface HttpOptions {
  readonly source: HttpSource;
  /** Path to handler, such as `/peer`. Other paths: 404. */
  readonly upgrades: ReadonlyMap<string, UpgradeHandler>;
  /** Path to handler of GET and HEAD whose answer may go on for ever. Web pages: as with `pagePaths`, with CORS headers. */
  readonly streams?: ReadonlyMap<string, StreamHandler>;
  /** The routes for keys, asked first. */
  readonly routes?: RequestRoutes;
  /** Of `upgrades`, those that web pages may open: of this very host and port, and of `allowOrigins`. */
  readonly pagePaths?: ReadonlySet<string>;
  /** Where requests for the page, for `/status` and for streams are counted. Those of `routes` count themselves. */
  readonly counts?: HttpCounts;
  /** Origins such as `https://app.example`; `*` is any. */
  readonly allowOrigins?: readonly string[];
  /** Names (without ports) beside loopback and addresses that requests may be made to. */
  readonly hosts: readonly string[];
  /** What answers, in words for people. Default `peer`. */
  readonly who?: "peer" | "gateway";
  /** A bug while answering; the client gets a bare 500. */
  readonly onError: (error: unknown) => void;
}

export interface RequestRoutes {
  /** Called for every request whose Host is allowed. True: it answers, now or later. */
  handle(request: IncomingMessage, response: ServerResponse, rules: PageRules): boolean;
}

/** Of what Hono answers: what people and their pages ask. */
const countedPaths: ReadonlySet<string> = new Set(["/", "/status"]);

export type StreamHandler = (request: IncomingMessage, response: ServerResponse) => void;

/** Not listening yet, see listenHttp. */
export const createHttpServer = (options: HttpOptions): Server => {
  const answer = getRequestListener(routesOf(options).fetch, { overrideGlobalObjects: false });
  const { who = "peer", counts } = options;
  const rules = new PageRules(options);
  const onStream = (request: IncomingMessage, response: ServerResponse, stream: StreamHandler): void => {
    const refusal = rules.refusal(request, "read");
    if (refusal !== undefined) return answerFailure(request, response, forbidden(refusal));
    if (rules.cors(request, response)) return;
    if (request.method !== "GET" && request.method !== "HEAD") {
      return answerFailure(request, response, badMethod(request.method), { Allow: "GET, HEAD" });
    }
    stream(request, response);
  };
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    if (!rules.isHostAllowed(request.headers.host)) {
      const why = `this ${who} does not answer to that Host; see ${who === "peer" ? "--advertise" : "--hosts"}`;
      return answerFailure(request, response, new KvFailure("MISDIRECTED", why));
    }
    if (options.routes?.handle(request, response, rules) === true) return;
    const path = pathOf(request);
    const stream = options.streams?.get(path);
    if (stream !== undefined) {
      if (counts !== undefined) countStream(counts.route(path), response);
      return onStream(request, response, stream);
    }
    if (countedPaths.has(path) && counts !== undefined) timeAnswer(counts.route(path), response, performance.now());
    // Nothing behind here looks at it; what is allowed for us (capitals, none at all) Hono's adapter answers with 400.
    request.headers.host = "localhost";
    answer(request, response).catch((error: unknown) => {
      options.onError(error);
      response.destroy();
    });
  };
  const server = createServer(
    {
      maxHeaderSize: httpHeaderBytesMax,
      headersTimeout: httpHeadersTimeoutMs,
      requestTimeout: httpRequestTimeoutMs,
      keepAliveTimeout: httpKeepAliveTimeoutMs,
      // Node looks for timed-out requests this often: by default every 30 s.
      connectionsCheckingInterval: 1000,
      noDelay: true,
    },
    onRequest,
  );
  // Whoever reads the body asks for it with 100; a refusal comes instead of it.
  server.on("checkContinue", onRequest);
  server.maxHeadersCount = httpHeadersMax;
  server.maxConnections = httpConnectionsMax;
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const path = pathOf(request);
    const handler = options.upgrades.get(path);
    const isRefused = options.pagePaths?.has(path) === true && !rules.isOriginAllowed(request);
    if (handler !== undefined && !isRefused) return handler(request, socket, head);
    socket.on("error", () => socket.destroy());
    if (isRefused) refuseUpgrade(socket, 403, "a page of that origin may not connect here; see --allow-origin");
    else refuseUpgrade(socket, 404, "no WebSocket here");
  });
  return server;
};

/** Rejects with an Error of one clear line. */
export const listenHttp = (server: Server, where: { host: string; port: number }): Promise<AddressInfo> =>
  new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void =>
      reject(new Error(listenFailureText(error, where), { cause: error }));
    server.once("error", onError);
    server.listen(where.port, where.host, () => {
      server.off("error", onError);
      // The cast holds: it listens on TCP.
      resolve(server.address() as AddressInfo);
    });
  });

/**
 * Drains (see http-drain.ts), then takes no new connection, lets running requests end for `graceMs`, then cuts. No grace: cuts
 * at once. Close the links first. Twice is fine.
 */
export const closeHttpServer = async (server: Server, graceMs = 1000): Promise<void> => {
  if (server.listening && graceMs > 0) await httpDrained(server);
  if (!server.listening) return;
  await new Promise<void>((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), graceMs);
    // Closes idle connections too.
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
  });
};

// ---- Routes ---------------------------------------------------------------------------------------------------------

const routesOf = ({ source, upgrades, onError, who = "peer" }: HttpOptions): Hono => {
  const app = new Hono();
  app.use(async (context, next): Promise<Response | void> => {
    if (context.req.method !== "GET" && context.req.method !== "HEAD") {
      // The body is not read, so the connection cannot be used again.
      const headers = { Allow: "GET, HEAD", Connection: "close" };
      return jsonError(badMethod(context.req.method), headers);
    }
    return next();
  });
  const page = statusPage();
  app.get("/", () => new Response(page.html, { headers: { ...baseHeaders, ...page.headers } }));
  app.get("/status", () => json(200, source.status()));
  app.get("/livez", (context) => health(context, "livez", []));
  app.get("/readyz", (context) => health(context, "readyz", source.checks()));
  app.get("/healthz", (context) => health(context, "healthz", source.checks()));
  const { metrics } = source;
  if (metrics !== undefined) {
    app.get("/metrics", async () => {
      const headers = { "Content-Type": metrics.contentType, ...baseHeaders };
      return new Response(await metrics.scrape(), { headers });
    });
  }
  for (const path of upgrades.keys()) {
    const headers = { Upgrade: "websocket", Connection: "Upgrade" };
    app.get(path, () => jsonError(new KvFailure("UPGRADE_REQUIRED", "this path speaks WebSocket only"), headers));
  }
  app.notFound(() => jsonError(new KvFailure("NOT_FOUND", "no such path")));
  app.onError((error) => {
    onError(error);
    return jsonError(new KvFailure("INTERNAL", `an error inside this ${who}; its log has it`));
  });
  return app;
};

const json = (status: number, body: unknown): Response => jsonText(status, `${JSON.stringify(body, jsonValue, 2)}\n`);

const jsonText = (status: number, text: string, headers: Record<string, string> = {}): Response =>
  new Response(text, { status, headers: { "Content-Type": "application/json", ...baseHeaders, ...headers } });

const jsonError = (failure: KvFailure, headers: Record<string, string> = {}): Response =>
  jsonText(httpStatusOf(failure), errorText(failure, httpStatusOf(failure)), headers);

const jsonValue = (_key: string, value: unknown): unknown => {
  if (typeof value === "bigint") return value.toString();
  return value instanceof Map ? Object.fromEntries(value) : value;
};

/** The form Kubernetes gives its own: `ok`, or each failing check with its reason; all checks with `?verbose`. */
const health = (context: Context, name: string, checks: readonly HealthCheck[]): Response => {
  const isOk = checks.every((check) => check.ok);
  const isVerbose = context.req.query("verbose") !== undefined;
  const lines = checks
    .filter((check) => isVerbose || !check.ok)
    .map((check) => (check.ok ? `[+]${check.name} ok` : `[-]${check.name} failed: ${check.detail}`));
  if (!isOk) lines.push(`${name} check failed`);
  else lines.push(isVerbose ? `${name} check passed` : "ok");
  return new Response(`${lines.join("\n")}\n`, {
    status: isOk ? 200 : 503,
    headers: { "Content-Type": "text/plain; charset=utf-8", ...baseHeaders },
  });
};

const pathOf = (request: IncomingMessage): string => (request.url ?? "").split("?", 1)[0] ?? "";

const listenFailureText = (error: NodeJS.ErrnoException, where: { host: string; port: number }): string => {
  const port = `HTTP port ${where.port} on ${where.host}`;
  switch (error.code) {
    case "EADDRINUSE":
      return `${port} is already in use: stop what uses it, or choose another`;
    case "EACCES":
      return `${port} may not be opened by this user`;
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `${port}: this machine has no such address`;
    default:
      return `${port} cannot be opened: ${error.message}`;
  }
};
