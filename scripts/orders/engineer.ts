/**
 * An engineer watches the requests, makes those that are its own, one after the other, and records each.
 *
 * Twice is harmless. A request that comes again (the watch began anew, the customer lost patience) is answered by writing
 * the very same record again: the same key, the same bytes. What was recorded before this engineer started is looked up.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Experts } from "./experts.ts";
import {
  engineerOf,
  type LaptopRequest,
  type OrderRecord,
  orderKey,
  parseRecord,
  parseRequest,
  requestPrefix,
} from "./orders.ts";
import type { Store } from "./store.ts";

export interface EngineerOptions {
  readonly number: number;
  readonly engineers: number;
  readonly store: Store;
  readonly experts: Experts;
  /** Work of an engineer on a laptop, and of an expert on a custom one. */
  readonly workMs: number;
  readonly expertMs: number;
  readonly signal: AbortSignal;
}

export class Engineer {
  readonly number: number;
  readonly #options: EngineerOptions;
  /** By key: what it has recorded or found recorded. An order takes some hundred bytes; a shop open for long would forget the oldest. */
  readonly #records = new Map<string, string>();
  #work: Promise<void> = Promise.resolve();
  made = 0;
  /** Records written again, on request. */
  rewritten = 0;

  constructor(options: EngineerOptions) {
    this.number = options.number;
    this.#options = options;
  }

  /** Until the signal. `onOpen` once it sees what is ordered. Rejects when the store refuses it. */
  async run(onOpen: () => void): Promise<void> {
    const { store } = this.#options;
    let isOpen = false;
    const watch = store.watch(requestPrefix, () => {
      if (isOpen) return;
      isOpen = true;
      // What was ordered before, and nobody made: somebody stopped in the middle.
      this.#enqueue(() => this.#catchUp());
      onOpen();
    });
    for await (const item of watch) {
      if (item.type === "missed") this.#enqueue(() => this.#catchUp());
      else {
        const request = parseRequest(item.change.value);
        if (request !== undefined) this.#enqueue(() => this.#onRequest(request));
      }
    }
    await this.#work;
  }

  /** One thing at a time: an engineer has two hands. */
  #enqueue(work: () => Promise<void>): void {
    this.#work = this.#work.then(async () => {
      if (!this.#options.signal.aborted) await work();
    });
    // Whoever waits for `#work` hears of it; nobody need.
    this.#work.catch(() => undefined);
  }

  async #catchUp(): Promise<void> {
    const { store } = this.#options;
    const recorded = new Set(await store.list("order:"));
    for (const key of await store.list(requestPrefix)) {
      const [, customer = "", digits = ""] = key.split(":");
      if (!this.#isMine(customer, Number(digits)) || recorded.has(orderKey(customer, Number(digits)))) continue;
      const request = parseRequest((await store.get(key)) ?? "");
      if (request !== undefined) await this.#onRequest(request);
    }
  }

  #isMine(customer: string, n: number): boolean {
    const { number, engineers } = this.#options;
    return engineerOf(customer, n, engineers) === number;
  }

  async #onRequest(request: LaptopRequest): Promise<void> {
    if (!this.#isMine(request.customer, request.n)) return;
    const { store } = this.#options;
    const key = orderKey(request.customer, request.n);
    const known = this.#records.get(key);
    if (known !== undefined) {
      this.rewritten++;
      return await store.put(key, known);
    }
    const found = await store.get(key);
    if (found !== undefined && parseRecord(found) !== undefined) {
      this.#records.set(key, found);
      return;
    }
    const record = JSON.stringify(await make(request, this.#options));
    // Before it is written: should the answer not come, the next try writes the same.
    this.#records.set(key, record);
    this.made++;
    await store.put(key, record);
  }
}

/** The work itself, with an expert where the laptop is custom. */
export const make = async (request: LaptopRequest, options: EngineerOptions): Promise<OrderRecord> => {
  const { number, workMs, expertMs, experts } = options;
  await delay(workMs);
  const expert =
    request.type === "regular"
      ? undefined
      : await experts.with(async (helping) => {
          await delay(expertMs);
          return helping;
        });
  return {
    ...request,
    engineer: number,
    ...(expert === undefined ? {} : { expert }),
    madeAt: new Date().toISOString(),
  };
};
