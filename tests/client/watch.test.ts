import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { Client } from "../../protocol/client.ts";
import { clientFeedBytesMax } from "../../protocol/limits.ts";
import { until } from "../support/processes.ts";
import { connectTo } from "./client-for-test.ts";
import { type FakePeer, startFakePeers } from "./fake-peer.ts";

const start = async (t: TestContext, count = 2): Promise<{ kv: Client; peers: FakePeer[] }> => {
  const peers = await startFakePeers(t, count);
  return { kv: await connectTo(t, peers), peers };
};

const keysOf = async (feed: AsyncIterable<{ type: string; key?: string }>, count: number): Promise<string[]> => {
  const keys: string[] = [];
  for await (const item of feed) {
    keys.push(item.key ?? item.type);
    if (keys.length === count) break;
  }
  return keys;
};

test("a watch goes on at another peer: nothing is missed, nothing repeated", async (t) => {
  const { kv, peers } = await start(t, 3);
  const { history } = peers[0] as FakePeer;
  const wanted = Array.from({ length: 60 }, (_, index) => `user:${index}`);
  const seen = keysOf(kv.watch("user:"), wanted.length);
  await until("it listens", () => (peers[0]?.received.length ?? 0) > 1);
  for (const [index, key] of wanted.entries()) {
    history.write("set", key, "v");
    history.write("set", `other:${index}`, "v");
    if (index === 20 || index === 40) await peers[index / 20 - 1]?.kill();
    await turn();
  }
  assert.deepEqual(await seen, wanted);
  await until("it was cancelled", () => peers[2]?.received.at(-1)?.type === "cancel");
});

test("each change's token goes on behind it, also in the middle of a batch", async (t) => {
  const { kv, peers } = await start(t, 1);
  const { history } = peers[0] as FakePeer;
  for (let index = 0; index < 7; index++) history.write("set", `k${index}`, "v");
  const tokens: string[] = [];
  for await (const change of kv.watch("", { token: "" })) {
    tokens.push(change.token);
    if (tokens.length === 7) break;
  }
  for (const [index, token] of tokens.slice(0, 6).entries())
    assert.deepEqual(await keysOf(kv.watch("", { token }), 1), [`k${index + 1}`]);
});

test("who does not pull is sent no more, and misses nothing when he does", async (t) => {
  const { kv, peers } = await start(t, 1);
  const [a] = peers as [FakePeer];
  a.batch = 10;
  const value = "x".repeat(10_000);
  const count = Math.ceil((3 * clientFeedBytesMax) / value.length);
  const feed = kv.watch("", { token: "" });
  for (let index = 0; index < count; index++) a.history.write("set", `k${index}`, value);
  const first = await feed.next();
  assert.equal(first.value?.type === "set" && first.value.key, "k0");
  await until("the watch is cancelled", () => a.received.at(-1)?.type === "cancel");
  assert.equal(await kv.get("k1"), value, "calls go on meanwhile");
  const rest = await keysOf(feed, count - 1);
  assert.deepEqual(
    rest,
    Array.from({ length: count - 1 }, (_, index) => `k${index + 1}`),
  );
  assert(a.received.filter(({ type }) => type === "watch").length >= 2);
});

test("a reset is an item, and the watch goes on from its token", async (t) => {
  const { kv, peers } = await start(t, 1);
  const [a] = peers as [FakePeer];
  a.history.write("set", "k1", "v");
  a.intercept = (request, answer) => {
    if (request.type !== "watch") return false;
    a.intercept = () => false;
    answer({ type: "watching", id: request.id, token: "" });
    answer({ type: "reset", id: request.id, token: "f.0fake0000000000:1", why: "the log begins later" });
    answer({ type: "ended", id: request.id, why: "the peer stops" });
    return true;
  };
  const feed = kv.watch({ key: "k" }, { token: "" });
  const reset = await feed.next();
  assert.deepEqual(reset.value, { type: "reset", token: "f.0fake0000000000:1", why: "the log begins later" });
  const next = keysOf(feed, 1);
  await until("it watches again", () => a.received.filter(({ type }) => type === "watch").length === 2);
  const again = a.received.findLast((request) => request.type === "watch");
  assert.equal(again?.token, "f.0fake0000000000:1");
  a.history.write("set", "k2", "v");
  assert.deepEqual(await next, ["k2"]);
});

test("it ends with its signal, with a break, and with the client", async (t) => {
  const { kv, peers } = await start(t, 1);
  const [a] = peers as [FakePeer];
  const controller = new AbortController();
  const ended = keysOf(kv.watch("", { signal: controller.signal }), 1);
  await until("it listens", () => a.received.length > 1);
  controller.abort();
  assert.deepEqual(await ended, []);
  assert.deepEqual(await keysOf(kv.watch("", { signal: controller.signal }), 1), []);
  const closed = assert.rejects(keysOf(kv.watch(""), 1), { code: "CLOSED" });
  await kv.close();
  await closed;
});

test("bytes that are no text end a text watch in so many words, and come whole to who asks for bytes", async (t) => {
  const { kv, peers } = await start(t, 1);
  const [a] = peers as [FakePeer];
  a.history.write("set", "k", { base64: "/9g=" });
  await assert.rejects(keysOf(kv.watch("", { token: "" }), 1), { code: "NOT_TEXT" });
  for await (const change of kv.watch("", { token: "", as: "bytes" })) {
    assert(change.type === "set");
    assert.deepEqual([...(change.value ?? [])], [0xff, 0xd8]);
    break;
  }
  await assert.rejects(kv.get("k"), { code: "NOT_TEXT", outcome: "not-applied" });
});

test("a refused watch says why", async (t) => {
  const { kv, peers } = await start(t, 1);
  const [a] = peers as [FakePeer];
  a.intercept = (request, answer) => {
    if (request.type !== "watch") return false;
    answer({ type: "error", id: request.id, code: "BAD_POSITION", message: "not a position", outcome: "not-applied" });
    return true;
  };
  await assert.rejects(keysOf(kv.watch("", { token: "nonsense" }), 1), { code: "BAD_POSITION" });
  assert.equal(await kv.get("k"), null, "the client lives on");
});
