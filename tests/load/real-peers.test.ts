/** `npm run load` as a person runs it, for a few seconds, on real peers: what it says, leaves behind and finds out. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { LoadReport } from "../../scripts/load/report.ts";
import { type RunningProcess, startScript, tempDirectory, until } from "../support/processes.ts";
import { dump, withCluster } from "../support/real-cluster.ts";

/** Below a directory of its own, so that what is left in it is what it left behind. */
const startLoad = (t: TestContext, directory: string, given: readonly string[]): RunningProcess =>
  startScript(t, "scripts/load.ts", given, { env: { TMPDIR: directory }, endBy: "SIGTERM" });

const readReport = (path: string): LoadReport => JSON.parse(readFileSync(path, "utf8")) as LoadReport;

test("redis protocol and WebSocket: the rate is kept, everything is verified, the keys are gone afterwards", async (t) => {
  const directory = tempDirectory(t);
  await withCluster(t, {}, async (cluster) => {
    const [a, b] = cluster.peers;
    assert(a !== undefined && b !== undefined);
    for (const targets of [
      `127.0.0.1:${a.tcpPort},redis://127.0.0.1:${b.tcpPort}`,
      `ws://127.0.0.1:${a.httpPort},ws://127.0.0.1:${b.httpPort}`,
    ]) {
      const file = join(directory, "report.json");
      const page = join(directory, "report.html");
      const load = startLoad(t, directory, [
        ...["--targets", targets, "--rate", "300", "--seconds", "1", "--keys", "200", "--verify"],
        ...["--mix", "set=40,get=40,incr=10,del=10", "--json", file, "--html", page],
      ]);
      assert.deepEqual(await load.ended, { code: 0, signal: null }, load.stderr() + load.stdout());
      assert.match(load.stdout(), /nothing acknowledged is lost/);
      const report = readReport(file);
      assert.equal(report.operations, 300);
      assert.equal(report.failed, 0);
      assert.equal(report.verification?.wrong, 0);
      assert.equal(report.verification?.peers.length, 3, "all peers are asked, not only the targets");
      assert((report.verification?.acknowledgedWrites ?? 0) > 100);
      const html = readFileSync(page, "utf8");
      assert.equal([...html.matchAll(/<svg /g)].length, 3);
      assert(!/https?:\/\/(?!127\.0\.0\.1)|<script|NaN/.test(html), "nothing is fetched, no script, no hole");
    }
    await cluster.identical();
    assert.deepEqual([...(await dump(a)).keys()], []);
  });
});

test("an acknowledged write that is missing afterwards is found, and the exit code says so", async (t) => {
  const directory = tempDirectory(t);
  await withCluster(t, {}, async (cluster) => {
    const [a] = cluster.peers;
    assert(a !== undefined);
    const load = startLoad(t, directory, [
      ...["--targets", `127.0.0.1:${a.tcpPort}`, "--rate", "100", "--seconds", "2", "--keys", "50", "--verify"],
      ...["--mix", "set=1", "--zipf", "0", "--clients", "2"],
    ]);
    // Somebody overwrites a key whenever it is there: as if the store had lost what was acknowledged.
    let spoiled = false;
    const client = await a.connect();
    await until("the load ended", async () => {
      const [, keys] = (await client.call("SCAN", "0", "MATCH", "load:*:k:*", "COUNT", 1000)) as [string, string[]];
      for (const key of keys.slice(0, 10)) {
        await client.call("SET", key, "spoiled", "XX");
        spoiled = true;
      }
      return load.child.exitCode !== null;
    });
    client.close();
    assert(spoiled);
    assert.equal((await load.ended).code, 1, load.stdout());
    assert.match(load.stdout(), /FAILED {7}\d+ are not as acknowledged/);
    assert.match(load.stdout(), /holds "spoiled", which nobody wrote/);
  });
});

test("chaos: a peer is killed and comes back, nothing is lost or left behind, and who uses the gateway hardly sees it", async (t) => {
  const directory = tempDirectory(t);
  const file = join(directory, "report.json");
  const load = startLoad(t, directory, [
    ...["--chaos", "--verify", "--seconds", "4", "--chaos-seconds", "3", "--down-seconds", "0.5"],
    ...["--rate", "200", "--keys", "300", "--json", file],
  ]);
  assert.deepEqual(await load.ended, { code: 0, signal: null }, load.stderr() + load.stdout());
  const report = readReport(file);
  assert.deepEqual(
    report.chaos.slice(0, 3).map(({ peer, what }) => `${peer} ${what}`),
    ["a killed", "a started", "a back"],
  );
  assert.equal(report.verification?.wrong, 0);
  const repeatable = report.kinds.filter(({ kind }) => kind !== "incr").map(({ errors }) => errors);
  assert.deepEqual(repeatable, [{}, {}], "what may be sent again is, and succeeds");
  assert(report.availability.percent > 90 && report.availability.longestGapMs < 4000);
  assert.deepEqual(readdirSync(directory), ["report.json"]);
});

test("with a password, by all three protocols", async (t) => {
  const directory = tempDirectory(t);
  const passwordFile = join(directory, "password");
  writeFileSync(passwordFile, "open sesame\n", { mode: 0o600 });
  await withCluster(t, { count: 1, flags: ["--password-file", passwordFile], start: false }, async (cluster) => {
    const [a] = cluster.peers;
    assert(a !== undefined);
    await a.start();
    await cluster.ready();
    for (const [scheme, port] of [
      ["redis", a.tcpPort],
      ["ws", a.httpPort],
      ["http", a.httpPort],
    ] as const) {
      const load = startLoad(t, directory, [
        ...["--targets", `${scheme}://:open%20sesame@127.0.0.1:${port}`, "--peers", `127.0.0.1:${a.httpPort}`],
        ...["--rate", "100", "--seconds", "1", "--keys", "100", "--verify"],
      ]);
      assert.deepEqual(await load.ended, { code: 0, signal: null }, load.stderr() + load.stdout());
      assert.match(load.stdout(), /100 answered, 0 failed/);
    }
  });
});

test("Ctrl-C prints the report so far", async (t) => {
  const directory = tempDirectory(t);
  await withCluster(t, { count: 1 }, async (cluster) => {
    const [a] = cluster.peers;
    assert(a !== undefined);
    const load = startLoad(t, directory, ["--targets", `127.0.0.1:${a.tcpPort}`, "--seconds", "600", "--rate", "100"]);
    await until("a line was printed", () => / 1 s +\d+\/s/.test(load.stderr()));
    load.child.kill("SIGINT");
    assert.deepEqual(await load.ended, { code: 0, signal: null }, load.stderr());
    assert.match(load.stdout(), /throughput +\d+\/s/);
  });
});

test("targets that nobody answers at are told in one line", async (t) => {
  const load = startLoad(t, tempDirectory(t), ["--targets", "127.0.0.1:1", "--timeout", "1000", "--clients", "1"]);
  assert.deepEqual(await load.ended, { code: 1, signal: null });
  assert.match(load.stderr(), /^load: no client connected within 1 s: .*ECONNREFUSED/m);
});
