/** The loop around the model: how often it paints, what it lets through, how it ends. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { ClusterChange, ClusterListener, CommandResult } from "../../client-tui/cluster.ts";
import { readKeys } from "../../client-tui/input/keys.ts";
import type { TerminalListener } from "../../client-tui/terminal/terminal.ts";
import { until } from "../support/processes.ts";
import { addressOf, reportOf } from "./model-driver.ts";

process.env["NODE_ENV"] = "production";
const { runProgram } = await import("../../client-tui/program.ts");

const start = ({ readOnly = false }: { readonly readOnly?: boolean } = {}) => {
  const writes: string[] = [];
  const asked: string[] = [];
  let keys: TerminalListener | undefined;
  let cluster: ClusterListener | undefined;
  const state = { isClusterOpen: true, isTerminalOpen: true };
  const ended = runProgram({
    readOnly,
    colors: false,
    openTerminal: (listener) => {
      keys = listener;
      return {
        size: { columns: 100, rows: 30 },
        write: (text) => void writes.push(text),
        suspend: () => undefined,
        close: () => {
          state.isTerminalOpen = false;
        },
      };
    },
    openCluster: (listener) => {
      cluster = listener;
      return {
        command: async (words): Promise<CommandResult> => {
          asked.push(words.join(" "));
          return { ok: true, reply: words[0] === "SCAN" ? ["0", ["a", "b"]] : null };
        },
        close: () => {
          state.isClusterOpen = false;
        },
      };
    },
  });
  assert(keys !== undefined && cluster !== undefined);
  const { onKeys } = keys;
  return { writes, asked, cluster, state, ended, type: (text: string) => onKeys(readKeys(text, true).keys) };
};

const connected = (options?: Parameters<typeof start>[0]) => {
  const program = start(options);
  program.cluster.onConnected({ name: "a", address: addressOf("a"), cluster: "demo", version: "0.1.0" });
  for (const name of ["a", "b", "c"]) program.cluster.onStatus(addressOf(name), reportOf(name));
  return program;
};

test("however fast changes come, ten frames a second at most; a key is seen at once", async () => {
  const { writes, cluster, type, ended } = connected();
  type("3");
  await until("the first frame", () => writes.length > 0);
  const change = (at: number): ClusterChange => ({
    type: "set",
    key: `k${at}`,
    expiresAtMs: undefined,
    origin: "b.x",
    stampMs: Date.now(),
    receivedAtMs: Date.now(),
  });
  const before = writes.length;
  const startedMs = performance.now();
  for (let at = 0; performance.now() - startedMs < 1000; at++) {
    cluster.onChanges([change(at), change(at + 0.5)], 400);
    await delay(2);
  }
  const tookMs = performance.now() - startedMs;
  const frames = writes.length - before;
  assert(frames >= 2, `${frames} frames`);
  assert(frames <= tookMs / 100 + 1, `${frames} frames in ${Math.round(tookMs)} ms`);
  const painted = writes.length;
  type("?");
  await until("the help", () => writes.slice(painted).some((text) => text.includes("Help")), 5000);
  type("?q");
  await ended;
});

test("quitting closes the cluster and the terminal, once, and nothing is painted after", async () => {
  const { writes, cluster, state, type, ended } = connected();
  await until("the first frame", () => writes.length > 0);
  type("q");
  await ended;
  assert.deepEqual(state, { isClusterOpen: false, isTerminalOpen: false });
  const painted = writes.length;
  // Another one, told the same after it, paints: by then this one would have, too.
  const other = connected();
  await until("the other's first frame", () => other.writes.length > 0);
  const before = other.writes.length;
  cluster.onDisconnected("late");
  other.cluster.onDisconnected("late");
  await until("the other paints it", () => other.writes.length > before);
  assert.equal(writes.length, painted);
  other.type("q");
  await other.ended;
});

test("what is hopeless ends it with its reason", async () => {
  const { cluster, state, ended } = start();
  cluster.onHopeless("invalid password");
  await assert.rejects(ended, /invalid password/);
  assert.equal(state.isTerminalOpen, false);
});

test("read-only holds at the last gate too: only what changes nothing is sent", async () => {
  const { asked, type, ended } = connected({ readOnly: true });
  await until("the list is read", () => asked.some((line) => line.startsWith("SCAN")));
  type("2e\u0004y:set a 1\rget a\r");
  await until("the read is sent", () => asked.includes("get a"));
  assert.deepEqual(
    asked.filter((line) => !/^(SCAN|GETRANGE|STRLEN|PTTL|TRACE|get) /.test(line)),
    [],
  );
  type("\u001b");
  type("\u001b");
  type("q");
  await ended;
});

test("a value goes to the clipboard as base64, never as it is", async () => {
  const { writes, type, ended, asked } = connected();
  await until("the list is read", () => asked.some((line) => line.startsWith("SCAN")));
  type("2y");
  await until("the copy", () => writes.includes(`\u001b]52;c;${Buffer.from("a").toString("base64")}\u0007`));
  type("q");
  await ended;
});
