/** FAULT LINK at real peers: a cut is noticed by silence alone, writes go around it, and healing joins the two sides. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "../support/processes.ts";
import { quickLinks, type RealCluster, type RealPeer, sameEverywhere, withCluster } from "../support/real-cluster.ts";

const linkOf = async (peer: RealPeer, other: string) =>
  (await peer.status())?.links.find((link) => link.peer === other);

const down = (cluster: RealCluster, [one, other]: readonly [string, string]): Promise<void> =>
  until(`${one} and ${other} are not linked`, async () => {
    const ends = await Promise.all([linkOf(cluster.peer(one), other), linkOf(cluster.peer(other), one)]);
    return ends.every((link) => link !== undefined && link.state !== "up");
  });

test("FAULT LINK cuts both ways or one, both sides write on, and healing makes them identical", async (t) => {
  await withCluster(t, { flags: ["--fault-links"], peerOptions: quickLinks }, async (cluster) => {
    const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
    await cluster.linked();
    assert.equal((await a.status())?.faultLinks, true);

    // One way, between two that both reach the third.
    for (const direction of ["SEND", "RECEIVE"] as const) {
      assert.equal(await a.call("FAULT", "LINK", "CUT", "b", direction), "OK");
      assert.equal((await linkOf(a, "b"))?.fault, direction.toLowerCase());
      assert.equal((await linkOf(b, "a"))?.fault, "none", "only who was told knows");
      assert.match(((await a.status())?.alarms ?? []).join(), /the link to b is cut by FAULT LINK/);
      await a.call("SET", "around", direction);
      await until("it goes around", async () => (await b.call("GET", "around")) === direction);
      await down(cluster, ["a", "b"]);
      assert.equal(await a.call("FAULT", "LINK", "HEAL", "b"), "OK");
      await cluster.linked();
    }

    // a alone on its side.
    for (const peer of ["b", "c"]) await a.call("FAULT", "LINK", "CUT", peer);
    await down(cluster, ["a", "b"]);
    await down(cluster, ["a", "c"]);
    await a.call("SET", "city", "Oslo");
    await b.call("SET", "city", "Rome");
    await until("the two agree", async () => (await c.call("GET", "city")) === "Rome");
    assert.equal(await a.call("GET", "city"), "Oslo");
    for (const peer of ["b", "c"]) await a.call("FAULT", "LINK", "HEAL", peer);
    await cluster.linked();
    const all = await sameEverywhere(cluster);
    assert.equal(all.get("city"), "Rome");
    const conflicts = (await Promise.all(cluster.peers.map((peer) => peer.call("CONFLICTS", "city")))) as unknown[][];
    for (const found of conflicts) assert.equal(found.length, 1);
    assert.deepEqual(await a.call("FAULT", "LINK", "LIST"), ["b", "none", "c", "none"]);
  });
});
