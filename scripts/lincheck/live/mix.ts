/**
 * Which operations the clients do. Every value written is new, so that who reads it knows whose write it saw; values stay
 * short, since what is appended to is set anew soon.
 */
import type { Operation } from "../../../server/registers/index.ts";
import type { Random } from "../../sim/random.ts";

export interface Chosen {
  readonly operation: Operation;
  readonly asksVersion: boolean;
}

const leaseMs = [150, 400, 1000] as const;

/** `fresh`: a value never used before. `seen`: what this client saw last in that key. */
export const chooseOperation = (
  random: Random,
  { isCounter, fresh, seen }: { readonly isCounter: boolean; readonly fresh: string; readonly seen: string },
): Chosen => {
  const asksVersion = random.chance(0.4);
  const chosen = (operation: Operation): Chosen => ({ operation, asksVersion });
  const set = (more: Partial<Extract<Operation, { kind: "set" }>> = {}): Chosen =>
    chosen({ kind: "set", value: fresh, condition: "none", returnsOld: false, ttlMs: 0, ...more });
  const draw = random.next();
  if (draw < 0.26) return chosen({ kind: "get" });
  if (draw < 0.3) return chosen({ kind: random.pick(["exists", "strlen", "type", "version", "pttl"] as const) });
  if (isCounter) {
    if (draw < 0.9) return chosen({ kind: "incrby", amount: random.pick([1, 1, 5, -3]) });
    if (draw < 0.94) return set({ value: String(random.int(1000)), returnsOld: true });
    if (draw < 0.97) return chosen({ kind: "getdel" });
    return chosen({ kind: "del" });
  }
  if (draw < 0.44) return set();
  if (draw < 0.5) return set({ condition: "absent", returnsOld: random.chance(0.3) });
  if (draw < 0.53) return set({ condition: "present" });
  if (draw < 0.59) return set({ condition: { equals: seen } });
  if (draw < 0.62) return set({ returnsOld: true });
  if (draw < 0.65) return set({ ttlMs: random.pick(leaseMs), condition: random.pick(["none", "absent"] as const) });
  if (draw < 0.66) return set({ ttlMs: "keep" });
  if (draw < 0.75) return chosen({ kind: "cas", expected: seen, value: fresh });
  if (draw < 0.86) return chosen({ kind: "append", text: `+${fresh}` });
  if (draw < 0.91) return chosen({ kind: "getdel" });
  if (draw < 0.94) return chosen({ kind: "del" });
  if (draw < 0.96) return chosen({ kind: "del", only: { equals: seen } });
  if (draw < 0.97) return chosen({ kind: "incrby", amount: 1 });
  if (draw < 0.99) return chosen({ kind: "expire", ttlMs: random.pick(leaseMs) });
  return chosen({ kind: "persist" });
};
