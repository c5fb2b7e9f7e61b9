/** Peers are killed and lose their disks at any moment; nobody connected elsewhere notices, and nothing is lost. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fill, unnoticed } from "../support/hammer.ts";
import { until } from "../support/processes.ts";
import {
  busyMaintenance,
  type RealPeer,
  sameEverywhere,
  shareCluster,
  testScale,
  withCluster,
} from "../support/real-cluster.ts";

shareCluster(
  "three peers that are killed and lose their disks",
  {},
  {
    "two of three lose their disks: the third gives them all back; alone and empty, a peer serves nobody": async (
      cluster,
    ) => {
      const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
      await fill(b, 1000, "k");
      await cluster.identical();
      await Promise.all(cluster.peers.map((peer) => peer.kill()));
      a.wipe();
      b.wipe();
      await a.start();
      await b.start();
      // Both are empty and c may hold data: nobody may conclude that the cluster is new.
      await until(
        "a and b are linked",
        async () =>
          (await a.status())?.links.some(
            ({ peer, state }) => peer === "b" && state !== "down" && state !== "connecting",
          ) === true,
      );
      const [read, write] = await (await a.connect()).pipeline([
        ["GET", "k:1"],
        ["SET", "k:1", "x"],
      ]);
      assert.match(read?.state === "failed" ? read.error : JSON.stringify(read), /^LOADING /);
      assert.match(write?.state === "failed" ? write.error : JSON.stringify(write), /^LOADING /);
      assert.equal((await a.status())?.ready, false);
      await c.start();
      await cluster.ready();
      assert.equal((await sameEverywhere(cluster)).size, 1000);
    },

    "a lost data directory comes back from the others, and no client is served before": async (cluster, t) => {
      const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
      await fill(a, 2000, "x");
      await fill(c, 2000, "y");
      await c.call("SET", "gone", "1");
      await cluster.identical();
      await a.call("DEL", "gone");
      const incarnation = (await c.status())?.peer.incarnation;
      const report = await unnoticed(cluster, [a], async () => {
        await c.kill();
        c.wipe();
        // Nobody to catch up with: it must not serve its emptiness.
        b.pause();
        await a.call("SET", "meanwhile", "1");
        // From a it may come back at once; every answer it gives is a refusal or the whole truth.
        await c.start();
        const client = await c.connect();
        let refusals = 0;
        await until("a whole answer", async () => {
          const [read, write] = await client.pipeline([
            ["GET", "x:1"],
            ["SET", "w", String(refusals++)],
          ]);
          if (read?.state === "acked") {
            assert.equal(read.reply, "v".repeat(100), "no empty answer");
            return true;
          }
          assert.match(read?.state === "failed" ? read.error : "", /^LOADING /);
          assert.match(write?.state === "failed" ? write.error : "", /^LOADING /);
          return false;
        });
        client.close();
        b.resume();
        await cluster.ready();
      });
      t.diagnostic(report);
      const all = await sameEverywhere(cluster);
      assert.equal(all.get("y:1999"), "v".repeat(100));
      assert.equal(all.get("meanwhile"), "1");
      assert(!all.has("gone"), "what was deleted stays deleted");
      assert.notEqual((await c.status())?.peer.incarnation, incarnation);
    },

    "kill -9 and restart of one, of two, of all peers": async (cluster, t) => {
      const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
      const report = await unnoticed(cluster, [a], async () => {
        await b.kill();
        await fill(c, 500, "b-away");
        await b.start();
        await Promise.all([b.kill(), c.kill()]);
        await fill(a, 500, "both-away");
        await Promise.all([b.start(), c.start()]);
        await cluster.ready();
        await fill(b, 100, "back");
      });
      t.diagnostic(report);
      const before = await sameEverywhere(cluster);
      await Promise.all(cluster.peers.map((peer) => peer.kill()));
      await Promise.all(cluster.peers.map((peer) => peer.start()));
      await cluster.ready();
      assert.deepEqual(await sameEverywhere(cluster), before);
      // One alone still serves all it has, and writes.
      await Promise.all([a.kill(), b.kill()]);
      assert.equal(await c.call("GET", "both-away:7"), "v".repeat(100));
      assert.equal(await c.call("SET", "alone", "1"), "OK");
      await Promise.all([a.start(), b.start()]);
      assert.equal((await sameEverywhere(cluster)).get("alone"), "1");
    },
  },
);

test("a cluster is born without --bootstrap once all peers have met, empty", async (t) => {
  await withCluster(t, { bootstrap: false }, async (cluster) => {
    assert.equal(await (cluster.peers[0] as RealPeer).call("SET", "first", "1"), "OK");
    assert.equal((await sameEverywhere(cluster)).get("first"), "1");
  });
});

test("a peer away for longer than the log is kept comes back by state transfer", async (t) => {
  await withCluster(t, { flags: ["--log-retention", "256kb"], peerOptions: busyMaintenance }, async (cluster) => {
    const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
    await fill(a, 1000, "old");
    await fill(c, 10, "its-own");
    await cluster.identical();
    await c.kill();
    const client = await a.connect();
    await client.pipeline(Array.from({ length: 500 }, (_, index) => ["DEL", `old:${index}`]));
    await client.call("INCR", "counter");
    client.close();
    await fill(a, 3000, "new", 1000);
    await Promise.all(
      [a, b].map((peer) =>
        until(`the log of ${peer.name} is trimmed`, async () => ((await peer.status())?.log.firstLsn ?? 0) > 20),
      ),
    );
    const report = await unnoticed(cluster, [a, b], async () => {
      await c.start();
      await cluster.ready();
      await c.call("INCR", "counter");
      await cluster.linked();
    });
    t.diagnostic(report);
    const all = await sameEverywhere(cluster);
    assert.match(c.log(), /state transfer from [ab] installed/);
    assert(!all.has("old:0") && all.has("old:999") && all.has("its-own:9"));
    assert.equal(all.get("counter"), "2");
    // What was installed is its own now.
    await c.restart();
    await cluster.ready();
    assert.deepEqual(await sameEverywhere(cluster), all);
  });
});

test("peers killed at any moment of a state transfer, on either side, end identical all the same", async (t) => {
  await withCluster(t, { flags: ["--log-retention", "64kb"], peerOptions: busyMaintenance }, async (cluster) => {
    const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
    await fill(a, 4000, "k", 2000);
    await cluster.identical();
    for (let round = 0; round < 3 * testScale; round++) {
      await c.kill();
      if (round % 2 === 0) c.wipe();
      else await fill(a, 500, `round${round}`, 2000);
      await c.start();
      await delay(20 + (round % 6) * 30);
      // The receiver, one sender, the other one.
      await [c, a, b][round % 3]?.restart();
    }
    await cluster.ready();
    const all = await sameEverywhere(cluster);
    assert.equal(all.size, 4000 + Math.floor(1.5 * testScale) * 500);
  });
});
