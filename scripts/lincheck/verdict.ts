/** What a history is worth, in words: linearizable, or the smallest part of it that no order explains. */
import { explain, explanationText } from "./explain.ts";
import type { HistoryEntry } from "./history.ts";
import { checkHistory } from "./linearizability.ts";
import { checkLocks } from "./locks.ts";

export interface HistoryVerdict {
  readonly isSound: boolean;
  readonly lines: readonly string[];
}

/** `stepsMax`: configurations looked at per key before it is called undecided. */
export const judge = (entries: readonly HistoryEntry[], stepsMax?: number): HistoryVerdict => {
  const lines: string[] = [];
  const keys = [...new Set(entries.map(({ key }) => key))];
  let [steps, isSound] = [0, entries.length > 0];
  if (entries.length === 0) lines.push("an empty history shows nothing");
  const startedMs = performance.now();
  for (const key of keys) {
    const verdict = checkHistory(
      entries.filter((entry) => entry.key === key),
      stepsMax,
    );
    steps += verdict.steps;
    if (verdict.ok === true) continue;
    isSound = false;
    if (verdict.ok === "undecided") lines.push(`${key}: undecided after ${verdict.steps.toLocaleString("en")} steps`);
    else {
      const unexplained = explain(entries, key, stepsMax);
      lines.push(`NOT LINEARIZABLE`, unexplained === undefined ? key : explanationText(unexplained));
    }
  }
  const locks = checkLocks(entries);
  if (locks.acquired > 0)
    lines.push(
      `locks        ${locks.acquired} times taken, ${locks.renewed} times renewed, ` +
        (locks.violations.length === 0 ? "never two holders, tokens grow" : "WRONG:"),
    );
  lines.push(...locks.violations.slice(0, 20));
  if (isSound)
    lines.push(
      `linearizable: ${keys.length} keys, ${entries.length.toLocaleString("en")} operations, ` +
        `${steps.toLocaleString("en")} steps, ${((performance.now() - startedMs) / 1000).toFixed(1)} s`,
    );
  return { isSound: isSound && locks.violations.length === 0, lines };
};
