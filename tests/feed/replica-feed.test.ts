/**
 * The feed of changes against an oracle: whoever mirrors it, live, slowly, or wandering from peer to peer with a token,
 * ends with what the peer shows, and is handed no write twice.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { parsePosition } from "../../protocol/position.ts";
import type { Change, FeedSubscriber, Subscription } from "../../server/feed/change.ts";
import { ReplicaFeed } from "../../server/feed/replica-feed.ts";
import type { Replica } from "../../server/replica/index.ts";
import { type ScriptPeer, ScriptWorld } from "../support/script-world.ts";

const random = (seed: number): (() => number) => {
  let state = seed;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0;
    return ((state ^ (state >>> 13)) >>> 0) / 4294967296;
  };
};

class Mirror implements FeedSubscriber {
  readonly map = new Map<string, string>();
  readonly changes: Change[] = [];
  readonly dots: string[] = [];
  readonly resets: string[] = [];
  position = "";
  full = false;
  lagged = 0;
  prefix = "";
  room = Number.POSITIVE_INFINITY;

  wants(key: string): boolean {
    return key.startsWith(this.prefix);
  }

  onChanges(changes: readonly Change[], position: () => string): void {
    for (const change of changes) {
      this.changes.push(change);
      if (change.type !== "expired") this.dots.push(`${change.origin}:${change.seq}`);
      if (change.value === undefined) this.map.delete(change.key);
      else this.map.set(change.key, change.value);
    }
    this.position = position();
    this.room -= changes.length;
    if (this.room <= 0) this.full = true;
  }

  onReset(why: string, position: string): void {
    this.resets.push(why);
    this.position = position;
  }

  onLagging(): void {
    this.lagged++;
  }

  isFull(): boolean {
    return this.full;
  }
}

class FeedWorld extends ScriptWorld {
  readonly feeds = new Map<string, ReplicaFeed>();

  constructor(names: readonly string[]) {
    super();
    this.create(names);
    this.onReady = (peer, ready) => {
      const feed = this.feeds.get(peer.name);
      feed?.onAppended(ready.append);
      for (const event of ready.events) if (event.type === "transfer-installed") feed?.onCells("transfer");
    };
    for (const peer of this.peers.values()) this.begin(peer);
    const [a, b, c] = [...this.peers.values()];
    for (const [left, right] of [
      [a, b],
      [a, c],
      [b, c],
    ])
      if (left !== undefined && right !== undefined) this.connect(left, right);
    this.deliverAll();
  }

  begin(peer: ScriptPeer): void {
    this.start(peer, { bootstrap: true });
    const feed = new ReplicaFeed({
      replica: peer.replica as Replica,
      log: peer.storage.log,
      wallMs: () => this.nowMs + peer.skewMs,
      onFailure: (error) => {
        throw error;
      },
    });
    this.feeds.set(peer.name, feed);
  }

  feed(name: string): ReplicaFeed {
    return this.feeds.get(name) as ReplicaFeed;
  }

  write(name: string, write: (replica: Replica) => void): void {
    const peer = this.peer(name);
    this.touch(peer);
    const replica = this.up(name);
    replica.keyspace.begin(this.nowMs + peer.skewMs);
    write(replica);
  }

  set(name: string, key: string, value: string, expiresAtMs = 0): void {
    this.write(name, ({ keyspace }) => keyspace.set(key, value, expiresAtMs));
    this.pump();
  }

  shown(name: string): Map<string, string> {
    const { keyspace } = this.up(name);
    keyspace.begin(this.nowMs);
    const found = new Map<string, string>();
    let cursor = 0;
    do {
      cursor = keyspace.scan(cursor, 100, (key) => found.set(key, keyspace.get(key) as string));
    } while (cursor !== 0);
    return found;
  }
}

/** Until what was asked for has been read from the logs. */
const settle = async (done: () => boolean = () => false): Promise<void> => {
  for (let turn = 0; turn < 200; turn++) {
    await nextTurn();
    if (turn > 20 && done()) return;
    if (turn > 60) return;
  }
};

const sorted = (map: ReadonlyMap<string, string>): [string, string][] => [...map].sort();

test("a subscriber sees what is written behind it, at its own peer and elsewhere, with dot and position", async () => {
  const world = new FeedWorld(["a", "b", "c"]);
  world.set("a", "before", "0");
  const mirror = new Mirror();
  world.feed("a").subscribe(mirror);
  await settle();
  world.set("a", "x", "1");
  world.set("b", "y", "2");
  world.write("b", ({ keyspace }) => keyspace.delete("y"));
  world.pump();
  assert.deepEqual(
    mirror.changes.map(({ type, key, value }) => [type, key, value]),
    [["set", "x", "1"]],
    "at once, without waiting for the log",
  );
  world.deliverAll();
  assert.deepEqual(
    mirror.changes.map(({ type, key, value, seq }) => [type, key, value, seq]),
    [
      ["set", "x", "1", 2],
      ["set", "y", "2", 1],
      ["delete", "y", undefined, 2],
    ],
  );
  assert.equal(mirror.position, world.feed("a").position());
});

test("a position names only what is in the log, and a subscriber begins there", async () => {
  const world = new FeedWorld(["a", "b", "c"]);
  world.set("a", "before", "0");
  const mirror = new Mirror();
  const inLog = world.feed("a").position();
  world.write("a", (replica) => {
    replica.keyspace.set("x", "1", 0);
    assert.equal(world.feed("a").position(), inLog, "a killed process would lose x");
    world.feed("a").subscribe(mirror);
    replica.keyspace.set("y", "2", 0);
  });
  world.pump();
  assert.notEqual(world.feed("a").position(), inLog);
  await settle();
  world.set("a", "z", "3");
  assert.deepEqual(sorted(mirror.map), [
    ["x", "1"],
    ["y", "2"],
    ["z", "3"],
  ]);
});

test("of crossing writes only the one that shows is handed out where it was first", async () => {
  const world = new FeedWorld(["a", "b", "c"]);
  const [atA, atB] = [new Mirror(), new Mirror()];
  world.feed("a").subscribe(atA);
  world.feed("b").subscribe(atB);
  await settle();
  world.set("a", "k", "older");
  world.nowMs += 10;
  world.set("b", "k", "newer");
  world.deliverAll();
  assert.deepEqual(
    atA.changes.map(({ value }) => value),
    ["older", "newer"],
  );
  assert.deepEqual(
    atB.changes.map(({ value }) => value),
    ["newer"],
    "the write that lost on arrival is no change here",
  );
});

test("a token goes on at another peer: nothing missed, nothing twice", async () => {
  const world = new FeedWorld(["a", "b", "c"]);
  const mirror = new Mirror();
  const first = world.feed("a").subscribe(mirror);
  await settle();
  world.set("a", "x", "1");
  world.deliverAll();
  first.cancel();
  world.set("b", "y", "2");
  world.deliverAll();
  world.set("a", "z", "3");
  world.deliverAll();
  world.feed("c").subscribe(mirror, parsePosition(mirror.position));
  await settle();
  world.set("c", "w", "4");
  assert.deepEqual(
    mirror.changes.map(({ key }) => key),
    ["x", "y", "z", "w"],
  );
});

test("a token that knows more than the peer is not handed what it knows when that arrives", async () => {
  const world = new FeedWorld(["a", "b", "c"]);
  const mirror = new Mirror();
  const first = world.feed("a").subscribe(mirror);
  await settle();
  world.set("a", "x", "1");
  world.set("a", "y", "2");
  first.cancel();
  const token = mirror.position;
  world.feed("b").subscribe(mirror, parsePosition(token));
  await settle();
  world.set("b", "mine", "3");
  assert.ok(
    (parsePosition(token) ?? []).every(([origin, seq]) =>
      (parsePosition(mirror.position) ?? []).some(([other, reached]) => other === origin && reached >= seq),
    ),
    "its position does not go back",
  );
  world.deliverAll();
  world.set("a", "z", "4");
  world.deliverAll();
  assert.deepEqual(
    mirror.changes.map(({ key }) => key),
    ["x", "y", "mine", "z"],
  );
});

test("one who does not read is told so once, costs nothing meanwhile, and goes on from the log", async () => {
  const world = new FeedWorld(["a", "b", "c"]);
  const mirror = new Mirror();
  const subscription = world.feed("a").subscribe(mirror);
  await settle();
  world.set("a", "k0", "0");
  mirror.full = true;
  for (let index = 1; index <= 50; index++) world.set("a", `k${index}`, String(index));
  assert.equal(mirror.changes.length, 1);
  assert.equal(mirror.lagged, 1);
  mirror.full = false;
  subscription.resume();
  await settle(() => mirror.changes.length === 51);
  world.set("a", "last", "!");
  assert.deepEqual(
    mirror.changes.map(({ key }) => key),
    [...Array.from({ length: 51 }, (_, index) => `k${index}`), "last"],
  );
});

test("a token from before what the log still has is answered by a reset, and goes on from there", async () => {
  const world = new FeedWorld(["a", "b", "c"]);
  const { storage } = world.peer("a");
  for (let index = 0; index < 20; index++) world.set("a", "k", String(index));
  world.deliverAll();
  storage.log.roll(new Uint8Array(0));
  for (let index = 0; index < 5; index++) world.set("a", "k", `later ${index}`);
  const keepFrom = storage.log.segments.at(-1)?.firstLsn ?? 1;
  await storage.log.trim(keepFrom);
  world.up("a").logTrimmed(storage.log.firstLsn);
  const mirror = new Mirror();
  world.feed("a").subscribe(mirror, []);
  await settle(() => mirror.resets.length > 0);
  assert.deepEqual(mirror.resets, ["the log no longer reaches back so far"]);
  assert.equal(mirror.changes.length, 0);
  world.set("a", "k", "now");
  assert.deepEqual(
    mirror.changes.map(({ value }) => value),
    ["now"],
  );
});

test("expiry comes from the peer's own clock, once, and not for what was written anew", async () => {
  const world = new FeedWorld(["a", "b", "c"]);
  world.set("b", "old", "1", world.nowMs + 3000);
  world.deliverAll();
  const mirror = new Mirror();
  world.feed("a").subscribe(mirror);
  await settle();
  world.set("a", "soon", "1", world.nowMs + 500);
  world.set("a", "kept", "1", world.nowMs + 500);
  world.set("a", "kept", "2", world.nowMs + 60_000);
  world.set("a", "far", "1", world.nowMs + 25_000);
  world.set("a", "never", "1");
  const events: string[] = [];
  for (let ms = 0; ms < 70_000; ms += 50) {
    world.nowMs += 50;
    world.feed("a").tick(world.nowMs);
    const found = mirror.changes.filter(({ type }) => type === "expired");
    for (const { key } of found.slice(events.length)) events.push(`${key} within ${Math.ceil(ms / 1000)} s`);
  }
  assert.deepEqual(events, ["soon within 1 s", "old within 3 s", "far within 25 s", "kept within 60 s"]);
});

test("reached() waits until the peer has all of a position, and no longer than told", async () => {
  const world = new FeedWorld(["a", "b", "c"]);
  world.set("a", "x", "1");
  const vector = parsePosition(world.feed("a").position()) ?? [];
  assert.equal(await world.feed("a").reached(vector, 0), true);
  assert.equal(await world.feed("b").reached(vector, 20), false);
  const waiting = world.feed("b").reached(vector, 60_000);
  world.deliverAll();
  assert.equal(await waiting, true);
});

test("mirrors of random histories end as their peers are: live, slow, wandering", async () => {
  let handed = 0;
  let lagged = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const draw = random(seed * 7919);
    const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(draw() * items.length)] as Item;
    const names = ["a", "b", "c"];
    const world = new FeedWorld(names);
    const mirrors = new Map(names.map((name) => [name, new Mirror()]));
    const subscriptions = new Map<string, Subscription>();
    for (const [name, mirror] of mirrors) subscriptions.set(name, world.feed(name).subscribe(mirror));
    const wanderer = new Mirror();
    let at = "a";
    let wandering: Subscription | undefined = world.feed(at).subscribe(wanderer);
    await settle();
    for (let step = 0; step < 150; step++) {
      const name = pick(names);
      const key = `k${Math.floor(draw() * 6)}`;
      const dice = draw();
      if (dice < 0.25) world.set(name, key, `${name}${step}`);
      else if (dice < 0.35)
        world.write(name, ({ keyspace }) => {
          keyspace.delete(key);
          if (draw() < 0.5) keyspace.set(`own:${name}`, String(step), 0);
        });
      else if (dice < 0.42) world.write(name, ({ keyspace }) => keyspace.increment(`n${key}`, 1));
      else if (dice < 0.75) {
        const link = pick(world.links);
        world.deliverOne(link, draw() < 0.5 ? 0 : 1);
      } else if (dice < 0.8) world.nowMs += Math.floor(draw() * 20);
      else if (dice < 0.88) {
        const mirror = mirrors.get(name) as Mirror;
        mirror.full = !mirror.full;
        subscriptions.get(name)?.resume();
      } else if (dice < 0.94) {
        wandering?.cancel();
        wandering = undefined;
      } else if (wandering === undefined) {
        // As a port does: a counter shows what its peer has, so the peer must have all the wanderer knows.
        const token = parsePosition(wanderer.position) ?? [];
        if (!(await world.feed(name).reached(token, 0))) continue;
        at = name;
        wandering = world.feed(at).subscribe(wanderer, parsePosition(wanderer.position));
      } else await settle(() => true);
      world.pump();
    }
    world.deliverAll();
    wandering ??= world.feed(at).subscribe(wanderer, parsePosition(wanderer.position));
    for (const [name, mirror] of mirrors) {
      mirror.full = false;
      subscriptions.get(name)?.resume();
    }
    await settle();
    const shown = sorted(world.shown("a"));
    for (const [who, mirror] of [...mirrors, ["wanderer", wanderer] as const]) {
      assert.deepEqual(sorted(mirror.map), shown, `seed ${seed}: the mirror of ${who}`);
      assert.equal(new Set(mirror.dots).size, mirror.dots.length, `seed ${seed}: ${who} was handed a write twice`);
      assert.deepEqual(mirror.resets, [], `seed ${seed}: ${who}`);
      handed += mirror.dots.length;
      lagged += mirror.lagged;
    }
    // What only one peer writes cannot lose: every one of them is handed out, in order.
    for (const name of names) {
      const own = (mirror: Mirror): string[] =>
        mirror.changes.filter(({ key }) => key === `own:${name}`).map(({ value }) => String(value));
      const expected = own(mirrors.get(name) as Mirror);
      for (const mirror of [...mirrors.values(), wanderer]) assert.deepEqual(own(mirror), expected, `seed ${seed}`);
    }
    for (const feed of world.feeds.values()) feed.close();
  }
  assert.ok(handed > 5000 && lagged > 100, `${handed} handed out, ${lagged} times lagging`);
});
