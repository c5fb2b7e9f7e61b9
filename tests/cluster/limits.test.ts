/** What happens at the bounds: memory, disk, sizes, numbers, slow and silent clients. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { connect } from "node:net";
import { test } from "node:test";
import { fill, unnoticed } from "../support/hammer.ts";
import { until } from "../support/processes.ts";
import { type RealPeer, sameEverywhere, shareCluster, withCluster } from "../support/real-cluster.ts";
import type { RespClient } from "../support/resp-client.ts";
import { smallDisk } from "../support/small-disk.ts";

test("--max-memory: writes that grow are refused with OOM; reads, deletes and replication go on", async (t) => {
  const flagsOf = (name: string): string[] => (name === "a" ? ["--max-memory", "2mb"] : []);
  await withCluster(t, { flagsOf }, async (cluster) => {
    const [a, b] = cluster.peers as [RealPeer, RealPeer];
    const client = await a.connect();
    const value = "v".repeat(1000);
    let written = 0;
    await until("a refuses", async () => {
      const outcomes = await client.pipeline(
        Array.from({ length: 200 }, (_, index) => ["SET", `k:${written + index}`, value]),
      );
      written += 200;
      const refused = outcomes.filter((outcome) => outcome.state === "failed");
      for (const outcome of refused) assert.match(outcome.state === "failed" ? outcome.error : "", /^OOM /);
      return refused.length > 0;
    });
    assert(written < 10_000, `refused after ${written} keys of 1 kB`);
    for (const words of [
      ["SET", "more", "1"],
      ["APPEND", "k:0", "x"],
      ["INCR", "n"],
      ["MSET", "x", "1"],
    ])
      await assert.rejects(client.call(...words), /^Error: OOM /, words[0]);
    // Inside a transaction Redis refuses the command when it is queued.
    assert.equal(await client.call("MULTI"), "OK");
    await assert.rejects(client.call("SET", "more", "1"), /OOM/);
    await assert.rejects(client.call("EXEC"), /EXECABORT/);
    assert.equal(await client.call("GET", "k:0"), value);
    assert.equal(await client.call("EXPIRE", "k:1", 600), 1);
    // What others write still arrives.
    await fill(b, 500, "from-b", 1000);
    await cluster.identical();
    assert.equal(await client.call("EXISTS", "from-b:499"), 1);
    // Deletes make room, here and elsewhere.
    const all = await sameEverywhere(cluster);
    const keys = [...all.keys()];
    for (let at = 0; at < keys.length; at += 500) await client.call("DEL", ...keys.slice(at, at + 500));
    await until("a takes writes again", async () => (await client.send("SET", "again", "1")).state === "acked");
    client.close();
    assert.equal((await sameEverywhere(cluster)).get("again"), "1");
  });
});

test("nine peers on one machine become identical", async (t) => {
  await withCluster(t, { count: 9 }, async (cluster) => {
    const startedMs = performance.now();
    await Promise.all(cluster.peers.map((peer) => fill(peer, 100, peer.name)));
    const clients = await Promise.all(cluster.peers.map((peer) => peer.connect()));
    await Promise.all(clients.map((client) => client.pipeline(Array.from({ length: 50 }, () => ["INCR", "n"]))));
    for (const client of clients) client.close();
    const all = await sameEverywhere(cluster, 60_000);
    t.diagnostic(`identical after ${Math.round(performance.now() - startedMs)} ms`);
    assert.equal(all.size, 901);
    assert.equal(all.get("n"), "450");
  });
});

shareCluster(
  "clients and values at the bounds",
  {},
  {
    "clients that do not read, or say nothing, cost bounded memory and delay nobody": async (cluster, t) => {
      const [a] = cluster.peers as [RealPeer];
      await a.call("SET", "v", "v".repeat(1024 * 1024));
      const rssBefore = (await a.status())?.memory.rssBytes ?? 0;
      const slow: RespClient[] = [];
      const silent = Array.from({ length: 200 }, () => connect(a.tcpPort, "127.0.0.1"));
      for (const socket of silent) socket.on("error", () => undefined);
      const report = await unnoticed(cluster, cluster.peers, async () => {
        for (let count = 0; count < 5; count++) {
          const client = await a.connect();
          client.pause();
          slow.push(client);
          // 200 MiB of replies asked for and never read.
          for (let index = 0; index < 200; index++) client.send("GET", "v").catch(() => undefined);
        }
        // Half a command, for ever.
        for (const socket of silent) socket.write("*3\r\n$3\r\nSET\r\n$1\r\n");
        const client = await a.connect();
        // Above a megabyte of replies a client is left alone until it reads.
        await until("the slow clients' replies wait", async () => {
          const held = String(await client.call("CLIENT", "LIST")).matchAll(/ omem=(\d+)/g);
          return [...held].filter(([, bytes]) => Number(bytes) > 1024 * 1024).length === slow.length;
        });
        client.close();
        await fill(a, 5000, "meanwhile");
      });
      const rssBytes = (await a.status())?.memory.rssBytes ?? 0;
      t.diagnostic(`${report}; ${((rssBytes - rssBefore) / 1024 ** 2).toFixed(0)} MiB more`);
      assert(rssBytes - rssBefore < 400 * 1024 ** 2, "memory is bounded");
      for (const client of slow) client.close();
      for (const socket of silent) socket.destroy();
    },

    "a value of 16 MiB replicates, and comes back after a kill -9; one byte more is refused": async (cluster, t) => {
      const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
      await cluster.linked();
      const value = Buffer.alloc(16 * 1024 * 1024, "0123456789abcdef").toString("latin1");
      const startedMs = performance.now();
      const report = await unnoticed(cluster, [a, b, c], async () => {
        assert.equal(await a.call("SET", "large", value), "OK");
        for (const peer of [b, c])
          await until("it is there", async () => (await peer.call("STRLEN", "large")) === value.length);
      });
      t.diagnostic(`${Math.round(performance.now() - startedMs)} ms; meanwhile ${report}`);
      assert((await c.call("GET", "large")) === value);
      const client = await a.connect();
      const tooLong = await client.send("SET", "larger", `${value}x`);
      assert.equal(tooLong.state, "failed");
      client.close();
      await assert.rejects(a.call("APPEND", "large", "x"), /exceeds maximum/);
      await c.restart();
      await cluster.ready();
      assert((await c.call("GET", "large")) === value);
      await cluster.identical();
    },
  },
);

test("a disk that fills up: writes are refused clearly before it is full, no acknowledged one is lost", async (t) => {
  await withCluster(t, { start: false }, async (cluster) => {
    const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
    // A peer refuses writes when less than 512 MiB are left.
    const why = smallDisk(c.dataDirectory, 560);
    if (why !== undefined) return t.skip(why);
    cluster.atEnd(() => spawnSync("umount", ["-l", c.dataDirectory]));
    await Promise.all(cluster.peers.map((peer) => peer.start()));
    await cluster.ready();
    await cluster.linked();
    const client = await c.connect();
    const value = "v".repeat(100_000);
    const acked: string[] = [];
    let serial = 0;
    let refusal = "";
    await until("c refuses writes", async () => {
      await Promise.all(
        Array.from({ length: 20 }, async () => {
          const key = `k:${serial++}`;
          const outcome = await client.send("SET", key, value);
          if (outcome.state === "acked") acked.push(key);
          else refusal = outcome.state === "failed" ? outcome.error : outcome.why;
        }),
      );
      return refusal !== "";
    });
    assert.match(refusal, /^MISCONF .*disk/);
    assert.equal(await client.call("STRLEN", "k:0"), value.length, "reads go on");
    assert.equal((await c.status())?.ready, false);
    // The others go on, and what they write still reaches the full one.
    await fill(a, 100, "from-a");
    await cluster.identical([a, b]);
    assert.equal(await b.call("SET", "from-b", "1"), "OK");
    await until("replication goes on", async () => (await client.call("EXISTS", "from-b")) === 1);
    client.close();
    await c.kill();
    await c.start();
    const all = new Map((await Promise.all(acked.map(async (key) => [key, 1] as const))).map(([key]) => [key, true]));
    const reader = await c.connect();
    for (const key of all.keys()) assert.equal(await reader.call("STRLEN", key), value.length, key);
    reader.close();
  });
});
