/**
 * A customer orders laptops, one after the other, and counts them itself: nobody else gives out its numbers, so no counter
 * has to be agreed on.
 *
 * It believes nothing but the record. Should a peer die with its request or with the record, acknowledged but not yet passed
 * on, the customer sees no record, and writes the same request again; the engineer then writes the same record again. So
 * end to end nothing is lost, though a single peer may be for a while, and nothing is doubled, since both are the same key
 * and the same bytes.
 */
import {
  type LaptopRequest,
  lastKey,
  type OrderRecord,
  orderKey,
  orderPrefix,
  orderTypes,
  parseRecord,
  requestKey,
} from "./orders.ts";
import type { Store } from "./store.ts";

export interface CustomerOptions {
  readonly name: string;
  readonly orders: number;
  readonly type: "regular" | "custom" | "mixed";
  /** With a session: it reads what it wrote. */
  readonly store: Store;
  /** Without: it looks at what others did, from whatever cache. */
  readonly window: Store;
  readonly others: readonly string[];
  /** How often it looks at the last order of somebody, for each of its own. */
  readonly looks: number;
  /** Without a record for so long it orders the same again. */
  readonly patienceMs: number;
  readonly signal: AbortSignal;
  readonly onOrder: (record: OrderRecord, latencyMs: number) => void;
}

const models = ["air", "pro", "studio"] as const;

export class Customer {
  readonly name: string;
  readonly #options: CustomerOptions;
  readonly #waiting = new Map<number, (record: OrderRecord) => void>();
  /** Numbers of its orders in this run: from, and up to but not including. */
  firstN = 1;
  nextN = 1;
  /** Placed and no record of it yet, when it stopped. */
  unfinished: number | undefined;
  placedAgain = 0;
  /** Reads that showed an older last order than it had written: there must be none. */
  olderReads = 0;

  constructor(options: CustomerOptions) {
    this.name = options.name;
    this.#options = options;
  }

  /** Where it stopped the last time; and its eyes on the records. Resolves when it sees them. */
  async open(onFailure: (error: unknown) => void): Promise<void> {
    const { store } = this.#options;
    const last = parseRecord((await store.get(lastKey(this.name))) ?? "");
    const numbers = (await store.list(`${requestKey(this.name, 0).slice(0, -1)}`)).map((key) =>
      Number(key.split(":")[2]),
    );
    this.firstN = this.nextN = Math.max(0, last?.n ?? 0, ...numbers.filter(Number.isSafeInteger)) + 1;
    await new Promise<void>((resolve) => {
      this.#watch(resolve).catch(onFailure);
    });
  }

  async #watch(onOpen: () => void): Promise<void> {
    for await (const item of this.#options.store.watch(orderPrefix(this.name), onOpen)) {
      // What was missed is asked for by a customer without patience.
      const record = item.type === "change" ? parseRecord(item.change.value) : undefined;
      if (record !== undefined) this.#waiting.get(record.n)?.(record);
    }
  }

  /** All orders, or those until `stop`. */
  async run(stop: AbortSignal): Promise<void> {
    const { orders, onOrder } = this.#options;
    while (this.nextN < this.firstN + orders && !stop.aborted) {
      const n = this.nextN++;
      this.unfinished = n;
      const startedMs = performance.now();
      const record = await this.#order(n);
      onOrder(record, performance.now() - startedMs);
      this.unfinished = undefined;
      await this.#keep(record);
      await this.#lookAround();
    }
  }

  async #order(n: number): Promise<OrderRecord> {
    const { type, store, patienceMs, signal } = this.#options;
    const request: LaptopRequest = {
      customer: this.name,
      n,
      type: type === "mixed" ? (orderTypes[n % 2] ?? "regular") : type,
      model: models[n % models.length] ?? "air",
      placedAt: new Date().toISOString(),
    };
    const text = JSON.stringify(request);
    const seen = new Promise<OrderRecord>((resolve) => this.#waiting.set(n, resolve));
    try {
      for (;;) {
        await store.put(requestKey(this.name, n), text);
        const record = await Promise.race([seen, timeout(patienceMs, signal)]);
        if (record !== undefined) return record;
        signal.throwIfAborted();
        // The watch may have missed it; else somebody did.
        const found = parseRecord((await store.get(orderKey(this.name, n))) ?? "");
        if (found !== undefined) return found;
        this.placedAgain++;
      }
    } finally {
      this.#waiting.delete(n);
    }
  }

  /** Writes its last order, and reads it back: with a session it must not find an older one. */
  async #keep(record: OrderRecord): Promise<void> {
    const { store } = this.#options;
    for (;;) {
      const { sessionsLost } = store;
      await store.put(lastKey(this.name), JSON.stringify(record));
      const found = parseRecord((await store.get(lastKey(this.name))) ?? "");
      if ((found?.n ?? 0) >= record.n) return;
      // Whoever took the write is away and took the session along: written again, elsewhere.
      if (store.sessionsLost === sessionsLost) {
        this.olderReads++;
        return;
      }
    }
  }

  /** What others bought last: asked often, so it comes from the cache. */
  async #lookAround(): Promise<void> {
    const { window, others, looks } = this.#options;
    for (let look = 0; look < looks; look++)
      await window.get(lastKey(others[Math.floor(Math.random() * others.length)] ?? this.name));
  }
}

const timeout = (ms: number, signal: AbortSignal): Promise<undefined> =>
  new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve(undefined);
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
