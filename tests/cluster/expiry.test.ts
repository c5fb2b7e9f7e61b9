/** Keys with a time to live, and deleted ones: gone for every client at once, and from memory in the end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "../support/processes.ts";
import { busyMaintenance, type RealPeer, sameEverywhere, withCluster } from "../support/real-cluster.ts";

test("what expires or is deleted goes from all peers, and its traces go from memory in the end", async (t) => {
  await withCluster(t, { peerOptions: busyMaintenance }, async (cluster) => {
    const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
    const client = await a.connect();
    await client.pipeline(Array.from({ length: 200 }, (_, index) => ["SET", `short:${index}`, "v", "PX", 3000]));
    await client.call("SET", "long", "v", "PX", 600_000);
    await client.pipeline(Array.from({ length: 200 }, (_, index) => ["SET", `dead:${index}`, "v"]));
    await client.pipeline(Array.from({ length: 200 }, (_, index) => ["DEL", `dead:${index}`]));
    const ttl = Number(await client.call("PEXPIRETIME", "short:7"));
    client.close();
    await until("all hold what expires", async () =>
      (await Promise.all(cluster.peers.map((peer) => peer.call("EXISTS", "short:199", "long")))).every((n) => n === 2),
    );
    for (const peer of cluster.peers)
      assert.equal(await peer.call("PEXPIRETIME", "short:7"), ttl, "one time everywhere");
    // Extended in time at another peer, it stays at all.
    assert.equal(await b.call("PEXPIRE", "short:0", 600_000), 1);
    await until("it has expired everywhere", async () =>
      (await Promise.all(cluster.peers.map((peer) => peer.call("EXISTS", "short:7", "short:199")))).every(
        (n) => n === 0,
      ),
    );
    for (const peer of cluster.peers) assert.equal(await peer.call("EXISTS", "short:0", "long"), 2);
    // No client gets to see them, and nothing keeps them: the traces are purged at every peer.
    await until(
      "tombstones and expired cells are purged",
      async () => (await cluster.statuses()).every((status) => status?.tombstones.count === 0 && status.keys === 2),
      30_000,
    );
    await cluster.identical();
    // A peer that was away meanwhile holds purging back, and brings nothing back.
    await c.kill();
    await a.call("SET", "later", "v");
    await a.call("DEL", "later", "long");
    // Two checkpoints later each thing that could go has gone.
    for (const round of [1, 2]) {
      const lsn = (await a.status())?.log.nextLsn ?? 0;
      await a.call("INCR", "rounds");
      await until(`checkpoint ${round} is finished`, async () => ((await a.status())?.checkpoint.lsn ?? 0) > lsn);
    }
    await a.call("DEL", "rounds");
    const held = await a.status();
    assert((held?.tombstones.count ?? 0) >= 2, "kept for the one who is away");
    assert.deepEqual(held?.tombstones.heldBy, ["c"]);
    await c.start();
    await cluster.ready();
    const all = await sameEverywhere(cluster);
    assert.deepEqual([...all.keys()], ["short:0"]);
    await until(
      "then they go",
      async () => (await cluster.statuses()).every((status) => status?.tombstones.count === 0),
      30_000,
    );
  });
});
