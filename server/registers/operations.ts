/**
 * What the commands do to a register: pure functions from a value to a value and an answer.
 *
 * A round evaluates them afresh on each attempt, so they may look at nothing but their arguments. A result whose `value`
 * is the very object that came in changed nothing.
 *
 * TTLs come in as durations. Nobody's clock is in the register: how much is left is a judgement of the peer that asks.
 */
import { fencesPerRegisterMax, registerValueBytesMax } from "../../protocol/limits.ts";
import type { Fence, RegisterError } from "../../protocol/register-value.ts";
import { deleted, isLive, type Lease, type RegisterReply, type RegisterValue } from "./register-value.ts";

/** What the register must hold now. */
export type Match = { readonly equals: string } | { readonly version: number };

export interface SetOperation {
  readonly kind: "set";
  readonly value: string;
  readonly condition: "none" | "absent" | "present" | Match;
  /** Answer what was there before instead of OK or nil. */
  readonly returnsOld: boolean;
  /** 0: none. "keep": what it has. */
  readonly ttlMs: number | "keep";
  /** Refused when a write with a higher token of that lock was here before. */
  readonly fence?: Fence | undefined;
}

export type Operation =
  | SetOperation
  | { readonly kind: "get" | "getdel" | "exists" | "strlen" | "ttl" | "pttl" | "persist" | "type" | "version" }
  | { readonly kind: "del"; readonly only?: Match | undefined }
  | { readonly kind: "incrby"; readonly amount: number | bigint }
  | { readonly kind: "append"; readonly text: string }
  /** 0 or less deletes. */
  | { readonly kind: "expire"; readonly ttlMs: number }
  | { readonly kind: "cas"; readonly expected: string; readonly value: string };

const reads: ReadonlySet<Operation["kind"]> = new Set(["get", "exists", "strlen", "ttl", "pttl", "type", "version"]);

export const isRead = (operation: Operation): boolean => reads.has(operation.kind);

export interface Circumstances {
  /** What the value is called if this operation changes it. */
  readonly version: number;
  /** What this peer believes is left of a lease, at least 1 ms: it is not over. */
  readonly leaseLeftMs: (lease: Lease) => number;
}

export interface Result {
  readonly value: RegisterValue;
  readonly reply: RegisterReply;
}

const ok: RegisterReply = { kind: "ok" };
const nil: RegisterReply = { kind: "nil" };
const integer = (value: number | bigint): RegisterReply => ({ kind: "integer", value });
const textOrNil = (text: string | undefined): RegisterReply => (text === undefined ? nil : { kind: "text", text });

export const applyOperation = (value: RegisterValue, operation: Operation, at: Circumstances): Result => {
  switch (operation.kind) {
    case "get":
      return { value, reply: textOrNil(value.bytes) };
    case "exists":
      return { value, reply: integer(isLive(value) ? 1 : 0) };
    case "strlen":
      return { value, reply: integer(value.bytes?.length ?? 0) };
    case "type":
      return { value, reply: { kind: "text", text: isLive(value) ? "string" : "none" } };
    case "version":
      return { value, reply: isLive(value) ? integer(value.version) : nil };
    case "ttl":
    case "pttl":
      return { value, reply: integer(timeLeft(value, operation.kind, at)) };
    case "set":
      return applySet(value, operation, at);
    case "cas": {
      if (value.bytes !== operation.expected) return { value, reply: integer(0) };
      return written(value, operation.value, undefined, at, integer(1));
    }
    case "getdel":
      return { value: isLive(value) ? deleted(value, at.version) : value, reply: textOrNil(value.bytes) };
    case "del": {
      const goes = isLive(value) && (operation.only === undefined || matches(value, operation.only));
      return { value: goes ? deleted(value, at.version) : value, reply: integer(goes ? 1 : 0) };
    }
    case "incrby":
      return applyIncrement(value, operation.amount, at);
    case "append": {
      const text = (value.bytes ?? "") + operation.text;
      return written(value, text, value.lease, at, integer(text.length));
    }
    case "expire": {
      if (!isLive(value)) return { value, reply: integer(0) };
      if (operation.ttlMs <= 0) return { value: deleted(value, at.version), reply: integer(1) };
      return { value: { ...value, lease: newLease(operation.ttlMs, at) }, reply: integer(1) };
    }
    case "persist": {
      if (value.lease === undefined) return { value, reply: integer(0) };
      return { value: { ...value, lease: undefined }, reply: integer(1) };
    }
  }
};

const failed = (value: RegisterValue, error: RegisterError): Result => ({ value, reply: { kind: "error", error } });

const newLease = (ttlMs: number, at: Circumstances): Lease => ({ id: at.version, ttlMs });

const written = (
  value: RegisterValue,
  bytes: string,
  lease: Lease | undefined,
  at: Circumstances,
  reply: RegisterReply,
): Result => {
  if (bytes.length > registerValueBytesMax) return failed(value, "too-long");
  return { value: { ...value, bytes, lease, version: at.version }, reply };
};

/** Redis's answers: -2 no key, -1 no expiry. Seconds are rounded to the nearest, as Redis does. */
const timeLeft = (value: RegisterValue, unit: "ttl" | "pttl", at: Circumstances): number => {
  if (!isLive(value)) return -2;
  if (value.lease === undefined) return -1;
  const leftMs = at.leaseLeftMs(value.lease);
  return unit === "pttl" ? Math.ceil(leftMs) : Math.floor((leftMs + 500) / 1000);
};

const matches = (value: RegisterValue, match: Match): boolean =>
  isLive(value) && ("equals" in match ? value.bytes === match.equals : value.version === match.version);

const applySet = (value: RegisterValue, operation: SetOperation, at: Circumstances): Result => {
  const { condition, fence } = operation;
  const held = value.bytes;
  const answer = (otherwise: RegisterReply): RegisterReply => (operation.returnsOld ? textOrNil(held) : otherwise);
  const holds =
    condition === "none" ||
    (condition === "absent" && held === undefined) ||
    (condition === "present" && held !== undefined) ||
    (typeof condition === "object" && matches(value, condition));
  if (!holds) return { value, reply: answer(nil) };
  const fences = fence === undefined ? value.fences : raisedFences(value.fences, fence);
  if (typeof fences === "string") return failed(value, fences);
  let lease: Lease | undefined;
  if (operation.ttlMs === "keep") lease = value.lease;
  else if (operation.ttlMs > 0) lease = newLease(operation.ttlMs, at);
  const base = fences === value.fences ? value : { ...value, fences };
  const result = written(base, operation.value, lease, at, answer(ok));
  return result.value === base ? { value, reply: result.reply } : result;
};

/** The tokens of a lock only grow. An error when this one is behind. */
const raisedFences = (fences: readonly Fence[], fence: Fence): readonly Fence[] | RegisterError => {
  const known = fences.find(({ lock }) => lock === fence.lock);
  if (known === undefined) return fences.length < fencesPerRegisterMax ? [...fences, fence] : "too-many-fences";
  if (fence.token < known.token) return "fenced";
  return fences.map((other) => (other === known ? fence : other));
};

const int64Min = -(2n ** 63n);
const int64Max = 2n ** 63n - 1n;
const integerPattern = /^(0|-?[1-9][0-9]{0,18})$/;

const applyIncrement = (value: RegisterValue, amount: number | bigint, at: Circumstances): Result => {
  const text = value.bytes ?? "0";
  if (!integerPattern.test(text)) return failed(value, "not-an-integer");
  const start = BigInt(text);
  if (start < int64Min || start > int64Max) return failed(value, "not-an-integer");
  const sum = start + BigInt(amount);
  if (sum < int64Min || sum > int64Max) return failed(value, "overflow");
  const short = Number(sum);
  return written(value, sum.toString(), value.lease, at, integer(Number.isSafeInteger(short) ? short : sum));
};
