/**
 * Keeps trying to reach one peer: resolve, connect, upgrade, handshake, and again after a wait when any of it fails.
 * Nothing here runs on behalf of a client.
 */
import type { Socket } from "node:net";
import { WebSocket } from "ws";
import type { PeerName } from "../../protocol/words.ts";
import { Backoff } from "./backoff.ts";
import { type GreetingResult, greet } from "./greeting.ts";
import type { DialerHandshake } from "./handshake.ts";
import { lookupInTurn } from "./lookup.ts";

export interface DialerOptions {
  readonly peer: PeerName;
  readonly url: string;
  /** Limits and other options for ws, the same as on the listening side. */
  readonly socketOptions: object;
  /** For TCP and the HTTP upgrade together; then again for the handshake. */
  readonly timeoutMs: number;
  readonly backoffBaseMs: number;
  readonly backoffCapMs: number;
  /** A link that lived longer is redialed at once. */
  readonly steadyAfterMs: number;
  readonly random: () => number;
  readonly newHandshake: () => DialerHandshake;
  readonly drops: (peer: PeerName, direction: "in" | "out") => boolean;
  /** Each WebSocket there is, so that somebody can close them all. */
  readonly onSocket: (ws: WebSocket) => void;
  /** Once per attempt. When accepted the sockets are the receiver's, who calls onLinkEnded afterwards. */
  readonly onAttempt: (result: GreetingResult, sockets: { ws: WebSocket; socket: Socket } | undefined) => void;
}

export class Dialer {
  readonly #options: DialerOptions;
  readonly #backoff: Backoff;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;
  /** Ends the attempt under way; undefined between attempts. */
  #giveUp: ((why: string) => void) | undefined;
  #isWaiting = false;
  attempts = 0;

  constructor(options: DialerOptions) {
    this.#options = options;
    const { backoffBaseMs: baseMs, backoffCapMs: capMs, random } = options;
    this.#backoff = new Backoff({ baseMs, capMs, random });
  }

  start(): void {
    this.#dialIn(0);
  }

  /** The link made by the last attempt is gone. */
  onLinkEnded(livedMs: number): void {
    if (livedMs > this.#options.steadyAfterMs) {
      this.#backoff.reset();
      this.#dialIn(0);
    } else this.#dialIn(this.#backoff.nextMs());
  }

  /** The reason for failures so far has gone: tries again at once, unless a link is up. */
  retry(): void {
    this.#backoff.reset();
    if (this.#giveUp !== undefined) this.#giveUp("trying anew");
    else if (this.#isWaiting) this.#dialIn(0);
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  #dialIn(waitMs: number): void {
    if (this.#isStopped) return;
    clearTimeout(this.#timer);
    this.#isWaiting = true;
    this.#timer = setTimeout(() => this.#dial(), waitMs);
  }

  #dial(): void {
    this.attempts += 1;
    this.#isWaiting = false;
    const { url, timeoutMs } = this.#options;
    const handshake = this.#options.newHandshake();
    // The cast: @types/ws does not know that the options go on to net.connect.
    const ws = new WebSocket(url, {
      ...this.#options.socketOptions,
      handshakeTimeout: timeoutMs,
      lookup: lookupInTurn,
      // ws skips masking for a zero key at both ends; the frame stays as RFC 6455 wants it. A mask protects proxies
      // from what a web page may send, and costs four times the rest of a send.
      generateMask: (mask: Buffer) => mask.fill(0),
    } as WebSocket.ClientOptions);
    this.#options.onSocket(ws);

    let socket: Socket | undefined;
    const fail = (why: string): void => {
      ws.terminate();
      settle({ type: "failed", peer: this.#options.peer, why });
    };
    this.#giveUp = fail;
    const deadline = setTimeout(() => fail(`no connection within ${timeoutMs} ms`), timeoutMs);
    let isSettled = false;
    const settle = (result: GreetingResult): void => {
      if (isSettled) return;
      isSettled = true;
      this.#giveUp = undefined;
      clearTimeout(deadline);
      const sockets = result.type === "accepted" && socket !== undefined ? { ws, socket } : undefined;
      if (sockets === undefined) this.#dialIn(this.#backoff.nextMs());
      this.#options.onAttempt(result, sockets);
    };

    ws.on("error", (error) => settle({ type: "failed", peer: this.#options.peer, why: dialFailureText(error) }));
    ws.on("close", (code) => settle({ type: "failed", peer: this.#options.peer, why: `closed (${code})` }));
    ws.on("unexpected-response", (_request, response) => fail(`HTTP ${response.statusCode} instead of a WebSocket`));
    ws.once("upgrade", (response) => {
      socket = response.socket;
    });
    ws.once("open", () => {
      clearTimeout(deadline);
      if (socket === undefined) return fail("no socket");
      const { drops } = this.#options;
      greet({ ws, socket, handshake, opening: handshake.open(), timeoutMs, drops, onEnd: settle });
    });
  }
}

/** `connect ECONNREFUSED 127.0.0.1:6002`; an AggregateError of several addresses has an empty message of its own. */
const dialFailureText = (error: Error): string => {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : undefined;
  return first instanceof Error ? first.message : error.message;
};
