/**
 * Redis's keyspace notifications, from the feed of changes: `__keyspace@0__:KEY` is sent the event's name,
 * `__keyevent@0__:EVENT` the key, also for writes that came from other peers.
 *
 *   set      $   the whole value was written: SET, APPEND, EXPIRE, RENAME's new key, ...
 *   incrby   $   INCR, DECR and their like
 *   del      g
 *   expired  x   by this peer's clock
 *
 * A replicated write does not carry its command's name, so there are no other events. One subscription to the feed serves
 * all clients, and only while somebody listens to a channel that could be sent something: with nobody listening nothing
 * is decoded. So they need not be switched on; `notify-keyspace-events` can switch classes off.
 */
import type { Glob } from "../commands/glob.ts";
import type { Change, Feed, FeedSubscriber, Subscription } from "../feed/change.ts";
import { type InterestListener, keyEventMark, type PubSubHub } from "./hub.ts";
import { notifyFlagsDefault, parseNotifyFlags } from "./notify-flags.ts";

const keyspacePrefix = "__keyspace@0__:";
const keyeventPrefix = "__keyevent@0__:";

const eventOf: Readonly<Record<Change["type"], string>> = {
  set: "set",
  increment: "incrby",
  delete: "del",
  expired: "expired",
};

const classOf: Readonly<Record<Change["type"], string>> = { set: "$", increment: "$", delete: "g", expired: "x" };

export class KeyEvents implements FeedSubscriber, InterestListener {
  readonly #hub: PubSubHub;
  readonly #feed: Feed;
  #subscription: Subscription | undefined;
  #flags = notifyFlagsDefault;
  #types: ReadonlySet<Change["type"]> = typesOf(notifyFlagsDefault);
  /** Keys whose own channel somebody listens to. */
  readonly #keys = new Set<string>();
  /** How many channels and patterns want an event's channel, by the channel. */
  readonly #events = new Map<string, number>();
  readonly #patterns = new Map<string, Glob>();

  constructor(hub: PubSubHub, feed: Feed) {
    this.#hub = hub;
    this.#feed = feed;
    hub.interest = this;
  }

  get flags(): string {
    return this.#flags;
  }

  /** False: not letters of Redis's. */
  setFlags(text: string): boolean {
    const flags = parseNotifyFlags(text);
    if (flags === undefined) return false;
    this.#flags = flags;
    this.#types = typesOf(flags);
    this.#follow();
    return true;
  }

  // ---- Who listens ----------------------------------------------------------------------------------------------------

  onChannel(channel: string, isWanted: boolean): void {
    if (channel.startsWith(keyspacePrefix)) {
      const key = channel.slice(keyspacePrefix.length);
      if (isWanted) this.#keys.add(key);
      else this.#keys.delete(key);
    } else if (channel.startsWith(keyeventPrefix)) {
      this.#count(channel, isWanted);
    } else return;
    this.#follow();
  }

  onPattern(pattern: string, glob: Glob, isWanted: boolean): void {
    if (!pattern.startsWith(keyEventMark)) return;
    if (isWanted) this.#patterns.set(pattern, glob);
    else this.#patterns.delete(pattern);
    for (const event of Object.values(eventOf)) {
      const channel = keyeventPrefix + event;
      if (glob.matches(channel) === true) this.#count(channel, isWanted);
    }
    this.#follow();
  }

  #count(channel: string, isWanted: boolean): void {
    const count = (this.#events.get(channel) ?? 0) + (isWanted ? 1 : -1);
    if (count > 0) this.#events.set(channel, count);
    else this.#events.delete(channel);
  }

  /** Listens to the feed if, and only if, something could come of it. */
  #follow(): void {
    const someKey = this.#flags.includes("K") && this.#keys.size + this.#patterns.size > 0;
    const someEvent = this.#flags.includes("E") && this.#events.size > 0;
    const isWanted = this.#types.size > 0 && (someKey || someEvent);
    if (isWanted && this.#subscription === undefined) {
      this.#subscription = this.#feed.subscribe(this);
    } else if (!isWanted && this.#subscription !== undefined) {
      this.#subscription.cancel();
      this.#subscription = undefined;
    }
  }

  // ---- The feed -------------------------------------------------------------------------------------------------------

  wants(key: string): boolean {
    if (this.#events.size > 0 || this.#keys.has(key)) return true;
    if (this.#patterns.size === 0) return false;
    const channel = keyspacePrefix + key;
    for (const glob of this.#patterns.values()) if (glob.matches(channel) === true) return true;
    return false;
  }

  onChanges(changes: readonly Change[]): void {
    const toKeys = this.#flags.includes("K") && this.#keys.size + this.#patterns.size > 0;
    const toEvents = this.#flags.includes("E") && this.#events.size > 0;
    for (const { type, key } of changes) {
      if (!this.#types.has(type)) continue;
      const event = eventOf[type];
      if (toKeys) this.#hub.deliverKeyEvent(keyspacePrefix + key, event);
      if (toEvents && this.#events.has(keyeventPrefix + event)) this.#hub.deliverKeyEvent(keyeventPrefix + event, key);
    }
  }

  /** Notifications are told at most once: what came as cells, without its history, is not told, as after a reconnect. */
  onReset(): void {}

  onLagging(): void {}

  /** Never: a listener that is too slow is cut by its port. */
  isFull(): boolean {
    return false;
  }
}

const typesOf = (flags: string): ReadonlySet<Change["type"]> => {
  const types = Object.keys(classOf) as Change["type"][];
  return new Set(types.filter((type) => flags.includes("A") || flags.includes(classOf[type])));
};
