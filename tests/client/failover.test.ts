import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, test } from "node:test";
import { type Client, connect } from "../../protocol/client.ts";
import { until } from "../support/processes.ts";
import { connectTo, failure } from "./client-for-test.ts";
import { type FakePeer, startFakePeers } from "./fake-peer.ts";

const at = (kv: Client): string => (kv.state.kind === "connected" ? kv.state.peer : kv.state.kind);

/** Not measured: a bound that a machine under load keeps too. */
const soonMs = 10_000;

describe("where a client goes", () => {
  test("to the first of the list, and to the next when that one dies", async (t) => {
    const peers = await startFakePeers(t, 3);
    const [a, b] = peers as [FakePeer, FakePeer];
    const kv = await connectTo(t, peers);
    assert.equal(at(kv), "a");
    await kv.set("k", "1");
    await a.kill();
    assert.equal(await kv.get("k"), "1");
    assert.equal(at(kv), "b");
    assert.equal(b.commands.length, 1);
  });

  test("within a second when it hangs", async (t) => {
    const peers = await startFakePeers(t, 2);
    const [a] = peers as [FakePeer];
    const kv = await connectTo(t, peers);
    await kv.set("k", "1");
    a.isSilent = true;
    const startedAtMs = performance.now();
    assert.equal(await kv.get("k", { timeoutMs: soonMs }), "1");
    t.diagnostic(`took ${Math.round(performance.now() - startedAtMs)} ms`);
    assert.equal(at(kv), "b");
  });

  test("to one that answers, while others take connections and say nothing", async (t) => {
    const peers = await startFakePeers(t, 3);
    const [a, b] = peers as [FakePeer, FakePeer];
    a.isSilent = true;
    b.isSilent = true;
    const kv = await connectTo(t, peers);
    assert.equal(at(kv), "c");
  });

  test("to peers it was only told of", async (t) => {
    const [a, b] = (await startFakePeers(t, 2)) as [FakePeer, FakePeer];
    a.told = [
      { name: "a", address: a.address },
      { name: "b", address: b.address },
    ];
    const kv = await connectTo(t, [a]);
    await a.kill();
    await kv.set("k", "1");
    assert.equal(at(kv), "b");
  });

  test("nowhere else when it shall not", async (t) => {
    const [a, b] = (await startFakePeers(t, 2)) as [FakePeer, FakePeer];
    a.told = [{ name: "b", address: b.address }];
    const kv = await connectTo(t, [a], { discover: false });
    await a.kill();
    const error = await failure(kv.get("k", { timeoutMs: 300 }));
    assert.equal(error.code, "UNREACHABLE");
    assert.match(error.message, /ECONNREFUSED/);
    assert.equal(b.received.length, 0);
  });

  test("it comes back to the only one there is, and tells its state", async (t) => {
    const [a] = (await startFakePeers(t, 1)) as [FakePeer];
    const states: string[] = [];
    const kv = await connectTo(t, [a], { onState: (state) => states.push(state.kind) });
    await a.kill();
    const waiting = kv.get("k", { timeoutMs: soonMs });
    await a.start();
    assert.equal(await waiting, null);
    await kv.close();
    assert.equal(states[0], "connected");
    assert.equal(states.at(-1), "closed");
    assert(states.includes("connecting"));
  });
});

describe("what was seen stays seen", () => {
  test("the next peer is told the position, and one that is behind is left for another", async (t) => {
    const peers = await startFakePeers(t, 3);
    const [a, b, c] = peers as [FakePeer, FakePeer, FakePeer];
    const kv = await connectTo(t, peers, { staleAfterMs: 100 });
    await kv.set("k", "1");
    b.intercept = (request, answer) => {
      if (request.type !== "command") return false;
      answer({
        type: "error",
        id: request.id,
        code: "STALE",
        message: "behind",
        outcome: "not-applied",
        position: "f.0fake0000000000:9",
      });
      return true;
    };
    const { position } = kv;
    await a.kill();
    assert.equal(await kv.get("k"), "1");
    assert.equal(at(kv), "c");
    for (const peer of [b, c]) {
      const hello = peer.received.find((request) => request.type === "hello");
      assert.equal(hello?.type === "hello" && hello.position, position);
      assert.equal(hello?.type === "hello" && hello.staleAfterMs, 100);
    }
  });

  test("STALE when nobody gets there in time; nothing was applied", async (t) => {
    const peers = await startFakePeers(t, 2);
    const kv = await connectTo(t, peers);
    for (const peer of peers)
      peer.intercept = (request, answer) => {
        if (request.type !== "command") return false;
        answer({ type: "error", id: request.id, code: "STALE", message: "behind", outcome: "not-applied" });
        return true;
      };
    const error = await failure(kv.incr("n", { timeoutMs: 400 }));
    assert.deepEqual([error.code, error.outcome], ["STALE", "not-applied"]);
  });

  test("a peer that loads is left, also by a call that may not be sent twice", async (t) => {
    const peers = await startFakePeers(t, 2);
    const [a] = peers as [FakePeer];
    const kv = await connectTo(t, peers);
    a.intercept = (request, answer) => {
      if (request.type !== "command") return false;
      answer({ type: "error", id: request.id, code: "LOADING", message: "it stops", outcome: "not-applied" });
      return true;
    };
    assert.equal(await kv.incr("n"), 1);
    assert.equal(at(kv), "b");
  });

  test("a transaction waits until the peer has reached the position", async (t) => {
    const peers = await startFakePeers(t, 2);
    const [a, b] = peers as [FakePeer, FakePeer];
    const kv = await connectTo(t, peers);
    await kv.set("k", "1");
    await a.kill();
    await until("it is connected to b", () => at(kv) === "b");
    await failure(kv.transaction([["SET", "k", "2"]]));
    assert.deepEqual(b.commands, ["PING", "MULTI", "SET", "EXEC"]);
  });
});

describe("a call whose answer never came", () => {
  /** Dies with the first command named so in hand. */
  const dieAt = (peer: FakePeer, name: string, applied: boolean): void => {
    peer.intercept = (request) => {
      if (request.type !== "command" || request.args[0] !== name) return false;
      peer.intercept = () => false;
      if (applied) peer.history.write("set", request.args[1] ?? "", request.args[2]);
      peer.kill().catch(() => undefined);
      return true;
    };
  };

  test("is sent again when it says what shall be", async (t) => {
    const peers = await startFakePeers(t, 2);
    const [a, b] = peers as [FakePeer, FakePeer];
    const kv = await connectTo(t, peers);
    dieAt(a, "SET", true);
    assert.equal(await kv.set("k", "1"), true);
    assert.deepEqual(b.commands, ["SET"]);
    assert.equal(b.history.changes.length, 2, "each sending is a write");
  });

  const once: readonly (readonly [what: string, name: string, call: (kv: Client) => Promise<unknown>])[] = [
    ["INCR", "INCRBY", (kv) => kv.incr("n")],
    ["SET NX", "SET", (kv) => kv.set("k", "1", { nx: true })],
    ["SET GET", "SET", (kv) => kv.set("k", "1", { get: true })],
    ["a command nobody knows", "FROBNICATE", (kv) => kv.command(["FROBNICATE", "k", "1"])],
    ["a SET that may not be", "SET", (kv) => kv.set("k", "1", { retry: false })],
  ];
  for (const [what, name, call] of once)
    test(`rejects as unknown: ${what}`, async (t) => {
      const peers = await startFakePeers(t, 2);
      const [a, b] = peers as [FakePeer, FakePeer];
      const kv = await connectTo(t, peers);
      dieAt(a, name, false);
      const error = await failure(call(kv));
      assert.deepEqual([error.code, error.outcome], ["CONNECTION_LOST", "unknown"]);
      assert.equal(await kv.get("other"), null);
      assert.deepEqual(b.commands, ["GET"]);
    });

  test("is sent again with the caller's word", async (t) => {
    const peers = await startFakePeers(t, 2);
    const [a] = peers as [FakePeer];
    const kv = await connectTo(t, peers);
    dieAt(a, "INCRBY", false);
    assert.equal(await kv.incr("n", { retry: true }), 1);
  });

  test("is unknown at its deadline if it writes, not applied if it reads", async (t) => {
    const [a] = (await startFakePeers(t, 1)) as [FakePeer];
    const kv = await connectTo(t, [a]);
    a.intercept = (request) => request.type === "command";
    const write = await failure(kv.set("k", "1", { timeoutMs: 100 }));
    assert.deepEqual([write.code, write.outcome], ["TIMEOUT", "unknown"]);
    const read = await failure(kv.get("k", { timeoutMs: 100 }));
    assert.deepEqual([read.code, read.outcome], ["TIMEOUT", "not-applied"]);
  });

  test("stays unknown when the second sending is refused", async (t) => {
    const peers = await startFakePeers(t, 2);
    const [a, b] = peers as [FakePeer, FakePeer];
    const kv = await connectTo(t, peers);
    dieAt(a, "SET", true);
    b.intercept = (request, answer) => {
      if (request.type !== "command") return false;
      answer({ type: "error", id: request.id, code: "OOM", message: "full", outcome: "not-applied" });
      return true;
    };
    const error = await failure(kv.set("k", "1"));
    assert.deepEqual([error.code, error.outcome], ["OOM", "unknown"]);
  });

  test("calls made at once are sent again in their order", async (t) => {
    const peers = await startFakePeers(t, 2);
    const [a, b] = peers as [FakePeer, FakePeer];
    const kv = await connectTo(t, peers);
    dieAt(a, "SET", false);
    const values = Array.from({ length: 50 }, (_, index) => String(index));
    await Promise.all(values.map((value) => kv.set("k", value)));
    const sent = b.received.flatMap((request) => (request.type === "command" ? [request.args[2]] : []));
    assert.deepEqual(sent, values);
    assert.equal(await kv.get("k"), "49");
  });
});

describe("the end of waiting", () => {
  test("a signal: not applied before it is sent, unknown after", async (t) => {
    const [a] = (await startFakePeers(t, 1)) as [FakePeer];
    const kv = await connectTo(t, [a]);
    a.intercept = (request) => request.type === "command";
    const early = await failure(kv.set("k", "1", { signal: AbortSignal.abort(new Error("why")) }));
    assert.deepEqual([early.code, early.outcome], ["ABORTED", "not-applied"]);
    assert.equal((early.cause as Error).message, "why");
    const controller = new AbortController();
    const late = failure(kv.set("k", "1", { signal: controller.signal }));
    await until("the SET came", () => a.commands.length === 1);
    controller.abort();
    assert.deepEqual([(await late).code, (await late).outcome], ["ABORTED", "unknown"]);
  });

  test("close() rejects what waits, and what comes after", async (t) => {
    const [a] = (await startFakePeers(t, 1)) as [FakePeer];
    const kv = await connectTo(t, [a]);
    a.intercept = (request) => request.type === "command";
    const waiting = failure(kv.set("k", "1"));
    await until("the SET came", () => a.commands.length === 1);
    await kv.close();
    assert.deepEqual([(await waiting).code, (await waiting).outcome], ["CLOSED", "unknown"]);
    assert.equal((await failure(kv.get("k"))).code, "CLOSED");
    await kv.close();
    await until("the peer knows", () => a.connectionsCount === 0);
  });

  test("connect: nobody there, a wrong password, an abort, an address that is none", async (t) => {
    const [a, b] = (await startFakePeers(t, 2)) as [FakePeer, FakePeer];
    await a.kill();
    const nobody = await failure(connect([a.address], { failFast: true }));
    assert.equal(nobody.code, "UNREACHABLE");
    assert.match(nobody.message, new RegExp(a.address));
    assert.equal((await failure(connect(a.address, { timeoutMs: 100 }))).code, "UNREACHABLE");
    b.intercept = (request, answer) => {
      answer({ type: "error", code: "WRONGPASS", message: "invalid password", outcome: "not-applied" });
      return request.type === "hello";
    };
    assert.equal((await failure(connect(b.address, { password: "x" }))).code, "WRONGPASS");
    const controller = new AbortController();
    const aborted = failure(connect(a.address, { signal: controller.signal }));
    controller.abort();
    assert.equal((await aborted).code, "ABORTED");
    for (const wrong of ["", "two words", "ftp://x:1", "ws://user:pass@host:1"])
      assert.equal((await failure(connect(wrong))).code, "BAD_ARGUMENT", wrong);
  });

  test("a peer that speaks something else is no peer", async (t) => {
    const [a] = (await startFakePeers(t, 1)) as [FakePeer];
    const kv = await connectTo(t, [a]);
    a.intercept = (request, _answer, connection) => {
      if (request.type === "command") connection.socket.send('{"type":"surprise"}');
      return request.type === "command";
    };
    const error = await failure(kv.incr("n"));
    assert.deepEqual([error.code, error.outcome], ["CONNECTION_LOST", "unknown"]);
    assert.match(error.message, /no message of this protocol/);
  });
});

test("a signal that outlives its clients keeps none of them, opened and closed or never opened", async (t) => {
  const peers = await startFakePeers(t, 1);
  const [a] = peers as [FakePeer];
  const { signal } = new AbortController();
  const kv = await connectTo(t, peers, { signal });
  await kv.close();
  await a.kill();
  await failure(connectTo(t, peers, { signal, failFast: true }));
  assert.equal(getEventListeners(signal, "abort").length, 0);
});
