/**
 * The bytes of a log file: how a segment's header and its records are written and read. Pure.
 *
 * All numbers are little-endian. One CRC-32 chain runs through the whole log: each checksum is seeded by the one before,
 * across segments, so a record that verifies stands behind exactly the records it was written behind. No record can be
 * lost, swapped or taken from another log without breaking the chain.
 *
 *   segment header                                     record
 *   offset size                                        offset size
 *        0    8  magic "chorslog"                           0    4  length of the whole record, 19 + n; 0: end of the log
 *        8    2  format version                             4    1  type 1..255
 *       10    2  zero                                       5    6  LSN
 *       12    4  length n of the note                      11    4  how far below this LSN the log was known synced
 *       16    8  storage id: one per data directory        15    n  bytes
 *       24   32  peer name, padded with zeros            15+n    4  CRC-32 of all before, seeded by the previous CRC
 *       56    4  number of the segment, from 1
 *       60    6  first LSN                               The CRC stands last so that the seed of any record is the four
 *       66    6  LSN below which all was synced          bytes before it. A reader can start at any record, and the
 *       72    6  end offset of the previous segment      scan for survivors behind damage can try every offset.
 *       78    4  last CRC of the previous segment
 *       82    n  note                                    A file may end in zeros (space reserved ahead): length 0 is a
 *     82+n    4  CRC-32 of all before, seeded by         clean end, which no record can be mistaken for.
 *                the previous segment's last CRC
 *
 * A record's seed is the previous CRC xor the salt, 32 random bits of the storage id, which no client can know. Else a
 * value could hold the bytes of a forged record, which the scan behind a torn write would take for a survivor.
 *
 * Every record and header says what was known to be on disk when it was written. So damage can be told from a torn tail:
 * what lies below the highest such LSN was synced, and a bad record there is damage (reliability F3). The file `synced`
 * says the same of the log's end, where no later record does:
 *
 *        0    8  magic "chorsync"                          16    6  LSN below which all is synced
 *        8    8  storage id                                22    4  CRC-32 of all before
 *
 * It is rewritten in place after each sync, within one sector. It reaches the disk when the kernel likes, and at the
 * latest when the log is closed; what it says stays true however old it is.
 *
 * An unknown version is refused: its layout behind the version field is not guessed at.
 */
import { crc32 } from "node:zlib";
import { logRecordBytesMax, segmentNoteBytesMax } from "../../protocol/limits.ts";
import type { Lsn } from "../../protocol/words.ts";
import type { LogRecord } from "./storage.ts";

export const logFormatVersion = 1;

/** Bytes of a record beside its own. */
export const recordOverheadBytes = 19;
/** Bytes of a header beside its note. */
export const headerOverheadBytes = 86;
/** As much of a header as must be read to know its length. */
export const headerFixedBytes = 82;

const magic = Buffer.from("chorslog", "latin1");
const peerNameBytes = 32;
const crcBytes = 4;
const recordHeadBytes = recordOverheadBytes - crcBytes;
/** LSNs are kept in six bytes: at a million records a second they last nine years. */
export const lsnMax = 2 ** 48 - 1;
const behindMax = 0xffff_ffff;

export interface SegmentHeader {
  readonly storageId: bigint;
  readonly peerName: string;
  /** Position of the segment in the log, counted from 1; names the file. */
  readonly number: number;
  readonly firstLsn: Lsn;
  readonly syncedLsn: Lsn;
  readonly previousEndOffset: number;
  readonly previousChain: number;
  readonly note: Uint8Array;
}

/** Mixed into the seed of every record's CRC. */
export const storageSalt = (storageId: bigint): number => Number(storageId & 0xffff_ffffn);

const recordSeed = (previous: number, salt: number): number => (previous ^ salt) >>> 0;

export const encodeSegmentHeader = (header: SegmentHeader): Buffer => {
  const noteLength = header.note.length;
  if (noteLength > segmentNoteBytesMax) {
    throw new RangeError(`segment note of ${noteLength} bytes, limit ${segmentNoteBytesMax}`);
  }
  const bytes = Buffer.alloc(headerOverheadBytes + noteLength);
  magic.copy(bytes, 0);
  bytes.writeUInt16LE(logFormatVersion, 8);
  bytes.writeUInt32LE(noteLength, 12);
  bytes.writeBigUInt64LE(header.storageId, 16);
  if (bytes.write(header.peerName, 24, peerNameBytes, "latin1") !== header.peerName.length) {
    throw new RangeError(`peer name of ${header.peerName.length} bytes, limit ${peerNameBytes}`);
  }
  bytes.writeUInt32LE(header.number, 56);
  bytes.writeUIntLE(header.firstLsn, 60, 6);
  bytes.writeUIntLE(header.syncedLsn, 66, 6);
  bytes.writeUIntLE(header.previousEndOffset, 72, 6);
  bytes.writeUInt32LE(header.previousChain, 78);
  bytes.set(header.note, headerFixedBytes);
  const crcAt = headerFixedBytes + noteLength;
  bytes.writeUInt32LE(crc32(bytes.subarray(0, crcAt), header.previousChain), crcAt);
  return bytes;
};

export type DecodedHeader =
  | {
      readonly kind: "header";
      readonly header: SegmentHeader;
      /** Where the first record begins. */
      readonly endOffset: number;
      /** Seeds the first record. */
      readonly chain: number;
    }
  /** Read at least `bytes` from the start of the file and try again; a file that is shorter is cut off. */
  | { readonly kind: "short"; readonly bytes: number }
  | { readonly kind: "version"; readonly version: number }
  | { readonly kind: "bad"; readonly why: string };

export const decodeSegmentHeader = (bytes: Buffer): DecodedHeader => {
  if (bytes.length < headerFixedBytes) return { kind: "short", bytes: headerFixedBytes };
  if (magic.compare(bytes, 0, magic.length) !== 0) return { kind: "bad", why: "it does not begin like a log segment" };
  const version = bytes.readUInt16LE(8);
  if (version !== logFormatVersion) return { kind: "version", version };
  const noteLength = bytes.readUInt32LE(12);
  if (noteLength > segmentNoteBytesMax) return { kind: "bad", why: "its note has an impossible length" };
  const endOffset = headerOverheadBytes + noteLength;
  if (bytes.length < endOffset) return { kind: "short", bytes: endOffset };
  const previousChain = bytes.readUInt32LE(78);
  const crcAt = headerFixedBytes + noteLength;
  const chain = bytes.readUInt32LE(crcAt);
  if (crc32(bytes.subarray(0, crcAt), previousChain) !== chain) {
    return { kind: "bad", why: "its header's checksum is wrong" };
  }
  const nameField = bytes.toString("latin1", 24, 24 + peerNameBytes);
  const padAt = nameField.indexOf("\0");
  return {
    kind: "header",
    header: {
      storageId: bytes.readBigUInt64LE(16),
      peerName: padAt < 0 ? nameField : nameField.slice(0, padAt),
      number: bytes.readUInt32LE(56),
      firstLsn: bytes.readUIntLE(60, 6),
      syncedLsn: bytes.readUIntLE(66, 6),
      previousEndOffset: bytes.readUIntLE(72, 6),
      previousChain,
      note: Uint8Array.prototype.slice.call(bytes, headerFixedBytes, crcAt),
    },
    endOffset,
    chain,
  };
};

/** Refuses what `encodeRecord` must never be given, before a byte of the batch is written. */
export const assertRecordFits = (record: LogRecord): void => {
  const length = recordOverheadBytes + record.bytes.length;
  if (length > logRecordBytesMax) throw new RangeError(`log record of ${length} bytes, limit ${logRecordBytesMax}`);
  if (!(Number.isInteger(record.type) && record.type >= 1 && record.type <= 255)) {
    throw new RangeError(`log record of type ${record.type}, allowed are 1 to 255`);
  }
};

export interface RecordPlace {
  lsn: Lsn;
  syncedLsn: Lsn;
  /** CRC of the record before. */
  chain: number;
  readonly salt: number;
}

/**
 * Writes one record at `offset` of a buffer with room for it and returns its CRC, the seed of the next. Its end is
 * `offset + recordOverheadBytes + bytes.length`.
 */
export const encodeRecord = (
  into: Buffer,
  offset: number,
  type: number,
  bytes: Uint8Array,
  place: RecordPlace,
): number => {
  const { lsn, syncedLsn, chain: previous, salt } = place;
  into.writeUInt32LE(recordOverheadBytes + bytes.length, offset);
  into[offset + 4] = type;
  into.writeUIntLE(lsn, offset + 5, 6);
  into.writeUInt32LE(Math.min(lsn - syncedLsn, behindMax), offset + 11);
  into.set(bytes, offset + recordHeadBytes);
  const crcAt = offset + recordHeadBytes + bytes.length;
  const chain = crc32(into.subarray(offset, crcAt), recordSeed(previous, salt));
  into.writeUInt32LE(chain, crcAt);
  return chain;
};

const syncedMagic = Buffer.from("chorsync", "latin1");
export const syncedFileBytes = 26;

export const encodeSynced = (storageId: bigint, lsn: Lsn): Buffer => {
  const bytes = Buffer.allocUnsafe(syncedFileBytes);
  syncedMagic.copy(bytes, 0);
  bytes.writeBigUInt64LE(storageId, 8);
  bytes.writeUIntLE(lsn, 16, 6);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 22)), 22);
  return bytes;
};

/** Undefined if it says nothing that can be relied on; then only the log itself says what was synced. */
export const decodeSynced = (bytes: Buffer, storageId: bigint): Lsn | undefined => {
  if (bytes.length < syncedFileBytes || syncedMagic.compare(bytes, 0, 8) !== 0) return undefined;
  if (crc32(bytes.subarray(0, 22)) !== bytes.readUInt32LE(22)) return undefined;
  return bytes.readBigUInt64LE(8) === storageId ? bytes.readUIntLE(16, 6) : undefined;
};

/** What stands at the reader's place. `short`: the buffer ends before the record does. */
export type RecordStep = "record" | "end" | "short" | "bad";

/**
 * Steps through the records in a buffer, checking each. Its fields describe the record of the last `next()`; reading a
 * million records makes no garbage.
 */
export class RecordReader {
  readonly #salt: number;
  #buffer: Buffer = Buffer.alloc(0);
  /** In the buffer: where the next record begins. */
  offset = 0;
  /** CRC of the record before; seeds the next. */
  chain = 0;
  /** LSN the next record must have. */
  nextLsn: Lsn = 0;
  /** After `short`: bytes of the record begun, or of its length field if even that is cut off. */
  lengthNeeded = 0;

  type = 0;
  lsn: Lsn = 0;
  syncedLsn: Lsn = 0;
  bytesStart = 0;
  bytesEnd = 0;

  constructor(salt: number) {
    this.#salt = salt;
  }

  begin(buffer: Buffer, offset: number, place: { readonly chain: number; readonly nextLsn: Lsn }): void {
    this.#buffer = buffer;
    this.offset = offset;
    this.chain = place.chain;
    this.nextLsn = place.nextLsn;
  }

  next(): RecordStep {
    const buffer = this.#buffer;
    const offset = this.offset;
    if (buffer.length - offset < crcBytes) {
      this.lengthNeeded = crcBytes;
      return "short";
    }
    const length = buffer.readUInt32LE(offset);
    if (length === 0) return "end";
    if (length < recordOverheadBytes || length > logRecordBytesMax) return "bad";
    if (buffer.length - offset < length) {
      this.lengthNeeded = length;
      return "short";
    }
    const type = buffer[offset + 4] ?? 0;
    const lsn = buffer.readUIntLE(offset + 5, 6);
    if (lsn !== this.nextLsn) return "bad";
    const crcAt = offset + length - crcBytes;
    const chain = buffer.readUInt32LE(crcAt);
    if (crc32(buffer.subarray(offset, crcAt), recordSeed(this.chain, this.#salt)) !== chain) return "bad";
    this.type = type;
    this.lsn = lsn;
    this.syncedLsn = Math.max(0, lsn - buffer.readUInt32LE(offset + 11));
    this.bytesStart = offset + recordHeadBytes;
    this.bytesEnd = crcAt;
    this.offset = offset + length;
    this.chain = chain;
    this.nextLsn = lsn + 1;
    return "record";
  }
}

/**
 * Looks for whole records behind damage: tries each offset, seeding the CRC with the four bytes before it. Reports the
 * offset of the first survivor and the highest LSN any survivor says was synced. Costs one pass over the bytes, and a
 * CRC only where length and LSN are believable.
 *
 * `chain`: CRC of the last good record, which ends at `start`. If all that is wrong with the record there is its stored
 * CRC, the next one's seed is what that CRC should be.
 */
export const findSurvivors = (
  buffer: Buffer,
  start: number,
  bounds: { readonly lsnMin: Lsn; readonly salt: number; readonly chain?: number },
): { readonly offset: number; readonly syncedLsn: Lsn } | undefined => {
  const { lsnMin, salt, chain } = bounds;
  const lsnBelievable = lsnMin + Math.ceil(buffer.length / recordOverheadBytes);
  const lengthAt = (offset: number): number => {
    if (offset + recordOverheadBytes > buffer.length) return 0;
    const length = buffer.readUInt32LE(offset);
    if (length < recordOverheadBytes || length > logRecordBytesMax || offset + length > buffer.length) return 0;
    const lsn = buffer.readUIntLE(offset + 5, 6);
    return lsn >= lsnMin && lsn <= lsnBelievable ? length : 0;
  };
  const crcOf = (offset: number, length: number, previous: number): number =>
    crc32(buffer.subarray(offset, offset + length - crcBytes), recordSeed(previous, salt));

  const badLength = lengthAt(start);
  const mended = chain === undefined || badLength === 0 ? undefined : crcOf(start, badLength, chain);
  let first: number | undefined;
  let syncedLsn = 0;
  for (let offset = Math.max(start, crcBytes); offset + recordOverheadBytes <= buffer.length; ) {
    const length = lengthAt(offset);
    if (length > 0) {
      const stored = buffer.readUInt32LE(offset + length - crcBytes);
      const isWhole =
        crcOf(offset, length, buffer.readUInt32LE(offset - crcBytes)) === stored ||
        (mended !== undefined && offset === start + badLength && crcOf(offset, length, mended) === stored);
      if (isWhole) {
        first ??= offset;
        syncedLsn = Math.max(syncedLsn, buffer.readUIntLE(offset + 5, 6) - buffer.readUInt32LE(offset + 11));
        offset += length;
        continue;
      }
    }
    offset += 1;
  }
  return first === undefined ? undefined : { offset: first, syncedLsn };
};

/**
 * Whether some 512-byte sector (or the part of it inside the range) is all zero: how a sector looks that was reserved
 * and never written. The test etcd's log makes to tell a torn write from damage. `base`: the buffer's offset in the file.
 */
export const hasZeroSector = (buffer: Buffer, start: number, end: number, base: number): boolean => {
  const sectorBytes = 512;
  for (let at = start; at < end; ) {
    const next = Math.min(end, (Math.floor((base + at) / sectorBytes) + 1) * sectorBytes - base);
    if (isZero(buffer, at, next)) return true;
    at = next;
  }
  return false;
};

const zeros = Buffer.alloc(64 * 1024);

export const isZero = (buffer: Buffer, start: number, end: number): boolean => {
  for (let at = start; at < end; at += zeros.length) {
    const length = Math.min(zeros.length, end - at);
    if (zeros.compare(buffer, at, at + length, 0, length) !== 0) return false;
  }
  return true;
};
