import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { logRecordBytesMax, segmentNoteBytesMax } from "../../protocol/limits.ts";
import type { RecordPlace, SegmentHeader } from "../../server/storage/log-format.ts";
import {
  decodeSegmentHeader,
  decodeSynced,
  encodeRecord,
  encodeSegmentHeader,
  encodeSynced,
  findSurvivors,
  hasZeroSector,
  headerOverheadBytes,
  RecordReader,
  recordOverheadBytes,
  storageSalt,
} from "../../server/storage/log-format.ts";
import { projectRoot } from "../support/processes.ts";
import { bytesOf, textOf } from "./support.ts";

const storageId = 0x0123_4567_89ab_cdefn;
const salt = storageSalt(storageId);
const header: SegmentHeader = {
  storageId,
  peerName: "a-peer_name-of-exactly-32-chars_",
  number: 3,
  firstLsn: 2 ** 40 + 7,
  syncedLsn: 2 ** 40 + 1,
  previousEndOffset: 16_777_300,
  previousChain: 0xdeadbeef,
  note: bytesOf("\0note\xff"),
};

interface FixtureRecord {
  readonly type: number;
  readonly text: string;
  readonly syncedLsn: number;
}
const records: readonly FixtureRecord[] = [
  { type: 1, text: "first", syncedLsn: header.syncedLsn },
  { type: 255, text: "", syncedLsn: header.syncedLsn },
  { type: 2, text: "\0\x01\xfe\xff", syncedLsn: header.firstLsn + 2 },
];

/** A whole segment: header, three records, some reserved zeros. */
const encodeSample = (): Buffer => {
  const head = encodeSegmentHeader(header);
  const chain = head.readUInt32LE(head.length - 4);
  const place: RecordPlace = { lsn: header.firstLsn, syncedLsn: 0, chain, salt };
  const parts = [head];
  for (const { type, text, syncedLsn } of records) {
    const bytes = Buffer.alloc(recordOverheadBytes + text.length);
    place.syncedLsn = syncedLsn;
    place.chain = encodeRecord(bytes, 0, type, bytesOf(text), place);
    place.lsn += 1;
    parts.push(bytes);
  }
  return Buffer.concat([...parts, Buffer.alloc(100)]);
};

const decodeSample = (bytes: Buffer): void => {
  const decoded = decodeSegmentHeader(bytes);
  assert.equal(decoded.kind, "header");
  if (decoded.kind !== "header") return;
  assert.deepEqual({ ...decoded.header, note: textOf(decoded.header.note) }, { ...header, note: textOf(header.note) });
  const reader = new RecordReader(storageSalt(decoded.header.storageId));
  reader.begin(bytes, decoded.endOffset, { chain: decoded.chain, nextLsn: decoded.header.firstLsn });
  for (const [at, record] of records.entries()) {
    assert.equal(reader.next(), "record");
    assert.deepEqual(
      [reader.type, textOf(bytes.subarray(reader.bytesStart, reader.bytesEnd)), reader.lsn, reader.syncedLsn],
      [record.type, record.text, header.firstLsn + at, record.syncedLsn],
    );
  }
  assert.equal(reader.next(), "end");
};

suite("log format", () => {
  const fixtures = join(projectRoot, "tests/fixtures/storage-v1");
  const segmentFixture = join(fixtures, "segment.hex");
  const syncedFixture = join(fixtures, "synced.hex");
  const readHex = (path: string): Buffer => Buffer.from(readFileSync(path, "latin1").replace(/\s/g, ""), "hex");
  const toHex = (bytes: Buffer): string => `${(bytes.toString("hex").match(/.{1,64}/g) ?? []).join("\n")}\n`;
  // Only for a format that has no fixture yet: a released one never changes.
  if (process.env["WRITE_FIXTURES"] === "1") {
    writeFileSync(segmentFixture, toHex(encodeSample()));
    writeFileSync(syncedFixture, toHex(encodeSynced(storageId, 2 ** 40 + 9)));
  }

  test("a segment written by version 1 still decodes", () => decodeSample(readHex(segmentFixture)));

  test("this version writes the bytes of version 1", () => {
    assert.equal(encodeSample().toString("hex"), readHex(segmentFixture).toString("hex"));
    assert.equal(encodeSynced(storageId, 2 ** 40 + 9).toString("hex"), readHex(syncedFixture).toString("hex"));
  });

  test("the synced file of version 1 still decodes, and nothing else does", () => {
    const bytes = readHex(syncedFixture);
    assert.equal(decodeSynced(bytes, storageId), 2 ** 40 + 9);
    assert.equal(decodeSynced(bytes, storageId + 1n), undefined);
    assert.equal(decodeSynced(bytes.subarray(0, 25), storageId), undefined);
    for (let at = 0; at < bytes.length; at++) {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ 0x10;
      assert.equal(decodeSynced(flipped, storageId), undefined);
    }
  });

  test("a header with any bit flipped, or cut anywhere, is not a header", () => {
    const whole = encodeSegmentHeader(header);
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const flipped = Buffer.from(whole);
      const at = bit >> 3;
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (bit & 7));
      assert.notEqual(decodeSegmentHeader(flipped).kind, "header", `bit ${bit}`);
    }
    for (let length = 0; length < whole.length; length++) {
      assert.equal(decodeSegmentHeader(whole.subarray(0, length)).kind, "short");
    }
  });

  test("another version is reported as that, whatever else the header holds", () => {
    const bytes = encodeSegmentHeader(header);
    bytes.writeUInt16LE(2, 8);
    assert.deepEqual(decodeSegmentHeader(bytes), { kind: "version", version: 2 });
  });

  test("a claimed length beyond the bound is refused before anything is read or reserved for it", () => {
    const bytes = encodeSegmentHeader(header);
    bytes.writeUInt32LE(segmentNoteBytesMax + 1, 12);
    assert.equal(decodeSegmentHeader(bytes).kind, "bad");
    const reader = new RecordReader(salt);
    for (const length of [1, recordOverheadBytes - 1, logRecordBytesMax + 1, 0xffff_ffff]) {
      const record = Buffer.alloc(64);
      record.writeUInt32LE(length, 0);
      reader.begin(record, 0, { chain: 0, nextLsn: 1 });
      assert.equal(reader.next(), "bad", `${length}`);
    }
  });

  test("what does not fit the fields is refused when written", () => {
    assert.throws(() => encodeSegmentHeader({ ...header, peerName: "x".repeat(33) }), RangeError);
    assert.throws(() => encodeSegmentHeader({ ...header, note: Buffer.alloc(segmentNoteBytesMax + 1) }), RangeError);
  });

  test("a record with any bit flipped, in another place or under another salt is not a record", () => {
    const bytes = encodeSample();
    const begin = headerOverheadBytes + header.note.length;
    const chain = bytes.readUInt32LE(begin - 4);
    const end = begin + recordOverheadBytes + 5;
    const stepOf = (buffer: Buffer, place: { chain: number; nextLsn: number }, saltOfReader = salt): string => {
      const reader = new RecordReader(saltOfReader);
      reader.begin(buffer, begin, place);
      return reader.next();
    };
    const place = { chain, nextLsn: header.firstLsn };
    assert.equal(stepOf(bytes, place), "record");
    for (let bit = begin * 8; bit < end * 8; bit++) {
      const flipped = Buffer.from(bytes.subarray(0, end));
      const at = bit >> 3;
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (bit & 7));
      assert.notEqual(stepOf(flipped, place), "record", `bit ${bit}`);
    }
    assert.equal(stepOf(bytes, { ...place, nextLsn: place.nextLsn + 1 }), "bad");
    assert.equal(stepOf(bytes, { ...place, chain: chain ^ 1 }), "bad");
    assert.equal(stepOf(bytes, place, salt ^ 1), "bad");
    for (let cut = begin; cut < end; cut++) assert.equal(stepOf(bytes.subarray(0, cut), place), "short");
  });

  test("survivors are found behind damage, also when the bad record's own CRC was the seed of the next", () => {
    const whole = encodeSample();
    const begin = headerOverheadBytes + header.note.length;
    const chain = whole.readUInt32LE(begin - 4);
    const second = begin + recordOverheadBytes + 5;
    const find = (buffer: Buffer): unknown => findSurvivors(buffer, begin, { lsnMin: header.firstLsn, salt, chain });
    for (let at = begin; at < second; at++) {
      const flipped = Buffer.from(whole);
      flipped[at] = (flipped[at] ?? 0) ^ 0xff;
      const expected = { offset: second, syncedLsn: header.firstLsn + 2 };
      assert.deepEqual(find(flipped), expected, `byte ${at - begin}`);
    }
    assert.equal(find(Buffer.concat([whole.subarray(0, begin), Buffer.alloc(1000)])), undefined);
  });

  test("a sector counts as never written only if all of it that is in the range is zero", () => {
    const bytes = Buffer.alloc(2048, 1);
    assert.equal(hasZeroSector(bytes, 0, 2048, 0), false);
    bytes.fill(0, 600, 1100);
    assert.equal(hasZeroSector(bytes, 0, 2048, 0), false);
    assert.equal(hasZeroSector(bytes, 600, 2048, 0), true);
    bytes.fill(0, 512, 1024);
    assert.equal(hasZeroSector(bytes, 0, 2048, 0), true);
    assert.equal(hasZeroSector(bytes, 0, 2048, 100), false);
    assert.equal(hasZeroSector(bytes, 0, 0, 0), false);
  });
});
