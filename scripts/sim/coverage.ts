/** What must have happened somewhere in a large batch: a simulation in which nothing was purged proves nothing of purging. */
import type { Coverage } from "./world.ts";

/** Runs from which on every counter below must be non-zero. */
export const runsForCoverage = 1000;

export const mustHappen: readonly string[] = [
  "op set",
  "op del",
  "op incr",
  "flushes",
  "restoredConflicts",
  "error not-an-integer",
  "error overflow",
  "acked",
  "ackedLostWithEveryDisk",
  // links
  "applied",
  "duplicates",
  "waited",
  "unbuffered",
  "bufferFull",
  "blocked",
  "cuts",
  "oneWayStalls",
  "lateReaders",
  "readAfterSenderLeft",
  "viewChanges",
  "staleIncarnation",
  "event stream-paused",
  // catch-up and transfer
  "catchup",
  "relayed",
  "pulls",
  "fetches",
  "readOfTrimmed",
  "transfersFull",
  "transfersIncremental",
  "installs",
  "installsWhole",
  "scanFrames",
  "transferOvertaken",
  "droppedByDot",
  "ignoredByDot",
  // disk
  "crash kill",
  "crash power",
  "crash disk",
  "crash backup",
  "lostTails",
  "replayedFrames",
  "checkpoints",
  "storedChecked",
  "rewrites",
  "rewritesInParts",
  "deltas",
  "sweepsGivenUp",
  "dropsStored",
  "trims",
  "ceilings",
  "gated",
  "event gate-opened",
  // clocks, conflicts, purging, digests
  "clockBack",
  "clockForward",
  "conflicts",
  "conflictsChecked",
  "coveredByContext",
  "pruned",
  "purgedTombstones",
  "purgedExpired",
  "purgedMidRun",
  "digestsCompared",
  "counterVersionsCompared",
  "holdersChecked",
  "comparisons",
];

export const addCoverage = (to: Coverage, from: Coverage): void => {
  for (const name in from) to[name] = (to[name] ?? 0) + (from[name] ?? 0);
};

export const missing = (coverage: Coverage, names = mustHappen): string[] =>
  names.filter((name) => !((coverage[name] ?? 0) > 0));

export const coverageTable = (coverage: Coverage, first = mustHappen): string => {
  const names = [...new Set([...first, ...Object.keys(coverage).sort()])];
  const width = Math.max(...names.map((name) => name.length));
  const cells = names.map((name) => `${name.padEnd(width)} ${String(coverage[name] ?? 0).padStart(9)}`);
  const rows: string[] = [];
  for (let row = 0; row < cells.length; row += 3) rows.push(cells.slice(row, row + 3).join("   "));
  return `${rows.join("\n")}\n`;
};
