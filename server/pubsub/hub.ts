/**
 * Channels and patterns, who listens to them, and delivery to the listeners of this peer.
 *
 * Messages are not data: nothing is kept, logged or repeated. A message goes to those who listen now and can take it; one
 * whose connection is too slow is cut by its port, so nobody's slowness costs memory or time of others.
 *
 * Key events (`__keyspace@0__:...`, see key-events.ts) come through here too, but only patterns that begin with `__key`
 * match them: `PSUBSCRIBE *` means the application's own channels, and would else be sent every write of the map.
 */
import { Glob } from "../commands/glob.ts";
import { PubSubMessage, type PushTarget } from "./push.ts";

/** One connection's subscriptions. Made by its first, gone with its last. */
export interface Subscriber {
  readonly target: PushTarget;
  readonly channels: Set<string>;
  readonly patterns: Set<string>;
  /** Of all its channels and patterns. */
  bytes: number;
}

/** What has a place for it: a session. */
export interface CanSubscribe {
  readonly pushTarget?: PushTarget | undefined;
  subscriber?: Subscriber | undefined;
}

interface PatternEntry {
  readonly glob: Glob;
  readonly subscribers: Set<Subscriber>;
}

/** Told when the first begins and the last ends to listen. */
export interface InterestListener {
  onChannel(channel: string, isWanted: boolean): void;
  onPattern(pattern: string, glob: Glob, isWanted: boolean): void;
}

export const keyEventMark = "__key";

export class PubSubHub {
  readonly #channels = new Map<string, Set<Subscriber>>();
  readonly #patterns = new Map<string, PatternEntry>();
  /** Of these, the ones that key events are matched with. */
  readonly #keyPatterns = new Map<string, PatternEntry>();
  #clients = 0;
  interest: InterestListener | undefined;
  /** Where PUBLISH goes besides: the other peers. */
  onPublish: ((channel: string, message: string) => void) | undefined;

  // ---- Listening ------------------------------------------------------------------------------------------------------

  /** Each of the four answers how many channels and patterns the session then has. */
  subscribe(session: CanSubscribe, channel: string): number {
    const subscriber = this.#join(session);
    if (subscriber === undefined || subscriber.channels.has(channel)) return countOf(subscriber);
    subscriber.channels.add(channel);
    subscriber.bytes += channel.length;
    const listeners = this.#channels.get(channel);
    if (listeners !== undefined) listeners.add(subscriber);
    else {
      this.#channels.set(channel, new Set([subscriber]));
      this.interest?.onChannel(channel, true);
    }
    return countOf(subscriber);
  }

  unsubscribe(session: CanSubscribe, channel: string): number {
    const { subscriber } = session;
    if (subscriber?.channels.delete(channel)) {
      subscriber.bytes -= channel.length;
      const listeners = this.#channels.get(channel);
      listeners?.delete(subscriber);
      if (listeners?.size === 0) {
        this.#channels.delete(channel);
        this.interest?.onChannel(channel, false);
      }
      this.#leaveIfDone(session, subscriber);
    }
    return countOf(session.subscriber);
  }

  subscribePattern(session: CanSubscribe, pattern: string): number {
    const subscriber = this.#join(session);
    if (subscriber === undefined || subscriber.patterns.has(pattern)) return countOf(subscriber);
    subscriber.patterns.add(pattern);
    subscriber.bytes += pattern.length;
    const known = this.#patterns.get(pattern);
    if (known !== undefined) known.subscribers.add(subscriber);
    else {
      const entry = { glob: new Glob(pattern), subscribers: new Set([subscriber]) };
      this.#patterns.set(pattern, entry);
      if (pattern.startsWith(keyEventMark)) this.#keyPatterns.set(pattern, entry);
      this.interest?.onPattern(pattern, entry.glob, true);
    }
    return countOf(subscriber);
  }

  unsubscribePattern(session: CanSubscribe, pattern: string): number {
    const { subscriber } = session;
    if (subscriber?.patterns.delete(pattern)) {
      subscriber.bytes -= pattern.length;
      const entry = this.#patterns.get(pattern);
      entry?.subscribers.delete(subscriber);
      if (entry?.subscribers.size === 0) {
        this.#patterns.delete(pattern);
        this.#keyPatterns.delete(pattern);
        this.interest?.onPattern(pattern, entry.glob, false);
      }
      this.#leaveIfDone(session, subscriber);
    }
    return countOf(session.subscriber);
  }

  /** The connection is over, or starts anew. In vain is fine. */
  leave(session: CanSubscribe): void {
    const { subscriber } = session;
    if (subscriber === undefined) return;
    for (const channel of subscriber.channels) this.unsubscribe(session, channel);
    for (const pattern of subscriber.patterns) this.unsubscribePattern(session, pattern);
  }

  #join(session: CanSubscribe): Subscriber | undefined {
    const target = session.pushTarget;
    if (session.subscriber === undefined && target !== undefined) {
      session.subscriber = { target, channels: new Set(), patterns: new Set(), bytes: 0 };
      this.#clients += 1;
    }
    return session.subscriber;
  }

  #leaveIfDone(session: CanSubscribe, subscriber: Subscriber): void {
    if (countOf(subscriber) > 0) return;
    session.subscriber = undefined;
    this.#clients -= 1;
  }

  // ---- Messages -------------------------------------------------------------------------------------------------------

  /** To the listeners here and, at most once, to those at the other peers. Answers how many there are here. */
  publish(channel: string, message: string): number {
    this.onPublish?.(channel, message);
    return this.deliver(channel, message);
  }

  /** To the listeners here; one who listens by channel and by patterns gets it once for each, as in Redis. */
  deliver(channel: string, message: string): number {
    return this.#deliver(channel, message, this.#patterns);
  }

  deliverKeyEvent(channel: string, message: string): void {
    this.#deliver(channel, message, this.#keyPatterns);
  }

  #deliver(channel: string, message: string, patterns: ReadonlyMap<string, PatternEntry>): number {
    let receivers = 0;
    const listeners = this.#channels.get(channel);
    if (listeners !== undefined) {
      const text = new PubSubMessage("message", channel, message);
      for (const { target } of listeners) target.push(text);
      receivers = listeners.size;
    }
    for (const [pattern, { glob, subscribers }] of patterns) {
      // One too costly to decide does not match: better than to hold up everybody.
      if (glob.matches(channel) !== true) continue;
      const text = new PubSubMessage("pmessage", pattern, channel, message);
      for (const { target } of subscribers) target.push(text);
      receivers += subscribers.size;
    }
    return receivers;
  }

  // ---- PUBSUB ---------------------------------------------------------------------------------------------------------

  channels(): Iterable<string> {
    return this.#channels.keys();
  }

  listenersOf(channel: string): number {
    return this.#channels.get(channel)?.size ?? 0;
  }

  get counts(): { readonly channels: number; readonly patterns: number; readonly clients: number } {
    return { channels: this.#channels.size, patterns: this.#patterns.size, clients: this.#clients };
  }
}

const countOf = (subscriber: Subscriber | undefined): number =>
  subscriber === undefined ? 0 : subscriber.channels.size + subscriber.patterns.size;
