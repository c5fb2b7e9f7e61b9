/** The whole program in a real terminal, against three real peers. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { projectRoot, tempDirectory, until } from "../support/processes.ts";
import { quickLinks, withCluster } from "../support/real-cluster.ts";
import { Tmux, tmuxMissing } from "./tmux.ts";

const skip = tmuxMissing() ?? false;
const node = process.execPath;
const main = join(projectRoot, "dist/server/main.js");

const buildDist = (): void => {
  const { status, stderr } = spawnSync(node, [join(projectRoot, "scripts/build.js")], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
};

/** A shell around it shows what the program leaves behind. */
const shell = (command: string): string =>
  `sh -c 'echo before; ${command}; echo "after: $?"; stty -a | grep -q " icanon" && echo cooked; exec sleep 60'`;

test("browse, edit, command; cut, write on both sides, heal, restore; kill the connected peer; quit", {
  skip,
}, async (t) => {
  await withCluster(t, { flags: ["--fault-links"], peerOptions: quickLinks }, async (cluster) => {
    const [a, b, c] = ["a", "b", "c"].map((name) => cluster.peer(name)) as [
      ReturnType<typeof cluster.peer>,
      ReturnType<typeof cluster.peer>,
      ReturnType<typeof cluster.peer>,
    ];
    for (const words of [
      ["SET", "config:app", '{"debug":true}'],
      ["SET", "session:1", "token", "PX", "900000"],
      ["SET", "evil\u001b[2J\u001b]0;pwned\u0007", "\u001b[31m\u0007"],
      ["SET", "visits", "41"],
      ...Array.from({ length: 20 }, (_, at) => ["SET", `user:${at}`, `person ${at}`]),
    ])
      await a.call(...words);

    const screen = new Tmux(t, {
      columns: 80,
      rows: 24,
      command: shell(`${node} ${main} tui 127.0.0.1:${a.httpPort}`),
    });
    await screen.shows(/at a 127\.0\.0\.1.*peers up 3\/3 +identical/);

    // Browse: the tree, a value as JSON, a key that would be obeyed.
    screen.press("2");
    await screen.shows(/config:app.*evil\\x1b\[2J\\x1b\]0;pwned.*▸ user: +20/s);
    await screen.shows(/"debug": true.*held by a disk +b disk +c disk/s);
    screen.press("G", "k", "Enter");
    await screen.shows(/▾ user:.* 0.* 19/s);

    // Edit: the time to live stays.
    screen.type("/session");
    await screen.shows(/─ session:1 ─.*ttl 1[45]:\d\d/s);
    screen.press("Escape");
    await screen.shows(/▾ user:/);
    screen.type("/session");
    await screen.shows(/─ session:1 ─/);
    screen.press("Enter", "e");
    await screen.shows(/Edit session:1/);
    screen.type("-2");
    screen.press("Enter");
    await screen.shows(/session:1 saved/);
    assert.equal(await b.call("GET", "session:1"), "token-2");
    assert(((await a.call("PTTL", "session:1")) as number) > 800_000);

    // A command.
    screen.press(":");
    screen.type("incr vis");
    screen.press("Tab");
    screen.press("Enter");
    await screen.shows(/> incr visits.*\(integer\) 42/s);
    screen.press("Escape");
    // What follows an ESC at once would belong to it.
    await screen.shows(/╭─ Keys/);

    // Cut c off from both, write on both sides, heal.
    screen.press("1", "Right", "c");
    await screen.shows(/a - c is cut/);
    screen.press("j", "c");
    await screen.shows(/b - c is cut/);
    await screen.shows(/cut from c/);
    await a.call("SET", "cart", "apples");
    await c.call("SET", "cart", "pears");
    await screen.shows(/cut from c \(1 op behind\)/);
    screen.press("h");
    await screen.shows(/b - c is healed/);
    screen.press("k", "h");
    await screen.shows(/a - c is healed/);
    await screen.shows(/peers up 3\/3 +identical/);

    // The conflict, and the way back.
    screen.press("4");
    await screen.shows(/cart.*winner +c.*pears.*apples/s);
    screen.press("r");
    await screen.shows(/Restore the loser.*apples/s);
    screen.press("y");
    await screen.shows(/restored/);
    await until("all show the loser", async () => (await c.call("GET", "cart")) === "apples");
    await screen.shows(/peers up 3\/3 +identical/);

    // The peer it is connected to dies.
    screen.slowestMs = 0;
    await a.kill();
    const seenMs = await screen.shows(/at (b|c) .*peers up 2\/3 +cut from a/);
    t.diagnostic(
      `failover and badge in ${Math.round(seenMs)} ms, a look takes up to ${Math.round(screen.slowestMs)} ms`,
    );
    // On a machine that takes a tenth of a second for a look, everything takes its time.
    assert(seenMs < 2000 + 20 * screen.slowestMs, `failover and badge in ${Math.round(seenMs)} ms`);
    screen.press(":");
    screen.type("get cart");
    screen.press("Enter");
    await screen.shows(/> get cart.*"apples"/s);
    await a.start();
    await screen.shows(/peers up 3\/3 +identical/);

    // Another size, and the end.
    screen.press("Escape");
    await screen.shows(/╭─ Conflicts/);
    screen.press("1");
    screen.resize(140, 40);
    await screen.shows(/version.*0\.1\.0.*Ops\/s/s);
    assert.equal(screen.ask("#{cursor_flag} #{alternate_on}"), "0 1");
    screen.press("q");
    await screen.shows(/before.*after: 0.*cooked/s);
    assert.equal(screen.ask("#{cursor_flag} #{alternate_on}"), "1 0");
  });
});

test("Ctrl-Z where nobody controls jobs goes on at once; SIGTERM gives the terminal back", { skip }, async (t) => {
  buildDist();
  const pidFile = join(tempDirectory(t), "pid");
  const screen = new Tmux(t, {
    columns: 80,
    rows: 24,
    // Nobody listens there: it goes on trying.
    command: shell(`sh -c "echo \\$\\$ > ${pidFile}; exec ${node} ${main} tui 127.0.0.1:1"`),
  });
  await screen.shows(/connecting/);
  screen.press("C-z");
  await until("it is on its screen again", () => screen.ask("#{alternate_on}") === "1");
  screen.press("?");
  await screen.shows(/╭─ Help/);
  process.kill(Number(readFileSync(pidFile, "utf8")), "SIGTERM");
  await screen.shows(/before.*after: 143.*cooked/s);
  assert.equal(screen.ask("#{cursor_flag} #{alternate_on}"), "1 0");
});

for (const [how, code] of [
  ["throw", 1],
  ["reject", 1],
  ["exit", 7],
] as const)
  test(`the terminal comes back when the program ends by ${how}`, { skip }, async (t) => {
    const program = join(projectRoot, "tests/tui/fake-crash.ts");
    const screen = new Tmux(t, {
      columns: 80,
      rows: 24,
      command: shell(`${node} --import ${import.meta.resolve("tsx")} ${program} ${how}`),
    });
    await screen.shows(/on the second screen/);
    assert.equal(screen.ask("#{cursor_flag} #{alternate_on}"), "0 1");
    screen.press("x");
    await screen.shows(new RegExp(`before.*${code === 1 ? "a bug.*" : ""}after: ${code}.*cooked`, "s"));
    assert.equal(screen.ask("#{cursor_flag} #{alternate_on}"), "1 0");
  });
