/** Who runs here, and in which version. */
import { buildInfo } from "../build-info.ts";
import type { Family } from "../family.ts";
import type { PeerFigures } from "../peer-figures.ts";

export const identityFamilies: readonly Family<PeerFigures>[] = [
  buildInfo,
  {
    name: "chorus_peer_info",
    type: "gauge",
    help: "1, with this peer's name and its cluster's.",
    labels: ["name", "cluster"],
    read: ({ name, cluster }) => [{ labels: { name, cluster }, value: 1 }],
  },
];
