/**
 * What a strong key is to its clients: one value, changed by one operation at a time. Written on its own, plainly, and not
 * from server/registers/operations.ts: the two must agree.
 *
 * Two things are not settled by the order of operations alone. A lease may end at any moment after its time, so a state
 * has several successors. And the version of a write nobody was told the answer of is unknown: a lower bound is kept.
 */
import type { HistoryEntry } from "./history.ts";

export interface RegisterState {
  readonly value: string | null;
  /** When its lease may end at the earliest; undefined: it has none. */
  readonly endsNs: number | undefined;
  readonly ttlMs: number;
  /** Every later version is above it; `exact`: it is the version of `value`. */
  readonly version: number;
  readonly exact: boolean;
  readonly fences: string;
}

export const initialState: RegisterState = {
  value: null,
  endsNs: undefined,
  ttlMs: 0,
  version: 0,
  exact: false,
  fences: "{}",
};

export const stateKey = ({ value, endsNs, ttlMs, version, exact, fences }: RegisterState): string =>
  `${value === null ? "-" : `=${value}`}|${endsNs ?? ""},${ttlMs}|${version}${exact ? "!" : ""}|${fences}`;

/** All states an operation may lead to, given what it answered. None: it cannot have been here. */
export const nextStates = (state: RegisterState, entry: HistoryEntry): RegisterState[] => {
  const next = applyTo(state, entry);
  const endNs = entry.end_ns ?? Number.POSITIVE_INFINITY;
  if (state.endsNs === undefined || endNs < state.endsNs) return next;
  const ended: RegisterState = { ...state, value: null, endsNs: undefined, ttlMs: 0, exact: false };
  return [...next, ...applyTo(ended, entry)];
};

interface Expected {
  readonly state: RegisterState;
  /** `kind value`, as answerOf() writes it; undefined: not said. */
  readonly answer: string | undefined;
  /** The operation set or deleted the value: it has a version of its own. */
  readonly writes: boolean;
}

const answerOf = (output: HistoryEntry["output"]): string => {
  switch (output?.kind) {
    case "integer":
      return `integer ${output.value}`;
    case "text":
      return `text ${output.text}`;
    case "error":
      return `error ${output.error}`;
    default:
      return output?.kind ?? "";
  }
};

const applyTo = (state: RegisterState, entry: HistoryEntry): RegisterState[] => {
  const expected = expect(state, entry);
  if (expected === undefined) return [];
  const { output } = entry;
  if (entry.outcome !== "ok" || output === null) {
    return [expected.writes ? { ...expected.state, exact: false } : expected.state];
  }
  if (expected.answer !== undefined && output.kind !== "not-kept" && answerOf(output) !== expected.answer) return [];
  const told = output.version;
  if (expected.writes) {
    if (told === undefined) return [{ ...expected.state, exact: false }];
    return told > state.version ? [{ ...expected.state, version: told, exact: true }] : [];
  }
  if (told === undefined || expected.state.value === null) return [expected.state];
  if (state.exact ? told !== state.version : told <= state.version) return [];
  return [{ ...expected.state, version: told, exact: true }];
};

const isInt64 = (value: bigint): boolean => BigInt.asIntN(64, value) === value;

const expect = (state: RegisterState, entry: HistoryEntry): Expected | undefined => {
  const { value } = state;
  const text = (name: string): string => String(entry.input[name]);
  const same = (answer: string): Expected => ({ state, answer, writes: false });
  const becomes = (next: Partial<RegisterState>, answer: string): Expected => ({
    state: { ...state, ...next },
    answer,
    writes: true,
  });
  const gone = { value: null, endsNs: undefined, ttlMs: 0 };
  const lasting = { endsNs: undefined, ttlMs: 0 };
  const leased = (ttlMs: number): Partial<RegisterState> => ({ endsNs: entry.start_ns + ttlMs * 1e6, ttlMs });
  const old = value === null ? "nil" : `text ${value}`;
  switch (entry.op) {
    case "get":
      return same(old);
    case "exists":
      return same(`integer ${value === null ? 0 : 1}`);
    case "strlen":
      return same(`integer ${value?.length ?? 0}`);
    case "type":
      return same(`text ${value === null ? "none" : "string"}`);
    case "version": {
      if (value === null) return same("nil");
      if (entry.output === null) return { state, answer: undefined, writes: false };
      const told = Number(entry.output.kind === "integer" ? entry.output.value : Number.NaN);
      return (state.exact ? told === state.version : told > state.version)
        ? { state: { ...state, version: told, exact: true }, answer: undefined, writes: false }
        : undefined;
    }
    case "ttl":
    case "pttl": {
      if (value === null) return same("integer -2");
      if (state.endsNs === undefined) return same("integer -1");
      const left = Number(entry.output?.kind === "integer" ? entry.output.value : 0);
      const most = entry.op === "ttl" ? Math.ceil(state.ttlMs / 1000) : state.ttlMs;
      return entry.output === null || (left >= 0 && left <= most)
        ? { state, answer: undefined, writes: false }
        : undefined;
    }
    case "set": {
      const { condition, ttlMs, returnsOld, fence } = entry.input as {
        condition: "none" | "absent" | "present" | { equals: string };
        ttlMs: number | "keep";
        returnsOld: boolean;
        fence?: { lock: string; token: number };
      };
      const holds =
        condition === "none" ||
        (condition === "absent" && value === null) ||
        (condition === "present" && value !== null) ||
        (typeof condition === "object" && value === condition.equals);
      if (!holds) return same(returnsOld ? old : "nil");
      const fences = JSON.parse(state.fences) as Record<string, number>;
      if (fence !== undefined) {
        if ((fences[fence.lock] ?? 0) > fence.token) return same("error fenced");
        fences[fence.lock] = fence.token;
      }
      const term = ttlMs === "keep" ? {} : ttlMs > 0 ? leased(ttlMs) : lasting;
      return becomes({ ...term, value: text("value"), fences: JSON.stringify(fences) }, returnsOld ? old : "ok");
    }
    case "cas":
      return value === text("expected")
        ? becomes({ ...lasting, value: text("value") }, "integer 1")
        : same("integer 0");
    case "getdel":
      return value === null ? same("nil") : becomes(gone, old);
    case "del": {
      const { equals } = (entry.input["only"] ?? {}) as { readonly equals?: string };
      const goes = value !== null && (equals === undefined || value === equals);
      return goes ? becomes(gone, "integer 1") : same("integer 0");
    }
    case "append": {
      const longer = (value ?? "") + text("text");
      return becomes({ value: longer }, `integer ${longer.length}`);
    }
    case "incrby": {
      const isNumber = /^(0|-?[1-9][0-9]*)$/.test(value ?? "0");
      if (!isNumber || !isInt64(BigInt(value ?? "0"))) return same("error not-an-integer");
      const sum = BigInt(value ?? "0") + BigInt(text("amount"));
      if (!isInt64(sum)) return same("error overflow");
      return becomes({ value: sum.toString() }, `integer ${sum}`);
    }
    case "expire": {
      if (value === null) return same("integer 0");
      const ttlMs = Number(entry.input["ttlMs"]);
      if (ttlMs <= 0) return becomes(gone, "integer 1");
      return { state: { ...state, ...leased(ttlMs) }, answer: "integer 1", writes: false };
    }
    case "persist":
      return state.endsNs === undefined
        ? same("integer 0")
        : { state: { ...state, ...lasting }, answer: "integer 1", writes: false };
  }
};
