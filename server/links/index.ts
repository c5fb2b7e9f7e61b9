/** WebSocket links between peers. */
export { type FaultDirection, LinkFaults } from "./faults.ts";
export { clusterIdOf } from "./handshake.ts";
export type { Link, LinkEvents } from "./link.ts";
export { type LinkTiming, PeerLinks, type PeerLinksOptions } from "./peer-links.ts";
