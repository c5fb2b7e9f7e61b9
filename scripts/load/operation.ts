/** What a client does once: which command on which key, when it was due, and how it ended. */
import type { Random } from "../sim/random.ts";

export const opKinds = ["get", "set", "incr", "del"] as const;
export type OpKind = (typeof opKinds)[number];

export const isWrite = (kind: OpKind): boolean => kind !== "get";

export interface Op {
  readonly kind: OpKind;
  /** Of the key among those of its kind. Counters have keys of their own. */
  readonly index: number;
  readonly key: string;
  /** Of a set; else empty. */
  readonly value: string;
  /** Tells the writes of one key apart; grows. */
  readonly serial: number;
  /** When it should have been sent, `performance.now()`. Latency counts from here. */
  readonly dueMs: number;
  /** When it was; 0: not yet. */
  sentMs: number;
}

/**
 * `outcome` of a failure: `not-applied`, it did not happen. `unknown`, it happened before the failure was seen, or never:
 * the connection is gone and with it what was on its way. `late`: it may still happen (nobody knows what the one that
 * was asked does).
 */
export type OpEnd =
  | { readonly ok: true; readonly hit: boolean }
  | { readonly ok: false; readonly code: string; readonly outcome: "not-applied" | "unknown" | "late" };

export const answered: OpEnd = { ok: true, hit: true };
export const answeredNothing: OpEnd = { ok: true, hit: false };

/** Shares of the kinds, in per cent of all. */
export type Mix = Readonly<Record<OpKind, number>>;

/** `set=20,get=70,incr=10`: weights, not necessarily per cent. A string says what is wrong. */
export const parseMix = (text: string): Mix | string => {
  const weights: Record<OpKind, number> = { get: 0, set: 0, incr: 0, del: 0 };
  for (const part of text.split(",")) {
    const [name = "", weight = "", ...rest] = part.trim().split("=");
    const kind = opKinds.find((known) => known === name.toLowerCase());
    if (kind === undefined) return `there is no command "${name}"; there are ${opKinds.join(", ")}`;
    if (rest.length > 0 || !/^\d{1,6}(\.\d{1,3})?$/.test(weight))
      return `expected ${kind}=WEIGHT, got "${part.trim()}"`;
    weights[kind] += Number(weight);
  }
  const sum = opKinds.reduce((total, kind) => total + weights[kind], 0);
  if (sum <= 0) return "all weights are zero";
  for (const kind of opKinds) weights[kind] = (weights[kind] / sum) * 100;
  return weights;
};

export const mixToText = (mix: Mix): string =>
  opKinds
    .filter((kind) => mix[kind] > 0)
    .map((kind) => `${kind}=${Number(mix[kind].toFixed(1))}`)
    .join(",");

export const drawKind = (mix: Mix, random: Random): OpKind => {
  let left = random.next() * 100;
  for (const kind of opKinds) if ((left -= mix[kind]) < 0) return kind;
  // Rounding: the last kind there is.
  return opKinds.findLast((kind) => mix[kind] > 0) ?? "get";
};
