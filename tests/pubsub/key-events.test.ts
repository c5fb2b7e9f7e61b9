/** Keyspace notifications over a feed that is a fake: who makes it listen, what is told to whom. */
import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { type OriginId, originId, parseIncarnation, parsePeerName } from "../../protocol/words.ts";
import type { Change, Feed, FeedSubscriber, Subscription } from "../../server/feed/change.ts";
import { type CanSubscribe, PubSubHub } from "../../server/pubsub/hub.ts";
import { KeyEvents } from "../../server/pubsub/key-events.ts";
import type { PushText } from "../../server/pubsub/push.ts";

class FakeFeed implements Feed {
  readonly subscribers = new Set<FeedSubscriber>();
  subscriptions = 0;

  subscribe(subscriber: FeedSubscriber): Subscription {
    this.subscriptions += 1;
    this.subscribers.add(subscriber);
    return { cancel: () => this.subscribers.delete(subscriber), resume: () => undefined };
  }

  position(): string {
    return "";
  }

  covers(): boolean {
    return true;
  }

  reached(): Promise<boolean> {
    return Promise.resolve(true);
  }

  tell(type: Change["type"], key: string): void {
    const change: Change = { type, key, value: undefined, expiresAtMs: 0, origin: anOrigin(), seq: 1, stamp: 1 };
    for (const subscriber of this.subscribers) if (subscriber.wants(key)) subscriber.onChanges([change], () => "");
  }
}

const anOrigin = (): OriginId => {
  const [name, incarnation] = [parsePeerName("b"), parseIncarnation("000000000000001")];
  assert.ok(name !== undefined && incarnation !== undefined);
  return originId(name, incarnation);
};

class Listener implements CanSubscribe {
  readonly got: string[] = [];
  subscriber = undefined;
  readonly pushTarget = {
    push: (text: PushText) =>
      this.got.push(
        text
          .text(2)
          .replaceAll(/[*$:]\d+\r\n/g, "")
          .trim()
          .replaceAll("\r\n", " "),
      ),
    answer: () => undefined,
  };

  take(): string[] {
    return this.got.splice(0);
  }
}

describe("key events", () => {
  let hub: PubSubHub;
  let feed: FakeFeed;
  let events: KeyEvents;
  beforeEach(() => {
    hub = new PubSubHub();
    feed = new FakeFeed();
    events = new KeyEvents(hub, feed);
  });
  const all = [
    ["set", "k"],
    ["increment", "n"],
    ["delete", "k"],
    ["expired", "e"],
  ] as const;
  const tellAll = (): void => {
    for (const [type, key] of all) feed.tell(type, key);
  };

  test("the feed is listened to once for all, and only while somebody wants what it can tell", () => {
    const [one, other] = [new Listener(), new Listener()];
    hub.subscribe(one, "news");
    hub.subscribePattern(one, "*");
    hub.subscribePattern(one, "_*");
    hub.subscribe(one, "__keyevent@1__:set");
    assert.equal(feed.subscribers.size, 0, "channels of the application are none of its business");
    hub.subscribe(one, "__keyspace@0__:k");
    hub.subscribe(other, "__keyspace@0__:k");
    hub.subscribePattern(other, "__keyevent@0__:*");
    assert.equal(feed.subscribers.size, 1);
    hub.unsubscribe(one, "__keyspace@0__:k");
    hub.leave(one);
    assert.equal(feed.subscribers.size, 1);
    hub.leave(other);
    assert.equal(feed.subscribers.size, 0);
    assert.equal(feed.subscriptions, 1);
    hub.subscribePattern(one, "__key*__:*");
    assert.equal(feed.subscribers.size, 1);
  });

  test("each event goes to its key's channel and to its own, and to patterns that name them", () => {
    const listeners = new Map(
      ["__keyspace@0__:k", "__keyevent@0__:expired", "__key*__:*", "__keyspace@0__:[en]", "*"].map((name) => {
        const listener = new Listener();
        if (/[*[]/.test(name)) hub.subscribePattern(listener, name);
        else hub.subscribe(listener, name);
        return [name, listener] as const;
      }),
    );
    tellAll();
    const got = Object.fromEntries([...listeners].map(([name, listener]) => [name, listener.take()]));
    assert.deepEqual(got, {
      "__keyspace@0__:k": ["message __keyspace@0__:k set", "message __keyspace@0__:k del"],
      "__keyevent@0__:expired": ["message __keyevent@0__:expired e"],
      "__key*__:*": [
        "pmessage __key*__:* __keyspace@0__:k set",
        "pmessage __key*__:* __keyevent@0__:set k",
        "pmessage __key*__:* __keyspace@0__:n incrby",
        "pmessage __key*__:* __keyevent@0__:incrby n",
        "pmessage __key*__:* __keyspace@0__:k del",
        "pmessage __key*__:* __keyevent@0__:del k",
        "pmessage __key*__:* __keyspace@0__:e expired",
        "pmessage __key*__:* __keyevent@0__:expired e",
      ],
      "__keyspace@0__:[en]": [
        "pmessage __keyspace@0__:[en] __keyspace@0__:n incrby",
        "pmessage __keyspace@0__:[en] __keyspace@0__:e expired",
      ],
      "*": [],
    });
  });

  test("of other keys nothing is asked for", () => {
    const listener = new Listener();
    hub.subscribe(listener, "__keyspace@0__:k");
    hub.subscribePattern(listener, "__keyspace@0__:user:*");
    assert.deepEqual(
      ["k", "user:1", "kk", "userx", ""].map((key) => events.wants(key)),
      [true, true, false, false, false],
    );
    hub.subscribe(listener, "__keyevent@0__:del");
    assert.ok(events.wants("anything"), "which key is deleted next, nobody knows");
  });

  test("notify-keyspace-events switches classes and kinds off", () => {
    assert.equal(events.flags, "AKE");
    const listener = new Listener();
    hub.subscribePattern(listener, "__key*__:*");
    assert.ok(events.setFlags("Ex"));
    tellAll();
    assert.deepEqual(listener.take(), ["pmessage __key*__:* __keyevent@0__:expired e"]);
    assert.ok(events.setFlags("gK"));
    tellAll();
    assert.deepEqual(listener.take(), ["pmessage __key*__:* __keyspace@0__:k del"]);
    for (const flags of ["", "A", "K", "KEls"]) {
      assert.ok(events.setFlags(flags));
      assert.equal(feed.subscribers.size, 0, `nothing can come of ${flags}`);
    }
    assert.equal(events.setFlags("KEQ"), false);
    assert.equal(events.flags, "lsKE");
  });
});
