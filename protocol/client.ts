/**
 * The client for programs: `import { connect } from "chorus-kv/client"`.
 *
 *     const kv = await connect(["127.0.0.1:6001", "127.0.0.1:6002", "127.0.0.1:6003"]);
 *     await kv.set("city", "Oslo");
 *     for await (const change of kv.watch("user:")) console.log(change.type, change.key);
 *
 * It talks to one peer, and goes on at another when that one dies, hangs or refuses. What it has seen it will not unsee:
 * after a failover it reads its own writes, and never an older state than before. docs/CLIENT.md says what holds when.
 *
 * Under Node it needs `ws`, in a browser nothing. It keeps a connection open, and with it the process, until `close()`.
 */

import { ChorusError, refused } from "./client/errors.ts";
import { type Conflict, ConflictFeed, StatusFeed } from "./client/live.ts";
import { acquireLock, type Fence, type Lock, type LockOptions } from "./client/lock.ts";
import { clientUrl } from "./client/peer-list.ts";
import { commandKind } from "./client/repeatable.ts";
import { bytesOf, conflictOf, expiryWords, globEscaped, integerOf, isList, numberOf } from "./client/replies.ts";
import { type ClientState, type Result, replyOf, Session } from "./client/session.ts";
import { type CommandWords, isStrongKey, namesStrongKey, OperationIds, withOperationId } from "./client/strong.ts";
import { type As, type Bytes, type Given, type Reply, strange, toReply, toWire } from "./client/values.ts";
import { type Change, type Left, type Reset, Watch, type WatchItem } from "./client/watch.ts";
import type { WireReply } from "./client-messages.ts";
import type { StatusReport } from "./status.ts";

export { ChorusError, type ClientCode, type StrongCode } from "./client/errors.ts";
export type { Conflict, ConflictSide } from "./client/live.ts";
export type { Fence, Lock, LockOptions } from "./client/lock.ts";
export type { ClientState } from "./client/session.ts";
export type { As, Bytes, Given, Reply } from "./client/values.ts";
export type { Change, Left, Reset, WatchItem } from "./client/watch.ts";
export type { Outcome } from "./client-messages.ts";
export type { StatusLink, StatusReport } from "./status.ts";

export interface ConnectOptions {
  /** Where the peers have one (`--password-file`). */
  readonly password?: string;
  /** Default `default`, the only one there is. */
  readonly user?: string;
  /** Of every call, all its repetitions included, and of `connect` itself, ms. Default 5,000. */
  readonly timeoutMs?: number;
  /** Aborting it closes the client. */
  readonly signal?: AbortSignal;
  /** Shown by CLIENT LIST. No spaces. */
  readonly name?: string;
  /** Go on as another client ended: its `position`. Nothing older than what it saw is shown. Default: none. */
  readonly position?: string;
  /**
   * How long a peer may take to get to what this client saw elsewhere, ms, before another one is asked. Default 1,000.
   * More: fewer needless moves when peers lag. Less: a peer that is far behind is left sooner.
   */
  readonly staleAfterMs?: number;
  /**
   * A peer silent for so long is given up, ms. Default 600, so that a failover takes less than a second. More: no
   * needless failover over slow or lossy networks, and calls that wait longer when a peer hangs.
   */
  readonly deadAfterMs?: number;
  /** Whether calls that may have happened are sent again without asking, where that leaves the same. Default true. */
  readonly retry?: boolean;
  /** Go also to peers that were not named, but that a peer told of. Default true. */
  readonly discover?: boolean;
  /** Reject `connect` as soon as every named peer has failed once, rather than try until `timeoutMs`. Default false. */
  readonly failFast?: boolean;
  /** Called when the client is connected to a peer, or no longer. */
  readonly onState?: (state: ClientState) => void;
}

export interface CallOptions {
  /** Instead of the client's, ms. */
  readonly timeoutMs?: number;
  /** Aborting it rejects the call with ABORTED. What was sent may still happen. */
  readonly signal?: AbortSignal;
  /**
   * Whether the call may be sent again when nobody knows whether it happened. Default: yes for reads and for writes that
   * say what shall be (SET, DEL, EXPIRE, MSET), no for those that change what is there (INCR) or have a condition. Of
   * strong keys everything may: it happens once.
   */
  readonly retry?: boolean;
}

export interface ReadOptions<A extends As> extends CallOptions {
  /** Default `text`: what is not UTF-8 rejects with NOT_TEXT. `bytes`: a Uint8Array. */
  readonly as?: A;
}

/** At most one of `ex`, `px`, `exAt`, `pxAt`, `keepTtl`; at most one of `nx`, `xx`, `ifVersion`, `ifEquals`. */
export interface SetOptions extends CallOptions {
  /** Expires in so many seconds. */
  readonly ex?: number;
  /** Expires in so many milliseconds. */
  readonly px?: number;
  /** Expires at this time: Unix seconds. */
  readonly exAt?: number;
  /** Expires at this time: Unix ms. */
  readonly pxAt?: number;
  /** Keeps the expiry the key has. Without any of these the key no longer expires. */
  readonly keepTtl?: boolean;
  /** Only if there is no such key, as far as this peer sees. Two peers may both find that. */
  readonly nx?: boolean;
  /** Only if there is such a key. */
  readonly xx?: boolean;
  /** Only if the key still has this version, as far as this peer sees; see `versioned`. */
  readonly ifVersion?: string;
  /** Only if the key holds this. Of strong keys alone, as `fence`. Of these all conditions hold for the whole cluster. */
  readonly ifEquals?: Bytes;
  /** Rejects with FENCED when this key was written under a higher token of that lock before. See `lock`. */
  readonly fence?: Fence;
}

/** What a key shows at one moment. */
export interface Versioned<A extends As> {
  readonly value: Given<A>;
  /** Changes with the key, and is equal at every peer that shows it so. To be compared and given back, not looked into. */
  readonly version: string;
  /** Unix ms; undefined: it does not expire. */
  readonly expiresAtMs: number | undefined;
}

export interface IncrOptions extends CallOptions {
  /** Default 1; may be negative. */
  readonly by?: number | bigint;
}

/** Exactly one of these. */
export interface ExpireOptions extends CallOptions {
  /** In so many seconds. */
  readonly ex?: number;
  /** In so many milliseconds. */
  readonly px?: number;
  /** Unix seconds. */
  readonly exAt?: number;
  /** Unix ms. */
  readonly pxAt?: number;
  /** Never. */
  readonly persist?: boolean;
}

export interface ScanOptions<A extends As> extends ReadOptions<A> {
  /** Keys that begin so. */
  readonly prefix?: string;
  /** Keys that match, by Redis's glob pattern: `user:*`, `h?llo`, `[ab]*`. Not with `prefix`. */
  readonly match?: Bytes;
  /** About how many keys the peer looks at for one answer. Default 1,000. More: fewer round trips, longer ones. */
  readonly count?: number;
}

export interface WatchOptions<A extends As> {
  /** Default `text`: a key or value that is not UTF-8 ends the watch with NOT_TEXT. */
  readonly as?: A;
  /** Go on behind this token. `""`: from the beginning of what is known, or a reset. Left out: from now on. */
  readonly token?: string;
  /** Ends the loop. */
  readonly signal?: AbortSignal;
  /** False: changes come without values. Default true. */
  readonly values?: boolean;
}

export type WatchTarget = Bytes | { readonly prefix: Bytes } | { readonly key: Bytes };

export interface ConflictOptions<A extends As> extends ReadOptions<A> {
  /** Of this key only. */
  readonly key?: Bytes;
  /** At most so many. */
  readonly count?: number;
}

const timeoutMsDefault = 5000;
const scanCountDefault = 1000;

/**
 * Connects to the first of these peers that answers: `host:port` of their HTTP ports, or `ws://` and `wss://` URLs. The
 * others are for when that one fails; peers they tell of are added behind. Rejects with UNREACHABLE when nobody answers in
 * time, with WRONGPASS or NOAUTH at once.
 *
 * @example
 * const kv = await connect(["127.0.0.1:6001", "127.0.0.1:6002"], { timeoutMs: 2000 });
 * await kv.set("city", "Oslo");
 * assert.equal(await kv.get("city"), "Oslo");
 * await kv.close();
 */
export const connect = async (peers: string | readonly string[], options: ConnectOptions = {}): Promise<Client> => {
  const urls = (typeof peers === "string" ? [peers] : peers).map((address) => {
    const url = clientUrl(address);
    if (url === undefined) throw refused("BAD_ARGUMENT", `not host:port nor a ws:// URL: ${address}`);
    return url;
  });
  if (urls.length === 0) throw refused("BAD_ARGUMENT", "no peer named");
  const { signal, timeoutMs = timeoutMsDefault } = options;
  if (signal?.aborted === true) throw refused("ABORTED", "aborted before connecting", signal.reason);
  const session = new Session({
    urls,
    user: options.user,
    password: options.password,
    name: options.name,
    position: options.position ?? "",
    staleAfterMs: options.staleAfterMs ?? 1000,
    deadAfterMs: options.deadAfterMs ?? 600,
    timeoutMs,
    failFast: options.failFast ?? false,
    discover: options.discover ?? true,
    onState: options.onState,
    forStrongKeys: false,
  });
  const onAbort = (): void => void session.close();
  signal?.addEventListener("abort", onAbort, { once: true });
  // A signal that outlives many clients must not keep them.
  session.onClosed = () => signal?.removeEventListener("abort", onAbort);
  try {
    await session.open();
  } catch (error) {
    session.onClosed();
    if (isAborted(signal)) throw refused("ABORTED", "aborted while connecting", signal?.reason);
    throw error;
  }
  return new Client(session, { timeoutMs, retry: options.retry ?? true });
};

/** Made by `connect`. Calls may be made at once, without waiting for earlier ones; they are sent in their order. */
export class Client {
  readonly #session: Session;
  readonly #defaults: { readonly timeoutMs: number; readonly retry: boolean };
  readonly #ids = new OperationIds();

  /** @internal */
  constructor(session: Session, defaults: { readonly timeoutMs: number; readonly retry: boolean }) {
    this.#session = session;
    this.#defaults = defaults;
  }

  /** Which peer is asked now. */
  get state(): ClientState {
    return this.#session.state;
  }

  /** What this client has seen so far: another one that is given it sees nothing older. */
  get position(): string {
    return this.#session.position;
  }

  /** Is this a strong key of the cluster? One is read and written alone, and takes no part in a transaction. */
  isStrong(key: Bytes): boolean {
    return isStrongKey(key, this.#session.strongPrefixes);
  }

  /**
   * The value; null when there is no such key.
   *
   * @example
   * await kv.set("photo", new Uint8Array([0xff, 0xd8]));
   * assert.deepEqual(await kv.get("photo", { as: "bytes" }), new Uint8Array([0xff, 0xd8]));
   * assert.equal(await kv.get("nothing here"), null);
   */
  async get<A extends As = "text">(key: Bytes, options: ReadOptions<A> = {}): Promise<Given<A> | null> {
    return bytesOf("GET", await this.#ask(["GET", key], options), asOf(options));
  }

  /**
   * The value with its version, for a change that must not overwrite somebody else's: `ifVersion` of `set` and `delete`. One
   * peer judges it by what it sees, so two changes at two peers may both pass; then the later one wins, the other is kept as
   * a conflict.
   *
   * @example
   * await kv.set("page", "draft");
   * const seen = await kv.versioned("page");
   * assert.equal(await kv.set("page", "mine", { ifVersion: seen?.version ?? "" }), true);
   * assert.equal(await kv.set("page", "yours", { ifVersion: seen?.version ?? "" }), false);
   */
  async versioned<A extends As = "text">(key: Bytes, options: ReadOptions<A> = {}): Promise<Versioned<A> | null> {
    const reply = await this.#ask(["VERSION", key, "WITHVALUE"], options);
    if (reply === null) return null;
    if (!isList(reply)) throw strange("VERSION");
    const [version, value, expiresAtMs] = reply;
    if (typeof version !== "string" || value === undefined || typeof expiresAtMs !== "number") throw strange("VERSION");
    const given = bytesOf("VERSION", value, asOf(options));
    if (given === null) throw strange("VERSION");
    return { value: given, version, expiresAtMs: expiresAtMs < 0 ? undefined : expiresAtMs };
  }

  /**
   * Writes the whole value. True, or false when `nx`, `xx`, `ifVersion` or `ifEquals` did not hold.
   *
   * With `get: true` it resolves with the value before it instead, null when there was none.
   *
   * @example
   * await kv.set("session:7", "alice", { px: 60_000 });
   * assert.equal(await kv.set("session:7", "bob", { nx: true }), false);
   * assert.equal(await kv.set("session:7", "carol", { get: true, keepTtl: true }), "alice");
   */
  set<A extends As = "text">(
    key: Bytes,
    value: Bytes,
    options: SetOptions & ReadOptions<A> & { readonly get: true },
  ): Promise<Given<A> | null>;
  set(key: Bytes, value: Bytes, options?: SetOptions & { readonly get?: false }): Promise<boolean>;
  async set<A extends As = "text">(
    key: Bytes,
    value: Bytes,
    options: SetOptions & ReadOptions<A> & { readonly get?: boolean } = {},
  ): Promise<boolean | Given<A> | null> {
    const { nx, xx, ifVersion, ifEquals, keepTtl, get, fence }: SetOptions & { readonly get?: boolean } = options;
    const conditions = [nx === true, xx === true, ifVersion !== undefined, ifEquals !== undefined];
    if (conditions.filter((isGiven) => isGiven).length > 1) {
      throw refused("BAD_ARGUMENT", "nx, xx, ifVersion and ifEquals exclude each other");
    }
    const expiry = expiryWords(options);
    if (expiry.length > 0 && keepTtl === true)
      throw refused("BAD_ARGUMENT", "keepTtl and an expiry exclude each other");
    const words: (Bytes | number)[] = ["SET", key, value, ...expiry];
    if (keepTtl === true) words.push("KEEPTTL");
    if (ifVersion !== undefined) words.push("IFVERSION", ifVersion);
    if (ifEquals !== undefined) words.push("IFEQ", ifEquals);
    if (nx === true) words.push("NX");
    if (xx === true) words.push("XX");
    if (get === true) words.push("GET");
    if (fence !== undefined) words.push("FENCE", fence.lock, fence.token);
    const reply = await this.#ask(words, options);
    return get === true ? bytesOf("SET", reply, asOf(options)) : reply !== null;
  }

  /**
   * Deletes a key, or several. Resolves with how many of them were there. Sent again after a failover it finds them gone,
   * and then counts fewer than it deleted. With `ifVersion` a single key, if it has still this version (see `versioned`); that
   * is not sent twice. A strong key is deleted alone; with `ifEquals` if it holds this.
   *
   * @example
   * await kv.mset({ "tmp:1": "a", "tmp:2": "b" });
   * assert.equal(await kv.delete(["tmp:1", "tmp:2", "tmp:3"]), 2);
   */
  async delete(
    keys: Bytes | readonly Bytes[],
    options: CallOptions & { readonly ifVersion?: string; readonly ifEquals?: Bytes } = {},
  ): Promise<number> {
    const list = isOne(keys) ? [keys] : keys;
    const { ifVersion, ifEquals } = options;
    if (ifVersion !== undefined || ifEquals !== undefined) {
      if (list.length !== 1) throw refused("BAD_ARGUMENT", "a condition is about one key");
      if (ifVersion !== undefined && ifEquals !== undefined) {
        throw refused("BAD_ARGUMENT", "ifVersion and ifEquals exclude each other");
      }
      const condition = ifVersion === undefined ? ["IFEQ", ifEquals ?? ""] : ["IFVERSION", ifVersion];
      return numberOf("DELEX", await this.#ask(["DELEX", ...list, ...condition], options));
    }
    return list.length === 0 ? 0 : numberOf("DEL", await this.#ask(["DEL", ...list], options));
  }

  /**
   * Of a strong key: writes `next` if it holds `expected`, at one moment for the whole cluster. False: it holds something
   * else, or nothing.
   *
   * @example
   * await kv.set("strong:stock", "5");
   * assert.equal(await kv.cas("strong:stock", "5", "4"), true);
   * assert.equal(await kv.cas("strong:stock", "5", "4"), false);
   */
  async cas(key: Bytes, expected: Bytes, next: Bytes, options: CallOptions = {}): Promise<boolean> {
    return numberOf("CAS", await this.#ask(["CAS", key, expected, next], options)) === 1;
  }

  /**
   * Of a strong key: its version, which every write makes higher, also across deletes: a fencing token. Null: there is no
   * such key. Of other keys see `versioned`.
   */
  async version(key: Bytes, options: CallOptions = {}): Promise<number | null> {
    if (!isStrongKey(key, this.#session.strongPrefixes)) {
      throw refused("BAD_ARGUMENT", "only versions of strong keys are numbers; see versioned()");
    }
    const reply = await this.#ask(["VERSION", key], options);
    return reply === null ? null : numberOf("VERSION", reply);
  }

  /**
   * A lock that a majority of the peers agrees on: one holder at a time in the whole cluster, as long as clocks run wrong by
   * less than 1 %. Null: somebody else has it, and had it for all of `waitMs`.
   *
   * It is renewed until `release()`. When that fails for too long, or somebody else has it, `signal` is aborted: stop what
   * you do. A program that stands still (a long pause, a sleeping machine) learns of that late: so let what you write check
   * the token, by `fence` where it is a strong key. Without that a lock only saves work, and promises nothing.
   *
   * @example
   * const lock = await kv.lock("report", { ttlMs: 10_000, waitMs: 5000 });
   * assert(lock !== null);
   * try {
   *   await kv.set("strong:report", "made by me", { fence: lock.fence });
   * } finally {
   *   await lock.release();
   * }
   */
  async lock(name: string, options: LockOptions): Promise<Lock | null> {
    const [prefix] = this.#session.strongPrefixes;
    if (prefix === undefined) throw refused("BAD_ARGUMENT", "this cluster has no strong keys");
    return await acquireLock(`${prefix}lock:${name}`, options, {
      ask: (words, limits) => this.#ask(words, limits),
      timeoutMs: this.#defaults.timeoutMs,
      whenClosed: (listener) => this.#session.whenClosed(listener),
    });
  }

  /**
   * Adds to a counter, 1 unless `by` says otherwise, and resolves with what this peer then shows. Increments made anywhere
   * at the same time all count. Not sent twice unless `retry` says so: it rejects with outcome `unknown` instead. A strong
   * counter counts each once, and no two callers get the same number.
   *
   * @example
   * await kv.delete("visits");
   * assert.equal(await kv.incr("visits"), 1);
   * assert.equal(await kv.incr("visits", { by: 10 }), 11);
   * assert.equal(await kv.incr("visits", { by: 2n ** 60n, as: "bigint" }), 2n ** 60n + 11n);
   */
  incr(key: Bytes, options: IncrOptions & { readonly as: "bigint" }): Promise<bigint>;
  incr(key: Bytes, options?: IncrOptions & { readonly as?: "number" }): Promise<number>;
  async incr(key: Bytes, options: IncrOptions & { readonly as?: "number" | "bigint" } = {}): Promise<number | bigint> {
    const { by = 1, as } = options;
    if (typeof by === "number" && !Number.isSafeInteger(by)) {
      throw refused("BAD_ARGUMENT", `not an integer, or beyond 2^53: ${by}`);
    }
    const reply = await this.#ask(["INCRBY", key, by], options);
    const value = integerOf("INCRBY", reply);
    if (as === "bigint") return BigInt(value);
    if (typeof value === "number") return value;
    throw new ChorusError("UNSAFE_INTEGER", `the counter was increased, to ${value}: ask for it as bigint`, "unknown");
  }

  /**
   * The values in the order of the keys, null where there is none.
   *
   * @example
   * await kv.mset({ a: "1", b: "2" });
   * assert.deepEqual(await kv.mget(["a", "no such key", "b"]), ["1", null, "2"]);
   */
  async mget<A extends As = "text">(
    keys: readonly Bytes[],
    options: ReadOptions<A> = {},
  ): Promise<(Given<A> | null)[]> {
    if (keys.length === 0) return [];
    const reply = await this.#ask(["MGET", ...keys], options);
    if (!isList(reply)) throw strange("MGET");
    return reply.map((item) => bytesOf("MGET", item, asOf(options)));
  }

  /**
   * Writes several keys: all become visible together, at every peer.
   *
   * @example
   * await kv.mset(new Map([["user:1", "Ada"], ["user:2", "Grace"]]));
   */
  async mset(
    entries: Readonly<Record<string, Bytes>> | Iterable<readonly [key: Bytes, value: Bytes]>,
    options: CallOptions = {},
  ): Promise<void> {
    const pairs = Symbol.iterator in entries ? entries : Object.entries(entries);
    const words: Bytes[] = ["MSET"];
    for (const [key, value] of pairs as Iterable<readonly [Bytes, Bytes]>) words.push(key, value);
    if (words.length > 1) await this.#ask(words, options);
  }

  /**
   * Sets or ends a key's time to live. False: there is no such key, or nothing to end.
   *
   * @example
   * await kv.set("draft", "...");
   * assert.equal(await kv.expire("draft", { ex: 60 }), true);
   * assert.equal(await kv.expire("draft", { persist: true }), true);
   * assert.equal(await kv.ttl("draft"), Number.POSITIVE_INFINITY);
   */
  async expire(key: Bytes, options: ExpireOptions): Promise<boolean> {
    const [unit, time] = expiryWords(options);
    if ((unit === undefined) !== (options.persist === true)) {
      throw refused("BAD_ARGUMENT", "exactly one of ex, px, exAt, pxAt, persist");
    }
    const command = { EX: "EXPIRE", PX: "PEXPIRE", EXAT: "EXPIREAT", PXAT: "PEXPIREAT" }[unit ?? ""] ?? "PERSIST";
    const words = time === undefined ? [command, key] : [command, key, time];
    return numberOf(command, await this.#ask(words, options)) === 1;
  }

  /** Milliseconds until the key expires; Infinity when it does not; null when there is no such key. */
  async ttl(key: Bytes, options: CallOptions = {}): Promise<number | null> {
    const ms = numberOf("PTTL", await this.#ask(["PTTL", key], options));
    if (ms === -2) return null;
    return ms === -1 ? Number.POSITIVE_INFINITY : ms;
  }

  /**
   * All keys, or those that begin with a prefix or match a pattern. Every key that is there all the while comes at least
   * once; one that is written meanwhile, and any key when the peer changes meanwhile, may come twice.
   *
   * @example
   * await kv.mset({ "fruit:apple": "1", "fruit:pear": "2" });
   * const found: string[] = [];
   * for await (const key of kv.scan("fruit:")) found.push(key);
   * assert.deepEqual(found.sort(), ["fruit:apple", "fruit:pear"]);
   */
  async *scan<A extends As = "text">(
    what: string | ScanOptions<A> = {},
  ): AsyncGenerator<Given<A>, undefined, undefined> {
    const options: ScanOptions<A> = typeof what === "string" ? { prefix: what } : what;
    const { prefix, match, count = scanCountDefault } = options;
    if (prefix !== undefined && match !== undefined)
      throw refused("BAD_ARGUMENT", "prefix and match exclude each other");
    const pattern = match ?? (prefix === undefined || prefix === "" ? undefined : `${globEscaped(prefix)}*`);
    const filter = pattern === undefined ? [] : ["MATCH", pattern];
    let cursor = "0";
    let cursorOf = "";
    for (;;) {
      const [result] = await this.#call(["SCAN", cursor, "COUNT", count, ...filter], options);
      const reply = replyOf(result);
      const [next, keys] = isList(reply) ? reply : [];
      if (typeof next !== "string" || keys === undefined || !isList(keys)) throw strange("SCAN");
      // A cursor is a place in one run's map: another peer starts over, and gives again what it has again.
      const isFollowed = cursor === "0" || cursorOf === result?.run;
      cursor = isFollowed ? next : "0";
      cursorOf = result?.run ?? "";
      for (const key of keys) {
        const given = bytesOf("SCAN", key, asOf(options));
        if (given !== null) yield given;
      }
      if (isFollowed && cursor === "0") return undefined;
    }
  }

  /**
   * Every change of the keys that begin with a prefix (or of one key), each once, in an order in which no effect comes
   * before its cause, over reconnects and failovers; it ends with its signal, or when the loop is left.
   *
   * Where the peers no longer have all changes since the token, an item of type `reset` says so: what was missed is not
   * known, so read anew what you need; what follows comes behind its token. `expired` comes from the clock of the peer one
   * is connected to, to those who listen at that moment: over a failover it may come twice or not at all.
   *
   * @example
   * const enough = new AbortController();
   * for await (const change of kv.watch("user:", { token: "", signal: enough.signal })) {
   *   if (change.type === "reset") continue; // read all users anew
   *   assert.equal(change.key.startsWith("user:"), true);
   *   if (change.type === "set") assert.equal(typeof change.value, "string");
   *   enough.abort();
   * }
   */
  watch<A extends As = "text">(
    target: WatchTarget,
    options: WatchOptions<A> & {
      /** At most so many changes a second, for people's eyes: an item of type `left` says how many were left out. */
      readonly perSecondMax: number;
    },
  ): AsyncIterableIterator<Change<A> | Reset | Left, undefined, undefined>;
  watch<A extends As = "text">(
    target: WatchTarget,
    options?: WatchOptions<A>,
  ): AsyncIterableIterator<Change<A> | Reset, undefined, undefined>;
  watch<A extends As = "text">(
    target: WatchTarget,
    options: WatchOptions<A> & { readonly perSecondMax?: number } = {},
  ): AsyncIterableIterator<WatchItem<A>, undefined, undefined> {
    const { token, values = true, perSecondMax, signal } = options;
    const wanted: { readonly prefix?: Bytes; readonly key?: Bytes } = isOne(target) ? { prefix: target } : target;
    return new Watch(this.#session, {
      target: wanted.key === undefined ? { prefix: toWire(wanted.prefix ?? "") } : { key: toWire(wanted.key) },
      as: asOf(options),
      token,
      values,
      perSecondMax,
      signal,
    });
  }

  /** What the peer says of itself and its links: the report of GET /status. */
  async status(options: CallOptions = {}): Promise<StatusReport> {
    return await this.#first((signal) => new StatusFeed(this.#session, signal), options);
  }

  /** The same every second, of whatever peer the client is connected to. */
  watchStatus(
    options: { readonly signal?: AbortSignal } = {},
  ): AsyncIterableIterator<StatusReport, undefined, undefined> {
    return new StatusFeed(this.#session, options.signal);
  }

  /** The peer's journal: writes that lost against another one which did not know of them. */
  async conflicts<A extends As = "text">(options: ConflictOptions<A> = {}): Promise<Conflict<A>[]> {
    const { key, count } = options;
    const words: (Bytes | number)[] = ["CONFLICTS"];
    // Without a count, RESTORE and COUNT would not be keys.
    if (key !== undefined) words.push(key, "COUNT", count ?? Number.MAX_SAFE_INTEGER);
    else if (count !== undefined) words.push("COUNT", count);
    const reply = await this.#ask(words, options);
    if (!isList(reply)) throw strange("CONFLICTS");
    return reply.map((item) => conflictOf(item, asOf(options)));
  }

  /** Each conflict once: first what is in the journal, then each as the peer notices it; once more when it is restored. */
  watchConflicts<A extends As = "text">(
    options: { readonly as?: A; readonly signal?: AbortSignal } = {},
  ): AsyncIterableIterator<Conflict<A>, undefined, undefined> {
    return new ConflictFeed(this.#session, asOf(options), options.signal);
  }

  /** Writes a conflict's loser back, as a new write. */
  async restore(conflictId: string, options: CallOptions = {}): Promise<void> {
    await this.#ask(["CONFLICTS", "RESTORE", conflictId], options);
  }

  /**
   * Any command of docs/COMMANDS.md. Those that change the connection (MULTI, AUTH, SUBSCRIBE, ...) reject with STATEFUL:
   * the connection is shared by all calls, and replaced by a failover. For MULTI there is `transaction`.
   *
   * @example
   * await kv.command(["SET", "greeting", "hello"]);
   * assert.equal(await kv.command(["APPEND", "greeting", " world"]), 11);
   * assert.equal(await kv.command(["GETRANGE", "greeting", 0, 4]), "hello");
   */
  async command(words: readonly (Bytes | number | bigint)[], options: ReadOptions<As> = {}): Promise<Reply> {
    return toReply(await this.#ask(words, options), asOf(options));
  }

  /**
   * Several commands that run together, between MULTI and EXEC, and become visible together at every peer. Resolves with
   * their replies; one that failed has a ChorusError in its place. Not sent twice unless `retry` says so.
   *
   * @example
   * const [, length] = await kv.transaction([["SET", "t", "12"], ["STRLEN", "t"]]);
   * assert.equal(length, 2);
   */
  async transaction(
    commands: readonly (readonly (Bytes | number | bigint)[])[],
    options: ReadOptions<As> = {},
  ): Promise<readonly Reply[]> {
    for (const words of commands) this.#kind(words);
    const wire = [["MULTI"], ...commands.map((words) => words.map(toWire)), ["EXEC"]];
    const results = await this.#session.call(wire, {
      ...this.#limits(options),
      repeatable: options.retry === true,
      reads: false,
    });
    // EXEC says only that something before it was refused; that says what.
    const first = results.slice(0, -1).find((result) => !result.ok);
    const reply = toReply(replyOf(first ?? results.at(-1)), asOf(options));
    if (!Array.isArray(reply)) throw strange("EXEC");
    return reply as readonly Reply[];
  }

  /** Ends the connection. What waits rejects with CLOSED. Closing twice is fine. */
  async close(): Promise<void> {
    await this.#session.close();
  }

  // ---- Helpers --------------------------------------------------------------------------------------------------------

  async #ask(words: CommandWords, options: CallOptions): Promise<WireReply> {
    const [result] = await this.#call(words, options);
    return replyOf(result);
  }

  #call(words: CommandWords, options: CallOptions): Promise<readonly Result[]> {
    const kind = this.#kind(words);
    if (namesStrongKey(words, this.#session.strongPrefixes)) {
      return this.#session.strong.call([withOperationId(words, this.#ids.next()).map(toWire)], {
        ...this.#limits(options),
        reads: kind === "read",
        repeatable: options.retry ?? (kind === "read" || this.#defaults.retry),
      });
    }
    return this.#session.call([words.map(toWire)], {
      ...this.#limits(options),
      reads: kind === "read",
      repeatable: options.retry ?? (kind !== "once" && (kind === "read" || this.#defaults.retry)),
    });
  }

  #kind(words: readonly (Bytes | number | bigint)[]): "read" | "absolute" | "once" {
    if (words.length === 0) throw refused("BAD_ARGUMENT", "no command");
    // Names and options are ASCII; other bytes only must not be taken for them.
    const kind = commandKind(
      words.slice(0, 16).map((word) => (word instanceof Uint8Array ? latin1(word) : String(word))),
    );
    if (kind === "stateful") {
      throw refused(
        "STATEFUL",
        `${String(words[0])} changes the connection, which is shared; see transaction(), watch()`,
      );
    }
    return kind;
  }

  #limits({ timeoutMs, signal }: CallOptions): { timeoutMs: number; signal: AbortSignal | undefined } {
    return { timeoutMs: timeoutMs ?? this.#defaults.timeoutMs, signal };
  }

  /** The first item of a feed, within the call's time. */
  async #first<Item>(
    open: (signal: AbortSignal) => AsyncIterableIterator<Item, undefined, undefined>,
    options: CallOptions,
  ): Promise<Item> {
    const { timeoutMs, signal } = this.#limits(options);
    if (signal?.aborted === true) throw refused("ABORTED", "aborted", signal.reason);
    const end = new AbortController();
    const onAbort = (): void => end.abort();
    signal?.addEventListener("abort", onAbort, { once: true });
    const timer = setTimeout(onAbort, timeoutMs);
    try {
      const result = await open(end.signal).next();
      if (result.done !== true) return result.value;
      if (isAborted(signal)) throw refused("ABORTED", "aborted", signal?.reason);
      throw refused(this.state.kind === "connected" ? "TIMEOUT" : "UNREACHABLE", `no answer within ${timeoutMs} ms`);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      end.abort();
    }
  }
}

/** `text` unless asked otherwise; A's default says the same to the compiler. */
const asOf = <A extends As>({ as }: { readonly as?: A }): A => as ?? ("text" as A);

/** Asked again after an await: the compiler believes that nothing has changed. */
const isAborted = (signal: AbortSignal | undefined): boolean => signal?.aborted === true;

const isOne = (value: unknown): value is Bytes => typeof value === "string" || value instanceof Uint8Array;

const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes.subarray(0, 64));
