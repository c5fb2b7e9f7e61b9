/** The memory version's own: crashes, snapshots, and the seeded bug. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { MemoryStorage } from "../../server/storage/memory-storage.ts";
import { appendTexts, bytesOf, textOf } from "./support.ts";

const textsOf = (storage: MemoryStorage): string[] => storage.replayNow(1).map(({ bytes }) => textOf(bytes));

/** Gives these numbers, one after the other. */
const chances = (...numbers: number[]): (() => number) => {
  let at = 0;
  return () => numbers[at++] ?? assert.fail("asked for more chance than given");
};

suite("memory storage: crashes", () => {
  const written = (options = {}): MemoryStorage => {
    const storage = new MemoryStorage(options);
    appendTexts(storage.log, "a", "b");
    storage.syncNow();
    appendTexts(storage.log, "c");
    storage.log.roll(bytesOf("note"));
    appendTexts(storage.log, "d");
    storage.writeNow([[bytesOf("k"), bytesOf("v")]]);
    return storage;
  };

  test("a killed process loses nothing", () => {
    const storage = written();
    assert.equal(storage.crash("kill", chances()), 0);
    assert.deepEqual(textsOf(storage), ["a", "b", "c", "d"]);
    assert.equal(storage.log.syncedLsn, 5);
  });

  test("a power failure keeps what was synced and any prefix of the rest", () => {
    for (const [chance, expected] of [
      [0, ["a", "b"]],
      [0.34, ["a", "b", "c"]],
      [0.99, ["a", "b", "c", "d"]],
    ] as const) {
      const storage = written();
      // How much is kept; whether the next is torn; whether an empty segment's header made it.
      const lost = storage.crash("power", chances(chance, 0.9, 0.9));
      assert.deepEqual(textsOf(storage), expected);
      assert.equal(lost, 4 - expected.length);
      assert.equal(storage.log.nextLsn, expected.length + 1);
      assert.equal(storage.log.syncedLsn, expected.length + 1);
      assert.equal(storage.log.segments.length, expected.length === 4 ? 2 : 1);
      assert.equal(textOf(storage.getNow(bytesOf("k")) ?? bytesOf("")), "v");
      appendTexts(storage.log, "after");
      assert.deepEqual(textsOf(storage), [...expected, "after"]);
    }
  });

  test("a segment whose first record was lost may be there or not", () => {
    for (const [chance, count] of [
      [0.1, 2],
      [0.9, 1],
    ] as const) {
      const storage = written();
      storage.crash("power", chances(0.34, 0.9, chance)); // kept, torn, header
      assert.equal(storage.log.segments.length, count);
      appendTexts(storage.log, "after");
      assert.deepEqual(textsOf(storage), ["a", "b", "c", "after"]);
    }
  });

  test("a torn last record is dropped, unless the seeded bug is on", () => {
    const sound = written();
    sound.crash("power", chances(0, 0.1));
    assert.deepEqual(textsOf(sound), ["a", "b"]);
    const bugged = written({ keepsTornTail: true });
    bugged.crash("power", chances(0, 0.1, 0.5, 0.9));
    assert.deepEqual(textsOf(bugged), ["a", "b", ""]);
  });

  test("equal chances give equal remains", () => {
    const once = (): unknown => {
      const storage = written();
      let seed = 7;
      storage.crash("power", () => (seed = (seed * 16807) % 2147483647) / 2147483647);
      return [textsOf(storage), storage.log.segments.map((segment) => segment.firstLsn), storage.log.bytes];
    };
    assert.deepEqual(once(), once());
  });

  test("the bytes counted after a crash are those of what is left", () => {
    const storage = written();
    storage.crash("power", chances(0.99, 0.9));
    const fresh = written();
    assert.equal(storage.log.bytes, fresh.log.bytes);
  });
});

suite("memory storage: backups", () => {
  test("a backup put back undoes what came after it, and can be put back again", () => {
    const storage = new MemoryStorage();
    appendTexts(storage.log, "a");
    storage.writeNow([[bytesOf("k"), bytesOf("1")]]);
    const backup = storage.snapshot();
    for (let round = 0; round < 2; round++) {
      appendTexts(storage.log, "b");
      storage.log.roll(bytesOf("note"));
      storage.syncNow();
      storage.trimNow(3);
      storage.writeNow([[bytesOf("k"), undefined]]);
      storage.restore(backup);
      assert.deepEqual(textsOf(storage), ["a"]);
      assert.equal(storage.log.nextLsn, 2);
      assert.equal(storage.log.syncedLsn, 1);
      assert.equal(textOf(storage.getNow(bytesOf("k")) ?? bytesOf("")), "1");
    }
  });
});
