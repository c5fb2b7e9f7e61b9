/** What is counted and timed of commands, and how SLOWLOG and LATENCY show it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { slowLogEntriesMax } from "../../protocol/limits.ts";
import { countedCommands } from "../../server/commands/figures.ts";
import { bucketMicros, bucketOf, DurationHistogram, durationBuckets } from "../../server/metrics/duration-histogram.ts";
import { LatencyEvents } from "../../server/metrics/latency-events.ts";
import { SlowLog } from "../../server/metrics/slow-log.ts";
import { fakePeerWithCommands } from "../support/fake-host.ts";
import { parseReply } from "../support/parse-reply.ts";

const indexOf = (name: string): number => countedCommands.indexOf(name);
const client = { address: "127.0.0.1:40000", name: "worker" };

describe("a histogram of durations", () => {
  test("puts each duration into the bucket whose bound it does not pass", () => {
    for (const [micros, bound] of [
      [0, 1],
      [0.4, 1],
      [1, 1],
      [1.01, 2],
      [2, 2],
      [3, 4],
      [4, 4],
      [1000, 1024],
      [1024, 1024],
      [1025, 2048],
      [2 ** 23, 2 ** 23],
      [2 ** 23 + 1, Number.POSITIVE_INFINITY],
      [2 ** 40, Number.POSITIVE_INFINITY],
      [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
    ] as const) {
      assert.equal(bucketMicros(bucketOf(micros)), bound, `${micros} us`);
    }
    assert.equal(bucketOf(Number.MAX_VALUE), durationBuckets - 1);
  });

  test("counts and sums", () => {
    const histogram = new DurationHistogram();
    histogram.note(3);
    histogram.note(100, 31);
    assert.equal(histogram.count, 32);
    assert.equal(histogram.sumMicros, 3103);
  });
});

describe("what is counted", () => {
  test("a command counts by its end: done, failed, refused before it ran, unknown", async () => {
    const { execute, client: newClient } = fakePeerWithCommands();
    const { stats } = execute;
    const one = newClient();
    await one.line("SET a 1");
    await one.line("SET b x");
    await one.line("INCR b");
    await one.line("SET a");
    await one.line("NOSUCH a");
    await one.line("CLIENT NOSUCH");
    assert.equal(stats.calls[indexOf("set")], 2);
    assert.equal(stats.calls[indexOf("incr")], 1);
    assert.equal(stats.failed[indexOf("incr")], 1);
    assert.equal(stats.refused[indexOf("set")], 1);
    assert.equal(stats.unknown, 2);
    assert.equal(stats.commands, 3);
    assert.equal(stats.rejected, 3);
    assert.deepEqual([...stats.errors], [["ERR", 4]]);
  });

  test("an error inside EXEC is the command's, not EXEC's; EXECABORT is EXEC's", async () => {
    const { execute, client: newClient } = fakePeerWithCommands();
    const { stats } = execute;
    const one = newClient();
    await one.line("SET b x");
    await one.line("MULTI");
    await one.line("INCR b");
    await one.line("GET b");
    await one.line("EXEC");
    assert.equal(stats.failed[indexOf("incr")], 1);
    assert.equal(stats.failed[indexOf("exec")], 0);
    await one.line("MULTI");
    await one.line("NOSUCH");
    await one.line("EXEC");
    assert.equal(stats.calls[indexOf("exec")], 2);
    assert.equal(stats.failed[indexOf("exec")], 1);
    assert.equal(stats.errors.get("EXECABORT"), 1);
  });

  test("commands that answer later are counted when they have", async () => {
    const { host, execute, client: newClient } = fakePeerWithCommands();
    const one = newClient();
    host.diffResult = Promise.reject(new Error("ERR no peer 'x'"));
    await one.line("DIFF x");
    assert.equal(execute.stats.failed[indexOf("diff")], 1);
    await one.line("FLUSHALL");
    assert.equal(execute.stats.calls[indexOf("flushall")], 1);
    assert.equal(execute.stats.durations[indexOf("flushall")]?.count, 1);
    assert.equal(execute.stats.durations[indexOf("diff")]?.count, 0, "its purpose is to wait");
  });

  test("what is brief is timed once in 31 and counted for all, what may take long always", async () => {
    const { execute, client: newClient } = fakePeerWithCommands();
    const { durations } = execute.stats;
    const one = newClient();
    await one.line("GET a");
    assert.equal(durations[indexOf("get")]?.count, 1, "the first is timed, for itself");
    for (let times = 0; times < 310; times += 1) await one.line("GET a");
    assert.equal(durations[indexOf("get")]?.count, 311);
    await one.send(["SET", "a", "x".repeat(16 * 1024)]);
    await one.send(["SET", "a", "x".repeat(16 * 1024 + 1)]);
    await one.send(["SET", "a", "x".repeat(16 * 1024 + 1)]);
    assert.equal(durations[indexOf("set")]?.count, 3, "a long value is timed each time");
    for (let times = 0; times < 5; times += 1) await one.line("KEYS *");
    assert.equal(durations[indexOf("keys")]?.count, 5);
  });

  test("codes of errors are bounded in number", () => {
    const { stats } = fakePeerWithCommands().execute;
    for (let code = 0; code < 1000; code += 1) stats.countError(`E${code} no such thing`);
    assert.equal(stats.errors.size, 65);
    assert.equal(stats.errors.get("other"), 1000 - 64);
  });
});

describe("SLOWLOG", () => {
  test("shows the newest first, in Redis's form", async () => {
    const { host, client: newClient } = fakePeerWithCommands();
    const one = newClient();
    await one.line("CONFIG SET slowlog-log-slower-than 0");
    await one.line("SLOWLOG RESET");
    host.clockMs = 1_700_000_000_999;
    one.session.name = "worker";
    await one.line('SET city "Os\\x00lo"');
    await one.line("GET city");
    const [get, set] = parseReply(await one.line("SLOWLOG GET 2")) as [unknown[], unknown[]];
    assert.deepEqual(get.slice(3), [["GET", "city"], one.session.address, "worker"]);
    assert.deepEqual(set.slice(3), [["SET", "city", "Os\0lo"], one.session.address, "worker"]);
    assert.equal(get[0], (set[0] as number) + 1);
    assert.equal(set[1], 1_700_000_000);
    assert.ok(Number.isInteger(set[2]) && (set[2] as number) >= 0, `microseconds ${String(set[2])}`);
    assert.equal(await one.line("SLOWLOG GET 0"), "*0\r\n");
    assert.equal(await one.line("SLOWLOG RESET"), "+OK\r\n");
    assert.equal(await one.line("SLOWLOG LEN"), ":1\r\n", "RESET itself is logged after it has run, as in Redis");
  });

  test("cuts long arguments and long lists of them as Redis does, and shows no password", () => {
    const log = new SlowLog();
    const note = (fullName: string, ...words: string[]): readonly string[] | undefined => {
      log.note(1e6, { words, fullName }, client, 0);
      return log.newest(1)[0]?.words;
    };
    assert.deepEqual(note("set", "SET", "k", "v".repeat(128)), ["SET", "k", "v".repeat(128)]);
    assert.deepEqual(note("set", "SET", "k", "v".repeat(130)), ["SET", "k", `${"v".repeat(128)}... (2 more bytes)`]);
    const names = Array.from({ length: 40 }, (_, at) => `w${at}`);
    assert.deepEqual(note("del", ...names.slice(0, 32)), names.slice(0, 32));
    assert.deepEqual(note("del", ...names), [...names.slice(0, 31), "... (9 more arguments)"]);
    assert.deepEqual(note("auth", "AUTH", "secret"), ["AUTH", "(redacted)"]);
    assert.deepEqual(note("hello", "HELLO", "3", "AUTH", "u", "p"), ["HELLO", "3", "AUTH", "(redacted)", "(redacted)"]);
  });

  test("keeps as many as asked for, no more than its bound; ids go on after RESET", () => {
    const log = new SlowLog();
    const fill = (count: number): void => {
      for (let at = 0; at < count; at += 1) log.note(1e6, { words: ["GET"], fullName: "get" }, client, 0);
    };
    fill(200);
    assert.equal(log.length, 128);
    assert.deepEqual(
      log.newest(2).map(({ id }) => id),
      [199, 198],
    );
    log.entriesMax = 3;
    assert.equal(log.length, 3);
    log.reset();
    fill(1);
    assert.equal(log.newest(1)[0]?.id, 200);
    log.entriesMax = Number.MAX_SAFE_INTEGER;
    assert.equal(log.entriesMax, slowLogEntriesMax);
    log.entriesMax = 0;
    fill(1);
    assert.equal(log.length, 0);
  });

  test("a negative threshold keeps nothing, a small one times every call", async () => {
    const { host, client: newClient } = fakePeerWithCommands();
    const one = newClient();
    await one.line("CONFIG SET slowlog-log-slower-than -1");
    await one.line("KEYS *");
    assert.equal(host.slowLog.length, 0);
    await one.line("CONFIG SET slowlog-log-slower-than 0");
    const before = host.slowLog.recorded;
    for (let times = 0; times < 40; times += 1) await one.line("GET a");
    assert.equal(host.slowLog.recorded, before + 40);
    await one.line("MULTI");
    await one.line("INCR n");
    await one.line("EXEC");
    assert.deepEqual(
      host.slowLog.newest(2).map(({ words }) => words[0]),
      ["INCR", "MULTI"],
      "EXEC itself is not logged, what it runs is",
    );
  });
});

describe("LATENCY", () => {
  test("keeps a second's worst, the latest and the greatest, in Redis's form", async () => {
    const { host, client: newClient } = fakePeerWithCommands();
    const one = newClient();
    const { latencyEvents: events } = host;
    events.note("fsync", 49, 1_700_000_000_000);
    assert.equal(await one.line("LATENCY LATEST"), "*0\r\n", "below the threshold");
    events.note("fsync", 80.4, 1_700_000_000_000);
    events.note("fsync", 70, 1_700_000_000_900);
    events.note("fsync", 60, 1_700_000_001_000);
    events.note("event-loop", 1234, 1_700_000_002_000);
    assert.deepEqual(parseReply(await one.line("LATENCY LATEST")), [
      ["fsync", 1_700_000_001, 60, 80],
      ["event-loop", 1_700_000_002, 1234, 1234],
    ]);
    assert.deepEqual(parseReply(await one.line("LATENCY HISTORY fsync")), [
      [1_700_000_000, 80],
      [1_700_000_001, 60],
    ]);
    assert.match(await one.line("LATENCY DOCTOR"), /fsync: 2 samples, 70 ms on average, 80 ms at most/);
    assert.equal(await one.line("LATENCY RESET fsync nosuch"), ":1\r\n");
    assert.equal(await one.line("LATENCY RESET"), ":1\r\n");
    assert.equal(await one.line("LATENCY LATEST"), "*0\r\n");
    assert.equal(events.counts.fsync, 3, "what metrics count stays");
    assert.match(await one.line("LATENCY DOCTOR"), /Nothing took 50 ms or more/);
    await one.line("CONFIG SET latency-monitor-threshold 0");
    assert.match(await one.line("LATENCY DOCTOR"), /is off/);
    events.note("fsync", 5000, 0);
    assert.equal(await one.line("LATENCY LATEST"), "*0\r\n");
  });

  test("keeps 160 samples of an event", () => {
    const events = new LatencyEvents();
    for (let second = 0; second < 300; second += 1) events.note("command", 100, second * 1000);
    const samples = events.history("command")?.samples ?? [];
    assert.equal(samples.length, 160);
    assert.equal(samples.at(-1)?.atSeconds, 299);
  });

  test("HISTOGRAM counts cumulatively, of all commands or of those named", async () => {
    const { execute, client: newClient } = fakePeerWithCommands();
    const one = newClient(3);
    await one.line("SET a 1");
    execute.stats.durations[indexOf("set")]?.note(100, 2);
    await one.line("CLIENT ID");
    const all = parseReply(await one.line("LATENCY HISTOGRAM")) as Map<string, Map<string, unknown>>;
    assert.deepEqual([...all.keys()], ["client|id", "set"]);
    const set = all.get("set") ?? new Map<string, unknown>();
    assert.equal(set.get("calls"), 1);
    const buckets = [...(set.get("histogram_usec") as Map<number, number>)];
    assert.equal(buckets.at(-1)?.[1], 3);
    assert.ok(buckets.every(([micros]) => Number.isInteger(Math.log2(micros))));
    const named = parseReply(await one.line("LATENCY HISTOGRAM client nosuch")) as Map<string, unknown>;
    assert.deepEqual([...named.keys()], ["client|id"]);
  });
});
