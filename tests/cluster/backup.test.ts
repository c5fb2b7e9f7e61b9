/** Backups of real peers, under load, interrupted, and put back: into a living cluster, and in place of a whole one. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { backupRecord, decodeCut } from "../../server/backup/format.ts";
import { readAll } from "../backup/support.ts";
import { fill } from "../support/hammer.ts";
import { projectRoot, until } from "../support/processes.ts";
import {
  busyMaintenance,
  type RealCluster,
  type RealPeer,
  sameEverywhere,
  withCluster,
} from "../support/real-cluster.ts";
import { smallDisk } from "../support/small-disk.ts";

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** The compiled command line. */
const chorus = (...given: readonly string[]): Promise<Ended> & { kill(): void } => {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(CHORUS_|npm_)/.test(name)));
  const child = spawn(process.execPath, [join(projectRoot, "dist/server/main.js"), ...given], { env });
  let out = "";
  let err = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err += text;
  });
  const ended = new Promise<Ended>((resolve) => {
    child.on("close", (code) => resolve({ code, out, err }));
  });
  return Object.assign(ended, { kill: () => void child.kill("SIGKILL") });
};

const backup = async (peer: RealPeer, file: string, ...more: readonly string[]): Promise<Ended> => {
  const ended = await chorus("backup", "--peer", `127.0.0.1:${peer.httpPort}`, file, ...more);
  assert.equal(ended.code, 0, ended.err);
  return ended;
};

const restore = async (file: string, directory: string, ...more: readonly string[]): Promise<Ended> => {
  const ended = await chorus("restore", file, "--data", directory, ...more);
  assert.equal(ended.code, 0, ended.err);
  assert.match(ended.out, /\nidentical: it shows the digest that peer [a-c] had at this vector\n/);
  return ended;
};

/** Writes until told to stop: pairs that are equal at every moment, and counters. Resolves with how often. */
const writePairs = (peer: RealPeer, name: string): { stop(): Promise<number> } => {
  let stopped = false;
  const done = (async () => {
    const client = await peer.connect();
    let round = 0;
    while (!stopped) {
      round++;
      const calls = [];
      for (let pair = 0; pair < 20; pair++) {
        const value = `${name}${round}`;
        calls.push(client.call("MSET", `left:${name}:${pair}`, value, `right:${name}:${pair}`, value));
      }
      calls.push(client.call("INCR", "n"), client.call("SET", `deleted:${name}:${round}`, "x"));
      calls.push(client.call("DEL", `deleted:${name}:${round - 1}`));
      await Promise.all(calls);
    }
    client.close();
    return round;
  })();
  return {
    stop: () => {
      stopped = true;
      return done;
    },
  };
};

const expectPairs = (all: ReadonlyMap<string, string>): void => {
  let pairs = 0;
  for (const [key, value] of all) {
    if (!key.startsWith("left:")) continue;
    pairs++;
    assert.equal(all.get(key.replace("left:", "right:")), value, key);
  }
  assert(pairs >= 20, `${pairs} pairs`);
};

/** All stopped, their directories gone. */
const loseAll = async (cluster: RealCluster): Promise<void> => {
  await Promise.all(cluster.peers.map((peer) => peer.kill()));
  for (const peer of cluster.peers) peer.wipe();
};

/** Enough that writes come while the scan goes on. */
const ballast = 8000;

const fileIn = (cluster: RealCluster, name = "cut.chorus"): string => join(cluster.directory, name);

test("a backup under writes at every peer is one cut: pairs that are written together are equal in it", async (t) => {
  await withCluster(t, { peerOptions: busyMaintenance }, async (cluster) => {
    const [a, b] = cluster.peers as [RealPeer, RealPeer];
    await cluster.linked();
    await fill(a, ballast, "ballast");
    const writing = cluster.peers.map((peer) => writePairs(peer, peer.name));
    const client = await a.connect();
    await until("pairs are written", async () => (await client.call("EXISTS", "left:c:19")) === 1);
    client.close();
    const files = [1, 2].map((number) => fileIn(cluster, `${number}.chorus`));
    await Promise.all([backup(a, files[0] as string), backup(b, files[1] as string)]);
    const rounds = await Promise.all(writing.map((each) => each.stop()));
    t.diagnostic(`${rounds.join(", ")} rounds`);
    await cluster.identical();
    const before = await a.call("GET", "n");
    await loseAll(cluster);
    const [file = "", other = ""] = files;
    const records = readAll(readFileSync(file));
    assert(
      records.some(({ type }) => type === backupRecord.frames),
      "writes came during the scan",
    );
    // Each peer from the same file: nothing needs to be fetched, and nobody waits.
    await Promise.all(
      cluster.peers.map((peer) => restore(file, peer.dataDirectory, "--name", peer.name, "--whole-cluster")),
    );
    await Promise.all(cluster.peers.map((peer) => peer.start()));
    await cluster.ready();
    const all = await sameEverywhere(cluster);
    expectPairs(all);
    assert.equal([...all.keys()].filter((key) => key.startsWith("ballast")).length, ballast);
    assert(Number(all.get("n")) > 0 && Number(all.get("n")) <= Number(before), `n is ${all.get("n")}`);
    const { vv } = decodeCut(records.at(-2)?.bytes as Buffer);
    const [status] = await cluster.statuses();
    for (const [origin, seq] of vv) assert.equal(status?.versionVector[origin], seq, origin);
    // The other peer's, taken at the same time.
    await restore(other, join(cluster.directory, "other"));
  });
});

test("a whole cluster from one restored peer: the others begin empty and fetch it; then it goes on as ever", async (t) => {
  await withCluster(t, {}, async (cluster) => {
    const [a, b] = cluster.peers as [RealPeer, RealPeer, RealPeer];
    await cluster.linked();
    await fill(b, 3000, "k");
    await a.call("SET", "soon", "gone", "PX", 3_600_000);
    await a.call("INCRBY", "n", 7);
    await cluster.identical();
    await backup(b, fileIn(cluster));
    await b.call("SET", "later", "lost");
    await loseAll(cluster);
    const { out } = await restore(fileIn(cluster), a.dataDirectory, "--name", "a", "--whole-cluster");
    assert.match(out, /for peer a: it opens at once/);
    await Promise.all(cluster.peers.map((peer) => peer.start()));
    await cluster.ready();
    const all = await sameEverywhere(cluster);
    assert.equal(all.size, 3002);
    assert.equal(all.get("n"), "7");
    assert(Number(await b.call("PTTL", "soon")) > 3_000_000);
    await Promise.all(cluster.peers.map((peer) => peer.call("INCR", "n")));
    assert.equal((await sameEverywhere(cluster)).get("n"), "10");
  });
});

test("a restored peer among living ones brings back nothing that was deleted, and loses nothing of either side", async (t) => {
  await withCluster(t, { peerOptions: busyMaintenance }, async (cluster) => {
    const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
    await cluster.linked();
    await fill(a, 2000, "k");
    await a.call("SET", "kept", "old");
    await a.call("INCRBY", "n", 5);
    await until("a strong key is written", () =>
      a.call("SET", "strong:k", "1").then(
        () => true,
        () => false,
      ),
    );
    await cluster.identical();
    const file = fileIn(cluster);
    await backup(c, file);
    await c.kill();
    c.wipe();
    // A peer that is away holds purging back: so an empty c comes, and goes again.
    await c.start();
    await cluster.ready();
    await cluster.identical();
    const client = await a.connect();
    for (let index = 0; index < 1000; index++) void client.send("DEL", `k:${index}`);
    await client.call("SET", "kept", "new");
    await client.call("INCR", "n");
    client.close();
    await cluster.identical();
    await until("the deletes are purged everywhere", async () =>
      (await cluster.statuses()).every((status) => status?.tombstones.count === 0),
    );
    await c.kill();
    c.wipe();
    const { out } = await restore(file, c.dataDirectory);
    assert.match(out, /for peer c: it takes clients once it has caught up/);
    const inspected = await chorus("inspect", c.dataDirectory, "--json", "--count", "1");
    const report = JSON.parse(inspected.out) as { keys: { live: number }; gated: boolean };
    assert.equal(report.keys.live, 2002);
    assert.equal(report.gated, true);
    await c.start();
    await cluster.ready();
    // Strong keys are in no backup: here its disk counts as lost, and the others answer its clients.
    await until("c knows that it is lost", async () => (await c.status())?.strong.standing === "lost");
    assert.equal(await c.call("GETDEL", "strong:k"), "1");
    const all = await sameEverywhere(cluster);
    assert.equal(all.size, 1002);
    assert.equal(all.get("k:500"), undefined);
    assert.equal(all.get("kept"), "new");
    assert.equal(all.get("n"), "6");
    assert.equal(await b.call("GET", "k:1500"), "v".repeat(100));
  });
});

test("what only the backup has is handed to the others", async (t) => {
  await withCluster(t, { proxied: true }, async (cluster) => {
    const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
    await cluster.linked();
    await fill(a, 500, "k");
    await cluster.identical();
    cluster.cut("c", "a");
    cluster.cut("c", "b");
    await c.call("SET", "only", "here");
    await backup(c, fileIn(cluster));
    await c.kill();
    c.wipe();
    cluster.heal();
    await restore(fileIn(cluster), c.dataDirectory);
    await c.start();
    await cluster.ready();
    assert.equal((await sameEverywhere(cluster)).get("only"), "here");
    assert.equal(await b.call("GET", "only"), "here");
  });
});

test("a backup that does not come to its end, of a peer with 30,000 keys", async (t) => {
  await withCluster(t, { count: 1, flags: ["--bootstrap"] }, async (cluster) => {
    const [a] = cluster.peers as [RealPeer];
    await fill(a, 30_000, "k", 400);

    await t.test(
      "a reader that stops reading costs the peer little memory, and others no time; when it is gone the backup ends",
      async () => {
        const rss = async (): Promise<number> => (await a.status())?.memory.rssBytes ?? 0;
        const before = await rss();
        const outgoing = get({ host: "127.0.0.1", port: a.httpPort, path: "/backup" }, (answer) => {
          answer.pause();
        });
        outgoing.on("error", () => {});
        await until("it has begun", () => /backup begins/.test(a.log()));
        const client = await a.connect();
        let slowestMs = 0;
        for (let round = 0; round < 100; round++) {
          const startedMs = performance.now();
          await client.call("SET", `during:${round}`, "x".repeat(10_000));
          slowestMs = Math.max(slowestMs, performance.now() - startedMs);
        }
        client.close();
        const grown = (await rss()) - before;
        assert(grown < 40 * 1024 * 1024, `${Math.round(grown / 1024 / 1024)} MiB more`);
        assert(slowestMs < 1000, `a write took ${Math.round(slowestMs)} ms`);
        outgoing.destroy();
        await until("it is given up", () => /backup given up: its reader is gone/.test(a.log()));
        await backup(a, fileIn(cluster));
      },
    );

    await t.test("kill -9 of the peer in the middle: exit code 1, no file, and what came is refused", async () => {
      const directory = join(cluster.directory, "files");
      mkdirSync(directory);
      const file = join(directory, "cut.chorus");
      const running = chorus("backup", "--peer", `127.0.0.1:${a.httpPort}`, file);
      const parts = (): string[] => readdirSync(directory).filter((name) => name.includes(".part-"));
      await until("it is under way", () => parts().some((name) => statSync(join(directory, name)).size > 1024 * 1024));
      const partial = readFileSync(join(directory, parts()[0] as string));
      await a.kill();
      const { code, err } = await running;
      assert.equal(code, 1);
      assert.match(err, /^chorus: peer 127\.0\.0\.1:\d+ broke off after [\d.]+ .iB\n$/m);
      assert.deepEqual(readdirSync(directory), []);
      const part = fileIn(cluster, "partial");
      writeFileSync(part, partial);
      const refused = await chorus("restore", part, "--data", join(cluster.directory, "new"));
      assert.equal(refused.code, 1);
      assert.match(refused.err, /^chorus: .*partial: cut short: it ends at byte \d+, in the middle\n$/);
      assert.equal(existsSync(join(cluster.directory, "new")), false);
      await a.start();
      await backup(a, file);
    });
  });
});

test("an existing file, a password, a directory in use: each is told in one line", async (t) => {
  await withCluster(t, { count: 1, start: false }, async (cluster) => {
    const [a] = cluster.peers as [RealPeer];
    const password = join(cluster.directory, "password");
    writeFileSync(password, "correct horse\n", { mode: 0o600 });
    await a.start("--password-file", password);
    const file = fileIn(cluster);
    const peer = ["--peer", `127.0.0.1:${a.httpPort}`];
    const refused = await chorus("backup", ...peer, file);
    assert.equal(refused.code, 1);
    assert.match(refused.err, /^chorus: peer 127\.0\.0\.1:\d+: the password of the clients is needed: .*\n$/);
    assert.equal(existsSync(file), false);
    await backup(a, file, "--password-file", password);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const again = await chorus("backup", ...peer, file, "--password-file", password);
    assert.deepEqual([again.code, again.err], [1, `chorus: ${file} exists; --force replaces it\n`]);
    await backup(a, file, "--password-file", password, "--force");
    const inUse = await chorus("restore", file, "--data", a.dataDirectory);
    assert.deepEqual(
      [inUse.code, inUse.err],
      [1, `chorus: ${a.dataDirectory} is not empty: restore into a new or empty directory\n`],
    );
    const nobody = await chorus("backup", "--peer", "127.0.0.1:1", fileIn(cluster, "none"));
    assert.deepEqual([nobody.code, nobody.err], [1, "chorus: peer 127.0.0.1:1: nobody listens there\n"]);
    const checked = await chorus("restore", "--check", file);
    assert.equal(checked.code, 0);
    assert.match(checked.out, /\nwhole and undamaged\n$/);
    rmSync(file);
    const gone = await chorus("restore", "--check", file);
    assert.deepEqual([gone.code, gone.err], [1, `chorus: ${file}: no such file\n`]);
  });
});

test("a full disk: neither the backup nor the restore leaves anything, and each says so", async (t) => {
  await withCluster(t, { count: 1 }, async (cluster) => {
    const [a] = cluster.peers as [RealPeer];
    await fill(a, 5000, "k", 2000);
    const disk = join(cluster.directory, "disk");
    const why = smallDisk(disk, 4);
    if (why !== undefined) return t.skip(why);
    cluster.atEnd(() => spawnSync("umount", ["-l", disk]));
    const file = join(disk, "cut.chorus");
    const full = await chorus("backup", "--peer", `127.0.0.1:${a.httpPort}`, file);
    assert.deepEqual([full.code, full.err], [1, `chorus: ${file} cannot be written: the disk is full (ENOSPC)\n`]);
    assert.deepEqual(readdirSync(disk), []);
    await backup(a, fileIn(cluster));
    const target = join(disk, "a");
    const refused = await chorus("restore", fileIn(cluster), "--data", target);
    assert.equal(refused.code, 1);
    assert.match(refused.err, /^chorus: .*the disk is full.*\n$/);
    assert.deepEqual(readdirSync(disk), []);
  });
});
