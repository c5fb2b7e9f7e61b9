/** The event loop: its turns, and when it stood still. */
import type { Family } from "../family.ts";
import { loopDelayMax } from "../loop-delay.ts";
import { type PeerFigures, running } from "../peer-figures.ts";

export const eventLoopFamilies: readonly Family<PeerFigures>[] = [
  {
    name: "chorus_turns_total",
    type: "counter",
    help: "Turns of the event loop in which anything was done.",
    read: running(({ turns }) => turns),
  },
  loopDelayMax,
  {
    name: "chorus_event_loop_stalls_total",
    type: "counter",
    help: "Half seconds in which it stood still for more than 50 ms.",
    read: ({ loopDelays }) => loopDelays.slow,
  },
];
