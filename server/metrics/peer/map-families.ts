/** What the map holds: keys, tombstones, conflicts. */
import { type Family, samplesBy } from "../family.ts";
import { type PeerFigures, perPeer, running } from "../peer-figures.ts";

export const mapFamilies: readonly Family<PeerFigures>[] = [
  {
    name: "chorus_keys",
    type: "gauge",
    help: "Live keys.",
    read: running(({ replica }) => replica.state.map.liveCount),
  },
  {
    name: "chorus_keys_with_expiry",
    type: "gauge",
    help: "Of these, with an expiry.",
    read: running(({ replica }) => replica.state.map.withExpiryCount),
  },
  {
    name: "chorus_memory_bytes",
    type: "gauge",
    help: "Memory of the map, as counted against --max-memory.",
    read: running(({ replica }) => replica.state.map.bytes),
  },
  {
    name: "chorus_memory_max_bytes",
    type: "gauge",
    help: "--max-memory; 0 is no limit.",
    read: ({ memoryBytesMax }) => memoryBytesMax,
  },
  {
    name: "chorus_tombstones",
    type: "gauge",
    help: "Deletes that cannot be forgotten yet.",
    read: running(({ replica }) => replica.state.map.tombstoneCount),
  },
  {
    name: "chorus_tombstone_bytes",
    type: "gauge",
    help: "Memory they take.",
    read: running(({ replica }) => replica.state.map.tombstoneBytes),
  },
  {
    name: "chorus_tombstones_held",
    type: "gauge",
    help: "Tombstones that a peer holds back: it is away, or has yet to say what it has on disk.",
    labels: ["peer"],
    read: perPeer((peer) => peer.tombstonesHeld),
  },
  {
    name: "chorus_purged_total",
    type: "counter",
    help: "Cells forgotten because every peer had them on disk.",
    labels: ["kind"],
    read: running(({ replica: { state } }) =>
      samplesBy("kind", [
        ["tombstone", state.counts["purgedTombstones"] ?? 0],
        ["expired", state.counts["purgedExpired"] ?? 0],
      ]),
    ),
  },
  {
    name: "chorus_conflicts_total",
    type: "counter",
    help: "Conflicts that went into the journal of this peer since its start.",
    read: running(({ replica }) => replica.state.journal.recorded),
  },
  {
    name: "chorus_conflicts_kept",
    type: "gauge",
    help: 'Conflicts in the journal now. Those it let go: chorus_limit_hits_total{limit="conflict_journal"}.',
    read: running(({ replica }) => replica.state.journal.count),
  },
];
