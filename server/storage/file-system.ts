/**
 * The few file operations the log needs, as a seam: tests give it a disk that fills up or fails.
 *
 * What must be done before an append returns is synchronous; what waits for the disk runs on libuv's threads. Every
 * file is created for its owner alone.
 */
import {
  closeSync,
  constants,
  fdatasync as fdatasyncCallback,
  fdatasyncSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { mkdir, open, readdir, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";

export interface ReadableFile {
  readonly size: number;
  /** Exactly these bytes; fewer only where the file ends. */
  read(position: number, length: number): Promise<Buffer>;
  close(): Promise<void>;
}

export interface FileSystem {
  /** For writing; `fresh`: must not exist yet. */
  openSync(path: string, kind: "fresh" | "existing" | "either"): number;
  /** May write less than asked; returns how much. */
  writeSync(fd: number, bytes: Uint8Array, offset: number, length: number, position: number): number;
  closeSync(fd: number): void;
  renameSync(from: string, to: string): void;
  removeSync(path: string): void;
  /** Off the main thread: waits for the disk. */
  datasync(fd: number): Promise<void>;
  /** This thread waits for the disk. */
  datasyncSync(fd: number): void;
  syncDirectorySync(path: string): void;
  openForReading(path: string): Promise<ReadableFile>;
  /** Makes the names in the directory durable: after creating, renaming and deleting. */
  syncDirectory(path: string): Promise<void>;
  truncate(path: string, length: number): Promise<void>;
  /** Writes these bytes over the file's at `position`, and waits for the disk. */
  overwrite(path: string, position: number, bytes: Uint8Array): Promise<void>;
  /** A new file of zeros, all of it on disk. */
  createZeros(path: string, length: number): Promise<void>;
  remove(path: string): Promise<void>;
  list(path: string): Promise<string[]>;
}

const fdatasync = promisify(fdatasyncCallback);
const ownerOnly = 0o600;
const openFlags = { fresh: "wx", existing: "r+", either: constants.O_RDWR | constants.O_CREAT } as const;
const zeros = Buffer.alloc(1024 * 1024);

export const nodeFileSystem: FileSystem = {
  openSync: (path, kind) => openSync(path, openFlags[kind], ownerOnly),
  writeSync,
  closeSync,
  renameSync,
  removeSync: (path) => rmSync(path, { force: true }),
  datasync: fdatasync,
  datasyncSync: fdatasyncSync,
  syncDirectorySync(path) {
    const fd = openSync(path, "r");
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  },

  async openForReading(path) {
    const file = await open(path, "r");
    const size = (await file.stat()).size;
    return {
      size,
      async read(position, length) {
        const bytes = Buffer.allocUnsafeSlow(Math.max(0, Math.min(length, size - position)));
        let filled = 0;
        while (filled < bytes.length) {
          const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, position + filled);
          if (bytesRead === 0) return bytes.subarray(0, filled);
          filled += bytesRead;
        }
        return bytes;
      },
      close: () => file.close(),
    };
  },

  async syncDirectory(path) {
    const directory = await open(path, "r");
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  },

  async truncate(path, length) {
    const file = await open(path, "r+");
    try {
      await file.truncate(length);
      await file.sync();
    } finally {
      await file.close();
    }
  },

  async overwrite(path, position, bytes) {
    const file = await open(path, "r+");
    try {
      let written = 0;
      while (written < bytes.length) {
        written += (await file.write(bytes, written, bytes.length - written, position + written)).bytesWritten;
      }
      await file.datasync();
    } finally {
      await file.close();
    }
  },

  async createZeros(path, length) {
    const file = await open(path, "wx", ownerOnly);
    try {
      for (let at = 0; at < length; )
        at += (await file.write(zeros, 0, Math.min(zeros.length, length - at), at)).bytesWritten;
      await file.datasync();
    } finally {
      await file.close();
    }
  },

  remove: unlink,
  list: readdir,
};

/**
 * Makes the directory and those above it. Not `mkdir({ recursive: true })`: that never returns where a parent exists in
 * name only (Node 20 under /proc), and it is the operator who types this path.
 */
export const makeDirectory = async (path: string): Promise<void> => {
  try {
    await mkdir(path, 0o700);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "EEXIST") return;
    const parent = dirname(path);
    if (code !== "ENOENT" || parent === path) throw error;
    await makeDirectory(parent);
    try {
      await mkdir(path, 0o700);
    } catch (again) {
      if ((again as NodeJS.ErrnoException).code !== "EEXIST") throw again;
    }
  }
};

/** A new file or a whole new content of it, never half of either: temporary name, sync, rename, sync of the directory. */
export const replaceFile = async (path: string, content: string): Promise<void> => {
  const temporary = `${path}.new`;
  const file = await open(temporary, "w", ownerOnly);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  await nodeFileSystem.syncDirectory(dirname(path));
};
