/**
 * Is there an order of the operations of a key that explains every answer, each operation between its start and its end?
 *
 * The search of Wing and Gong with Lowe's memory: take any operation that no pending one must precede, apply it, go on; a
 * configuration (what was taken, the states it may be in) seen before is not looked at again. Linearizability is local
 * (Herlihy and Wing), so each key is looked at alone. States come as sets, so what the specification leaves open needs no
 * search.
 *
 * An operation of unknown outcome may come anywhere after its start, or never. Two things keep many of them bearable:
 *
 *   Dominance. They are optional, so of two configurations that differ only in which of them were taken, the one that took
 *   fewer can do all that the other can. Without this, every unknown write that was overwritten at once doubles the search.
 *
 *   Price. The configuration that has put most operations in order goes first, less a price for unknown ones taken in a row
 *   and for those that began long ago. So a dead end is first left by going back a few steps, then by one unknown
 *   operation, then by going further back, and so on. Nothing is left out: what is dear comes late.
 */
import type { HistoryEntry } from "./history.ts";
import { initialState, nextStates, type RegisterState, stateKey } from "./specification.ts";

export type Verdict =
  | { readonly ok: true; readonly steps: number }
  /** `longest`: the operations that could be put in order before it failed; `stuck`: those that could have come next. */
  | {
      readonly ok: false;
      readonly key: string;
      readonly steps: number;
      readonly longest: readonly HistoryEntry[];
      readonly stuck: readonly HistoryEntry[];
    }
  | { readonly ok: "undecided"; readonly key: string; readonly steps: number };

/** Operations tried per key before the search is given up. */
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
    const verdict = new Search(key, own, stepsMax).run();
    steps += verdict.steps;
    if (verdict.ok !== true) return verdict;
  }
  return { ok: true, steps };
};

export const reads: ReadonlySet<string> = new Set(["get", "exists", "strlen", "ttl", "pttl", "type", "version"]);

/**
 * Some operations in an order, and where that may lead.
 *
 * Taken are the known operations below `high` but for those in `skipped`, and the unknown ones in `unknown`.
 */
interface Configuration {
  readonly parent: Configuration | undefined;
  /** What was taken last: a known operation, or an unknown one as -1 - index. */
  readonly last: number;
  /** Known operations taken. */
  readonly count: number;
  readonly high: number;
  /** Ascending. */
  readonly skipped: readonly number[];
  /** Ascending. */
  readonly unknown: readonly number[];
  /** Unknown operations taken since the last known one. */
  readonly inRow: number;
  readonly states: readonly RegisterState[];
  readonly statesKey: string;
  /** What is tried from here next. */
  stage: "known" | "recent unknown" | "old unknown" | "done";
}

/** In steps that are gone back before it is paid. */
const recentPrice = (inRow: number): number => 3 * 4 ** (inRow - 1);
const oldPrice = (inRow: number): number => 30 * 6 ** (inRow - 1);
/** Most take effect soon after their start or never: the latest so many are the cheap ones. */
const recentCount = 12;

class Search {
  readonly #key: string;
  readonly #known: readonly HistoryEntry[];
  readonly #unknown: readonly HistoryEntry[];
  readonly #stepsMax: number;
  /** By what they are worth; of the same worth the last one goes first. */
  readonly #waiting: Configuration[][] = [];
  #worthMax = 0;
  /** Of each configuration but for its unknown operations: the sets of these it was met with. */
  readonly #seen = new Map<string, (readonly number[])[]>();
  #furthest: Configuration;
  #steps = 0;

  constructor(key: string, entries: readonly HistoryEntry[], stepsMax: number) {
    const sorted = [...entries].sort((a, b) => a.start_ns - b.start_ns);
    this.#key = key;
    this.#known = sorted.filter(({ outcome }) => outcome === "ok");
    // A read of unknown outcome explains nothing and forbids nothing.
    this.#unknown = sorted.filter(({ outcome, op }) => outcome === "unknown" && !reads.has(op));
    this.#stepsMax = stepsMax;
    this.#furthest = {
      parent: undefined,
      last: 0,
      count: 0,
      high: 0,
      skipped: [],
      unknown: [],
      inRow: 0,
      states: [initialState],
      statesKey: stateKey(initialState),
      stage: "known",
    };
    this.#await(this.#furthest, 0);
  }

  run(): Verdict {
    for (;;) {
      if (this.#furthest.count === this.#known.length) return { ok: true, steps: this.#steps };
      if (this.#steps > this.#stepsMax) return { ok: "undecided", key: this.#key, steps: this.#steps };
      const next = this.#next();
      if (next === undefined) return this.#failed();
      this.#expand(next);
    }
  }

  // ---- what is looked at next ---------------------------------------------------------------------------------------------

  #await(configuration: Configuration, price: number): void {
    const worth = Math.max(0, configuration.count - Math.ceil(price));
    let waiting = this.#waiting[worth];
    if (waiting === undefined) {
      for (let at = this.#waiting.length; at < worth; at++) this.#waiting[at] = [];
      waiting = [];
      this.#waiting[worth] = waiting;
    }
    waiting.push(configuration);
    this.#worthMax = Math.max(this.#worthMax, worth);
  }

  #next(): Configuration | undefined {
    for (; this.#worthMax >= 0; this.#worthMax--) {
      const next = this.#waiting[this.#worthMax]?.pop();
      if (next !== undefined) return next;
    }
    this.#worthMax = 0;
    return undefined;
  }

  // ---- from one configuration to the next -----------------------------------------------------------------------------------

  #expand(from: Configuration): void {
    const firstEndNs = this.#firstEndNs(from);
    switch (from.stage) {
      case "known": {
        from.stage = "recent unknown";
        if (this.#unknown.length > 0) this.#await(from, recentPrice(from.inRow + 1));
        // The last one waiting goes first: the one that must come soonest.
        const candidates = this.#candidates(from, firstEndNs);
        candidates.sort((a, b) => (this.#entry(b).end_ns ?? 0) - (this.#entry(a).end_ns ?? 0));
        for (const index of candidates) this.#try(from, index);
        return;
      }
      case "recent unknown":
        from.stage = "old unknown";
        this.#await(from, oldPrice(from.inRow + 1));
        return this.#tryUnknown(from, this.#unknownAt(from, firstEndNs).slice(-recentCount));
      case "old unknown":
        from.stage = "done";
        return this.#tryUnknown(from, this.#unknownAt(from, firstEndNs).slice(0, -recentCount));
      case "done":
        return;
    }
  }

  /** Whatever is not taken and ends first: who began later than that cannot be next. */
  #firstEndNs({ skipped, high }: Configuration): number {
    let firstEndNs = Number.POSITIVE_INFINITY;
    for (const index of skipped) firstEndNs = Math.min(firstEndNs, this.#entry(index).end_ns as number);
    for (let index = high; index < this.#known.length; index++) {
      const { start_ns, end_ns } = this.#entry(index);
      if (start_ns > firstEndNs) break;
      firstEndNs = Math.min(firstEndNs, end_ns as number);
    }
    return firstEndNs;
  }

  #candidates({ skipped, high }: Configuration, firstEndNs: number): number[] {
    const candidates = skipped.filter((index) => this.#entry(index).start_ns <= firstEndNs);
    for (let index = high; index < this.#known.length; index++) {
      if (this.#entry(index).start_ns > firstEndNs) break;
      candidates.push(index);
    }
    return candidates;
  }

  /** Those that may come next, by their start. */
  #unknownAt(from: Configuration, firstEndNs: number): number[] {
    const found: number[] = [];
    for (const [index, { start_ns }] of this.#unknown.entries()) {
      if (start_ns > firstEndNs) break;
      if (!from.unknown.includes(index)) found.push(index);
    }
    return found;
  }

  #tryUnknown(from: Configuration, unknown: readonly number[]): void {
    for (const index of unknown) this.#try(from, -1 - index);
  }

  #try(from: Configuration, taken: number): void {
    this.#steps++;
    const states = this.#after(from.states, this.#entry(taken));
    if (states.length === 0) return;
    const statesKey =
      states.length === 1 ? stateKey(states[0] as RegisterState) : states.map(stateKey).sort().join("\n");
    const isUnknown = taken < 0;
    if (isUnknown && statesKey === from.statesKey) return;
    let { high, skipped, unknown } = from;
    if (isUnknown) {
      unknown = [...unknown, -1 - taken].sort((a, b) => a - b);
    } else if (taken < high) {
      skipped = skipped.filter((index) => index !== taken);
    } else {
      if (taken > high) skipped = [...skipped, ...Array.from({ length: taken - high }, (_, at) => high + at)];
      high = taken + 1;
    }
    if (this.#isDominated(`${high}:${skipped.join(",")}#${statesKey}`, unknown)) return;
    const inRow = isUnknown ? from.inRow + 1 : 0;
    const count = isUnknown ? from.count : from.count + 1;
    const stage = "known";
    const next: Configuration = {
      parent: from,
      last: taken,
      count,
      high,
      skipped,
      unknown,
      inRow,
      states,
      statesKey,
      stage,
    };
    if (count > this.#furthest.count) this.#furthest = next;
    this.#await(next, isUnknown ? recentPrice(inRow) : 0);
  }

  /** Met before with no more unknown operations taken; if not, this one is remembered. */
  #isDominated(place: string, unknown: readonly number[]): boolean {
    const met = this.#seen.get(place);
    if (met === undefined) {
      this.#seen.set(place, [unknown]);
      return false;
    }
    if (met.some((other) => other.length <= unknown.length && other.every((index) => unknown.includes(index))))
      return true;
    met.push(unknown);
    return false;
  }

  #after(states: readonly RegisterState[], entry: HistoryEntry): RegisterState[] {
    if (states.length === 1) {
      const next = nextStates(states[0] as RegisterState, entry);
      if (next.length <= 1) return next;
    }
    const found = new Map<string, RegisterState>();
    for (const state of states) for (const next of nextStates(state, entry)) found.set(stateKey(next), next);
    return [...found.values()];
  }

  #entry(index: number): HistoryEntry {
    return (index >= 0 ? this.#known[index] : this.#unknown[-1 - index]) as HistoryEntry;
  }

  #failed(): Verdict {
    const longest: HistoryEntry[] = [];
    for (let at = this.#furthest; at.parent !== undefined; at = at.parent) longest.push(this.#entry(at.last));
    const stuck = this.#candidates(this.#furthest, this.#firstEndNs(this.#furthest)).map((index) => this.#entry(index));
    return { ok: false, key: this.#key, steps: this.#steps, longest: longest.reverse(), stuck };
  }
}
