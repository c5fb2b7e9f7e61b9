import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { BackupFault } from "../../server/backup/format.ts";
import { NotRestored, type RestoreOptions, restoreBackup } from "../../server/backup/restore.ts";
import { recover } from "../../server/recovery.ts";
import type { Replica } from "../../server/replica/index.ts";
import { openFileStorage } from "../../server/storage/open.ts";
import { StorageFailure } from "../../server/storage/storage.ts";
import { tempDirectory } from "../support/processes.ts";
import { backupOf, inChunks, nameOf, newReplica, startedReplica, variedBackup } from "./support.ts";

const restore = (bytes: Buffer, directory: string, options: Partial<RestoreOptions> = {}) =>
  restoreBackup({ chunks: inChunks(bytes, 100), directory, gated: true, onProgress: () => {}, ...options });

/** What a peer that starts there finds. */
const recovered = async (directory: string, name = "a"): Promise<Replica> => {
  const storage = await openFileStorage({ dir: directory, peerName: nameOf(name) });
  const replica = newReplica(name);
  const { firstStart } = await recover(storage, replica, () => {});
  assert.equal(firstStart, false);
  await storage.close();
  return replica;
};

describe("restoring a backup", () => {
  test("makes a directory that shows the state the peer had, gated unless it is the whole cluster's", async (t) => {
    const directory = join(tempDirectory(t), "made/for/it");
    const report = await restore(variedBackup(), directory);
    assert.equal(report.verified, "identical");
    assert.equal(report.name, "a");
    assert.deepEqual(readdirSync(directory).sort(), ["checkpoint", "log", "peer.json"]);
    const replica = await recovered(directory);
    assert.equal(replica.state.gated, true);
    replica.keyspace.begin(1_800_000_000_001);
    const shown = ["city", "bytes \x00\xff", "", "gone", "n", "n2", "during"].map((key) => replica.keyspace.get(key));
    assert.deepEqual(shown, [undefined, "\r\n\x80", "", undefined, String(2n ** 62n + 5n), "20", "the scan"]);
    assert.deepEqual(
      replica.conflicts(undefined).map(({ id }) => id),
      ["b.0k2v7x1abcd0f9z:3"],
    );
    const open = join(tempDirectory(t), "open");
    await restore(variedBackup(), open, { gated: false });
    assert.equal((await recovered(open)).state.gated, false);
  });

  test("for a peer of another name, from one file", async (t) => {
    const directory = join(tempDirectory(t), "b");
    assert.equal((await restore(variedBackup(), directory, { name: nameOf("b") })).name, "b");
    assert.equal((await recovered(directory, "b")).state.map.liveCount, 5);
  });

  test("the next run is above all that the backup has seen, though the clock was set back", async (t) => {
    const directory = join(tempDirectory(t), "d");
    await restore(variedBackup(), directory);
    const replica = await recovered(directory);
    const { ceiling } = replica.state.clock;
    replica.start({ nowMs: 1_600_000_000_000, elapsedMs: 1, random: "0000", bootstrap: false, firstStart: false });
    assert(replica.state.clock.last > ceiling);
    assert.equal(replica.state.lastSeq, 0);
    assert.equal(replica.state.gated, true);
  });

  test("a backup of nothing is one, and is no new disk", async (t) => {
    const directory = join(tempDirectory(t), "empty");
    assert.equal((await restore(backupOf(startedReplica()), directory)).cut.keys, 0);
    assert.equal((await recovered(directory)).state.gated, true);
  });

  test("values of 16 MiB, many shards, and frames over several log segments", async (t) => {
    const replica = startedReplica();
    const { keyspace } = replica;
    const huge = "h".repeat(16 * 1024 * 1024);
    for (let index = 0; index < 1000; index++) keyspace.set(`k${index}`, `v${index}`, 0);
    keyspace.set("huge", huge, 0);
    const bytes = backupOf(replica, (slice) => {
      if (slice === 10 || slice === 20) keyspace.set(`huge${slice}`, huge, 0);
    });
    const directory = join(tempDirectory(t), "d");
    const report = await restore(bytes, directory, { chunks: inChunks(bytes) });
    assert.equal(report.verified, "identical");
    assert(readdirSync(join(directory, "log")).filter((name) => name.endsWith(".segment")).length > 1);
    const found = await recovered(directory);
    found.keyspace.begin(1_800_000_000_001);
    assert.equal(found.keyspace.get("huge10")?.length, huge.length);
    assert.equal(found.keyspace.get("k999"), "v999");
  });

  test("a directory that holds anything is refused and left as it is", async (t) => {
    const directory = tempDirectory(t);
    writeFileSync(join(directory, "notes"), "mine");
    await assert.rejects(restore(variedBackup(), directory), (error: unknown) => {
      assert(error instanceof NotRestored);
      assert.match(error.message, /is not empty: restore into a new or empty directory$/);
      return true;
    });
    assert.deepEqual(readdirSync(directory), ["notes"]);
  });

  test("the root of a volume, with its lost+found, counts as empty", async (t) => {
    const directory = tempDirectory(t);
    mkdirSync(join(directory, "lost+found"));
    await restore(variedBackup(), directory);
    assert.equal((await recovered(directory)).state.map.liveCount, 5);
  });

  test("a damaged backup leaves nothing behind, wherever the damage is", async (t) => {
    const whole = variedBackup();
    const above = tempDirectory(t);
    const empty = join(above, "empty");
    mkdirSync(empty);
    for (let at = 0; at < whole.length; at += 97) {
      const damaged = Buffer.from(whole);
      damaged[at] = (damaged[at] as number) ^ 16;
      for (const bytes of [damaged, whole.subarray(0, at)]) {
        await assert.rejects(restore(bytes, join(above, "new")), BackupFault);
        await assert.rejects(restore(bytes, empty), BackupFault);
        assert.deepEqual(readdirSync(above), ["empty"]);
        assert.deepEqual(readdirSync(empty), []);
      }
    }
  });

  test("what a kill in the middle leaves is no disk that a peer starts on, nor one to restore into", async (t) => {
    const directory = tempDirectory(t);
    const whole = variedBackup();
    async function* stuck(): AsyncGenerator<Buffer> {
      yield whole.subarray(0, whole.length - 20);
      // As far as it got; then the process is gone.
      assert(existsSync(join(directory, "restoring/peer.json")));
      await assert.rejects(openFileStorage({ dir: directory, peerName: nameOf("a") }), (error: unknown) => {
        assert(error instanceof StorageFailure);
        assert.match(error.message, /was not finished: empty the directory and restore again$/);
        return true;
      });
      await assert.rejects(restore(whole, directory), /holds a restore that was not finished/);
    }
    await assert.rejects(restore(whole, directory, { chunks: stuck() }), /cut short/);
    assert.deepEqual(readdirSync(directory), []);
  });
});
