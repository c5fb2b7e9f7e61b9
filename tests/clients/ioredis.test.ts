/** ioredis 5 (RESP2) and 6 (RESP3), with their defaults. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { Redis } from "ioredis";
import { Redis as Redis5 } from "ioredis5";
import { type PeerForTest, startPeerForTest } from "../support/peer-for-test.ts";

const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

const versions = [
  ["ioredis 6", (port: number, options = {}) => new Redis(port, "127.0.0.1", options)],
  ["ioredis 5", (port: number, options = {}) => new Redis5(port, "127.0.0.1", options) as unknown as Redis],
] as const;

for (const [name, connect] of versions) {
  describe(name, () => {
    let peer: PeerForTest;
    let client: Redis;
    beforeEach(async () => {
      peer = await startPeerForTest();
      client = connect(peer.port);
    });
    afterEach(async () => {
      client.disconnect();
      await peer.stop();
    });

    test("connects with its defaults, writes and reads", async () => {
      assert.equal(await client.set("a", "10"), "OK");
      assert.equal(await client.get("a"), "10");
      assert.equal(await client.get("none"), null);
      assert.equal(await client.del("a"), 1);
      assert.equal(await client.set("a", "1", "EX", 100, "NX"), "OK");
      assert.equal(await client.set("a", "1", "NX"), null);
      assert.equal(await client.ttl("a"), 100);
      assert.equal(await client.incrby("a", 41), 42);
      assert.deepEqual(await client.mget("a", "none"), ["42", null]);
      assert.equal(await client.incrbyfloat("f", 0.1), "0.1");
    });

    test("runs a pipeline, errors in their places", async () => {
      const results = await client.pipeline().set("a", "1").incr("a").set("t", "text").incr("t").get("a").exec();
      assert.deepEqual(
        results?.map(([error, value]) => error?.message ?? value),
        ["OK", 2, "OK", "ERR value is not an integer or out of range", "2"],
      );
    });

    test("runs a transaction, and one whose watched key changed", async () => {
      const results = await client.multi().set("a", "1").incr("a").exec();
      assert.deepEqual(results, [
        [null, "OK"],
        [null, 2],
      ]);
      const other = client.duplicate();
      try {
        await client.watch("a");
        await other.set("a", "changed");
        assert.equal(await client.multi().set("a", "mine").exec(), null);
        assert.equal(await client.get("a"), "changed");
      } finally {
        other.disconnect();
      }
    });

    test("iterates with SCAN", async () => {
      await client.mset(...Array.from({ length: 500 }, (_, index) => [`key:${index}`, "1"]).flat());
      await client.set("other", "1");
      const seen = new Set<string>();
      for await (const keys of client.scanStream({ match: "key:*", count: 37 }) as AsyncIterable<string[]>) {
        for (const key of keys) seen.add(key);
      }
      assert.equal(seen.size, 500);
    });

    test("stores binary keys and values byte for byte", async () => {
      await client.set(everyByte, everyByte);
      assert.deepEqual(await client.getBuffer(everyByte), everyByte);
      const large = Buffer.alloc(1024 * 1024, everyByte);
      await client.set("large", large);
      assert.deepEqual(await client.getBuffer("large"), large);
    });

    test("is told its errors by their codes, and quits", async () => {
      await assert.rejects(
        client.call("NOSUCH", "x"),
        /^ReplyError: ERR unknown command 'NOSUCH', with args beginning with: 'x'/,
      );
      await assert.rejects(client.call("SET", "a"), /wrong number of arguments for 'set' command/);
      assert.equal(await client.quit(), "OK");
    });

    test("logs in with a password", async () => {
      const guarded = await startPeerForTest({ password: "secret-long-enough" });
      const welcome = connect(guarded.port, { password: "secret-long-enough", connectionName: "worker" });
      const stranger = connect(guarded.port, { retryStrategy: null, maxRetriesPerRequest: 0 });
      stranger.on("error", () => {});
      try {
        assert.equal(await welcome.set("a", "1"), "OK");
        assert.equal(await welcome.client("GETNAME"), "worker");
        await assert.rejects(stranger.get("a"), /NOAUTH|Connection is closed/);
      } finally {
        welcome.disconnect();
        stranger.disconnect();
        await guarded.stop();
      }
    });
  });
}
