/** The hybrid clock against every sequence of ticks, hearing, clocks set back and crashes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HybridClock, msToStamp, stampsPerMs, stampToMs } from "../../server/replica/hybrid-clock.ts";
import { InvariantError } from "../../server/replica/invariant.ts";

const startMs = Date.UTC(2030, 0, 1);
const aheadMs = 2500;

const step = fc.oneof(
  fc.record({ what: fc.constant("tick" as const), count: fc.integer({ min: 1, max: 50 }) }),
  fc.record({ what: fc.constant("hear" as const), aheadMs: fc.integer({ min: -5000, max: 5000 }) }),
  fc.record({ what: fc.constant("time" as const), ms: fc.integer({ min: -100_000, max: 10_000 }) }),
  fc.record({ what: fc.constant("crash" as const) }),
);

test("stamps strictly increase, also over crashes and a clock set back, and never pass the durable ceiling", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (script) => {
      let nowMs = startMs;
      let clock = new HybridClock();
      clock.ceiling = clock.ceilingAfter(nowMs, aheadMs, 0);
      let highest = 0;
      const raise = (wanted: number): void => {
        // In the log and synced before it counts.
        clock.ceiling = Math.max(clock.ceiling, clock.ceilingAfter(nowMs, aheadMs, wanted));
      };
      for (const action of script) {
        if (action.what === "time") nowMs += action.ms;
        if (action.what === "crash") {
          const { ceiling } = clock;
          clock = new HybridClock();
          clock.last = Math.max(msToStamp(nowMs), ceiling + 1);
          clock.ceiling = clock.ceilingAfter(nowMs, aheadMs, 0);
          assert(clock.last > highest, "a new run begins above all that any run used or heard");
        }
        if (action.what === "hear") {
          const heard = msToStamp(nowMs + action.aheadMs);
          if (heard > clock.ceiling) raise(heard);
          clock.hear(heard);
          assert(clock.last >= heard, "at or above what was heard");
          highest = Math.max(highest, heard);
        }
        if (action.what === "tick") {
          if (!clock.hasHeadroom(nowMs, 0)) raise(0);
          for (let index = 0; index < action.count; index++) {
            const stamp = clock.tick(nowMs);
            assert(stamp > highest, "strictly above all before it");
            assert(stamp >= msToStamp(nowMs), "never behind real time");
            highest = stamp;
          }
        }
        assert(clock.last <= clock.ceiling, "the ceiling holds");
        assert(Number.isSafeInteger(clock.last));
      }
    }),
  );
});

test("a counter that runs over moves the millisecond on", () => {
  const clock = new HybridClock();
  clock.ceiling = Number.MAX_SAFE_INTEGER;
  const first = clock.tick(startMs);
  for (let index = 1; index < stampsPerMs; index++) clock.tick(startMs);
  assert.equal(stampToMs(clock.last), startMs);
  assert.equal(clock.tick(startMs), first + stampsPerMs);
  assert.equal(stampToMs(clock.last), startMs + 1);
  assert.equal(clock.tick(startMs + 1), first + stampsPerMs + 1);
});

test("a stamp above the ceiling is neither made nor heard", () => {
  const clock = new HybridClock();
  clock.ceiling = msToStamp(startMs);
  assert.throws(() => clock.tick(startMs + 1), InvariantError);
  assert.throws(() => clock.hear(msToStamp(startMs) + 1), InvariantError);
  assert.equal(clock.last, 0, "nothing has changed");
  clock.hear(msToStamp(startMs));
  assert.equal(clock.last, clock.ceiling);
});

test("milliseconds and stamps convert into each other, and stay exact until 2089", () => {
  fc.assert(
    fc.property(fc.integer({ min: Date.UTC(2020, 0, 1), max: Date.UTC(2088, 11, 31) }), fc.nat(4095), (ms, count) => {
      assert.equal(stampToMs(msToStamp(ms) + count), ms);
      assert(Number.isSafeInteger(msToStamp(ms) + count));
    }),
  );
});
