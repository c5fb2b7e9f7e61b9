import assert from "node:assert/strict";
import { test } from "node:test";
import { keyFor, valueBytes, valueFor } from "../../scripts/bench/dataset.ts";
import { figures, median, rowOf, strongNames } from "../../scripts/bench/figures.ts";
import { parseLoadCsv } from "../../scripts/bench/load.ts";
import { parseOptions } from "../../scripts/bench/options.ts";
import { ErrorReply, encodeCommand, parseReply } from "../../scripts/bench/resp-connection.ts";
import { reportToJson, reportToText } from "../../scripts/bench/table.ts";

test("the median is the middle sample, or the mean of the two in the middle", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([]), undefined);
});

test("a verdict compares the ratio, or Chorus's own value, with must and aim", () => {
  const cases = [
    // name, chorus, beside, verdict
    ["set-p1", [100, 90, 110], [100, 100, 100], "aim"],
    ["set-p1", [70], [100], "must"],
    ["set-p1", [69], [100], "BELOW"],
    ["set-p1", [100], [], "-"], // Nothing to compare with: not judged.
    ["set-p1-spread", [10], [100], "-"], // No bounds: there to be read.
    ["memory", [124], [100], "aim"], // Less is better.
    ["memory", [151], [100], "BELOW"],
    ["lag-p99", [5], [1], "aim"], // Its own value, whatever Redis has.
    ["lag-p99", [9], [], "must"],
    ["busy-get", [31], [], "BELOW"],
  ] as const;
  for (const [name, chorus, beside, verdict] of cases)
    assert.equal(rowOf({ name, chorus, beside, notes: [] }).verdict, verdict, `${name} ${chorus} ${beside}`);
  const failed = rowOf({ name: "lag-p50", chorus: [], beside: [], notes: [], failure: "peer b died" });
  assert.equal(failed.verdict, "failed");
  assert.equal(failed.chorusMedian, undefined);
});

test("the ratio is that of the medians, and its range that of the rounds", () => {
  const row = rowOf({ name: "set-p16", chorus: [80, 100, 90], beside: [100, 100, 90], notes: [] });
  assert.equal(row.ratio, 0.9);
  assert.deepEqual(row.ratioRange, [0.8, 1]);
});

test("redis-benchmark's CSV is read by the names of its columns", () => {
  const csv = `"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
"SET","84033.61","0.324","0.096","0.303","0.543","0.791","1.223"
`;
  assert.deepEqual(parseLoadCsv(csv), { perSecond: 84_033.61, p50Ms: 0.303, p99Ms: 0.791 });
  assert.deepEqual(parseLoadCsv(`WARNING: Could not fetch server CONFIG\n${csv}`), parseLoadCsv(csv));
  assert.equal(parseLoadCsv('"SET","84033.61"\n'), undefined);
  assert.equal(parseLoadCsv("Could not connect to Redis at 127.0.0.1:1: Connection refused\n"), undefined);
});

test("replies are parsed whole, or not at all", () => {
  const reply = Buffer.from("*4\r\n$1\r\n7\r\n*2\r\n$3\r\na\r\n\r\n$-1\r\n:-2\r\n-ERR no\r\n", "latin1");
  const parsed = parseReply(reply, 0);
  assert.deepEqual(parsed, { reply: ["7", ["a\r\n", null], -2, new ErrorReply("ERR no")], end: reply.length });
  for (let length = 0; length < reply.length; length++)
    assert.equal(parseReply(reply.subarray(0, length), 0), undefined, `cut after ${length} bytes`);
  assert.throws(() => parseReply(Buffer.from("HTTP/1.1 400\r\n"), 0), /cannot begin with "H"/);
  assert.equal(encodeCommand("SET", "a", "10"), "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\n10\r\n");
});

test("keys are redis-benchmark's, values have 64 bytes and differ by key and generation", () => {
  assert.equal(keyFor(42), "key:000000000042");
  const values = new Set<string>();
  for (let index = 0; index < 1000; index++)
    for (const generation of [0, 1, 99_999]) values.add(valueFor(index * 19_999, generation));
  assert.equal(values.size, 3000);
  for (const value of values) assert.equal(value.length, valueBytes);
});

test("--only takes names and what several begin with, and guesses at a slip", () => {
  assert.deepEqual(
    [...(parseOptions(["--only", "get-p1,restart"])?.only ?? [])],
    ["get-p1", "restart-crash", "restart-clean"],
  );
  assert.equal(parseOptions([])?.only.size, figures.length - strongNames.length);
  assert.deepEqual([...(parseOptions(["--strong"])?.only ?? [])], strongNames);
  assert.equal(parseOptions(["--help"]), undefined);
  const refusals = [
    [["--only", "sett"], /there is no figure "sett" \(did you mean set\?\)/],
    [["--only", ""], /there is no figure ""/],
    [["--rounds", "0"], /--rounds: expected a whole number, 1 to 99, got "0"/],
    [["--requests", "1e6"], /--requests: expected a whole number/],
    [["--strong", "--only", "set"], /--strong and --only: say one/],
    [["--fast"], /--fast/],
    [["all"], /all/],
  ] as const;
  for (const [given, words] of refusals) assert.throws(() => parseOptions(given), words);
});

test("the report says what was measured, on what, and what could not be", () => {
  const options = parseOptions(["--rounds", "3"]);
  assert(options !== undefined);
  const report = {
    startedAt: "2026-01-01T00:00:00.000Z",
    tookSeconds: 61.2,
    machine: {
      cores: 2,
      cpu: "CPU",
      memoryBytes: 8 * 1024 ** 3,
      system: "linux 6 x64",
      node: "20.20.0",
      chorus: "0.1.0",
      redis: null,
      etcd: "3.4.23",
      loadAverage: 3,
    },
    options,
    rows: [
      rowOf({ name: "set-p1", chorus: [70_000, 71_000, 72_000], beside: [70_000, 71_000, 80_000], notes: ["a note"] }),
      rowOf({ name: "return", chorus: [], beside: [], notes: [], failure: "peer b died" }),
    ],
    remarks: ["redis-server is not installed"],
  };
  const text = reportToText(report);
  assert.match(
    text,
    /^2 cores of CPU, 8 GiB, linux 6 x64; node 20\.20\.0, Chorus 0\.1\.0, Redis not installed, etcd 3\.4\.23\n/,
  );
  assert.match(text, /set-p1 +71,000 +71,000 +ops\/s +1\.00 +0\.90 to 1\.00 +>= 0\.7 +>= 1 +aim\n/);
  assert.match(text, /return +- +- +s +- +- +<= 15 s +<= 5 s +failed\n/);
  assert.match(text, /\nset-p1: a note\nreturn: could not be measured: peer b died\n/);
  assert.match(text, /load average 3\.0 on 2 cores/);
  const json = JSON.parse(reportToJson(report)) as { format: number; figures: { name: string; verdict: string }[] };
  assert.equal(json.format, 2);
  assert.deepEqual(
    json.figures.map(({ name, verdict }) => [name, verdict]),
    [
      ["set-p1", "aim"],
      ["return", "failed"],
    ],
  );
});
