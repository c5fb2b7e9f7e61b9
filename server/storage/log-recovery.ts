/**
 * Finds out what a stopped log holds, and cuts off what a power failure left half-written.
 *
 * The log is one chain of records over all its files. Everything below the highest LSN that any record, header or the
 * file `synced` calls synced was on disk; the rest was in flight and may be missing in any part, as the kernel writes
 * pages back in any order. So at the first bad record, or where the log ends too early:
 *
 *   it was synced                                  damage: refuse (CORRUPT), for acknowledged writes would be lost
 *   it was not, and nothing whole follows          a torn tail: cut it off there
 *   it was not, whole records follow, and some     a torn tail written back out of order: cut it off there
 *     sector of the bad one was never written
 *   it was not, whole records follow, no such sign damage: refuse
 *
 * A file that a roll created just before the power failed is part of that tail. Older files, all of it known to be
 * synced, are not read here (a gigabyte would delay each start); whoever reads them checks the same chain.
 *
 * Last, the unsynced tail that was kept is written again in place: after a failed fsync Linux may hold pages that it
 * calls clean and never wrote (fsyncgate). What we just read would then not be on disk, and no later sync would put it
 * there.
 */
import { join } from "node:path";
import type { Lsn } from "../../protocol/words.ts";
import { damageRemedy } from "./failures.ts";
import type { FileSystem } from "./file-system.ts";
import type { DecodedHeader } from "./log-format.ts";
import {
  decodeSegmentHeader,
  decodeSynced,
  findSurvivors,
  hasZeroSector,
  headerFixedBytes,
  isZero,
  logFormatVersion,
  storageSalt,
  syncedFileBytes,
} from "./log-format.ts";
import type { LogPlace } from "./log-segment.ts";
import { Segment, scanSegment, segmentFileName, segmentNumber } from "./log-segment.ts";
import { StorageFailure } from "./storage.ts";

export interface LogOwner {
  readonly peerName: string;
  /** Random, one per data directory. */
  readonly storageId: bigint;
}

export interface RecoveredLog {
  /** Oldest first; empty when there is no log yet. */
  readonly segments: Segment[];
  /** All below was known to be synced before this start; now everything is. */
  readonly knownSyncedLsn: Lsn;
  /** What was cut off, for the operator. */
  readonly torn: TornTail | undefined;
}

/** Beside the segments; see log-format.ts. */
export const syncedFileName = "synced";

export interface TornTail {
  readonly path: string;
  readonly offset: number;
  readonly lsn: Lsn;
  /** Bytes that were not zero, over all files concerned. */
  readonly bytes: number;
}

const scanChunkBytes = 1024 * 1024;
const rewriteChunkBytes = 4 * 1024 * 1024;

type ReadHeader =
  | { readonly path: string; readonly fileBytes: number; readonly segment: Segment }
  | { readonly path: string; readonly fileBytes: number; readonly segment: undefined; readonly why: string };

export const recoverLog = async (fs: FileSystem, directory: string, owner: LogOwner): Promise<RecoveredLog> => {
  const headers = await loadHeaders(fs, directory, owner);
  const saidSyncedLsn = await loadSynced(fs, directory, owner);
  const first = headers[0];
  if (first === undefined) {
    if (saidSyncedLsn > 1) throw endsTooEarly(directory, 1, saidSyncedLsn);
    return { segments: [], knownSyncedLsn: 1, torn: undefined };
  }
  if (first.segment === undefined) throw corrupt(first.path, 0, first.why);

  // The longest run of whole headers from the oldest on, each linked to the one before.
  const segments: Segment[] = [];
  // What was before the oldest file was trimmed, which waits for a sync of what follows.
  let knownSyncedLsn = Math.max(first.segment.firstLsn, saidSyncedLsn);
  for (const { segment } of headers) {
    if (segment === undefined) break;
    segments.push(segment);
    knownSyncedLsn = Math.max(knownSyncedLsn, segment.header.syncedLsn);
  }
  let scanFrom = segments.findLastIndex((segment) => segment.firstLsn <= knownSyncedLsn);
  for (let at = 0; at < scanFrom; at++) {
    const { fileBytes, path } = headers[at] as ReadHeader;
    const segment = segments[at] as Segment;
    segment.end = endByNext(segments[at + 1] as Segment);
    if (fileBytes < segment.end.offset) {
      throw corrupt(path, fileBytes, `the file ends here, its records go on to offset ${segment.end.offset}`);
    }
  }

  let damage: (LogPlace & { readonly why: string }) | undefined;
  for (; scanFrom < segments.length && damage === undefined; scanFrom++) {
    const segment = segments[scanFrom] as Segment;
    const next = segments[scanFrom + 1];
    const { fileBytes } = headers[scanFrom] as ReadHeader;
    const file = await fs.openForReading(segment.path);
    try {
      const endOffset = Math.min(next?.header.previousEndOffset ?? fileBytes, fileBytes);
      const range = { from: segment.begin, endOffset, chunkBytes: scanChunkBytes };
      const stop = await scanSegment(file, segment, range, (reader) => {
        if (reader.syncedLsn > knownSyncedLsn) knownSyncedLsn = reader.syncedLsn;
        return false;
      });
      segment.end = { offset: stop.offset, lsn: stop.lsn, chain: stop.chain };
      if (next === undefined) {
        const rest = await file.read(stop.offset, fileBytes - stop.offset);
        if (!isZero(rest, 0, rest.length)) damage = { ...segment.end, why: "the record here does not verify" };
      } else if (stop.kind !== "end" || !samePlace(segment.end, endByNext(next))) {
        damage = { ...segment.end, why: `the records here do not lead to those of ${next.path}` };
      }
    } finally {
      await file.close();
    }
  }

  let lastAt = scanFrom - 1;
  const unreadable = headers[segments.length];
  if (damage === undefined && unreadable?.segment === undefined && unreadable !== undefined) {
    // The last whole header's records are whole too; the file behind them never got its header.
    lastAt = segments.length - 1;
    damage = { ...(segments[lastAt] as Segment).end, why: unreadable.why };
  }

  const end = (segments[lastAt] as Segment).end;
  if (damage === undefined && end.lsn < knownSyncedLsn) throw endsTooEarly(directory, end.lsn, knownSyncedLsn);

  let torn: TornTail | undefined;
  if (damage !== undefined) {
    torn = await judgeDamage(fs, { headers, at: lastAt, damage, knownSyncedLsn, owner });
    await cutOff(fs, directory, headers, lastAt, damage.offset);
    segments.length = lastAt + 1;
  }
  await rewriteUnsynced(fs, directory, segments, knownSyncedLsn);
  return { segments, knownSyncedLsn, torn: torn !== undefined && torn.bytes > 0 ? torn : undefined };
};

const endByNext = (next: Segment): LogPlace => ({
  offset: next.header.previousEndOffset,
  lsn: next.firstLsn,
  chain: next.header.previousChain,
});

const samePlace = (a: LogPlace, b: LogPlace): boolean =>
  a.offset === b.offset && a.lsn === b.lsn && a.chain === b.chain;

const corrupt = (path: string, offset: number, why: string): StorageFailure =>
  new StorageFailure("CORRUPT", `log file ${path} is damaged at offset ${offset}: ${why}. ${damageRemedy}`);

const endsTooEarly = (directory: string, nextLsn: Lsn, knownSyncedLsn: Lsn): StorageFailure => {
  const why = `it ends before record ${nextLsn}, but all below ${knownSyncedLsn} was on disk`;
  return new StorageFailure("CORRUPT", `the log in ${directory} was cut short: ${why}. ${damageRemedy}`);
};

/** 1 if nothing reliable is written there. */
const loadSynced = async (fs: FileSystem, directory: string, owner: LogOwner): Promise<Lsn> => {
  if (!(await fs.list(directory)).includes(syncedFileName)) return 1;
  const file = await fs.openForReading(join(directory, syncedFileName));
  try {
    return decodeSynced(await file.read(0, syncedFileBytes), owner.storageId) ?? 1;
  } finally {
    await file.close();
  }
};

const loadHeaders = async (fs: FileSystem, directory: string, owner: LogOwner): Promise<ReadHeader[]> => {
  const numbers = (await fs.list(directory))
    .map(segmentNumber)
    .filter((number) => number !== undefined)
    .sort((a, b) => a - b);
  const headers: ReadHeader[] = [];
  for (const [at, number] of numbers.entries()) {
    const expected = (numbers[0] ?? 0) + at;
    const path = join(directory, segmentFileName(number));
    if (number !== expected) {
      const missing = join(directory, segmentFileName(expected));
      throw new StorageFailure("CORRUPT", `log file ${missing} is missing, though later ones exist. ${damageRemedy}`);
    }
    headers.push(await loadHeader(fs, path, number, owner));
  }
  return headers;
};

const loadHeader = async (fs: FileSystem, path: string, number: number, owner: LogOwner): Promise<ReadHeader> => {
  const file = await fs.openForReading(path);
  try {
    const fileBytes = file.size;
    let decoded: DecodedHeader = decodeSegmentHeader(await file.read(0, headerFixedBytes));
    // The fixed part says how long the note is.
    if (decoded.kind === "short" && decoded.bytes <= fileBytes) {
      decoded = decodeSegmentHeader(await file.read(0, decoded.bytes));
    }
    switch (decoded.kind) {
      case "version":
        throw new StorageFailure(
          "FORMAT",
          `log file ${path} has format version ${decoded.version}; this program reads version ${logFormatVersion}. ` +
            "Start the version of Chorus that wrote it",
        );
      case "short":
        return { path, fileBytes, segment: undefined, why: "the file ends within its header" };
      case "bad":
        return { path, fileBytes, segment: undefined, why: decoded.why };
      case "header": {
        const { header } = decoded;
        if (header.peerName !== owner.peerName || header.storageId !== owner.storageId) {
          throw new StorageFailure(
            "WRONG_PEER",
            `log file ${path} was written by peer ${header.peerName} in another data directory; it does not belong here`,
          );
        }
        if (header.number !== number) throw corrupt(path, 0, `it is number ${header.number} by its header`);
        return { path, fileBytes, segment: new Segment(path, decoded) };
      }
    }
  } finally {
    await file.close();
  }
};

/** Throws if the damage is not a torn tail; see the table at the top. */
const judgeDamage = async (
  fs: FileSystem,
  found: {
    readonly headers: readonly ReadHeader[];
    /** Index of the file with the damage, or of the last good one if the damage is the next file's header. */
    readonly at: number;
    readonly damage: LogPlace & { readonly why: string };
    readonly knownSyncedLsn: Lsn;
    readonly owner: LogOwner;
  },
): Promise<TornTail> => {
  const { headers, at, damage, owner } = found;
  const salt = storageSalt(owner.storageId);
  let knownSyncedLsn = found.knownSyncedLsn;
  let wholeFollows = false;
  let neverWritten = false;
  let bytes = 0;
  for (let later = at; later < headers.length; later++) {
    const { path, fileBytes, segment } = headers[later] as ReadHeader;
    const isDamaged = later === at;
    // From four bytes before the damage, as they seed a record that begins right there.
    const base = isDamaged ? Math.max(0, damage.offset - 4) : 0;
    const start = isDamaged ? damage.offset - base : 0;
    const file = await fs.openForReading(path);
    const rest = await file.read(base, fileBytes - base).finally(() => file.close());
    const usedEnd = Math.max(start, usedBytes(rest));
    bytes += usedEnd - start;

    const lsnMin = isDamaged || segment === undefined ? damage.lsn : Math.max(damage.lsn, segment.firstLsn);
    const survivors = findSurvivors(rest, start, isDamaged ? { lsnMin, salt, chain: damage.chain } : { lsnMin, salt });
    if (survivors !== undefined) {
      wholeFollows = true;
      knownSyncedLsn = Math.max(knownSyncedLsn, survivors.syncedLsn);
    }
    if (isDamaged) {
      const recordsEnd = headers[later + 1]?.segment?.header.previousEndOffset;
      // Cut short by the end of the file: its size was still in flight, too.
      if (recordsEnd !== undefined && recordsEnd > fileBytes) neverWritten = true;
      const badEnd = survivors?.offset ?? Math.min(rest.length, recordsEnd === undefined ? usedEnd : recordsEnd - base);
      if (hasZeroSector(rest, start, badEnd, base)) neverWritten = true;
    } else if (segment !== undefined) {
      wholeFollows = true;
      knownSyncedLsn = Math.max(knownSyncedLsn, segment.header.syncedLsn);
    } else if (hasZeroSector(rest, 0, survivors?.offset ?? Math.min(rest.length, headerFixedBytes), 0)) {
      neverWritten = true;
    }
  }
  const where = headers[at] as ReadHeader;
  if (damage.lsn < knownSyncedLsn) {
    const synced = `record ${damage.lsn} was on disk (all below ${knownSyncedLsn} was), so this is no torn write`;
    throw corrupt(where.path, damage.offset, `${damage.why}; ${synced}`);
  }
  if (wholeFollows && !neverWritten) {
    throw corrupt(where.path, damage.offset, `${damage.why}; whole records follow, so this is no torn write`);
  }
  return { path: where.path, offset: damage.offset, lsn: damage.lsn, bytes };
};

const usedBytes = (buffer: Buffer): number => {
  let end = buffer.length;
  while (end > 0 && buffer[end - 1] === 0) end -= 1;
  return end;
};

/** Later files first, so that a crash on the way leaves a log that recovers the same way again. */
const cutOff = async (
  fs: FileSystem,
  directory: string,
  headers: readonly ReadHeader[],
  at: number,
  offset: number,
): Promise<void> => {
  for (let later = headers.length - 1; later > at; later--) await fs.remove((headers[later] as ReadHeader).path);
  await fs.syncDirectory(directory);
  await fs.truncate((headers[at] as ReadHeader).path, offset);
};

const rewriteUnsynced = async (
  fs: FileSystem,
  directory: string,
  segments: readonly Segment[],
  knownSyncedLsn: Lsn,
): Promise<void> => {
  const nextLsn = segments.at(-1)?.end.lsn ?? 1;
  if (knownSyncedLsn >= nextLsn) return;
  for (const segment of segments) {
    if (segment.end.lsn <= knownSyncedLsn) continue;
    const from = segment.firstLsn >= knownSyncedLsn ? 0 : segment.placeBefore(knownSyncedLsn).offset;
    const file = await fs.openForReading(segment.path);
    try {
      for (let offset = from; offset < segment.end.offset; offset += rewriteChunkBytes) {
        const bytes = await file.read(offset, Math.min(rewriteChunkBytes, segment.end.offset - offset));
        await fs.overwrite(segment.path, offset, bytes);
      }
    } finally {
      await file.close();
    }
  }
  await fs.syncDirectory(directory);
};
