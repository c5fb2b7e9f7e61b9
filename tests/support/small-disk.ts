/** A disk that fills up soon: a tmpfs, where the tests may mount one. */
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";

/** Mounts it on a new directory; says why when it cannot. The caller unmounts it (`umount -l`). */
export const smallDisk = (directory: string, megabytes: number): string | undefined => {
  mkdirSync(directory);
  const { status, stderr, error } = spawnSync(
    "mount",
    ["-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", directory],
    {
      encoding: "utf8",
    },
  );
  return status === 0 ? undefined : `no small disk can be mounted: ${error?.message ?? stderr.trim()}`;
};
