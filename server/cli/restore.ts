/** `chorus restore`: a data directory out of a backup, or only a look whether the backup is whole. */
import { createReadStream } from "node:fs";
import { parsePeerName } from "../../protocol/words.ts";
import { BackupFault } from "../backup/format.ts";
import {
  type BackupSummary,
  checkBackup,
  NotRestored,
  type RestoreProgress,
  restoreBackup,
} from "../backup/restore.ts";
import { StorageFailure } from "../storage/storage.ts";
import { CommandFailure, failureText, usageFailure } from "./failure.ts";
import { Progress, percentOf } from "./progress.ts";
import { bytesToText, countToText, durationToText } from "./sizes.ts";

export interface RestoreCommandOptions {
  readonly data?: string;
  readonly name?: string;
  readonly wholeCluster: boolean;
  readonly check: boolean;
  /** Undefined: as memory allows. */
  readonly verify: boolean | undefined;
}

export const runRestore = async (path: string, options: RestoreCommandOptions): Promise<number> => {
  const { data, check, wholeCluster, verify } = options;
  if (check === (data !== undefined)) throw usageFailure("either --data DIR, or --check to only look");
  const name = options.name === undefined ? undefined : parsePeerName(options.name);
  if (options.name !== undefined && name === undefined) {
    throw usageFailure(`flag --name: expected 1 to 32 of A-Z a-z 0-9 _ -, got "${options.name}"`);
  }
  const progress = new Progress();
  const onProgress = ({ bytes, cells, cellsExpected }: RestoreProgress): void =>
    progress.show(
      () =>
        `${check ? "checking" : "restoring"}: ${countToText(cells)} cells${percentOf(cells, cellsExpected)}, ${bytesToText(bytes)}`,
    );
  const chunks = path === "-" ? process.stdin : createReadStream(path, { highWaterMark: 256 * 1024 });
  const shown = path === "-" ? "standard input" : path;
  try {
    if (data === undefined) {
      const summary = await checkBackup(chunks as AsyncIterable<Buffer>, onProgress);
      progress.end();
      process.stdout.write(`${summaryText(shown, summary)}\nwhole and undamaged\n`);
      return 0;
    }
    const report = await restoreBackup({
      chunks: chunks as AsyncIterable<Buffer>,
      directory: data,
      ...(name === undefined ? {} : { name }),
      gated: !wholeCluster,
      ...(verify === undefined ? {} : { verify }),
      onProgress,
    });
    progress.end();
    const proof = {
      identical: `identical: it shows the digest that peer ${report.header.peer} had at this vector`,
      skipped: "its digest was not compared with the peer's (--verify does, with memory for all of it)",
      "no digest": "whole and undamaged",
    }[report.verified];
    process.stdout.write(
      `${summaryText(shown, report)}\n${proof}\nrestored into ${data} in ${durationToText(progress.elapsedMs)}, for peer ${report.name}: ` +
        `${
          wholeCluster
            ? "it opens at once; start the others with empty directories, or with the same backup"
            : "it takes clients once it has caught up with a peer that does"
        }\n`,
    );
    return 0;
  } catch (error) {
    if (error instanceof BackupFault) throw new CommandFailure(`${shown}: ${error.message}`, 1, { cause: error });
    if (error instanceof NotRestored) throw new CommandFailure(error.message, 1, { cause: error });
    if (error instanceof StorageFailure) throw new CommandFailure(failureText(error), 1, { cause: error });
    if ((error as NodeJS.ErrnoException).code === "ENOENT")
      throw new CommandFailure(`${shown}: no such file`, 1, { cause: error });
    throw error;
  } finally {
    progress.end();
  }
};

const summaryText = (shown: string, { header, cut, totals, bytes, endedAtMs }: BackupSummary): string =>
  [
    `${shown}: peer ${header.peer} of cluster ${header.cluster}, Chorus ${header.version}`,
    `taken ${new Date(header.begunAtMs).toISOString()} to ${new Date(endedAtMs).toISOString()}`,
    `${countToText(cut.keys)} keys, ${countToText(totals.cells)} cells, ${countToText(totals.frames)} frames, ` +
      `${countToText(totals.conflicts)} conflicts, ${bytesToText(bytes)}`,
    `writes ${cut.vv.map(([origin, seq]) => `${origin} 1-${seq}`).join(", ") || "none"}`,
  ].join("\n");
