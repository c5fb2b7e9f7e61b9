/** The data directory: who may open it, what it is when new, and what a killed process leaves. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { chmod, readFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { FileCheckpoint } from "../../server/storage/file-checkpoint.ts";
import type { FileStorage } from "../../server/storage/open.ts";
import { isEmptyDirectory, openFileStorage } from "../../server/storage/open.ts";
import { StorageFailure } from "../../server/storage/storage.ts";
import { startScript, until } from "../support/processes.ts";
import {
  appendTexts,
  bytesOf,
  closeAfter,
  peerNamed,
  replayed,
  replayedTexts,
  storageDirectory,
  textOf,
} from "./support.ts";

const notPosix = process.platform === "win32" && "no owners here";

const open = (dir: string, peerName = "b"): Promise<FileStorage> =>
  openFileStorage({ dir, peerName: peerNamed(peerName), segmentBytes: 64 * 1024 });

const failsWith = (code: StorageFailure["code"], message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof StorageFailure, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  assert.ok(!error.message.includes("\n"));
  return true;
};

suite("data directory", () => {
  test("a new one is made with its parents, for its owner alone", async (t) => {
    const dir = join(storageDirectory(t), "deep", "down", "b");
    const storage = await open(dir);
    closeAfter(t, storage);
    for (const path of [dir, join(dir, "log"), join(dir, "checkpoint")]) {
      assert.equal(statSync(path).mode & 0o777, 0o700, path);
    }
    for (const path of ["peer.json", "holder.json", "log/synced", "log/00000001.segment"]) {
      assert.equal(statSync(join(dir, path)).mode & 0o777, 0o600, path);
    }
    assert.deepEqual(readdirSync(dir).sort(), ["checkpoint", "holder.json", "log", "peer.json"]);
    assert.ok((await storage.freeBytes()) > 0);
    assert.ok(storage.syncProbeMicros > 0);
  });

  test("it is empty until a peer kept something there", async (t) => {
    const dir = storageDirectory(t);
    assert.equal(await isEmptyDirectory(join(dir, "missing")), true);
    mkdirSync(join(dir, "lost+found"));
    assert.equal(await isEmptyDirectory(dir), true);
    await (await open(dir)).close();
    assert.equal(await isEmptyDirectory(dir), false);
  });

  test("log and checkpoint come back, closing twice is fine", async (t) => {
    const dir = storageDirectory(t);
    const storage = await open(dir);
    appendTexts(storage.log, "one");
    await storage.checkpoint.write([[bytesOf("k"), bytesOf("v")]]);
    await storage.close();
    await storage.close();
    const again = await open(dir);
    closeAfter(t, again);
    assert.deepEqual(await replayedTexts(again), ["one"]);
    assert.equal(textOf((await again.checkpoint.get(bytesOf("k"))) ?? bytesOf("")), "v");
  });

  test("another peer's directory is refused, and left as it was", async (t) => {
    const dir = storageDirectory(t);
    await (await open(dir, "a")).close();
    const before = readFileSync(join(dir, "holder.json"), "utf8");
    await assert.rejects(open(dir, "b"), failsWith("WRONG_PEER", /belongs to peer a, this is peer b/));
    assert.equal(readFileSync(join(dir, "holder.json"), "utf8"), before);
    await (await open(dir, "a")).close();
  });

  test("a second opening in this process is refused, and harms neither", async (t) => {
    const dir = storageDirectory(t);
    const storage = await open(dir);
    closeAfter(t, storage);
    await assert.rejects(open(dir), failsWith("IN_USE", new RegExp(`in use by peer b, pid ${process.pid}`)));
    appendTexts(storage.log, "still mine");
    await storage.log.sync();
    assert.deepEqual(await replayedTexts(storage), ["still mine"]);
  });

  test("another process's directory is refused with its pid, and free again once it is killed", async (t) => {
    const dir = storageDirectory(t);
    const holder = startScript(t, "tests/storage/fake-appender.ts", [dir, "--hold"]);
    await until("the other process to open it", () => holder.stdout().includes("open"));
    await assert.rejects(open(dir), failsWith("IN_USE", new RegExp(`in use by peer b, pid ${holder.child.pid}`)));
    holder.child.kill("SIGKILL");
    await holder.ended;
    await (await open(dir)).close();
  });

  test("after kill -9 everything is there that was reported appended, twice in a row", async (t) => {
    const dir = storageDirectory(t);
    let reportedBefore = 0;
    for (let round = 1; round <= 2; round++) {
      const report = join(dir, `reported-${round}`);
      const appender = startScript(t, "tests/storage/fake-appender.ts", [dir, report]);
      const reported = (): number =>
        existsSync(report) ? Number(readFileSync(report, "latin1").split("\n").at(-2)) : 0;
      await until("some appends", () => reported() > reportedBefore + 1500);
      appender.child.kill("SIGKILL");
      await appender.ended;
      assert.equal(appender.stderr(), "");
      const storage = await open(dir);
      const records = await replayed(storage);
      assert.ok(records.length >= reported(), `${records.length} found, ${reported()} reported`);
      for (const [at, { lsn, bytes }] of records.entries()) {
        assert.equal(lsn, at + 1);
        assert.equal(textOf(bytes), `record ${lsn} ${"x".repeat(lsn % 500)}`);
      }
      assert.ok(storage.log.segments.length > 1);
      reportedBefore = storage.log.nextLsn - 1;
      await storage.close();
    }
  });

  test("where it cannot be written, one clear line says so", async (t) => {
    const dir = storageDirectory(t);
    const file = join(dir, "file");
    writeFileSync(file, "");
    await assert.rejects(open(file), failsWith("NOT_WRITABLE", /cannot be written \(ENOTDIR\)/));
    await assert.rejects(open(join(file, "below")), failsWith("NOT_WRITABLE", /cannot be written/));
    await assert.rejects(open("/proc/chorus/b"), failsWith("NOT_WRITABLE", /cannot be written/));
  });

  test("a read-only directory is refused in one clear line", { skip: notPosix }, async (t) => {
    const dir = storageDirectory(t);
    const closed = join(dir, "closed");
    mkdirSync(closed);
    await chmod(dir, 0o755);
    await chmod(closed, 0o555);
    // Root may write anywhere, so be nobody for a moment.
    const isRoot = process.getuid?.() === 0;
    if (isRoot) process.seteuid?.(65534);
    try {
      await assert.rejects(open(closed), failsWith("NOT_WRITABLE", /closed cannot be written \(EACCES\)/));
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
  });

  test("an unknown version of directory, checkpoint or identity is refused in clear words", async (t) => {
    const dir = storageDirectory(t);
    await (await open(dir)).close();
    const path = join(dir, "peer.json");
    const text = await readFile(path, "utf8");
    writeFileSync(path, text.replace('"version": 1', '"version": 2'));
    await assert.rejects(open(dir), failsWith("FORMAT", /format version 2; this program reads version 1/));
    writeFileSync(path, "{}");
    await assert.rejects(open(dir), failsWith("FORMAT", /not a Chorus identity file/));
    writeFileSync(path, text);
    await (await open(dir)).close();
  });

  test("a start that died before the directory was begun is begun again", async (t) => {
    const dir = storageDirectory(t);
    await (await open(dir)).close();
    rmSync(join(dir, "peer.json"));
    const storage = await open(dir);
    closeAfter(t, storage);
    appendTexts(storage.log, "one");
    assert.deepEqual(await replayedTexts(storage), ["one"]);
  });

  test("data without its identity, or an identity without its data, is refused and kept", async (t) => {
    const dir = storageDirectory(t);
    const storage = await open(dir);
    appendTexts(storage.log, "one");
    await storage.close();
    const identity = readFileSync(join(dir, "peer.json"));
    rmSync(join(dir, "peer.json"));
    await assert.rejects(open(dir), failsWith("FORMAT", /peer\.json is missing/));
    assert.ok(existsSync(join(dir, "log", "00000001.segment")));
    writeFileSync(join(dir, "peer.json"), identity);
    rmSync(join(dir, "checkpoint"), { recursive: true });
    await assert.rejects(open(dir), failsWith("CORRUPT", /checkpoint .* is missing/));
    rmSync(join(dir, "log"), { recursive: true });
    await assert.rejects(open(dir), StorageFailure);
  });

  test("a missing log is damage, whatever the checkpoint holds", async (t) => {
    const dir = storageDirectory(t);
    await (await open(dir)).close();
    rmSync(join(dir, "log"), { recursive: true });
    await assert.rejects(open(dir), failsWith("CORRUPT", /the log in .* is missing/));
  });

  test("a torn tail that was cut off is among the warnings", async (t) => {
    const dir = storageDirectory(t);
    await (await open(dir)).close();
    const path = join(dir, "log", "00000001.segment");
    const bytes = readFileSync(path);
    bytes.write("half a record", 86);
    writeFileSync(path, bytes);
    const storage = await open(dir);
    closeAfter(t, storage);
    assert.match(storage.warnings.join("\n"), /cut off a torn tail: 13 bytes from offset 86 .*\(record 1\)/);
  });
});

suite("checkpoint on disk", () => {
  test("one of another format is refused", async (t) => {
    const { ClassicLevel } = await import("classic-level");
    const dir = storageDirectory(t);
    const level = new ClassicLevel(dir);
    await level.put("k", "v");
    await level.close();
    await assert.rejects(FileCheckpoint.open(dir, { createIfMissing: true }), failsWith("FORMAT", /not written by/));
    await level.open();
    await level.put("\0format", "chorus checkpoint 9");
    await level.close();
    await assert.rejects(FileCheckpoint.open(dir, { createIfMissing: true }), failsWith("FORMAT", /checkpoint 9/));
  });

  test("an entry that decayed is refused, not handed out", async (t) => {
    const { ClassicLevel } = await import("classic-level");
    const dir = storageDirectory(t);
    const checkpoint = await FileCheckpoint.open(dir, { createIfMissing: true });
    await checkpoint.write([[bytesOf("key"), bytesOf("value")]]);
    await checkpoint.close();
    const level = new ClassicLevel<string, Buffer>(dir, { valueEncoding: "buffer" });
    const stored = await level.get("key");
    assert.ok(stored);
    stored[stored.length - 1] = 0;
    await level.put("key", stored);
    await level.close();
    const again = await FileCheckpoint.open(dir, { createIfMissing: false });
    closeAfter(t, again);
    await assert.rejects(again.get(bytesOf("key")), failsWith("CORRUPT", /key 6b6579 does not verify/));
    await assert.rejects(
      async () => {
        for await (const _ of again.entries(bytesOf(""))) assert.fail("handed out");
      },
      failsWith("CORRUPT", /does not verify/),
    );
  });
});
