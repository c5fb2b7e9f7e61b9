/** Strong keys at real peers: what a majority makes of crashes, lost disks and peers that are away. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { StatusStrong } from "../../protocol/status.ts";
import { loadInspectReport } from "../../server/cli/inspect.ts";
import { until } from "../support/processes.ts";
import { quickLinks, type RealCluster, type RealPeer, withCluster } from "../support/real-cluster.ts";
import type { Outcome } from "../support/resp-client.ts";

const strongOf = async (peer: RealPeer): Promise<StatusStrong | undefined> => (await peer.status())?.strong;

/** All of these see so many registers that answer. */
const answering = async (peers: readonly RealPeer[], count: number): Promise<void> => {
  for (const peer of peers) {
    await until(`${peer.name} reaches ${count}`, async () => (await strongOf(peer))?.answering === count);
  }
};

const standing = (peer: RealPeer, wanted: StatusStrong["standing"]): Promise<void> =>
  until(`${peer.name} is ${wanted}`, async () => (await strongOf(peer))?.standing === wanted);

const failure = async (peer: RealPeer, ...words: readonly (string | number)[]): Promise<string> =>
  peer.call(...words).then(
    (reply) => `answered ${JSON.stringify(reply)}`,
    (error: Error) => error.message,
  );

interface Writer {
  /** Increments that were acknowledged, and those of which nobody knows. */
  acked: number;
  unknown: number;
  /** Keys claimed: who holds them. */
  readonly claims: Map<string, string>;
  readonly done: Promise<void>;
}

/** Counts one register up and claims names, until the connection ends. */
const hammer = (peer: RealPeer, serials: { next: number }): Writer => {
  const writer: Omit<Writer, "done"> = { acked: 0, unknown: 0, claims: new Map() };
  const note = (outcome: Outcome, onAck: (reply: unknown) => void): void => {
    if (outcome.state === "acked") onAck(outcome.reply);
    else if (outcome.state === "unknown" || outcome.error.startsWith("UNKNOWN")) writer.unknown++;
  };
  const run = async (): Promise<void> => {
    const client = await peer.connect();
    while (client.isOpen) {
      note(await client.send("INCR", "strong:count"), () => writer.acked++);
      const name = `strong:name:${serials.next++ >> 1}`;
      const outcome = await client.send("SET", name, peer.name, "NX");
      if (outcome.state === "acked" && outcome.reply === "OK") writer.claims.set(name, peer.name);
    }
  };
  return Object.assign(writer, { done: run() });
};

const restartAll = async (cluster: RealCluster): Promise<void> => {
  await Promise.all(cluster.peers.map((peer) => peer.start()));
  await cluster.ready();
};

test("one copy of each key at all peers, whoever is killed; all killed at once, what was acknowledged is there", async (t) => {
  await withCluster(t, { peerOptions: quickLinks }, async (cluster) => {
    const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
    await answering(cluster.peers, 3);

    // One register, one order: no two increments answer the same, and a read at another peer sees what was acknowledged.
    const counted = (
      await Promise.all(Array.from({ length: 30 }, (_, at) => cluster.peers[at % 3]?.call("INCR", "strong:n")))
    )
      .map(Number)
      .sort((left, right) => left - right);
    assert.deepEqual(
      counted,
      Array.from({ length: 30 }, (_, at) => at + 1),
    );
    for (let round = 0; round < 10; round++) {
      assert.equal(await cluster.peers[round % 3]?.call("SET", "strong:v", round), "OK");
      assert.equal(await cluster.peers[(round + 1) % 3]?.call("GET", "strong:v"), String(round));
    }
    const claims = await Promise.all(cluster.peers.map((peer) => peer.call("SET", "strong:id", peer.name, "NX")));
    assert.equal(claims.filter((reply) => reply === "OK").length, 1, "one claim is granted");
    const owner = await a.call("GET", "strong:id");
    assert.equal(claims[cluster.peers.findIndex(({ name }) => name === owner)], "OK", "to whom the register names");
    assert.equal(await b.call("CAS", "strong:v", "8", "x"), 0);
    assert.equal(await b.call("CAS", "strong:v", "9", "x"), 1);

    // A lock that ends by time ends for all: once it was seen gone nobody sees it, and its next token is higher.
    await a.call("SET", "strong:lock", "a", "NX", "PX", 150);
    const token = Number(await b.call("VERSION", "strong:lock"));
    let seenGone = false;
    await until("the lock is over", async () => {
      const held = await c.call("GET", "strong:lock");
      const [leftMs, exists] = [await b.call("PTTL", "strong:lock"), await a.call("EXISTS", "strong:lock")];
      if (seenGone) assert.deepEqual([held, leftMs, exists], [null, -2, 0], "gone is gone");
      seenGone ||= held === null || leftMs === -2 || exists === 0;
      return held === null;
    });
    assert.equal(await c.call("SET", "strong:lock", "c", "NX", "PX", 60_000), "OK");
    assert((await b.call("VERSION", "strong:lock").then(Number)) > token);

    // One peer is killed: the others go on at once, without an election.
    await c.kill();
    const startedMs = performance.now();
    assert.equal(await a.call("INCR", "strong:n"), 31);
    assert.equal(await b.call("INCR", "strong:n"), 32);
    assert(performance.now() - startedMs < 1500, "no waiting for whoever is gone");
    await c.start();
    await answering(cluster.peers, 3);
    assert.equal((await strongOf(c))?.standing, "admitted", "its disk is its own");
    // It counts again: with it another may be away.
    await a.kill();
    assert.equal(await c.call("INCR", "strong:n"), 33);
    await a.start();
    await answering(cluster.peers, 3);

    // All three, with writes under way.
    const serials = { next: 0 };
    const writers = [...cluster.peers, ...cluster.peers].map((peer) => hammer(peer, serials));
    await until("writes are acknowledged", () => writers.reduce((sum, { acked }) => sum + acked, 0) >= 150);
    await Promise.all(cluster.peers.map((peer) => peer.kill()));
    await Promise.all(writers.map(({ done }) => done));
    await restartAll(cluster);
    await answering(cluster.peers, 3);
    const acked = writers.reduce((sum, writer) => sum + writer.acked, 0);
    const unknown = writers.reduce((sum, writer) => sum + writer.unknown, 0);
    const count = Number(await b.call("GET", "strong:count"));
    t.diagnostic(`${acked} acknowledged, ${unknown} unknown, ${count} counted`);
    assert(count >= acked && count <= acked + unknown, `${acked} <= ${count} <= ${acked + unknown}`);
    assert.equal(await c.call("GET", "strong:n"), "33");
    const reader = await c.connect();
    for (const { claims: held } of writers) {
      for (const [name, holder] of held) assert.equal(await reader.call("GET", name), holder, name);
    }
    reader.close();
    assert.match(
      String(await a.call("INFO", "strong")),
      /strong_standing:admitted\r\n(?:.*\r\n)*strong_answering:3\r\n/,
    );
  });
});

test("a trimmed log, a lost disk, readmission, and no majority", async (t) => {
  const options = {
    peerOptions: {
      ...quickLinks,
      segmentBytes: 16 * 1024,
      maintenance: { checkpointLogBytes: 32 * 1024, checkpointIntervalMs: 300, checkpointForPurgeMs: 300 },
    },
    flags: ["--strong-timeout", "700", "--log-retention", "64kb"],
  };
  await withCluster(t, options, async (cluster) => {
    const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
    await answering(cluster.peers, 3);
    const client = await a.connect();
    const keys = Array.from({ length: 40 }, (_, at) => `strong:k${at}`);
    await client.pipeline(keys.map((key) => ["SET", key, `${key} ${"x".repeat(2000)}`]));
    await client.call("DEL", "strong:k0");
    // Of other keys, until nothing of those writes is in the log any more.
    const trimmed = async (): Promise<boolean> =>
      (await cluster.statuses()).every((status) => status !== undefined && status.log.firstLsn > 50);
    await until("all logs are trimmed", async () => {
      await client.pipeline(Array.from({ length: 50 }, (_, at) => ["SET", `plain${at}`, "y".repeat(1000)]));
      return await trimmed();
    });
    client.close();
    await Promise.all(cluster.peers.map((peer) => peer.kill()));
    await restartAll(cluster);
    await answering(cluster.peers, 3);
    const allAt = async (peer: RealPeer): Promise<void> => {
      const reader = await peer.connect();
      const outcomes = await reader.pipeline(keys.map((key) => ["STRLEN", key]));
      reader.close();
      outcomes.forEach((outcome, at) => {
        const length = at === 0 ? 0 : 2001 + (keys[at] ?? "").length;
        assert.deepEqual(outcome, { state: "acked", reply: length }, keys[at]);
      });
    };
    await allAt(c);

    // Its disk is lost: the others go on, and its clients are served by them.
    await c.kill();
    c.wipe();
    await c.start();
    await standing(c, "lost");
    await cluster.ready();
    await answering(cluster.peers, 2);
    assert.match(
      ((await c.status())?.alarms ?? []).join(),
      /the strong keys of this disk are lost.*--readmit-registers/,
    );
    assert.match(c.log(), /the strong keys of this disk are lost.*--readmit-registers/);
    assert.equal(await a.call("SET", "strong:after", "1"), "OK");
    assert.equal(await c.call("INCR", "strong:after"), 2);
    await allAt(c);
    // Not by a mere restart.
    await c.restart();
    await standing(c, "lost");

    await c.restart("--readmit-registers");
    await standing(c, "admitted");
    await answering(cluster.peers, 3);
    assert.match(c.log(), /takes part in their majorities \(what the others hold is copied\)/);
    assert.deepEqual((await c.status())?.alarms, []);
    // It is one of two now.
    await a.kill();
    await allAt(b);
    assert.equal(await b.call("INCR", "strong:after"), 3);
    // What it has copied it has for good; the flag is no harm at a peer that takes part.
    await c.restart("--readmit-registers");
    await answering([b, c], 2);
    assert.equal(await c.call("INCR", "strong:after"), 4);

    // Two are down.
    await b.kill();
    await answering([c], 1);
    const startedMs = performance.now();
    const said = await failure(c, "INCR", "strong:after");
    assert.match(said, /^NOQUORUM this peer reaches 0 others .* a majority, 2 of 3 peers; it did not happen$/);
    assert.match(await failure(c, "GET", "strong:after"), /^NOQUORUM /);
    assert(performance.now() - startedMs < 5000, "within its timeout");
    assert.equal(await c.call("SET", "plain", "1"), "OK", "other keys go on");
    assert.match(((await c.status())?.alarms ?? []).join(), /no majority for strong keys: of 3 peers 1 /);
    await b.start();
    await answering([b, c], 2);
    assert.equal(await c.call("INCR", "strong:after"), 5, "what was refused did not happen");
  });
});

test("prefixes are for good, and the same at all peers", async (t) => {
  await withCluster(t, { count: 2, peerOptions: quickLinks, mayFail: true }, async (cluster) => {
    const [a, b] = cluster.peers as [RealPeer, RealPeer];
    await answering(cluster.peers, 2);
    // Of two peers both are the majority.
    assert.equal(await a.call("SET", "strong:k", "v"), "OK");
    await b.kill();
    const words = await b.launch("--strong-prefix", "lock:,id:");
    const report = await loadInspectReport(b.dataDirectory, { prefix: "", cellsMax: 10 });
    assert.deepEqual(report.strong.prefixes, ["strong:"]);
    assert.equal(report.strong.admitted, true);
    assert.deepEqual(
      report.strong.keys.map(({ key, state, value }) => [key, state, value]),
      [["strong:k", "live", "v"]],
    );
    assert.match(words ?? "", /^[^\n]*born with --strong-prefix strong:, which is for good; id:,lock: was given$/);
    await b.end();
    b.wipe();
    assert.equal(await b.launch("--strong-prefix", "lock:"), undefined);
    await until("the link is refused for it", async () => {
      const links = (await a.status())?.links ?? [];
      return links.some(({ peer, state, why }) => peer === "b" && state !== "up" && /prefix/.test(why));
    });
  });
});

test("a peer alone has strong keys without a word from anybody", async (t) => {
  await withCluster(t, { count: 1, bootstrap: false, flags: ["--strong-timeout", "500"] }, async (cluster) => {
    const [a] = cluster.peers as [RealPeer];
    assert.equal(await a.call("INCR", "strong:n"), 1);
    await a.restart();
    assert.equal(await a.call("INCR", "strong:n"), 2);
    await a.restart("--restored");
    assert.equal(await a.call("INCR", "strong:n"), 3, "there is nobody who could know better");
  });
});

test("new peers let each other in; one started with --restored answers for no register", async (t) => {
  await withCluster(t, { bootstrap: false, peerOptions: quickLinks }, async (cluster) => {
    const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
    await answering(cluster.peers, 3);
    assert.equal(await a.call("INCR", "strong:n"), 1);
    await c.restart("--restored");
    await standing(c, "lost");
    await cluster.ready();
    await answering([a, b], 2);
    assert.equal(await c.call("INCR", "strong:n"), 2);
    // It stays so: what it has on disk is not to be trusted later either.
    await c.restart();
    await standing(c, "lost");
    assert.equal((await strongOf(c))?.keys, 0);
  });
});
