/** Which versions run: a peer and a gateway say it alike, so that one query finds who was not upgraded. */
import type { Family } from "./family.ts";

export const buildInfo: Family<{ readonly version: string }> = {
  name: "chorus_build_info",
  type: "gauge",
  help: "1, with the versions that run.",
  labels: ["version", "node_version"],
  read: ({ version }) => [{ labels: { version, node_version: process.version }, value: 1 }],
};
