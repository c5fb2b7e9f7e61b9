/**
 * Locks in a recorded history: never do two believe at a time, and their tokens only grow.
 *
 * A holder believes from the answer it was given until 99 % of the TTL after the moment it sent the request, by its own
 * clock (docs/STRONG.md), or until it sends its release. Taken from the history alone, so a stored one can be judged too.
 * A key counts as a lock when its name begins with `strong:lock`: each acquisition there has a value of its own.
 */
import type { HistoryEntry } from "./history.ts";

export const lockPrefix = "strong:lock";
const believedShare = 0.99;

export interface LockReport {
  readonly acquired: number;
  readonly renewed: number;
  readonly violations: readonly string[];
}

interface Belief {
  readonly owner: string;
  readonly fromNs: number;
  readonly untilNs: number;
}

export const checkLocks = (entries: readonly HistoryEntry[]): LockReport => {
  const violations: string[] = [];
  let [acquired, renewed] = [0, 0];
  for (const [key, own] of byLock(entries)) {
    const granted = own.filter(isGranted);
    const acquisitions = granted.filter(({ input }) => input["condition"] === "absent");
    acquired += acquisitions.length;
    renewed += granted.length - acquisitions.length;
    violations.push(...twoHolders(key, beliefsOf(own)), ...tokensThatDoNotGrow(key, acquisitions));
  }
  return { acquired, renewed, violations };
};

const byLock = (entries: readonly HistoryEntry[]): Map<string, HistoryEntry[]> => {
  const locks = new Map<string, HistoryEntry[]>();
  for (const entry of entries) {
    if (!entry.key.startsWith(lockPrefix)) continue;
    const own = locks.get(entry.key);
    if (own === undefined) locks.set(entry.key, [entry]);
    else own.push(entry);
  }
  return locks;
};

const isGranted = ({ op, outcome, output, input }: HistoryEntry): boolean =>
  op === "set" && outcome === "ok" && output?.kind === "ok" && Number(input["ttlMs"]) > 0;

const beliefsOf = (entries: readonly HistoryEntry[]): Belief[] => {
  const releasedNs = new Map<string, number>();
  for (const { op, input, start_ns } of entries) {
    const { equals } = (input["only"] ?? {}) as { readonly equals?: string };
    // From when it sent the first release, whatever became of it.
    if (op === "del" && equals !== undefined && start_ns < (releasedNs.get(equals) ?? Number.POSITIVE_INFINITY)) {
      releasedNs.set(equals, start_ns);
    }
  }
  const beliefs: Belief[] = [];
  for (const entry of entries) {
    if (!isGranted(entry) || entry.end_ns === null) continue;
    const owner = String(entry.input["value"]);
    const lapsedNs = entry.start_ns + Number(entry.input["ttlMs"]) * 1e6 * believedShare;
    const untilNs = Math.min(lapsedNs, releasedNs.get(owner) ?? Number.POSITIVE_INFINITY);
    if (untilNs > entry.end_ns) beliefs.push({ owner, fromNs: entry.end_ns, untilNs });
  }
  return beliefs.sort((a, b) => a.fromNs - b.fromNs);
};

const twoHolders = (key: string, beliefs: readonly Belief[]): string[] => {
  const violations: string[] = [];
  let longest: Belief | undefined;
  for (const belief of beliefs) {
    if (longest !== undefined && longest.owner !== belief.owner && belief.fromNs < longest.untilNs) {
      const ms = (Math.min(longest.untilNs, belief.untilNs) - belief.fromNs) / 1e6;
      violations.push(
        `${key}: ${longest.owner} and ${belief.owner} both believe to hold it for ${ms.toFixed(1)} ms, from ${belief.fromNs} ns on`,
      );
    }
    if (longest === undefined || belief.untilNs > longest.untilNs) longest = belief;
  }
  return violations;
};

/** An acquisition that began after another was answered has a higher token. */
const tokensThatDoNotGrow = (key: string, acquisitions: readonly HistoryEntry[]): string[] => {
  const violations: string[] = [];
  const byStart = acquisitions.filter(({ output }) => output?.version !== undefined);
  const byEnd = [...byStart].sort((a, b) => (a.end_ns ?? 0) - (b.end_ns ?? 0));
  byStart.sort((a, b) => a.start_ns - b.start_ns);
  let ended = 0;
  let highest: HistoryEntry | undefined;
  for (const entry of byStart) {
    for (let other = byEnd[ended]; other !== undefined && (other.end_ns ?? 0) < entry.start_ns; other = byEnd[ended]) {
      if (tokenOf(other) > tokenOf(highest)) highest = other;
      ended++;
    }
    if (tokenOf(entry) > tokenOf(highest)) continue;
    violations.push(
      `${key}: ${String(entry.input["value"])} was given token ${tokenOf(entry)} after ${String(highest?.input["value"])} had ${tokenOf(highest)}`,
    );
  }
  return violations;
};

const tokenOf = (entry: HistoryEntry | undefined): number => entry?.output?.version ?? 0;
