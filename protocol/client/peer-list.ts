/**
 * The peers a client may go to, and in which order it tries them.
 *
 * Those the caller named come first, in that order; those a peer told of, behind. Whoever failed or refused lately is
 * tried last. Pure: the clock is an argument.
 */

import { peersMax } from "../limits.ts";

/** A peer that failed is tried behind the others for this long. */
const failureMs = 5000;

export interface ListedPeer {
  readonly url: string;
  /** Once it has said so. */
  readonly name: string | undefined;
}

interface Entry {
  readonly url: string;
  /** Named by the caller. */
  readonly given: boolean;
  name: string | undefined;
  failedAtMs: number;
  why: string;
}

/**
 * `ws://host:port`, `wss://...`, `http(s)://...` and `host:port` to the URL of `/client`; a path that is given stays.
 * Undefined for anything else.
 */
export const clientUrl = (address: string): string | undefined => {
  const text = address.trim();
  // What looks like `host:port` would be read as a scheme.
  const withScheme = /^[a-z]+:\/\//i.test(text) ? text.replace(/^http/i, "ws") : `ws://${text}`;
  try {
    const url = new URL(withScheme);
    if ((url.protocol !== "ws:" && url.protocol !== "wss:") || url.hostname === "") return undefined;
    if (url.username !== "" || url.password !== "" || url.hash !== "") return undefined;
    if (url.pathname === "/" || url.pathname === "") url.pathname = "/client";
    return url.href;
  } catch {
    return undefined;
  }
};

export class PeerList {
  #entries: Entry[];

  constructor(urls: readonly string[]) {
    this.#entries = [...new Set(urls)].map((url) => ({
      url,
      given: true,
      name: undefined,
      failedAtMs: Number.NEGATIVE_INFINITY,
      why: "",
    }));
  }

  /** In the order to try them. */
  order(nowMs: number): readonly ListedPeer[] {
    const rank = ({ failedAtMs }: Entry): number => (nowMs - failedAtMs < failureMs ? failedAtMs : 0);
    // Stable: equals stay in the list's order.
    return [...this.#entries].sort((a, b) => rank(a) - rank(b));
  }

  failed(url: string, nowMs: number, why: string): void {
    const entry = this.#entries.find((candidate) => candidate.url === url);
    if (entry === undefined) return;
    entry.failedAtMs = Math.max(nowMs, 1);
    entry.why = why;
  }

  /**
   * What a peer said in its welcome: who it is, and who else there is. A peer under two addresses is kept under the one
   * the caller named, else under the one that answered.
   */
  welcomed(url: string, name: string, others: readonly { readonly name: string; readonly address: string }[]): void {
    const entry = this.#entries.find((candidate) => candidate.url === url);
    if (entry !== undefined) {
      entry.name = name;
      entry.failedAtMs = Number.NEGATIVE_INFINITY;
      entry.why = "";
    }
    this.#entries = this.#entries.filter((other) => other === entry || other.given || other.name !== name);
    for (const other of others) {
      // As safe a wire as the one they were told of on.
      const told = clientUrl(`${url.startsWith("wss:") ? "wss" : "ws"}://${other.address}`);
      if (told === undefined) continue;
      const known = this.#entries.find((candidate) => candidate.name === other.name || candidate.url === told);
      // A cluster has at most peersMax; twice as many, since a peer may have moved.
      if (known === undefined && this.#entries.length < 2 * peersMax)
        this.#entries.push({
          url: told,
          given: false,
          name: other.name,
          failedAtMs: Number.NEGATIVE_INFINITY,
          why: "",
        });
    }
  }

  /** Why none of them answers, for people. */
  whyNot(): string {
    return this.#entries.map(({ url, why }) => `${new URL(url).host}: ${why || "no answer"}`).join("; ");
  }
}

/**
 * How long to wait before round `round` (from 0) of trying everybody: exponential with jitter, so that clients which lost
 * the same peer at the same moment do not come at the same moment. Some of the wait is fixed: a round never follows at
 * once.
 */
export const backoffMs = (round: number, random: number): number => {
  const boundMs = Math.min(1000, 50 * 2 ** Math.min(round, 10));
  return Math.floor(boundMs * (0.25 + 0.75 * random));
};
