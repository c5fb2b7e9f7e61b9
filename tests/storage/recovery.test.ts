/** What the file log makes of the files a crash, a power failure or a bad disk leaves behind. */
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, type TestContext, test } from "node:test";
import { FileLog } from "../../server/storage/file-log.ts";
import type { FileSystem } from "../../server/storage/file-system.ts";
import { nodeFileSystem } from "../../server/storage/file-system.ts";
import { encodeRecord, recordOverheadBytes } from "../../server/storage/log-format.ts";
import { segmentFileName } from "../../server/storage/log-segment.ts";
import { StorageFailure } from "../../server/storage/storage.ts";
import { appendTexts, bytesOf, closeAfter, owner, replayedTexts, storageDirectory, textOf } from "./support.ts";

const segmentBytes = 16 * 1024;
const firstFile = segmentFileName(1);

const open = (directory: string): Promise<FileLog> => FileLog.open(directory, owner, { segmentBytes });

/** The files as they are now in the kernel's hands: what a killed process leaves. */
const copyOf = (t: TestContext, directory: string): string => {
  const copy = mkdtempSync(join(storageDirectory(t), "copy-"));
  for (const name of readdirSync(directory)) copyFileSync(join(directory, name), join(copy, name));
  return copy;
};

const edit = (directory: string, file: string, change: (bytes: Buffer) => Buffer | void): void => {
  const path = join(directory, file);
  const bytes = readFileSync(path);
  writeFileSync(path, change(bytes) ?? bytes);
};

const flip = (directory: string, file: string, offset: number): void =>
  edit(directory, file, (bytes) => {
    bytes[offset] = (bytes[offset] ?? 0) ^ 0x40;
  });

/** As the power failed before it reached the disk, so nothing says how far the log was synced but the log itself. */
const forgetSynced = (directory: string): void => unlinkSync(join(directory, "synced"));

const failsWith = (code: StorageFailure["code"], message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof StorageFailure, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  return true;
};

/** Opens, expects these texts, and that the log is sound: it takes another record and keeps it. */
const holds = async (directory: string, ...texts: string[]): Promise<void> => {
  let log = await open(directory);
  assert.deepEqual(await replayedTexts(log), texts);
  assert.equal(log.syncedLsn, log.nextLsn);
  appendTexts(log, "afterwards");
  await log.close();
  log = await open(directory);
  assert.deepEqual(await replayedTexts(log), [...texts, "afterwards"]);
  assert.equal(log.torn, undefined);
  await log.close();
};

const refuses = (directory: string, message = /damaged at offset/): Promise<void> =>
  assert.rejects(open(directory), failsWith("CORRUPT", message));

interface Sample {
  /** A copy to spoil. */
  readonly copy: () => string;
  /** Offsets in the file: record i (from 0) is from `offsets[i]` to `offsets[i + 1]`. */
  readonly offsets: readonly number[];
}

/** One segment: `synced` texts that were synced, then `unsynced` ones, each appended alone. */
const sampleOf = async (
  t: TestContext,
  texts: { readonly synced: readonly string[]; readonly unsynced: readonly string[] },
): Promise<Sample> => {
  const directory = storageDirectory(t);
  const log = await open(directory);
  closeAfter(t, log);
  const offsets = [log.bytes];
  for (const text of texts.synced) {
    appendTexts(log, text);
    offsets.push(log.bytes);
  }
  await log.sync();
  for (const text of texts.unsynced) {
    appendTexts(log, text);
    offsets.push(log.bytes);
  }
  return { copy: () => copyOf(t, directory), offsets };
};

suite("log recovery: the tail", () => {
  test("a killed process loses nothing it appended", async (t) => {
    const { copy } = await sampleOf(t, { synced: ["a", "b"], unsynced: ["c", "d"] });
    await holds(copy(), "a", "b", "c", "d");
  });

  test("a torn last record is dropped wherever it was torn", async (t) => {
    const { copy, offsets } = await sampleOf(t, { synced: ["a", "b"], unsynced: ["the last"] });
    const [, , begin = 0, end = 0] = offsets;
    assert.ok(end > begin);
    for (let cut = begin; cut < end; cut++) {
      const shortened = copy();
      edit(shortened, firstFile, (bytes) => bytes.subarray(0, cut));
      await holds(shortened, "a", "b");
      const zeroed = copy();
      edit(zeroed, firstFile, (bytes) => void bytes.fill(0, cut));
      // The last byte of the CRC may happen to be zero: then nothing is torn.
      const isWhole = readFileSync(join(copy(), firstFile))
        .subarray(cut, end)
        .every((byte) => byte === 0);
      await holds(zeroed, "a", "b", ...(isWhole ? ["the last"] : []));
    }
  });

  test("what was cut off is reported with file, offset and record", async (t) => {
    const { copy, offsets } = await sampleOf(t, { synced: ["a"], unsynced: ["bcdefgh"] });
    const directory = copy();
    edit(directory, firstFile, (bytes) => bytes.subarray(0, (offsets[2] ?? 0) - 1));
    const log = await open(directory);
    const bytes = (offsets[2] ?? 0) - 1 - (offsets[1] ?? 0);
    assert.deepEqual(log.torn, { path: join(directory, firstFile), offset: offsets[1], lsn: 2, bytes });
    await log.close();
  });

  test("a bit flipped in the last, unsynced record drops that record", async (t) => {
    const { copy, offsets } = await sampleOf(t, { synced: ["a"], unsynced: ["b", "the last"] });
    for (let at = offsets[2] ?? 0; at < (offsets[3] ?? 0); at++) {
      const directory = copy();
      flip(directory, firstFile, at);
      await holds(directory, "a", "b");
    }
  });

  test("a bit flipped in any synced record is damage: refused with file, offset and remedy", async (t) => {
    const { copy, offsets } = await sampleOf(t, { synced: ["a", "b"], unsynced: ["c"] });
    for (let at = offsets[0] ?? 0; at < (offsets[2] ?? 0); at++) {
      for (const spoil of [forgetSynced, () => undefined]) {
        const directory = copy();
        spoil(directory);
        flip(directory, firstFile, at);
        const offset = at < (offsets[1] ?? 0) ? offsets[0] : offsets[1];
        await refuses(directory, new RegExp(`${firstFile} is damaged at offset ${offset}: .*Check the disk`));
      }
    }
  });

  test("damage to the last record of a closed log is told from a torn tail", async (t) => {
    const directory = storageDirectory(t);
    const log = await open(directory);
    appendTexts(log, "a", "b");
    const end = log.bytes;
    await log.close();
    const flipped = copyOf(t, directory);
    flip(flipped, firstFile, end - 1);
    await refuses(flipped);
    const cut = copyOf(t, directory);
    edit(cut, firstFile, (bytes) => bytes.subarray(0, end - 30));
    await refuses(cut, /all below 3 was/);
    const zeroed = copyOf(t, directory);
    edit(zeroed, firstFile, (bytes) => void bytes.fill(0, end - 20));
    await refuses(zeroed, /cut short: it ends before record 2, but all below 3 was on disk/);
  });

  test("a sector never written in the unsynced part is a tail written back out of order: cut there", async (t) => {
    const texts = ["1", "2", "3"].map((text) => text.repeat(2000));
    const { copy, offsets } = await sampleOf(t, { synced: ["a"], unsynced: texts });
    const directory = copy();
    forgetSynced(directory);
    const sector = Math.ceil((offsets[2] ?? 0) / 512) * 512;
    edit(directory, firstFile, (bytes) => void bytes.fill(0, sector, sector + 512));
    await holds(directory, "a", texts[0] ?? "");
  });

  test("the same with the record's very beginning unwritten, so that the log seems to end there", async (t) => {
    const texts = ["1", "2", "3"].map((text) => text.repeat(2000));
    const { copy, offsets } = await sampleOf(t, { synced: ["a"], unsynced: texts });
    const directory = copy();
    edit(directory, firstFile, (bytes) => void bytes.fill(0, offsets[2], Math.ceil((offsets[2] ?? 0) / 512) * 512));
    await holds(directory, "a", texts[0] ?? "");
  });

  test("a bit flipped there is damage, as whole records follow", async (t) => {
    const texts = ["1", "2", "3"].map((text) => text.repeat(2000));
    const { copy, offsets } = await sampleOf(t, { synced: ["a"], unsynced: texts });
    const directory = copy();
    flip(directory, firstFile, (offsets[2] ?? 0) + 1000);
    await refuses(directory, /whole records follow/);
  });

  test("a zeroed sector in the synced part is damage", async (t) => {
    const texts = ["1", "2", "3"].map((text) => text.repeat(2000));
    const { copy, offsets } = await sampleOf(t, { synced: texts, unsynced: ["last"] });
    for (const spoil of [forgetSynced, () => undefined]) {
      const directory = copy();
      spoil(directory);
      const sector = Math.ceil((offsets[1] ?? 0) / 512) * 512;
      edit(directory, firstFile, (bytes) => void bytes.fill(0, sector, sector + 512));
      await refuses(directory, /this is no torn write/);
    }
  });

  test("a value that looks like a record does not turn a torn tail into damage", async (t) => {
    // All that a client can know is in it: a seed of its own, the next LSN, a checksum over that. But not the salt.
    const forged = Buffer.alloc(4 + recordOverheadBytes + 1);
    encodeRecord(forged, 4, 1, bytesOf("x"), { lsn: 2, syncedLsn: 2, chain: 0, salt: 0 });
    const { copy, offsets } = await sampleOf(t, { synced: ["a"], unsynced: [textOf(forged)] });
    const directory = copy();
    edit(directory, firstFile, (whole) => whole.subarray(0, (offsets[2] ?? 0) - 1));
    await holds(directory, "a");
  });

  test("garbage behind the log's end is cut off, zeros are its clean end", async (t) => {
    const { copy, offsets } = await sampleOf(t, { synced: ["a"], unsynced: [] });
    const directory = copy();
    edit(directory, firstFile, (bytes) => void bytes.fill("garbage", (offsets[1] ?? 0) + 100, 4000));
    await holds(directory, "a");
  });

  test("the unsynced tail is written anew, for a failed fsync may have left it in memory alone", async (t) => {
    const { copy, offsets } = await sampleOf(t, { synced: ["a"], unsynced: ["x".repeat(40_000), "c"] });
    const directory = copy();
    const written: [number, number][] = [];
    const fileSystem: FileSystem = {
      ...nodeFileSystem,
      overwrite(path, position, bytes) {
        written.push([position, position + bytes.length]);
        return nodeFileSystem.overwrite(path, position, bytes);
      },
    };
    const log = await FileLog.open(directory, owner, { segmentBytes, fileSystem });
    closeAfter(t, log);
    const [[from, to] = [0, 0]] = written;
    assert.ok(from <= (offsets[1] ?? 0), `from ${from}`);
    assert.equal(to, offsets[3]);
    await log.close();
    written.length = 0;
    await (await FileLog.open(directory, owner, { segmentBytes, fileSystem })).close();
    assert.deepEqual(written, []);
  });

  test("a log killed again and again, its tail torn each time, goes on from what was whole", async (t) => {
    let directory = storageDirectory(t);
    const expected: string[] = [];
    for (let round = 0; round < 8; round++) {
      const log = await open(directory);
      assert.deepEqual(await replayedTexts(log), expected);
      appendTexts(log, `kept ${round}`);
      await log.sync();
      const bytesKept = log.bytes;
      appendTexts(log, `lost ${round}`);
      expected.push(`kept ${round}`);
      const next = copyOf(t, directory);
      edit(next, firstFile, (bytes) => bytes.subarray(0, bytesKept + 1 + round));
      await log.close();
      directory = next;
    }
  });
});

suite("log recovery: several files", () => {
  /** Three segments of two records; synced after `syncedRecords`. */
  const threeFiles = async (t: TestContext, syncedRecords: number): Promise<string> => {
    const directory = storageDirectory(t);
    const log = await open(directory);
    closeAfter(t, log);
    if (syncedRecords === 0) await log.sync();
    for (let i = 1; i <= 6; i++) {
      appendTexts(log, `record ${i}`);
      if (i === syncedRecords) await log.sync();
      if (i === 2 || i === 4) log.roll(bytesOf(`note ${i}`));
    }
    return copyOf(t, directory);
  };
  const allSix = [1, 2, 3, 4, 5, 6].map((i) => `record ${i}`);

  test("killed right after rolling, with a reserved file or a plain one, nothing is lost", async (t) => {
    await holds(await threeFiles(t, 3), ...allSix);
    await holds(await threeFiles(t, 0), ...allSix);
  });

  test("a file that never got its header is part of the torn tail", async (t) => {
    for (const spoiled of [
      (bytes: Buffer) => bytes.fill(0),
      (bytes: Buffer) => bytes.subarray(0, 0),
      (bytes: Buffer) => bytes.subarray(0, 40),
    ]) {
      const directory = await threeFiles(t, 3);
      forgetSynced(directory);
      edit(directory, segmentFileName(3), spoiled);
      await holds(directory, "record 1", "record 2", "record 3", "record 4");
      assert.ok(!readdirSync(directory).includes(segmentFileName(3)));
    }
  });

  test("the same is damage once a record in it was synced", async (t) => {
    const directory = await threeFiles(t, 6);
    edit(directory, segmentFileName(3), (bytes) => bytes.fill(0));
    await refuses(directory, /record 5 was on disk/);
  });

  test("the unsynced end of a file may be missing though the next one was written: cut there", async (t) => {
    const directory = await threeFiles(t, 2);
    forgetSynced(directory);
    const { size } = statSync(join(directory, segmentFileName(2)));
    edit(directory, segmentFileName(2), (bytes) => bytes.subarray(0, size - 10));
    await holds(directory, "record 1", "record 2", "record 3");
    assert.ok(!readdirSync(directory).includes(segmentFileName(3)));
  });

  test("the same in reserved space that was never written", async (t) => {
    const directory = await threeFiles(t, 0);
    edit(directory, firstFile, (bytes) => bytes.fill(0, 86));
    await holds(directory);
  });

  test("damage in a file that was synced is refused, in an old one when it is read", async (t) => {
    const directory = await threeFiles(t, 6);
    flip(directory, segmentFileName(2), statSync(join(directory, segmentFileName(2))).size - 3);
    const log = await open(directory);
    await assert.rejects(replayedTexts(log), failsWith("CORRUPT", /damaged at offset \d+/));
    assert.deepEqual(await replayedTexts(log, 5), ["record 5", "record 6"]);
    await log.close();
    const cut = await threeFiles(t, 6);
    edit(cut, segmentFileName(2), (bytes) => bytes.subarray(0, bytes.length - 1));
    await refuses(cut, /the file ends here/);
  });

  test("a missing file between others is damage, named", async (t) => {
    const directory = await threeFiles(t, 1);
    unlinkSync(join(directory, segmentFileName(2)));
    await refuses(directory, /00000002\.segment is missing/);
  });

  test("a missing last file is damage if any of it was synced", async (t) => {
    const directory = await threeFiles(t, 5);
    unlinkSync(join(directory, segmentFileName(3)));
    await refuses(directory, /cut short: it ends before record 5/);
  });

  test("all files missing is damage", async (t) => {
    const directory = await threeFiles(t, 5);
    for (const number of [1, 2, 3]) unlinkSync(join(directory, segmentFileName(number)));
    await refuses(directory, /cut short/);
  });

  test("an unknown version is refused in clear words, in any file", async (t) => {
    for (const number of [1, 2, 3]) {
      const directory = await threeFiles(t, 6);
      edit(directory, segmentFileName(number), (bytes) => void bytes.writeUInt16LE(9, 8));
      const message = /has format version 9; this program reads version 1/;
      await assert.rejects(open(directory), failsWith("FORMAT", message));
    }
  });

  test("a file of another directory or peer is refused", async (t) => {
    const directory = await threeFiles(t, 6);
    const other = FileLog.open(directory, { ...owner, storageId: 1n }, { segmentBytes });
    await assert.rejects(other, failsWith("WRONG_PEER", /does not belong here/));
    const renamed = FileLog.open(directory, { ...owner, peerName: "c" }, { segmentBytes });
    await assert.rejects(renamed, failsWith("WRONG_PEER", /written by peer b/));
  });

  test("after trimming, a crash at any point leaves a log that opens", async (t) => {
    const directory = storageDirectory(t);
    const log = await open(directory);
    closeAfter(t, log);
    for (let i = 1; i <= 6; i++) {
      appendTexts(log, `record ${i}`);
      log.roll(bytesOf(`note ${i}`));
    }
    await log.trim(100);
    assert.deepEqual(
      readdirSync(directory).filter((name) => name.endsWith(".segment")),
      [segmentFileName(7)],
    );
    // Not even `synced` need have reached the disk: that the older files are gone says enough.
    const copy = copyOf(t, directory);
    forgetSynced(copy);
    const again = await open(copy);
    assert.equal(again.firstLsn, 7);
    assert.equal(again.nextLsn, 7);
    assert.equal(textOf(again.segments[0]?.note ?? bytesOf("")), "note 6");
    await again.close();
  });

  test("a leftover spare is thrown away", async (t) => {
    const directory = await threeFiles(t, 6);
    writeFileSync(join(directory, "spare"), "half a spare");
    await holds(directory, ...allSix);
    assert.ok(!readdirSync(directory).includes("spare"));
  });
});
