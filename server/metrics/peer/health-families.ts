/** Whether clients should come to this peer, and what it warns of. */
import { type Family, samplesBy } from "../family.ts";
import type { PeerFigures } from "../peer-figures.ts";

export const healthFamilies: readonly Family<PeerFigures>[] = [
  {
    name: "chorus_ready",
    type: "gauge",
    help: "1 when /readyz says so: send it clients.",
    read: ({ checks }) => (checks.every(({ ok }) => ok) ? 1 : 0),
  },
  {
    name: "chorus_check_ok",
    type: "gauge",
    help: "1 for each check of /readyz that is passed, 0 for one that fails.",
    labels: ["check"],
    read: ({ checks }) =>
      samplesBy(
        "check",
        checks.map(({ name, ok }) => [name, ok ? 1 : 0] as const),
      ),
  },
  { name: "chorus_alarms", type: "gauge", help: "Alarms in /status now.", read: ({ alarms }) => alarms },
];
