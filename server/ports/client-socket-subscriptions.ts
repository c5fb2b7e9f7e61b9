/**
 * The subscriptions of one client WebSocket, by the client's ids. None of them holds what the client does not read: each
 * looks at `isFull` and goes on when the socket is writable again.
 */
import type { ClientRequest, WatchRequest } from "../../protocol/client-messages.ts";
import type { WireVector } from "../../protocol/link-messages.ts";
import { parsePosition } from "../../protocol/position.ts";
import { ConflictSubscription } from "./client-socket-conflicts.ts";
import type { ClientSocketOwner } from "./client-socket-owner.ts";
import { Watch } from "./client-socket-watch.ts";

/** Where a subscription writes. */
export interface Outlet {
  /** One whole message. */
  send(message: string): void;
  /** So much is unsent that nothing more should be made. */
  isFull(): boolean;
  /** An error message, in its place among the replies. */
  refuse(id: number, code: string, message: string): void;
}

export interface ActiveSubscription {
  cancel(): void;
  /** The client has read what there was. */
  onWritable(): void;
}

type SubscriptionRequest = Extract<ClientRequest, { readonly type: "status" | "conflicts" | "cancel" }>;

export class Subscriptions {
  readonly #owner: ClientSocketOwner;
  readonly #outlet: Outlet;
  readonly #active = new Map<number, ActiveSubscription>();

  constructor(owner: ClientSocketOwner, outlet: Outlet) {
    this.#owner = owner;
    this.#outlet = outlet;
  }

  has(id: number): boolean {
    return this.#active.has(id);
  }

  handle(request: SubscriptionRequest): void {
    const { id } = request;
    if (request.type === "cancel") {
      if (!this.#end(id, "cancelled")) this.#outlet.refuse(id, "UNKNOWN_ID", "no subscription has this id");
    } else if (this.#isTaken(id)) {
      return;
    } else if (request.type === "status") {
      const status = new StatusSubscription(id, this.#outlet);
      this.#active.set(id, status);
      const stop = this.#owner.watchStatus((json) => status.onReport(json));
      status.onCancel = stop;
    } else {
      this.#active.set(id, new ConflictSubscription(id, this.#outlet, this.#owner.conflicts));
    }
  }

  /** `timeoutMs`: how long this peer may take to reach the token. */
  watch(request: WatchRequest, timeoutMs: number): void {
    const { id, token } = request;
    const { feed, readRefusal } = this.#owner;
    if (this.#isTaken(id)) return;
    const refusal = readRefusal();
    if (refusal !== undefined) {
      const spaceAt = refusal.indexOf(" ");
      return this.#outlet.refuse(id, refusal.slice(0, spaceAt), refusal.slice(spaceAt + 1));
    }
    const vector = token === undefined ? undefined : parsePosition(token);
    if (token !== undefined && vector === undefined) return this.#outlet.refuse(id, "BAD_POSITION", "not a token");
    const watch = new Watch(request, this.#outlet);
    this.#active.set(id, watch);
    if (token === undefined || vector === undefined) watch.begin(feed, undefined);
    else this.#beginBehind(id, watch, { token, vector }, timeoutMs);
  }

  /** A watch may only begin at a peer that has seen what its token names. */
  #beginBehind(id: number, watch: Watch, from: { token: string; vector: WireVector }, timeoutMs: number): void {
    const { feed } = this.#owner;
    void feed.reached(from.vector, timeoutMs).then((reached) => {
      if (watch.cancelled) return;
      if (reached) return watch.begin(feed, from);
      this.#active.delete(id);
      this.#outlet.refuse(id, "STALE", "this peer has not reached the token yet");
    });
  }

  #isTaken(id: number): boolean {
    if (this.#active.has(id)) this.#outlet.refuse(id, "ID_IN_USE", "a subscription has this id");
    else if (this.#active.size >= this.#owner.limits.subscriptionsMax) {
      this.#outlet.refuse(id, "TOO_MANY", `${this.#active.size} subscriptions, which is the limit`);
    } else return false;
    return true;
  }

  #end(id: number, why: string): boolean {
    const subscription = this.#active.get(id);
    if (subscription === undefined) return false;
    this.#active.delete(id);
    subscription.cancel();
    this.#outlet.send(`{"type":"ended","id":${id},"why":${JSON.stringify(why)}}`);
    return true;
  }

  endAll(why: string): void {
    for (const id of [...this.#active.keys()]) this.#end(id, why);
  }

  /** The socket is gone. */
  drop(): void {
    for (const subscription of this.#active.values()) subscription.cancel();
    this.#active.clear();
  }

  onWritable(): void {
    for (const subscription of this.#active.values()) subscription.onWritable();
  }
}

/** The report, each time there is a new one; one that cannot be sent is left out, for the next is newer. */
class StatusSubscription implements ActiveSubscription {
  readonly #id: number;
  readonly #outlet: Outlet;
  onCancel: () => void = () => {};

  constructor(id: number, outlet: Outlet) {
    this.#id = id;
    this.#outlet = outlet;
  }

  onReport(json: string): void {
    if (!this.#outlet.isFull()) this.#outlet.send(`{"type":"status","id":${this.#id},"status":${json}}`);
  }

  cancel(): void {
    this.onCancel();
  }

  onWritable(): void {}
}
