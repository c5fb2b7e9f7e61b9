/**
 * The smallest part of a history that no order explains, for people: the first answer after which nothing fits any more,
 * and how little of what came before is needed to see it.
 *
 * Only weakenings are tried, so what does not fit in the part does not fit in the whole: whatever had not been answered by
 * the chosen moment counts as unknown, and the part begins at a write that makes what was before it immaterial.
 */
import type { HistoryEntry } from "./history.ts";
import { checkHistory, reads } from "./linearizability.ts";

export interface Unexplained {
  readonly key: string;
  /** The first answer that does not fit. */
  readonly culprit: HistoryEntry;
  /** By start; the culprit is among them. */
  readonly part: readonly HistoryEntry[];
}

/** Enough for parts: who needs more of them is no part. */
const partStepsMax = 300_000;
/** Beginnings that are tried, the latest first. */
const beginningsMax = 60;

/** undefined: the operations of the key can be put in order. */
export const explain = (entries: readonly HistoryEntry[], key: string, stepsMax?: number): Unexplained | undefined => {
  // A read of unknown outcome explains nothing.
  const own = entries.filter(
    (entry) => entry.key === key && (entry.outcome === "ok" || (entry.outcome === "unknown" && !reads.has(entry.op))),
  );
  const ends = own.flatMap(({ outcome, end_ns }) => (outcome === "ok" && end_ns !== null ? [end_ns] : []));
  ends.sort((a, b) => a - b);
  const fails = (count: number): boolean => {
    const lastNs = ends[count - 1];
    return lastNs !== undefined && checkHistory(upTo(own, lastNs), stepsMax).ok === false;
  };
  if (!fails(ends.length)) return undefined;
  // What fails goes on failing with every further answer.
  let [fits, misfits] = [0, ends.length];
  while (misfits - fits > 1) {
    const middle = (fits + misfits) >> 1;
    if (fails(middle)) misfits = middle;
    else fits = middle;
  }
  const lastNs = ends[misfits - 1] as number;
  const all = upTo(own, lastNs).sort((a, b) => a.start_ns - b.start_ns);
  const culprit = all.find(({ end_ns }) => end_ns === lastNs) as HistoryEntry;
  return { key, culprit, part: shortest(all) };
};

/** As it was known at that moment. */
const upTo = (entries: readonly HistoryEntry[], lastNs: number): HistoryEntry[] =>
  entries
    .filter(({ start_ns }) => start_ns <= lastNs)
    .filter(({ op, end_ns }) => !reads.has(op) || (end_ns !== null && end_ns <= lastNs))
    .map((entry) =>
      entry.end_ns !== null && entry.end_ns > lastNs
        ? { ...entry, output: null, end_ns: null, outcome: "unknown" as const }
        : entry,
    );

const shortest = (all: readonly HistoryEntry[]): readonly HistoryEntry[] => {
  // A fence refuses by what was written long before.
  if (all.some(({ input }) => input["fence"] !== undefined)) return all;
  let tried = 0;
  for (let at = all.length - 1; at > 0 && tried < beginningsMax; at--) {
    const first = all[at] as HistoryEntry;
    if (!settles(first, all)) continue;
    tried++;
    // What it was told of the versions before it is dropped with them.
    const part = all.filter((entry) => entry.start_ns >= first.start_ns || entry.outcome === "unknown");
    if (checkHistory(part, partStepsMax).ok === false) return part;
  }
  return all;
};

/** It sets the value whatever it was, and nothing answered was under way beside it. */
const settles = (entry: HistoryEntry, all: readonly HistoryEntry[]): boolean => {
  const { op, outcome, input, start_ns, end_ns } = entry;
  if (op !== "set" || outcome !== "ok" || input["condition"] !== "none" || input["returnsOld"] === true) return false;
  if (input["ttlMs"] === "keep") return false;
  return all.every(
    (other) =>
      other === entry ||
      other.outcome === "unknown" ||
      (other.end_ns ?? 0) < start_ns ||
      other.start_ns > (end_ns ?? Number.POSITIVE_INFINITY),
  );
};

/** One line, times from `zeroNs` in ms. */
export const entryLine = (entry: HistoryEntry, zeroNs: number): string => {
  const ms = (ns: number | null): string => (ns === null ? "" : ((ns - zeroNs) / 1e6).toFixed(3));
  const { kind = "", ...answer } = entry.output ?? {};
  const answered = entry.outcome === "ok" ? `${kind} ${Object.values(answer).map(String).join(" @")}` : entry.outcome;
  return (
    `${ms(entry.start_ns).padStart(12)} ${ms(entry.end_ns).padStart(12)}  ${entry.client.padEnd(8)} ` +
    `${entry.op} ${JSON.stringify(entry.input)} -> ${answered.trim()}`
  );
};

const shownMax = 40;
const unknownShownMax = 8;

/** The part, its culprit marked. Of unknown operations the last ones: none of them explains it. */
export const explanationText = ({ key, culprit, part }: Unexplained): string => {
  const unknown = part.filter(({ outcome }) => outcome === "unknown");
  const idle = new Set(unknown.slice(0, Math.max(0, unknown.length - unknownShownMax)));
  const shown = part.filter((entry) => !idle.has(entry)).slice(-shownMax);
  const zeroNs = (shown.find(({ outcome }) => outcome === "ok") ?? culprit).start_ns;
  const left = part.length - shown.length;
  return [
    `${key}: no order explains this part of ${part.length} operations (times in ms; > is the first answer that does not fit)`,
    ...(left > 0 ? [`    ${left} more before, ${idle.size} of them of unknown outcome`] : []),
    ...shown.map((entry) => `${entry === culprit ? "  > " : "    "}${entryLine(entry, zeroNs)}`),
  ].join("\n");
};
