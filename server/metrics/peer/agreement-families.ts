/** Do the peers hold the same? What digests found, and what was repaired. */
import type { LinkVerdict } from "../../../protocol/status.ts";
import { type Family, stateSamples } from "../family.ts";
import { counted, type PeerFigures, running } from "../peer-figures.ts";

const verdicts: readonly LinkVerdict[] = ["identical", "different", "syncing", "not-compared", "no-link"];

export const agreementFamilies: readonly Family<PeerFigures>[] = [
  {
    name: "chorus_digest_agreement",
    type: "gauge",
    help: `1 for what is known of the other's map: ${verdicts.join(", ")}. While writes go on: syncing.`,
    labels: ["peer", "verdict"],
    read: running(({ peers }) =>
      peers.flatMap((peer) => stateSamples(verdicts, peer.verdict, { peer: peer.name }, "verdict")),
    ),
  },
  {
    name: "chorus_digest_comparisons_total",
    type: "counter",
    help: "Digests compared at equal version vectors and expiry horizons.",
    read: counted("digestsCompared"),
  },
  {
    name: "chorus_digest_mismatches_total",
    type: "counter",
    help: "Of these, those that differed: a bug, or memory that cannot be trusted.",
    read: counted("digestMismatches"),
  },
  {
    name: "chorus_repaired_keys_total",
    type: "counter",
    help: "Keys repaired from another peer after a mismatch.",
    read: running(({ catchUps }) => catchUps.repairedKeys),
  },
];
