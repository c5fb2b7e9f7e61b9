/**
 * Which keys expire next, by this peer's clock: expiry is silent in the map (reads filter by it), a feed wants it told.
 *
 * The map lists its cells by the step of 10 s in which they expire. Each step's list is taken over, in slices, up to two
 * steps ahead; from then on the changes of the feed itself tell what else was given an expiry within those steps. Kept by
 * tenths of a second; what is due is looked up again, since it may have been overwritten meanwhile.
 */
import { CounterCell, horizonStepMs, type Replica } from "../replica/index.ts";
import type { Change } from "./change.ts";

const bucketMs = 100;
/** Cells taken over per call: some 0.5 ms. */
const takenPerCall = 5000;
const stepsAhead = 2;

export class Expiries {
  readonly #replica: Replica;
  readonly #keysByBucket = new Map<number, Set<string>>();
  /** All due by then were handed out. */
  #bucket: number;
  /** Steps below are taken over. */
  #step: number;
  #indexInStep = 0;

  constructor(replica: Replica, nowMs: number) {
    this.#replica = replica;
    this.#bucket = Math.floor(nowMs / bucketMs);
    this.#step = Math.ceil(nowMs / horizonStepMs);
  }

  /** A change gave this key an expiry. */
  note(key: string, expiresAtMs: number): void {
    // Its step is still to be taken over: step n is what expires in (n - 1, n].
    if (expiresAtMs > (this.#step - 1) * horizonStepMs) return;
    this.#put(key, expiresAtMs);
  }

  #put(key: string, expiresAtMs: number): void {
    const bucket = Math.max(this.#bucket + 1, Math.ceil(expiresAtMs / bucketMs));
    const keys = this.#keysByBucket.get(bucket);
    if (keys === undefined) this.#keysByBucket.set(bucket, new Set([key]));
    else keys.add(key);
  }

  /** What has expired since the last call. */
  due(nowMs: number): readonly Change[] {
    this.#takeOver(nowMs);
    const changes: Change[] = [];
    const until = Math.floor(nowMs / bucketMs);
    // The clock jumped far: rather look at what there is than at each tenth of a second.
    if (until - this.#bucket > this.#keysByBucket.size) {
      const buckets = [...this.#keysByBucket.keys()].filter((bucket) => bucket <= until).sort((a, b) => a - b);
      for (const bucket of buckets) this.#takeBucket(bucket, nowMs, changes);
    } else {
      for (let bucket = this.#bucket + 1; bucket <= until; bucket++) this.#takeBucket(bucket, nowMs, changes);
    }
    this.#bucket = Math.max(this.#bucket, until);
    return changes;
  }

  #takeBucket(bucket: number, nowMs: number, changes: Change[]): void {
    const keys = this.#keysByBucket.get(bucket);
    if (keys === undefined) return;
    this.#keysByBucket.delete(bucket);
    const { map, origins } = this.#replica.state;
    for (const key of keys) {
      const ref = map.locate(key);
      if (ref < 0) continue;
      const expiresAtMs = this.#expiryAt(ref);
      if (expiresAtMs === undefined) continue;
      if (expiresAtMs > nowMs) {
        this.note(key, expiresAtMs);
        continue;
      }
      const held = map.heldAt(ref);
      const change = { type: "expired", key, value: undefined, expiresAtMs } as const;
      const total = held instanceof CounterCell && typeof held.base !== "string" ? held.totals[0] : undefined;
      changes.push(
        total === undefined
          ? { ...change, origin: origins.id(map.originAt(ref)), seq: map.seqAt(ref), stamp: map.stampAt(ref) }
          : { ...change, origin: origins.id(total.origin), seq: total.seq, stamp: 0 },
      );
    }
  }

  /** When the cell as a whole stops being seen; undefined when it does not expire. */
  #expiryAt(ref: number): number | undefined {
    const { map } = this.#replica.state;
    const held = map.heldAt(ref);
    if (held === null || held === undefined) return undefined;
    const baseExpiry = map.expiryAt(ref);
    if (!(held instanceof CounterCell)) return baseExpiry > 0 ? baseExpiry : undefined;
    let latest = 0;
    if (typeof held.base === "string") {
      if (baseExpiry === 0) return undefined;
      latest = baseExpiry;
    }
    for (const total of held.totals) {
      if (total.expiresAtMs === 0) return undefined;
      latest = Math.max(latest, total.expiresAtMs);
    }
    return latest > 0 ? latest : undefined;
  }

  #takeOver(nowMs: number): void {
    const { map } = this.#replica.state;
    let left = takenPerCall;
    while (left > 0 && (this.#step - 1 - stepsAhead) * horizonStepMs < nowMs) {
      const refs = map.expiringInStep(this.#step);
      for (; left > 0 && this.#indexInStep < refs.length; left--) {
        const ref = refs[this.#indexInStep++] as number;
        const expiresAtMs = map.heldAt(ref) === undefined ? undefined : this.#expiryAt(ref);
        if (expiresAtMs !== undefined) this.#put(map.keyAt(ref), expiresAtMs);
      }
      if (this.#indexInStep < refs.length) return;
      this.#step++;
      this.#indexInStep = 0;
    }
  }
}
