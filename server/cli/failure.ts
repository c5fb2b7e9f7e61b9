/**
 * What goes wrong on the command line, as one line for a person: no stack trace, and an exit code scripts can rely on.
 *
 *   0  done                      2  wrong usage: a bad flag, value, file of settings
 *   1  it was tried and failed   others: see the subcommand's help
 */

export class CommandFailure extends Error {
  readonly exitCode: number;
  constructor(message: string, exitCode = 1, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "CommandFailure";
    this.exitCode = exitCode;
  }
}

export const usageFailure = (message: string): CommandFailure => new CommandFailure(message, 2);

/** Distance in single-character edits, a swap of neighbours counting one (optimal string alignment). */
const editDistance = (a: string, b: string): number => {
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (above[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let best = Math.min(substitution, (above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, (before[j - 2] ?? 0) + 1);
      row.push(best);
    }
    before = above;
    above = row;
  }
  return above[b.length] ?? 0;
};

/** ` (did you mean x?)`, or nothing when no candidate is near. */
export const didYouMean = (word: string, candidates: readonly string[]): string => {
  let best: string | undefined;
  let bestDistance = Math.min(3, Math.floor(word.length * 0.4) + 1);
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best === undefined ? "" : ` (did you mean ${best}?)`;
};

/** The words of any thrown thing, on one line. */
export const failureText = (error: unknown): string =>
  (error instanceof Error ? error.message || error.name : String(error)).replaceAll(/\s*\n\s*/g, "; ");
