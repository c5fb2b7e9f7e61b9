/** One watch of a client WebSocket: changes of the feed as JSON messages. */
import { performance } from "node:perf_hooks";
import type { WatchRequest } from "../../protocol/client-messages.ts";
import type { WireVector } from "../../protocol/link-messages.ts";
import type { Change, Feed, FeedSubscriber, Subscription } from "../feed/change.ts";
import { changeToJson } from "./change-json.ts";
import { wireToLatin1 } from "./client-socket-bytes.ts";
import type { ActiveSubscription, Outlet } from "./client-socket-subscriptions.ts";

const sampleWindowMs = 1000;

export class Watch implements FeedSubscriber, ActiveSubscription {
  readonly #id: number;
  readonly #outlet: Outlet;
  readonly #key: string | undefined;
  readonly #prefix: string;
  readonly #withValues: boolean;
  readonly #perSecondMax: number;
  #subscription: Subscription | undefined;
  #cancelled = false;
  #windowStartedMs = 0;
  #givenInWindow = 0;
  /** Left out since the last message. */
  #left = 0;

  constructor(request: WatchRequest, outlet: Outlet) {
    this.#id = request.id;
    this.#outlet = outlet;
    this.#key = request.key === undefined ? undefined : wireToLatin1(request.key);
    this.#prefix = wireToLatin1(request.prefix ?? "");
    this.#withValues = request.values ?? true;
    this.#perSecondMax = request.perSecondMax ?? Number.POSITIVE_INFINITY;
  }

  /** From now on, or behind a token that this peer has reached. */
  begin(feed: Feed, from: { readonly token: string; readonly vector: WireVector } | undefined): void {
    const token = from?.token ?? feed.position();
    this.#subscription = from === undefined ? feed.subscribe(this) : feed.subscribe(this, from.vector);
    this.#outlet.send(`{"type":"watching","id":${this.#id},"token":${JSON.stringify(token)}}`);
  }

  get cancelled(): boolean {
    return this.#cancelled;
  }

  cancel(): void {
    this.#cancelled = true;
    this.#subscription?.cancel();
  }

  onWritable(): void {
    this.#subscription?.resume();
  }

  // ---- From the feed ---------------------------------------------------------------------------------------------------

  wants(key: string): boolean {
    return this.#key === undefined ? key.startsWith(this.#prefix) : key === this.#key;
  }

  isFull(): boolean {
    return this.#outlet.isFull();
  }

  onChanges(changes: readonly Change[], position: () => string): void {
    if (this.#cancelled) return;
    const given = this.#sample(changes);
    // What was left out is told with the next that is not, or when the feed tells a position, about once a second.
    if (given.length === 0 && changes.length > 0) return;
    const list = given.map((change) => changeToJson(change, this.#withValues)).join(",");
    const left = this.#left > 0 ? `,"left":${this.#left}` : "";
    this.#left = 0;
    this.#outlet.send(`{"type":"changes","id":${this.#id},"changes":[${list}],"token":"${position()}"${left}}`);
  }

  #sample(changes: readonly Change[]): readonly Change[] {
    if (this.#perSecondMax === Number.POSITIVE_INFINITY || changes.length === 0) return changes;
    const nowMs = performance.now();
    if (nowMs - this.#windowStartedMs >= sampleWindowMs) {
      this.#windowStartedMs = nowMs;
      this.#givenInWindow = 0;
    }
    const room = this.#perSecondMax - this.#givenInWindow;
    const given = changes.length <= room ? changes : changes.slice(0, room);
    this.#givenInWindow += given.length;
    this.#left += changes.length - given.length;
    return given;
  }

  onReset(why: string, position: string): void {
    if (this.#cancelled) return;
    this.#left = 0;
    this.#outlet.send(`{"type":"reset","id":${this.#id},"token":"${position}","why":${JSON.stringify(why)}}`);
  }

  onLagging(): void {
    if (!this.#cancelled) this.#outlet.send(`{"type":"lagging","id":${this.#id}}`);
  }
}
