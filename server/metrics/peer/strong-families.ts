/** Strong keys: who answers, how operations end, what registers take. */
import { type Family, histogramSamples, samplesBy, stateSamples } from "../family.ts";
import { type PeerFigures, running } from "../peer-figures.ts";

const standings = ["admitted", "new", "lost", "readmitting"];

export const strongFamilies: readonly Family<PeerFigures>[] = [
  {
    name: "chorus_strong_standing",
    type: "gauge",
    help: `1 for what this disk is to strong keys: ${standings.join(", ")}. Only admitted ones answer.`,
    labels: ["state"],
    read: running(({ strong }) => stateSamples(standings, strong.standing)),
  },
  {
    name: "chorus_strong_answering",
    type: "gauge",
    help: "Peers this one reaches whose registers answer, itself among them.",
    read: running(({ strong }) => strong.answering),
  },
  {
    name: "chorus_strong_quorum",
    type: "gauge",
    help: "Peers that make a majority. While fewer answer, strong keys say NOQUORUM.",
    read: running(({ strong }) => strong.quorum),
  },
  {
    name: "chorus_strong_operations_total",
    type: "counter",
    help: "Operations on strong keys by outcome: done (also those that changed nothing), noquorum, unknown, busy.",
    labels: ["outcome"],
    read: running(({ strong: { counters } }) =>
      samplesBy("outcome", [
        ["done", counters.done],
        ["noquorum", counters.noQuorum],
        ["unknown", counters.unknown],
        ["busy", counters.busy],
      ]),
    ),
  },
  {
    name: "chorus_strong_operation_duration_seconds",
    type: "histogram",
    help: "From an operation's arrival at this peer to its outcome, whatever that was.",
    read: running(({ strong }) => histogramSamples(strong.operationTimes)),
  },
  {
    name: "chorus_strong_waiting",
    type: "gauge",
    help: "Operations that wait for an outcome now.",
    read: running(({ strong }) => strong.waitingCount),
  },
  {
    name: "chorus_strong_pending_rounds",
    type: "gauge",
    help: "Rounds under way for them, one per key.",
    read: running(({ strong }) => strong.status.pendingRounds),
  },
  {
    name: "chorus_strong_messages_total",
    type: "counter",
    help: "Link messages about registers; each carries what a turn had to say.",
    labels: ["direction"],
    read: running(({ strong: { counters } }) =>
      samplesBy("direction", [
        ["in", counters.messagesIn],
        ["out", counters.messagesOut],
      ]),
    ),
  },
  {
    name: "chorus_strong_keys",
    type: "gauge",
    help: "Strong keys that have a value, as this peer holds them.",
    read: running(({ strong }) => strong.keyCount),
  },
  {
    name: "chorus_strong_registers",
    type: "gauge",
    help: "Registers held: strong keys, and those deleted and not purged yet, which waits for all peers.",
    read: running(({ strong }) => strong.status.registers),
  },
  {
    name: "chorus_strong_memory_bytes",
    type: "gauge",
    help: "Memory they take; counted against --max-memory too.",
    read: running(({ strong }) => strong.bytes),
  },
];
