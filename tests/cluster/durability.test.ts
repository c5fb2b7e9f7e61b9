/** What an acknowledgement means at each level asked for, and that a clean stop loses nothing. */
import assert from "node:assert/strict";
import { Agent, get, type IncomingMessage } from "node:http";
import { json } from "node:stream/consumers";
import { test } from "node:test";
import { parseStatus, type StatusReport } from "../../protocol/status.ts";
import { fill } from "../support/hammer.ts";
import { until } from "../support/processes.ts";
import {
  quickLinks,
  type RealPeer,
  sameEverywhere,
  shareCluster,
  testScale,
  withCluster,
} from "../support/real-cluster.ts";
import type { Outcome, RespClient } from "../support/resp-client.ts";

const failedWith = (outcome: Outcome | undefined): string =>
  outcome?.state === "failed" ? outcome.error : JSON.stringify(outcome);

/** Pipelined SETs until the connection ends: the keys that were acknowledged, in `acked` as they are. */
const writeUntilCut = async (peer: RealPeer, prefix: string, acked: string[] = []): Promise<string[]> => {
  const client = await peer.connect();
  for (let serial = 0; client.isOpen; ) {
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        const key = `${prefix}:${serial++}`;
        if ((await client.send("SET", key, key)).state === "acked") acked.push(key);
      }),
    );
  }
  return acked;
};

test("--fsync always: all that was acknowledged before a kill -9 is there after it", async (t) => {
  await withCluster(t, { count: 1, flags: ["--fsync", "always"] }, async (cluster) => {
    const [a] = cluster.peers as [RealPeer];
    const acked: string[] = [];
    for (let round = 0; round < 3 * testScale; round++) {
      const before = acked.length;
      const writing = Promise.all([0, 1, 2, 3].map((client) => writeUntilCut(a, `${round}.${client}`, acked)));
      await until("writes are acknowledged", () => acked.length >= before + 100);
      await a.kill();
      await writing;
      await a.start();
    }
    assert(acked.length > 100, `${acked.length} writes`);
    t.diagnostic(`${acked.length} writes`);
    const all = await sameEverywhere(cluster);
    for (const key of acked) assert.equal(all.get(key), key);
  });
});

test("--acks 1: what is acknowledged survives the loss of the peer that acknowledged it, disk and all", async (t) => {
  await withCluster(t, { flags: ["--acks", "1"] }, async (cluster) => {
    const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
    await cluster.linked();
    const acked: string[] = [];
    const writing = Promise.all([0, 1, 2].map((client) => writeUntilCut(a, `k${client}`, acked)));
    await until("writes are acknowledged", () => acked.length >= 300);
    await a.kill();
    await writing;
    a.wipe();
    t.diagnostic(`${acked.length} writes`);
    // Somebody else holds each on disk; the two together have them all, and soon each of them.
    const all = await (async () => {
      await cluster.identical([b, c]);
      await a.start();
      await cluster.ready();
      return await sameEverywhere(cluster);
    })();
    for (const key of acked) assert.equal(all.get(key), key);
  });
});

/**
 * Sends SETs, each over a connection of its own, until one ends as wanted. It waits for none of them: with --acks one may
 * have to wait for a peer's return, and the next is refused meanwhile.
 */
const setUntil = async (
  what: string,
  wanted: (outcome: Outcome) => boolean,
  set: { readonly peer: RealPeer; readonly key: string; readonly value: string },
): Promise<void> => {
  const clients: RespClient[] = [];
  let isFound = false;
  await until(what, async () => {
    if (isFound) return true;
    const client = await set.peer.connect();
    clients.push(client);
    void client.send("SET", set.key, set.value).then((outcome) => {
      isFound ||= wanted(outcome);
    });
    return false;
  });
  for (const client of clients) client.close();
};

const setUntilTaken = (peer: RealPeer, key: string, value: string): Promise<void> =>
  setUntil("a write is taken", ({ state }) => state === "acked", { peer, key, value });

const setUntilRefused = (peer: RealPeer, key: string, value: string): Promise<void> =>
  setUntil("a write is refused", (outcome) => /^NOREPLICAS /.test(failedWith(outcome)), { peer, key, value });

test("--acks 2: NOREPLICAS while fewer than two others are linked, reads go on; acknowledged again once they are", async (t) => {
  await withCluster(t, { flags: ["--acks", "2"] }, async (cluster) => {
    const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
    await setUntilTaken(a, "k", "1");
    const inFlight = await a.connect();
    await c.kill();
    const late = inFlight.send("SET", "late", "1");
    await setUntilRefused(a, "k", "2");
    assert.match(String(await a.call("GET", "k")), /1|2/);
    assert.match(String(await b.call("GET", "k")), /1|2/);
    await c.start();
    await setUntilTaken(a, "k", "3");
    // One that came between the death and its discovery was made here; its answer waited for c.
    assert.notEqual((await late).state, "unknown");
    inFlight.close();
    assert.equal((await sameEverywhere(cluster)).get("k"), "3");
  });
});

test("--acks 1 with the only other peer hanging: the writer waits, the clients that read do not", async (t) => {
  await withCluster(t, { count: 2, flags: ["--acks", "1"], peerOptions: quickLinks }, async (cluster) => {
    const [a, b] = cluster.peers as [RealPeer, RealPeer];
    await setUntilTaken(a, "k", "1");
    const [writer, reader] = [await a.connect(), await a.connect()];
    b.pause();
    const waiting = writer.send("SET", "k", "2");
    await until("the write is there, unacknowledged", async () => (await reader.call("GET", "k")) === "2");
    const startedMs = performance.now();
    assert.equal(await reader.call("GET", "k"), "2");
    const tookMs = performance.now() - startedMs;
    assert(tookMs < 2000, `a read took ${Math.round(tookMs)} ms`);
    await setUntilRefused(a, "k", "3");
    b.resume();
    assert.deepEqual(await waiting, { state: "acked", reply: "OK" });
    writer.close();
    reader.close();
    await cluster.linked();
    await sameEverywhere(cluster);
  });
});

shareCluster(
  "three peers that stop and come back",
  {},
  {
    "WAIT counts the peers that hold a write on disk, and gives up in time": async (cluster) => {
      const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
      await cluster.linked();
      const client = await a.connect();
      await client.call("SET", "k", "1");
      assert.equal(await client.call("WAIT", 2, 10_000), 2);
      await c.kill();
      await until(
        "c's link is down",
        async () => (await a.status())?.links.some(({ state }) => state !== "up") === true,
      );
      await client.call("SET", "k", "2");
      assert.equal(await client.call("WAIT", 1, 10_000), 1);
      const startedMs = performance.now();
      assert.equal(await client.call("WAIT", 2, 300), 1);
      const tookMs = performance.now() - startedMs;
      assert(tookMs >= 290 && tookMs < 3000, `WAIT 2 300 took ${tookMs} ms`);
      // One that waits without end is answered when the peer is back.
      const forever = client.send("WAIT", 2, 0);
      const other = await a.connect();
      assert.equal(await other.call("GET", "k"), "2", "others go on meanwhile");
      await c.start();
      assert.deepEqual(await forever, { state: "acked", reply: 2 });
      other.close();
      client.close();
      assert.equal(await b.call("GET", "k"), "2");
    },

    "SIGTERM during load: exit code 0 within seconds, and every acknowledged write is there afterwards": async (
      cluster,
      t,
    ) => {
      await cluster.linked();
      const [a] = cluster.peers as [RealPeer];
      await fill(a, 2000, "before");
      const lists: string[][] = [];
      const writing = Promise.all(
        cluster.peers.flatMap((peer) =>
          [0, 1, 2].map((client) => {
            const acked: string[] = [];
            lists.push(acked);
            return writeUntilCut(peer, `${peer.name}${client}`, acked);
          }),
        ),
      );
      await until("every client's writes are acknowledged", () => lists.every((acked) => acked.length >= 40));
      const startedMs = performance.now();
      const ends = await Promise.all(cluster.peers.map((peer) => peer.stop()));
      const tookMs = performance.now() - startedMs;
      for (const end of ends) assert.deepEqual(end, { code: 0, signal: null });
      assert(tookMs < 6000, `stopping took ${Math.round(tookMs)} ms`);
      const acked = (await writing).flat();
      t.diagnostic(`${acked.length} writes; stopped within ${Math.round(tookMs)} ms`);
      await Promise.all(cluster.peers.map((peer) => peer.start()));
      await cluster.ready();
      const all = await sameEverywhere(cluster);
      for (const key of acked) assert.equal(all.get(key), key);
      assert.equal(all.get("before:1999"), "v".repeat(100));
    },

    "a clean stop hands the last writes to the others: they need not wait for its return": async (cluster) => {
      await cluster.linked();
      const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
      const acked: string[] = [];
      const writing = writeUntilCut(a, "k", acked);
      await until("writes are acknowledged", () => acked.length >= 200);
      await a.stop();
      await writing;
      const client = await b.connect();
      await until(
        "the last acknowledged write is at b",
        async () => (await client.call("EXISTS", acked.at(-1) ?? "")) === 1,
        5000,
      );
      client.close();
      await cluster.identical([b, c]);
      await a.start();
      const all = await sameEverywhere(cluster);
      for (const key of acked) assert.equal(all.get(key), key);
    },
  },
);

test("a peer's status never runs ahead of its log: what it reports, a kill -9 does not take away", async (t) => {
  await withCluster(t, { count: 2 }, async (cluster) => {
    const [a, b] = cluster.peers as [RealPeer, RealPeer];
    await cluster.identical();
    await cluster.linked();
    const client = await a.connect();
    // A kept connection: the question is read in the turn that reads the frames, not in the one after it.
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ask = async (): Promise<{ readonly writes: number; readonly nextLsn: number }> => {
      const { versionVector, log } = await statusOver(agent, b);
      return { writes: Object.values(versionVector).reduce((sum, seq) => sum + seq, 0), nextLsn: log.nextLsn };
    };
    for (let round = 0; round < 20; round++) {
      const before = await ask();
      b.pause();
      await client.call("SET", `k${round}`, "v");
      const asked = ask();
      b.resume();
      const after = await asked;
      if (after.writes > before.writes)
        assert(after.nextLsn > before.nextLsn, `round ${round}: reported, not in the log`);
    }
    agent.destroy();
    client.close();
  });
});

const statusOver = async (agent: Agent, peer: RealPeer): Promise<StatusReport> => {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get({ agent, port: peer.httpPort, host: "127.0.0.1", path: "/status" }, resolve).on("error", reject);
  });
  const parsed = parseStatus(await json(response));
  assert(parsed.ok);
  return parsed.status;
};
