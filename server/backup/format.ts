/**
 * The bytes of a backup: one stream, written by a peer while it serves, read by `chorus restore`. Pure.
 *
 * All numbers are little-endian.
 *
 *   head                                      record
 *   offset size                               offset size
 *        0    8  magic "chorusbk"                  0    4  length n of the bytes
 *        8    2  format version                    4    1  type
 *       10    2  zero                              5    n  bytes
 *                                                5+n    4  CRC-32 of all before in the record, seeded by the CRC before
 *
 * One CRC chain runs through the file, begun by the CRC of the head: no record can be lost, swapped or taken from another
 * backup. The last record holds SHA-256 of all before it. A file without it was cut short.
 *
 *   type 1 header     string cluster | string peer | string incarnation | string program version | f64 begun at, Unix ms |
 *                     varint cells expected | vector vv0 | varint n, n x (origin, vector context)
 *        2 cells      varint count | a bundle of so many (server/replica/cell-bundle.ts)
 *        3 frames     whole frames, one after the other, in the order in which the peer applied them
 *        4 conflicts  n x (varint length, conflict), oldest first
 *        5 cut        vector vv | vector floor | f64 horizon, Unix ms | f64 ceiling, a stamp | varint keys |
 *                     u8 1, f64 horizon, u32, u32: the digest; or u8 0
 *        6 end        varint cells | varint frames | varint conflicts | f64 ended at, Unix ms | 32 bytes SHA-256
 *        7 failed     string: why the peer gave the backup up. Nothing follows, and nothing before it counts.
 *
 *   order: 1, 2*, 3*, 4*, 5, 6
 *
 * The cells are at least as new as vv0 and at most as new as the cut's vector; the frames lead from the one to the other.
 */
import { createHash, type Hash } from "node:crypto";
import { crc32 } from "node:zlib";
import { ByteReader, ByteWriter, DecodeFault } from "../../protocol/bytes.ts";
import { originBytesMin, readOrigin, writeOrigin } from "../../protocol/frames.ts";
import { backupRecordBytesMax } from "../../protocol/limits.ts";
import { readVector, type WireVector, writeVector } from "../../protocol/link-messages.ts";
import type { OriginId } from "../../protocol/words.ts";
import type { Cut, CutStart } from "../replica/index.ts";

export const backupFormatVersion = 1;

export const backupRecord = { header: 1, cells: 2, frames: 3, conflicts: 4, cut: 5, end: 6, failed: 7 } as const;

const magic = Buffer.from("chorusbk", "latin1");
const headBytes = 12;
const recordHeadBytes = 5;
const crcBytes = 4;
const sha256Bytes = 32;
const textBytesMax = 4096;

export interface BackupHeader {
  readonly cluster: string;
  /** Where it was taken. */
  readonly peer: string;
  readonly incarnation: string;
  readonly version: string;
  readonly begunAtMs: number;
  readonly start: CutStart;
}

export interface BackupTotals {
  readonly cells: number;
  readonly frames: number;
  readonly conflicts: number;
}

/** What a file holds is not a whole, undamaged backup. `at`: the offset of the record, or of what is missing. */
export class BackupFault extends Error {
  readonly at: number;
  constructor(message: string, at: number, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "BackupFault";
    this.at = at;
  }
}

// ---- Writing --------------------------------------------------------------------------------------------------------

/** Frames records as they go out; the caller sends the parts, in order, and may not change them before they are sent. */
export class BackupWriter {
  readonly #sha: Hash = createHash("sha256");
  #crc = 0;
  bytes = 0;

  head(): Buffer {
    const head = Buffer.alloc(headBytes);
    head.set(magic);
    head.writeUInt16LE(backupFormatVersion, 8);
    this.#crc = crc32(head);
    this.#sha.update(head);
    this.bytes = headBytes;
    return head;
  }

  record(type: number, ...bytes: readonly Uint8Array[]): readonly Uint8Array[] {
    const length = bytes.reduce((sum, part) => sum + part.length, 0);
    const head = Buffer.allocUnsafe(recordHeadBytes);
    head.writeUInt32LE(length, 0);
    head[4] = type;
    for (const part of [head, ...bytes]) {
      this.#crc = crc32(part, this.#crc);
      this.#sha.update(part);
    }
    const tail = Buffer.allocUnsafe(crcBytes);
    tail.writeUInt32LE(this.#crc, 0);
    this.#sha.update(tail);
    this.bytes += recordHeadBytes + length + crcBytes;
    return [head, ...bytes, tail];
  }

  end(totals: BackupTotals, endedAtMs: number): readonly Uint8Array[] {
    const out = new ByteWriter(64);
    out.varint(totals.cells);
    out.varint(totals.frames);
    out.varint(totals.conflicts);
    out.f64(endedAtMs);
    out.raw(this.#sha.copy().digest());
    return this.record(backupRecord.end, out.take());
  }
}

export const encodeHeader = (header: BackupHeader): Buffer => {
  const out = new ByteWriter(1024);
  out.string(header.cluster);
  out.string(header.peer);
  out.string(header.incarnation);
  out.string(header.version);
  out.f64(header.begunAtMs);
  out.varint(header.start.cells);
  writeVector(out, header.start.vv0);
  out.varint(header.start.contexts.length);
  for (const [origin, context] of header.start.contexts) {
    writeOrigin(out, origin);
    writeVector(out, context);
  }
  return out.take();
};

export const decodeHeader = (bytes: Uint8Array): BackupHeader => {
  const input = new ByteReader(bytes);
  const cluster = input.string(textBytesMax);
  const peer = input.string(textBytesMax);
  const incarnation = input.string(textBytesMax);
  const version = input.string(textBytesMax);
  const begunAtMs = input.whole();
  const cells = input.varint();
  const vv0 = readVector(input);
  const contexts: [OriginId, WireVector][] = [];
  const count = input.count(originBytesMin + 1);
  for (let index = 0; index < count; index++) contexts.push([readOrigin(input), readVector(input)]);
  input.expectEnd();
  return { cluster, peer, incarnation, version, begunAtMs, start: { vv0, contexts, cells } };
};

/** What goes before a bundle. */
export const encodeCellCount = (count: number): Buffer => {
  const out = new ByteWriter(16);
  out.varint(count);
  return out.take();
};

export const decodeCells = (bytes: Uint8Array): { readonly count: number; readonly bundle: Buffer } => {
  const input = new ByteReader(bytes);
  const count = input.varint();
  return { count, bundle: input.raw(input.left) };
};

export const encodeConflicts = (conflicts: readonly Uint8Array[]): Buffer => {
  const out = new ByteWriter(conflicts.reduce((sum, conflict) => sum + conflict.length + 8, 0));
  for (const conflict of conflicts) {
    out.varint(conflict.length);
    out.raw(conflict);
  }
  return out.take();
};

/** Views of each. */
export function* decodeConflicts(bytes: Uint8Array): Generator<Buffer> {
  const input = new ByteReader(bytes);
  while (input.left > 0) yield input.raw(input.varint());
}

export const encodeCut = (cut: Cut): Buffer => {
  const out = new ByteWriter(1024);
  writeVector(out, cut.vv);
  writeVector(out, cut.floor);
  out.f64(cut.horizonMs);
  out.f64(cut.ceiling);
  out.varint(cut.keys);
  out.u8(cut.digest === undefined ? 0 : 1);
  if (cut.digest !== undefined) {
    out.f64(cut.digest.horizonMs);
    out.u32(cut.digest.first);
    out.u32(cut.digest.second);
  }
  return out.take();
};

export const decodeCut = (bytes: Uint8Array): Cut => {
  const input = new ByteReader(bytes);
  const vv = readVector(input);
  const floor = readVector(input);
  const horizonMs = input.whole();
  const ceiling = input.whole();
  const keys = input.varint();
  const flag = input.u8();
  if (flag > 1) throw new DecodeFault("a flag is 0 or 1");
  const digest =
    flag === 0 ? undefined : { horizonMs: input.whole(), first: input.u32() >>> 0, second: input.u32() >>> 0 };
  input.expectEnd();
  return { vv, floor, horizonMs, ceiling, keys, digest };
};

// ---- Reading --------------------------------------------------------------------------------------------------------

export interface BackupRecord {
  readonly type: number;
  readonly bytes: Buffer;
  /** Offset of the record in the file. */
  readonly at: number;
}

const recordNames = new Map(Object.entries(backupRecord).map(([name, type]) => [type as number, name]));

/**
 * Takes a backup apart as its bytes come: `push` gives the records that a chunk completed, each verified; `end` says that no
 * more will come. Both throw BackupFault. Holds at most one record, and never more because of what a length claims.
 */
export class BackupReader {
  readonly #sha: Hash = createHash("sha256");
  #chunks: Buffer[] = [];
  #held = 0;
  #crc = 0;
  /** Bytes needed before anything can be done. */
  #needed = headBytes;
  #isHeadRead = false;
  #lastType = 0;
  /** Bytes taken apart so far. */
  bytes = 0;
  /** The end has come, and all adds up. */
  isWhole = false;
  sha256 = "";

  push(chunk: Buffer): BackupRecord[] {
    if (chunk.length > 0) this.#chunks.push(chunk);
    this.#held += chunk.length;
    const records: BackupRecord[] = [];
    while (this.#held >= this.#needed && this.#held > 0) {
      if (this.isWhole) throw new BackupFault(`damaged at byte ${this.bytes}: bytes behind the end`, this.bytes);
      const buffer = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks, this.#held);
      const used = this.#take(buffer, records);
      const rest = buffer.subarray(used);
      this.#chunks = rest.length === 0 ? [] : [rest];
      this.#held = rest.length;
    }
    return records;
  }

  /** Reads what is whole in `buffer`; sets how much is needed next. */
  #take(buffer: Buffer, records: BackupRecord[]): number {
    let at = 0;
    if (!this.#isHeadRead) {
      this.#readHead(buffer);
      at = headBytes;
    }
    for (;;) {
      this.#needed = recordHeadBytes;
      if (buffer.length - at < recordHeadBytes || this.isWhole) return at;
      const length = buffer.readUInt32LE(at);
      if (length > backupRecordBytesMax) {
        throw this.#damaged(`a record of ${length} bytes, limit ${backupRecordBytesMax}`);
      }
      this.#needed = recordHeadBytes + length + crcBytes;
      if (buffer.length - at < this.#needed) return at;
      records.push(this.#readRecord(buffer.subarray(at, at + this.#needed)));
      at += this.#needed;
    }
  }

  #readHead(buffer: Buffer): void {
    if (!buffer.subarray(0, magic.length).equals(magic)) throw new BackupFault("this is not a Chorus backup", 0);
    const version = buffer.readUInt16LE(8);
    if (version !== backupFormatVersion) {
      throw new BackupFault(
        `this backup has format version ${version}; this program reads version ${backupFormatVersion}`,
        8,
      );
    }
    if (buffer.readUInt16LE(10) !== 0) throw this.#damaged("the head is not as it was written");
    const head = buffer.subarray(0, headBytes);
    this.#crc = crc32(head);
    this.#sha.update(head);
    this.#isHeadRead = true;
    this.bytes = headBytes;
  }

  #readRecord(whole: Buffer): BackupRecord {
    const crcAt = whole.length - crcBytes;
    const crc = crc32(whole.subarray(0, crcAt), this.#crc);
    if (crc !== whole.readUInt32LE(crcAt)) throw this.#damaged("the checksum does not match");
    const type = whole[4] as number;
    const record = { type, bytes: whole.subarray(recordHeadBytes, crcAt), at: this.bytes };
    if (type === backupRecord.failed) {
      const why = new ByteReader(record.bytes).string(textBytesMax);
      throw new BackupFault(`the peer gave this backup up: ${why}`, record.at);
    }
    const isFirst = this.#lastType === 0;
    const mayRepeat = type >= backupRecord.cells && type <= backupRecord.conflicts;
    const isInOrder = isFirst
      ? type === backupRecord.header
      : (mayRepeat ? type >= this.#lastType : type > this.#lastType) &&
        (type !== backupRecord.end || this.#lastType === backupRecord.cut);
    if (!isInOrder || !recordNames.has(type)) throw this.#damaged(`a record of type ${type} is out of place`);
    if (type === backupRecord.end) {
      const sha = this.#sha.copy().digest();
      if (!record.bytes.subarray(-sha256Bytes).equals(sha)) throw this.#damaged("SHA-256 of the whole does not match");
      this.sha256 = sha.toString("hex");
      this.isWhole = true;
    }
    this.#lastType = type;
    this.#crc = crc;
    this.#sha.update(whole);
    this.bytes += whole.length;
    return record;
  }

  #damaged(what: string): BackupFault {
    return new BackupFault(`damaged at byte ${this.bytes}: ${what}`, this.bytes);
  }

  end(): void {
    if (this.isWhole && this.#held === 0) return;
    const at = this.bytes + this.#held;
    if (this.isWhole) throw new BackupFault(`damaged at byte ${this.bytes}: bytes behind the end`, this.bytes);
    if (at === 0) throw new BackupFault("this is not a Chorus backup: it is empty", 0);
    if (!this.#isHeadRead && !magic.subarray(0, at).equals(Buffer.concat(this.#chunks).subarray(0, magic.length))) {
      throw new BackupFault("this is not a Chorus backup", 0);
    }
    throw new BackupFault(`cut short: it ends at byte ${at}, in the middle`, at);
  }
}

export const decodeEnd = (bytes: Uint8Array): BackupTotals & { readonly endedAtMs: number } => {
  const input = new ByteReader(bytes);
  const cells = input.varint();
  const frames = input.varint();
  const conflicts = input.varint();
  const endedAtMs = input.whole();
  input.raw(sha256Bytes);
  input.expectEnd();
  return { cells, frames, conflicts, endedAtMs };
};
