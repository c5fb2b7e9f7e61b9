/**
 * What a peer's `/metrics` shows. docs/OPERATIONS.md has the same list, in the same order, made from this one. A family of
 * figures that only a peer has goes into a file of peer/; those that a gateway shows too lie beside this one.
 */
import type { Family } from "./family.ts";
import { httpFamilies } from "./http-families.ts";
import { agreementFamilies } from "./peer/agreement-families.ts";
import { clientFamilies } from "./peer/client-families.ts";
import { clockFamilies } from "./peer/clock-families.ts";
import { commandFamilies } from "./peer/command-families.ts";
import { diskFamilies } from "./peer/disk-families.ts";
import { eventLoopFamilies } from "./peer/event-loop-families.ts";
import { healthFamilies } from "./peer/health-families.ts";
import { identityFamilies } from "./peer/identity-families.ts";
import { limitFamilies } from "./peer/limit-families.ts";
import { linkFamilies } from "./peer/link-families.ts";
import { mapFamilies } from "./peer/map-families.ts";
import { replicationFamilies } from "./peer/replication-families.ts";
import { streamFamilies } from "./peer/stream-families.ts";
import { strongFamilies } from "./peer/strong-families.ts";
import type { PeerFigures } from "./peer-figures.ts";
import { processFamilies } from "./process-families.ts";

export const peerFamilies: readonly Family<PeerFigures>[] = [
  ...identityFamilies,
  ...healthFamilies,
  ...commandFamilies,
  ...clientFamilies,
  ...limitFamilies,
  ...httpFamilies,
  ...streamFamilies,
  ...mapFamilies,
  ...strongFamilies,
  ...linkFamilies,
  ...clockFamilies,
  ...agreementFamilies,
  ...replicationFamilies,
  ...diskFamilies,
  ...eventLoopFamilies,
  ...processFamilies,
];
