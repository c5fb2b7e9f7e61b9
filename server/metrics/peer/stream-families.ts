/** What runs on once it was asked for: the feed of changes, backups, messages of channels. */
import { type Family, samplesBy } from "../family.ts";
import { type PeerFigures, running } from "../peer-figures.ts";

export const streamFamilies: readonly Family<PeerFigures>[] = [
  {
    name: "chorus_watches",
    type: "gauge",
    help: "Readers of the feed of changes now: /watch, client WebSockets, keyspace events.",
    read: running(({ watches }) => watches),
  },
  {
    name: "chorus_backups_running",
    type: "gauge",
    help: "Backups that are read now.",
    read: running(({ backups }) => backups.running),
  },
  {
    name: "chorus_backups_total",
    type: "counter",
    help: "Backups that ended: sent whole; given_up, as the reader left or was too slow; failed, a fault of the peer; refused.",
    labels: ["result"],
    read: running(({ backups: { counters } }) =>
      samplesBy("result", [
        ["sent", counters.finished],
        ["given_up", counters.givenUp],
        ["failed", counters.failed],
        ["refused", counters.refused],
      ]),
    ),
  },
  {
    name: "chorus_backup_bytes_total",
    type: "counter",
    help: "Bytes of backups that ended, whole or not.",
    read: running(({ backups }) => backups.counters.bytes),
  },
  {
    name: "chorus_pubsub_subscriptions",
    type: "gauge",
    help: "Channels and patterns somebody listens to now.",
    labels: ["kind"],
    read: running(({ pubSub }) =>
      samplesBy("kind", [
        ["channels", pubSub.channels],
        ["patterns", pubSub.patterns],
      ]),
    ),
  },
];
