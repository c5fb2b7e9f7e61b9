/** The log on a disk that is full, slow, fails, or takes a write in pieces. */
import assert from "node:assert/strict";
import { suite, type TestContext, test } from "node:test";
import { FileLog } from "../../server/storage/file-log.ts";
import type { FileSystem } from "../../server/storage/file-system.ts";
import { nodeFileSystem } from "../../server/storage/file-system.ts";
import { StorageFailure } from "../../server/storage/storage.ts";
import { until } from "../support/processes.ts";
import { appendTexts, bytesOf, closeAfter, owner, replayedTexts, storageDirectory } from "./support.ts";

const errno = (code: string): Error => Object.assign(new Error(`${code}: injected`), { code });

const openWith = async (
  t: TestContext,
  faults: Partial<FileSystem>,
  segmentBytes = 16 * 1024,
): Promise<{ readonly log: FileLog; readonly directory: string }> => {
  const directory = storageDirectory(t);
  const fileSystem = { ...nodeFileSystem, ...faults };
  const log = await FileLog.open(directory, owner, { segmentBytes, fileSystem });
  closeAfter(t, log);
  return { log, directory };
};

const failed = (code: StorageFailure["code"]) => (error: unknown) => {
  assert.ok(error instanceof StorageFailure, String(error));
  assert.equal(error.code, code);
  return true;
};

const refusesEverything = async (log: FileLog, code: StorageFailure["code"]): Promise<void> => {
  assert.throws(() => appendTexts(log, "more"), failed(code));
  assert.throws(() => log.roll(bytesOf("note")), failed(code));
  assert.throws(() => log.syncBlocking(), failed(code));
  await assert.rejects(log.sync(), failed(code));
};

suite("log on a bad disk", () => {
  test("a full disk fails the append with NO_SPACE, and every call after it though there is space again", async (t) => {
    let isFull = false;
    const { log, directory } = await openWith(t, {
      writeSync(fd, bytes, offset, length, position) {
        if (isFull) throw errno("ENOSPC");
        return nodeFileSystem.writeSync(fd, bytes, offset, length, position);
      },
    });
    appendTexts(log, "kept");
    isFull = true;
    assert.throws(() => appendTexts(log, "lost"), failed("NO_SPACE"));
    isFull = false;
    await refusesEverything(log, "NO_SPACE");
    await log.close();
    const again = await FileLog.open(directory, owner);
    assert.deepEqual(await replayedTexts(again), ["kept"]);
    await again.close();
  });

  test("a disk that fills up within a record leaves a torn tail, which the next start drops", async (t) => {
    let room = Number.POSITIVE_INFINITY;
    const { log, directory } = await openWith(t, {
      writeSync(fd, bytes, offset, length, position) {
        if (room === 0) throw errno("ENOSPC");
        const count = nodeFileSystem.writeSync(fd, bytes, offset, Math.min(length, room), position);
        room -= count;
        return count;
      },
    });
    appendTexts(log, "kept");
    room = 25;
    assert.throws(() => appendTexts(log, "a", "torn"), failed("NO_SPACE"));
    await log.close();
    const again = await FileLog.open(directory, owner);
    assert.deepEqual(await replayedTexts(again), ["kept", "a"]);
    assert.equal(again.torn?.lsn, 3);
    await again.close();
  });

  test("a write taken in pieces is gone on with", async (t) => {
    let calls = 0;
    const { log } = await openWith(t, {
      writeSync(fd, bytes, offset, length, position) {
        calls += 1;
        return nodeFileSystem.writeSync(fd, bytes, offset, Math.min(length, 7), position);
      },
    });
    appendTexts(log, "one record in pieces", "and another");
    log.roll(bytesOf("a note in pieces"));
    appendTexts(log, "third");
    assert.ok(calls > 10);
    assert.deepEqual(await replayedTexts(log), ["one record in pieces", "and another", "third"]);
  });

  test("an fsync that fails once is final, though the next one would succeed", async (t) => {
    let failures = 1;
    let syncs = 0;
    const { log } = await openWith(t, {
      async datasync(fd) {
        syncs += 1;
        if (failures-- > 0) throw errno("EIO");
        await nodeFileSystem.datasync(fd);
      },
    });
    appendTexts(log, "one");
    const first = log.sync();
    appendTexts(log, "two");
    const sharesTheNext = log.sync();
    await assert.rejects(first, failed("IO"));
    await assert.rejects(sharesTheNext, failed("IO"));
    assert.equal(log.syncedLsn, 1);
    await refusesEverything(log, "IO");
    assert.equal(syncs, 1);
  });

  test("a blocking sync or a sync of the directory that fails is final too", async (t) => {
    const blocking = await openWith(t, {
      datasyncSync() {
        throw errno("EIO");
      },
    });
    appendTexts(blocking.log, "one");
    assert.throws(() => blocking.log.syncBlocking(), failed("IO"));
    await refusesEverything(blocking.log, "IO");

    let isSick = false;
    const directory = await openWith(t, {
      syncDirectory: (path) => (isSick ? Promise.reject(errno("EIO")) : nodeFileSystem.syncDirectory(path)),
    });
    directory.log.roll(bytesOf("note"));
    isSick = true;
    await assert.rejects(directory.log.sync(), failed("IO"));
    await refusesEverything(directory.log, "IO");
  });

  test("a file that cannot be begun fails the roll", async (t) => {
    let isSick = false;
    const { log } = await openWith(t, {
      openSync(path, kind) {
        if (isSick) throw errno("EMFILE");
        return nodeFileSystem.openSync(path, kind);
      },
    });
    isSick = true;
    assert.throws(() => log.roll(bytesOf("note")), failed("IO"));
    await refusesEverything(log, "IO");
  });

  test("never two syncs at once; all who ask during one share the next, which covers them", async (t) => {
    let running = 0;
    let syncs = 0;
    const gates: (() => void)[] = [];
    const { log } = await openWith(t, {
      async datasync(fd) {
        assert.equal(++running, 1);
        syncs += 1;
        await new Promise<void>((resolve) => gates.push(resolve));
        await nodeFileSystem.datasync(fd);
        running -= 1;
      },
    });
    t.after(() => gates.forEach((open) => void open()));
    appendTexts(log, "1");
    const first = log.sync();
    assert.equal(log.sync(), first);
    appendTexts(log, "2");
    const second = log.sync();
    appendTexts(log, "3");
    assert.equal(log.sync(), second);
    await until("the first sync to begin", () => gates.length === 1);
    gates[0]?.();
    await first;
    assert.equal(log.syncedLsn, 2);
    appendTexts(log, "4");
    const third = log.sync();
    await until("the second sync to begin", () => gates.length === 2);
    gates[1]?.();
    await second;
    assert.ok(log.syncedLsn >= 4);
    await until("the third sync to begin", () => gates.length === 3);
    gates[2]?.();
    await third;
    assert.equal(log.syncedLsn, 5);
    assert.equal(syncs, 3);
    const closing = log.close();
    await until("closing to sync the file `synced`", () => gates.length === 4);
    gates[3]?.();
    await closing;
  });

  test("a file is reserved ahead and used; where that fails the log goes on without", async (t) => {
    let isFull = false;
    // The first file is not a spare.
    let spares = -1;
    const { log } = await openWith(t, {
      async createZeros(path, length) {
        try {
          if (isFull) throw errno("ENOSPC");
          await nodeFileSystem.createZeros(path, length);
        } finally {
          setImmediate(() => spares++);
        }
      },
    });
    await until("the first file to be made", () => spares === 0);
    const roll = async (isReserved: boolean): Promise<void> => {
      const before = log.metrics.rollsUnprepared;
      appendTexts(log, "x".repeat(10_000));
      await until("the spare to be made or given up", () => spares === log.metrics.rolls + 1);
      appendTexts(log, "x".repeat(10_000));
      log.rollIfFull(() => bytesOf("note"));
      assert.equal(log.metrics.rollsUnprepared - before, isReserved ? 0 : 1);
    };
    await roll(true);
    isFull = true;
    await roll(false);
    isFull = false;
    await log.sync();
    assert.equal((await replayedTexts(log)).length, 4);
    assert.equal(log.metrics.rolls, 2);
  });

  test("the metrics count appends, records, bytes and syncs", async (t) => {
    const { log } = await openWith(t, {});
    const bytesBefore = log.bytes;
    appendTexts(log, "one", "two");
    appendTexts(log, "three");
    await log.sync();
    const { appends, records, appendedBytes, syncs, lastSyncMs, maxSyncMs } = log.metrics;
    assert.deepEqual([appends, records, syncs], [2, 3, 1]);
    assert.equal(appendedBytes, log.bytes - bytesBefore);
    assert.ok(lastSyncMs > 0 && maxSyncMs >= lastSyncMs);
  });
});
