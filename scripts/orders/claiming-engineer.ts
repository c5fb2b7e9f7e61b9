/**
 * An engineer of `--claim strong`: whoever is idle takes the next order, and no two take the same, since a majority of the
 * peers agrees on who did.
 *
 *     strong:claim:c1:7   (none) --- SET me NX PX lease ---> me --- SET record IFEQ me ---> the record, for ever
 *
 * Both steps are writes of one strong key, so each order is taken by one engineer at a time and decided once. An engineer
 * that dies lets its claim run out, and another makes the order. One that was only slow then finds its claim gone, and throws
 * away what it made: there is one record, whatever happens. The plain key `order:c1:7` shows what was decided; whoever finds it
 * missing writes it.
 *
 * The lease is for engineers that die. That of the peers makes no difference: the client sends each step again, once.
 */
import type { Client } from "../../protocol/client.ts";
import { type EngineerOptions, make } from "./engineer.ts";
import {
  claimKey,
  engineerOf,
  type LaptopRequest,
  orderKey,
  ordersPrefix,
  parseRecord,
  parseRequest,
  requestPrefix,
} from "./orders.ts";

export interface ClaimingEngineerOptions extends EngineerOptions {
  readonly strong: Client;
  /** Tells the engineers of this run from those of another. */
  readonly run: string;
}

interface OpenOrder {
  readonly request: LaptopRequest;
  /** `performance.now()`: not before. */
  lookAtMs: number;
}

/** An order goes to its engineer by name first; the others look at it after so long, if it is still there. */
const hesitateMs = 50;
/** Somebody has it: when to look whether that one is still alive. */
const lookAgainMs = 500;
const leaseMarginMs = 10_000;

export class ClaimingEngineer {
  readonly number: number;
  readonly #options: ClaimingEngineerOptions;
  readonly #me: string;
  /** Longer than making can take, all experts busy with the orders of the others. */
  readonly #leaseMs: number;
  /** Requests without a record, as far as this engineer knows, oldest first. */
  readonly #open = new Map<string, OpenOrder>();
  /** What it made, by key. */
  readonly #records = new Map<string, string>();
  #wake: () => void = () => undefined;
  #onOpen: () => void = () => undefined;
  made = 0;
  rewritten = 0;
  /** Claims that another one had already. */
  beaten = 0;
  /** Made, while the claim ran out: thrown away. */
  discarded = 0;

  constructor(options: ClaimingEngineerOptions) {
    const { number, engineers, workMs, expertMs } = options;
    this.number = number;
    this.#options = options;
    this.#me = `${options.run}/${number}`;
    this.#leaseMs = leaseMarginMs + 2 * (workMs + engineers * expertMs);
  }

  /** Until the signal. `onOpen` once it sees what is ordered. Rejects when the store refuses it. */
  async run(onOpen: () => void): Promise<void> {
    const isOpen = new Promise<void>((resolve) => {
      this.#onOpen = resolve;
    });
    // What was ordered before, and nobody made: somebody stopped in the middle.
    const catchingUp = isOpen.then(async () => {
      onOpen();
      await this.#catchUp();
    });
    await Promise.all([this.#watchRequests(), this.#watchRecords(), this.#work(), catchingUp]);
  }

  async #watchRequests(): Promise<void> {
    for await (const item of this.#options.store.watch(requestPrefix, this.#onOpen)) {
      if (item.type === "missed") await this.#catchUp();
      else this.#see(item.change.value);
    }
  }

  async #watchRecords(): Promise<void> {
    for await (const item of this.#options.store.watch(ordersPrefix, () => undefined)) {
      if (item.type === "change" && parseRecord(item.change.value) !== undefined) this.#open.delete(item.change.key);
    }
  }

  async #catchUp(): Promise<void> {
    const { store } = this.#options;
    const recorded = new Set(await store.list(ordersPrefix));
    for (const key of await store.list(requestPrefix)) {
      if (!recorded.has(ordersPrefix + key.slice(requestPrefix.length))) this.#see((await store.get(key)) ?? "");
    }
  }

  #see(text: string): void {
    const request = parseRequest(text);
    if (request === undefined) return;
    const key = orderKey(request.customer, request.n);
    this.#open.delete(key);
    this.#open.set(key, { request, lookAtMs: performance.now() + (this.#isByName(request) ? 0 : hesitateMs) });
    this.#wake();
  }

  #isByName({ customer, n }: LaptopRequest): boolean {
    return engineerOf(customer, n, this.#options.engineers) === this.number;
  }

  /** One at a time: an engineer has two hands. */
  async #work(): Promise<void> {
    const { signal } = this.#options;
    while (!signal.aborted) {
      const nowMs = performance.now();
      let waitMs = lookAgainMs;
      let next: [string, OpenOrder] | undefined;
      for (const entry of this.#open) {
        waitMs = Math.min(waitMs, entry[1].lookAtMs - nowMs);
        if (entry[1].lookAtMs > nowMs) continue;
        next = entry;
        break;
      }
      if (next === undefined) await this.#pause(waitMs);
      else
        await this.#take(...next).catch((error: unknown) => {
          // The client was closed under it.
          if (!signal.aborted) throw error;
        });
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(1, ms));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #take(key: string, order: OpenOrder): Promise<void> {
    const { strong, store } = this.#options;
    const { request } = order;
    const made = this.#records.get(key);
    if (made !== undefined) return await this.#write(key, made);
    const claim = claimKey(request.customer, request.n);
    let held = this.#isByName(request) ? null : await strong.get(claim);
    if (held === null) {
      if (await strong.set(claim, this.#me, { nx: true, px: this.#leaseMs })) held = this.#me;
      else {
        this.beaten++;
        held = await strong.get(claim);
      }
    }
    if (held === this.#me) return await this.#make(key, claim, request);
    if (held === null || parseRecord(held) === undefined) {
      order.lookAtMs = performance.now() + (held === null ? 0 : lookAgainMs);
      return;
    }
    // Decided. Who made it writes it, and again if asked; should that one be gone, somebody else.
    if (this.#isByName(request) || (await store.get(key)) === undefined) return await this.#write(key, held);
    this.#open.delete(key);
  }

  async #make(key: string, claim: string, request: LaptopRequest): Promise<void> {
    const record = JSON.stringify(await make(request, this.#options));
    if (!(await this.#options.strong.set(claim, record, { ifEquals: this.#me }))) {
      this.discarded++;
      return;
    }
    this.made++;
    this.#records.set(key, record);
    await this.#options.store.put(key, record);
    this.#open.delete(key);
  }

  async #write(key: string, record: string): Promise<void> {
    this.rewritten++;
    this.#open.delete(key);
    await this.#options.store.put(key, record);
  }
}
