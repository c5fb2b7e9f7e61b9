/** Log, checkpoint, and the room there is for them. */
import { diskFreeBytesLow } from "../../../protocol/limits.ts";
import { type Family, histogramSamples } from "../family.ts";
import { type PeerFigures, running } from "../peer-figures.ts";

export const diskFamilies: readonly Family<PeerFigures>[] = [
  {
    name: "chorus_log_bytes",
    type: "gauge",
    help: "The log on disk.",
    read: running(({ storage }) => storage.log.bytes),
  },
  {
    name: "chorus_log_retention_bytes",
    type: "gauge",
    help: "--log-retention: beyond it a peer that is away gets a transfer instead.",
    read: ({ logRetentionBytes }) => logRetentionBytes,
  },
  {
    name: "chorus_log_appended_bytes_total",
    type: "counter",
    help: "Bytes of records appended to the log.",
    read: running(({ appendedBytes }) => appendedBytes),
  },
  {
    name: "chorus_log_unsynced_records",
    type: "gauge",
    help: "Records that a power loss now would take from the end of the log.",
    read: running(({ storage: { log } }) => log.nextLsn - log.syncedLsn),
  },
  {
    name: "chorus_fsync_duration_seconds",
    type: "histogram",
    help: "Syncs of the log.",
    read: running(({ fsyncTimes }) => histogramSamples(fsyncTimes)),
  },
  {
    name: "chorus_checkpoint_bytes",
    type: "gauge",
    help: "The checkpoint on disk.",
    read: running(({ checkpointBytes }) => checkpointBytes),
  },
  {
    name: "chorus_checkpoint_duration_seconds",
    type: "histogram",
    help: "Checkpoints, from begin to end; they go in slices beside everything else.",
    read: running(({ checkpointTimes }) => histogramSamples(checkpointTimes)),
  },
  {
    name: "chorus_checkpoint_age_seconds",
    type: "gauge",
    help: "Since the last checkpoint of this run ended; absent before. There is none while nothing changes.",
    read: running(({ maintenance, nowMs }) =>
      maintenance.checkpointFinishedAtMs === undefined
        ? undefined
        : (nowMs - maintenance.checkpointFinishedAtMs) / 1000,
    ),
  },
  {
    name: "chorus_disk_free_bytes",
    type: "gauge",
    help: `Free on the file system of --data. Below ${diskFreeBytesLow} writes are refused.`,
    read: running(({ diskFreeBytes }) => diskFreeBytes),
  },
];
