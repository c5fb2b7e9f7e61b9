/** Peers and links that say nothing for a while: a stopped process, a direction of the network that is gone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { unnoticed } from "../support/hammer.ts";
import { until } from "../support/processes.ts";
import { quickLinks, type RealPeer, sameEverywhere, withCluster } from "../support/real-cluster.ts";
import type { RespClient } from "../support/resp-client.ts";

const isLong = process.env["CHORUS_TEST_SCALE"] !== undefined;

test("a peer stopped by SIGSTOP beyond the links' dead time goes on where it was", async (t) => {
  await withCluster(t, {}, async (cluster) => {
    const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
    await cluster.linked();
    const own = await c.connect();
    await own.call("SET", "before", "1");
    // A write that the stopped peer has been sent and has not read.
    let late: ReturnType<RespClient["send"]> | undefined;
    const report = await unnoticed(cluster, [a, b], async () => {
      c.pause();
      late = own.send("SET", "during", "1");
      // Dead after 5 s of silence; with CHORUS_TEST_SCALE, well past the ceiling of its clock and its links' back-off.
      await until("its links are down", async () => {
        const statuses = await cluster.statuses([a, b]);
        return statuses.every((status) => status?.links.find((link) => link.peer === "c")?.state !== "up");
      });
      if (isLong) await delay(60_000);
      c.resume();
      await cluster.linked();
    });
    t.diagnostic(report);
    // Its client had nothing but to wait.
    assert.deepEqual(await late, { state: "acked", reply: "OK" });
    assert.equal(await own.call("INCR", "after"), 1);
    own.close();
    const all = await sameEverywhere(cluster);
    assert.deepEqual([all.get("before"), all.get("during"), all.get("after")], ["1", "1", "1"]);
    const status = await c.status();
    assert.equal(status?.clock.skewState, "ok");
  });
});

test("a link is cut in one direction only: writes go around it, both ways; then it heals, and the other is cut", async (t) => {
  await withCluster(t, { proxied: true, peerOptions: quickLinks }, async (cluster) => {
    await cluster.linked();
    for (const [from, to] of [
      ["a", "b"],
      ["b", "a"],
    ] as const) {
      const [sender, receiver] = [cluster.peer(from), cluster.peer(to)];
      const report = await unnoticed(cluster, cluster.peers, async () => {
        cluster.cut(from, to);
        const cutMs = performance.now();
        await sender.call("SET", "around", from);
        await until("it reaches the other by the third", async () => (await receiver.call("GET", "around")) === from);
        t.diagnostic(`${from} to ${to} cut: around it in ${Math.round(performance.now() - cutMs)} ms`);
        await until("both ends notice", async () => {
          const [one, other] = await cluster.statuses([sender, receiver]);
          return (
            one?.links.find(({ peer }) => peer === to)?.state !== "up" &&
            other?.links.find(({ peer }) => peer === from)?.state !== "up"
          );
        });
        await receiver.call("SET", "back", from);
        await until("and the other way", async () => (await sender.call("GET", "back")) === from);
        cluster.heal();
        await cluster.linked();
      });
      t.diagnostic(report);
    }
  });
});
