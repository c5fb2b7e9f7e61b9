/** Commands: how many, how they ended, how long they took. */
import { countedCommands } from "../../commands/figures.ts";
import { type Family, histogramSamples, type Sample, samplesBy } from "../family.ts";
import { type PeerFigures, type RunningFigures, running } from "../peer-figures.ts";

/** Only commands that were ever called: a hundred silent ones are noise. */
const commandResults = ({ commands }: RunningFigures): readonly Sample[] => {
  const samples: Sample[] = [];
  countedCommands.forEach((command, index) => {
    const calls = commands.calls[index] ?? 0;
    const failed = commands.failed[index] ?? 0;
    const refused = commands.refused[index] ?? 0;
    if (calls + refused === 0) return;
    samples.push({ labels: { command, result: "ok" }, value: calls - failed });
    samples.push({ labels: { command, result: "error" }, value: failed });
    samples.push({ labels: { command, result: "refused" }, value: refused });
  });
  samples.push({ labels: { command: "unknown", result: "refused" }, value: commands.unknown });
  return samples;
};

export const commandFamilies: readonly Family<PeerFigures>[] = [
  {
    name: "chorus_commands_total",
    type: "counter",
    help: "Commands by name and end: ok; error: it ran and answered an error; refused: before it ran (arity, login, a peer that takes no writes). No such command: unknown.",
    labels: ["command", "result"],
    read: running(commandResults),
  },
  {
    name: "chorus_command_duration_seconds",
    type: "histogram",
    help: "Time in a command's handler. Those of bounded work (GET, SET) are timed once in 31 and counted for all. Waiting for disk and peers: see chorus_reply_duration_seconds.",
    labels: ["command"],
    read: running(({ commands }) =>
      commands.durations.flatMap((durations, index) =>
        (commands.calls[index] ?? 0) === 0 || durations.count === 0
          ? []
          : histogramSamples(durations, { command: countedCommands[index] ?? "" }),
      ),
    ),
  },
  {
    name: "chorus_reply_duration_seconds",
    type: "histogram",
    help: "From the turn that ran a connection's commands until their replies were let go, with the waits of --fsync always and --acks. A connection's commands of one turn count once.",
    read: running(({ replyTimes }) => histogramSamples(replyTimes)),
  },
  {
    name: "chorus_errors_total",
    type: "counter",
    help: "Error replies by their first word: docs/ERRORS.md.",
    labels: ["code"],
    read: running(({ commands }) => samplesBy("code", commands.errors)),
  },
  {
    name: "chorus_slow_commands_total",
    type: "counter",
    help: "Entries SLOWLOG took in.",
    read: running(({ slowCommands }) => slowCommands),
  },
  {
    name: "chorus_latency_events_total",
    type: "counter",
    help: "Samples of LATENCY: what took longer than latency-monitor-threshold.",
    labels: ["event"],
    read: ({ latencyEvents }) => samplesBy("event", Object.entries(latencyEvents.counts)),
  },
  {
    name: "chorus_keyspace_reads_total",
    type: "counter",
    help: "Keys looked for by reading commands.",
    labels: ["result"],
    read: running(({ commands }) =>
      samplesBy("result", [
        ["hit", commands.keyspaceHits],
        ["miss", commands.keyspaceMisses],
      ]),
    ),
  },
];
