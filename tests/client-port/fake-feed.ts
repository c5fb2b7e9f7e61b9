/** A feed moved by hand. */
import type { WireVector } from "../../protocol/link-messages.ts";
import { formatPosition } from "../../protocol/position.ts";
import type { OriginId } from "../../protocol/words.ts";
import type { Change, Feed, FeedSubscriber, Subscription } from "../../server/feed/change.ts";

export const origin = "a.000000000000001" as OriginId;

export class FakeFeed implements Feed {
  seq = 0;
  readonly subscribers = new Map<FeedSubscriber, { readonly from: WireVector | undefined; resumes: number }>();
  readonly #waiters: { readonly seq: number; readonly resolve: (reached: boolean) => void }[] = [];

  subscribe(subscriber: FeedSubscriber, from?: WireVector): Subscription {
    const state = { from, resumes: 0 };
    this.subscribers.set(subscriber, state);
    return {
      cancel: () => this.subscribers.delete(subscriber),
      resume: () => {
        state.resumes += 1;
      },
    };
  }

  position(): string {
    return this.seq === 0 ? "" : formatPosition([[origin, this.seq]]);
  }

  covers(vector: WireVector): boolean {
    return (vector[0]?.[1] ?? 0) <= this.seq;
  }

  reached(vector: WireVector, timeoutMs: number): Promise<boolean> {
    const seq = vector[0]?.[1] ?? 0;
    if (seq <= this.seq) return Promise.resolve(true);
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), timeoutMs);
      timer.unref();
      this.#waiters.push({
        seq,
        resolve: (reached) => {
          clearTimeout(timer);
          resolve(reached);
        },
      });
    });
  }

  /** A write of this peer: those who want it and have room get it. */
  write(key: string, value: string | undefined, expiresAtMs = 0): void {
    this.seq += 1;
    const change: Change = {
      type: value === undefined ? "delete" : "set",
      key,
      value,
      expiresAtMs,
      origin,
      seq: this.seq,
      stamp: this.seq * 4096,
    };
    for (const subscriber of this.subscribers.keys()) {
      if (subscriber.isFull()) subscriber.onLagging();
      else if (subscriber.wants(key)) subscriber.onChanges([change], () => this.position());
    }
    for (const waiter of this.#waiters) if (waiter.seq <= this.seq) waiter.resolve(true);
  }
}
