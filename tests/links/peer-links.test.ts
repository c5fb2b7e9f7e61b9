import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import type { PeerName } from "../../protocol/words.ts";
import { PeerLinks } from "../../server/links/index.ts";
import {
  closeDoors,
  type Door,
  eventually,
  name,
  openDoors,
  quickTiming,
  run,
  startPeer,
  type TestPeer,
  type TestPeerOptions,
} from "./harness.ts";

let doors: Map<PeerName, Door>;
const peers: TestPeer[] = [];
before(async () => {
  doors = await openDoors("a", "b", "c");
});
afterEach(async () => {
  await Promise.all(peers.splice(0).map((peer) => peer.close()));
});
after(() => closeDoors(doors));

const start = (text: string, more: Partial<TestPeerOptions> = {}): TestPeer => {
  const peer = startPeer({ name: text, doors, ...more });
  peers.push(peer);
  return peer;
};
const stateOf = (peer: TestPeer, other: string): string =>
  peer.links.status().find((status) => status.peer === other)?.state ?? "";
const isUp = (peer: TestPeer, other: string): boolean => peer.links.link(name(other)) !== undefined;
const secret = Buffer.from("correct horse battery staple");
const pairUp = async (more: Partial<TestPeerOptions> = {}): Promise<[TestPeer, TestPeer]> => {
  const pair: [TestPeer, TestPeer] = [start("a", more), start("b", more)];
  await eventually("a and b are linked", () => isUp(pair[0], "b") && isUp(pair[1], "a"));
  return pair;
};

test("three peers have one link per pair, dialed by the smaller name", async () => {
  const all = [start("a", { secrets: [secret] }), start("b", { secrets: [secret] }), start("c", { secrets: [secret] })];
  const up = (peer: TestPeer): boolean => peer.links.status().every((status) => status.state === "up");
  await eventually("all linked", () => all.every(up));
  await eventually("measured", () =>
    all.every((peer) => peer.links.status().every((status) => status.rttMs !== undefined)),
  );
  for (const peer of all) {
    assert.equal(peer.log.length, 2, "each came up once");
    for (const status of peer.links.status()) {
      assert.equal(status.role, peer.name < status.peer ? "dials" : "listens");
      assert.equal(status.links, 1);
      assert.equal(status.incarnation, run(1));
      assert.ok(Math.abs(status.clockOffsetMs ?? 1e9) < 1000);
    }
    assert.equal(peer.links.unauthenticated, 0);
  }
});

test("messages arrive whole and in order, and their bytes stay as they are", async () => {
  const [a, b] = await pairUp();
  const kept: Uint8Array[] = [];
  b.onMessage = (_link, message) => kept.push(message);
  const link = a.links.link(name("b"));
  const sizes = Array.from({ length: 400 }, (_, i) => (i % 50 === 49 ? 300_000 : 1 + ((i * 7919) % 5000)));
  for (const [i, size] of sizes.entries()) link?.send(Buffer.alloc(size, i % 0xf0));
  await eventually("all arrived", () => kept.length === sizes.length);
  for (const [i, message] of kept.entries())
    assert.ok(Buffer.alloc(sizes[i] ?? 0, i % 0xf0).equals(message), `message ${i}`);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  assert.equal(a.links.status()[0]?.sentBytes, total);
  assert.ok((b.links.status()[0]?.receivedBytes ?? 0) >= total);
});

test("a link that rests brings no more than one read in a turn of the event loop, and loses nothing", async () => {
  const [a, b] = await pairUp();
  const messageBytes = 32 * 1024;
  const count = 300;
  let arrived = 0;
  let turn = 0;
  const perTurn = new Map<number, number>();
  const nextTurn = (): void => {
    turn += 1;
    if (arrived < count) setImmediate(nextTurn);
  };
  b.onMessage = (link, message) => {
    assert.equal(message[0], arrived % 0xf0);
    arrived += 1;
    perTurn.set(turn, (perTurn.get(turn) ?? 0) + 1);
    link.rest();
    link.rest();
  };
  nextTurn();
  for (let i = 0; i < count; i++) a.links.link(name("b"))?.send(Buffer.alloc(messageBytes, i % 0xf0));
  await eventually("all arrived", () => arrived === count);
  // A read has at most 64 KiB: of two messages and the ends of two more.
  assert.ok(Math.max(...perTurn.values()) <= 4, `${Math.max(...perTurn.values())} messages in one turn`);
  b.links.link(name("a"))?.rest();
  b.links.link(name("a"))?.close("while it rests");
  await eventually("linked again", () => b.log.length === 3);
});

test("a link that was closed comes back, with down before up on both sides, and messages only in between", async () => {
  const [a, b] = await pairUp();
  a.links.link(name("b"))?.close("for a test");
  assert.equal(a.log.length, 1, "the user is not told within its own call");
  a.links.link(name("b"))?.send(Buffer.from("lost"));
  await eventually("linked again", () => a.log.length === 3 && b.log.length === 3);
  assert.deepEqual(a.log, ["up b 1", "down b 1: for a test", "up b 1"]);
  assert.deepEqual(b.log, ["up a 1", "down a 1: closed by the peer: for a test", "up a 1"]);
  assert.deepEqual(b.messages, []);
  b.links.link(name("a"))?.close("the listener may too");
  await eventually("linked once more", () => a.log.length === 5 && b.log.length === 5);
});

test("a peer that restarts as a newer run replaces the older, whose link ends first", async () => {
  const b = start("b");
  // The older run does not say goodbye: as far as b knows it still lives when the newer one comes.
  const older = start("a", {
    incarnation: 1,
    more: { timing: { ...slowHeart, backoffCapMs: 60_000, backoffBaseMs: 60_000 } },
  });
  await eventually("older linked", () => isUp(b, "a") && isUp(older, "b"));
  older.faults.cut(name("b"), "both");
  start("a", { incarnation: 2 });
  await eventually("newer linked", () => b.links.link(name("a"))?.incarnation === run(2));
  assert.deepEqual(b.log, ["up a 1", `down a 1: replaced by a newer run: ${run(2)}`, "up a 2"]);
});
const slowHeart = { heartbeatIntervalMs: 60_000, deadAfterMs: 120_000, steadyAfterMs: 60_000 };

test("hearing of a newer run from others closes the older one's link, and that run is not let in again", async () => {
  const [a, b] = await pairUp();
  b.links.noteIncarnation(name("a"), run(1));
  assert.ok(isUp(b, "a"), "the same run is no news");
  b.links.noteIncarnation(name("a"), run(2));
  await eventually("a is told", () => a.stale.length > 0);
  assert.equal(a.stale[0], run(2));
  assert.equal(b.log[1], `down a 1: a newer run is known: ${run(2)}`);
  assert.equal(stateOf(a, "b"), "refused");
  assert.match(a.links.status()[0]?.why ?? "", /^STALE_INCARNATION: /);
  assert.ok(!isUp(b, "a"));
});

test("a peer with a lost disk and a slow clock learns the newest run of its name from either side", async () => {
  const b = start("b");
  const a = start("a", { incarnation: 5 });
  await eventually("linked", () => isUp(b, "a") && isUp(a, "b"));
  await a.close();
  const returned = start("a", { incarnation: 3 });
  await eventually("told by the one it dials", () => returned.stale[0] === run(5));
  await returned.close();
  start("a", { incarnation: 6 });
  await eventually("a greater run is let in", () => isUp(b, "a"));
  await b.close();
  const slow = start("b", { incarnation: 0 });
  await eventually("told by the one that dials it", () => slow.stale[0] === run(1));
});

test("two live processes of one name are both refused, and the one that stays is let in", async () => {
  const b = start("b");
  const timing = {
    heartbeatIntervalMs: 25,
    deadAfterMs: 1000,
    backoffBaseMs: 5,
    backoffCapMs: 40,
    disputeMs: 300,
    handshakeTimeoutMs: 300,
    refusalReportMs: 50,
  };
  const older = start("a", { incarnation: 1, more: { timing } });
  await eventually("linked", () => isUp(b, "a"));
  const newer = start("a", { incarnation: 2, more: { timing } });
  const bothRefused = (): boolean =>
    older.log.includes("refused b NAME_TAKEN") && newer.log.includes("refused b NAME_TAKEN");
  await eventually("both told", bothRefused);
  await eventually(
    "neither is linked",
    () => !isUp(b, "a") && stateOf(older, "b") === "refused" && stateOf(newer, "b") === "refused",
  );
  assert.ok(b.log.includes("refused a NAME_TAKEN"));
  await older.close();
  await eventually("the other is let in", () => b.links.link(name("a"))?.incarnation === run(2));
});

test("a link that is silent in one direction or both is closed by whoever hears nothing, and comes back when healed", async () => {
  const timing = { ...quickTiming, deadAfterMs: 300, handshakeTimeoutMs: 300 };
  const [a, b] = await pairUp({ more: { timing } });
  for (const [who, direction, deaf] of [
    ["a", "out", "b"],
    ["a", "in", "a"],
    ["b", "both", ""],
  ] as const) {
    const [peer, other] = who === "a" ? [a, b] : [b, a];
    await eventually("linked", () => isUp(a, "b") && isUp(b, "a"));
    a.log.length = 0;
    b.log.length = 0;
    peer.faults.cut(other.name, direction);
    await eventually(`${who} ${direction}: both down`, () => !isUp(a, "b") && !isUp(b, "a"));
    const downs = [...a.log, ...b.log].filter((line) => line.includes("no answer for"));
    assert.ok(downs.length >= 1, `${who} ${direction}: ${a.log} ${b.log}`);
    if (deaf !== "") assert.match((deaf === "a" ? a : b).log[0] ?? "", /: no answer for \d+ ms$/);
    const attempts = a.links.status()[0]?.dialAttempts ?? 0;
    await eventually("it keeps trying", () => (a.links.status()[0]?.dialAttempts ?? 0) > attempts + 1);
    assert.ok(!isUp(a, "b") && !isUp(b, "a"), "no handshake passes a cut");
    peer.faults.heal(other.name);
  }
  await eventually("linked again", () => isUp(a, "b") && isUp(b, "a"));
});

test("a link that lost messages in a cut ends when it heals, though it never was silent for long", async () => {
  const [a, b] = await pairUp();
  const send = (text: string): void => a.links.link(name("b"))?.send(Buffer.from(text));
  send("1");
  await eventually("first", () => b.messages.length === 1);
  a.faults.cut(name("b"), "out");
  send("lost");
  a.faults.heal(name("b"), "in");
  assert.equal(a.faults.cutOf(name("b")), "out", "healing the other direction changes nothing");
  assert.ok(isUp(a, "b"));
  a.faults.heal(name("b"));
  send("not on a stream with a hole");
  await eventually("a new link", () => a.log.length === 3 && b.log.length === 3);
  assert.match(a.log[1] ?? "", /^down b 1: a cut ended/);
  send("2");
  await eventually("second", () => b.messages.length === 2);
  assert.deepEqual(
    b.messages.map(({ text }) => text),
    ["1", "2"],
  );
  // One that lost nothing stays.
  b.faults.cut(name("a"), "out");
  b.faults.heal(name("a"));
  assert.equal(b.log.length, 3);
  assert.ok(isUp(b, "a"));
});

test("a cut that heals is dialed again at once, at whichever end it was", async () => {
  const timing = { ...quickTiming, deadAfterMs: 200, handshakeTimeoutMs: 60_000, backoffBaseMs: 5, backoffCapMs: 50 };
  const [a, b] = await pairUp({ more: { timing } });
  for (const [peer, other] of [
    [a, b],
    [b, a],
  ] as const) {
    const attempts = a.links.status()[0]?.dialAttempts ?? 0;
    peer.faults.cut(other.name, "both");
    await eventually("down", () => !isUp(a, "b") && !isUp(b, "a"));
    await eventually("a handshake hangs in the cut", () => (a.links.status()[0]?.dialAttempts ?? 0) > attempts);
    peer.faults.heal(other.name);
    await eventually("linked, long before the handshake would give up", () => isUp(a, "b") && isUp(b, "a"));
  }
});

test("a slow reader is signalled by the queue: it grows above high, falls below low, and then the sender is told once", async () => {
  const queue = { highBytes: 4_000_000, lowBytes: 1_000_000, bytesMax: 64_000_000 };
  const [a, b] = await pairUp({ more: { queue, timing: slowHeart } });
  const link = a.links.link(name("b"));
  assert.ok(link !== undefined);
  let received = 0;
  let isSlow = true;
  b.onMessage = (_link, message) => {
    received += message.length;
    // Holds this thread, and so both peers; the kernel's buffers fill meanwhile.
    if (isSlow) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
  };
  const message = Buffer.alloc(250_000, 1);
  let sent = 0;
  while (link.queuedBytes <= queue.highBytes) {
    link.send(message);
    sent += message.length;
  }
  assert.equal(a.writables, 0);
  assert.ok(link.queuedBytes < queue.highBytes + 2 * message.length);
  isSlow = false;
  await eventually("drained", () => received === sent);
  await eventually("signalled", () => a.writables === 1);
  assert.ok(link.queuedBytes < queue.lowBytes);
  link.send(message);
  await eventually("arrived", () => received === sent + message.length);
  assert.equal(a.writables, 1, "below high there is nothing to signal");
});

test("a queue beyond its cap closes the link instead of growing", async () => {
  const queue = { highBytes: 1_000_000, lowBytes: 500_000, bytesMax: 3_000_000 };
  const [a] = await pairUp({ more: { queue } });
  const link = a.links.link(name("b"));
  for (let i = 0; i < 100; i++) link?.send(Buffer.alloc(250_000));
  await eventually("down", () => a.log.length > 1);
  assert.match(a.log[1] ?? "", /^down b 1: \d+ bytes queued, limit 3000000/);
});

test("a message longer than the limit is never sent; the link says so", async () => {
  const [a, b] = await pairUp();
  a.links.link(name("b"))?.send(new Uint8Array(41 * 1024 * 1024));
  await eventually("down", () => a.log.length > 1);
  assert.match(a.log[1] ?? "", /message of 42991616 bytes to send, limit/);
  assert.deepEqual(b.messages, []);
});

test("the longest message passes", async () => {
  const [a, b] = await pairUp({ more: { timing: slowHeart } });
  let length = 0;
  b.onMessage = (_link, message) => {
    length = message.length;
  };
  a.links.link(name("b"))?.send(Buffer.alloc(40 * 1024 * 1024 + 64 * 1024, 7));
  await eventually("arrived", () => length === 40 * 1024 * 1024 + 64 * 1024);
  assert.ok(isUp(a, "b"));
});

test("wrong secret, wrong cluster, no secret: both sides say why, once per peer and code in a while", async () => {
  const table = [
    [{ secrets: [secret] }, { secrets: [Buffer.from("another secret altogether")] }, "WRONG_SECRET"],
    [{ secrets: [secret] }, {}, "SECRET_UNEXPECTED"],
    [{}, { secrets: [secret] }, "SECRET_MISSING"],
    [{ clusterId: "x" }, { clusterId: "y" }, "WRONG_CLUSTER"],
  ] as const;
  for (const [left, right, code] of table) {
    const more = { more: { timing: { backoffBaseMs: 1, backoffCapMs: 5, refusalReportMs: 60_000 } } };
    const a = start("a", { ...left, ...more });
    const b = start("b", { ...right, ...more });
    await eventually(`${code} at the dialer`, () => a.log.includes(`refused b ${code}`));
    await eventually(`${code} at the listener`, () =>
      b.log.some((line) => line.startsWith("refused") && line.endsWith(code)),
    );
    await eventually("several attempts", () => (a.links.status()[0]?.dialAttempts ?? 0) > 3);
    assert.equal(a.log.length, 1);
    assert.equal(stateOf(a, "b"), "refused");
    await Promise.all(peers.splice(0).map((peer) => peer.close()));
  }
});

test("an address where nothing listens, or something else does, is tried again and named in the status", async () => {
  const a = start("a");
  const b = doors.get(name("b"));
  assert.ok(b !== undefined);
  b.links = undefined;
  await eventually("closed at once", () => stateOf(a, "b") === "down");
  const nowhere = new PeerLinks({
    name: name("a"),
    incarnation: run(1),
    clusterId: "x",
    // Port 1 on loopback: nobody.
    peers: new Map([[name("b"), "127.0.0.1:1"]]),
    secrets: [],
    events: { onLinkUp() {}, onLinkDown() {}, onLinkMessage() {}, onLinkWritable() {}, onLinkRefused() {} },
    timing: { backoffBaseMs: 1, backoffCapMs: 2 },
  });
  nowhere.open();
  await eventually("several attempts", () => (nowhere.status()[0]?.dialAttempts ?? 0) > 2);
  assert.equal(nowhere.status()[0]?.why, "connect ECONNREFUSED 127.0.0.1:1");
  await nowhere.close();
  await nowhere.close();
});

test("a name is resolved for each attempt", async () => {
  const door = doors.get(name("b"));
  assert.ok(door !== undefined);
  const b = start("b");
  const addresses = new Map([...doors].map(([peer, { port }]) => [peer, `localhost:${port}`]));
  const a = start("a", { more: { peers: addresses } });
  await eventually("linked", () => isUp(a, "b") && isUp(b, "a"));
});

test("addresses that are none are refused before anything is dialed", () => {
  for (const address of ["", "b", "b:", "b:0", "b:65536", "b:1/x", "u@b:1", "::1:6001", "http://b:1", "b:1:2"]) {
    assert.throws(
      () =>
        new PeerLinks({
          name: name("a"),
          incarnation: run(1),
          clusterId: "x",
          peers: new Map([[name("b"), address]]),
          secrets: [],
          events: { onLinkUp() {}, onLinkDown() {}, onLinkMessage() {}, onLinkWritable() {}, onLinkRefused() {} },
        }),
      { name: "RangeError" },
      address,
    );
  }
});

test("closing tells the user of every link and resolves when the sockets are closed", async () => {
  const [a, b] = await pairUp();
  b.onMessage = undefined;
  a.links.link(name("b"))?.send(Buffer.from("last words"));
  await a.links.close("goodbye");
  assert.deepEqual(a.log, ["up b 1", "down b 1: goodbye"]);
  await eventually("b heard", () => b.log.length === 2);
  assert.deepEqual(b.log, ["up a 1", "down a 1: closed by the peer: goodbye"]);
  assert.deepEqual(b.messages, [{ from: "a", text: "last words" }]);
});
