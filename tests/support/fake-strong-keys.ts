/** Strong keys without peers: one register per key, each operation at once. What a majority would answer, or what is set. */
import { noBallot } from "../../protocol/ballots.ts";
import type { StrongKeyHost } from "../../server/commands/session.ts";
import type { Holding, Operation, Outcome } from "../../server/registers/index.ts";
import { applyOperation } from "../../server/registers/operations.ts";
import {
  absentRegister,
  isLive,
  keptOperation,
  type RegisterValue,
  withOperation,
} from "../../server/registers/register-value.ts";

export class FakeStrongKeys implements StrongKeyHost {
  readonly prefixes = ["strong:"];
  readonly held = new Map<string, RegisterValue>();
  /** Answered instead, without doing anything. */
  outcome: Outcome | undefined;
  #version = 0;

  isStrong(key: string): boolean {
    return key.startsWith("strong:");
  }

  operate(key: string, operation: Operation, operationId?: string): Promise<Outcome> {
    if (this.outcome !== undefined) return Promise.resolve(this.outcome);
    const value = this.held.get(key) ?? absentRegister(noBallot);
    const kept = operationId === undefined ? undefined : keptOperation(value, operationId);
    if (kept !== undefined)
      return Promise.resolve({ kind: "done", reply: kept.reply, version: kept.version, leftMs: 0 });
    const at = { version: ++this.#version, leaseLeftMs: (lease: { readonly ttlMs: number }) => lease.ttlMs };
    const result = applyOperation(value, operation, at);
    const next =
      operationId === undefined
        ? result.value
        : withOperation(result.value, operationId, result.value.version, result.reply);
    this.held.set(key, next);
    const leftMs = next.lease?.ttlMs ?? 0;
    return Promise.resolve({ kind: "done", reply: result.reply, version: next.version, leftMs });
  }

  trace(): Promise<readonly Holding[]> {
    return Promise.resolve([]);
  }

  whyNoQuorum(): string {
    return "NOQUORUM this peer reaches 0 others and strong keys need a majority, 2 of 3 peers; it did not happen";
  }

  get #live(): readonly string[] {
    return [...this.held].filter(([, value]) => isLive(value)).map(([key]) => key);
  }

  get keyCount(): number {
    return this.#live.length;
  }

  get scanStart(): number {
    return this.#live.length;
  }

  scan(cursor: number, count: number, visit: (key: string) => void): number {
    const next = Math.max(0, cursor - count);
    for (const key of this.#live.slice(next, cursor)) visit(key);
    return next;
  }
}
