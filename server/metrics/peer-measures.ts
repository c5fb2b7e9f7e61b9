/** What a peer keeps for its operators beside its work: plain numbers, noted where things happen, read by those who ask. */
import { performance } from "node:perf_hooks";
import type { ReplicaEvent } from "../replica/index.ts";
import { DurationHistogram } from "./duration-histogram.ts";
import { HttpCounts } from "./http-families.ts";
import { LatencyEvents } from "./latency-events.ts";
import { LoopDelays } from "./loop-delay.ts";
import { SlowLog } from "./slow-log.ts";

/** What the replica told in its events, since the start. */
export interface CatchUpCounts {
  /** Streams of log that ended: the other had all. */
  sent: number;
  opsSent: number;
  transfersSent: number;
  transfersReceived: number;
  transferCellsReceived: number;
  repairedKeys: number;
}

const newCatchUpCounts = (): CatchUpCounts => ({
  sent: 0,
  opsSent: 0,
  transfersSent: 0,
  transfersReceived: 0,
  transferCellsReceived: 0,
  repairedKeys: 0,
});

export class PeerMeasures {
  readonly slowLog = new SlowLog();
  readonly latencyEvents = new LatencyEvents();
  readonly loopDelays: LoopDelays;
  readonly fsyncTimes = new DurationHistogram();
  readonly checkpointTimes = new DurationHistogram();
  readonly catchUps = newCatchUpCounts();
  readonly http = new HttpCounts();
  /** Undefined until it was looked at. */
  diskFreeBytes: number | undefined;
  /** Of the store on disk; looked at together with the free space. */
  checkpointBytes = 0;
  readonly #wallMs: () => number;

  /** `slowLoopMs`: an event loop that stands still for longer is a stall. */
  constructor(options: { readonly slowLoopMs: number; readonly wallMs: () => number }) {
    this.loopDelays = new LoopDelays(options.slowLoopMs);
    this.#wallMs = options.wallMs;
  }

  onSynced(tookMs: number): void {
    this.fsyncTimes.note(tookMs * 1000);
    this.latencyEvents.note("fsync", tookMs, this.#wallMs());
  }

  onCheckpoint(report: { readonly tookMs: number; readonly slowestSliceMs: number }): void {
    this.checkpointTimes.note(report.tookMs * 1000);
    this.latencyEvents.note("checkpoint", report.slowestSliceMs, this.#wallMs());
  }

  onLoopDelay(delayMs: number): void {
    this.loopDelays.note(delayMs, performance.now());
    this.latencyEvents.note("event-loop", delayMs, this.#wallMs());
  }

  /** `turnMs`: of the turn it happened in, so far. */
  onReplicaEvent(event: ReplicaEvent, turnMs: number): void {
    const { catchUps } = this;
    if (event.type === "caught-up") {
      catchUps.sent += 1;
      catchUps.opsSent += event.ops;
    } else if (event.type === "transfer-started" && event.outgoing) {
      catchUps.transfersSent += 1;
    } else if (event.type === "transfer-installed") {
      catchUps.transfersReceived += 1;
      catchUps.transferCellsReceived += event.cells;
      this.latencyEvents.note("install", turnMs, this.#wallMs());
    } else if (event.type === "repaired") {
      catchUps.repairedKeys += event.keys;
    }
  }
}
