/** SLOWLOG and LATENCY: what took long at this peer, with Redis 7's replies. */
import { bucketMicros, type DurationHistogram } from "../metrics/duration-histogram.ts";
import type { LatencyEvent, LatencyEvents, LatencyHistory } from "../metrics/latency-events.ts";
import type { Handler, Handlers, RunnableCommand } from "./context.ts";
import { countedCommands } from "./figures.ts";
import { containerHelp } from "./help.ts";
import { parseInteger } from "./numbers.ts";

// ---- SLOWLOG ----------------------------------------------------------------------------------------------------------

const entriesDefault = 10;

const slowLogGet: Handler = (session, words, { host }) => {
  const { reply } = session;
  if (words.length > 3) {
    reply.error("ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.");
    return;
  }
  const count = words.length === 3 ? parseInteger(words[2]) : entriesDefault;
  if (count === undefined || count < -1) {
    reply.error("ERR count should be greater than or equal to -1");
    return;
  }
  const entries = host.slowLog.newest(count === -1 ? host.slowLog.length : Number(count));
  reply.array(entries.length);
  for (const { id, atSeconds, micros, words: shown, address, clientName } of entries) {
    reply.array(6);
    reply.integer(id);
    reply.integer(atSeconds);
    reply.integer(micros);
    reply.array(shown.length);
    for (const word of shown) reply.bulk(word);
    reply.bulk(address);
    reply.bulk(clientName);
  }
};

const slowLogLen: Handler = (session, _words, { host }) => {
  session.reply.integer(host.slowLog.length);
};

const slowLogReset: Handler = (session, _words, { host }) => {
  host.slowLog.reset();
  session.reply.simple("OK");
};

// ---- LATENCY ----------------------------------------------------------------------------------------------------------

const latencyLatest: Handler = (session, _words, { host }) => {
  const { reply } = session;
  const histories = host.latencyEvents.histories();
  reply.array(histories.length);
  for (const { event, samples, maxMs } of histories) {
    const latest = samples.at(-1);
    reply.array(4);
    reply.bulk(event);
    reply.integer(latest?.atSeconds ?? 0);
    reply.integer(latest?.ms ?? 0);
    reply.integer(maxMs);
  }
};

const latencyHistory: Handler = (session, words, { host }) => {
  const { reply } = session;
  const samples = host.latencyEvents.history(words[2])?.samples ?? [];
  reply.array(samples.length);
  for (const { atSeconds, ms } of samples) {
    reply.array(2);
    reply.integer(atSeconds);
    reply.integer(ms);
  }
};

const latencyReset: Handler = (session, words, { host }) => {
  session.reply.integer(host.latencyEvents.reset(words.slice(2)));
};

/** Cumulative counts by microseconds, of the buckets in which anything was; how commands are timed: see run.ts. */
const latencyHistogram: Handler = (session, words, { stats, lookup }) => {
  const { reply } = session;
  const asked =
    words.length === 2 ? undefined : new Set(words.slice(2).flatMap((name) => indexesOf(lookup(name.split("|")))));
  const shown = stats.durations.flatMap((durations, index) =>
    (stats.calls[index] ?? 0) > 0 && durations.count > 0 && asked?.has(index) !== false ? [{ index, durations }] : [],
  );
  reply.map(shown.length);
  for (const { index, durations } of shown) {
    reply.bulk(countedCommands[index] ?? "");
    reply.map(2);
    reply.bulk("calls");
    reply.integer(stats.calls[index] ?? 0);
    reply.bulk("histogram_usec");
    const buckets = cumulative(durations);
    reply.map(buckets.length);
    for (const [micros, count] of buckets) {
      reply.integer(micros);
      reply.integer(count);
    }
  }
};

/** A container stands for its subcommands, as in Redis. */
const indexesOf = (found: RunnableCommand | string | undefined): readonly number[] => {
  if (found === undefined) return [];
  const name = typeof found === "string" ? found : found.fullName;
  return countedCommands.flatMap((each, index) => (each === name || each.startsWith(`${name}|`) ? [index] : []));
};

const cumulative = ({ counts }: DurationHistogram): readonly (readonly [micros: number, count: number])[] => {
  const buckets: [number, number][] = [];
  let total = 0;
  counts.forEach((count, index) => {
    if (count === 0) return;
    total += count;
    // What is beyond the last bound is shown at twice that bound.
    buckets.push([Number.isFinite(bucketMicros(index)) ? bucketMicros(index) : 2 * bucketMicros(index - 1), total]);
  });
  return buckets;
};

const advice: Readonly<Record<LatencyEvent, string>> = {
  command:
    "SLOWLOG GET names the commands. What walks the whole map (KEYS, FLUSHALL, SCAN with a large COUNT) is slow by nature.",
  fsync:
    "The disk is slow to sync. Only --fsync always and --acks make clients wait for it; else it delays facts and purging.",
  "event-loop":
    "The process stood still: another process has the processor, the machine was suspended, or the garbage collector walks a large heap.",
  checkpoint: "A slice of the checkpoint took long: very large values, or too little processor time.",
  install: "A state transfer was installed, which is done in one step. It should be rare: see --log-retention.",
};

const latencyDoctor: Handler = (session, _words, { host }) => {
  session.reply.verbatim(report(host.latencyEvents));
};

const report = (events: LatencyEvents): string => {
  if (events.thresholdMs === 0) {
    return "The latency monitor is off. CONFIG SET latency-monitor-threshold <milliseconds> turns it on.\n";
  }
  const histories = events.histories();
  if (histories.length === 0)
    return `Nothing took ${events.thresholdMs} ms or more since the start or the last LATENCY RESET.\n`;
  return `${histories.map(eventReport).join("\n")}`;
};

const eventReport = ({ event, samples, maxMs }: LatencyHistory): string => {
  const averageMs = Math.round(samples.reduce((sum, { ms }) => sum + ms, 0) / samples.length);
  const latest = new Date((samples.at(-1)?.atSeconds ?? 0) * 1000).toISOString();
  return `${event}: ${samples.length} samples, ${averageMs} ms on average, ${maxMs} ms at most, the latest at ${latest}.\n  ${advice[event]}\n`;
};

export const slowCommandHandlers: Handlers = {
  "slowlog|get": slowLogGet,
  "slowlog|len": slowLogLen,
  "slowlog|reset": slowLogReset,
  "slowlog|help": containerHelp("slowlog"),
  "latency|latest": latencyLatest,
  "latency|history": latencyHistory,
  "latency|reset": latencyReset,
  "latency|histogram": latencyHistogram,
  "latency|doctor": latencyDoctor,
  "latency|help": containerHelp("latency"),
};
