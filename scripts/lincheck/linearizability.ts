/**
 * Is there an order of the operations of a key that explains every answer, each operation between its start and its end?
 *
 * The search of Wing and Gong with Lowe's memory: take any operation that no pending one must precede, apply it, go on; a
 * configuration (what was taken, the states it may be in) seen before is not looked at again. Linearizability is local
 * (Herlihy and Wing), so each key is looked at alone. States come as sets, so what the specification leaves open needs no
 * search.
 *
 * An operation of unknown outcome may come anywhere after its start, or never. Such are tried last, the latest first, and
 * only where they change something; and first at most one of them in a row, then two, and so on. Ten unknown appends
 * in a row have millions of orders, and sound histories seldom need more than one at a place. What was taken of these is remembered as a sum of random numbers: there may be many, and a set of them would
 * be most of the memory.
 */
import type { HistoryEntry } from "./history.ts";
import { initialState, nextStates, type RegisterState, stateKey } from "./specification.ts";

export type Verdict =
  | { readonly ok: true; readonly steps: number }
  /** `longest`: the operations that could be put in order before it failed, by index. */
  | {
      readonly ok: false;
      readonly key: string;
      readonly steps: number;
      readonly longest: readonly HistoryEntry[];
      readonly stuck: readonly HistoryEntry[];
    }
  | { readonly ok: "undecided"; readonly key: string; readonly steps: number };

/** Configurations looked at per key before the search is given up. */
const stepsMaxDefault = 5_000_000;

export const checkHistory = (entries: readonly HistoryEntry[], stepsMax = stepsMaxDefault): Verdict => {
  const byKey = new Map<string, HistoryEntry[]>();
  for (const entry of entries) {
    if (entry.outcome === "fail") continue;
    const own = byKey.get(entry.key);
    if (own === undefined) byKey.set(entry.key, [entry]);
    else own.push(entry);
  }
  let steps = 0;
  for (const [key, own] of byKey) {
    const verdict = checkKey(key, own, stepsMax);
    steps += verdict.steps;
    if (verdict.ok !== true) return verdict;
  }
  return { ok: true, steps };
};

const checkKey = (key: string, entries: readonly HistoryEntry[], stepsMax: number): Verdict => {
  for (const unknownInRowMax of [1, 2, 3, 4, 6]) {
    const search = new Search(key, entries, stepsMax, unknownInRowMax);
    const verdict = search.run();
    // A search that had to leave something out and found no order has not shown that there is none.
    if (verdict.ok === true || (verdict.ok === false && !search.leftOut)) return verdict;
  }
  return new Search(key, entries, stepsMax, Number.POSITIVE_INFINITY).run();
};

const reads: ReadonlySet<string> = new Set(["get", "exists", "strlen", "ttl", "pttl", "type", "version"]);

interface Frame {
  /** What may come next: known operations, then unknown ones (as -1 - index). */
  readonly candidates: readonly number[];
  at: number;
  readonly states: readonly RegisterState[];
  /** Operations of unknown outcome that were taken last, one after the other. */
  readonly inRow: number;
}

class Search {
  readonly #key: string;
  readonly #known: readonly HistoryEntry[];
  readonly #unknown: readonly HistoryEntry[];
  readonly #stepsMax: number;
  readonly #unknownInRowMax: number;
  /** Something was not tried for the sake of `unknownInRowMax`. */
  leftOut = false;
  readonly #taken: Uint8Array;
  readonly #unknownTaken: Uint8Array;
  /** All known operations before this one are taken. */
  #low = 0;
  #left: number;
  #unknownSum = 0;
  readonly #seen = new Set<string>();

  constructor(key: string, entries: readonly HistoryEntry[], stepsMax: number, unknownInRowMax: number) {
    this.#unknownInRowMax = unknownInRowMax;
    const sorted = [...entries].sort((a, b) => a.start_ns - b.start_ns);
    this.#key = key;
    this.#known = sorted.filter(({ outcome }) => outcome === "ok");
    // A read of unknown outcome explains nothing and forbids nothing.
    this.#unknown = sorted.filter(({ outcome, op }) => outcome === "unknown" && !reads.has(op));
    this.#stepsMax = stepsMax;
    this.#taken = new Uint8Array(this.#known.length);
    this.#unknownTaken = new Uint8Array(this.#unknown.length);
    this.#left = this.#known.length;
  }

  run(): Verdict {
    const path: number[] = [];
    let longest: number[] = [];
    let stuck: readonly number[] = [];
    const frames: Frame[] = [{ candidates: this.#candidates(), at: 0, states: [initialState], inRow: 0 }];
    let steps = 0;
    while (this.#left > 0) {
      const frame = frames.at(-1);
      if (frame === undefined) {
        const entries = longest.map((index) => this.#entry(index));
        const stuckEntries = stuck.filter((index) => index >= 0).map((index) => this.#entry(index));
        return { ok: false, key: this.#key, steps, longest: entries, stuck: stuckEntries };
      }
      const candidate = frame.candidates[frame.at++];
      if (candidate === undefined) {
        if (path.length >= longest.length) {
          longest = [...path];
          stuck = frame.candidates;
        }
        frames.pop();
        const undone = path.pop();
        if (undone !== undefined) this.#untake(undone);
        continue;
      }
      if (++steps > this.#stepsMax) return { ok: "undecided", key: this.#key, steps };
      const states = this.#after(frame.states, this.#entry(candidate));
      if (states.length === 0) continue;
      const key = states.map(stateKey).sort().join("\n");
      if (candidate < 0 && key === frame.states.map(stateKey).sort().join("\n")) continue;
      const inRow = candidate < 0 ? frame.inRow + 1 : 0;
      if (inRow > this.#unknownInRowMax) {
        this.leftOut = true;
        continue;
      }
      this.#take(candidate);
      const bounded = Number.isFinite(this.#unknownInRowMax) ? inRow : 0;
      const configuration = `${this.#configuration()}#${bounded}#${key}`;
      if (this.#seen.has(configuration)) {
        this.#untake(candidate);
        continue;
      }
      this.#seen.add(configuration);
      path.push(candidate);
      frames.push({ candidates: this.#candidates(), at: 0, states, inRow });
    }
    return { ok: true, steps };
  }

  #entry(index: number): HistoryEntry {
    return (index >= 0 ? this.#known[index] : this.#unknown[-1 - index]) as HistoryEntry;
  }

  #after(states: readonly RegisterState[], entry: HistoryEntry): RegisterState[] {
    const found = new Map<string, RegisterState>();
    for (const state of states) for (const next of nextStates(state, entry)) found.set(stateKey(next), next);
    return [...found.values()];
  }

  #candidates(): number[] {
    const candidates: number[] = [];
    let firstEndNs = Number.POSITIVE_INFINITY;
    for (let index = this.#low; index < this.#known.length; index++) {
      const { start_ns, end_ns } = this.#known[index] as HistoryEntry;
      if (start_ns > firstEndNs) break;
      if (this.#taken[index] === 1) continue;
      firstEndNs = Math.min(firstEndNs, end_ns ?? Number.POSITIVE_INFINITY);
      candidates.push(index);
    }
    // Those that began after another had ended are behind it.
    const free = candidates.filter((index) => (this.#known[index] as HistoryEntry).start_ns <= firstEndNs);
    const late: number[] = [];
    for (const [index, { start_ns }] of this.#unknown.entries()) {
      if (start_ns > firstEndNs) break;
      if (this.#unknownTaken[index] === 0) late.push(-1 - index);
    }
    return [...free, ...late.reverse()];
  }

  #take(index: number): void {
    if (index < 0) {
      this.#unknownTaken[-1 - index] = 1;
      this.#unknownSum += randomOf(index);
      return;
    }
    this.#taken[index] = 1;
    this.#left--;
    while (this.#taken[this.#low] === 1) this.#low++;
  }

  #untake(index: number): void {
    if (index < 0) {
      this.#unknownTaken[-1 - index] = 0;
      this.#unknownSum -= randomOf(index);
      return;
    }
    this.#taken[index] = 0;
    this.#left++;
    if (index < this.#low) this.#low = index;
  }

  #configuration(): string {
    let beyond = "";
    const done = this.#known.length - this.#left - this.#low;
    for (let index = this.#low + 1, found = 0; found < done; index++) {
      if (this.#taken[index] !== 1) continue;
      beyond += `,${index}`;
      found++;
    }
    return `${this.#low}${beyond}/${this.#unknownSum}`;
  }
}

/** Whole numbers below 2^40, so that a sum of thousands is exact in any order. */
const randomOf = (index: number): number => {
  let mixed = Math.imul(index ^ (index >>> 15), 0x2c1b3c6d);
  mixed = Math.imul(mixed ^ (mixed >>> 12), 0x297a2d39);
  const low = (mixed ^ (mixed >>> 15)) >>> 0;
  return low * 256 + ((Math.imul(low, 0x9e3779b1) >>> 24) & 255);
};
