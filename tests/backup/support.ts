/** Backups made in memory: bytes of the format without a peer. */
import assert from "node:assert/strict";
import { type Incarnation, type PeerName, parseIncarnation, parsePeerName } from "../../protocol/words.ts";
import {
  BackupReader,
  type BackupRecord,
  BackupWriter,
  backupRecord,
  encodeCellCount,
  encodeConflicts,
  encodeCut,
  encodeHeader,
} from "../../server/backup/format.ts";
import { encodeConflict, Replica, recordType } from "../../server/replica/index.ts";

export const nameOf = (text: string): PeerName => parsePeerName(text) as PeerName;

/** A run that is the same every time. */
const incarnation = parseIncarnation("0k2v7x1abcd0f9z") as Incarnation;
const nowMs = 1_800_000_000_000;

export const newReplica = (name = "a"): Replica =>
  new Replica({
    name: nameOf(name),
    peers: ["a", "b", "c"].map(nameOf),
    clockSkewMaxMs: 5000,
    conflicts: { entriesMax: 1000, bytesMax: 1 << 24 },
    recentBytesMax: 0,
  });

/** Started, open, and the same every time. */
export const startedReplica = (): Replica => {
  const replica = newReplica();
  const { state } = replica;
  replica.start({ nowMs, elapsedMs: 1, random: "f9z0", bootstrap: true, firstStart: true });
  replica.ready();
  state.incarnation = incarnation;
  state.self = state.origins.number(`a.${incarnation}` as Parameters<typeof state.origins.number>[0]);
  state.clock.ceiling = state.clock.last + 1e9;
  replica.keyspace.begin(nowMs);
  return replica;
};

/**
 * A backup of the replica as it would be streamed, in slices of one cell; `between` runs after each and may write.
 */
export const backupOf = (replica: Replica, between: (slice: number) => void = () => {}): Buffer => {
  const writer = new BackupWriter();
  const parts: Uint8Array[] = [writer.head()];
  const scan = replica.beginBackup();
  const frames: Uint8Array[] = [];
  const take = (): void => {
    for (const { lsn, type, bytes } of replica.ready().append) {
      if (lsn >= scan.logCursor && lsn < (scan.end?.lsn ?? lsn + 1) && type === recordType.frame) frames.push(bytes);
    }
  };
  const header = {
    cluster: "chorus",
    peer: replica.state.name,
    incarnation: replica.state.incarnation,
    version: "0.1.0",
  };
  parts.push(...writer.record(backupRecord.header, encodeHeader({ ...header, begunAtMs: nowMs, start: scan.start })));
  replica.ready();
  let cells = 0;
  for (let slice = 0; scan.end === undefined; slice++) {
    const { bytes, count } = scan.slice(1);
    cells += count;
    if (count > 0) parts.push(...writer.record(backupRecord.cells, encodeCellCount(count), bytes));
    take();
    if (scan.end === undefined) between(slice);
  }
  const { cut, conflicts } = scan.end;
  for (const frame of frames) parts.push(...writer.record(backupRecord.frames, frame));
  if (conflicts.length > 0)
    parts.push(...writer.record(backupRecord.conflicts, encodeConflicts(conflicts.map(encodeConflict))));
  parts.push(...writer.record(backupRecord.cut, encodeCut(cut)));
  parts.push(...writer.end({ cells, frames: frames.length, conflicts: conflicts.length }, nowMs + 5));
  replica.endBackup(scan);
  return Buffer.concat(parts);
};

/** All records, in chunks of so many bytes. Throws BackupFault. */
export const readAll = (bytes: Buffer, chunkBytes = bytes.length): BackupRecord[] => {
  const reader = new BackupReader();
  const records: BackupRecord[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes)
    records.push(...reader.push(bytes.subarray(at, at + chunkBytes)));
  reader.end();
  assert(reader.isWhole);
  return records;
};

/** Some of everything a cell can be, and frames that came between. */
export const variedBackup = (): Buffer => {
  const replica = startedReplica();
  const { keyspace } = replica;
  keyspace.set("city", "Oslo", 0);
  keyspace.set("bytes \x00\xff", "\r\n\x80", 0);
  keyspace.set("", "", nowMs + 3_600_000);
  keyspace.set("gone", "1", 0);
  keyspace.delete("gone");
  keyspace.increment("n", 5);
  keyspace.increment("n", 2n ** 62n);
  keyspace.set("n2", "10", 0);
  keyspace.increment("n2", 1);
  keyspace.set("n2", "20", 0);
  replica.state.seal();
  const dot = { stamp: replica.state.clock.last, expiresAtMs: 0 };
  replica.state.journal.record({
    id: "b.0k2v7x1abcd0f9z:3",
    key: "city",
    winner: { ...dot, value: "Oslo", dot: "a.0k2v7x1abcd0f9z:1" },
    loser: { ...dot, value: "Rome", dot: "b.0k2v7x1abcd0f9z:3" },
    why: "later stamp",
    restored: false,
  });
  return backupOf(replica, (slice) => {
    if (slice === 1) keyspace.set("during", "the scan", 0);
    if (slice === 2) keyspace.delete("city");
  });
};

export async function* inChunks(bytes: Buffer, chunkBytes = 64 * 1024): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += chunkBytes)
    yield await Promise.resolve(bytes.subarray(at, at + chunkBytes));
}
