/** What a run comes to, for people. */
import type { HistoryEntry } from "../history.ts";
import type { Options } from "./options.ts";
import type { Recorder } from "./recorder.ts";
import type { RunResult } from "./run.ts";

const count = (value: number): string => value.toLocaleString("en");
const listed = (counts: ReadonlyMap<string, number>): string =>
  [...counts].map(([what, times]) => `${what} ${count(times)}`).join(", ");

/** `ok`, `no`, `unknown`, and what the operations were. */
export const operationLines = (entries: readonly HistoryEntry[]): string[] => {
  const outcomes = { ok: 0, fail: 0, unknown: 0 };
  const kinds = new Map<string, number>();
  let withIds = 0;
  for (const { outcome, op, input } of entries) {
    outcomes[outcome]++;
    kinds.set(op, (kinds.get(op) ?? 0) + 1);
    if (input["opid"] !== undefined) withIds++;
  }
  return [
    `operations   ${count(entries.length)}: ${count(outcomes.ok)} ok, ${count(outcomes.fail)} no, ${count(outcomes.unknown)} unknown`,
    `             ${listed(kinds)}; ${count(withIds)} with an operation id`,
  ];
};

export const runLines = (
  { seed, clients, keys, peers }: Options,
  { recorder, dealt, seconds }: RunResult,
): string[] => [
  `lincheck     ${seconds.toFixed(0)} s, ${peers} peers, ${clients} clients, ${keys} keys, seed ${seed}`,
  ...operationLines(recorder.entries),
  `             ${count(recorder.retries)} tried again with their id, ${count(recorder.late)} answered after the client had gone on; refused: ${listed(recorder.refusals) || "none"}`,
  `blows        ${[...dealt.values()].reduce((sum, times) => sum + times, 0)}: ${listed(dealt)}`,
  ...gapLines(recorder),
];

/** Of living peers only, and only where a majority is left. */
const gapLines = (recorder: Recorder): string[] => {
  const gaps = new Map<string, number[]>();
  for (const period of recorder.periods) {
    if (period.isWithoutMajority) continue;
    const own = gaps.get(period.what) ?? [];
    own.push(recorder.longestGapNs(period) / 1e6);
    gaps.set(period.what, own);
  }
  const all = [...gaps.values()].flat();
  if (all.length === 0) return [];
  const text = (values: readonly number[]): string => {
    const sorted = [...values].sort((a, b) => a - b);
    return `${(sorted.at(-1) ?? 0).toFixed(0)} (median ${(sorted[sorted.length >> 1] ?? 0).toFixed(0)})`;
  };
  return [
    `served on    longest time without an acknowledged operation, for clients of living peers, in ms: ${text(all)}`,
    `             ${[...gaps].map(([what, values]) => `${what} ${text(values)}`).join(", ")}`,
  ];
};
