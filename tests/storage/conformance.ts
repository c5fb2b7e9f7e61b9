/** What every storage does. Both versions run this; neither has a test of its own for what is written here. */
import assert from "node:assert/strict";
import { suite, type TestContext, test } from "node:test";
import type { CheckpointEntry, Storage } from "../../server/storage/storage.ts";
import { LogTrimmed } from "../../server/storage/storage.ts";
import { appendTexts, bytesOf, closeAfter, replayed, replayedTexts, textOf } from "./support.ts";

export interface StorageUnderTest {
  /** The first call begins it; after `close`, the next opens what was kept. */
  open(): Promise<Storage>;
}

/** `segmentBytes` is 4096 in all tests. */
export const segmentBytes = 4096;

export const storageConformance = (name: string, begin: (t: TestContext) => StorageUnderTest): void => {
  const opened = async (t: TestContext): Promise<{ storage: Storage; under: StorageUnderTest }> => {
    const under = begin(t);
    const storage = await under.open();
    closeAfter(t, storage);
    return { storage, under };
  };
  const reopened = async (t: TestContext, storage: Storage, under: StorageUnderTest): Promise<Storage> => {
    await storage.close();
    const again = await under.open();
    closeAfter(t, again);
    return again;
  };
  const allEntries = async (storage: Storage, prefix: string): Promise<string[]> => {
    const found: string[] = [];
    for await (const batch of storage.checkpoint.entries(bytesOf(prefix))) {
      for (const [key, value] of batch) found.push(`${textOf(key)}=${textOf(value)}`);
    }
    return found;
  };
  const entriesOf = (values: Record<string, string | undefined>): CheckpointEntry[] =>
    Object.entries(values).map(([key, value]) => [bytesOf(key), value === undefined ? undefined : bytesOf(value)]);

  suite(`${name}: log`, () => {
    test("a new log is empty, begins at 1 and has one segment with an empty note", async (t) => {
      const { storage } = await opened(t);
      const { log } = storage;
      assert.equal(log.firstLsn, 1);
      assert.equal(log.nextLsn, 1);
      assert.equal(log.syncedLsn, 1);
      assert.deepEqual(
        log.segments.map(({ firstLsn, note }) => [firstLsn, note.length]),
        [[1, 0]],
      );
      assert.deepEqual(await log.read(1, 1000), []);
      assert.deepEqual(await replayed(storage), []);
    });

    test("records are read back in order with their types, bytes and LSNs", async (t) => {
      const { storage } = await opened(t);
      storage.log.append([
        { type: 1, bytes: bytesOf("one") },
        { type: 255, bytes: new Uint8Array(0) },
      ]);
      storage.log.append([{ type: 7, bytes: bytesOf("\0\xff three") }]);
      assert.equal(storage.log.nextLsn, 4);
      const read = await storage.log.read(1, 1_000_000);
      assert.deepEqual(
        read.map(({ lsn, type, bytes }) => [lsn, type, textOf(bytes)]),
        [
          [1, 1, "one"],
          [2, 255, ""],
          [3, 7, "\0\xff three"],
        ],
      );
    });

    test("appending nothing changes nothing", async (t) => {
      const { storage } = await opened(t);
      storage.log.append([]);
      assert.equal(storage.log.nextLsn, 1);
    });

    test("the caller may reuse the bytes after append", async (t) => {
      const { storage } = await opened(t);
      const bytes = Buffer.from("before");
      storage.log.append([{ type: 1, bytes }]);
      bytes.fill("x");
      assert.deepEqual(await replayedTexts(storage), ["before"]);
    });

    test("a record of a type outside 1..255 or too long is refused and nothing of the call is written", async (t) => {
      const { storage } = await opened(t);
      for (const type of [0, 256, 1.5]) {
        const good = { type: 1, bytes: bytesOf("good") };
        assert.throws(() => storage.log.append([good, { type, bytes: bytesOf("bad") }]), RangeError);
      }
      assert.throws(() => storage.log.append([{ type: 1, bytes: Buffer.alloc(65 * 1024 * 1024) }]), RangeError);
      assert.equal(storage.log.nextLsn, 1);
      appendTexts(storage.log, "still works");
      assert.deepEqual(await replayedTexts(storage), ["still works"]);
    });

    test("a read gives at least one record and stops soon after bytesMax", async (t) => {
      const { storage } = await opened(t);
      for (let i = 0; i < 10; i++) appendTexts(storage.log, "x".repeat(100));
      assert.equal((await storage.log.read(1, 0)).length, 1);
      assert.equal((await storage.log.read(3, 1))[0]?.lsn, 3);
      const some = await storage.log.read(1, 350);
      assert.ok(some.length >= 3 && some.length <= 4, `${some.length}`);
      assert.deepEqual(await storage.log.read(11, 1000), []);
      assert.deepEqual(await storage.log.read(99, 1000), []);
    });

    test("records far longer than a segment or a read are whole", async (t) => {
      const { storage, under } = await opened(t);
      const long = Buffer.alloc(3_000_000, "long ");
      storage.log.append([{ type: 2, bytes: long }]);
      appendTexts(storage.log, "after");
      const [first] = await storage.log.read(1, 10);
      assert.ok(first !== undefined && long.equals(first.bytes));
      const again = await reopened(t, storage, under);
      const [one, two] = await replayed(again);
      assert.ok(one !== undefined && long.equals(one.bytes));
      assert.equal(two && textOf(two.bytes), "after");
    });

    test("every LSN can be read from, in every segment, before and after reopening", async (t) => {
      const { storage, under } = await opened(t);
      for (let i = 1; i <= 600; i++) {
        storage.log.rollIfFull(() => bytesOf(`note ${i}`));
        appendTexts(storage.log, `record ${i} ${"x".repeat((i * 7) % 200)}`);
      }
      assert.ok(storage.log.segments.length > 5);
      const check = async (log: Storage["log"]): Promise<void> => {
        for (let lsn = 600; lsn >= 1; lsn -= 7) {
          const [record] = await log.read(lsn, 1);
          assert.equal(record?.lsn, lsn);
          assert.match(textOf(record?.bytes ?? bytesOf("")), new RegExp(`^record ${lsn} x*$`));
        }
      };
      await check(storage.log);
      const again = await reopened(t, storage, under);
      await check(again.log);
      assert.equal((await replayed(again, 300)).length, 301);
    });

    test("rollIfFull asks for a note only when the segment is full, and the notes come back", async (t) => {
      const { storage, under } = await opened(t);
      let asked = 0;
      const note = (): Uint8Array => bytesOf(`note ${++asked}`);
      storage.log.rollIfFull(note);
      assert.equal(asked, 0);
      appendTexts(storage.log, "x".repeat(segmentBytes));
      storage.log.rollIfFull(note);
      storage.log.rollIfFull(note);
      assert.equal(asked, 1);
      appendTexts(storage.log, "second segment");
      storage.log.roll(bytesOf("\0\xff"));
      const expected = [
        [1, ""],
        [2, "note 1"],
        [3, "\0\xff"],
      ];
      const seen = ({ log }: Storage): unknown => log.segments.map((s) => [s.firstLsn, textOf(s.note)]);
      assert.deepEqual(seen(storage), expected);
      const again = await reopened(t, storage, under);
      assert.deepEqual(seen(again), expected);
      assert.equal(again.log.nextLsn, 3);
      assert.deepEqual(await replayedTexts(again), ["x".repeat(segmentBytes), "second segment"]);
    });

    test("rolling an empty segment keeps both, and reads go on behind them", async (t) => {
      const { storage, under } = await opened(t);
      storage.log.roll(bytesOf("a"));
      storage.log.roll(bytesOf("b"));
      appendTexts(storage.log, "one");
      assert.deepEqual(await replayedTexts(storage), ["one"]);
      const again = await reopened(t, storage, under);
      assert.deepEqual(
        again.log.segments.map((segment) => textOf(segment.note)),
        ["", "a", "b"],
      );
      assert.deepEqual(await replayedTexts(again), ["one"]);
    });

    test("sync covers everything appended before it", async (t) => {
      const { storage } = await opened(t);
      appendTexts(storage.log, "one");
      const first = storage.log.sync();
      appendTexts(storage.log, "two");
      storage.log.roll(bytesOf("note"));
      appendTexts(storage.log, "three");
      await first;
      assert.ok(storage.log.syncedLsn >= 2);
      await storage.log.sync();
      assert.equal(storage.log.syncedLsn, 4);
      await storage.log.sync();
      await storage.log.sync();
      assert.equal(storage.log.nextLsn, 4);
    });

    test("a blocking sync covers everything at once, beside a running one and over rolled segments", async (t) => {
      const { storage, under } = await opened(t);
      storage.log.syncBlocking();
      appendTexts(storage.log, "one");
      storage.log.roll(bytesOf("a"));
      const running = storage.log.sync();
      appendTexts(storage.log, "two");
      storage.log.roll(bytesOf("b"));
      appendTexts(storage.log, "three");
      storage.log.syncBlocking();
      assert.equal(storage.log.syncedLsn, 4);
      await running;
      assert.equal(storage.log.syncedLsn, 4);
      await storage.log.sync();
      const again = await reopened(t, storage, under);
      assert.deepEqual(await replayedTexts(again), ["one", "two", "three"]);
    });

    test("a log closed and opened goes on with the next LSN", async (t) => {
      const { storage, under } = await opened(t);
      appendTexts(storage.log, "one", "two");
      let again = await reopened(t, storage, under);
      assert.equal(again.log.nextLsn, 3);
      assert.equal(again.log.syncedLsn, 3);
      appendTexts(again.log, "three");
      again = await reopened(t, again, under);
      assert.deepEqual(await replayedTexts(again), ["one", "two", "three"]);
      assert.deepEqual(await replayedTexts(again, 3), ["three"]);
    });

    test("trim deletes whole segments below the LSN, never the last, and reading there rejects", async (t) => {
      const { storage, under } = await opened(t);
      for (let i = 1; i <= 9; i++) {
        appendTexts(storage.log, `${i}`);
        if (i % 3 === 0) storage.log.roll(bytesOf(`after ${i}`));
      }
      const bytesBefore = storage.log.bytes;
      await storage.log.trim(3);
      assert.equal(storage.log.firstLsn, 1);
      await storage.log.trim(6);
      assert.equal(storage.log.firstLsn, 4);
      assert.ok(storage.log.bytes < bytesBefore);
      await assert.rejects(storage.log.read(3, 100), (error) => error instanceof LogTrimmed && error.firstLsn === 4);
      await assert.rejects(replayed(storage, 1), LogTrimmed);
      assert.deepEqual(await replayedTexts(storage, 4), ["4", "5", "6", "7", "8", "9"]);
      await storage.log.trim(1000);
      assert.equal(storage.log.firstLsn, 10);
      assert.equal(storage.log.nextLsn, 10);
      assert.equal(storage.log.segments.length, 1);
      const again = await reopened(t, storage, under);
      assert.equal(again.log.firstLsn, 10);
      assert.equal(again.log.nextLsn, 10);
      assert.equal(textOf(again.log.segments[0]?.note ?? bytesOf("?")), "after 9");
      appendTexts(again.log, "10");
      assert.deepEqual(await replayedTexts(again, 10), ["10"]);
    });

    test("reading goes on while records are appended, rolled and trimmed", async (t) => {
      const { storage } = await opened(t);
      const total = 2000;
      let appended = 0;
      let seen = 0;
      const reader = (async () => {
        while (seen < total) {
          const records = await storage.log.read(seen + 1, 500);
          for (const record of records) {
            seen += 1;
            assert.equal(record.lsn, seen);
            assert.equal(textOf(record.bytes), `record ${seen}`);
          }
          if (records.length === 0) await new Promise((resolve) => setImmediate(resolve));
        }
      })();
      while (appended < total) {
        for (let i = 0; i < 50; i++) appendTexts(storage.log, `record ${++appended}`);
        storage.log.rollIfFull(() => bytesOf("note"));
        await storage.log.sync();
        await storage.log.trim(seen);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await reader;
      assert.ok(storage.log.firstLsn > 1);
    });

    test("a closed log refuses to append and to sync; closing twice is fine", async (t) => {
      const { storage } = await opened(t);
      appendTexts(storage.log, "one");
      await storage.close();
      await storage.close();
      assert.throws(() => appendTexts(storage.log, "two"), /closed/);
      assert.throws(() => storage.log.roll(bytesOf("note")), /closed/);
      await assert.rejects(storage.log.sync(), /closed/);
    });
  });

  suite(`${name}: checkpoint`, () => {
    test("entries are written, replaced and deleted in one batch, and kept", async (t) => {
      const { storage, under } = await opened(t);
      await storage.checkpoint.write(entriesOf({ a: "1", b: "2", c: "" }));
      await storage.checkpoint.write(entriesOf({ a: "one", b: undefined, d: "4", nothing: undefined }));
      await storage.checkpoint.write([]);
      assert.deepEqual(await allEntries(storage, ""), ["a=one", "c=", "d=4"]);
      const again = await reopened(t, storage, under);
      assert.deepEqual(await allEntries(again, ""), ["a=one", "c=", "d=4"]);
      assert.equal(textOf((await again.checkpoint.get(bytesOf("a"))) ?? bytesOf("?")), "one");
      assert.equal((await again.checkpoint.get(bytesOf("c")))?.length, 0);
      assert.equal(await again.checkpoint.get(bytesOf("b")), undefined);
      assert.ok((await again.checkpoint.bytes()) > 0);
    });

    test("of two entries of one key in a batch the later holds", async (t) => {
      const { storage } = await opened(t);
      const [one] = entriesOf({ k: "1" });
      const [two] = entriesOf({ k: "2" });
      const [gone] = entriesOf({ k: undefined });
      assert.ok(one && two && gone);
      await storage.checkpoint.write([one, gone, two]);
      assert.deepEqual(await allEntries(storage, ""), ["k=2"]);
      await storage.checkpoint.write([one, gone]);
      assert.deepEqual(await allEntries(storage, ""), []);
    });

    test("a prefix gives its keys alone, in byte order, with bytes of every value", async (t) => {
      const { storage } = await opened(t);
      const keys = ["a", "a\0", "a\x7f", "a\x80", "a\xff", "a\xff\xff", "b", "\xff", "\xffz", "A", "\x01"];
      await storage.checkpoint.write(keys.map((key) => [bytesOf(key), bytesOf(`v${key}`)]));
      const list = (...expected: string[]): string[] => expected.map((key) => `${key}=v${key}`);
      assert.deepEqual(await allEntries(storage, "a"), list("a", "a\0", "a\x7f", "a\x80", "a\xff", "a\xff\xff"));
      assert.deepEqual(await allEntries(storage, "a\xff"), list("a\xff", "a\xff\xff"));
      assert.deepEqual(await allEntries(storage, "\xff"), list("\xff", "\xffz"));
      assert.deepEqual(await allEntries(storage, "zzz"), []);
      assert.deepEqual(await allEntries(storage, ""), list(...[...keys].sort()));
    });

    test("entries come in batches, as they were when the first was asked for", async (t) => {
      const { storage } = await opened(t);
      const entries = Array.from({ length: 2500 }, (_, i): CheckpointEntry => {
        const key = `k${String(i).padStart(5, "0")}`;
        return [bytesOf(key), bytesOf(`value of ${key}`)];
      });
      await storage.checkpoint.write(entries);
      let count = 0;
      let batches = 0;
      for await (const batch of storage.checkpoint.entries(bytesOf("k"))) {
        if (batches === 0) await storage.checkpoint.write([[bytesOf("k99999"), bytesOf("late")]]);
        batches += 1;
        assert.ok(batch.length > 0 && batch.length <= 1000);
        for (const [key, value] of batch) {
          assert.equal(textOf(key), `k${String(count++).padStart(5, "0")}`);
          assert.equal(textOf(value), `value of ${textOf(key)}`);
        }
      }
      assert.equal(count, 2500);
      assert.ok(batches >= 3);
    });

    test("the caller may reuse the bytes after write", async (t) => {
      const { storage } = await opened(t);
      const key = Buffer.from("key");
      const value = Buffer.from("value");
      const written = storage.checkpoint.write([[key, value]]);
      await written;
      key.fill("x");
      value.fill("x");
      assert.deepEqual(await allEntries(storage, ""), ["key=value"]);
    });

    test("an empty key and the reserved one are refused", async (t) => {
      const { storage } = await opened(t);
      for (const key of ["", "\0format"]) {
        await assert.rejects(storage.checkpoint.write([[bytesOf(key), bytesOf("v")]]), RangeError);
        await assert.rejects(storage.checkpoint.get(bytesOf(key)), RangeError);
      }
      assert.deepEqual(await allEntries(storage, ""), []);
    });
  });
};
