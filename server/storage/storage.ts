/**
 * Where a peer keeps what must survive: a log, which has an exact prefix in apply order, and a checkpoint of the map.
 *
 * One interface, two versions (files, memory), one conformance suite. The memory version can crash: it forgets what was
 * not synced, so the simulator exercises the same contract that the file version keeps.
 *
 * Recovery is: the checkpoint's cells, then the log's records from the checkpoint's LSN, in order.
 */
import type { Lsn } from "../../protocol/words.ts";

/** A record's bytes are the replica's business; the log adds length, chain CRC and LSN. */
export interface LogRecord {
  /** 1..255; see server/replica. */
  readonly type: number;
  readonly bytes: Uint8Array;
}

export interface StoredRecord extends LogRecord {
  readonly lsn: Lsn;
}

export interface LogSegment {
  readonly firstLsn: Lsn;
  /** What the replica noted when the segment was begun: its encoded version vector of all before `firstLsn`. */
  readonly note: Uint8Array;
}

export interface Log {
  /** LSN of the oldest record kept; equals `nextLsn` when the log is empty. */
  readonly firstLsn: Lsn;
  /** LSN the next record will get. A new log starts at 1. */
  readonly nextLsn: Lsn;
  /** Bytes of all segments kept. */
  readonly bytes: number;
  /** Oldest first; never empty once open. */
  readonly segments: readonly LogSegment[];
  /** LSN below which all is on disk (a finished sync covers it). */
  readonly syncedLsn: Lsn;
  /**
   * Begins a new segment if the last has reached its size, writing `note()` into its header. Called between appends by
   * the one who knows the version vector at that point.
   */
  rollIfFull(note: () => Uint8Array): void;
  /** Begins a new segment now. */
  roll(note: Uint8Array): void;
  /**
   * In the operating system's hands when it returns (a killed process loses nothing). The caller may reuse the bytes
   * afterwards. Throws StorageFailure; the peer then stops (no retry: reliability §4 F1).
   */
  append(records: readonly LogRecord[]): void;
  /** Resolves when everything appended before the call is on disk. Group commit: never two syncs at once. */
  sync(): Promise<void>;
  /** On disk when it returns; the process waits. Only for what cannot go on without: a clock ceiling after a standstill. */
  syncBlocking(): void;
  /** Up to about `bytesMax` bytes of records from `from` on, at least one if there is one. Rejects with LogTrimmed. */
  read(from: Lsn, bytesMax: number): Promise<readonly StoredRecord[]>;
  /** Deletes whole segments that hold only records below `lsn`. */
  trim(lsn: Lsn): Promise<void>;
}

/** Undefined as value: the entry is deleted. Keys are the replica's; the checkpoint keeps them in byte order. */
export type CheckpointEntry = readonly [key: Uint8Array, value: Uint8Array | undefined];

export interface Checkpoint {
  /** Atomic and on disk when it resolves. */
  write(entries: readonly CheckpointEntry[]): Promise<void>;
  get(key: Uint8Array): Promise<Uint8Array | undefined>;
  /** All entries whose key starts with `prefix`, in batches, in byte order of the keys. */
  entries(prefix: Uint8Array): AsyncIterable<readonly (readonly [Uint8Array, Uint8Array])[]>;
  /** Approximate bytes on disk. */
  bytes(): Promise<number>;
}

export interface Storage {
  readonly log: Log;
  readonly checkpoint: Checkpoint;
  /** All records from `from` on, in order, in batches: for recovery. */
  replay(from: Lsn): AsyncIterable<readonly StoredRecord[]>;
  close(): Promise<void>;
}

/** The records asked for are no longer in the log: send the map instead (a transfer). */
export class LogTrimmed extends RangeError {
  readonly firstLsn: Lsn;
  constructor(from: Lsn, firstLsn: Lsn) {
    super(`the log begins at record ${firstLsn}; record ${from} was trimmed`);
    this.name = "LogTrimmed";
    this.firstLsn = firstLsn;
  }
}

/** Damage, a failed write or sync, a directory in use. `code` is stable; the message says what to do. */
export class StorageFailure extends Error {
  readonly code: "CORRUPT" | "IN_USE" | "NO_SPACE" | "IO" | "FORMAT" | "NOT_WRITABLE" | "WRONG_PEER" | "WRONG_PREFIXES";
  constructor(code: StorageFailure["code"], message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "StorageFailure";
    this.code = code;
  }
}
