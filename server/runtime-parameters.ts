/**
 * What CONFIG SET may change while a peer runs. It is kept until the peer stops: the files and flags it was started with
 * stay as they are. Names, ranges and words are Redis's.
 */
import type { LatencyEvents } from "./metrics/latency-events.ts";
import type { SlowLog } from "./metrics/slow-log.ts";
import { notifyRefusal, parseNotifyFlags } from "./pubsub/notify-flags.ts";

export interface RuntimeParameter {
  readonly name: string;
  value(): string;
  /** Why it may not be set to this, in Redis's words; undefined: it may. */
  refusal(value: string): string | undefined;
  /** Only what is not refused. */
  set(value: string): void;
}

export const notifyParameter = (keyEvents: {
  readonly flags: string;
  setFlags(flags: string): boolean;
}): RuntimeParameter => ({
  name: "notify-keyspace-events",
  value: () => keyEvents.flags,
  refusal: (text) => (parseNotifyFlags(text) === undefined ? notifyRefusal : undefined),
  set: (text) => {
    keyEvents.setFlags(text);
  },
});

const int64Max = 2n ** 63n - 1n;

const integerParameter = (
  name: string,
  min: bigint,
  get: () => number,
  set: (value: number) => void,
): RuntimeParameter => ({
  name,
  value: () => String(get()),
  refusal: (text) => {
    const value = /^(0|-?[1-9][0-9]{0,18})$/.test(text) ? BigInt(text) : undefined;
    if (value === undefined || value > int64Max) return "argument couldn't be parsed into an integer";
    return value < min ? `argument must be between ${min} and ${int64Max} inclusive` : undefined;
  },
  // Beyond 2^53 a number of microseconds, milliseconds or entries is never reached.
  set: (text) => set(Number(text)),
});

export const slowCommandParameters = (slowLog: SlowLog, latencyEvents: LatencyEvents): readonly RuntimeParameter[] => [
  integerParameter(
    "slowlog-log-slower-than",
    -1n,
    () => slowLog.slowerThanMicros,
    (micros) => {
      slowLog.slowerThanMicros = micros;
    },
  ),
  integerParameter(
    "slowlog-max-len",
    0n,
    () => slowLog.entriesMax,
    (count) => {
      slowLog.entriesMax = count;
    },
  ),
  integerParameter(
    "latency-monitor-threshold",
    0n,
    () => latencyEvents.thresholdMs,
    (ms) => {
      latencyEvents.thresholdMs = ms;
    },
  ),
];
