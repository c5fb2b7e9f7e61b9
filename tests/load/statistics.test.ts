/** What the load tool counts, draws, checks and refuses: without a server. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { reconnectPauseMs } from "../../scripts/load/driver.ts";
import { HttpReader } from "../../scripts/load/http-reader.ts";
import { keySpace, serialOf } from "../../scripts/load/keys.ts";
import { drawKind, type Op, type OpKind, parseMix } from "../../scripts/load/operation.ts";
import { parseOptions } from "../../scripts/load/options.ts";
import { Oracle } from "../../scripts/load/oracle.ts";
import { linearScale, logScale, ninesScale, plotToSvg } from "../../scripts/load/plot.ts";
import { percent } from "../../scripts/load/report-text.ts";
import { Latencies, Statistics } from "../../scripts/load/statistics.ts";
import { parseTargets } from "../../scripts/load/targets.ts";
import { Random } from "../../scripts/sim/random.ts";

test("percentiles are those of the sorted values, to three digits", () => {
  const latencies = new Latencies();
  const random = new Random(3);
  const values = Array.from({ length: 20_000 }, () => Math.exp(random.next() * 8) / 10);
  for (const value of values) latencies.record(value);
  const sorted = values.sort((a, b) => a - b);
  for (const at of [1, 50, 90, 99, 99.9]) {
    const exact = sorted[Math.ceil((at / 100) * sorted.length) - 1] ?? 0;
    assert(Math.abs(latencies.percentileMs(at) - exact) <= 0.002 * exact + 0.001, `p${at}`);
  }
  const { maxMs, meanMs, count } = latencies.summary();
  assert.equal(count, values.length);
  assert(Math.abs(maxMs - (sorted.at(-1) ?? 0)) < 0.002 * maxMs);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  assert(Math.abs(meanMs - mean) < 0.005 * mean);
  assert.equal(
    latencies.bars.reduce((sum, bar) => sum + bar, 0),
    values.length,
  );
});

test("slots sum to the whole, and failures are counted by kind and code", () => {
  const statistics = new Statistics({ slotMs: 100, slowMs: 50 });
  const lost = { ok: false, code: "CONNECTION_LOST", outcome: "unknown" } as const;
  statistics.onEnd("get", 1, { ok: true, hit: true });
  statistics.onEnd("get", 60, { ok: true, hit: false });
  statistics.onEnd("set", 5, lost);
  statistics.closeSlot(100);
  statistics.onEnd("set", 2, { ok: true, hit: true });
  statistics.closeSlot(200);
  assert.deepEqual(
    statistics.slots.map(({ atMs, ok, failed }) => [atMs, ok, failed]),
    [
      [100, 2, 1],
      [200, 1, 0],
    ],
  );
  assert.deepEqual([statistics.ok, statistics.failed, statistics.slow, statistics.hits.get], [3, 1, 1, 1]);
  assert.deepEqual([...statistics.errors.set], [["CONNECTION_LOST", 1]]);
  assert.equal(statistics.total().count, 3);
  assert.equal(statistics.takeLine().ok, 3);
  assert.equal(statistics.takeLine().ok, 0);
});

test("commands come in the shares of the mix", () => {
  const mix = parseMix("set=1,get=7,incr=2");
  assert(typeof mix !== "string");
  const random = new Random(1);
  const seen: Record<OpKind, number> = { get: 0, set: 0, incr: 0, del: 0 };
  for (let i = 0; i < 100_000; i++) seen[drawKind(mix, random)]++;
  assert.equal(seen.del, 0);
  for (const [kind, share] of [
    ["get", 0.7],
    ["set", 0.1],
    ["incr", 0.2],
  ] as const)
    assert(Math.abs(seen[kind] / 100_000 - share) < 0.01, kind);
  for (const [text, words] of [
    ["put=1", /there is no command "put"/],
    ["get", /expected get=WEIGHT/],
    ["get=0", /all weights are zero/],
    ["get=-1", /expected get=WEIGHT/],
  ] as const)
    assert.match(String(parseMix(text)), words);
});

test("a value names its write, at every size", () => {
  for (const bytes of [11, 64, 1000]) {
    const { valueFor } = keySpace("load:", bytes);
    for (const serial of [0, 1, 35, 36, 2 ** 40]) {
      assert.equal(valueFor(serial).length, bytes);
      assert.equal(serialOf(valueFor(serial)), serial);
    }
  }
  assert.equal(serialOf("somebody else's"), undefined);
});

const op = (kind: OpKind, serial: number, index = 0): Op => ({
  kind,
  index,
  key: "k",
  value: "",
  serial,
  dueMs: 0,
  sentMs: 0,
});
const done = { ok: true, hit: true } as const;
const failure = (outcome: "not-applied" | "unknown" | "late") => ({ ok: false, code: "X", outcome }) as const;

test("a key may hold its last acknowledged write, or one of unknown outcome since", () => {
  const { valueFor } = keySpace("load:", 16);
  const oracle = new Oracle(10);
  const write = (kind: OpKind, serial: number, end: Parameters<Oracle["onEnd"]>[1]): void => {
    oracle.onSent(op(kind, serial));
    assert.equal(oracle.isBeingWritten(0), true);
    oracle.onEnd(op(kind, serial), end);
    assert.equal(oracle.isBeingWritten(0), false);
  };
  const allowed = (): string[] =>
    [null, ...[1, 2, 3, 4, 5, 6].map(valueFor)].flatMap((found) =>
      oracle.judgeKey(0, found) === undefined ? [found?.replace(/\..*/, "") ?? "none"] : [],
    );
  assert.deepEqual(allowed(), ["none"]);
  write("set", 1, done);
  assert.deepEqual(allowed(), ["1"]);
  write("set", 2, failure("not-applied"));
  assert.deepEqual(allowed(), ["1"]);
  write("set", 3, failure("unknown"));
  assert.deepEqual(allowed(), ["1", "3"]);
  write("set", 4, failure("late"));
  assert.deepEqual(allowed(), ["1", "3", "4"]);
  write("del", 5, failure("unknown"));
  assert.deepEqual(allowed(), ["none", "1", "3", "4"]);
  // What is acknowledged now came after all that is decided; a write that may still come late stays possible.
  write("set", 6, done);
  assert.deepEqual(allowed(), ["4", "6"]);
  write("del", 7, done);
  assert.deepEqual(allowed(), ["none", "4"]);
  assert.match(oracle.judgeKey(0, "foreign") ?? "", /nobody wrote/);
  assert.match(oracle.judgeKey(0, valueFor(6)) ?? "", /holds write 6; delete 7 was acknowledged/);
  assert.deepEqual([...oracle.writtenKeys()], [0]);
});

test("a counter lies between the acknowledged increments and those plus the unanswered", () => {
  const oracle = new Oracle(4);
  for (let i = 0; i < 5; i++) oracle.onEnd(op("incr", i, 2), done);
  oracle.onEnd(op("incr", 6, 2), failure("unknown"));
  oracle.onEnd(op("incr", 7, 2), failure("not-applied"));
  assert.deepEqual(
    ["4", "5", "6", "7", null].map((found) => oracle.judgeCounter(2, found) === undefined),
    [false, true, true, false, false],
  );
  assert.deepEqual([...oracle.writtenCounters()], [2]);
  assert.deepEqual([oracle.acknowledgedWrites, oracle.unknownWrites], [5, 1]);
});

test("answers of HTTP are read also a byte at a time, with a length, chunked, or without a body", () => {
  const texts = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Cache: hit\r\n\r\nhello",
    "HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    "HTTP/1.1 204 No Content\r\nConnection: close\r\nX-Chorus-Session: a.1:2\r\n\r\n",
  ];
  const expected = [
    { status: 200, body: "hello", cache: "hit", session: "", keeps: true },
    { status: 404, body: "abcde", cache: "", session: "", keeps: true },
    { status: 204, body: "", cache: "", session: "a.1:2", keeps: false },
  ];
  const reader = new HttpReader();
  assert.deepEqual(
    texts.map((text) => reader.read(Buffer.from(text))),
    expected,
  );
  const answers = [...texts.join("")].flatMap((byte) => reader.read(Buffer.from(byte)) ?? []);
  assert.deepEqual(answers, expected);
  assert.throws(() => reader.read(Buffer.from("+OK\r\n\r\n")), /not HTTP/);
});

test("targets are of one protocol", () => {
  const parsed = parseTargets("redis://:secret@a.example,redis://:secret@[::1]:5002");
  assert(typeof parsed !== "string");
  assert.deepEqual(parsed.addresses, [
    { host: "a.example", port: 6379 },
    { host: "::1", port: 5002 },
  ]);
  assert.equal(parsed.password, "secret");
  assert.match(String(parseTargets("a:1,ws://a:2")), /one protocol/);
  assert.match(String(parseTargets("https://a:2")), /expected redis/);
  assert.match(String(parseTargets(",")), /no target/);
});

test("wrong usage is refused with the flag's name and exit code 2", () => {
  for (const [given, words] of [
    ["--rate 0", /--rate: expected a number, 0.1 to/],
    ["--ratte 5", /did you mean rate/],
    ["--mix get=x", /--mix/],
    ["--via resp", /--via goes with --chaos/],
    ["--chaos --targets a:1", /takes no --targets/],
    ["--chaos --via carrier-pigeon", /there is no "carrier-pigeon"/],
    ["--runs 2", /--runs goes with --chaos/],
    ["--verify --keys 8 --clients 8", /--keys 16 or more/],
    ["--chaos --peer acks", /--peer: expected name=value/],
  ] as const)
    assert.throws(() => parseOptions(given.split(" ")), { exitCode: 2, message: words }, given);
  assert.deepEqual(parseOptions(["--chaos", "--peer", "acks=1,max-memory=1gb"])?.chaos?.flags, {
    acks: "1",
    maxMemory: "1gb",
  });
});

test("a client tries all targets at once, then with growing pauses", () => {
  const pauses = [0, 1, 2, 3, 6, 9, 30, 300].map((failures) => reconnectPauseMs(failures, 3, () => 1));
  assert.deepEqual(pauses, [0, 0, 0, 20, 40, 80, 500, 500]);
});

test("scales have round ticks, and a plot has no value outside", () => {
  assert.deepEqual(
    linearScale(4100, 5, String).ticks.map(({ value }) => value),
    [0, 1000, 2000, 3000, 4000, 5000],
  );
  assert.deepEqual(
    logScale(0.3, 40, String).ticks.map(({ text }) => text),
    ["0.1", "1", "10", "100"],
  );
  assert.equal(ninesScale(4).at(99).toFixed(3), "0.500");
  const svg = plotToSvg({
    title: `<"t">`,
    x: linearScale(1, 2, String),
    y: logScale(1, 10, String),
    xLabel: "",
    bands: [],
    series: [
      {
        name: "p50",
        label: "&",
        kind: "line",
        points: [
          [0, 1],
          [0.5, Number.NaN],
          [1, 10],
        ],
      },
    ],
  });
  assert(!svg.includes("NaN") && !svg.includes(`<"t">`));
});

test("availability is never rounded up to all", () => {
  assert.deepEqual([100, 99.99999, 99.98, Number.NaN].map(percent), ["100 %", "99.9999 %", "99.9800 %", "-"]);
});
