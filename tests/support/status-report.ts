/** What a peer says of itself that has just begun, is empty and lacks nothing. A test says what differs. */
import type { StatusReport } from "../../protocol/status.ts";
import { strongStatusOf } from "./strong-status.ts";

export const statusReportOf = (name: string, change: Partial<StatusReport> = {}): StatusReport => ({
  format: 1,
  peer: {
    name,
    incarnation: "000000000000001",
    cluster: "chorus",
    version: "0.1.0",
    pid: 1,
    uptimeSeconds: 1,
    tcpPort: 5001,
    httpPort: 6001,
  },
  ready: true,
  gated: false,
  loading: false,
  reasons: [],
  keys: 0,
  tombstones: { count: 0, bytes: 0, heldBy: [] },
  conflicts: { kept: 0, dropped: 0 },
  digest: { value: "0000000000000000", horizon: 0 },
  versionVector: {},
  links: [],
  log: { bytes: 0, firstLsn: 1, nextLsn: 1, syncedLsn: 1 },
  checkpoint: { lsn: 0, bytes: 0, ageSeconds: null, running: false },
  memory: { usedBytes: 0, rssBytes: 0, maxBytes: 0 },
  opsPerSecond: 0,
  latency: { p50Ms: null, p99Ms: null, maxMs: null, count: 0 },
  clients: { tcp: 0, webSocket: 0, blocked: 0, watches: 0 },
  strong: strongStatusOf(),
  peers: [],
  clock: { skewState: "ok" },
  faultLinks: false,
  alarms: [],
  ...change,
});
