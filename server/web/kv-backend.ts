/**
 * The seam between the HTTP routes for keys (kv-routes.ts) and what answers them: the peer itself (peer-backend.ts), or
 * the gateway, which asks peers. The routes know HTTP and no peers; a backend knows peers and no HTTP.
 *
 * All words, keys and values are latin1 strings, one character a byte, as everywhere in the server.
 */
import { type Outcome, outcomeOf } from "../../protocol/client-messages.ts";

/** A reply without errors (they reject the call). A bulk string is its bytes; a status such as OK is told from it. */
export type KvReply = string | number | bigint | null | { readonly status: string } | readonly KvReply[];

export interface KvCall {
  /**
   * As typed into redis-cli. One command, so that it is atomic and one message to a peer: `VERSION key WITHVALUE` reads
   * value, version and expiry together. None that waits (WAIT, DIFF) and none that changes a connection.
   */
  readonly command: readonly string[];
  /** Not answered from a state older than this (protocol/position.ts); empty: any. Checked by whoever made it. */
  readonly position: string;
  /**
   * `read`: changes nothing, may be asked of any peer, again too. `absolute`: may be sent again when nobody knows whether
   * it happened (a SET without condition). `once`: may not (INCR, a condition).
   */
  readonly kind: "read" | "absolute" | "once";
  /** Who asks, `ip:port`: SLOWLOG and MONITOR show it. */
  readonly from?: string;
  /** Only this run of a peer can answer: a SCAN goes on. Is it gone: CURSOR_GONE. */
  readonly run?: string;
  /** True: nobody waits for the answer any more. Looked at before something is done or done again. */
  readonly isGone?: () => boolean;
}

export interface KvAnswer {
  readonly reply: KvReply;
  /** Of the peer behind the call: no older than what it saw or wrote. */
  readonly position: string;
  /** `name.incarnation` of the peer's run that answered: an origin. */
  readonly run: string;
  /** For X-Cache, where there is a cache: `bypass` when it could not be trusted. */
  readonly cache?: "miss" | "bypass";
}

/** What a cache knows of a key, kept between requests; made once per change of it. */
export interface KvCached {
  /** undefined: there is no such key. */
  readonly value: Buffer | undefined;
  /** As VERSION answers; empty when there is no such key. */
  readonly version: string;
  /** Absolute unix ms, 0 for none. The backend no longer hands it out when that is over. */
  readonly expiresAtMs: number;
  /** The routes' own: what they made of it for the next request. The cache only keeps it. */
  prepared?: unknown;
}

export interface KvBackend {
  /** Rejects with a KvFailure, also when the command answered an error. Never throws, settles within some seconds. */
  call(call: KvCall): Promise<KvAnswer>;
  /** From memory and at once, when that is no older than the replication lag and than `position`. Undefined: call(). */
  cached?(key: string, position: string): KvCached | undefined;
}

/**
 * Why a call was not answered. Codes are those of Redis and of `/client` (protocol/client-messages.ts), those of the
 * client (protocol/client/errors.ts) and of the routes (docs/HTTP.md); `outcome` as there.
 */
export class KvFailure extends Error {
  readonly code: string;
  readonly outcome: Outcome;

  constructor(code: string, message: string, outcome: Outcome = "not-applied", cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "KvFailure";
    this.code = code;
    this.outcome = outcome;
  }

  /** From an error line of Redis: its first word is the code. */
  static ofLine(line: string): KvFailure {
    const spaceAt = line.indexOf(" ");
    const code = spaceAt < 0 ? line : line.slice(0, spaceAt);
    return new KvFailure(code, spaceAt < 0 ? line : line.slice(spaceAt + 1), outcomeOf(code));
  }
}

const statuses: Readonly<Record<string, number>> = {
  // The request's fault.
  ERR: 400,
  BAD_ARGUMENT: 400,
  BAD_POSITION: 400,
  BAD_MESSAGE: 400,
  NOAUTH: 401,
  WRONGPASS: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  BAD_METHOD: 405,
  WRONGTYPE: 409,
  NOT_A_NUMBER: 409,
  CURSOR_GONE: 410,
  CONDITION_FAILED: 412,
  TOO_LARGE: 413,
  MISDIRECTED: 421,
  UPGRADE_REQUIRED: 426,
  // Not now: Retry-After.
  LOADING: 503,
  STALE: 503,
  BUSY: 503,
  TOO_MANY: 503,
  NOREPLICAS: 503,
  NOQUORUM: 503,
  CLOCKSKEW: 503,
  UNREACHABLE: 503,
  CLOSED: 503,
  ABORTED: 503,
  OOM: 507,
  MISCONF: 507,
  // Nobody knows, or the peer makes no sense.
  PROTOCOL: 502,
  CONNECTION_LOST: 502,
  TIMEOUT: 504,
  UNKNOWN: 504,
  INTERNAL: 500,
};

/** The one place where a code becomes a status. A write whose outcome is unknown never has a status that invites a retry. */
export const httpStatusOf = ({ code, outcome }: { readonly code: string; readonly outcome: Outcome }): number => {
  const status = Object.hasOwn(statuses, code) ? (statuses[code] ?? 500) : 500;
  return outcome === "unknown" && status === 503 ? 504 : status;
};
