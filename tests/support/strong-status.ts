/** What a peer of three says of its strong keys when all is well. */
import type { StatusStrong } from "../../protocol/status.ts";

export const strongStatusOf = (change: Partial<StatusStrong> = {}): StatusStrong => ({
  prefixes: ["strong:"],
  standing: "admitted",
  keys: 0,
  registers: 0,
  bytes: 0,
  leases: 0,
  waiting: 0,
  pendingRounds: 0,
  quorum: 2,
  reachable: 3,
  answering: 3,
  readmission: null,
  ...change,
});
