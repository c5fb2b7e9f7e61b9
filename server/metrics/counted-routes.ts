/** Routes whose requests are counted and timed, for peers and gateways. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { performance } from "node:perf_hooks";
import type { RequestRoutes } from "../http.ts";
import type { PageRules } from "../web/page-rules.ts";
import type { HttpCounts } from "./http-families.ts";

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
    const route = this.#counts.route(routeOf(request.url ?? ""));
    const note = (): void => route.note(response.statusCode, (performance.now() - startedMs) * 1000);
    if (response.writableEnded) note();
    else response.once("close", note);
    return true;
  }
}

/** A template, never a path with a key in it: only those that the routes know come here, so there are few. */
const routeOf = (url: string): string => {
  if (url.startsWith("/kv/")) return "/kv/{key}";
  const queryAt = url.indexOf("?");
  return queryAt < 0 ? url : url.slice(0, queryAt);
};
