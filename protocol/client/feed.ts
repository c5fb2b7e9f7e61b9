/**
 * What `for await` pulls from: items a subscription pushes, held until they are asked for.
 *
 * Memory is bounded by asking for no more: once more than `clientFeedBytesMax` is held, the subscription is paused, and
 * what was under way is dropped; when most of it was pulled the subscription is resumed from behind the last item held.
 * The socket is read all the time, so a slow loop delays no other call.
 */
import type { ClientRequest } from "../client-messages.ts";
import { clientFeedBytesMax } from "../limits.ts";
import type { Pushed } from "./connection.ts";
import type { ChorusError } from "./errors.ts";
import type { Session, Subscription } from "./session.ts";

type Waiter<Item> = {
  readonly resolve: (result: IteratorResult<Item, undefined>) => void;
  readonly reject: (error: unknown) => void;
};

/** How a feed holds its items. */
export interface Hold<Item> {
  /** Undefined: nothing there. What it throws ends the feed. */
  take(): Item | undefined;
  readonly bytes: number;
}

export abstract class Feed<Item> implements Subscription, AsyncIterableIterator<Item, undefined, undefined> {
  readonly #session: Session;
  readonly #signal: AbortSignal | undefined;
  readonly patientUntilMs: number;
  readonly #waiters: Waiter<Item>[] = [];
  #state: "new" | "running" | "paused" | "over" = "new";
  #failure: ChorusError | undefined;

  constructor(session: Session, signal: AbortSignal | undefined) {
    this.patientUntilMs = performance.now() + session.timeoutMs;
    this.#session = session;
    this.#signal = signal;
  }

  abstract request(id: number): ClientRequest | undefined;
  abstract readonly position: string;
  protected abstract readonly hold: Hold<Item>;
  protected abstract take(message: Pushed): void;

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Item, undefined>> {
    if (this.#state === "new") this.#start();
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#serve();
    });
  }

  /** What a `break` calls. */
  return(): Promise<IteratorResult<Item, undefined>> {
    this.#end(undefined);
    return Promise.resolve({ done: true, value: undefined });
  }

  onPushed(message: Pushed): void {
    this.take(message);
    this.#serve();
    if (this.#state === "running" && this.hold.bytes > clientFeedBytesMax) {
      this.#state = "paused";
      this.#session.pause(this);
    }
  }

  onRefused(error: ChorusError): void {
    this.#end(error);
  }

  onClosed(error: ChorusError): void {
    this.#end(error);
  }

  protected get isPaused(): boolean {
    return this.#state === "paused";
  }

  #start(): void {
    if (this.#signal?.aborted === true) return this.#end(undefined);
    this.#state = "running";
    this.#signal?.addEventListener("abort", this.#onAbort, { once: true });
    this.#session.subscribe(this);
  }

  readonly #onAbort = (): void => this.#end(undefined);

  /** An ended feed gives no more, not even what it held: the caller asked for the end. A failed one gives that first. */
  #end(failure: ChorusError | undefined): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#failure = failure;
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#session.unsubscribe(this);
    this.#serve();
  }

  #serve(): void {
    for (let waiter = this.#waiters[0]; waiter !== undefined; waiter = this.#waiters[0]) {
      let item: Item | undefined;
      if (this.#state !== "over" || this.#failure !== undefined) {
        try {
          item = this.hold.take();
        } catch (error) {
          this.#waiters.shift();
          waiter.reject(error);
          this.#failure = undefined;
          this.#end(undefined);
          continue;
        }
      }
      if (item !== undefined) waiter.resolve({ done: false, value: item });
      else if (this.#state !== "over") break;
      else if (this.#failure !== undefined) {
        waiter.reject(this.#failure);
        this.#failure = undefined;
      } else waiter.resolve({ done: true, value: undefined });
      this.#waiters.shift();
    }
    if (this.#state === "paused" && this.hold.bytes < clientFeedBytesMax / 4) {
      this.#state = "running";
      this.#session.resume(this);
    }
  }
}
