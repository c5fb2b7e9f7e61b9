import assert from "node:assert/strict";
import test from "node:test";
import { Backoff } from "../../server/links/backoff.ts";
import { Gate } from "../../server/links/gate.ts";
import { decodeControl, encodeControl, Heartbeat } from "../../server/links/heartbeat.ts";
import { Incarnations } from "../../server/links/incarnations.ts";
import { name, run } from "./harness.ts";

test("the bound of the wait doubles up to the cap, and the wait is anywhere below it", () => {
  const highest = new Backoff({ baseMs: 100, capMs: 2000, random: () => 0.999_999 });
  assert.deepEqual(
    Array.from({ length: 7 }, () => highest.nextMs()),
    [99, 199, 399, 799, 1599, 1999, 1999],
  );
  highest.reset();
  assert.equal(highest.nextMs(), 99);
  const lowest = new Backoff({ baseMs: 100, capMs: 2000, random: () => 0 });
  assert.deepEqual([lowest.nextMs(), lowest.nextMs()], [0, 0]);
  const old = new Backoff({ baseMs: 100, capMs: 2000, random: () => 0.5 });
  for (let i = 0; i < 5000; i++) old.nextMs();
  assert.equal(old.nextMs(), 1000);
});

test("a heartbeat measures the round trip and the other clock at its midpoint", () => {
  const heartbeat = new Heartbeat({ intervalMs: 1000, deadAfterMs: 5000 }, 0);
  const ping = heartbeat.ping({ monotonicMs: 100, wallMs: 1_000_000 });
  // 40 ms there and back; the other clock is 7 s ahead and was read in the middle.
  heartbeat.onPong(
    { type: "pong", sequence: ping.sequence, wallMs: 1_007_020 },
    { monotonicMs: 140, wallMs: 1_000_040 },
  );
  assert.equal(heartbeat.rttMs, 40);
  assert.equal(heartbeat.clockOffsetMs, 7000);
});

test("a pong that stood behind megabytes moves the round trip a little and the clock offset not at all", () => {
  const heartbeat = new Heartbeat({ intervalMs: 1000, deadAfterMs: 5000 }, 0);
  const first = heartbeat.ping({ monotonicMs: 0, wallMs: 0 });
  heartbeat.onPong({ type: "pong", sequence: first.sequence, wallMs: 505 }, { monotonicMs: 10, wallMs: 10 });
  const second = heartbeat.ping({ monotonicMs: 1000, wallMs: 1000 });
  heartbeat.onPong({ type: "pong", sequence: second.sequence, wallMs: 1505 }, { monotonicMs: 1810, wallMs: 1810 });
  assert.equal(heartbeat.rttMs, 110);
  assert.equal(heartbeat.clockOffsetMs, 500);
});

test("a clock that was set is noticed by the next answer", () => {
  const heartbeat = new Heartbeat({ intervalMs: 1000, deadAfterMs: 5000 }, 0);
  for (const [atMs, offsetMs] of [
    [0, 0],
    [1000, 0],
    [2000, -60_000],
  ] as const) {
    const ping = heartbeat.ping({ monotonicMs: atMs, wallMs: atMs });
    const pong = { type: "pong", sequence: ping.sequence, wallMs: atMs + 5 + offsetMs } as const;
    heartbeat.onPong(pong, { monotonicMs: atMs + 10, wallMs: atMs + 10 });
    assert.equal(heartbeat.clockOffsetMs, offsetMs);
  }
});

test("an answer to no ping, or a second one, changes nothing", () => {
  const heartbeat = new Heartbeat({ intervalMs: 1000, deadAfterMs: 5000 }, 0);
  heartbeat.onPong({ type: "pong", sequence: 9, wallMs: 9e9 }, { monotonicMs: 1, wallMs: 1 });
  assert.equal(heartbeat.rttMs, undefined);
  const ping = heartbeat.ping({ monotonicMs: 0, wallMs: 0 });
  heartbeat.onPong({ type: "pong", sequence: ping.sequence, wallMs: 1 }, { monotonicMs: 2, wallMs: 2 });
  heartbeat.onPong({ type: "pong", sequence: ping.sequence, wallMs: 9e9 }, { monotonicMs: 900, wallMs: 900 });
  assert.equal(heartbeat.rttMs, 2);
  assert.equal(heartbeat.clockOffsetMs, 0);
});

test("silence is dead after its time, any byte is life, and the time this process slept is not the other's silence", () => {
  const heartbeat = new Heartbeat({ intervalMs: 1000, deadAfterMs: 5000 }, 0);
  //  at ms, bytes heard, dead
  const table = [
    [1000, 10, false],
    [2000, 10, false],
    [5000, 10, false], // late by 2 s: counts as two intervals
    [6000, 11, false], // one byte
    [7000, 11, false],
    [8000, 11, false],
    [9000, 11, false],
    [10_000, 11, false],
    [11_000, 11, true],
  ] as const;
  for (const [atMs, bytes, dead] of table) assert.equal(heartbeat.tick(atMs, bytes), dead, `at ${atMs}`);
  const stopped = new Heartbeat({ intervalMs: 1000, deadAfterMs: 5000 }, 0);
  assert.equal(stopped.tick(60_000, 0), false, "stopped for a minute");
});

test("control messages that are not exactly a ping or a pong are refused", () => {
  const ping = encodeControl({ type: "ping", sequence: 0xdeadbeef, wallMs: 1_700_000_000_000.5 });
  assert.deepEqual(decodeControl(ping), { type: "ping", sequence: 0xdeadbeef, wallMs: 1_700_000_000_000.5 });
  const table: [Uint8Array, string][] = [
    [ping.subarray(0, 12), "a byte short"],
    [Buffer.concat([ping, Buffer.alloc(1)]), "a byte long"],
    [Buffer.concat([Buffer.from([0xf2]), ping.subarray(1)]), "unknown type"],
    [Buffer.from("f101000000000000000000f0ff", "hex"), "-Infinity"],
    [Buffer.from("f101000000000000000000f87f", "hex"), "NaN"],
    [Buffer.alloc(0), "empty"],
  ];
  for (const [bytes, why] of table) assert.equal(decodeControl(bytes), undefined, why);
});

test("who is let in, by what was heard before", () => {
  const b = name("b");
  const options = { aliveMs: 5000, disputeMs: 10_000 };
  type Step = readonly ["claim" | "heard" | "left" | "note", number, number, (string | undefined)?];
  const table: { why: string; steps: Step[] }[] = [
    {
      why: "a restart",
      steps: [
        ["claim", 1, 0],
        ["claim", 2, 10],
        ["claim", 2, 20],
      ],
    },
    {
      why: "a redial of the same run",
      steps: [
        ["claim", 1, 0],
        ["claim", 1, 10],
      ],
    },
    {
      why: "a lost disk and a slow clock: the newer run has left",
      steps: [
        ["claim", 2, 0],
        ["left", 2, 10],
        ["claim", 1, 20, "STALE_INCARNATION"],
      ],
    },
    {
      why: "the newer run is only hearsay",
      steps: [
        ["note", 2, 0],
        ["claim", 1, 10, "STALE_INCARNATION"],
        ["claim", 3, 20],
      ],
    },
    {
      why: "the newer run was long silent",
      steps: [
        ["claim", 2, 0],
        ["heard", 2, 1000],
        ["claim", 1, 7000, "STALE_INCARNATION"],
      ],
    },
    {
      why: "two live ones: neither",
      steps: [
        ["claim", 1, 0],
        ["claim", 2, 10],
        ["claim", 1, 20, "NAME_TAKEN"],
        ["claim", 2, 30, "NAME_TAKEN"],
        ["claim", 1, 4000, "NAME_TAKEN"],
        ["claim", 2, 4100, "NAME_TAKEN"],
      ],
    },
    {
      why: "two live ones, then the older is stopped",
      steps: [
        ["claim", 2, 0],
        ["claim", 1, 20, "NAME_TAKEN"],
        ["claim", 2, 9000, "NAME_TAKEN"],
        ["claim", 2, 10_021],
      ],
    },
    {
      why: "two live ones, then the newer is stopped",
      steps: [
        ["claim", 2, 0],
        ["claim", 1, 20, "NAME_TAKEN"],
        ["claim", 1, 5021, "STALE_INCARNATION"],
      ],
    },
  ];
  for (const { why, steps } of table) {
    const incarnations = new Incarnations(options);
    for (const [action, number, atMs, code] of steps) {
      if (action === "claim") {
        const refusal = incarnations.claim(b, run(number), atMs);
        assert.equal(refusal?.code, code, `${why}: run ${number} at ${atMs}`);
        if (code === "STALE_INCARNATION") assert.equal(refusal?.newest, run(2));
      } else if (action === "heard") incarnations.heard(b, run(number), atMs);
      else if (action === "left") incarnations.left(b, run(number));
      else incarnations.note(b, run(number));
    }
  }
});

test("the gate bounds who waits and makes who fails wait", () => {
  const gate = new Gate({
    unauthenticatedMax: 3,
    unauthenticatedPerAddressMax: 2,
    failuresFree: 2,
    addressesMax: 2,
    backoffBaseMs: 100,
    backoffCapMs: 300,
  });
  gate.enter("x");
  gate.enter("x");
  assert.equal(gate.refusal("x", 0)?.status, 503, "two of one address");
  assert.equal(gate.refusal("y", 0), undefined);
  gate.enter("y");
  assert.equal(gate.refusal("z", 0)?.status, 503, "three in all");
  gate.leave("x");
  assert.equal(gate.refusal("z", 0), undefined);
  gate.failed("z", 0);
  gate.failed("z", 0);
  assert.equal(gate.refusal("z", 0), undefined, "two failures are free");
  for (const [atMs, untilMs] of [
    [0, 100],
    [100, 300],
    [300, 600],
    [600, 900],
  ] as const) {
    gate.failed("z", atMs);
    assert.equal(gate.refusal("z", untilMs - 1)?.status, 429);
    assert.equal(gate.refusal("z", untilMs), undefined);
  }
  gate.succeeded("z");
  gate.failed("z", 1000);
  assert.equal(gate.refusal("z", 1000), undefined, "a success forgives");
  for (let i = 0; i < 100; i++) for (const address of ["p", "q", "r"]) gate.failed(address, 2000);
  assert.equal(gate.refusal("z", 2000), undefined, "addresses beyond the bound are forgotten");
});
