/**
 * How an HTTP server lets go of connections that are kept alive. HTTP/1.1 has one way to say "not on this connection again",
 * a response with `Connection: close`; a connection that is just cut loses the request its client was sending. So while it
 * drains a server goes on answering, with that header, and only what was not used for all of that time is closed: there a
 * request is lost only when it is on its way in that very moment, and no server can help that.
 *
 * What `Server.close` of node does instead, closing idle connections at once, cuts a client that asks one thing after
 * another as likely as not: https://github.com/nodejs/node/issues/60617.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { performance } from "node:perf_hooks";
import { setTimeout as delay, setImmediate as turn } from "node:timers/promises";
import { httpDrainMs } from "../protocol/limits.ts";

const lookAgainMs = 10;

const drainingSinceMs = new WeakMap<Server, number>();

/** From here on each answer is the last on its connection. It still listens. Twice is fine. */
export const drainHttp = (server: Server): void => {
  if (drainingSinceMs.has(server)) return;
  drainingSinceMs.set(server, performance.now());
  const asLast = (_request: IncomingMessage, response: ServerResponse): void => {
    response.shouldKeepAlive = false;
  };
  server.prependListener("request", asLast);
  server.prependListener("checkContinue", asLast);
  // For answers under way: their headers may have promised more, so their connections are left for a while longer.
  server.keepAliveTimeout = httpDrainMs;
};

/** Resolves when no connection is left, at the latest `drainMs` after the draining began. */
export const httpDrained = async (server: Server, drainMs = httpDrainMs): Promise<void> => {
  drainHttp(server);
  const deadlineMs = (drainingSinceMs.get(server) ?? 0) + drainMs;
  while (performance.now() < deadlineMs && (await connectionsOf(server)) > 0) await delay(lookAgainMs);
  // Requests that came meanwhile, should this thread have stood still.
  await turn();
};

const connectionsOf = (server: Server): Promise<number> =>
  new Promise((resolve) => server.getConnections((error, count) => resolve(error === null ? count : 0)));
