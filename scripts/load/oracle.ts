/**
 * What the store must hold after the run, known from the answers alone. Memory is bounded by the number of keys.
 *
 * A key of the load is written by one client, one write at a time (client.ts sees to that), so its history is a line: the
 * last acknowledged write, and those since then whose outcome nobody knows. The key must hold the former or one of the
 * latter. A write that may still happen later (`late`: a hung peer still has it) stays allowed for good. A counter is
 * written by all: it must lie between the acknowledged increments and those plus the unanswered.
 */
import { serialOf } from "./keys.ts";
import type { Op, OpEnd } from "./operation.ts";

/** Serials of deletes are negative. */
const nothing = 0;

export class Oracle {
  readonly keysCount: number;
  /** Serial of the last acknowledged write; negative for a delete, 0 for none. */
  readonly #acknowledged: Float64Array;
  /** Further serials a key may hold, each with whether it may still come late. Few: only failures are here. */
  readonly #possible = new Map<number, { readonly serial: number; readonly isLate: boolean }[]>();
  readonly #writing = new Set<number>();
  readonly #counted: Float64Array;
  readonly #uncertain: Float64Array;
  acknowledgedWrites = 0;
  unknownWrites = 0;

  constructor(keysCount: number) {
    this.keysCount = keysCount;
    this.#acknowledged = new Float64Array(keysCount);
    this.#counted = new Float64Array(keysCount);
    this.#uncertain = new Float64Array(keysCount);
  }

  /** Somebody's write of the key has no end yet. */
  isBeingWritten(index: number): boolean {
    return this.#writing.has(index);
  }

  onSent({ kind, index }: Op): void {
    if (kind === "set" || kind === "del") this.#writing.add(index);
  }

  onEnd(op: Op, end: OpEnd): void {
    const { kind, index } = op;
    if (kind === "get") return;
    if (end.ok) this.acknowledgedWrites++;
    else if (end.outcome !== "not-applied") this.unknownWrites++;
    if (kind === "incr") {
      const sums = end.ok ? this.#counted : end.outcome === "not-applied" ? undefined : this.#uncertain;
      if (sums !== undefined) sums[index] = (sums[index] ?? 0) + 1;
      return;
    }
    this.#writing.delete(index);
    const serial = kind === "del" ? -op.serial : op.serial;
    if (end.ok) {
      this.#acknowledged[index] = serial;
      const late = this.#possible.get(index)?.filter(({ isLate }) => isLate) ?? [];
      if (late.length > 0) this.#possible.set(index, late);
      else this.#possible.delete(index);
    } else if (end.outcome !== "not-applied") {
      const possible = this.#possible.get(index) ?? [];
      possible.push({ serial, isLate: end.outcome === "late" });
      this.#possible.set(index, possible);
    }
  }

  /** Keys that something was acknowledged of, or may have been written. */
  *writtenKeys(): Iterable<number> {
    for (let index = 0; index < this.keysCount; index++)
      if (this.#acknowledged[index] !== nothing || this.#possible.has(index)) yield index;
  }

  *writtenCounters(): Iterable<number> {
    for (let index = 0; index < this.keysCount; index++)
      if ((this.#counted[index] ?? 0) > 0 || (this.#uncertain[index] ?? 0) > 0) yield index;
  }

  /** What is wrong with the key holding this; undefined when nothing is. */
  judgeKey(index: number, found: string | null): string | undefined {
    const acknowledged = this.#acknowledged[index] ?? nothing;
    const possible = this.#possible.get(index) ?? [];
    const isAllowed = (serial: number): boolean =>
      serial === acknowledged || possible.some((other) => other.serial === serial);
    if (found === null) {
      if (acknowledged <= 0 || possible.some(({ serial }) => serial < 0)) return undefined;
      return `is gone; write ${acknowledged} was acknowledged`;
    }
    const serial = serialOf(found);
    if (serial === undefined) return `holds ${JSON.stringify(found.slice(0, 40))}, which nobody wrote`;
    if (isAllowed(serial)) return undefined;
    const known =
      acknowledged === nothing ? "nothing was acknowledged" : `${writeToText(acknowledged)} was acknowledged`;
    const others = possible.length === 0 ? "" : `, possible also: ${possible.map((write) => write.serial).join(", ")}`;
    return `holds write ${serial}; ${known}${others}`;
  }

  judgeCounter(index: number, found: string | null): string | undefined {
    const least = this.#counted[index] ?? 0;
    const most = least + (this.#uncertain[index] ?? 0);
    const value = Number(found ?? "0");
    if (value >= least && value <= most) return undefined;
    return `is ${found ?? "gone"}; ${least} increments were acknowledged, ${most - least} unanswered`;
  }
}

const writeToText = (serial: number): string => (serial < 0 ? `delete ${-serial}` : `write ${serial}`);
