/** Watches for an event loop that stands still: each look is measured, and the worst of several seconds is logged. */
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import type { Logger } from "./logger.ts";
import type { PeerMeasures } from "./metrics/peer-measures.ts";

/** An event loop that stood still this long is logged. */
export const slowLoopMs = 50;
/** At most one such line in this time, with the worst of it. */
const slowLoopLogMs = 10_000;

export class LoopWatch {
  readonly #delay = monitorEventLoopDelay({ resolution: 10 });
  readonly #measures: PeerMeasures;
  readonly #logger: Logger;
  #slowestMs = 0;
  #loggedAtMs = 0;

  constructor(parts: { readonly measures: PeerMeasures; readonly logger: Logger }) {
    this.#measures = parts.measures;
    this.#logger = parts.logger;
  }

  start(): void {
    this.#delay.enable();
  }

  stop(): void {
    this.#delay.disable();
  }

  /** Called about twice a second. */
  look(): void {
    const delayMs = this.#delay.max / 1e6;
    this.#delay.reset();
    this.#measures.onLoopDelay(delayMs);
    this.#slowestMs = Math.max(this.#slowestMs, delayMs);
    if (this.#slowestMs <= slowLoopMs || performance.now() - this.#loggedAtMs < slowLoopLogMs) return;
    this.#loggedAtMs = performance.now();
    this.#logger.warn({ ms: Math.round(this.#slowestMs) }, "the event loop stood still");
    this.#slowestMs = 0;
  }
}
