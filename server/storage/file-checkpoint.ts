/**
 * The checkpoint on disk: LevelDB by classic-level, in its own directory, whose lock also guards the whole data directory.
 *
 * Every write is one batch with `sync: true`. Without it a batch is lost with the power, and not only the last ones: when
 * LevelDB switches memtables it closes the old write-ahead file unsynced, so a later synced batch could survive an
 * earlier one. Chained batches, not arrays of operations: 0.2 against 4 ms of this thread for 1,000 entries.
 *
 * Each value is stored behind a CRC-32 of key and value. LevelDB has block checksums, but classic-level reads without
 * verifying them, so a decayed sector would come back as data.
 *
 *   stored key      the key           stored value      CRC-32 (4, little-endian) | value
 *   \0format        "chorus checkpoint 1", without CRC: any version can read it
 */

import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { ClassicLevel } from "classic-level";
import { checkpointBatchBytes, checkpointBatchEntries, checkpointWriteBytes } from "../../protocol/limits.ts";
import { assertNotFormatKey, formatKey, prefixEnd } from "./checkpoint-keys.ts";
import { damageRemedy } from "./failures.ts";
import type { Checkpoint, CheckpointEntry } from "./storage.ts";
import { StorageFailure } from "./storage.ts";

export const checkpointFormatVersion = 1;

const formatText = (version: number): string => `chorus checkpoint ${version}`;
const crcBytes = 4;
/** Kept between writes: a batch of the usual size. */
const scratchBytesMax = 2 * checkpointWriteBytes;

export class FileCheckpoint implements Checkpoint {
  readonly #directory: string;
  readonly #level: ClassicLevel<Uint8Array, Uint8Array>;
  #failure: StorageFailure | undefined;
  #values = Buffer.alloc(0);

  private constructor(directory: string, level: ClassicLevel<Uint8Array, Uint8Array>) {
    this.#directory = directory;
    this.#level = level;
  }

  /**
   * Opens it and takes its lock. IN_USE if a process has it (a killed one has not: the kernel lets its lock go). Without
   * `createIfMissing` a missing checkpoint is damage.
   */
  static async open(directory: string, options: { readonly createIfMissing: boolean }): Promise<FileCheckpoint> {
    const level = new ClassicLevel<Uint8Array, Uint8Array>(directory, {
      keyEncoding: "view",
      valueEncoding: "view",
      createIfMissing: options.createIfMissing,
      // Read once at a start and hardly ever again: memory is better spent on the map.
      cacheSize: 2 * 1024 * 1024,
      writeBufferSize: 8 * 1024 * 1024,
      maxFileSize: 8 * 1024 * 1024,
    });
    try {
      await level.open();
    } catch (error) {
      throw levelFailure(directory, error);
    }
    const checkpoint = new FileCheckpoint(directory, level);
    try {
      await checkpoint.#openFormat();
      return checkpoint;
    } catch (error) {
      await level.close();
      throw levelFailure(directory, error);
    }
  }

  async #openFormat(): Promise<void> {
    const stored = await this.#level.get(formatKey);
    if (stored === undefined) {
      const [anyKey] = await this.#level.keys({ limit: 1 }).all();
      if (anyKey !== undefined) {
        throw new StorageFailure("FORMAT", `checkpoint ${this.#directory} was not written by Chorus`);
      }
      await this.#level.put(formatKey, Buffer.from(formatText(checkpointFormatVersion)), { sync: true });
      return;
    }
    const text = Buffer.from(stored).toString("latin1");
    if (text !== formatText(checkpointFormatVersion)) {
      throw new StorageFailure(
        "FORMAT",
        `checkpoint ${this.#directory} has format ${JSON.stringify(text)}; this program reads ` +
          `${JSON.stringify(formatText(checkpointFormatVersion))}. Start the version of Chorus that wrote it`,
      );
    }
  }

  async write(entries: readonly CheckpointEntry[]): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (entries.length === 0) return;
    let valueBytes = 0;
    for (const [key, value] of entries) {
      assertNotFormatKey(key);
      if (value !== undefined) valueBytes += crcBytes + value.length;
    }
    const values = this.#scratch(valueBytes);
    let at = 0;
    try {
      const batch = this.#level.batch();
      for (const [key, value] of entries) {
        if (value === undefined) {
          batch.del(key);
          continue;
        }
        const end = at + crcBytes + value.length;
        values.writeUInt32LE(crc32(value, crc32(key)), at);
        values.set(value, at + crcBytes);
        batch.put(key, values.subarray(at, end));
        at = end;
      }
      await batch.write({ sync: true });
    } catch (error) {
      const failure = levelFailure(this.#directory, error);
      // As with the log: what a failed sync left behind is known only after a restart.
      if (failure instanceof StorageFailure) this.#failure ??= failure;
      throw failure;
    }
  }

  /** LevelDB's batch copies what is put into it: the room can be used again, and is no garbage beside the heap. */
  #scratch(bytes: number): Buffer {
    if (bytes > scratchBytesMax) return Buffer.allocUnsafeSlow(bytes);
    if (this.#values.length < bytes) this.#values = Buffer.allocUnsafeSlow(scratchBytesMax);
    return this.#values;
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    assertNotFormatKey(key);
    try {
      const stored = await this.#level.get(key);
      return stored === undefined ? undefined : this.#valueOf(key, stored);
    } catch (error) {
      throw levelFailure(this.#directory, error);
    }
  }

  /** As of the first batch asked for: later writes are not seen. */
  async *entries(prefix: Uint8Array): AsyncGenerator<readonly (readonly [Uint8Array, Uint8Array])[]> {
    const end = prefixEnd(prefix);
    const range = end === undefined ? { gte: prefix } : { gte: prefix, lt: end };
    try {
      const iterator = this.#level.iterator({ ...range, highWaterMarkBytes: checkpointBatchBytes });
      try {
        // One batch ahead: LevelDB reads on another thread while the caller takes in what came.
        let ahead = iterator.nextv(checkpointBatchEntries);
        for (;;) {
          const stored = await ahead;
          if (stored.length === 0) return;
          ahead = iterator.nextv(checkpointBatchEntries);
          // Awaited in the next round or at the close; until then its failure is nobody's surprise.
          ahead.catch(() => undefined);
          const batch: [Uint8Array, Uint8Array][] = [];
          for (const [key, value] of stored) {
            if (key[0] === 0 && formatKey.equals(key)) continue;
            batch.push([key, this.#valueOf(key, value)]);
          }
          if (batch.length > 0) yield batch;
        }
      } finally {
        await iterator.close();
      }
    } catch (error) {
      throw levelFailure(this.#directory, error);
    }
  }

  async bytes(): Promise<number> {
    let bytes = 0;
    for (const name of await readdir(this.#directory)) {
      // A compaction may remove the file between the two calls.
      bytes += await stat(join(this.#directory, name)).then(
        (found) => found.size,
        () => 0,
      );
    }
    return bytes;
  }

  async isEmpty(): Promise<boolean> {
    for await (const _ of this.entries(new Uint8Array(0))) return false;
    return true;
  }

  close(): Promise<void> {
    return this.#level.close();
  }

  #valueOf(key: Uint8Array, stored: Uint8Array): Uint8Array {
    const value = stored.subarray(crcBytes);
    if (stored.length < crcBytes || crc32(value, crc32(key)) !== readUInt32(stored)) {
      throw new StorageFailure(
        "CORRUPT",
        `checkpoint ${this.#directory}: the entry of key ${Buffer.from(key).toString("hex")} does not verify. ` +
          damageRemedy,
      );
    }
    return value;
  }
}

/** Little-endian, from the start. By hand: the library's type has no such method, and a view per entry would cost more. */
const readUInt32 = (bytes: Uint8Array): number =>
  ((bytes[0] as number) | ((bytes[1] as number) << 8) | ((bytes[2] as number) << 16) | ((bytes[3] as number) << 24)) >>>
  0;

/** What the level libraries throw, told apart by their codes. */
const levelFailure = (directory: string, error: unknown): unknown => {
  if (error instanceof StorageFailure) return error;
  const outer = error as { code?: unknown; cause?: { code?: unknown; message?: unknown } };
  const inner = outer.code === "LEVEL_DATABASE_NOT_OPEN" && outer.cause !== undefined ? outer.cause : outer;
  const text = String((inner as { message?: unknown }).message);
  const options = { cause: error };
  // An invalid argument has no code. Of what we pass, only the directory can be one.
  if (/does not exist|No such file/.test(text)) {
    return new StorageFailure("CORRUPT", `checkpoint ${directory} is missing or incomplete: ${text}. ${damageRemedy}`, {
      cause: error,
    });
  }
  switch (inner.code) {
    case "LEVEL_LOCKED":
      return new StorageFailure("IN_USE", `checkpoint ${directory} is in use by another process`, options);
    case "LEVEL_CORRUPTION":
      return new StorageFailure("CORRUPT", `checkpoint ${directory}: ${text}. ${damageRemedy}`, options);
    case "LEVEL_IO_ERROR":
      if (/No space left|quota exceeded/i.test(text)) {
        return new StorageFailure("NO_SPACE", `checkpoint ${directory}: the disk is full; free some space`, options);
      }
      if (/Permission denied|Read-only/.test(text)) {
        return new StorageFailure("NOT_WRITABLE", `checkpoint ${directory} cannot be written (${text})`, options);
      }
      return new StorageFailure("IO", `checkpoint ${directory}: ${text}; the peer stops. Check the disk`, options);
    default:
      // A bug of ours (a closed database, a wrong argument) must not pass for a sick disk.
      return error;
  }
};
