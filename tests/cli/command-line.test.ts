import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isAlive, runScript, startScript, tempDirectory, until } from "../support/processes.ts";

describe("what is typed wrong gets one line and exit code 2", () => {
  const cases: readonly (readonly [typed: readonly string[], line: RegExp])[] = [
    [["pee"], /^chorus: unknown command 'pee' \(did you mean peer\?\)$/],
    [["peer", "--tpc", "1"], /^chorus: unknown option '--tpc' \(did you mean --tcp\?\)$/],
    [["peer", "--tcp"], /^chorus: option '--tcp <PORT>' argument missing$/],
    [["peer", "b"], /^chorus: too many arguments for 'peer'/],
    [["peer", "--fsync", "perhaps"], /^chorus: flag --fsync: expected one of always, interval, never, got "perhaps"$/],
    [["up", "--count", "0"], /^chorus: flag --count: expected a whole number, 1 to 26, got "0"$/],
    [["up", "--acks", "3"], /^chorus: --acks 3 can never be met/],
    [["up", "--name", "x"], /^chorus: unknown option '--name'/],
    [["cluster", "halt", "b"], /^chorus: unknown command 'halt'/],
    [["status", "--peers", "nowhere"], /^chorus: flag --peers: expected host:port, got "nowhere"$/],
    [["inspect"], /^chorus: missing required argument 'DIR'$/],
  ];
  for (const [typed, line] of cases)
    test(`chorus ${typed.join(" ")}`, async (t) => {
      const { code, stdout, stderr } = await runScript(t, "server/main.ts", typed, { cwd: tempDirectory(t) });
      assert.equal(code, 2);
      assert.equal(stdout, "");
      assert.match(stderr.trimEnd(), line);
    });
});

test("help begins with examples, everywhere", async (t) => {
  const data = [
    ["get"],
    ["set"],
    ["del"],
    ["incr"],
    ["scan"],
    ["watch"],
    ["conflicts"],
    ["backup"],
    ["restore"],
    ["export"],
    ["import"],
  ];
  const all = [[], ["peer"], ["up"], ["status"], ["inspect"], ["cluster"], ...data];
  const shown = await Promise.all(all.map((words) => runScript(t, "server/main.ts", [...words, "--help"])));
  for (const [index, { code, stdout }] of shown.entries()) {
    assert.equal(code, 0);
    assert.match(stdout, /^Examples:\n {2}\S/, all[index]?.join(" "));
  }
  assert.match(shown[1]?.stdout ?? "", /--max-clock-skew <MS>/);
  assert.doesNotMatch(shown[2]?.stdout ?? "", /--advertise/);
});

test("--version is that of the package; --print-config shows values and sources", async (t) => {
  const [version, printed] = await Promise.all([
    runScript(t, "server/main.ts", ["--version"]),
    runScript(t, "server/main.ts", ["peer", "--tcp", "7001", "--print-config"], { env: { CHORUS_ACKS: "0" } }),
  ]);
  assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);
  assert.match(printed.stdout, /^tcp +7001 +flag --tcp$/m);
  assert.match(printed.stdout, /^acks +0 +environment CHORUS_ACKS$/m);
});

test("orders without a cluster are told so", async (t) => {
  const { code, stderr } = await runScript(t, "server/main.ts", ["cluster", "stop", "b"], { cwd: tempDirectory(t) });
  assert.equal(code, 1);
  assert.match(
    stderr,
    /^chorus: no cluster runs in data; start one with npm start, or name its directory with --data\n$/,
  );
});

describe("a peer's process", () => {
  const flags = ["peer", "--tcp", "0", "--http", "0"];
  const isServing = (running: { stdout(): string }) => () => running.stdout().includes("ready: peer a");

  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    test(`stops cleanly on ${signal}, though it comes twice at once`, async (t) => {
      const running = startScript(t, "tests/cli/fake-peer.js", flags);
      await until("ready", isServing(running));
      running.child.kill(signal);
      running.child.kill(signal);
      assert.deepEqual(await running.ended, { code: 0, signal: null });
      assert.equal(running.stderr(), "");
    });

  test("a second signal ends one that does not stop", async (t) => {
    const running = startScript(t, "tests/cli/fake-peer.js", flags, { env: { CHORUS_FAKE: "stubborn-a" } });
    await until("ready", isServing(running));
    await until("the end", () => {
      running.child.kill("SIGTERM");
      return running.child.exitCode !== null;
    });
    assert.equal((await running.ended).code, 1);
    assert.match(running.stderr(), /^chorus: peer a stopped at once by a second signal\n$/);
  });

  test("one that cannot start says why in one line", async (t) => {
    const { code, stderr } = await runScript(t, "tests/cli/fake-peer.js", flags, { env: { CHORUS_FAKE: "fail-a" } });
    assert.equal(code, 1);
    assert.equal(stderr, "chorus: peer a: the log is damaged; see docs\n");
  });

  test("a bug is logged with its stack, and the last line says it in words", async (t) => {
    const { code, stderr } = await runScript(t, "tests/cli/fake-peer.js", flags, { env: { CHORUS_FAKE: "crash-a" } });
    const [logged = "", line] = stderr.trimEnd().split("\n");
    assert.equal(code, 1);
    assert.match((JSON.parse(logged) as { err: { stack: string } }).err.stack, /a bug\n +at /);
    assert.equal(line, "chorus: peer a stopped: a bug");
  });

  test("--heap-mb starts node again with that heap; signals and exit codes pass through", async (t) => {
    const running = startScript(t, "tests/cli/fake-peer.js", [...flags, "--heap-mb", "300"]);
    await until("ready", isServing(running));
    const pid = Number(/pid (\d+)/.exec(running.stdout())?.[1]);
    const http = /http (\S+)/.exec(running.stdout())?.[1];
    assert.notEqual(pid, running.child.pid);
    assert.match(await (await fetch(`http://${http}/`)).text(), /--max-old-space-size=300/);
    running.child.kill("SIGTERM");
    assert.equal((await running.ended).code, 0);
    assert(!isAlive(pid));
  });

  test("it ends with the parent that had opened a channel to it", async (t) => {
    const running = startScript(t, "tests/cli/fake-peer.js", [...flags, "--heap-mb", "300"]);
    await until("ready", isServing(running));
    const pid = Number(/pid (\d+)/.exec(running.stdout())?.[1]);
    running.child.kill("SIGKILL");
    await until("the peer's end", () => !isAlive(pid));
  });
});
