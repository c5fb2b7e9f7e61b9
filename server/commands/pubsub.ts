/** SUBSCRIBE, PUBLISH and the others about channels, and MONITOR. Who listens is in server/pubsub. */
import { keyBytesMax, patternBytesMax, subscriptionBytesMax, subscriptionsMax } from "../../protocol/limits.ts";
import { PubSubMessage } from "../pubsub/push.ts";
import type { Handler, Handlers } from "./context.ts";
import { Glob } from "./glob.ts";
import { containerHelp } from "./help.ts";
import type { CommandHost, Session } from "./session.ts";

const notHere = "ERR this kind of connection takes no messages of channels: use the TCP port, or a watch";

/** Confirms each as it is done. One command does all or nothing, so that a client need not count what a refusal left. */
const subscribing =
  (kind: "subscribe" | "psubscribe"): Handler =>
  (session, words, { host }) => {
    const names = words.slice(1);
    const refusal = subscribeRefusal(session, names, kind === "subscribe" ? keyBytesMax : patternBytesMax);
    if (refusal !== undefined) {
      session.reply.error(refusal);
      return;
    }
    for (const name of names) {
      const count =
        kind === "subscribe" ? host.pubSub.subscribe(session, name) : host.pubSub.subscribePattern(session, name);
      session.pushTarget?.answer(new PubSubMessage(kind, name, count));
    }
  };

const subscribeRefusal = (session: Session, names: readonly string[], bytesMax: number): string | undefined => {
  if (session.pushTarget === undefined) return notHere;
  const { subscriber } = session;
  let count = names.length;
  let bytes = names.reduce((sum, name) => sum + name.length, 0);
  if (subscriber !== undefined) {
    count += subscriber.channels.size + subscriber.patterns.size;
    bytes += subscriber.bytes;
  }
  if (names.some((name) => name.length > bytesMax)) return `ERR a channel or pattern is longer than ${bytesMax} bytes`;
  if (count > subscriptionsMax || bytes > subscriptionBytesMax)
    return `ERR too many subscriptions, limit ${subscriptionsMax} of ${subscriptionBytesMax} bytes`;
  return undefined;
};

const unsubscribing =
  (kind: "unsubscribe" | "punsubscribe"): Handler =>
  (session, words, { host }) => {
    const target = session.pushTarget;
    if (target === undefined) {
      session.reply.error(notHere);
      return;
    }
    const { subscriber } = session;
    const isChannels = kind === "unsubscribe";
    const all = (isChannels ? subscriber?.channels : subscriber?.patterns) ?? [];
    // A copy: it shrinks while it is walked through.
    const names = words.length > 1 ? words.slice(1) : [...all];
    for (const name of names) {
      const count = isChannels ? host.pubSub.unsubscribe(session, name) : host.pubSub.unsubscribePattern(session, name);
      target.answer(new PubSubMessage(kind, name, count));
    }
    if (names.length === 0) {
      const count = subscriber === undefined ? 0 : subscriber.channels.size + subscriber.patterns.size;
      target.answer(new PubSubMessage(kind, null, count));
    }
  };

const publish: Handler = (session, words, { host }) => {
  if (words[1].length > keyBytesMax) session.reply.error(`ERR a channel is longer than ${keyBytesMax} bytes`);
  else session.reply.integer(host.pubSub.publish(words[1], words[2]));
};

// ---- PUBSUB -----------------------------------------------------------------------------------------------------------

const channels: Handler = (session, words, { host }) => {
  const { reply } = session;
  const pattern = words[2] as string | undefined;
  if (pattern !== undefined && pattern.length > patternBytesMax) {
    reply.error(`ERR pattern is longer than ${patternBytesMax} bytes`);
    return;
  }
  const glob = pattern === undefined ? undefined : new Glob(pattern);
  const found = [...host.pubSub.channels()].filter((channel) => glob === undefined || glob.matches(channel) === true);
  reply.array(found.length);
  for (const channel of found) reply.bulk(channel);
};

const numsub: Handler = (session, words, { host }) => {
  const names = words.slice(2);
  session.reply.array(names.length * 2);
  for (const name of names) {
    session.reply.bulk(name);
    session.reply.integer(host.pubSub.listenersOf(name));
  }
};

// ---- MONITOR ----------------------------------------------------------------------------------------------------------

const monitor: Handler = (session, _words, { host }) => {
  if (host.monitors.add(session)) session.reply.simple("OK");
  else session.reply.error(notHere);
};

/** A connection that ends, or that RESET puts back to its beginning. */
export const stopListening = (session: Session, host: Pick<CommandHost, "pubSub" | "monitors">): void => {
  host.pubSub.leave(session);
  host.monitors.remove(session);
};

export const pubSubHandlers: Handlers = {
  subscribe: subscribing("subscribe"),
  psubscribe: subscribing("psubscribe"),
  unsubscribe: unsubscribing("unsubscribe"),
  punsubscribe: unsubscribing("punsubscribe"),
  publish,
  "pubsub|channels": channels,
  "pubsub|numsub": numsub,
  "pubsub|numpat": (session, _words, { host }) => session.reply.integer(host.pubSub.counts.patterns),
  "pubsub|help": containerHelp("pubsub"),
  monitor,
};
