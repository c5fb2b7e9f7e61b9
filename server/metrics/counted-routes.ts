/**
 * Requests counted by route, for peers and gateways, once they are answered or their clients are gone. All but streams, whose
 * ends are up to their readers, are timed too. What probes and scrapers ask (`/readyz`, `/metrics`) is not counted: a peer
 * that says it is not ready has not failed a request.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { performance } from "node:perf_hooks";
import type { RequestRoutes } from "../http.ts";
import type { PageRules } from "../web/page-rules.ts";
import type { HttpCounts, RouteCounts } from "./http-families.ts";

export class CountedRoutes implements RequestRoutes {
  readonly #routes: RequestRoutes;
  readonly #counts: HttpCounts;

  constructor(routes: RequestRoutes, counts: HttpCounts) {
    this.#routes = routes;
    this.#counts = counts;
  }

  /** What is answered when it returns (from a cache) is noted then: nothing has to listen for its end. */
  handle(request: IncomingMessage, response: ServerResponse, rules: PageRules): boolean {
    const startedMs = performance.now();
    if (!this.#routes.handle(request, response, rules)) return false;
    timeAnswer(this.#counts.route(routeOf(request.url ?? "")), response, startedMs);
    return true;
  }
}

/** Counts and times one answer, given already or to come. */
export const timeAnswer = (route: RouteCounts, response: ServerResponse, startedMs: number): void => {
  const note = (): void => route.note(response.statusCode, (performance.now() - startedMs) * 1000);
  if (response.writableEnded) note();
  else response.once("close", note);
};

/** Counts an answer that goes on for as long as its reader likes. */
export const countStream = (route: RouteCounts, response: ServerResponse): void => {
  // 0: its reader left before it began.
  response.once("close", () => route.count(response.headersSent ? response.statusCode : 0));
};

/** A template, never a path with a key in it: only those that the routes know come here, so there are few. */
const routeOf = (url: string): string => {
  if (url.startsWith("/kv/")) return "/kv/{key}";
  const queryAt = url.indexOf("?");
  return queryAt < 0 ? url : url.slice(0, queryAt);
};
