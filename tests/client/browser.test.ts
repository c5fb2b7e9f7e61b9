/** The client as a browser runs it: bundled, without Node's globals, over the built-in WebSocket. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createContext, runInContext } from "node:vm";
import { WebSocket } from "ws";
import type { connect as Connect } from "../../protocol/client.ts";
import { projectRoot } from "../support/processes.ts";
import { type FakePeer, startFakePeers } from "./fake-peer.ts";

/** Comes with tsx. */
const bundler = join(projectRoot, "node_modules/.bin/esbuild");

/** What the platform has. Its constructor takes no options, and it cannot ping. */
class BrowserWebSocket extends WebSocket {
  constructor(url: string) {
    super(url);
  }
  override ping(): void {
    throw new Error("a browser cannot ping");
  }
  override terminate(): void {
    throw new Error("a browser cannot terminate");
  }
}

const platform = {
  WebSocket: BrowserWebSocket,
  AbortController,
  TextDecoder,
  TextEncoder,
  URL,
  atob,
  btoa,
  clearInterval,
  clearTimeout,
  crypto,
  performance,
  queueMicrotask,
  setInterval,
  setTimeout,
};

test("bundled for a browser it needs nothing of Node, and fails over there too", async (t) => {
  if (!existsSync(bundler)) return t.skip("there is no esbuild");
  const flags = ["--bundle", "--platform=browser", "--format=iife", "--global-name=chorus", "--log-level=warning"];
  const bundle = spawnSync(bundler, ["protocol/client.ts", ...flags], { cwd: projectRoot, encoding: "utf8" });
  assert.equal(bundle.status, 0, bundle.stderr);
  assert.doesNotMatch(bundle.stdout, /require\("node:|from "node:/);
  t.diagnostic(`${Math.round(bundle.stdout.length / 1024)} KiB, not minified`);
  const context = createContext({ ...platform });
  runInContext(bundle.stdout, context);
  const { connect } = (context as { chorus: { connect: typeof Connect } }).chorus;

  const peers = await startFakePeers(t, 2);
  const [a, b] = peers as [FakePeer, FakePeer];
  const kv = await connect(peers.map(({ address }) => address));
  t.after(() => kv.close());
  assert.equal(await kv.set("k", "1"), true);
  a.isSilent = true;
  // Found by asking PING, since it cannot ping.
  assert.equal(await kv.get("k", { timeoutMs: 20_000 }), "1");
  assert.equal(kv.state.kind === "connected" && kv.state.peer, "b");
  assert(a.commands.includes("PING"));
  b.history.write("set", "k2", "v");
  for await (const change of kv.watch("", { token: "" })) {
    if (change.type === "set" && change.key === "k2") break;
  }
});
