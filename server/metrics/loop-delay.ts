/**
 * How long the event loop stood still: the worst of each look, kept for a minute. A scrape every 15 s sees the worst
 * moment between two scrapes whoever else scrapes, which a histogram that each scrape empties would not give.
 */
import { type Family, msToSeconds } from "./family.ts";

const windowMs = 60_000;

export class LoopDelays {
  #looks: { readonly atMs: number; readonly delayMs: number }[] = [];
  /** Looks that found more than `slowMs`. */
  slow = 0;
  readonly #slowMs: number;

  constructor(slowMs: number) {
    this.#slowMs = slowMs;
  }

  /** `nowMs`: monotonic. Called about twice a second with the longest delay since the last call. */
  note(delayMs: number, nowMs: number): void {
    if (delayMs > this.#slowMs) this.slow += 1;
    this.#looks.push({ atMs: nowMs, delayMs });
    while ((this.#looks[0]?.atMs ?? nowMs) < nowMs - windowMs) this.#looks.shift();
  }

  get maxMs(): number {
    return this.#looks.reduce((max, { delayMs }) => Math.max(max, delayMs), 0);
  }
}

/** Of a peer or a gateway; nothing to tell where nobody measures. */
export const loopDelayMax: Family<{ readonly loopDelays?: LoopDelays }> = {
  name: "chorus_event_loop_delay_max_seconds",
  type: "gauge",
  help: "The longest the event loop stood still within the last minute.",
  read: ({ loopDelays }) => msToSeconds(loopDelays?.maxMs),
};
