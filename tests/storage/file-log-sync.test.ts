import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parsePeerName } from "../../protocol/words.ts";
import { FileLog } from "../../server/storage/file-log.ts";
import { type FileSystem, nodeFileSystem } from "../../server/storage/file-system.ts";
import { bytesOf } from "./support.ts";

test("a blocking sync leaves the file open that a running sync has yet to come to, though it was rolled", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "chorus-test-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const open = new Set<number>();
  let reachedDirectory: () => void = () => {};
  const reached = new Promise<void>((resolve) => {
    reachedDirectory = resolve;
  });
  let goOn: () => void = () => {};
  const held = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  let holds = false;
  const fileSystem: FileSystem = Object.assign(Object.create(nodeFileSystem) as FileSystem, {
    openSync: (...given: Parameters<FileSystem["openSync"]>) => {
      const fd = nodeFileSystem.openSync(...given);
      open.add(fd);
      return fd;
    },
    closeSync: (fd: number) => {
      open.delete(fd);
      nodeFileSystem.closeSync(fd);
    },
    datasync: async (fd: number) => {
      assert(open.has(fd), "a file is synced only while it is open");
      await nodeFileSystem.datasync(fd);
    },
    syncDirectory: async (path: string) => {
      if (holds) {
        reachedDirectory();
        await held;
      }
      await nodeFileSystem.syncDirectory(path);
    },
  });
  const peerName = parsePeerName("a");
  assert(peerName !== undefined);
  const log = await FileLog.open(directory, { peerName, storageId: 7n }, { fileSystem });
  const append = (text: string): void => log.append([{ type: 1, bytes: bytesOf(text) }]);
  append("one");
  holds = true;
  const running = log.sync();
  await reached;
  log.roll(bytesOf(""));
  append("two");
  log.syncBlocking();
  assert.equal(log.syncedLsn, 3);
  const before = open.size;
  goOn();
  await running;
  append("three");
  await log.sync();
  assert.equal(log.syncedLsn, 4);
  assert.equal(open.size, before - 1, "and a later sync closes it");
  await log.close();
  assert.equal(open.size, 0);
});
