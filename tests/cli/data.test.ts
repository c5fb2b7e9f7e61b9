import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type Client, connect } from "../../protocol/client.ts";
import { type PeerForTest, startPeerForTest } from "../support/peer-for-test.ts";
import { build, projectRoot, runScript, startScript, tempDirectory, until } from "../support/processes.ts";

const main = "server/main.ts";
/** Compiled: many short runs. */
const compiled = "dist/server/main.js";

describe("data commands", () => {
  let peer: PeerForTest;
  let kv: Client;
  let peers: string;
  before(async () => {
    build();
    peer = await startPeerForTest();
    // The first of the list is not there: one that is down does no harm.
    peers = `127.0.0.1:1,x=127.0.0.1:${peer.httpPort}`;
    kv = await connect(`127.0.0.1:${peer.httpPort}`);
  });
  after(async () => {
    await kv.close();
    await peer.stop();
  });

  /** With bytes in and out. */
  const run = (given: readonly string[], input?: Uint8Array): Promise<{ code: number; out: Buffer; err: string }> =>
    new Promise((resolve) => {
      const [command = "", ...rest] = given;
      const child = spawn(process.execPath, [compiled, command, "--peers", peers, ...rest], { cwd: projectRoot });
      const out: Buffer[] = [];
      let err = "";
      child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        err += text;
      });
      child.stdin.end(input);
      child.on("close", (code) => resolve({ code: code ?? -1, out: Buffer.concat(out), err }));
    });

  test("bytes go in from standard input and files, and come out as they were", async (t) => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    assert.deepEqual(await run(["set", "photo", "-"], bytes), { code: 0, out: Buffer.alloc(0), err: "" });
    assert.deepEqual((await run(["get", "photo"])).out, bytes);
    const json = JSON.parse((await run(["get", "photo", "--json"])).out.toString()) as unknown;
    assert.deepEqual(json, { key: "photo", value: { base64: bytes.toString("base64") } });
    const file = join(tempDirectory(t), "value");
    writeFileSync(file, "from a file");
    await run(["set", "k", `@${file}`]);
    assert.equal(await kv.get("k"), "from a file");
    await run(["set", "k", "@@home", "--ex", "60"]);
    assert.equal(await kv.get("k"), "@home");
    assert(((await kv.ttl("k")) ?? 0) > 1000);
  });

  test("exit codes: done, absent, wrong usage, not done", async () => {
    const cases: readonly (readonly [given: readonly string[], code: number, out: string, err: RegExp])[] = [
      [["set", "e", "1", "--nx"], 0, "", /^$/],
      [["set", "e", "1", "--nx"], 1, "", /^$/],
      [["get", "e"], 0, "1", /^$/],
      [["get", "nothing"], 1, "", /^$/],
      [["get", "nothing", "--json"], 1, '{"key":"nothing","value":null}\n', /^$/],
      [["incr", "e", "--by", "-3"], 0, "-2\n", /^$/],
      [["del", "e", "nothing"], 0, "1\n", /^$/],
      [["del", "e"], 1, "0\n", /^$/],
      [["set", "e", "x"], 0, "", /^$/],
      [["incr", "e"], 3, "", /^chorus: ERR: value is not an integer/],
      [["incr", "e", "--by", "x"], 2, "", /^chorus: flag --by: expected a whole number/],
      [["set", "e", "1", "--nx", "--xx"], 2, "", /^chorus: option '--nx' cannot be used with option '--xx'/],
      [["set", "e", "@/no/such/file"], 2, "", /^chorus: ENOENT/],
      [["scan", "a", "--match", "b"], 2, "", /^chorus: a prefix and --match exclude each other/],
      [["conflicts", "--restore", "none"], 3, "", /^chorus: ERR: no such conflict/],
    ];
    for (const [given, code, out, err] of cases) {
      const ended = await run(given);
      assert.equal(ended.code, code, `${given.join(" ")}: ${ended.err}`);
      assert.equal(ended.out.toString(), out, given.join(" "));
      assert.match(ended.err, err);
    }
  });

  test("nobody there is exit code 3, at once, and says who was asked", async (t) => {
    const { code, stderr } = await runScript(t, main, ["get", "k", "--peers", "127.0.0.1:1"]);
    assert.equal(code, 3);
    assert.match(stderr, /^chorus: UNREACHABLE: no peer reached \(127\.0\.0\.1:1: .*ECONNREFUSED.*\)\n$/);
  });

  test("scan prints keys by prefix and pattern, for people, programs and xargs", async () => {
    await kv.mset({ "s:1": "v", "s:2": "v", "s:\n": "v" });
    const lines = (out: Buffer, end: string): string[] => out.toString().split(end).slice(0, -1).sort();
    assert.deepEqual(lines((await run(["scan", "s:", "--null"])).out, "\0"), ["s:\n", "s:1", "s:2"]);
    assert.deepEqual(lines((await run(["scan", "--match", "s:[12]"])).out, "\n"), ["s:1", "s:2"]);
    assert.deepEqual(lines((await run(["scan", "s:", "--json"])).out, "\n"), [
      '{"key":"s:1"}',
      '{"key":"s:2"}',
      '{"key":"s:\\n"}',
    ]);
    assert.equal(lines((await run(["scan", "s:", "--null", "--limit", "2"])).out, "\0").length, 2);
  });

  test("watch prints changes, goes on from a token, and ends well by Ctrl-C", async (t) => {
    const watching = startScript(t, main, ["watch", "w:", "--peers", peers, "--json", "--token", ""]);
    await kv.set("w:1", "\u001b[31mred");
    await until("the change", () => watching.stdout().includes("\n"));
    watching.child.kill("SIGINT");
    assert.deepEqual(await watching.ended, { code: 0, signal: null });
    const change = JSON.parse(watching.stdout().split("\n")[0] ?? "") as Record<string, unknown>;
    assert.deepEqual([change["type"], change["key"], change["value"]], ["set", "w:1", "\u001b[31mred"]);
    await kv.mset({ "w:2": "v", "w:3": "v" });
    const token = String(change["token"]);
    const { code, out } = await run(["watch", "w:", "--token", token, "--count", "2"]);
    assert.equal(code, 0);
    assert.match(out.toString(), /^\S+Z set w:2 = v \(a:\d+\)\n\S+Z set w:3 = v \(a:\d+\)\n$/);
    const again = await run(["watch", "w:", "--token", "", "--count", "1"]);
    assert.match(again.out.toString(), /set w:1 = \\x1b\[31mred/, "control characters are shown, never sent");
  });

  test("a reader that leaves is no failure", async () => {
    await kv.mset(Array.from({ length: 20_000 }, (_, index) => [`many:${index}`, "v"] as const));
    const child = spawn(
      "sh",
      ["-c", '"$@" 2>&1 | head -1', "sh", process.execPath, compiled, "scan", "many:", "--peers", peers],
      { cwd: projectRoot },
    );
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    await new Promise((resolve) => child.on("close", resolve));
    assert.match(said, /^many:\d+\n$/);
  });
});

test("the password comes from a file", async (t) => {
  const peer = await startPeerForTest({ password: "correct hørse" });
  try {
    const file = join(tempDirectory(t), "password");
    writeFileSync(file, "correct hørse\n", { mode: 0o600 });
    const given = ["set", "k", "v", "--peers", `127.0.0.1:${peer.httpPort}`];
    assert.equal((await runScript(t, main, [...given, "--password-file", file])).code, 0);
    assert.equal((await runScript(t, main, given, { env: { CHORUS_PASSWORD_FILE: file } })).code, 0);
    const { code, stderr } = await runScript(t, main, given);
    assert.equal(code, 3);
    assert.match(stderr, /^chorus: NOAUTH: /);
  } finally {
    await peer.stop();
  }
});
