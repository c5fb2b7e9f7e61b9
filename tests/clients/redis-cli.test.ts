/** redis-cli and redis-benchmark, as people run them. */
import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type PeerForTest, startPeerForTest } from "../support/peer-for-test.ts";
import { until } from "../support/processes.ts";
import { encodeCommand, missingProgram } from "../support/redis-process.ts";

const skip = missingProgram("redis-cli") ?? false;
const programMs = 20_000;

interface Finished {
  readonly code: number | null;
  readonly out: string;
}

/** Runs a program to its end; `until` ends it as soon as its output has what was waited for. */
const run = (program: string, given: readonly string[], input?: string | Buffer, until?: RegExp): Promise<Finished> =>
  new Promise((resolve, reject) => {
    const child: ChildProcessWithoutNullStreams = spawn(program, given);
    let out = "";
    const deadline = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`${program} ${given.join(" ")} did not end; it said: ${out}`));
    }, programMs);
    const take = (chunk: Buffer): void => {
      out += chunk.toString("latin1");
      if (until?.test(out)) child.kill("SIGKILL");
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(deadline);
      resolve({ code, out });
    });
    child.stdin.on("error", () => {});
    child.stdin.end(input ?? "");
  });

const noTmux = missingProgram("tmux", "-V") ?? false;
const screenMs = 10_000;

/** A program in a terminal of 100 by 50, by a tmux server of its own. */
class Terminal {
  readonly #directory = mkdtempSync(join(tmpdir(), "chorus-tmux-"));

  constructor(command: readonly string[]) {
    this.#tmux("new-session", "-d", "-x", "100", "-y", "50", ...command);
  }

  #tmux(...given: readonly string[]): string {
    const env = { ...process.env, REDISCLI_HISTFILE: "/dev/null", REDISCLI_RCFILE: "/dev/null" };
    const { stdout } = spawnSync("tmux", ["-S", join(this.#directory, "socket"), "-f", "/dev/null", ...given], {
      encoding: "utf8",
      env,
    });
    return stdout;
  }

  type(text: string): void {
    for (const part of text.split(/(\n)/)) {
      if (part !== "") this.#tmux("send-keys", ...(part === "\n" ? ["Enter"] : ["-l", part]));
    }
  }

  async waitFor(wanted: RegExp): Promise<void> {
    let shown = "";
    await until(
      `${wanted} on the screen`,
      () => {
        shown = this.#tmux("capture-pane", "-p");
        return wanted.test(shown);
      },
      screenMs,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}:\n${shown}`);
    });
  }

  close(): void {
    this.#tmux("kill-server");
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

describe("redis-cli", { skip }, () => {
  let peer: PeerForTest;
  before(async () => {
    peer = await startPeerForTest();
  });
  after(async () => {
    await peer.stop();
  });
  const cli = (given: readonly string[], input?: string | Buffer, until?: RegExp): Promise<Finished> =>
    run("redis-cli", ["-p", String(peer.port), ...given], input, until);

  test("runs one command, in RESP2 and in RESP3", async () => {
    assert.deepEqual(await cli(["SET", "a", "10"]), { code: 0, out: "OK\n" });
    assert.deepEqual(await cli(["GET", "a"]), { code: 0, out: "10\n" });
    assert.deepEqual(await cli(["-3", "GET", "a"]), { code: 0, out: "10\n" });
    assert.deepEqual(await cli(["DELETE", "a"]), { code: 0, out: "1\n" });
    assert.deepEqual(await cli(["-n", "0", "DBSIZE"]), { code: 0, out: "0\n" });
    assert.match((await cli(["--no-raw", "PEERS"])).out, /^1\) +1\) "name"\n +2\) "a"/);
  });

  test("reads commands from its input", async () => {
    const { out } = await cli([], "SET b 2\nINCR b\nGET b\nNOSUCH\n");
    assert.match(out, /^OK\n3\n3\nERR unknown command 'NOSUCH'/);
  });

  test("shows hints and help for our own commands in its REPL", { skip: noTmux }, async () => {
    const screen = new Terminal(["redis-cli", "-p", String(peer.port)]);
    try {
      await screen.waitFor(/127\.0\.0\.1:\d+>/);
      screen.type("TRACE ");
      await screen.waitFor(/> TRACE key/);
      screen.type("x\n");
      await screen.waitFor(/\(nil\)/);
      screen.type("CONFLICTS ");
      await screen.waitFor(/> CONFLICTS \[\[key\] \[COUNT count\]\|RESTORE id\]/);
      screen.type("city\n");
      await screen.waitFor(/\(empty array\)/);
      screen.type("help delete\n");
      await screen.waitFor(/DELETE key \[key \.\.\.\]\n +summary: Deletes keys and answers how many/);
      screen.type("help @replication\n");
      await screen.waitFor(/DIFF peer\n +summary: Compares this peer's map/);
    } finally {
      screen.close();
    }
  });

  test("--stat prints its figures", async () => {
    const { out } = await cli(["--stat", "-i", "0.05"], undefined, /\n\d+ +\S+ +\d+ +\d+ .*\n/);
    assert.match(out, /keys +mem +clients/);
    assert.match(out, /\n\d+ +[\d.]+[BKMG] +\d+/);
  });

  test("--scan, --bigkeys and --memkeys walk through the keys", async () => {
    await cli(["MSET", "big:1", "x".repeat(1000), "big:2", "y", "small", "z"]);
    const scanned = await cli(["--scan", "--pattern", "big:*"]);
    assert.deepEqual(scanned.out.trim().split("\n").sort(), ["big:1", "big:2"]);
    const bigKeys = await cli(["--bigkeys"]);
    assert.equal(bigKeys.code, 0, bigKeys.out);
    assert.match(bigKeys.out, /Biggest string found .*big:1.* has 1000 bytes/);
    const memKeys = await cli(["--memkeys"]);
    assert.equal(memKeys.code, 0, memKeys.out);
    assert.match(memKeys.out, /Biggest string found .*big:1/);
  });

  test("--pipe loads thousands of commands", async () => {
    const count = 5000;
    const commands = Array.from({ length: count }, (_, index) =>
      encodeCommand(["SET", `pipe:${index}`, `\0\xff${index}`]),
    );
    const { code, out } = await cli(["--pipe"], Buffer.from(commands.join(""), "latin1"));
    assert.equal(code, 0, out);
    assert.match(out, new RegExp(`errors: 0, replies: ${count}`));
    assert.equal((await cli(["--no-raw", "GET", `pipe:${count - 1}`])).out, `"\\x00\\xff${count - 1}"\n`);
  });

  test("--latency measures", async () => {
    const { out } = await cli(["--latency", "-i", "1"], undefined, /\d+ \d+ \d+\.\d+ \d+/);
    assert.match(out, /\d+ \d+ \d+\.\d+ \d+/);
  });

  test("slowlog get shows commands, latency histogram their times", async () => {
    await cli(["CONFIG", "SET", "slowlog-log-slower-than", "0"]);
    await cli(["SET", "slow", "value"]);
    const { out } = await cli(["--no-raw", "SLOWLOG", "GET", "1"]);
    assert.match(
      out,
      /^1\) 1\) \(integer\) \d+\n {3}2\) \(integer\) \d+\n {3}3\) \(integer\) \d+\n {3}4\) 1\) "SET"\n {6}2\) "slow"\n {6}3\) "value"\n {3}5\) "127\.0\.0\.1:\d+"\n {3}6\) ""\n$/,
    );
    await cli(["CONFIG", "SET", "slowlog-log-slower-than", "10000"]);
    const histogram = await cli(["--no-raw", "LATENCY", "HISTOGRAM", "set"]);
    assert.match(histogram.out, /"set"[\s\S]*"calls"[\s\S]*"histogram_usec"/);
  });

  test("logs in with a password", async () => {
    const guarded = await startPeerForTest({ password: "secret-long-enough" });
    try {
      const given = ["-p", String(guarded.port)];
      assert.match((await run("redis-cli", [...given, "GET", "a"])).out, /NOAUTH Authentication required/);
      assert.equal(
        (await run("redis-cli", [...given, "-a", "secret-long-enough", "--no-auth-warning", "SET", "a", "1"])).out,
        "OK\n",
      );
      assert.match(
        (await run("redis-cli", [...given, "-a", "wrong", "--no-auth-warning", "GET", "a"])).out,
        /WRONGPASS/,
      );
    } finally {
      await guarded.stop();
    }
  });
});

describe("redis-benchmark", { skip: missingProgram("redis-benchmark") ?? false }, () => {
  test("runs ping, set, get, incr and mset, pipelined and not, without a warning", async () => {
    const peer = await startPeerForTest();
    try {
      for (const pipeline of ["1", "16"]) {
        const { code, out } = await run("redis-benchmark", [
          ...[
            "-p",
            String(peer.port),
            "-t",
            "ping,set,get,incr,mset",
            "-n",
            "2000",
            "-c",
            "10",
            "-P",
            pipeline,
            "-r",
            "1000",
          ],
          "--csv",
        ]);
        assert.equal(code, 0, out);
        for (const name of ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET \\(10 keys\\)"]) {
          assert.match(out, new RegExp(`"${name}","\\d+`));
        }
        assert.doesNotMatch(out, /WARNING|rror/);
      }
    } finally {
      await peer.stop();
    }
  });
});
