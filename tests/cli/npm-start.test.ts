import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { ClusterRecord } from "../../server/cli/cluster/control.ts";
import { isAlive, projectRoot, tempDirectory, until } from "../support/processes.ts";
import { RespClient } from "../support/resp-client.ts";

test("npm start runs real peers and a gateway; status calls the peers identical; a signal to npm stops all, exit code 0", async (t) => {
  const directory = join(tempDirectory(t), "data");
  const npm = spawn("npm", ["start", "--", "--count", "2", "--data", directory, "--tcp", "0", "--http", "0"], {
    cwd: projectRoot,
    detached: true,
  });
  let out = "";
  for (const stream of [npm.stdout, npm.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => {
      out += text;
    });
  const ended = new Promise<number | null>((resolve) => npm.on("close", resolve));
  t.after(async () => {
    // The whole group: what npm started has its pipes, so that `close` would wait for it.
    try {
      process.kill(-(npm.pid ?? assert.fail()), "SIGKILL");
    } catch {
      // Nobody is left of it.
    }
    await ended;
  });
  // It may have to build first.
  const readyMs = 90_000;
  await until(
    "ready",
    () => {
      assert.equal(npm.exitCode, null, out);
      return out.includes("\nready: 2 peers take reads and writes");
    },
    readyMs,
  );
  const { peers, pid, gateway } = JSON.parse(readFileSync(join(directory, "cluster.json"), "utf8")) as ClusterRecord;
  t.after(() => {
    if (isAlive(pid)) process.kill(pid, "SIGTERM");
  });
  const main = join(projectRoot, "dist/server/main.js");
  const status = () => spawnSync(process.execPath, [main, "status", "--data", directory], { encoding: "utf8" });
  await until("identical", () => status().status === 0);
  assert.match(status().stdout, /^identical: 2 peers, 0 keys/m);

  assert(gateway !== undefined && gateway.pid !== null);
  const answer = await fetch(`http://127.0.0.1:${gateway.httpPort}/readyz`);
  assert.equal(await answer.text(), "ok\n");
  const client = await RespClient.connect({ port: gateway.tcpPort });
  assert.equal(await client.call("PING"), "PONG");
  client.close();
  const order = (...words: readonly string[]) =>
    spawnSync(process.execPath, [main, "cluster", ...words, "--data", directory], { encoding: "utf8" }).stdout;
  assert.equal(order("kill", "gateway"), "gateway killed (SIGKILL)\n");
  assert.match(order("start", "gateway"), /^gateway started, pid \d+ {2}tcp /);

  npm.kill("SIGTERM");
  assert.equal(await ended, 0, out);
  assert(!isAlive(gateway.pid) && !isAlive(pid) && !peers.some((peer) => peer.pid !== null && isAlive(peer.pid)));
  assert(!existsSync(join(directory, "cluster.json")));
});
