/**
 * Any peer may die, hang, lose its disk or half of its network at any time; nobody connected elsewhere notices.
 *
 * A hammer writes and reads at a peer that is left alone, all the while: no error, no slow reply.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { until } from "../support/processes.ts";
import { type RealCluster, type RealPeer, sameEverywhere, withCluster } from "../support/real-cluster.ts";
import { RespClient } from "../support/resp-client.ts";

const isLong = process.env["CHORUS_TEST_SCALE"] !== undefined;
/** A client of a healthy peer waits no longer, on a loaded machine. */
const replyMsMax = 2000;

/** One client that writes and reads without pause. */
class Hammer {
  acked = 0;
  slowestMs = 0;
  readonly values = new Map<string, string>();
  readonly #peer: RealPeer;
  #isOver = false;
  #running: Promise<void>;

  constructor(peer: RealPeer) {
    this.#peer = peer;
    this.#running = this.#run();
    // Seen when end() waits for it.
    this.#running.catch(() => undefined);
  }

  async #run(): Promise<void> {
    const client = await this.#peer.connect();
    for (let serial = 0; !this.#isOver; serial++) {
      const key = `hammer:${this.#peer.name}:${serial % 500}`;
      const sentMs = performance.now();
      const [set, get] = await client.pipeline([
        ["SET", key, `${serial}`],
        ["GET", key],
      ]);
      const tookMs = performance.now() - sentMs;
      this.slowestMs = Math.max(this.slowestMs, tookMs);
      assert.deepEqual(set, { state: "acked", reply: "OK" }, `a client of ${this.#peer.name}`);
      assert.deepEqual(get, { state: "acked", reply: `${serial}` }, `a client of ${this.#peer.name}`);
      assert(tookMs <= replyMsMax, `a reply of ${this.#peer.name} took ${Math.round(tookMs)} ms`);
      this.values.set(key, `${serial}`);
      this.acked++;
      if (serial % 50 === 49) await delay(1);
    }
    client.close();
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }
}

/** Runs `trouble` while a hammer works at each of `healthy`; then all must be identical and hold what was acknowledged. */
const unnoticed = async (
  cluster: RealCluster,
  healthy: readonly RealPeer[],
  trouble: () => Promise<void>,
): Promise<string> => {
  const hammers = healthy.map((peer) => new Hammer(peer));
  try {
    await trouble();
  } finally {
    for (const hammer of hammers) await hammer.end();
  }
  const all = await sameEverywhere(cluster);
  for (const hammer of hammers) {
    assert(hammer.acked > 0);
    for (const [key, value] of hammer.values) assert.equal(all.get(key), value, key);
  }
  return hammers.map(({ acked, slowestMs }) => `${acked} writes, slowest ${slowestMs.toFixed(0)} ms`).join("; ");
};

const fill = async (peer: RealPeer, count: number, prefix: string, size = 100): Promise<void> => {
  const client = await peer.connect();
  const value = "v".repeat(size);
  for (let from = 0; from < count; from += 500) {
    const outcomes = await client.pipeline(
      Array.from({ length: Math.min(500, count - from) }, (_, index) => ["SET", `${prefix}:${from + index}`, value]),
    );
    for (const outcome of outcomes) assert.equal(outcome.state, "acked", JSON.stringify(outcome));
  }
  client.close();
};

test("kill -9 and restart of one, of two, of all peers", async (t) => {
  await withCluster(t, {}, async (cluster) => {
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
  });
});

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

test("a lost data directory comes back from the others, and no client is served before", async (t) => {
  await withCluster(t, {}, async (cluster) => {
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
      for (let refusals = 0; ; refusals++) {
        const [read, write, ping] = await client.pipeline([["GET", "x:1"], ["SET", "w", String(refusals)], ["PING"]]);
        assert.deepEqual(ping, { state: "acked", reply: "PONG" });
        if (read?.state === "acked") {
          assert.equal(read.reply, "v".repeat(100), "no empty answer");
          break;
        }
        assert.match(read?.state === "failed" ? read.error : "", /^LOADING /);
        assert.match(write?.state === "failed" ? write.error : "", /^LOADING /);
        await delay(5);
      }
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
  });
});

test("two of three lose their disks: the third gives them all back; alone and empty, a peer serves nobody", async (t) => {
  await withCluster(t, {}, async (cluster) => {
    const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
    await fill(b, 1000, "k");
    await cluster.identical();
    await Promise.all(cluster.peers.map((peer) => peer.kill()));
    a.wipe();
    b.wipe();
    await a.start();
    await b.start();
    // Both are empty and c may hold data: nobody may conclude that the cluster is new.
    await until("a and b are linked", async () =>
      (await a.status())?.links.some(({ peer, state }) => peer === "b" && state !== "down" && state !== "connecting") === true,
    );
    const [read, write] = await (await a.connect()).pipeline([["GET", "k:1"], ["SET", "k:1", "x"]]);
    assert.match(read?.state === "failed" ? read.error : JSON.stringify(read), /^LOADING /);
    assert.match(write?.state === "failed" ? write.error : JSON.stringify(write), /^LOADING /);
    assert.equal((await a.status())?.ready, false);
    await c.start();
    await cluster.ready();
    assert.equal((await sameEverywhere(cluster)).size, 1000);
  });
});

test("a cluster is born without --bootstrap once all peers have met, empty", async (t) => {
  await withCluster(t, { bootstrap: false }, async (cluster) => {
    assert.equal(await (cluster.peers[0] as RealPeer).call("SET", "first", "1"), "OK");
    assert.equal((await sameEverywhere(cluster)).get("first"), "1");
  });
});

test("a peer away for longer than the log is kept comes back by state transfer", async (t) => {
  await withCluster(t, { flags: ["--log-retention", "64kb"] }, async (cluster) => {
    const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
    await fill(a, 1000, "old");
    await cluster.identical();
    await c.kill();
    const deleted = await a.connect();
    for (let index = 0; index < 500; index++) await deleted.call("DEL", `old:${index}`);
    deleted.close();
    // A segment is 16 MiB, and the log is trimmed only behind a checkpoint, by whole segments.
    await fill(a, 6000, "new", 8000);
    const restarted = async (peer: RealPeer): Promise<void> => {
      await until(
        `the log of ${peer.name} is trimmed`,
        async () => ((await peer.status())?.log.firstLsn ?? 0) > 1,
        90_000,
      );
    };
    await Promise.all([restarted(a), restarted(b)]);
    const report = await unnoticed(cluster, [a, b], async () => {
      await c.start();
      await cluster.ready();
    });
    t.diagnostic(report);
    const all = await sameEverywhere(cluster);
    assert.match(c.log(), /state transfer from [ab] installed/);
    assert(!all.has("old:0") && all.has("old:999"));
  });
});

for (const [from, to] of [
  ["a", "b"],
  ["b", "a"],
] as const) {
  test(`the link from ${from} to ${to} is cut in that direction only: writes go around it, then it heals`, async (t) => {
    await withCluster(t, { proxied: true }, async (cluster) => {
      await cluster.linked();
      const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
      const report = await unnoticed(cluster, [a, b, c], async () => {
        cluster.cut(from, to);
        const cutMs = performance.now();
        await cluster.peer(from).call("SET", "around", "1");
        await until("what one side writes reaches the other by the third", async () => (await cluster.peer(to).call("GET", "around")) === "1");
        t.diagnostic(`around the cut after ${Math.round(performance.now() - cutMs)} ms`);
        await until("both ends notice", async () => {
          const [one, other] = await cluster.statuses([cluster.peer(from), cluster.peer(to)]);
          return (
            one?.links.find(({ peer }) => peer === to)?.state !== "up" &&
            other?.links.find(({ peer }) => peer === from)?.state !== "up"
          );
        });
        await cluster.peer(to).call("SET", "back", "1");
        await until("and the other way", async () => (await cluster.peer(from).call("GET", "back")) === "1");
        cluster.heal();
        await cluster.linked();
      });
      t.diagnostic(report);
    });
  });
}
