import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import type { ClusterRecord } from "../../server/cli/cluster/control.ts";
import { isAlive, type RunningProcess, runScript, startScript, tempDirectory, until } from "../support/processes.ts";

const recordOf = (directory: string): ClusterRecord =>
  JSON.parse(readFileSync(join(directory, "cluster.json"), "utf8")) as ClusterRecord;

const pidsOf = (directory: string): number[] =>
  recordOf(directory).peers.flatMap(({ pid }) => (pid === null ? [] : [pid]));

const start = (t: TestContext, directory: string, fake = "", count = 3): RunningProcess =>
  startScript(t, "tests/cli/fake-cluster.js", [directory, String(count)], { env: { CHORUS_FAKE: fake } });

const startReady = async (t: TestContext, directory: string, fake = ""): Promise<RunningProcess> => {
  const running = start(t, directory, fake);
  await until("ready", () => {
    assert.equal(running.child.exitCode, null, running.stderr());
    return running.stdout().includes("\nready: ");
  });
  return running;
};

const order = (t: TestContext, directory: string, ...words: string[]) =>
  runScript(t, "server/main.ts", ["cluster", ...words, "--data", directory]);

const askPeer = async (directory: string, name: string): Promise<string> => {
  const peer = recordOf(directory).peers.find((entry) => entry.name === name);
  return (await fetch(`http://${peer?.host}:${peer?.httpPort}/`)).text();
};

/** A port of this machine that is taken until the test ends. */
const takePort = (t: TestContext): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer();
    t.after(() => server.close());
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    });
  });

test("one line per peer, a ready line, clean stop with exit code 0, and nothing left", async (t) => {
  const directory = tempDirectory(t);
  const running = await startReady(t, directory);
  const lines = running.stdout().split("\n");
  for (const [index, name] of ["a", "b", "c"].entries())
    assert.match(
      lines[index] ?? "",
      new RegExp(`^peer ${name}  pid \\d+  tcp 127\\.0\\.0\\.1:\\d+  http 127\\.0\\.0\\.1:\\d+  data .*/${name}$`),
    );
  assert.equal(lines[3], "ready: 3 peers take reads and writes. Try:");
  assert.match(running.stdout(), /chorus tui --data /);
  assert.match(running.stdout(), /chorus cluster kill c --data /);
  assert.match(await askPeer(directory, "a"), /"--fsync","always","--bootstrap"/, "all directories were empty");

  const pids = pidsOf(directory);
  running.child.kill("SIGINT");
  running.child.kill("SIGINT");
  assert.deepEqual(await running.ended, { code: 0, signal: null });
  assert(pids.length === 3 && !pids.some(isAlive));
  assert(!existsSync(join(directory, "cluster.json")) && !existsSync(join(directory, "control.sock")));
  assert.equal(running.stderr(), "");
});

test("orders reach the running cluster, which stays the parent", async (t) => {
  const directory = tempDirectory(t);
  const running = await startReady(t, directory);
  const [, pidOfB = 0] = pidsOf(directory);

  assert.deepEqual(await order(t, directory, "kill", "b"), {
    code: 0,
    stdout: "peer b killed (SIGKILL)\n",
    stderr: "",
  });
  assert(!isAlive(pidOfB));
  assert.match((await order(t, directory, "stop", "b")).stderr, /^chorus: peer b is not running\n$/);
  assert.match((await order(t, directory, "start", "b")).stdout, /^peer b started, pid \d+ {2}tcp /);
  assert.doesNotMatch(await askPeer(directory, "b"), /bootstrap/, "a peer started again is no new cluster");
  assert.match((await order(t, directory, "start", "b")).stderr, /^chorus: peer b is running already, pid \d+\n$/);
  assert.match((await order(t, directory, "pause", "b")).stdout, /paused \(SIGSTOP\)/);
  assert.match((await order(t, directory, "stop", "b")).stdout, /^peer b stopped\n$/, "a paused peer can be stopped");
  const unknown = await order(t, directory, "stop", "z");
  assert.deepEqual([unknown.code, unknown.stderr], [1, "chorus: there is no peer z; there are a, b, c\n"]);

  // Whoever did not order a death is told of it, and what to type.
  process.kill(pidsOf(directory)[0] ?? 0, "SIGKILL");
  await until("the news", () =>
    /peer a died: signal SIGKILL; start it again with: chorus cluster start a --data/.test(running.stdout()),
  );
  running.child.kill("SIGTERM");
  assert.equal((await running.ended).code, 0);
});

test("a peer that ends by itself is told of with its last words", async (t) => {
  const directory = tempDirectory(t);
  const running = await startReady(t, directory);
  const peer = recordOf(directory).peers[1];
  await fetch(`http://127.0.0.1:${peer?.httpPort}/end`).catch(() => undefined);
  await until("the news", () => running.stdout().includes("peer b died: stopped: the disk failed; start it again"));
});

test("a second cluster in the same directory is refused; a killed one's traces are not in the way", async (t) => {
  const directory = tempDirectory(t);
  const running = await startReady(t, directory);
  const second = await start(t, directory);
  assert.equal((await second.ended).code, 1);
  assert.match(second.stderr(), /^chorus: a cluster already runs in .* \(pid \d+\); stop it with Ctrl-C or kill \d+/);

  const pids = pidsOf(directory);
  running.child.kill("SIGKILL");
  await until("the orphans' end", () => !pids.some(isAlive));
  assert.match((await order(t, directory, "stop", "b")).stderr, /no cluster runs in/);
  const again = await startReady(t, directory);
  again.child.kill("SIGTERM");
  assert.equal((await again.ended).code, 0);
});

test("peers are told to bootstrap only when every directory is empty", async (t) => {
  const directory = tempDirectory(t);
  mkdirSync(join(directory, "c"));
  writeFileSync(join(directory, "c", "log"), "old");
  await startReady(t, directory);
  assert.doesNotMatch(await askPeer(directory, "a"), /bootstrap/);
});

test("stopped while it waits for peers to be ready, it stops", async (t) => {
  const directory = tempDirectory(t);
  const running = start(t, directory, "never-ready");
  await until("peers", () => running.stdout().includes("peer c"));
  running.child.kill("SIGTERM");
  assert.equal((await running.ended).code, 0);
  assert.doesNotMatch(running.stdout(), /ready:/);
});

describe("what keeps a cluster from starting gets one line, exit code 1, and leaves nothing running", () => {
  test("a peer that fails takes the others with it", async (t) => {
    const directory = tempDirectory(t);
    const { ended, stderr, stdout } = start(t, directory, "fail-b");
    assert.equal((await ended).code, 1);
    assert.equal(stderr(), "chorus: peer b did not start: the log is damaged; see docs\n");
    assert.doesNotMatch(stdout(), /ready:/);
    assert(!existsSync(join(directory, "cluster.json")));
    for (const name of ["a", "c"]) {
      const pid = /pid (\d+)/.exec(readFileSync(join(directory, `${name}.log`), "utf8"))?.[1];
      assert(pid === undefined || !isAlive(Number(pid)));
    }
  });

  test("a taken port, before any directory is made", async (t) => {
    const directory = join(tempDirectory(t), "data");
    const port = await takePort(t);
    const { code, stderr } = await runScript(t, "server/main.ts", [
      "up",
      "--count",
      "1",
      "--tcp",
      String(port),
      "--http",
      "0",
      "--data",
      directory,
    ]);
    assert.equal(code, 1);
    assert.equal(stderr, `chorus: port ${port} is taken on 127.0.0.1; choose others with --tcp\n`);
    assert(!existsSync(directory));
  });

  test("a gateway's port, when somebody asked for it, or the peers have the default ports too", async (t) => {
    const directory = join(tempDirectory(t), "data");
    const port = await takePort(t);
    const given = ["up", "--count", "1", "--tcp", "0", "--http", "0", "--data", directory];
    const taken = await runScript(t, "server/main.ts", [...given, "--gateway-tcp", String(port)]);
    assert.deepEqual(
      [taken.code, taken.stderr],
      [1, `chorus: port ${port} is taken on 127.0.0.1; choose another with --gateway-tcp, or --no-gateway\n`],
    );
    assert(!existsSync(directory));
    const overlap = await runScript(t, "server/main.ts", ["up", "--tcp", "7001", "--gateway-http", "7002"]);
    assert.equal(overlap.stderr, "chorus: --gateway-http 7002 is a peer's port too; choose another, or --no-gateway\n");
  });

  test("ports that overlap, or that there are none of", async (t) => {
    const overlap = await runScript(t, "server/main.ts", ["up", "--tcp", "7001", "--http", "7002"]);
    assert.deepEqual(
      [overlap.code, overlap.stderr],
      [2, "chorus: --tcp 7001 and --http 7002 with 3 peers both need port 7002\n"],
    );
    const beyond = await runScript(t, "server/main.ts", ["up", "--tcp", "65534"]);
    assert.match(beyond.stderr, /--tcp 65534 leaves no ports for 3 peers/);
  });

  test("a directory that cannot be written; those made on the way are unmade", async (t) => {
    const directory = tempDirectory(t);
    mkdirSync(join(directory, "data"));
    // A file where peer b's directory should be: even root cannot write below it.
    writeFileSync(join(directory, "data", "b"), "");
    const { code, stderr } = await runScript(t, "server/main.ts", [
      "up",
      "--tcp",
      "0",
      "--http",
      "0",
      "--data",
      join(directory, "data"),
    ]);
    assert.equal(code, 1);
    assert.match(stderr, /^chorus: cannot write below .*data: ENOTDIR[^\n]*\n$/);
    assert.deepEqual(readdirSync(join(directory, "data")), ["b"]);
  });
});
