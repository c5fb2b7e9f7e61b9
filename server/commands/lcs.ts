/**
 * The longest common subsequence of two strings, by the table of all prefixes, in Redis's order of choice.
 *
 * The table has a cell for each pair of prefixes, so its size is bounded before it is made.
 */
import { lcsCellsMax } from "../../protocol/limits.ts";

export interface LcsMatch {
  readonly aStart: number;
  readonly bStart: number;
  readonly length: number;
}

export interface Lcs {
  readonly text: string;
  /** Ranges that match, from the end of the strings to their start, as Redis lists them. */
  readonly matches: readonly LcsMatch[];
}

/** Undefined: the table would be larger than `lcsCellsMax`. */
export const longestCommonSubsequence = (a: string, b: string): Lcs | undefined => {
  const width = b.length + 1;
  const cells = (a.length + 1) * width;
  if (cells > lcsCellsMax) return undefined;
  const lengths = new Uint32Array(cells);
  const lengthAt = (i: number, j: number): number => lengths[i * width + j] ?? 0;
  for (let i = 1; i <= a.length; i += 1) {
    for (let j = 1; j <= b.length; j += 1) {
      lengths[i * width + j] =
        a.charCodeAt(i - 1) === b.charCodeAt(j - 1)
          ? lengthAt(i - 1, j - 1) + 1
          : Math.max(lengthAt(i - 1, j), lengthAt(i, j - 1));
    }
  }
  const chars: string[] = [];
  const matches: LcsMatch[] = [];
  let i = a.length;
  let j = b.length;
  let run = 0;
  const endRun = (): void => {
    if (run > 0) matches.push({ aStart: i, bStart: j, length: run });
    run = 0;
  };
  while (i > 0 && j > 0) {
    if (a.charCodeAt(i - 1) === b.charCodeAt(j - 1)) {
      chars.push(a.charAt(i - 1));
      run += 1;
      i -= 1;
      j -= 1;
    } else {
      endRun();
      if (lengthAt(i - 1, j) > lengthAt(i, j - 1)) i -= 1;
      else j -= 1;
    }
  }
  endRun();
  return { text: chars.reverse().join(""), matches };
};
