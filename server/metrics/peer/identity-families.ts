/** Who runs here, and in which version. */
import type { Family } from "../family.ts";
import type { PeerFigures } from "../peer-figures.ts";

export const identityFamilies: readonly Family<PeerFigures>[] = [
  {
    name: "chorus_build_info",
    type: "gauge",
    help: "1, with the versions that run.",
    labels: ["version", "node_version"],
    read: ({ version }) => [{ labels: { version, node_version: process.version }, value: 1 }],
  },
  {
    name: "chorus_peer_info",
    type: "gauge",
    help: "1, with this peer's name and its cluster's.",
    labels: ["name", "cluster"],
    read: ({ name, cluster }) => [{ labels: { name, cluster }, value: 1 }],
  },
];
