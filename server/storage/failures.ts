/** Turns what the operating system says into a StorageFailure whose message says what to do. */
import { StorageFailure } from "./storage.ts";

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException | undefined)?.code ?? "unknown error";

/** For a write or sync that failed while the peer runs: it stops, and what it must not do is try again. */
export const writeFailure = (what: string, error: unknown): StorageFailure => {
  const code = codeOf(error);
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new StorageFailure("NO_SPACE", `${what}: the disk is full (${code}); free some space, then start again`, {
      cause: error,
    });
  }
  return new StorageFailure(
    "IO",
    `${what}: ${code}; nothing after it can be trusted, so the peer stops. Check the disk, then start again`,
    { cause: error },
  );
};

/** For a file or directory that cannot be used at a start. */
export const openFailure = (path: string, error: unknown): StorageFailure => {
  if (error instanceof StorageFailure) return error;
  const code = codeOf(error);
  switch (code) {
    case "EACCES":
    case "EPERM":
    case "EROFS":
    case "ENOTDIR":
    case "EISDIR":
    case "ENOENT":
    case "EEXIST":
      return new StorageFailure(
        "NOT_WRITABLE",
        `${path} cannot be written (${code}): give a directory the peer's user owns`,
        { cause: error },
      );
    default:
      return writeFailure(`opening ${path}`, error);
  }
};

/** What the operator can do about damage; the same at every place. */
export const damageRemedy =
  "The peer does not start on it. Check the disk (kernel log, SMART); keep this directory aside and start the peer " +
  "with an empty one: it fetches everything from the other peers";
