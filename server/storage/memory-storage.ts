/**
 * Storage in memory, with a disk's manners: it knows what was synced, and it can crash.
 *
 * For the simulator, which never awaits: each operation has a synchronous form (`...Now`) with the asynchronous one on
 * top. Nothing here is random or timed; `crash` takes its chance as an argument, so a seed replays.
 *
 * A checkpoint write is atomic and durable at once. The log keeps what was appended through a kill, and through a power
 * failure what was synced plus some prefix of the rest.
 */
import { checkpointBatchEntries, replayBatchBytes, segmentBytesDefault } from "../../protocol/limits.ts";
import type { Lsn } from "../../protocol/words.ts";
import { assertNotFormatKey } from "./checkpoint-keys.ts";
import { assertRecordFits, headerOverheadBytes, recordOverheadBytes } from "./log-format.ts";
import type { Checkpoint, CheckpointEntry, Log, LogRecord, LogSegment, Storage, StoredRecord } from "./storage.ts";
import { LogTrimmed } from "./storage.ts";

export interface MemoryStorageOptions {
  /** Default 16 MiB. */
  readonly segmentBytes?: number;
  /** A seeded bug for the simulator: recovery takes a torn last record for a whole one. */
  readonly keepsTornTail?: boolean;
}

/** `kill`: the process died. `power`: the machine did. */
export type CrashKind = "kill" | "power";

interface MemorySegment extends LogSegment {
  bytes: number;
  /** Its header would survive a power failure. */
  isSynced: boolean;
}

interface MemoryLogState {
  readonly records: readonly StoredRecord[];
  readonly segments: readonly Readonly<MemorySegment>[];
  readonly nextLsn: Lsn;
  readonly syncedLsn: Lsn;
}

/** A copy of everything, as a backup tool would take it. */
export interface MemorySnapshot {
  readonly log: MemoryLogState;
  readonly checkpoint: ReadonlyMap<string, Uint8Array>;
}

export class MemoryLog implements Log {
  readonly #segmentBytes: number;
  readonly #keepsTornTail: boolean;
  /** Records from `firstLsn` on, each at index `lsn - firstLsn`. */
  #records: StoredRecord[] = [];
  #segments: MemorySegment[] = [newSegment(1, new Uint8Array(0), true)];
  #nextLsn: Lsn = 1;
  #syncedLsn: Lsn = 1;
  #isClosed = false;

  constructor(options: MemoryStorageOptions) {
    this.#segmentBytes = options.segmentBytes ?? segmentBytesDefault;
    this.#keepsTornTail = options.keepsTornTail ?? false;
  }

  get firstLsn(): Lsn {
    return this.#segments[0]?.firstLsn ?? this.#nextLsn;
  }

  get nextLsn(): Lsn {
    return this.#nextLsn;
  }

  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.bytes, 0);
  }

  get segments(): readonly LogSegment[] {
    return this.#segments;
  }

  get syncedLsn(): Lsn {
    return this.#syncedLsn;
  }

  get #active(): MemorySegment {
    return this.#segments[this.#segments.length - 1] as MemorySegment;
  }

  rollIfFull(note: () => Uint8Array): void {
    if (this.#active.bytes >= this.#segmentBytes) this.roll(note());
  }

  roll(note: Uint8Array): void {
    this.#assertOpen();
    this.#segments.push(newSegment(this.#nextLsn, note, false));
  }

  append(records: readonly LogRecord[]): void {
    this.#assertOpen();
    records.forEach(assertRecordFits);
    for (const { type, bytes } of records) {
      this.#records.push({ lsn: this.#nextLsn, type, bytes: new Uint8Array(bytes) });
      this.#nextLsn += 1;
      this.#active.bytes += recordOverheadBytes + bytes.length;
    }
  }

  syncNow(): void {
    this.#assertOpen();
    this.#syncedLsn = this.#nextLsn;
    for (const segment of this.#segments) segment.isSynced = true;
  }

  readNow(from: Lsn, bytesMax: number): readonly StoredRecord[] {
    const { firstLsn } = this;
    if (from < firstLsn) throw new LogTrimmed(from, firstLsn);
    const begin = from - firstLsn;
    let end = begin;
    for (let bytes = 0; end < this.#records.length && (end === begin || bytes < bytesMax); end++) {
      bytes += recordOverheadBytes + (this.#records[end] as StoredRecord).bytes.length;
    }
    return this.#records.slice(begin, end);
  }

  /** All records from `from` on. */
  replayNow(from: Lsn): readonly StoredRecord[] {
    return this.readNow(from, Number.POSITIVE_INFINITY);
  }

  trimNow(lsn: Lsn): void {
    this.#assertOpen();
    const { firstLsn } = this;
    let firstKept = 0;
    while ((this.#segments[firstKept + 1]?.firstLsn ?? Number.POSITIVE_INFINITY) <= lsn) firstKept += 1;
    if (firstKept === 0) return;
    // As in the file version: what stays is on disk before what is before it goes.
    this.syncNow();
    this.#segments.splice(0, firstKept);
    this.#records.splice(0, this.firstLsn - firstLsn);
  }

  syncBlocking(): void {
    this.syncNow();
  }

  async sync(): Promise<void> {
    this.syncNow();
  }

  async read(from: Lsn, bytesMax: number): Promise<readonly StoredRecord[]> {
    return this.readNow(from, bytesMax);
  }

  async trim(lsn: Lsn): Promise<void> {
    this.trimNow(lsn);
  }

  /** What a new process would find. Returns how many appended records are gone. */
  crash(kind: CrashKind, random: () => number): number {
    this.#isClosed = false;
    if (kind === "kill") {
      // The kernel still has it, and recovery syncs what it finds.
      this.syncNow();
      return 0;
    }
    const appendedLsn = this.#nextLsn;
    const keptCount = Math.floor(random() * (appendedLsn - this.#syncedLsn + 1));
    let nextLsn = this.#syncedLsn + keptCount;
    const torn = this.#records[nextLsn - this.firstLsn];
    const hasTornTail = torn !== undefined && random() < 0.5;
    this.#records.length = nextLsn - this.firstLsn;
    if (torn !== undefined && hasTornTail && this.#keepsTornTail) {
      this.#records.push({ ...torn, bytes: torn.bytes.slice(0, Math.floor(random() * torn.bytes.length)) });
      nextLsn += 1;
    }
    this.#nextLsn = nextLsn;
    this.#segments = this.#segments.filter(
      (segment) => segment.isSynced || segment.firstLsn < nextLsn || (segment.firstLsn === nextLsn && random() < 0.5),
    );
    this.#countBytes();
    this.syncNow();
    return appendedLsn - nextLsn;
  }

  state(): MemoryLogState {
    return {
      records: [...this.#records],
      segments: this.#segments.map((segment) => ({ ...segment })),
      nextLsn: this.#nextLsn,
      syncedLsn: this.#syncedLsn,
    };
  }

  setState(state: MemoryLogState): void {
    this.#records = [...state.records];
    this.#segments = state.segments.map((segment) => ({ ...segment }));
    this.#nextLsn = state.nextLsn;
    this.#syncedLsn = state.syncedLsn;
    this.#isClosed = false;
  }

  close(): void {
    if (!this.#isClosed) this.syncNow();
    this.#isClosed = true;
  }

  reopen(): void {
    this.#isClosed = false;
  }

  #countBytes(): void {
    for (const segment of this.#segments) segment.bytes = headerOverheadBytes + segment.note.length;
    let at = 0;
    for (const record of this.#records) {
      while ((this.#segments[at + 1]?.firstLsn ?? Number.POSITIVE_INFINITY) <= record.lsn) at += 1;
      (this.#segments[at] as MemorySegment).bytes += recordOverheadBytes + record.bytes.length;
    }
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new Error("the log is closed");
  }
}

const newSegment = (firstLsn: Lsn, note: Uint8Array, isSynced: boolean): MemorySegment => ({
  firstLsn,
  note: new Uint8Array(note),
  bytes: headerOverheadBytes + note.length,
  isSynced,
});

export class MemoryCheckpoint implements Checkpoint {
  /** Keys as latin1 strings, whose order is that of their bytes. */
  #values = new Map<string, Uint8Array>();
  #sortedKeys: string[] | undefined;
  #bytes = 0;
  #isClosed = false;

  writeNow(entries: readonly CheckpointEntry[]): void {
    this.#assertOpen();
    for (const [key] of entries) assertNotFormatKey(key);
    for (const [keyBytes, value] of entries) {
      const key = latin1(keyBytes);
      const before = this.#values.get(key);
      if (before !== undefined) this.#bytes -= key.length + before.length;
      if (value === undefined) {
        if (this.#values.delete(key)) this.#sortedKeys = undefined;
        continue;
      }
      if (before === undefined) this.#sortedKeys = undefined;
      this.#values.set(key, new Uint8Array(value));
      this.#bytes += key.length + value.length;
    }
  }

  getNow(key: Uint8Array): Uint8Array | undefined {
    this.#assertOpen();
    assertNotFormatKey(key);
    return this.#values.get(latin1(key));
  }

  entriesNow(prefix: Uint8Array): readonly (readonly [Uint8Array, Uint8Array])[] {
    this.#assertOpen();
    this.#sortedKeys ??= [...this.#values.keys()].sort();
    const start = latin1(prefix);
    const found: [Uint8Array, Uint8Array][] = [];
    for (let at = firstAtLeast(this.#sortedKeys, start); at < this.#sortedKeys.length; at++) {
      const key = this.#sortedKeys[at] as string;
      if (!key.startsWith(start)) break;
      found.push([Buffer.from(key, "latin1"), this.#values.get(key) as Uint8Array]);
    }
    return found;
  }

  async write(entries: readonly CheckpointEntry[]): Promise<void> {
    this.writeNow(entries);
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.getNow(key);
  }

  async *entries(prefix: Uint8Array): AsyncGenerator<readonly (readonly [Uint8Array, Uint8Array])[]> {
    const found = this.entriesNow(prefix);
    for (let at = 0; at < found.length; at += checkpointBatchEntries) {
      yield found.slice(at, at + checkpointBatchEntries);
    }
  }

  async bytes(): Promise<number> {
    return this.#bytes;
  }

  state(): ReadonlyMap<string, Uint8Array> {
    return new Map(this.#values);
  }

  setState(state: ReadonlyMap<string, Uint8Array>): void {
    this.#values = new Map(state);
    this.#sortedKeys = undefined;
    this.#bytes = 0;
    for (const [key, value] of state) this.#bytes += key.length + value.length;
    this.#isClosed = false;
  }

  close(): void {
    this.#isClosed = true;
  }

  reopen(): void {
    this.#isClosed = false;
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new Error("the checkpoint is closed");
  }
}

const latin1 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");

const firstAtLeast = (sorted: readonly string[], bound: string): number => {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as string) < bound) low = middle + 1;
    else high = middle;
  }
  return low;
};

export class MemoryStorage implements Storage {
  readonly log: MemoryLog;
  readonly checkpoint = new MemoryCheckpoint();

  constructor(options: MemoryStorageOptions = {}) {
    this.log = new MemoryLog(options);
  }

  syncNow(): void {
    this.log.syncNow();
  }

  readNow(from: Lsn, bytesMax: number): readonly StoredRecord[] {
    return this.log.readNow(from, bytesMax);
  }

  replayNow(from: Lsn): readonly StoredRecord[] {
    return this.log.replayNow(from);
  }

  trimNow(lsn: Lsn): void {
    this.log.trimNow(lsn);
  }

  writeNow(entries: readonly CheckpointEntry[]): void {
    this.checkpoint.writeNow(entries);
  }

  getNow(key: Uint8Array): Uint8Array | undefined {
    return this.checkpoint.getNow(key);
  }

  entriesNow(prefix: Uint8Array): readonly (readonly [Uint8Array, Uint8Array])[] {
    return this.checkpoint.entriesNow(prefix);
  }

  async *replay(from: Lsn): AsyncGenerator<readonly StoredRecord[]> {
    for (let next = from; ; ) {
      const records = this.log.readNow(next, replayBatchBytes);
      const last = records.at(-1);
      if (last === undefined) return;
      yield records;
      next = last.lsn + 1;
    }
  }

  /** Becomes what a new process would find after the crash. Returns how many appended records are gone. */
  crash(kind: CrashKind, random: () => number): number {
    this.checkpoint.reopen();
    return this.log.crash(kind, random);
  }

  snapshot(): MemorySnapshot {
    return { log: this.log.state(), checkpoint: this.checkpoint.state() };
  }

  /** Puts a backup back: what was written since it was taken never was. */
  restore(snapshot: MemorySnapshot): void {
    this.log.setState(snapshot.log);
    this.checkpoint.setState(snapshot.checkpoint);
  }

  /** After `close`: the next process on the same disk. */
  reopen(): void {
    this.log.reopen();
    this.checkpoint.reopen();
  }

  async close(): Promise<void> {
    this.log.close();
    this.checkpoint.close();
  }
}
