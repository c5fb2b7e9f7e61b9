/**
 * What the map keeps up in O(1) per write (digest, counts, bytes, dirty cells, candidates) equals what a recount finds,
 * after any sequence of operations; and SCAN misses nothing that stays.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CellMap, horizonStepMs, shardCount } from "../../server/replica/cell-map.ts";
import { isExpired } from "../../server/replica/counter.ts";
import { dropCovered } from "../../server/replica/merge.ts";
import { Purger } from "../../server/replica/purge.ts";
import type { ReplicaState } from "../../server/replica/state.ts";
import { equal } from "../../server/replica/version-vector.ts";
import { apply, keys, newState, runHistory, shown, steps } from "./history.ts";

/** The same cells loaded into a fresh map: what every count should be. */
const recount = (state: ReplicaState): CellMap => {
  const fresh = new CellMap(state.origins);
  fresh.advanceHorizon(state.map.horizonMs);
  state.map.walk(0, Number.POSITIVE_INFINITY, (ref) => {
    fresh.load(state.map.keyAt(ref), state.map.cellAt(ref));
    return false;
  });
  return fresh;
};

const compare = (state: ReplicaState, when: string): void => {
  const { map } = state;
  map.settleHorizon(Number.POSITIVE_INFINITY);
  map.checkInvariants();
  const fresh = recount(state);
  assert.equal(map.digest.text, map.recomputedDigest().text, `${when}: digest`);
  assert.equal(map.digest.text, fresh.digest.text, `${when}: digest of the same cells, hashed anew`);
  assert.equal(map.cellCount, fresh.cellCount, `${when}: cells`);
  assert.equal(map.liveCount, fresh.liveCount, `${when}: live cells`);
  assert.equal(map.tombstoneCount, fresh.tombstoneCount, `${when}: tombstones`);
  assert.equal(map.tombstoneBytes, fresh.tombstoneBytes, `${when}: bytes of tombstones`);
  assert.equal(map.withExpiryCount, fresh.withExpiryCount, `${when}: cells that expire`);
  assert.equal(map.bytes, fresh.bytes, `${when}: bytes`);
};

const action = fc.record({
  what: fc.constantFrom("frame", "frame", "frame", "purge", "horizon", "drop"),
  index: fc.nat(1000),
});

test("counts, bytes and digest equal a recount after frames, purges, dropped parts and a moving horizon", () => {
  fc.assert(
    fc.property(steps, fc.array(action, { maxLength: 40 }), (script, actions) => {
      const history = runHistory(script);
      const state = newState("reader");
      const purger = new Purger(state, () => false);
      let horizonMs = history.endMs - 2 * horizonStepMs;
      for (const { what, index } of actions) {
        if (what === "frame") applyNext(state, history.frames, index);
        if (what === "purge") {
          state.purgeable = [...state.vv];
          purger.begin();
          while (purger.pending > 0) purger.slice(2);
        }
        if (what === "horizon") {
          horizonMs += horizonStepMs;
          state.map.advanceHorizon(horizonMs);
        }
        if (what === "drop") {
          const ref = state.map.locate("k");
          if (ref >= 0) dropCovered(state, ref, undefined, index % 2 === 0 ? state.vv : [index % 5, index % 3]);
        }
        compare(state, what);
      }
    }),
    { numRuns: 300 },
  );
});

test("the short form of a counter changes nothing that is seen", () => {
  fc.assert(
    fc.property(steps, fc.array(fc.nat(1000), { maxLength: 40 }), (script, choices) => {
      const history = runHistory(script);
      const short = newState("reader");
      const long = newState("reader");
      for (const index of choices) {
        applyNext(short, history.frames, index);
        applyNext(long, history.frames, index);
        lengthenAll(long.map);
        assert.deepEqual(cellsOf(long.map), cellsOf(short.map));
        assert.equal(long.map.digest.text, short.map.digest.text);
        assert.deepEqual(shown(long, history.endMs), shown(short, history.endMs));
      }
      dropAll(short);
      dropAll(long);
      assert.deepEqual(cellsOf(long.map), cellsOf(short.map));
    }),
    { numRuns: 200 },
  );
});

const lengthenAll = (map: CellMap): void => {
  for (const key of keys) {
    const ref = map.locate(key);
    if (ref >= 0 && map.isCounter(ref)) map.counterAt(ref);
  }
};

const cellsOf = (map: CellMap): unknown[] =>
  keys.map((key) => {
    const ref = map.locate(key);
    return ref < 0 ? undefined : map.cellAt(ref);
  });

/** As a transfer does from a peer that knows all this, and has none of it but one key. */
const dropAll = (state: ReplicaState): void => {
  const ref = state.map.locate("k");
  if (ref >= 0) dropCovered(state, ref, undefined, state.vv);
};

/** One frame more, from `index` on the first that may go and is new. */
const applyNext = (state: ReplicaState, frames: readonly Uint8Array[], index: number): void => {
  const before = [...state.vv];
  for (let offset = 0; offset < frames.length && equal(before, state.vv); offset++) {
    apply(state, frames[(index + offset) % frames.length] as Uint8Array);
  }
};

test("a digest forgets nothing: another value, dot, stamp, expiry, key or total gives another one", () => {
  const digestOf = (work: (state: ReplicaState) => void): string => {
    const state = newState("reader", "aaaaaaaaaaa0000");
    state.origins.number("a.aaaaaaaaaaa0000" as Parameters<typeof state.origins.number>[0]);
    work(state);
    return state.map.digest.text;
  };
  const put =
    (key: string, value: string, stamp: number, origin: number, seq: number, expiresAtMs: number) =>
    ({ map }: ReplicaState): void => {
      let ref = map.locate(key);
      if (ref < 0) ref = map.insert(key);
      map.putBase(ref, value, stamp, origin, seq, expiresAtMs, []);
    };
  const incr =
    (first: number, seq: number, sum: number, origin: number) =>
    (state: ReplicaState): void => {
      state.map.locate("n");
      const ref = state.map.insert("n");
      state.map.counterAt(ref).totals.push({ origin, first, seq, sum, expiresAtMs: 0, onOrigin: -1, onSeq: 0 });
      state.map.countTotals(0, 1);
      state.map.refresh(ref);
    };
  const digests = [
    digestOf(() => {}),
    digestOf(put("k", "v", 1, 0, 1, 0)),
    digestOf(put("k", "w", 1, 0, 1, 0)),
    digestOf(put("k", "v", 2, 0, 1, 0)),
    digestOf(put("k", "v", 1, 1, 1, 0)),
    digestOf(put("k", "v", 1, 0, 2, 0)),
    digestOf(put("k", "v", 1, 0, 1, 2 ** 41)),
    digestOf(put("k", "v", 1, 0, 1, 2 ** 41 + 1)),
    digestOf(put("l", "v", 1, 0, 1, 0)),
    digestOf(put("k", "v".repeat(3000), 1, 0, 1, 0)),
    digestOf(put("k", `${"v".repeat(2999)}w`, 1, 0, 1, 0)),
    digestOf(incr(1, 1, 5, 0)),
    digestOf(incr(1, 1, 6, 0)),
    digestOf(incr(2, 2, 5, 0)),
    digestOf(incr(1, 1, 5, 1)),
  ];
  assert.equal(new Set(digests).size, digests.length, digests.join(" "));
});

test("a full SCAN sees every key that stays, though others come and go between its calls", () => {
  const change = fc.record({ key: fc.nat(60), add: fc.boolean() });
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.nat(60), { maxLength: 40 }),
      fc.array(fc.array(change, { maxLength: 8 }), { minLength: 1, maxLength: 12 }),
      fc.integer({ min: 1, max: 10 }),
      (first, changes, slots) => {
        const { map } = newState("reader", "aaaaaaaaaaa0000");
        // Few shards, so that slots are freed and taken again.
        const put = (key: string): void => {
          if (map.locate(key) < 0) map.putBase(map.insert(key), "v", 1, 0, 1, 0, []);
        };
        const remove = (key: string): void => {
          const ref = map.locate(key);
          if (ref >= 0) map.remove(ref);
        };
        for (const key of first) put(crowded[key] as string);
        const stayed = new Set(first.map((key) => crowded[key] as string));
        const seen = new Set<string>();
        let position = 0;
        for (let call = 0; position >= 0; call++) {
          assert(call < 10_000, "the scan ends");
          position = map.walk(position, slots, (ref) => {
            seen.add(map.keyAt(ref));
            return false;
          });
          for (const { key, add } of changes[call % changes.length] ?? []) {
            const text = crowded[key] as string;
            if (add) put(text);
            else {
              remove(text);
              stayed.delete(text);
            }
          }
        }
        for (const key of stayed) assert(seen.has(key), `${key} stayed and was not seen`);
      },
    ),
  );
});

/** 61 keys that lie in two shards. */
const crowded: readonly string[] = (() => {
  const { map } = newState("reader", "aaaaaaaaaaa0000");
  const found: string[] = [];
  for (let index = 0; found.length < 61; index++)
    if (map.keyHash(`k${index}`) % shardCount < 2) found.push(`k${index}`);
  return found;
})();

test("every cell that changed is dirty once, and none that was only looked at", () => {
  fc.assert(
    fc.property(steps, (script) => {
      const history = runHistory(script);
      const state = newState("reader");
      const dirty = (): string[] => {
        const found: string[] = [];
        for (let shard = 0; shard < shardCount; shard++) {
          state.map.takeCells(shard, 0, "dirty", (ref) => {
            found.push(state.map.keyAt(ref));
            return false;
          });
        }
        return found.sort();
      };
      for (const bytes of history.frames) apply(state, bytes);
      const all: string[] = [];
      state.map.walk(0, Number.POSITIVE_INFINITY, (ref) => {
        all.push(state.map.keyAt(ref));
        return false;
      });
      assert.deepEqual(dirty(), all.sort());
      assert.deepEqual(dirty(), []);
      state.map.advanceHorizon(history.endMs + 10 * horizonStepMs);
      state.map.settleHorizon(Number.POSITIVE_INFINITY);
      assert.deepEqual(dirty(), [], "that a cell has expired is nothing to store");
    }),
    { numRuns: 100 },
  );
});

test("an expiry counts from its very millisecond on, and none is for ever", () => {
  assert.equal(isExpired(0, Number.MAX_SAFE_INTEGER), false);
  assert.equal(isExpired(1000, 999), false);
  assert.equal(isExpired(1000, 1000), true);
});
