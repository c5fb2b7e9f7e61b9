/**
 * What a feed of changes hands out, and to whom. One feed serves every port: the client WebSocket, SSE, Redis keyspace
 * notifications.
 */
import type { WireVector } from "../../protocol/link-messages.ts";
import type { OriginId, Stamp } from "../../protocol/words.ts";

/** One write that this peer applied and that showed, or an expiry that its clock reached. Strings are latin1. */
export interface Change {
  /** `expired` has no dot of its own: origin, seq and stamp are those of the write that expired. */
  readonly type: "set" | "delete" | "increment" | "expired";
  readonly key: string;
  /** set: the value. increment: what the key shows at this peer when the change is handed out. Else undefined. */
  readonly value: string | undefined;
  /** Unix ms, 0 for none. */
  readonly expiresAtMs: number;
  readonly origin: OriginId;
  readonly seq: number;
  readonly stamp: Stamp;
}

export interface FeedSubscriber {
  /** Asked for every change; must be cheap. */
  wants(key: string): boolean;
  /**
   * In causal order, every one once. `position()` is behind the last of them; it is only made when asked for. An empty
   * list: nothing was wanted, but the position moved on (about once a second).
   */
  onChanges(changes: readonly Change[], position: () => string): void;
  /** What lies behind its position is no longer in the log, or came as cells: it goes on from the new position. */
  onReset(why: string, position: string): void;
  /** It is full: what follows comes from the log once `resume` was called. */
  onLagging(): void;
  /** True: hand me nothing more until resume(). */
  isFull(): boolean;
}

export interface Subscription {
  cancel(): void;
  /** The subscriber takes changes again. In vain is fine. */
  resume(): void;
}

export interface Feed {
  /**
   * Everything behind `from`, then what comes. Without `from`: from now on. The log no longer reaches back to `from`:
   * onReset. Callbacks come in later turns of the event loop, never from within this call. Wait until `from` is reached:
   * else a counter is shown without increments that the subscriber saw elsewhere, and they are not handed out again.
   * Expiries are told to those who are live when they come; a replay does not repeat them.
   */
  subscribe(subscriber: FeedSubscriber, from?: WireVector): Subscription;
  /** Of all this peer has applied. Made once per change of it. */
  position(): string;
  /** This peer has applied all of `vector`. */
  covers(vector: WireVector): boolean;
  /** Resolves true once this peer has applied all of `vector`, false when `timeoutMs` have passed or it closes. */
  reached(vector: WireVector, timeoutMs: number): Promise<boolean>;
}
