/** Bounds that were met, each where it is kept: of connections, of the map, of what waits. */
import { type Family, type Sample, samplesBy } from "../family.ts";
import { type PeerFigures, type RunningFigures, running } from "../peer-figures.ts";

const limitHits = ({ tcp, webSocket, replica, publishMissed }: RunningFigures): readonly Sample[] => {
  const [a, b] = [tcp.counters, webSocket.counters];
  return samplesBy("limit", [
    ["connections", a.connectionsRejected + b.connectionsRejected],
    ["client_output", a.closedForOutput + b.closedForOutput],
    ["authentication_time", a.closedUnauthenticated + b.closedUnauthenticated],
    ["silence", a.closedLingering + b.closedSilent],
    ["conflict_journal", replica.state.journal.dropped],
    ["waiting_frames", replica.state.counts["bufferFull"] ?? 0],
    ["publish_queue", publishMissed],
  ]);
};

export const limitFamilies: readonly Family<PeerFigures>[] = [
  {
    name: "chorus_limit_hits_total",
    type: "counter",
    help: "Times a bound was met that is not an error reply: see Limits. Those that are: chorus_errors_total (OOM, MISCONF, NOREPLICAS, BUSY).",
    labels: ["limit"],
    read: running(limitHits),
  },
];
