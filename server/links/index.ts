/** WebSocket links between peers. */
export { type FaultDirection, LinkFaults } from "./faults.ts";
export { clusterIdOf, parseSecrets } from "./handshake.ts";
export { controlByteMin } from "./heartbeat.ts";
export type { Link, LinkEvents } from "./link.ts";
export type { LinkClock } from "./peer-link.ts";
export {
  defaultLinkTiming,
  type LinkTiming,
  type PeerLinkStatus,
  PeerLinks,
  type PeerLinksOptions,
} from "./peer-links.ts";
