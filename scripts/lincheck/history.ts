/**
 * Recorded histories of strong keys: one line of JSON per operation, in any order.
 *
 *   {"client":"c1","key":"strong:x","op":"set","input":{"value":"1"},"output":{"kind":"ok","version":640},
 *    "start_ns":12,"end_ns":34,"outcome":"ok"}
 *
 * Times are of one clock, in nanoseconds. `outcome`: "ok" it was answered, so it took effect between the two times;
 * "unknown" it may take effect at any time after its start, or never (`end_ns` is null); "fail" it certainly did not.
 */
import type { RegisterReply } from "../../protocol/register-value.ts";
import type { Operation } from "../../server/registers/index.ts";

/** Integers beyond 2^53 are text here, since JSON has no other. */
export type RecordedOutput = (
  | Exclude<RegisterReply, { kind: "integer" }>
  | { kind: "integer"; value: number | string }
) & {
  /** Of the register after the operation, where it was told. */
  readonly version?: number | undefined;
};

export interface HistoryEntry {
  readonly client: string;
  readonly key: string;
  readonly op: Operation["kind"];
  /** The operation's arguments. */
  readonly input: Readonly<Record<string, unknown>>;
  readonly output: RecordedOutput | null;
  readonly start_ns: number;
  readonly end_ns: number | null;
  readonly outcome: "ok" | "unknown" | "fail";
}

export const inputOf = (operation: Operation): Readonly<Record<string, unknown>> => {
  const { kind: _, ...input } = operation;
  return JSON.parse(
    JSON.stringify(input, (_key, value) => (typeof value === "bigint" ? value.toString() : value)),
  ) as Record<string, unknown>;
};

export const outputOf = (reply: RegisterReply, version?: number): RecordedOutput => {
  const plain =
    reply.kind === "integer" && typeof reply.value === "bigint"
      ? { kind: "integer" as const, value: reply.value.toString() }
      : (reply as RecordedOutput);
  return version === undefined ? plain : { ...plain, version };
};

export const writeHistory = (entries: readonly HistoryEntry[]): string =>
  entries.map((entry) => `${JSON.stringify(entry)}\n`).join("");

/** Throws RangeError for a line that is no operation. */
export const parseHistory = (text: string): HistoryEntry[] => {
  const entries: HistoryEntry[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    const found = JSON.parse(line) as Partial<HistoryEntry>;
    const timed = typeof found.start_ns === "number" && (found.outcome !== "ok" || typeof found.end_ns === "number");
    if (typeof found.key !== "string" || typeof found.op !== "string" || !timed || found.input === undefined) {
      throw new RangeError(`line ${index + 1} is no operation`);
    }
    entries.push(found as HistoryEntry);
  }
  return entries;
};
