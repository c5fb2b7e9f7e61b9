/** The client against real peers: what only they can answer. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type Change, type Client, connect } from "../../protocol/client.ts";
import { type PeerForTest, startPeerForTest } from "../support/peer-for-test.ts";
import { until } from "../support/processes.ts";
import { withCluster } from "../support/real-cluster.ts";

const addressOf = (peer: { readonly httpPort: number }): string => `127.0.0.1:${peer.httpPort}`;

const withPeer = async (
  options: Parameters<typeof startPeerForTest>[0],
  body: (kv: Client, peer: PeerForTest) => Promise<void>,
): Promise<void> => {
  const peer = await startPeerForTest(options);
  try {
    const kv = await connect(addressOf(peer), peer.password === undefined ? {} : { password: peer.password });
    await body(kv, peer);
    await kv.close();
  } finally {
    await peer.stop();
  }
};

describe("one peer", () => {
  test("values of every kind come back as they were, up to the longest", () =>
    withPeer({}, async (kv) => {
      const text = ["", "Oslo", "ø 🙂 \u0000 \ud7ff", '"\\\n', "\u0001".repeat(100_000), "x".repeat(16 * 1024 * 1024)];
      for (const value of text) {
        await kv.set("k", value, { timeoutMs: 30_000 });
        assert((await kv.get("k", { timeoutMs: 30_000 })) === value, `${value.length} characters`);
      }
      const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
      await kv.set(bytes, bytes);
      assert.deepEqual(await kv.get(bytes, { as: "bytes" }), bytes);
      await assert.rejects(kv.get(bytes), { code: "NOT_TEXT" });
      await assert.rejects(kv.set("k", "x".repeat(40 * 1024 * 1024)), { code: "TOO_LARGE", outcome: "not-applied" });
      assert.equal(await kv.get("k"), text.at(-1));
    }));

  test("each method says what its command says", () =>
    withPeer({}, async (kv) => {
      assert.equal(await kv.set("a", "1", { xx: true }), false);
      assert.equal(await kv.set("a", "1", { nx: true, px: 60_000 }), true);
      assert.equal(await kv.set("a", "2", { get: true, keepTtl: true }), "1");
      assert((await kv.ttl("a")) ?? 0 > 50_000);
      assert.equal(await kv.expire("a", { persist: true }), true);
      assert.equal(await kv.ttl("a"), Number.POSITIVE_INFINITY);
      assert.equal(await kv.expire("a", { pxAt: 1 }), true);
      assert.equal(await kv.ttl("a"), null);
      await kv.set("v", "1", { px: 60_000 });
      const seen = await kv.versioned("v");
      assert(seen !== null && seen.value === "1" && (seen.expiresAtMs ?? 0) > Date.now());
      assert.equal(await kv.set("v", "2", { ifVersion: seen.version }), true);
      assert.equal(await kv.set("v", "3", { ifVersion: seen.version }), false);
      assert.equal(await kv.delete("v", { ifVersion: seen.version }), 0);
      assert.equal(await kv.delete("v", { ifVersion: (await kv.versioned("v"))?.version ?? "" }), 1);
      assert.equal(await kv.versioned("v"), null);
      await assert.rejects(kv.delete(["a", "b"], { ifVersion: "x" }), { code: "BAD_ARGUMENT" });
      await assert.rejects(kv.set("v", "x", { ifVersion: "x", nx: true }), { code: "BAD_ARGUMENT" });
      assert.equal(await kv.incr("n", { by: -5 }), -5);
      assert.equal(await kv.incr("n", { by: 2n ** 62n, as: "bigint" }), 2n ** 62n - 5n);
      await assert.rejects(kv.incr("n"), { code: "UNSAFE_INTEGER" });
      await kv.set("text", "x");
      await assert.rejects(kv.incr("text"), { code: "ERR", outcome: "not-applied" });
      assert.equal(await kv.delete(["text", "nothing"]), 1);
      assert.deepEqual(
        await kv.transaction(
          [
            ["SET", "t", "x"],
            ["INCR", "t"],
            ["GET", "t"],
          ].slice(0, 1),
        ),
        ["OK"],
      );
      const [, failed, got] = await kv.transaction([
        ["SET", "t", "x"],
        ["INCR", "t"],
        ["GET", "t"],
      ]);
      assert.match(String(failed), /not an integer/);
      assert.equal(got, "x");
      await assert.rejects(kv.transaction([["NONSENSE"]]), { code: "ERR", outcome: "not-applied" });
      await assert.rejects(kv.command(["MULTI"]), { code: "STATEFUL" });
      assert.equal((await kv.status()).peer.name, "a");
      assert.deepEqual(await kv.conflicts(), []);
      await assert.rejects(kv.restore("nothing"), { code: "ERR" });
      for await (const status of kv.watchStatus()) {
        assert.equal(status.peer.name, "a");
        break;
      }
    }));

  test("a scan finds every key of a prefix, whatever is in it", () =>
    withPeer({}, async (kv) => {
      const wanted = Array.from({ length: 2500 }, (_, index) => `[a*?\\${index}`);
      await kv.mset(wanted.map((key) => [key, "v"] as const));
      await kv.mset({ b: "v", "[a": "v" });
      const found = new Set<string>();
      for await (const key of kv.scan({ prefix: "[a*?\\", count: 100 })) found.add(key);
      assert.deepEqual([...found].sort(), wanted.sort());
    }));

  test("the password of the peer", () =>
    withPeer({ password: "correct horse" }, async (kv, peer) => {
      assert.equal(await kv.set("k", "v"), true);
      await assert.rejects(connect(addressOf(peer), { password: "wrong horse" }), { code: "WRONGPASS" });
      await assert.rejects(connect(addressOf(peer)), { code: "NOAUTH" });
    }));

  test("a client that goes on as another reads what that one wrote", () =>
    withPeer({}, async (kv, peer) => {
      await kv.set("k", "1");
      const next = await connect(addressOf(peer), { position: kv.position });
      assert.equal(await next.get("k"), "1");
      await next.close();
      // What no peer will ever reach.
      const lost = await connect(addressOf(peer), { position: "z.0lost0000000000:7", staleAfterMs: 100 });
      await assert.rejects(lost.get("k", { timeoutMs: 500 }), { code: "STALE", outcome: "not-applied" });
      await lost.close();
      const tokenless = await connect(addressOf(peer), { staleAfterMs: 100, timeoutMs: 300 });
      await assert.rejects(tokenless.watch("", { token: "z.0lost0000000000:7" }).next(), { code: "STALE" });
      assert.equal(await tokenless.get("k", { timeoutMs: 20_000 }), "1", "the client lives on");
      await tokenless.close();
      await assert.rejects(connect(addressOf(peer), { position: "nonsense" }), { code: "BAD_POSITION" });
    }));
});

/**
 * The log of a peer tells all. A live watch is not shown a write that lost on arrival, such as the first sending of a SET
 * that was sent again elsewhere, when a later one of its key was shown before.
 */
test("a watch over dying peers misses nothing and repeats nothing, compared with the log", async (t) => {
  await withCluster(t, { count: 3 }, async (cluster) => {
    const addresses = cluster.peers.map(addressOf);
    const [watcher, writer] = await Promise.all([connect(addresses), connect([...addresses].reverse())]);
    const timeoutMs = 60_000;
    const changesUntilEnd = async (kv: Client): Promise<Change[]> => {
      const changes: Change[] = [];
      for await (const change of kv.watch("user:", { token: "" })) {
        assert(change.type !== "reset", `no reset: ${change.type === "reset" ? change.why : ""}`);
        changes.push(change);
        if (change.key === "user:end") break;
      }
      return changes;
    };
    const watching = changesUntilEnd(watcher);
    let isOver = false;
    let written = 0;
    const writing = (async () => {
      while (!isOver) {
        const keys = Array.from(
          { length: 20 },
          (_, index) => `${index % 3 === 0 ? "other" : "user"}:${written + index}`,
        );
        await Promise.all(keys.map((key) => writer.set(key, "v", { timeoutMs })));
        written += keys.length;
        // Thousands of writes a second would tell no more.
        await delay(5);
      }
    })();
    for (let kills = 0; kills < 3; kills++) {
      await until("the watcher is connected", () => watcher.state.kind === "connected", timeoutMs);
      const { state } = watcher;
      const victim = cluster.peers.find(({ name }) => state.kind === "connected" && state.peer === name);
      assert(victim !== undefined);
      const before = written;
      await victim.kill();
      // They may not go on: when the dead peer alone has a write that was acknowledged, they wait for it.
      await until("writes go on", () => written > before + 100, 1000).catch(() => undefined);
      await victim.start();
      await cluster.ready([victim]);
      await until("writes go on", () => written > before + 100, timeoutMs);
    }
    isOver = true;
    await writing;
    await cluster.identical();
    await writer.set("user:end", "v", { timeoutMs });
    const reference = await connect(addressOf(cluster.peer("c")), { discover: false, position: writer.position });
    const logged = await changesUntilEnd(reference);
    const seen = await watching;
    t.diagnostic(`${written} writes, ${seen.length} changes seen, ${logged.length} logged`);
    const seenDots = new Set(seen.map(dotOf));
    const loggedDots = new Set(logged.map(dotOf));
    assert.equal(seenDots.size, seen.length, "nothing is repeated");
    assert.deepEqual(
      seen.map(dotOf).filter((dot) => !loggedDots.has(dot)),
      [],
      "all that was seen is in the log",
    );
    const newest = new Map<string, number>();
    for (const { key, stamp } of seen) newest.set(key, Math.max(stamp, newest.get(key) ?? 0));
    const missed = logged.filter(
      (change) => !seenDots.has(dotOf(change)) && (newest.get(change.key) ?? 0) < change.stamp,
    );
    assert.deepEqual(missed.map(dotOf), [], "nothing is missed but what had lost already");
    assert(newest.size >= (written * 6) / 10);
    await Promise.all([watcher.close(), writer.close(), reference.close()]);
  });
});

const dotOf = ({ origin, seq }: Change): string => `${origin}:${seq}`;
