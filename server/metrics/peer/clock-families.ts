/** This peer's clock against those of the others and against the stamps it has seen. */
import { stampToMs } from "../../replica/index.ts";
import { type Family, stateSamples } from "../family.ts";
import { type PeerFigures, running } from "../peer-figures.ts";

const skewStates = ["ok", "warning", "refusing"];

export const clockFamilies: readonly Family<PeerFigures>[] = [
  {
    name: "chorus_clock_skew_state",
    type: "gauge",
    help: "1 for the state this peer's clock is in: ok, warning (more than 0.5 s from another's), refusing (takes no writes).",
    labels: ["state"],
    read: running(({ skewState }) => stateSamples(skewStates, skewState)),
  },
  {
    name: "chorus_clock_ahead_seconds",
    type: "gauge",
    help: "How far the stamps of writes are ahead of this peer's clock; negative when idle.",
    read: running(({ replica, wallMs }) => (stampToMs(replica.state.clock.last) - wallMs) / 1000),
  },
  {
    name: "chorus_paused_origins",
    type: "gauge",
    help: "Runs of peers whose writes wait here: stamped too far ahead of real time.",
    read: running(({ replica }) => replica.pausedOrigins().size),
  },
];
