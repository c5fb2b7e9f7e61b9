/**
 * Which requests a web page may make. A page of any site may have its visitor's browser ask an address of ours, and the
 * browser adds the password it keeps; what tells such requests from curl's is what browsers add to them.
 *
 *   Host             a name of ours or an address. A name that a page's owner pointed here (DNS rebinding) is refused.
 *   Origin           none (no page, or a page's own GET), the very host and port asked, or one of --allow-origin.
 *   Sec-Fetch-Site   that a page of another site asks without an Origin: <img>, <script>, a link, a form's GET.
 *
 * A GET that changes something (/set, /delete) is held to more, since a mere link makes one: it comes from no page, from
 * our own, or from what a person typed. Browsers send Sec-Fetch-Site only to HTTPS and to loopback; elsewhere the Referer
 * decides, and what calls itself a browser without saying where it comes from must use PUT, which no link can.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { isIP } from "node:net";

/** `change-by-get`: see above. */
export type RequestKind = "read" | "change" | "change-by-get";

const corsMethods = "GET, HEAD, PUT, POST, DELETE";
const corsRequestHeaders = "Authorization, Content-Type, If-Match, If-None-Match, Last-Event-ID, X-Chorus-Session";
const corsExposed = "ETag, Retry-After, X-Cache, X-Chorus-Peer, X-Chorus-Session, X-Chorus-TTL";
const preflightSeconds = "600";

export class PageRules {
  readonly #hosts: ReadonlySet<string>;
  readonly #allowed: ReadonlySet<string>;
  readonly #allowsAll: boolean;

  constructor(options: {
    /** Names (without ports) beside loopback and addresses that requests may be made to. */
    readonly hosts: readonly string[];
    /** Origins such as `https://app.example`; `*` is any. */
    readonly allowOrigins?: readonly string[] | undefined;
  }) {
    this.#hosts = new Set(options.hosts.map((host) => host.toLowerCase()));
    this.#allowed = new Set(options.allowOrigins);
    this.#allowsAll = this.#allowed.has("*");
  }

  /** Of the header. Without it only HTTP/1.0, which no browser speaks and load balancers' probes do. */
  isHostAllowed(host: string | undefined): boolean {
    if (host === undefined) return true;
    const name = hostName(host);
    return name !== undefined && (name === "localhost" || isIP(name) !== 0 || this.#hosts.has(name));
  }

  /** Programs send no Origin. */
  isOriginAllowed(request: IncomingMessage): boolean {
    const origin = request.headers.origin ?? request.headers["sec-websocket-origin"];
    if (origin === undefined || this.#allowsAll) return true;
    if (typeof origin !== "string") return false;
    return this.#allowed.has(origin.toLowerCase()) || this.#isOwn(origin, request.headers.host);
  }

  /**
   * A page that came from the very host and port it asks is no stranger, provided that its host is a name of ours: a
   * rebound name is the same in both headers.
   */
  #isOwn(origin: string, host: string | undefined): boolean {
    if (host === undefined || !this.isHostAllowed(host)) return false;
    const [, scheme, authority] = /^(https?):\/\/([^/@]+)$/i.exec(origin) ?? [];
    if (scheme === undefined || authority === undefined) return false;
    const withPort = (name: string): string =>
      /:[0-9]+$/.test(name)
        ? name.toLowerCase()
        : `${name.toLowerCase()}:${scheme.toLowerCase() === "https" ? 443 : 80}`;
    return withPort(authority) === withPort(host);
  }

  /** Why the request may not be made, for people; undefined: it may. */
  refusal(request: IncomingMessage, kind: RequestKind): string | undefined {
    const { origin, referer, host, "sec-fetch-site": site, "user-agent": agent } = request.headers;
    if (!this.isOriginAllowed(request)) return "a page of that origin may not ask this; see --allow-origin";
    const isForeign = site !== undefined && site !== "same-origin" && site !== "none";
    if (kind !== "change-by-get") {
      return isForeign && origin === undefined ? "a page of another site may not ask this" : undefined;
    }
    if (isForeign) return "a page of another site may not change anything by GET; PUT and DELETE /kv/<key> ask first";
    if (site !== undefined) return undefined;
    const from = referer === undefined ? undefined : /^[a-z]+:\/\/[^/]*/i.exec(referer)?.[0];
    if (referer !== undefined && (from === undefined || !this.#isOwn(from, host))) {
      return "a page of another site may not change anything by GET";
    }
    if (referer === undefined && agent?.startsWith("Mozilla/") && !isLoopback(host)) {
      return "a browser does not say here which page asks, so it may not change anything by GET; use PUT /kv/<key>";
    }
    return undefined;
  }

  /** CORS headers for an origin that is allowed by name. True: it was a preflight, and is answered. */
  cors(request: IncomingMessage, response: ServerResponse): boolean {
    const { origin } = request.headers;
    if (this.#allowed.size > 0) response.setHeader("Vary", "Origin");
    if (origin === undefined || !(this.#allowsAll || this.#allowed.has(origin.toLowerCase()))) return false;
    response.setHeader("Access-Control-Allow-Origin", origin);
    response.setHeader("Access-Control-Expose-Headers", corsExposed);
    if (request.method !== "OPTIONS") return false;
    response.setHeader("Access-Control-Allow-Methods", corsMethods);
    response.setHeader("Access-Control-Allow-Headers", corsRequestHeaders);
    response.setHeader("Access-Control-Max-Age", preflightSeconds);
    // A page of the internet that asks an address of a private network, which is most of ours.
    if (request.headers["access-control-request-private-network"] === "true") {
      response.setHeader("Access-Control-Allow-Private-Network", "true");
    }
    response.writeHead(204, { "Cache-Control": "no-store" }).end();
    return true;
  }
}

/** Lower case, without port and brackets. Undefined: no host name. */
const hostName = (host: string): string | undefined => {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::[0-9]{0,5})?$/.exec(host);
  return match === null ? undefined : (match[1] ?? match[2] ?? "").toLowerCase();
};

const isLoopback = (host: string | undefined): boolean => {
  const name = host === undefined ? undefined : hostName(host);
  return name === "localhost" || name === "::1" || (name !== undefined && /^127\.[0-9.]+$/.test(name));
};
