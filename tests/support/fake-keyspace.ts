/**
 * A keyspace on a Map, faithful to the interface: one peer, nothing replicated, nothing durable.
 *
 * It counts what it is asked to do, so that tests can say "nothing was written".
 */
import type { Keyspace } from "../../server/commands/session.ts";

interface Cell {
  readonly value: string;
  readonly expiresAtMs: number;
  readonly version: number;
}

const int64Max = 9_223_372_036_854_775_807n;
const integerPattern = /^(?:0|-?[1-9][0-9]*)$/;

export class FakeKeyspace implements Keyspace {
  nowMs = 0;
  /** Writes so far: the seq of the latest. */
  writes = 0;
  begins = 0;
  /** Bytes of keys and values written, as an EXEC's limit counts them. */
  bytesWritten = 0;
  readonly #cells = new Map<string, Cell>();
  /** What tombstones are there for: that a key was made and deleted again is seen by who watches it. */
  readonly #deletedBy = new Map<string, number>();
  #sorted: readonly string[] = [];
  #sortedAt = 0;

  begin(nowMs: number): void {
    this.nowMs = nowMs;
    this.begins += 1;
  }

  #visible(key: string): Cell | undefined {
    const cell = this.#cells.get(key);
    return cell === undefined || (cell.expiresAtMs !== 0 && cell.expiresAtMs <= this.nowMs) ? undefined : cell;
  }

  get(key: string): string | undefined {
    return this.#visible(key)?.value;
  }

  has(key: string): boolean {
    return this.#visible(key) !== undefined;
  }

  expiresAt(key: string): number | undefined {
    return this.#visible(key)?.expiresAtMs;
  }

  set(key: string, value: string, expiresAtMs: number): void {
    if (!Number.isSafeInteger(expiresAtMs) || expiresAtMs < 0) throw new RangeError(`expiry ${expiresAtMs}`);
    this.writes += 1;
    this.bytesWritten += key.length + value.length;
    this.#cells.set(key, { value, expiresAtMs, version: this.writes });
  }

  delete(key: string): boolean {
    if (!this.has(key)) return false;
    this.writes += 1;
    this.bytesWritten += key.length;
    this.#deletedBy.set(key, this.writes);
    return this.#cells.delete(key);
  }

  increment(key: string, step: number | bigint): ReturnType<Keyspace["increment"]> {
    const delta = BigInt(step);
    const text = this.get(key) ?? "0";
    if (!integerPattern.test(text) || text.length > 20) return { ok: false, error: "not-an-integer" };
    const before = BigInt(text);
    if (before > int64Max || before < -int64Max - 1n) return { ok: false, error: "not-an-integer" };
    const value = before + delta;
    if (value > int64Max || value < -int64Max - 1n) return { ok: false, error: "overflow" };
    this.set(key, value.toString(), this.expiresAt(key) ?? 0);
    return { ok: true, value };
  }

  get size(): number {
    return this.#cells.size;
  }

  get sizeWithExpiry(): number {
    return [...this.#cells.values()].filter((cell) => cell.expiresAtMs !== 0).length;
  }

  scan(cursor: number, count: number, visit: (key: string) => void): number {
    // Sorted once per state: a test may scan many thousands of keys in small steps.
    if (this.#sortedAt !== this.writes) {
      this.#sorted = [...this.#cells.keys()].sort();
      this.#sortedAt = this.writes;
    }
    const keys = this.#sorted;
    for (const key of keys.slice(cursor, cursor + count)) if (this.has(key)) visit(key);
    return cursor + count < keys.length ? cursor + count : 0;
  }

  randomKey(random: number): string | undefined {
    return [...this.#cells.keys()][Math.floor(random * this.#cells.size)];
  }

  watchToken(key: string): string {
    return String(this.#visible(key)?.version ?? `none since ${this.#deletedBy.get(key) ?? 0}`);
  }

  version(key: string): string | undefined {
    const cell = this.#visible(key);
    return cell === undefined ? undefined : `fake.000000000000000:${cell.version}`;
  }

  memoryUsage(key: string): number | undefined {
    const value = this.get(key);
    return value === undefined ? undefined : 48 + key.length + value.length;
  }

  clear(): void {
    this.writes += 1;
    this.#cells.clear();
  }
}
