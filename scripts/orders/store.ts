/**
 * The store as this application sees it: four verbs over HTTP, at a gateway or at peers (docs/HTTP.md).
 *
 * Everything written here is absolute: the whole value of a key that nobody else writes. So a write whose answer did not
 * come is simply written again, and `put` does not return before it was acknowledged.
 */
import { setTimeout as delay } from "node:timers/promises";
import { readEvents } from "./event-stream.ts";

export interface Change {
  readonly key: string;
  readonly value: string;
}

/** `missed`: the history is gone; what happened meanwhile must be read. */
export type WatchItem = { readonly type: "change"; readonly change: Change } | { readonly type: "missed" };

export interface StoreCounts {
  /** Requests sent again. */
  repeats: number;
  /** Sessions given up: the only peer that had all they saw is away. */
  staleSessions: number;
  /** X-Cache of reads. */
  readonly cache: Map<string, number>;
}

export const newCounts = (): StoreCounts => ({ repeats: 0, staleSessions: 0, cache: new Map() });

export interface StoreOptions {
  /** `http://host:port`, tried in turn. */
  readonly targets: readonly string[];
  /** The clients', where there is one. */
  readonly password: string | undefined;
  readonly counts: StoreCounts;
  readonly signal: AbortSignal;
  /** Reads what it wrote, wherever it is answered (X-Chorus-Session). */
  readonly session?: boolean;
}

const requestMsMax = 3000;
/** A request is repeated for so long; then something is broken that patience does not mend. */
const repeatMsMax = 60_000;
const pauseMsMin = 20;
const pauseMsMax = 500;
/** A watch nobody can go on with in so many tries begins anew, and says that something was missed. */
const watchTriesMax = 6;

export class Store {
  readonly #options: StoreOptions;
  readonly #login: Readonly<Record<string, string>>;
  #targetIndex = 0;
  #session = "";
  /** How often it gave up a session: then it may see less than it wrote. */
  sessionsLost = 0;

  constructor(options: StoreOptions) {
    this.#options = options;
    const { password } = options;
    this.#login =
      password === undefined ? {} : { Authorization: `Basic ${Buffer.from(`default:${password}`).toString("base64")}` };
  }

  async get(key: string): Promise<string | undefined> {
    const answer = await this.#ask("GET", `/kv/${encodeURIComponent(key)}`);
    const cache = answer.headers.get("x-cache");
    const { counts } = this.#options;
    if (cache !== null) counts.cache.set(cache, (counts.cache.get(cache) ?? 0) + 1);
    const body = await answer.text();
    return answer.status === 404 ? undefined : body;
  }

  /** Resolves once it is acknowledged. */
  async put(key: string, value: string): Promise<void> {
    await (await this.#ask("PUT", `/kv/${encodeURIComponent(key)}`, value)).arrayBuffer();
  }

  /** All keys that begin so, in no order. A key written meanwhile may be missing. */
  async list(prefix: string): Promise<string[]> {
    const keys = new Set<string>();
    let cursor: string | null = "";
    while (cursor !== null) {
      const query = new URLSearchParams({ prefix, limit: "1000", ...(cursor === "" ? {} : { cursor }) });
      const answer = await this.#ask("GET", `/kv?${query.toString()}`);
      // The peer that the cursor was of is gone: from the start.
      if (answer.status === 410) {
        await answer.arrayBuffer();
        cursor = "";
        continue;
      }
      const page = (await answer.json()) as { readonly keys: readonly unknown[]; readonly cursor: string | null };
      for (const key of page.keys) if (typeof key === "string") keys.add(key);
      cursor = page.cursor;
    }
    return [...keys];
  }

  /** What is written below the prefix from now on, each once, until the signal; also over the death of who told it. */
  async *watch(prefix: string, onOpen: () => void): AsyncGenerator<WatchItem, void, undefined> {
    const { signal } = this.#options;
    let token: string | undefined;
    for (let tries = 0; !signal.aborted; ) {
      try {
        const answer = await fetch(`${this.#target}/watch?${new URLSearchParams({ prefix }).toString()}`, {
          headers: { ...this.#login, ...(token === undefined ? {} : { "Last-Event-ID": token }) },
          signal,
        });
        if (answer.status !== 200 || answer.body === null) {
          const words = `watch of ${prefix}: HTTP ${answer.status} ${await answer.text()}`;
          throw answer.status < 500 ? new Refusal(words) : new Error(words);
        }
        onOpen();
        for await (const { id, event, data } of readEvents(answer.body)) {
          tries = 0;
          if (id !== "") token = id;
          if (event === "reset") yield { type: "missed" };
          if (event !== "set") continue;
          const { key, value } = JSON.parse(data) as { readonly key: unknown; readonly value: unknown };
          if (typeof key === "string" && typeof value === "string") yield { type: "change", change: { key, value } };
        }
        throw new Error("the stream ended");
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Refusal) throw error;
        this.#next();
        tries++;
        if (tries >= watchTriesMax && token !== undefined) {
          token = undefined;
          tries = 0;
          yield { type: "missed" };
        }
        await pause(pauseMs(tries), signal);
      }
    }
  }

  get #target(): string {
    const { targets } = this.#options;
    return targets[this.#targetIndex % targets.length] ?? "";
  }

  #next(): void {
    this.#targetIndex++;
  }

  /** Until it was answered with something that is no "not now". Throws on a refusal that repeating does not cure. */
  async #ask(method: "GET" | "PUT", path: string, body?: string): Promise<Response> {
    const { counts, signal } = this.#options;
    const deadlineMs = performance.now() + repeatMsMax;
    let why = "";
    for (let tries = 0; performance.now() < deadlineMs; tries++) {
      if (tries > 0) counts.repeats++;
      try {
        const answer = await fetch(this.#target + path, {
          method,
          ...(body === undefined ? {} : { body }),
          headers: { ...this.#login, ...(this.#session === "" ? {} : { "X-Chorus-Session": this.#session }) },
          signal: AbortSignal.timeout(requestMsMax),
        });
        if (answer.ok || answer.status === 404 || answer.status === 410) {
          if (this.#options.session === true) this.#session = answer.headers.get("x-chorus-session") ?? this.#session;
          return answer;
        }
        const words = await answer.text();
        if (answer.status < 500) throw new Refusal(`${method} ${path}: HTTP ${answer.status} ${words}`);
        // What this session saw is at a peer that is away. What it wrote it writes again where that matters (customer.ts).
        if (words.includes('"STALE"') && this.#session !== "") {
          this.#session = "";
          this.sessionsLost++;
          counts.staleSessions++;
        }
        why = words;
      } catch (error) {
        if (error instanceof Refusal) throw error;
        why = error instanceof Error ? `${error.message} ${String(error.cause ?? "")}` : String(error);
        this.#next();
      }
      await pause(pauseMs(tries), signal);
      signal.throwIfAborted();
    }
    throw new Error(`${method} ${path} was not answered within ${repeatMsMax / 1000} s: ${why}`);
  }
}

class Refusal extends Error {}

const pauseMs = (tries: number): number =>
  Math.min(pauseMsMax, pauseMsMin * 2 ** Math.min(10, tries)) * (0.5 + Math.random() / 2);

const pause = async (ms: number, signal: AbortSignal): Promise<void> => {
  await delay(ms, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
};
