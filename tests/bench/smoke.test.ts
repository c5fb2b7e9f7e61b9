/** `npm run bench` with real servers and small numbers: that it works and leaves nothing behind, not what it measures. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { isAlive, type RunningProcess, startScript, tempDirectory, until } from "../support/processes.ts";
import { missingProgram } from "../support/redis-process.ts";

const skip = missingProgram("redis-server") ?? missingProgram("redis-benchmark") ?? false;
if (skip !== false) process.stdout.write(`skipped: ${skip}\n`);

/** All its temporary files go below the directory, so what is left in it is what it left behind. */
const startBench = (t: TestContext, directory: string, given: readonly string[]): RunningProcess =>
  startScript(t, "scripts/bench.ts", given, { env: { TMPDIR: directory, CHORUS_TCP: "5001" }, endBy: "SIGTERM" });

/** The processes it started and has not yet buried: servers, redis-benchmark, watchdog. */
const childrenOf = (pid: number): number[] =>
  spawnSync("ps", ["-eo", "pid=,ppid="], { encoding: "utf8" })
    .stdout.split("\n")
    .map((line) => line.trim().split(/ +/).map(Number))
    .flatMap(([child, parent]) => (parent === pid && child !== undefined ? [child] : []));

test("a small run measures both systems, prints JSON and leaves nothing behind", { skip }, async (t) => {
  const directory = tempDirectory(t);
  const small = ["--quick", "--json", "--only", "incr-p16,lag,restart-crash", "--requests", "2000", "--keys", "1000"];
  const bench = startBench(t, directory, small);
  assert.equal((await bench.ended).code, 0, bench.stderr());
  const { figures, machine } = JSON.parse(bench.stdout()) as {
    readonly figures: readonly {
      readonly name: string;
      readonly chorus: { readonly samples: readonly number[] };
      readonly beside: { readonly samples: readonly number[] };
    }[];
    readonly machine: { readonly node: string };
  };
  assert.equal(machine.node, process.versions.node);
  assert.deepEqual(
    figures.map(({ name }) => name),
    ["incr-p16", "lag-p50", "lag-p99", "restart-crash"],
  );
  for (const { name, chorus, beside } of figures)
    for (const { samples } of [chorus, beside]) {
      assert.equal(samples.length, 1, name);
      assert(
        samples.every((sample) => sample > 0),
        `${name}: ${samples}`,
      );
    }
  assert.deepEqual(readdirSync(directory), []);
});

const skipStrong = missingProgram("etcd") ?? false;
if (skipStrong !== false) process.stdout.write(`skipped: ${skipStrong}\n`);

test("--strong measures three peers beside three of etcd, also while one is killed", {
  skip: skipStrong,
}, async (t) => {
  const directory = tempDirectory(t);
  const bench = startBench(t, directory, ["--quick", "--json", "--only", "strong-set-p50,strong-gap"]);
  assert.equal((await bench.ended).code, 0, bench.stderr());
  const { figures } = JSON.parse(bench.stdout()) as {
    readonly figures: readonly {
      readonly name: string;
      readonly chorus: { readonly samples: readonly number[] };
      readonly beside: { readonly system: string; readonly samples: readonly number[] };
    }[];
  };
  assert.deepEqual(
    figures.map(({ name, beside }) => [name, beside.system]),
    [
      ["strong-set-p50", "etcd"],
      ["strong-gap", "etcd"],
    ],
  );
  for (const { name, chorus, beside } of figures)
    for (const { samples } of [chorus, beside]) assert(samples.length === 1 && Number(samples[0]) > 0, name);
  assert.deepEqual(readdirSync(directory), []);
});

for (const [signal, code] of [
  ["SIGTERM", 143],
  ["SIGKILL", null],
] as const)
  test(`${signal} in the middle: its servers end and its directory goes`, { skip }, async (t) => {
    const directory = tempDirectory(t);
    const bench = startBench(t, directory, ["--quick", "--only", "set-p1", "--rounds", "99"]);
    let children: readonly number[] = [];
    await until("three peers, three of redis-server and the watchdog run", () => {
      assert.doesNotMatch(bench.stderr(), /^bench:/m);
      children = childrenOf(bench.child.pid ?? 0);
      return children.length >= 7;
    });
    bench.child.kill(signal);
    assert.equal((await bench.ended).code, code);
    await until("all gone", () => !children.some(isAlive) && readdirSync(directory).length === 0);
  });

test("a mistake on the command line is one line, and nothing is started", async (t) => {
  const directory = tempDirectory(t);
  const bench = startBench(t, directory, ["--only", "lagg"]);
  assert.equal((await bench.ended).code, 2);
  assert.equal(bench.stderr(), 'bench: flag --only: there is no figure "lagg" (did you mean lag?)\n');
  assert.deepEqual(readdirSync(directory), []);
});
