/** `/client`: positions, watches, status and conflicts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PeerMessage } from "../../protocol/client-messages.ts";
import type { Stamp } from "../../protocol/words.ts";
import type { Conflict } from "../../server/replica/index.ts";
import { startPeerForTest } from "../support/peer-for-test.ts";
import { until } from "../wire/harness.ts";
import { origin } from "./fake-feed.ts";
import { Client, openClientPort } from "./harness.ts";

const codeOf = (message: PeerMessage): string => (message.type === "error" ? message.code : message.type);

// ---- Positions ------------------------------------------------------------------------------------------------------

test("a reply carries the position when it is another than the one told last", async (t) => {
  const { greeted, feed } = await openClientPort(t);
  const client = await greeted();
  feed.write("a", "1");
  assert.deepEqual(await client.ask({ type: "command", id: 1, args: ["PING"] }), {
    type: "reply",
    id: 1,
    reply: { status: "PONG" },
    position: `${origin}:1`,
  });
  assert.deepEqual(await client.ask({ type: "command", id: 2, args: ["PING"] }), {
    type: "reply",
    id: 2,
    reply: { status: "PONG" },
  });
});

test("commands and watches wait for the position of hello, the rest does not", async (t) => {
  const { greeted, feed } = await openClientPort(t);
  const client = await greeted({ position: `${origin}:2` });
  client.send({ type: "command", id: 1, args: ["SET", "a", "1"] });
  client.send({ type: "watch", id: 2 });
  client.send({ type: "command", id: 3, args: ["GET", "a"] });
  client.send({ type: "cancel", id: 9 });
  assert.equal(codeOf(await client.next()), "UNKNOWN_ID");
  feed.write("a", "1");
  feed.write("a", "2");
  assert.deepEqual(await client.next(), { type: "watching", id: 2, token: `${origin}:2` });
  const answers = [await client.next(), await client.next()];
  assert.deepEqual(
    answers.map((message) => message.type === "reply" && message.reply),
    [{ status: "OK" }, "1"],
  );
});

test("a position not reached in time is STALE, until it is reached", async (t) => {
  const { greeted, feed } = await openClientPort(t);
  const client = await greeted({ position: `${origin}:2`, staleAfterMs: 20 });
  for (const message of [
    { type: "command", id: 1, args: ["SET", "a", "1"] },
    { type: "watch", id: 2 },
    { type: "command", id: 3, args: ["GET", "a"] },
  ]) {
    const answer = await client.ask(message);
    assert.equal(codeOf(answer), "STALE");
    assert.equal(answer.type === "error" && answer.outcome, "not-applied");
  }
  feed.write("a", "1");
  feed.write("a", "1");
  await until(() => {
    client.send({ type: "command", id: 4, args: ["GET", "a"] });
    return client.received.some((message) => message.type === "reply");
  }, "a reply");
});

// ---- Watches --------------------------------------------------------------------------------------------------------

test("a watch begins at a token, hands out what it was asked for, and ends when cancelled", async (t) => {
  const { greeted, feed } = await openClientPort(t);
  const client = await greeted();
  assert.deepEqual(await client.ask({ type: "watch", id: 1, prefix: "user:" }), { type: "watching", id: 1, token: "" });
  feed.write("other", "1");
  feed.write("user:1", "žluť\xff", 1234);
  feed.write("user:1", undefined);
  const stampMs = Date.UTC(2020, 0, 1) + 2;
  assert.deepEqual(await client.next(), {
    type: "changes",
    id: 1,
    changes: [
      {
        type: "set",
        key: "user:1",
        value: { base64: Buffer.from("žluť\xff", "latin1").toString("base64") },
        expiresAtMs: 1234,
        origin,
        seq: 2,
        stamp: 2 * 4096,
        stampMs,
      },
    ],
    token: `${origin}:2`,
  });
  const deleted = await client.next();
  assert.ok(deleted.type === "changes");
  assert.deepEqual(
    deleted.changes.map(({ type, value }) => [type, value]),
    [["delete", undefined]],
  );
  assert.deepEqual(await client.ask({ type: "cancel", id: 1 }), { type: "ended", id: 1, why: "cancelled" });
  assert.equal(feed.subscribers.size, 0);
});

test("one key, no values, behind a token that this peer has to reach first", async (t) => {
  const { greeted, feed } = await openClientPort(t);
  const client = await greeted({ staleAfterMs: 20 });
  assert.equal(codeOf(await client.ask({ type: "watch", id: 1, token: `${origin}:1` })), "STALE");
  client.send({ type: "watch", id: 1, key: "user:1", values: false, token: `${origin}:1` });
  feed.write("user:11", "x");
  assert.deepEqual(await client.next(), { type: "watching", id: 1, token: `${origin}:1` });
  assert.deepEqual(
    [...feed.subscribers.values()].map(({ from }) => from),
    [[[origin, 1]]],
  );
  feed.write("user:11", "x");
  feed.write("user:1", "x");
  const message = await client.next();
  assert.ok(message.type === "changes");
  assert.deepEqual(
    message.changes.map(({ key, value }) => [key, value]),
    [["user:1", undefined]],
  );
});

test("a reset gives the new token and why", async (t) => {
  const { greeted, feed } = await openClientPort(t);
  const client = await greeted();
  await client.ask({ type: "watch", id: 7 });
  for (const subscriber of feed.subscribers.keys()) subscriber.onReset("the log was trimmed", `${origin}:9`);
  assert.deepEqual(await client.next(), { type: "reset", id: 7, token: `${origin}:9`, why: "the log was trimmed" });
});

test("a sampled watch says how many changes it left out", async (t) => {
  const { greeted, feed } = await openClientPort(t);
  const client = await greeted();
  await client.ask({ type: "watch", id: 1, perSecondMax: 3 });
  for (let count = 0; count < 10; count += 1) feed.write(`k${count}`, "x");
  for (const subscriber of feed.subscribers.keys()) subscriber.onChanges([], () => feed.position());
  let [given, left] = [0, 0];
  while (given + left < 10) {
    const message = await client.next();
    assert.ok(message.type === "changes");
    given += message.changes.length;
    left += message.left ?? 0;
  }
  assert.deepEqual([given, left], [3, 7]);
});

test("a watcher that does not read is told that it lags and costs no more; when it reads, it goes on", async (t) => {
  const { greeted, feed, port } = await openClientPort(t, { limits: { feedQueueBytesMax: 256 * 1024 } });
  const client = await greeted();
  await client.ask({ type: "watch", id: 1 });
  client.ws.pause();
  const value = "x".repeat(64 * 1024);
  let queuedMax = 0;
  const [subscriber] = feed.subscribers.keys();
  assert.ok(subscriber !== undefined);
  await until(() => {
    for (let count = 0; count < 20; count += 1) feed.write("k", value);
    for (const session of port.sessions()) queuedMax = Math.max(queuedMax, session.queuedOutputBytes);
    return subscriber.isFull();
  }, "the socket to be full");
  feed.write("k", value);
  assert.ok(queuedMax < 512 * 1024, `${queuedMax} bytes were queued`);
  client.ws.resume();
  await until(() => client.received.some((message) => message.type === "lagging"), "lagging");
  await until(() => (feed.subscribers.get(subscriber)?.resumes ?? 0) > 0, "the watch to go on");
  assert.equal(subscriber.isFull(), false);
});

test("a gated peer refuses a watch as it refuses a read", async (t) => {
  const { greeted, host } = await openClientPort(t);
  const client = await greeted();
  host.refusesReads = "LOADING catching up";
  assert.equal(codeOf(await client.ask({ type: "watch", id: 1 })), "LOADING");
});

// ---- Ids --------------------------------------------------------------------------------------------------------------

test("ids in use, unknown ids, bad tokens and too many subscriptions are refused; the connection stays", async (t) => {
  const { greeted } = await openClientPort(t, { limits: { subscriptionsMax: 2 } });
  const client = await greeted();
  await client.ask({ type: "watch", id: 1 });
  for (const [message, code] of [
    [{ type: "watch", id: 1 }, "ID_IN_USE"],
    [{ type: "command", id: 1, args: ["PING"] }, "ID_IN_USE"],
    [{ type: "cancel", id: 2 }, "UNKNOWN_ID"],
    [{ type: "watch", id: 2, token: "nonsense" }, "BAD_POSITION"],
    [{ type: "watch", id: 2, key: "a", prefix: "b" }, "BAD_MESSAGE"],
    [{ type: "conflicts", id: 2 }, "conflicts"],
    [{ type: "watch", id: 3 }, "TOO_MANY"],
  ] as const) {
    assert.equal(codeOf(await client.ask(message)), code, JSON.stringify(message));
  }
  assert.deepEqual(await client.command(5, "PING"), { status: "PONG" });
});

// ---- Status and conflicts ---------------------------------------------------------------------------------------------

test("status comes at once and again and again, until cancelled", async (t) => {
  const { greeted, host } = await openClientPort(t);
  const client = await greeted();
  assert.deepEqual(await client.ask({ type: "status", id: 1 }), { type: "status", id: 1, status: { keys: 0 } });
  host.keyspace.set("a", "1", 0);
  await until(() => client.received.length >= 3, "two more");
  assert.deepEqual(client.received.at(-1), { type: "status", id: 1, status: { keys: 1 } });
  client.send({ type: "cancel", id: 1 });
  await until(() => client.received.at(-1)?.type === "ended", "the end");
});

const conflict = (number: number, value = "loses"): Conflict => ({
  id: `b.000000000000002:${number}`,
  key: `k${number}`,
  winner: { value: undefined, stamp: 4096 as Stamp, dot: "c.000000000000003:7", expiresAtMs: 0 },
  loser: { value, stamp: 4096 as Stamp, dot: `b.000000000000002:${number}`, expiresAtMs: 0 },
  why: "later stamp",
  restored: false,
});

test("conflicts: the journal first, then each as it comes, and again when it is restored", async (t) => {
  const { greeted, journal, conflicts } = await openClientPort(t);
  const client = await greeted();
  journal.record(conflict(1));
  const first = await client.ask({ type: "conflicts", id: 4 });
  const stampMs = Date.UTC(2020, 0, 1) + 1;
  assert.deepEqual(first, {
    type: "conflicts",
    id: 4,
    conflicts: [
      {
        id: "b.000000000000002:1",
        key: "k1",
        atMs: stampMs,
        winner: { value: null, dot: "c.000000000000003:7", origin: "c.000000000000003", stampMs },
        loser: { value: "loses", dot: "b.000000000000002:1", origin: "b.000000000000002", stampMs },
        why: "later stamp",
        restored: false,
      },
    ],
    dropped: 0,
  });
  const ids = (message: PeerMessage): unknown =>
    message.type === "conflicts" && message.conflicts.map(({ id, restored }) => [id.slice(18), restored]);
  journal.record(conflict(2));
  journal.record(conflict(3));
  conflicts.onTurn();
  assert.deepEqual(ids(await client.next()), [
    ["2", false],
    ["3", false],
  ]);
  journal.markRestored("b.000000000000002:2");
  conflicts.onTurn();
  assert.deepEqual(ids(await client.next()), [["2", true]]);
  await client.ask({ type: "cancel", id: 4 });
  assert.equal(journal.news, undefined);
});

test("who does not read its conflicts costs no more than the journal, and gets all of it when it does", async (t) => {
  const { greeted, journal, conflicts, port } = await openClientPort(t, { limits: { feedQueueBytesMax: 256 * 1024 } });
  const client = await greeted();
  await client.ask({ type: "conflicts", id: 1 });
  client.ws.pause();
  const value = "x".repeat(10_000);
  const isFull = (): boolean => [...port.sessions()].some((session) => session.queuedOutputBytes > 256 * 1024);
  let number = 0;
  await until(() => {
    for (let count = 0; count < 100; count += 1) journal.record(conflict(++number, value));
    conflicts.onTurn();
    return isFull();
  }, "the socket to be full");
  for (let count = 0; count < 2000; count += 1) journal.record(conflict(++number, value));
  conflicts.onTurn();
  assert.ok([...port.sessions()].every((session) => session.queuedOutputBytes < 1024 * 1024));
  client.ws.resume();
  const seen = (): readonly string[] =>
    client.received.flatMap((message) => (message.type === "conflicts" ? message.conflicts.map(({ id }) => id) : []));
  await until(() => seen().includes(`b.000000000000002:${number}`), "the newest conflict");
  const all = new Set(seen());
  for (const { id } of journal.list()) assert.ok(all.has(id), id);
});

// ---- A real peer ------------------------------------------------------------------------------------------------------

test("a real peer: a watch sees a write once, with its dot; a token resumes it at the next connection", async (t) => {
  const peer = await startPeerForTest();
  t.after(() => peer.stop());
  const writer = await Client.greeted(peer.httpPort);
  const reader = await Client.greeted(peer.httpPort);
  await reader.ask({ type: "watch", id: 1, prefix: "user:" });
  const written = await writer.ask({ type: "command", id: 1, args: ["SET", "user:1", "Ada"] });
  const change = await reader.nextNews();
  assert.ok(change.type === "changes" && written.type === "reply");
  assert.equal(change.token, written.position);
  assert.deepEqual(
    change.changes.map(({ type, key, value, seq }) => [type, key, value, seq]),
    [["set", "user:1", "Ada", 1]],
  );
  reader.ws.terminate();
  await writer.command(2, "SET", "user:2", "Bob");
  await writer.command(3, "DEL", "user:1");
  const again = await Client.greeted(peer.httpPort, { position: written.position });
  assert.deepEqual(await again.ask({ type: "watch", id: 1, prefix: "user:", token: change.token }), {
    type: "watching",
    id: 1,
    token: change.token,
  });
  const missed: unknown[] = [];
  while (missed.length < 2) {
    const message = await again.next();
    assert.ok(message.type === "changes");
    missed.push(...message.changes.map(({ type, key }) => [type, key]));
  }
  assert.deepEqual(missed, [
    ["set", "user:2"],
    ["delete", "user:1"],
  ]);
  const status = await writer.ask({ type: "status", id: 9 });
  assert.ok(status.type === "status");
  assert.equal((status.status as { keys: number }).keys, 1);
  await peer.stop();
  await until(() => again.closed !== undefined, "the end");
  assert.deepEqual(again.received.at(-1), { type: "ended", id: 1, why: "this peer stops" });
});
