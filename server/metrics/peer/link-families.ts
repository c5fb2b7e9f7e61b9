/** The links to the other peers, and how far either end is behind. */
import type { PeerLinkStatus } from "../../links/peer-links.ts";
import { type Family, msToSeconds, stateSamples } from "../family.ts";
import { type PeerFigures, perPeer, running } from "../peer-figures.ts";

const linkStates = ["up", "connecting", "catching-up", "transfer", "refused", "down"];

const perLink = (read: (link: PeerLinkStatus) => number): Family<PeerFigures>["read"] =>
  running(({ links }) => links.map((link) => ({ labels: { peer: link.peer }, value: read(link) })));

export const linkFamilies: readonly Family<PeerFigures>[] = [
  {
    name: "chorus_link_up",
    type: "gauge",
    help: "1 when the link carries each write as it is made; 0 also while it catches up.",
    labels: ["peer"],
    read: perPeer((peer) => (peer.state === "up" ? 1 : 0)),
  },
  {
    name: "chorus_link_state",
    type: "gauge",
    help: `1 for the state the link is in: ${linkStates.join(", ")}.`,
    labels: ["peer", "state"],
    read: running(({ peers }) => peers.flatMap((peer) => stateSamples(linkStates, peer.state, { peer: peer.name }))),
  },
  {
    name: "chorus_lag_ops",
    type: "gauge",
    help: "Writes this peer has that the other has not said to have.",
    labels: ["peer"],
    read: perPeer((peer) => peer.lagOps),
  },
  {
    name: "chorus_lag_seconds",
    type: "gauge",
    help: "For how long the other has lacked the oldest of this peer's own writes that it lacks; heartbeats tell twice a second, so up to a second is no lag. Absent when it lacks only those of others.",
    labels: ["peer"],
    read: perPeer((peer) => msToSeconds(peer.lagMs)),
  },
  {
    name: "chorus_behind_ops",
    type: "gauge",
    help: "Writes the other told of that this peer has yet to get.",
    labels: ["peer"],
    read: perPeer((peer) => peer.behindOps),
  },
  {
    name: "chorus_link_queue_bytes",
    type: "gauge",
    help: "Bytes that wait for the link's socket.",
    labels: ["peer"],
    read: perPeer((peer) => peer.queuedBytes),
  },
  {
    name: "chorus_link_rtt_seconds",
    type: "gauge",
    help: "Round-trip time on the link, smoothed.",
    labels: ["peer"],
    read: perPeer((peer) => msToSeconds(peer.rttMs)),
  },
  {
    name: "chorus_clock_offset_seconds",
    type: "gauge",
    help: "The other's clock minus this peer's.",
    labels: ["peer"],
    read: perPeer((peer) => msToSeconds(peer.clockOffsetMs)),
  },
  {
    name: "chorus_link_sent_bytes_total",
    type: "counter",
    help: "Payload sent, heartbeats aside.",
    labels: ["peer"],
    read: perLink((link) => link.sentBytes),
  },
  {
    name: "chorus_link_received_bytes_total",
    type: "counter",
    help: "Payload received.",
    labels: ["peer"],
    read: perLink((link) => link.receivedBytes),
  },
  {
    name: "chorus_link_connects_total",
    type: "counter",
    help: "Links there were to the peer: more than one means it was lost.",
    labels: ["peer"],
    read: perLink((link) => link.links),
  },
];
