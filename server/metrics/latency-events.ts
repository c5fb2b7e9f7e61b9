/**
 * LATENCY: the moments in which this peer kept its clients waiting, by what it did meanwhile. Redis's latency monitor,
 * with our events. Each keeps its last samples, a second's worst one standing for all of that second.
 */
import { latencySamplesMax } from "../../protocol/limits.ts";

/**
 * `command`: a command that was timed (see server/commands/run.ts). `fsync`: a sync of the log, which only `--fsync always`
 * and `--acks` make clients wait for. `event-loop`: the loop stood still, whatever for. `checkpoint`: the longest slice
 * of one. `install`: the turn in which a transfer became part of the map.
 */
export const latencyEvents = ["command", "fsync", "event-loop", "checkpoint", "install"] as const;

export type LatencyEvent = (typeof latencyEvents)[number];

export interface LatencySample {
  readonly atSeconds: number;
  readonly ms: number;
}

export interface LatencyHistory {
  readonly event: LatencyEvent;
  /** Oldest first, at least one. */
  readonly samples: readonly LatencySample[];
  readonly maxMs: number;
}

interface Kept {
  samples: { atSeconds: number; ms: number }[];
  maxMs: number;
}

export const latencyThresholdMsDefault = 50;

export class LatencyEvents {
  /** Redis's `latency-monitor-threshold`; 0 turns it off. */
  thresholdMs = latencyThresholdMsDefault;
  readonly #kept = new Map<LatencyEvent, Kept>();
  /** Since the start; RESET leaves it. */
  readonly counts: Record<LatencyEvent, number> = {
    command: 0,
    fsync: 0,
    "event-loop": 0,
    checkpoint: 0,
    install: 0,
  };

  /** Call it whenever the thing was done; what took less than the threshold is not kept. */
  note(event: LatencyEvent, ms: number, wallMs: number): void {
    if (this.thresholdMs === 0 || ms < this.thresholdMs) return;
    this.counts[event] += 1;
    let kept = this.#kept.get(event);
    if (kept === undefined) {
      kept = { samples: [], maxMs: 0 };
      this.#kept.set(event, kept);
    }
    const whole = Math.round(ms);
    kept.maxMs = Math.max(kept.maxMs, whole);
    const atSeconds = Math.floor(wallMs / 1000);
    const last = kept.samples.at(-1);
    if (last?.atSeconds === atSeconds) {
      last.ms = Math.max(last.ms, whole);
      return;
    }
    kept.samples.push({ atSeconds, ms: whole });
    if (kept.samples.length > latencySamplesMax) kept.samples.shift();
  }

  /** Of all events that happened, in the order of `latencyEvents`. */
  histories(): readonly LatencyHistory[] {
    return latencyEvents.flatMap((event) => this.history(event) ?? []);
  }

  history(event: string): LatencyHistory | undefined {
    const kept = this.#kept.get(event as LatencyEvent);
    return kept === undefined ? undefined : { event: event as LatencyEvent, samples: kept.samples, maxMs: kept.maxMs };
  }

  /** How many histories there were to forget: of the events named, or of all. */
  reset(events: readonly string[]): number {
    let gone = 0;
    for (const event of events.length === 0 ? latencyEvents : events) {
      if (this.#kept.delete(event as LatencyEvent)) gone += 1;
    }
    return gone;
  }
}
