/**
 * Opens a peer's data directory. What is in it:
 *
 *   DIR/peer.json        format version, the peer's name, the storage id that binds the log's files to this directory
 *   DIR/holder.json      who has it open: name and pid. Only for messages; the lock is LevelDB's
 *   DIR/log/             00000001.segment ..., `synced`, and a `spare` reserved ahead
 *   DIR/checkpoint/      LevelDB
 *
 * The lock is the kernel's (fcntl, on LevelDB's LOCK file) and ends with the process however that ends, so there is no
 * stale lock to clear away.
 *
 * peer.json is written last of all when a directory is begun. So with it, a missing log or checkpoint is damage, and
 * without it, whatever is there must be an empty beginning.
 */
import { randomBytes } from "node:crypto";
import { open as openFile, readdir, readFile, rm, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { diskFreeBytesLow } from "../../protocol/limits.ts";
import type { Lsn, PeerName } from "../../protocol/words.ts";
import { parsePeerName } from "../../protocol/words.ts";
import { damageRemedy, openFailure } from "./failures.ts";
import { FileCheckpoint } from "./file-checkpoint.ts";
import type { FileLogOptions } from "./file-log.ts";
import { FileLog } from "./file-log.ts";
import { makeDirectory, nodeFileSystem, replaceFile } from "./file-system.ts";
import { decodeSegmentHeader, isZero } from "./log-format.ts";
import type { LogOwner } from "./log-recovery.ts";
import { segmentFileName, segmentNumber } from "./log-segment.ts";
import type { Storage, StoredRecord } from "./storage.ts";
import { StorageFailure } from "./storage.ts";

export interface FileStorageOptions extends FileLogOptions {
  readonly dir: string;
  readonly peerName: PeerName;
}

export const storageFormatVersion = 1;

/** A disk cannot be this fast: an fsync below it means memory, or a cache that lies (reliability F8). */
const syncMicrosMin = 50;

const identityFileName = "peer.json";
const holderFileName = "holder.json";
const logDirectoryName = "log";
const checkpointDirectoryName = "checkpoint";
/** What `chorus restore` builds in until it is done (server/backup/restore.ts). */
export const restoringName = "restoring";

export class FileStorage implements Storage {
  readonly dir: string;
  readonly log: FileLog;
  readonly checkpoint: FileCheckpoint;
  /** Median time of a small write's fdatasync, measured at this start. */
  readonly syncProbeMicros: number;
  /** What the operator should know: a sync too fast to be true, a torn tail cut off, little space. For the log. */
  readonly warnings: readonly string[];
  #closed: Promise<void> | undefined;

  constructor(parts: {
    readonly dir: string;
    readonly log: FileLog;
    readonly checkpoint: FileCheckpoint;
    readonly syncProbeMicros: number;
    readonly warnings: readonly string[];
  }) {
    this.dir = parts.dir;
    this.log = parts.log;
    this.checkpoint = parts.checkpoint;
    this.syncProbeMicros = parts.syncProbeMicros;
    this.warnings = parts.warnings;
  }

  replay(from: Lsn): AsyncIterable<readonly StoredRecord[]> {
    return this.log.replay(from);
  }

  /** Bytes this process may still write to the directory's file system. */
  freeBytes(): Promise<number> {
    return freeBytes(this.dir);
  }

  /** Syncs the log. The second call does nothing. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    try {
      await this.log.close();
    } finally {
      // Last, as it lets go the lock.
      await this.checkpoint.close();
    }
  }
}

/** Rejects with a StorageFailure whose message is one clear line, and leaves nothing open then. */
export const openFileStorage = async (options: FileStorageOptions): Promise<FileStorage> => {
  const { dir, peerName } = options;
  let checkpoint: FileCheckpoint | undefined;
  let log: FileLog | undefined;
  try {
    // Before anything is touched: it may be another peer's.
    if ((await loadIdentity(dir, peerName)) === undefined) await refuseUnfinishedRestore(dir);
    const logDirectory = join(dir, logDirectoryName);
    const checkpointDirectory = join(dir, checkpointDirectoryName);
    await makeDirectory(logDirectory);
    await makeDirectory(checkpointDirectory);
    const syncProbeMicros = await measureSync(dir);
    checkpoint = await openLocked(dir, checkpointDirectory, peerName);

    let identity = await loadIdentity(dir, peerName);
    if (identity === undefined) {
      await clearUnfinishedBeginning(logDirectory, checkpoint);
      identity = { peerName, storageId: randomBytes(8).readBigUInt64LE() };
      log = await FileLog.open(logDirectory, identity, options);
      await writeIdentity(dir, identity);
    } else {
      const hasLog = (await readdir(logDirectory)).some((name) => segmentNumber(name) !== undefined);
      if (!hasLog) throw new StorageFailure("CORRUPT", `the log in ${logDirectory} is missing. ${damageRemedy}`);
      log = await FileLog.open(logDirectory, identity, options);
    }
    const warnings = warningsOf({ dir, log, syncProbeMicros, free: await freeBytes(dir) });
    return new FileStorage({ dir, log, checkpoint, syncProbeMicros, warnings });
  } catch (error) {
    await log?.close().catch(() => undefined);
    await checkpoint?.close().catch(() => undefined);
    throw openFailure(dir, error);
  }
};

/** True if no peer ever kept anything there: it does not exist, or has none of our names in it. */
export const isEmptyDirectory = async (dir: string): Promise<boolean> => {
  try {
    const names = await readdir(dir);
    return ![identityFileName, logDirectoryName, checkpointDirectoryName, restoringName].some((name) =>
      names.includes(name),
    );
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return true;
    throw openFailure(dir, error);
  }
};

/** It looks empty and is not meant to be: a peer that began anew there would be a surprise. */
const refuseUnfinishedRestore = async (dir: string): Promise<void> => {
  const names = await readdir(dir).catch((): string[] => []);
  if (!names.includes(restoringName)) return;
  throw new StorageFailure("FORMAT", `a restore into ${dir} was not finished: empty the directory and restore again`);
};

const openLocked = async (dir: string, checkpointDirectory: string, peerName: PeerName): Promise<FileCheckpoint> => {
  const isBegun = (await readText(join(dir, identityFileName))) !== undefined;
  let checkpoint: FileCheckpoint;
  try {
    checkpoint = await FileCheckpoint.open(checkpointDirectory, { createIfMissing: !isBegun });
  } catch (error) {
    if (error instanceof StorageFailure && error.code === "IN_USE") {
      const remedy = "stop it first, or give this peer a directory of its own";
      throw new StorageFailure("IN_USE", `data directory ${dir} is in use by ${await holderOf(dir)}: ${remedy}`, {
        cause: error,
      });
    }
    throw error;
  }
  try {
    await replaceFile(join(dir, holderFileName), `${JSON.stringify({ peerName, pid: process.pid })}\n`);
    await nodeFileSystem.syncDirectory(checkpointDirectory);
    return checkpoint;
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
};

const holderOf = async (dir: string): Promise<string> => {
  const { peerName, pid } = parseObject(await readText(join(dir, holderFileName)));
  return typeof peerName === "string" && typeof pid === "number" ? `peer ${peerName}, pid ${pid}` : "another process";
};

const loadIdentity = async (dir: string, peerName: PeerName): Promise<LogOwner | undefined> => {
  const path = join(dir, identityFileName);
  const text = await readText(path);
  if (text === undefined) return undefined;
  const stored = parseObject(text);
  if (stored["format"] !== "chorus" || typeof stored["version"] !== "number") {
    throw new StorageFailure("FORMAT", `${path} is not a Chorus identity file. ${damageRemedy}`);
  }
  if (stored["version"] !== storageFormatVersion) {
    throw new StorageFailure(
      "FORMAT",
      `data directory ${dir} has format version ${stored["version"]}; this program reads version ` +
        `${storageFormatVersion}. Start the version of Chorus that wrote it`,
    );
  }
  const owner = parsePeerName(String(stored["peerName"]));
  const storageId = String(stored["storageId"]);
  if (owner === undefined || !/^[0-9a-f]{16}$/.test(storageId)) {
    throw new StorageFailure("FORMAT", `${path} lacks the peer's name or storage id. ${damageRemedy}`);
  }
  if (owner !== peerName) {
    throw new StorageFailure(
      "WRONG_PEER",
      `data directory ${dir} belongs to peer ${owner}, this is peer ${peerName}: give each peer its own`,
    );
  }
  return { peerName: owner, storageId: BigInt(`0x${storageId}`) };
};

const writeIdentity = async (dir: string, { peerName, storageId }: LogOwner): Promise<void> => {
  const identity = {
    format: "chorus",
    version: storageFormatVersion,
    peerName,
    storageId: storageId.toString(16).padStart(16, "0"),
  };
  await replaceFile(join(dir, identityFileName), `${JSON.stringify(identity, undefined, 2)}\n`);
  // The directory's own name, in case we made it; what is above may not be ours to open.
  await nodeFileSystem.syncDirectory(dirname(join(dir, "."))).catch(() => undefined);
};

/** A start that died before peer.json was written left at most an empty first segment. Anything more is not ours to touch. */
const clearUnfinishedBeginning = async (logDirectory: string, checkpoint: FileCheckpoint): Promise<void> => {
  const names = (await readdir(logDirectory)).filter((name) => segmentNumber(name) !== undefined);
  const [name] = names;
  const path = join(logDirectory, segmentFileName(1));
  const isUnfinished =
    name === undefined || (names.length === 1 && name === segmentFileName(1) && (await holdsNoRecord(path)));
  if (!isUnfinished || !(await checkpoint.isEmpty())) {
    const missing = `${identityFileName} is missing`;
    throw new StorageFailure("FORMAT", `${dirname(logDirectory)} holds a peer's data, but ${missing}. ${damageRemedy}`);
  }
  if (name !== undefined) await rm(path);
};

const holdsNoRecord = async (path: string): Promise<boolean> => {
  const bytes = await readFile(path);
  const decoded = decodeSegmentHeader(bytes);
  return isZero(bytes, decoded.kind === "header" ? decoded.endOffset : 0, bytes.length);
};

/** Also shows whether we may write here, before anything else is tried. */
const measureSync = async (dir: string): Promise<number> => {
  const path = join(dir, `probe-${process.pid}`);
  const block = Buffer.alloc(4096, 1);
  const micros: number[] = [];
  const file = await openFile(path, "w", 0o600);
  try {
    for (let round = 0; round < 5; round++) {
      await file.write(block, 0, block.length, 0);
      const beganMs = performance.now();
      await file.datasync();
      micros.push((performance.now() - beganMs) * 1000);
    }
  } finally {
    await file.close();
    await rm(path, { force: true });
  }
  return micros.sort((a, b) => a - b)[2] ?? 0;
};

const warningsOf = (found: {
  readonly dir: string;
  readonly log: FileLog;
  readonly syncProbeMicros: number;
  readonly free: number;
}): string[] => {
  const { dir, log, syncProbeMicros, free } = found;
  const warnings: string[] = [];
  if (syncProbeMicros < syncMicrosMin) {
    warnings.push(
      `fsync in ${dir} takes ${syncProbeMicros.toFixed(0)} us: too fast for a disk. On tmpfs, or behind a cache ` +
        "without battery, a power failure loses what was acknowledged",
    );
  }
  if (free < diskFreeBytesLow) {
    warnings.push(`only ${Math.floor(free / 1024 / 1024)} MiB are free for ${dir}`);
  }
  if (log.torn !== undefined) {
    const { path, offset, lsn, bytes } = log.torn;
    warnings.push(`cut off a torn tail: ${bytes} bytes from offset ${offset} of ${path} (record ${lsn}), never synced`);
  }
  return warnings;
};

const freeBytes = async (dir: string): Promise<number> => {
  const { bavail, bsize } = await statfs(dir);
  return bavail * bsize;
};

const readText = async (path: string): Promise<string | undefined> => {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
};

const parseObject = (text: string | undefined): Record<string, unknown> => {
  try {
    const value: unknown = JSON.parse(text ?? "");
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
};
