/** What the status says of latency and lag. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { StatusReport } from "../../protocol/status.ts";
import { LagClock } from "../../server/lag-clock.ts";
import { LatencyWindow } from "../../server/latency-window.ts";
import { startPeerForTest } from "../support/peer-for-test.ts";
import { Client } from "./harness.ts";

const isNear = (found: number | null, wanted: number): boolean =>
  found !== null && found >= wanted * 0.999 && found <= wanted * 1.2;

test("percentiles are of the last ten seconds, at most a fifth too high and never too low", () => {
  const window = new LatencyWindow();
  assert.deepEqual(window.report(5000), { p50Ms: null, p99Ms: null, maxMs: null, count: 0 });
  for (let ms = 1; ms <= 100; ms += 1) window.note(ms, 10, 5000 + ms * 50);
  const full = window.report(10_000);
  assert.equal(full.count, 1000);
  assert.ok(isNear(full.p50Ms, 50) && isNear(full.p99Ms, 99) && full.maxMs === 100, JSON.stringify(full));
  const later = window.report(16_500);
  assert.ok(later.count > 600 && later.count < 800, "the first seconds are forgotten");
  assert.equal(window.report(1_000_000).count, 0);
  for (const ms of [0, 1e-9, 1e12]) window.note(ms, 1, 1_000_000);
  assert.equal(window.report(1_000_000).count, 3);
});

test("a lag is as old as the first write that is lacked, also after very many samples", () => {
  const clock = new LagClock();
  assert.equal(clock.lagMs(0, 1000), 0);
  clock.sample(1000, 10);
  clock.sample(2000, 10);
  clock.sample(3000, 20);
  assert.deepEqual(
    [clock.lagMs(20, 5000), clock.lagMs(19, 5000), clock.lagMs(10, 5000), clock.lagMs(9, 5000)],
    [0, 2000, 2000, 4000],
  );
  for (let at = 0; at < 100_000; at += 1) clock.sample(10_000 + at, 21 + at);
  const found = clock.lagMs(50_021, 110_000);
  assert.ok(Math.abs(found - 50_000) < 500, `${found}`);
});

test("the status has what a header shows: latencies, clients, peers", async (t) => {
  const peer = await startPeerForTest();
  t.after(() => peer.stop());
  const client = await Client.greeted(peer.httpPort);
  await client.command(1, "SET", "a", "1");
  await client.ask({ type: "watch", id: 2 });
  client.send({ type: "status", id: 3 });
  const message = await client.nextNews();
  assert.ok(message.type === "status");
  // Checked by status.ts where it matters; a test may believe its own peer.
  const status = message.status as StatusReport;
  assert.deepEqual(status.clients, { tcp: 0, webSocket: 1, blocked: 0, watches: 1 });
  assert.ok(status.latency.count > 0 && (status.latency.p99Ms ?? 0) > 0, JSON.stringify(status.latency));
  assert.deepEqual(
    status.peers.map(({ name }) => name),
    ["a"],
  );
});
