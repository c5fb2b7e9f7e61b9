/// <reference lib="esnext.disposable" preserve="true" />
/**
 * A lock: a strong key with a time to live, that holds who has it.
 *
 *     SET strong:lock:x OWNER NX PX ttl WITHVERSION     take it; the version is the fencing token
 *     SET strong:lock:x OWNER IFEQ OWNER PX ttl         renew it, three times per ttl
 *     DEL strong:lock:x IFEQ OWNER                      give it back
 *
 * The holder believes in it until the time at which it *asked* for what was granted last, plus 99 % of the ttl, by its own
 * monotonic clock; the peers let it go no sooner than 101 % of the ttl after they granted it, by theirs. So between two
 * clocks that run wrong by less than 1 % there are never two who believe. What was asked counts from when the call began,
 * not from when it was sent again: the first sending may be the one that was granted.
 *
 * Nothing can tell a program that stands still. It goes on with what it did, and only what it writes to can refuse that:
 * by the token, which is higher for each next holder.
 *
 * Whoever waits reads, and asks for the lock only when it is free: a refused SET would take the place of an operation id
 * that its holder may need.
 */
import type { WireReply } from "../client-messages.ts";
import { ChorusError, refused } from "./errors.ts";
import { pause } from "./pause.ts";
import { numberOf } from "./replies.ts";
import { type CommandWords, randomId } from "./strong.ts";
import { isWireText, strange } from "./values.ts";

export interface LockOptions {
  /**
   * How long the lock outlives a holder that dies, ms, 100 to 86,400,000. More: longer until others go on after that. Less:
   * it is lost sooner while peers fail over, which may take some seconds.
   */
  readonly ttlMs: number;
  /** How long to wait for another holder, ms. Default 0: not at all. Who waits longest is not served first. */
  readonly waitMs?: number;
  /** Aborting it ends the waiting, not the lock. */
  readonly signal?: AbortSignal;
}

/** A lock and a token of it: what was written under a later token of this lock is not written under an earlier one. */
export interface Fence {
  /** Any name of at most 256 bytes, such as the lock's key. */
  readonly lock: string;
  readonly token: number;
}

interface LockClient {
  readonly ask: (
    words: CommandWords,
    limits: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ) => Promise<WireReply>;
  /** Of a call. */
  readonly timeoutMs: number;
  /** Nothing is renewed from then on. The result ends it. */
  readonly whenClosed: (listener: () => void) => () => void;
}

const ttlMsMin = 100;
const ttlMsMax = 24 * 3600 * 1000;
/** What is believed of the ttl. The rest is for clocks that run wrong: docs/STRONG.md. */
const believedShare = 0.99;
/** Renewals in the time of one ttl, and tries in the time of one renewal. */
const renewalsPerTtl = 3;
const triesPerRenewal = 5;
const pollMsMin = 20;
const pollMsMax = 200;

/** Made by `kv.lock`. */
export class Lock {
  /** The strong key that is the lock. */
  readonly key: string;
  /** Higher than that of every holder before, as long as the cluster lives. */
  readonly token: number;
  readonly #client: LockClient;
  readonly #owner: string;
  readonly #ttlMs: number;
  readonly #lost = new AbortController();
  /** `performance.now()`. */
  #believedUntilMs: number;
  #renewAtMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isRenewing = false;
  #unlisten: () => unknown = () => undefined;
  #released: Promise<boolean> | undefined;
  #why = "it was not renewed in time";

  /** @internal */
  constructor(
    client: LockClient,
    granted: { readonly key: string; readonly owner: string; readonly token: number; readonly ttlMs: number },
    askedAtMs: number,
  ) {
    this.#client = client;
    this.key = granted.key;
    this.token = granted.token;
    this.#owner = granted.owner;
    this.#ttlMs = granted.ttlMs;
    this.#believedUntilMs = believedUntilMs(askedAtMs, granted.ttlMs);
    this.#renewAtMs = askedAtMs + granted.ttlMs / renewalsPerTtl;
    this.#arm();
    this.#unlisten = client.whenClosed(() => this.#lose("the client was closed"));
  }

  /** For `set`: `{ fence: lock.fence }`. */
  get fence(): Fence {
    return { lock: this.key, token: this.token };
  }

  /** Aborted once the lock is lost, or can no longer be believed in. Its reason is a ChorusError with code LOCK_LOST. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Whether it is believed in at this very moment: neither lost nor released. Looks at the clock, not at timers. */
  get isHeld(): boolean {
    return this.#released === undefined && !this.signal.aborted && performance.now() < this.#believedUntilMs;
  }

  /**
   * Gives it back, so that others need not wait until it runs out. True: it was still ours. Rejects as `delete` does; then it
   * runs out by itself. `signal` is not aborted by it. Releasing twice is fine.
   */
  release(): Promise<boolean> {
    this.#released ??= this.#release();
    return this.#released;
  }

  /** `await using lock = await kv.lock(...)`. A release that fails is no failure of what was done under the lock. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.release().catch(() => undefined);
  }

  async #release(): Promise<boolean> {
    this.#stop();
    const { ask, timeoutMs } = this.#client;
    return numberOf("DELEX", await ask(["DELEX", this.key, "IFEQ", this.#owner], { timeoutMs })) === 1;
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const atMs = this.#isRenewing ? this.#believedUntilMs : Math.min(this.#renewAtMs, this.#believedUntilMs);
    this.#timer = setTimeout(this.#onTime, Math.max(0, Math.ceil(atMs - performance.now())));
  }

  readonly #onTime = (): void => {
    const nowMs = performance.now();
    if (nowMs >= this.#believedUntilMs) return this.#lose(this.#why);
    if (!this.#isRenewing && nowMs >= this.#renewAtMs) void this.#renew(nowMs);
    this.#arm();
  };

  async #renew(askedAtMs: number): Promise<void> {
    this.#isRenewing = true;
    // One that takes longer would grant little: a new one counts from a later time.
    const timeoutMs = Math.max(1, Math.min(this.#ttlMs / renewalsPerTtl, this.#believedUntilMs - askedAtMs));
    const words = ["SET", this.key, this.#owner, "IFEQ", this.#owner, "PX", this.#ttlMs];
    let nextMs = this.#ttlMs / renewalsPerTtl;
    try {
      if ((await this.#client.ask(words, { timeoutMs })) === null) this.#lose("somebody else has it, or had it");
      else this.#believedUntilMs = Math.max(this.#believedUntilMs, believedUntilMs(askedAtMs, this.#ttlMs));
    } catch (error) {
      // Not renewed, whatever the outcome: only what was granted counts. There is time to try again.
      if (!(error instanceof ChorusError)) throw error;
      this.#why = `it was not renewed in time: ${error.code} ${error.message}`;
      nextMs /= triesPerRenewal;
    }
    this.#isRenewing = false;
    this.#renewAtMs = Math.max(askedAtMs + nextMs, performance.now() + nextMs / triesPerRenewal);
    if (this.#released === undefined && !this.signal.aborted) this.#arm();
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#unlisten();
  }

  #lose(why: string): void {
    this.#stop();
    if (this.#released !== undefined) return;
    this.#lost.abort(new ChorusError("LOCK_LOST", `${this.key} is lost: ${why}`, "unknown"));
  }
}

const believedUntilMs = (askedAtMs: number, ttlMs: number): number => askedAtMs + ttlMs * believedShare;

/** Null: it was somebody else's for all of `waitMs`. */
export const acquireLock = async (key: string, options: LockOptions, client: LockClient): Promise<Lock | null> => {
  const { ttlMs, waitMs = 0, signal } = options;
  if (!Number.isSafeInteger(ttlMs) || ttlMs < ttlMsMin || ttlMs > ttlMsMax) {
    throw refused("BAD_ARGUMENT", `ttlMs is a whole number of ms, ${ttlMsMin} to ${ttlMsMax}, not ${ttlMs}`);
  }
  const limits = { timeoutMs: client.timeoutMs, ...(signal === undefined ? {} : { signal }) };
  const deadlineMs = performance.now() + waitMs;
  for (;;) {
    const owner = randomId();
    const askedAtMs = performance.now();
    const token = await takeLock(key, { owner, ttlMs }, client, limits);
    if (token !== undefined && performance.now() < believedUntilMs(askedAtMs, ttlMs)) {
      return new Lock(client, { key, owner, token, ttlMs }, askedAtMs);
    }
    // The answer came too late to believe in it.
    if (token !== undefined) await giveBack(key, owner, client);
    if (!(await becomesFree(key, deadlineMs, client, limits))) return null;
  }
};

type Limits = { readonly timeoutMs: number; readonly signal?: AbortSignal };

/** The token; undefined: somebody has it. */
const takeLock = async (
  key: string,
  { owner, ttlMs }: { readonly owner: string; readonly ttlMs: number },
  client: LockClient,
  limits: Limits,
): Promise<number | undefined> => {
  try {
    const reply = await client.ask(["SET", key, owner, "NX", "PX", ttlMs, "WITHVERSION"], limits);
    if (reply === null) return undefined;
    if (!isWireText(reply) || typeof reply !== "string" || !/^[0-9]{1,16}$/.test(reply)) throw strange("SET");
    return Number(reply);
  } catch (error) {
    // It may be ours without our knowing: nobody shall have to wait until it runs out.
    if (error instanceof ChorusError && error.outcome === "unknown") void giveBack(key, owner, client);
    throw error;
  }
};

const giveBack = async (key: string, owner: string, { ask, timeoutMs }: LockClient): Promise<void> => {
  await ask(["DELEX", key, "IFEQ", owner], { timeoutMs }).catch(() => undefined);
};

/** Resolves with false at the deadline. */
const becomesFree = async (key: string, deadlineMs: number, client: LockClient, limits: Limits): Promise<boolean> => {
  for (let tries = 0; ; tries++) {
    const restMs = deadlineMs - performance.now();
    if (restMs <= 0) return false;
    const boundMs = Math.min(pollMsMax, pollMsMin * 2 ** Math.min(tries, 10));
    const { signal } = limits;
    await pause(Math.min(restMs, boundMs * (0.5 + Math.random() / 2)), signal);
    if (signal?.aborted === true) throw refused("ABORTED", "aborted while waiting for the lock", signal.reason);
    if (numberOf("EXISTS", await client.ask(["EXISTS", key], limits)) === 0) return true;
  }
};
