/**
 * From a backup (format.ts) to a data directory that a peer starts from, as a new run; or only through it, to see that it
 * is whole.
 *
 * The file is read once, in pieces, and nothing counts before its end was found sound. So all is built in DIR/restoring and
 * moved into place last, peer.json last of all: what a kill leaves is a directory that no peer starts on. In the same
 * directory, since DIR may be the root of a volume.
 *
 * At the end the directory is loaded as a peer would, and what it shows is compared with the digest that the peer had at
 * that very vector: equal digests prove that the backup is the state it says it is.
 */
import { readdir, rename, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { getHeapStatistics } from "node:v8";
import { DecodeFault } from "../../protocol/bytes.ts";
import { restoreBatchBytes } from "../../protocol/limits.ts";
import { type PeerName, parsePeerName } from "../../protocol/words.ts";
import { recover, replicaAtRest } from "../recovery.ts";
import { type Cut, RestoredCheckpoint } from "../replica/index.ts";
import { makeDirectory, nodeFileSystem } from "../storage/file-system.ts";
import { type FileStorage, openFileStorage, restoringName } from "../storage/open.ts";
import type { CheckpointEntry, LogRecord } from "../storage/storage.ts";
import {
  BackupFault,
  type BackupHeader,
  BackupReader,
  type BackupRecord,
  type BackupTotals,
  backupRecord,
  decodeCells,
  decodeConflicts,
  decodeCut,
  decodeEnd,
  decodeHeader,
} from "./format.ts";

export interface BackupSummary {
  readonly header: BackupHeader;
  readonly cut: Cut;
  readonly totals: BackupTotals;
  readonly endedAtMs: number;
  readonly bytes: number;
  readonly sha256: string;
}

export interface RestoreOptions {
  readonly chunks: AsyncIterable<Buffer>;
  readonly directory: string;
  /** Default: the peer whose backup it is. */
  readonly name?: PeerName;
  /** True: the peer takes no clients before it has caught up with another one that does. */
  readonly gated: boolean;
  /** Undefined: as far as this process's heap allows. */
  readonly verify?: boolean;
  readonly onProgress: (progress: RestoreProgress) => void;
}

export interface RestoreProgress {
  readonly bytes: number;
  readonly cells: number;
  /** Undefined until the header was read. */
  readonly cellsExpected: number | undefined;
}

export interface RestoreReport extends BackupSummary {
  readonly name: PeerName;
  /** Whether the directory was loaded and found to show the peer's digest. */
  readonly verified: "identical" | "skipped" | "no digest";
}

/** The directory cannot take a restore. */
export class NotRestored extends Error {}

/** What becomes of a backup's parts. */
interface Sink {
  begin(checkpoint: RestoredCheckpoint): Promise<void>;
  entries(entries: readonly CheckpointEntry[]): Promise<void>;
  records(records: readonly LogRecord[], note: () => Uint8Array): void;
}

/** The first record behind the gate's: where the frames begin. */
const framesLsn = 2;

const nowhere: Sink = {
  begin: () => Promise.resolve(),
  entries: () => Promise.resolve(),
  records: () => undefined,
};

/** Reads all of a backup and writes nothing. Rejects with a BackupFault when it is not whole. */
export const checkBackup = (
  chunks: AsyncIterable<Buffer>,
  onProgress: (progress: RestoreProgress) => void,
): Promise<BackupSummary> => new Restoration(nowhere, { gated: true, onProgress }).run(chunks);

/**
 * Rejects with NotRestored (the directory is not empty), BackupFault, or a StorageFailure; the directory is then as it was.
 */
export const restoreBackup = async (options: RestoreOptions): Promise<RestoreReport> => {
  const { directory, chunks } = options;
  const isMade = await prepare(directory);
  const staging = join(directory, restoringName);
  const files = new Files(staging);
  const moved: string[] = [];
  try {
    await makeDirectory(staging);
    const restoration = new Restoration(files, options);
    const summary = await restoration.run(chunks);
    await files.close();
    const name = restoration.peerName;
    const verified = await verify(staging, name, summary, options.verify);
    for (const part of ["log", "checkpoint"]) {
      await rename(join(staging, part), join(directory, part));
      moved.push(part);
    }
    await rm(join(staging, "holder.json"), { force: true });
    await nodeFileSystem.syncDirectory(staging);
    await nodeFileSystem.syncDirectory(directory);
    await rename(join(staging, "peer.json"), join(directory, "peer.json"));
    moved.push("peer.json");
    await nodeFileSystem.syncDirectory(directory);
    await rmdir(staging).catch(() => undefined);
    // The directory's own name; what is above may not be ours to open.
    await nodeFileSystem.syncDirectory(dirname(join(directory, "."))).catch(() => undefined);
    return { ...summary, name, verified };
  } catch (error) {
    await files.close().catch(() => undefined);
    for (const part of [...moved, restoringName])
      await rm(join(directory, part), { recursive: true, force: true }).catch(() => undefined);
    if (isMade) await rmdir(directory).catch(() => undefined);
    throw error;
  }
};

/** True: the directory was made. */
const prepare = async (directory: string): Promise<boolean> => {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    await makeDirectory(directory);
    return true;
  }
  // The root of a volume.
  const others = names.filter((name) => name !== "lost+found");
  if (others.length > 0) {
    const what = others.includes(restoringName) ? "holds a restore that was not finished" : "is not empty";
    throw new NotRestored(`${directory} ${what}: restore into a new or empty directory`);
  }
  return false;
};

class Restoration {
  readonly #sink: Sink;
  readonly #options: Pick<RestoreOptions, "name" | "gated" | "onProgress">;
  readonly #reader = new BackupReader();
  readonly #counted = { cells: 0, frames: 0, conflicts: 0 };
  #header: BackupHeader | undefined;
  #checkpoint: RestoredCheckpoint | undefined;
  #cut: Cut | undefined;
  #end: ReturnType<typeof decodeEnd> | undefined;
  #name: PeerName | undefined;

  constructor(sink: Sink, options: Pick<RestoreOptions, "name" | "gated" | "onProgress">) {
    this.#sink = sink;
    this.#options = options;
  }

  get peerName(): PeerName {
    if (this.#name === undefined) throw new Error("the header is read first");
    return this.#name;
  }

  async run(chunks: AsyncIterable<Buffer>): Promise<BackupSummary> {
    const reader = this.#reader;
    for await (const chunk of chunks) {
      for (const record of reader.push(chunk)) {
        try {
          await this.#take(record);
        } catch (error) {
          if (!(error instanceof DecodeFault)) throw error;
          throw new BackupFault(`damaged at byte ${record.at}: ${error.message}`, record.at, { cause: error });
        }
      }
      this.#options.onProgress({
        bytes: reader.bytes,
        cells: this.#counted.cells,
        cellsExpected: this.#header?.start.cells,
      });
    }
    reader.end();
    const [header, cut, end] = [this.#header, this.#cut, this.#end];
    if (header === undefined || cut === undefined || end === undefined) throw new Error("a whole backup has all parts");
    const { cells, frames, conflicts, endedAtMs } = end;
    return { header, cut, totals: { cells, frames, conflicts }, endedAtMs, bytes: reader.bytes, sha256: reader.sha256 };
  }

  async #take({ type, bytes }: BackupRecord): Promise<void> {
    const counted = this.#counted;
    if (type === backupRecord.header) {
      this.#header = decodeHeader(bytes);
      const name = this.#options.name ?? parsePeerName(this.#header.peer);
      if (name === undefined) throw new DecodeFault("not a peer name");
      this.#name = name;
      this.#checkpoint = new RestoredCheckpoint(name, this.#options.gated, this.#header.start);
      await this.#sink.begin(this.#checkpoint);
      return;
    }
    const checkpoint = this.#checkpoint;
    if (checkpoint === undefined) throw new Error("the reader gives the header first");
    switch (type) {
      case backupRecord.cells: {
        const { count: announced, bundle } = decodeCells(bytes);
        const { entries, count } = checkpoint.addCells(bundle);
        if (count !== announced) throw new DecodeFault(`${announced} cells announced, ${count} found`);
        counted.cells += count;
        return await this.#sink.entries(entries);
      }
      case backupRecord.frames: {
        for (const record of checkpoint.addFrames(bytes)) {
          this.#sink.records([record], () => checkpoint.segmentNote());
          counted.frames++;
        }
        return undefined;
      }
      case backupRecord.conflicts: {
        const entries = [...decodeConflicts(bytes)].map((conflict) => checkpoint.addConflict(conflict));
        counted.conflicts += entries.length;
        return await this.#sink.entries(entries);
      }
      case backupRecord.cut: {
        this.#cut = decodeCut(bytes);
        return await this.#sink.entries(checkpoint.end(this.#cut, framesLsn));
      }
      default: {
        this.#end = decodeEnd(bytes);
        const { cells, frames, conflicts } = this.#end;
        if (cells !== counted.cells || frames !== counted.frames || conflicts !== counted.conflicts) {
          throw new DecodeFault(`${cells} cells, ${frames} frames, ${conflicts} conflicts announced, others found`);
        }
      }
    }
  }
}

/** The sink that makes a data directory. */
class Files implements Sink {
  readonly #staging: string;
  #storage: FileStorage | undefined;
  #entries: CheckpointEntry[] = [];
  #bytes = 0;

  constructor(staging: string) {
    this.#staging = staging;
  }

  async begin(checkpoint: RestoredCheckpoint): Promise<void> {
    this.#storage = await openFileStorage({ dir: this.#staging, peerName: checkpoint.name });
    this.#storage.log.append([checkpoint.firstRecord()]);
  }

  get #open(): FileStorage {
    if (this.#storage === undefined) throw new Error("the header comes first");
    return this.#storage;
  }

  async entries(entries: readonly CheckpointEntry[]): Promise<void> {
    for (const entry of entries) {
      this.#entries.push(entry);
      this.#bytes += entry[1]?.length ?? 0;
    }
    if (this.#bytes >= restoreBatchBytes) await this.#write();
  }

  async #write(): Promise<void> {
    const entries = this.#entries;
    this.#entries = [];
    this.#bytes = 0;
    if (entries.length > 0) await this.#open.checkpoint.write(entries);
  }

  records(records: readonly LogRecord[], note: () => Uint8Array): void {
    const { log } = this.#open;
    // Before: the note is the vector of all records before the segment.
    log.rollIfFull(note);
    log.append(records);
  }

  async close(): Promise<void> {
    const storage = this.#storage;
    if (storage === undefined) return;
    try {
      await storage.log.sync();
      await this.#write();
    } finally {
      this.#storage = undefined;
      await storage.close();
    }
  }
}

/** Of the heap, what a map of so many bytes of backup is taken to need. */
const heapPerByte = 4;

const verify = async (
  directory: string,
  name: PeerName,
  { cut, bytes }: BackupSummary,
  wanted: boolean | undefined,
): Promise<RestoreReport["verified"]> => {
  if (wanted === false || (wanted === undefined && bytes * heapPerByte > getHeapStatistics().heap_size_limit))
    return "skipped";
  const storage = await openFileStorage({ dir: directory, peerName: name });
  try {
    const replica = replicaAtRest(name);
    await recover(storage, replica, () => undefined);
    const { map, vv } = replica.state;
    const shown = new Map(replica.state.wire(vv));
    const isVector = shown.size === cut.vv.length && cut.vv.every(([origin, seq]) => shown.get(origin) === seq);
    if (!isVector) throw new Error("what was restored stands at another vector than the backup says: a bug, report it");
    if (cut.digest === undefined || cut.digest.horizonMs !== Math.max(0, map.horizonMs)) return "no digest";
    if (map.digest.root1 !== cut.digest.first || map.digest.root2 !== cut.digest.second) {
      throw new Error(
        "what was restored has another digest than the peer had: a bug, or memory that cannot be trusted",
      );
    }
    return "identical";
  } finally {
    await storage.close();
  }
};
