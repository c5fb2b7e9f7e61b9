/** node-redis 5 (RESP2) and 6 (RESP3), with their defaults. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { createClient, RESP_TYPES } from "redis";
import { createClient as createClient5 } from "redis5";
import { type PeerForTest, startPeerForTest } from "../support/peer-for-test.ts";
import { until } from "../support/processes.ts";

const create6 = (url: string) => createClient({ url });
type Client = ReturnType<typeof create6>;

const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

// The two have the same methods, as far as they are used here.
const versions: readonly (readonly [name: string, create: (url: string) => Client])[] = [
  ["node-redis 6", create6],
  ["node-redis 5", (url) => createClient5({ url }) as unknown as Client],
  ["node-redis 5 over RESP3", (url) => createClient5({ url, RESP: 3 }) as unknown as Client],
];

for (const [name, create] of versions) {
  describe(name, () => {
    let peer: PeerForTest;
    let client: Client;
    beforeEach(async () => {
      peer = await startPeerForTest();
      client = create(`redis://127.0.0.1:${peer.port}`);
      client.on("error", () => {});
      await client.connect();
    });
    afterEach(async () => {
      client.destroy();
      await peer.stop();
    });

    test("connects with its defaults, writes and reads", async () => {
      assert.equal(await client.set("a", "10"), "OK");
      assert.equal(await client.get("a"), "10");
      assert.equal(await client.get("none"), null);
      assert.equal(await client.del(["a", "none"]), 1);
      assert.equal(await client.set("a", "1", { expiration: { type: "EX", value: 100 }, condition: "NX" }), "OK");
      assert.equal(await client.set("a", "1", { condition: "NX" }), null);
      assert.equal(await client.ttl("a"), 100);
      assert.equal(await client.incrBy("a", 41), 42);
      assert.deepEqual(await client.mGet(["a", "none"]), ["42", null]);
      assert.deepEqual({ ...(await client.configGet("save")) }, { save: "" });
    });

    test("sends what is asked at once as a pipeline", async () => {
      const replies = await Promise.all(Array.from({ length: 100 }, () => client.incr("n")));
      assert.deepEqual(
        replies,
        Array.from({ length: 100 }, (_, index) => index + 1),
      );
    });

    test("runs a transaction, and one whose watched key changed", async () => {
      assert.deepEqual(await client.multi().set("a", "1").incr("a").get("a").exec(), ["OK", 2, "2"]);
      const other = client.duplicate();
      other.on("error", () => {});
      await other.connect();
      try {
        await client.watch("a");
        await other.set("a", "changed");
        await assert.rejects(client.multi().set("a", "mine").exec(), /watched keys has been changed/);
        assert.equal(await client.get("a"), "changed");
      } finally {
        other.destroy();
      }
    });

    test("iterates with SCAN", async () => {
      await client.mSet(Array.from({ length: 500 }, (_, index) => [`key:${index}`, "1"] as [string, string]));
      await client.set("other", "1");
      const seen = new Set<string>();
      for await (const keys of client.scanIterator({ MATCH: "key:*", COUNT: 37 })) {
        for (const key of keys) seen.add(key);
      }
      assert.equal(seen.size, 500);
    });

    test("stores binary keys and values byte for byte", async () => {
      await client.set(everyByte, everyByte);
      const binary = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
      assert.deepEqual(await binary.get(everyByte), everyByte);
    });

    test("subscribes to channels and patterns on a duplicate connection, and is told of keys", async () => {
      const subscriber = client.duplicate();
      subscriber.on("error", () => {});
      await subscriber.connect();
      try {
        const got: string[] = [];
        const take = (message: string, channel: string): number => got.push(`${channel} ${message}`);
        await subscriber.subscribe(["news", "__keyevent@0__:set"], take);
        await subscriber.pSubscribe("n*", take);
        assert.equal(await client.publish("news", "hello"), 2);
        assert.deepEqual({ ...(await client.pubSubNumSub(["news"])) }, { news: 1 });
        await client.set("k", "1");
        const wanted = ["news hello", "news hello", "__keyevent@0__:set k"];
        await until("all messages", () => Promise.resolve(got.length >= wanted.length));
        assert.deepEqual(got, wanted);
        // One by one and named: unsubscribe() of several never answers in node-redis 5, with Redis either.
        await subscriber.unsubscribe("news");
        await subscriber.unsubscribe("__keyevent@0__:set");
        await subscriber.pUnsubscribe("n*");
        // A Buffer in node-redis 5.
        assert.equal(String(await subscriber.get("k")), "1", "an ordinary connection again");
      } finally {
        subscriber.destroy();
      }
    });

    test("is told its errors", async () => {
      await assert.rejects(client.sendCommand(["NOSUCH", "x"]), /ERR unknown command 'NOSUCH'/);
      await client.set("t", "text");
      await assert.rejects(client.incr("t"), /ERR value is not an integer or out of range/);
    });

    test("logs in with a password", async () => {
      const guarded = await startPeerForTest({ password: "secret-long-enough" });
      const welcome = create(`redis://default:secret-long-enough@127.0.0.1:${guarded.port}`);
      welcome.on("error", () => {});
      try {
        await welcome.connect();
        assert.equal(await welcome.set("a", "1"), "OK");
      } finally {
        welcome.destroy();
        await guarded.stop();
      }
    });
  });
}
