import assert from "node:assert/strict";
import { test } from "node:test";
import { HybridClock, msToStamp, stampToMs } from "../../server/replica/hybrid-clock.ts";

const startMs = Date.UTC(2030, 0, 1);
const aheadMs = 2500;

/** A run that ends by a crash: the next begins at its ceiling. */
const runAfter = (ceiling: number, nowMs: number): HybridClock => {
  const clock = new HybridClock();
  clock.last = Math.max(msToStamp(nowMs), ceiling + 1);
  clock.ceiling = clock.ceilingAfter(nowMs, aheadMs, 0);
  return clock;
};

test("crashes one after the other do not push the clock ever further ahead of real time", () => {
  let nowMs = startMs;
  let ceiling = 0;
  for (let crash = 0; crash < 1000; crash++) {
    const clock = runAfter(ceiling, nowMs);
    assert(clock.last > ceiling, "above all that any run before may have used");
    const led = stampToMs(clock.tick(nowMs)) - nowMs;
    assert(led <= aheadMs + 300, `${led} ms ahead after ${crash} crashes`);
    ceiling = clock.ceiling;
    // No process starts faster than this.
    nowMs += 260;
  }
});

test("peers that hear of each other's clocks and crash in turn stay near real time", () => {
  let nowMs = startMs;
  let ceilings = [0, 0, 0];
  for (let round = 0; round < 300; round++) {
    const clocks = ceilings.map((ceiling) => runAfter(ceiling, nowMs));
    const highest = Math.max(...clocks.map((clock) => clock.last));
    for (const clock of clocks) {
      clock.ceiling = clock.ceilingAfter(nowMs, aheadMs, highest);
      clock.hear(highest);
    }
    assert(
      stampToMs(highest) - nowMs <= aheadMs + 1000,
      `${stampToMs(highest) - nowMs} ms ahead after ${round} rounds`,
    );
    ceilings = clocks.map((clock) => clock.ceiling);
    nowMs += 520;
  }
});

test("a clock that leads real time has headroom by its reserve of stamps, and loses it before the ceiling", () => {
  const clock = runAfter(msToStamp(startMs + 60_000), startMs);
  assert(clock.hasHeadroom(startMs, aheadMs / 2));
  let used = 0;
  while (clock.hasHeadroom(startMs, aheadMs / 2)) used += Number(clock.tick(startMs) > 0);
  assert(used > 100_000, `${used} stamps before the ceiling is raised at leisure`);
  while (clock.hasHeadroom(startMs, 0)) clock.tick(startMs);
  assert(clock.last < clock.ceiling - 100_000, "and then some");
});

test("a clock that follows real time loses its headroom when real time nears the ceiling", () => {
  const clock = runAfter(0, startMs);
  assert(clock.hasHeadroom(startMs, aheadMs / 2));
  assert(!clock.hasHeadroom(startMs + aheadMs, aheadMs / 2));
  assert(!clock.hasHeadroom(startMs + aheadMs + 1, 0));
});
