/**
 * The map as a client's command sees it: local reads, and local writes that become ops of the open frame.
 *
 * A command, or a whole EXEC, shares one stamp; within it the seq decides. A local write always beats what it replaces,
 * since its stamp is above every stamp this peer has heard (invariant A3 of reliability §1.3). Synchronous throughout:
 * commands that do not await are atomic.
 */
import type { ObservedTotal, Sum } from "../../protocol/frames.ts";
import { frameBytesSoft } from "../../protocol/limits.ts";
import { counterVersion, dotVersion } from "../../protocol/version.ts";
import type { Stamp } from "../../protocol/words.ts";
import type { CellRef } from "./cell-map.ts";
import {
  addSums,
  CounterCell,
  findTotal,
  int64Max,
  int64Min,
  isExpired,
  noBaseOrigin,
  normalSum,
  type Observed,
  parseInteger,
  unobservedAmount,
  unobservedSum,
} from "./counter.ts";
import { hashLanes, lanes } from "./hash.ts";
import { stampToMs } from "./hybrid-clock.ts";
import { invariant } from "./invariant.ts";
import type { ReplicaState } from "./state.ts";
import { setAt } from "./version-vector.ts";

export type IncrementResult =
  | { readonly ok: true; readonly value: number | bigint }
  | { readonly ok: false; readonly error: "not-an-integer" | "overflow" };

/** Cells looked at per key asked for by SCAN, so that a stretch of tombstones does not make one call long. */
const scanSlotsPerKey = 4;

/** Any two numbers; every peer must have the same. */
const versionSeed1 = 0x3c6ef372;
const versionSeed2 = 0x510e527f;

const nothingObserved: readonly Observed[] = [];

export class ReplicaKeyspace {
  readonly #state: ReplicaState;
  #nowMs = 0;
  /** 0 until the command's first write. */
  #stamp: Stamp = 0;

  constructor(state: ReplicaState) {
    this.#state = state;
  }

  begin(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#stamp = 0;
    // Between commands, never inside one: an EXEC is not split over frames.
    if (this.#state.frame.byteLength > frameBytesSoft) this.#state.seal();
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  // ---- reads --------------------------------------------------------------------------------------------------------

  get(key: string): string | undefined {
    const { map } = this.#state;
    const ref = map.locate(key);
    return ref < 0 ? undefined : this.#visible(ref, this.#nowMs);
  }

  /** What is seen at `nowMs`, without being a command. */
  getAt(key: string, nowMs: number): string | undefined {
    const ref = this.#state.map.locate(key);
    return ref < 0 ? undefined : this.#visible(ref, nowMs);
  }

  has(key: string): boolean {
    const { map } = this.#state;
    const ref = map.locate(key);
    return ref >= 0 && this.#isVisible(ref, this.#nowMs);
  }

  #isVisible(ref: CellRef, ms: number): boolean {
    const held = this.#state.map.heldAt(ref);
    if (typeof held === "string") return !isExpired(this.#state.map.expiryAt(ref), ms);
    return held !== null && this.#visible(ref, ms) !== undefined;
  }

  #visible(ref: CellRef, ms: number): string | undefined {
    const { map } = this.#state;
    const held = map.heldAt(ref);
    if (held === null) return undefined;
    const live = !isExpired(map.expiryAt(ref), ms);
    if (typeof held === "string") return live ? held : undefined;
    const base = typeof held.base === "string" && live ? held.base : undefined;
    const sum = unobservedSum(held, ms);
    if (sum === undefined) return base;
    if (base === undefined) return sum.toString();
    const start = parseInteger(base);
    // Increments made while somebody else wrote a text: they stay in the cell, but a text cannot show them.
    return start === undefined ? base : addSums(start, sum).toString();
  }

  expiresAt(key: string): number | undefined {
    const { map } = this.#state;
    const ref = map.locate(key);
    if (ref < 0 || !this.#isVisible(ref, this.#nowMs)) return undefined;
    const held = map.heldAt(ref);
    const baseExpiry = map.expiryAt(ref);
    if (!(held instanceof CounterCell)) return baseExpiry;
    if (typeof held.base === "string" && !isExpired(baseExpiry, this.#nowMs)) return baseExpiry;
    // Only increments are left: the key lives as long as the last of them.
    let latest = 0;
    for (const total of held.totals) {
      if (isExpired(total.expiresAtMs, this.#nowMs)) continue;
      if (total.expiresAtMs === 0) return 0;
      latest = Math.max(latest, total.expiresAtMs);
    }
    return latest;
  }

  get size(): number {
    return this.#state.map.liveCount;
  }

  get sizeWithExpiry(): number {
    return this.#state.map.withExpiryCount;
  }

  scan(cursor: number, count: number, visit: (key: string) => void): number {
    const { map } = this.#state;
    let seen = 0;
    const next = map.walk(cursor, Math.max(count, 16) * scanSlotsPerKey, (ref) => {
      if (!this.#isVisible(ref, this.#nowMs)) return false;
      visit(map.keyAt(ref));
      seen++;
      return seen >= count;
    });
    return next < 0 ? 0 : next;
  }

  randomKey(random: number): string | undefined {
    const { map } = this.#state;
    // Tombstones and expired cells are met too: try a few places, then take the next visible key in order.
    let point = random;
    for (let attempt = 0; attempt < 32; attempt++) {
      const ref = map.randomRef(point);
      if (ref < 0) return undefined;
      if (this.#isVisible(ref, this.#nowMs)) return map.keyAt(ref);
      point = (point * 48271 + 0.137) % 1;
    }
    let found: string | undefined;
    map.walk(0, Number.POSITIVE_INFINITY, (ref) => {
      if (!this.#isVisible(ref, this.#nowMs)) return false;
      found = map.keyAt(ref);
      return true;
    });
    return found;
  }

  watchToken(key: string): string {
    const { map } = this.#state;
    const ref = map.locate(key);
    if (ref < 0) return "";
    const held = map.heldAt(ref);
    let token = `${map.originAt(ref)}:${map.seqAt(ref)}:${this.#isVisible(ref, this.#nowMs)}`;
    if (held instanceof CounterCell) {
      for (const total of held.totals) token += `/${total.origin}.${total.first}.${total.seq}`;
    }
    // A tombstone has its token too, so that a key made and deleted again is noticed; that a purge is taken for a write
    // costs a watcher one more try.
    return token;
  }

  /**
   * See protocol/version.ts. It is made of what shows: purging an observed total, or a tombstone under a counter, leaves
   * it as it is.
   */
  version(key: string): string | undefined {
    const { map, origins } = this.#state;
    const ref = map.locate(key);
    const held = ref < 0 ? null : map.heldAt(ref);
    if (held === null) return undefined;
    const live = !isExpired(map.expiryAt(ref), this.#nowMs);
    const base = typeof held === "string" ? held : held.base;
    const dot = typeof base === "string" && live ? dotVersion(origins.id(map.originAt(ref)), map.seqAt(ref)) : "";
    const added: string[] = [];
    if (held instanceof CounterCell) {
      for (const total of held.totals) {
        const amount = unobservedAmount(held, total, this.#nowMs);
        if (amount !== undefined) added.push(`${origins.id(total.origin)}.${total.first}.${total.seq}:${amount}`);
      }
    }
    if (added.length === 0) return dot === "" ? undefined : dot;
    // Peers met the totals in different orders.
    hashLanes(added.sort().join(), versionSeed1, versionSeed2);
    const lane = (hash: number): string => (hash >>> 0).toString(16).padStart(8, "0");
    return counterVersion(dot, lane(lanes.first) + lane(lanes.second));
  }

  memoryUsage(key: string): number | undefined {
    const value = this.get(key);
    return value === undefined ? undefined : 120 + key.length + value.length;
  }

  // ---- writes -------------------------------------------------------------------------------------------------------

  #writeStamp(): Stamp {
    if (this.#stamp === 0) this.#stamp = this.#state.clock.tick(this.#nowMs);
    return this.#stamp;
  }

  set(key: string, value: string, expiresAtMs: number): void {
    const state = this.#state;
    const { map } = state;
    const stamp = this.#writeStamp();
    const seq = state.nextSeq();
    let ref = map.locate(key);
    let observed = nothingObserved;
    if (ref < 0) {
      state.frame.set(stamp, key, value, expiresAtMs, undefined);
      ref = map.insert(key);
    } else {
      observed = this.#observedAt(ref);
      state.frame.set(stamp, key, value, expiresAtMs, this.#withIds(observed));
    }
    map.putBase(ref, value, stamp, state.self, seq, expiresAtMs, observed);
    setAt(state.vv, state.self, seq);
  }

  delete(key: string): boolean {
    const state = this.#state;
    const { map } = state;
    const ref = map.locate(key);
    if (ref < 0 || !this.#isVisible(ref, this.#nowMs)) return false;
    const stamp = this.#writeStamp();
    const seq = state.nextSeq();
    const observed = this.#observedAt(ref);
    state.frame.del(stamp, key, this.#withIds(observed));
    map.putBase(ref, null, stamp, state.self, seq, 0, observed);
    setAt(state.vv, state.self, seq);
    return true;
  }

  #observedAt(ref: CellRef): readonly Observed[] {
    if (!this.#state.map.isCounter(ref)) return nothingObserved;
    const held = this.#state.map.heldAt(ref);
    if (!(held instanceof CounterCell) || held.totals.length === 0) return nothingObserved;
    return held.totals.map(({ origin, first, seq, sum }) => ({ origin, first, seq, sum }));
  }

  #withIds(observed: readonly Observed[]): readonly ObservedTotal[] | undefined {
    if (observed.length === 0) return undefined;
    return observed.map((seen) => ({ ...seen, origin: this.#state.origins.id(seen.origin) }));
  }

  /** The value after it, at this peer. */
  increment(key: string, delta: number | bigint): IncrementResult {
    const state = this.#state;
    const { map } = state;
    const stamp = this.#writeStamp();
    // Liveness is judged by the op's own stamp, so that every peer that replays it agrees with its actor.
    const ms = stampToMs(stamp);
    let ref = map.locate(key);
    const step: Sum = typeof delta === "bigint" ? normalSum(delta) : delta;
    if (ref < 0 || map.isSole(ref)) {
      const value = this.#incrementSole(ref, key, step, stamp);
      if (value !== undefined) return { ok: true, value };
    }
    let baseOrigin = noBaseOrigin;
    let baseSeq = 0;
    let expiresAtMs = 0;
    let current: Sum = 0;
    let ownFirst: number | undefined;
    if (ref >= 0) {
      const held = map.heldAt(ref);
      const base = held instanceof CounterCell ? held.base : held;
      if (base !== undefined) {
        baseOrigin = map.originAt(ref);
        baseSeq = map.seqAt(ref);
      }
      const baseExpiry = map.expiryAt(ref);
      if (typeof base === "string" && !isExpired(baseExpiry, ms)) {
        const start = parseInteger(base);
        if (start === undefined) return { ok: false, error: "not-an-integer" };
        current = start;
        expiresAtMs = baseExpiry;
      }
      if (held instanceof CounterCell) {
        const sum = unobservedSum(held, ms);
        if (sum !== undefined) current = addSums(current, sum);
        for (const total of held.totals) {
          if (
            total.origin === state.self &&
            total.onOrigin === baseOrigin &&
            total.onSeq === baseSeq &&
            total.expiresAtMs === expiresAtMs
          ) {
            ownFirst = total.first;
          }
        }
      }
    }
    const result = addSums(current, step);
    if (typeof result === "bigint" && (result > int64Max || result < int64Min)) return { ok: false, error: "overflow" };
    const seq = state.nextSeq();
    if (ref < 0) ref = map.insert(key);
    const counter = map.counterAt(ref);
    let own = ownFirst === undefined ? undefined : findTotal(counter.totals, state.self, ownFirst);
    if (own === undefined) {
      own = { origin: state.self, first: seq, seq, sum: step, expiresAtMs, onOrigin: baseOrigin, onSeq: baseSeq };
      counter.totals.push(own);
      map.countTotals(0, 1);
    } else {
      invariant(own.seq < seq, "an actor's seq only grows");
      own.seq = seq;
      own.sum = addSums(own.sum, step);
    }
    state.frame.incr(stamp, key, own.first, own.sum, expiresAtMs);
    map.simplify(ref);
    map.refresh(ref);
    setAt(state.vv, state.self, seq);
    return { ok: true, value: result };
  }

  /** Most increments: the key is new, or a counter that this run alone made. Undefined: nothing was done, it is not that. */
  #incrementSole(found: CellRef, key: string, step: Sum, stamp: Stamp): number | undefined {
    const state = this.#state;
    const { map } = state;
    const opened = found < 0 ? undefined : map.soleOpenedBy(found, state.self);
    if (typeof step !== "number" || (found >= 0 && opened === undefined)) return undefined;
    const sum = found < 0 ? step : map.soleSumAt(found) + step;
    if (!Number.isSafeInteger(sum)) return undefined;
    const seq = state.nextSeq();
    invariant(found < 0 || map.soleSeqAt(found) < seq, "an actor's seq only grows");
    const first = opened ?? seq;
    map.putSole(found < 0 ? map.insert(key) : found, state.self, first, seq, sum, true);
    state.frame.incr(stamp, key, first, sum, 0);
    setAt(state.vv, state.self, seq);
    return sum;
  }
}
