/**
 * A file that is there whole or not at all: written under another name beside it, on disk before it gets its own. `-` is
 * standard output. For its owner alone, as it holds data.
 */
import { once } from "node:events";
import { link, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { nodeFileSystem } from "../storage/file-system.ts";
import { CommandFailure } from "./failure.ts";

export interface Target {
  /** Resolves when it takes more. */
  write(chunk: Uint8Array): Promise<void>;
  /** All was written: the file gets its name. */
  finish(): Promise<void>;
  /** Nothing is left of it. After finish() it does nothing. */
  discard(): Promise<void>;
}

/** Rejects with a CommandFailure when it exists, unless `force`. */
export const openTarget = async (path: string, { force }: { readonly force: boolean }): Promise<Target> => {
  if (path === "-") return standardOutput;
  if (!force && (await exists(path))) throw existsFailure(path);
  const temporary = `${path}.part-${process.pid}`;
  const file = await open(temporary, "wx", 0o600).catch((error: unknown) => {
    throw fileFailure(path, error);
  });
  let isDone = false;
  return {
    async write(chunk) {
      try {
        for (let at = 0; at < chunk.length; ) at += (await file.write(chunk, at)).bytesWritten;
      } catch (error) {
        throw fileFailure(path, error);
      }
    },
    async finish() {
      try {
        await file.sync();
        await file.close();
        if (force) await rename(temporary, path);
        else await renameToNew(temporary, path);
        isDone = true;
        await nodeFileSystem.syncDirectory(dirname(path));
      } catch (error) {
        throw error instanceof CommandFailure ? error : fileFailure(path, error);
      }
    },
    async discard() {
      if (isDone) return;
      await file.close().catch(() => undefined);
      await rm(temporary, { force: true });
    },
  };
};

const standardOutput: Target = {
  async write(chunk) {
    if (!process.stdout.write(chunk)) await once(process.stdout, "drain");
  },
  finish: () => Promise.resolve(),
  discard: () => Promise.resolve(),
};

/** Another program may have made the file meanwhile: a link, unlike a rename, does not replace it. */
const renameToNew = async (from: string, to: string): Promise<void> => {
  try {
    await link(from, to);
    await rm(from);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") throw existsFailure(to);
    // A file system without hard links.
    if (await exists(to)) throw existsFailure(to);
    await rename(from, to);
  }
};

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

const existsFailure = (path: string): CommandFailure => new CommandFailure(`${path} exists; --force replaces it`);

const fileFailure = (path: string, error: unknown): CommandFailure => {
  const { code, message } = error as NodeJS.ErrnoException;
  const words = code === "ENOSPC" || code === "EDQUOT" ? `the disk is full (${code})` : message;
  return new CommandFailure(`${path} cannot be written: ${words}`, 1, { cause: error });
};
