import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ByteWriter } from "../../protocol/bytes.ts";
import {
  BackupFault,
  BackupReader,
  BackupWriter,
  backupRecord,
  decodeCut,
  decodeHeader,
} from "../../server/backup/format.ts";
import { checkBackup } from "../../server/backup/restore.ts";
import { inChunks, readAll, variedBackup } from "./support.ts";

const whole = variedBackup();
const quiet = (): void => {};

const faultOf = async (bytes: Buffer): Promise<BackupFault> => {
  try {
    await checkBackup(inChunks(bytes), quiet);
  } catch (error) {
    assert(error instanceof BackupFault, String(error));
    return error;
  }
  throw new Error("it passed for whole");
};

describe("the format of a backup", () => {
  test("what was written is read, however the bytes come", () => {
    const types = readAll(whole).map(({ type }) => type);
    assert.deepEqual([types[0], ...types.slice(-2)], [backupRecord.header, backupRecord.cut, backupRecord.end]);
    for (const chunkBytes of [1, 2, 3, 7, 64, 1000]) {
      assert.deepEqual(
        readAll(whole, chunkBytes).map(({ type, at, bytes }) => [type, at, bytes.toString("hex")]),
        readAll(whole).map(({ type, at, bytes }) => [type, at, bytes.toString("hex")]),
      );
    }
  });

  test("the bytes of version 1 are read as what they were", async () => {
    const path = fileURLToPath(new URL("../fixtures/backup-v1.hex", import.meta.url));
    if (process.env["UPDATE_FIXTURES"] === "1")
      writeFileSync(path, `${whole.toString("hex").replaceAll(/.{1,110}/g, "$&\n")}`);
    const bytes = Buffer.from(readFileSync(path, "utf8").replaceAll("\n", ""), "hex");
    // Written the same today: a change of the format needs a new version.
    assert.equal(bytes.toString("hex"), whole.toString("hex"));
    const { header, cut, totals } = await checkBackup(inChunks(bytes), quiet);
    assert.equal(header.peer, "a");
    assert.equal(header.cluster, "chorus");
    assert.deepEqual(totals, { cells: 6, frames: 2, conflicts: 1 });
    assert.deepEqual(cut.vv, [["a.0k2v7x1abcd0f9z", 12]]);
    assert.equal(cut.keys, 5);
    assert.equal(decodeHeader(readAll(bytes)[0]?.bytes as Buffer).start.vv0[0]?.[1], 10);
    assert.equal(decodeCut(readAll(bytes).at(-2)?.bytes as Buffer).keys, 5);
  });

  test("a flipped bit anywhere is found, with the place of the record it is in", async () => {
    for (let at = 0; at < whole.length; at++) {
      const damaged = Buffer.from(whole);
      damaged[at] = (damaged[at] as number) ^ (1 << (at & 7));
      const fault = await faultOf(damaged);
      assert(fault.at <= at + 9 || /cut short/.test(fault.message), `byte ${at}: ${fault.message}`);
      assert.match(fault.message, /^damaged at byte |^this is not |^this backup has format version |^cut short: /);
    }
  });

  test("a file that was cut short anywhere is found, and so are bytes behind its end", async () => {
    for (let length = 0; length < whole.length; length++) {
      const fault = await faultOf(whole.subarray(0, length));
      assert.match(fault.message, length === 0 ? /it is empty/ : /cut short: it ends at byte/);
    }
    for (const behind of [[0], [1, 2, 3, 4, 5, 6, 7, 8, 9]]) {
      assert.match((await faultOf(Buffer.concat([whole, Buffer.from(behind)]))).message, /bytes behind the end/);
    }
  });

  test("records that were left out, doubled or swapped are found", async () => {
    const records = readAll(whole).map(({ at }) => at);
    const part = (index: number): Buffer => whole.subarray(records[index], records[index + 1] ?? whole.length);
    const head = whole.subarray(0, records[0]);
    const all = records.map((_, index) => index);
    const orders = [
      all.filter((index) => index !== 2),
      all.flatMap((index) => (index === 2 ? [2, 2] : [index])),
      all.map((index) => (index === 2 ? 3 : index === 3 ? 2 : index)),
    ];
    for (const order of orders) {
      assert.match((await faultOf(Buffer.concat([head, ...order.map(part)]))).message, /^damaged at byte/);
    }
  });

  test("another format version is refused by its number", async () => {
    const later = Buffer.from(whole);
    later.writeUInt16LE(2, 8);
    assert.match((await faultOf(later)).message, /^this backup has format version 2; this program reads version 1$/);
  });

  test("a backup that the peer gave up says why", async () => {
    const writer = new BackupWriter();
    const out = new ByteWriter();
    out.string("its reader is gone");
    const bytes = Buffer.concat([writer.head(), ...writer.record(backupRecord.failed, out.take())]);
    assert.equal((await faultOf(bytes)).message, "the peer gave this backup up: its reader is gone");
  });

  test("a length that nothing could have is refused before it is waited for", () => {
    const writer = new BackupWriter();
    const head = Buffer.alloc(5);
    head.writeUInt32LE(0xffff_fff0, 0);
    const reader = new BackupReader();
    assert.throws(() => reader.push(Buffer.concat([writer.head(), head])), /a record of 4294967280 bytes, limit/);
  });

  test("what is sound as bytes and makes no sense is refused with its place", async () => {
    const records = readAll(whole);
    const rewritten = (change: (type: number, bytes: Buffer) => Buffer): Buffer => {
      const writer = new BackupWriter();
      const parts: Uint8Array[] = [writer.head()];
      for (const { type, bytes } of records.slice(0, -1)) parts.push(...writer.record(type, change(type, bytes)));
      parts.push(...writer.end({ cells: 6, frames: 2, conflicts: 1 }, 1));
      return Buffer.concat(parts);
    };
    await checkBackup(inChunks(rewritten((_, bytes) => bytes)), quiet);
    const empty = Buffer.alloc(0);
    const lost = (lostType: number) => rewritten((type, bytes) => (type === lostType ? empty : bytes));
    for (const type of [backupRecord.header, backupRecord.cells, backupRecord.frames, backupRecord.cut]) {
      assert.match((await faultOf(lost(type))).message, /^damaged at byte \d+: /, `type ${type}`);
    }
    const flags = rewritten((type, bytes) =>
      type === backupRecord.cells ? Buffer.concat([bytes, Buffer.of(1)]) : bytes,
    );
    assert.match((await faultOf(flags)).message, /^damaged at byte \d+: /);
  });
});
