/** Strong keys and locks by the client: what it sends, and sends again, to peers that die or find no majority. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { namesStrongKey, withOperationId } from "../../protocol/client/strong.ts";
import type { ChorusError, Lock } from "../../protocol/client.ts";
import type { PeerMessage } from "../../protocol/client-messages.ts";
import { until } from "../support/processes.ts";
import { connectTo, failure } from "./client-for-test.ts";
import { type FakePeer, startFakePeers } from "./fake-peer.ts";

const held = async (lock: Promise<Lock | null>): Promise<Lock> => {
  const given = await lock;
  assert(given !== null, "the lock is free");
  return given;
};

/** All words of commands a peer was sent. */
const wordsOf = (peer: FakePeer): string[][] =>
  peer.received.flatMap((request) => (request.type === "command" ? [request.args.map(String)] : []));

/** Takes the first command named so, does it if it shall, and dies. */
const dieAt = (peer: FakePeer, name: string, isDone: boolean): void => {
  peer.intercept = (request) => {
    if (request.type !== "command" || request.args[0] !== name) return false;
    peer.intercept = () => false;
    const done = isDone ? peer.history.runStrong(request.args) : Promise.resolve();
    done.then(() => peer.kill()).catch(() => undefined);
    return true;
  };
};

const answerAll = (peer: FakePeer, code: string, outcome: "not-applied" | "unknown" = "not-applied"): void => {
  peer.intercept = (request, answer) => {
    if (request.type !== "command") return false;
    answer({ type: "error", id: request.id, code, message: "not now", outcome } satisfies PeerMessage);
    return true;
  };
};

const lockKey = "strong:lock:x";

describe("what is sent", () => {
  test("an id of its own goes with every command that writes a strong key, and with no other", async (t) => {
    const [a] = (await startFakePeers(t, 1)) as [FakePeer];
    const kv = await connectTo(t, [a]);
    await kv.set("strong:k", "1", { px: 60_000 });
    await kv.incr("strong:k");
    assert.equal(await kv.get("strong:k"), "2");
    await kv.set("plain", "strong:k");
    const [set, incr, get, plain] = wordsOf(a);
    assert.deepEqual(set?.slice(0, -1), ["SET", "strong:k", "1", "PX", "60000", "OPID"]);
    assert.deepEqual(incr?.slice(0, -1), ["INCRBY", "strong:k", "1", "OPID"]);
    assert.deepEqual(get, ["GET", "strong:k"]);
    assert.deepEqual(plain, ["SET", "plain", "strong:k"]);
    const ids = [set?.at(-1), incr?.at(-1)] as string[];
    assert.notEqual(ids[0], ids[1]);
    for (const id of ids) assert.match(id, /^[0-9a-z.]{10,64}$/);
  });

  test("a word is taken for a key where the command has keys, and an id that the caller gave stays", () => {
    const prefixes = ["claims:", "strong:"];
    const cases: readonly (readonly [words: readonly (string | Uint8Array)[], isStrong: boolean])[] = [
      [["GET", "strong:k"], true],
      [["get", "claims:k"], true],
      [["GET", new TextEncoder().encode("strong:\u00f8")], true],
      [["GET", "strong"], false],
      [["SET", "k", "strong:k"], false],
      [["MGET", "a", "b", "strong:c"], true],
      [["MSET", "a", "strong:b"], false],
      [["PING", "strong:k"], false],
      [["FROBNICATE", "strong:k"], false],
    ];
    for (const [words, isStrong] of cases) assert.equal(namesStrongKey(words, prefixes), isStrong, String(words));
    assert.equal(namesStrongKey(["GET", "strong:k"], []), false);
    assert.deepEqual(withOperationId(["SET", "k", "v", "opid", "mine"], "id"), ["SET", "k", "v", "opid", "mine"]);
    assert.deepEqual(withOperationId(["APPEND", "OPID", "v"], "id"), ["APPEND", "OPID", "v", "OPID", "id"]);
    assert.deepEqual(withOperationId(["GET", "k"], "id"), ["GET", "k"]);
  });

  test("each method says what its command says", async (t) => {
    const [a] = (await startFakePeers(t, 1)) as [FakePeer];
    const kv = await connectTo(t, [a]);
    assert.equal(await kv.version("strong:k"), null);
    assert.equal(await kv.set("strong:k", "1", { nx: true }), true);
    const first = await kv.version("strong:k");
    assert(typeof first === "number" && first > 0);
    assert.equal(await kv.set("strong:k", "2", { ifEquals: "0" }), false);
    assert.equal(await kv.set("strong:k", "2", { ifEquals: "1" }), true);
    assert(((await kv.version("strong:k")) ?? 0) > first);
    assert.equal(await kv.cas("strong:k", "1", "3"), false);
    assert.equal(await kv.cas("strong:k", "2", "3"), true);
    assert.equal((await kv.versioned("strong:k"))?.value, "3");
    assert.equal(await kv.delete("strong:k", { ifEquals: "2" }), 0);
    assert.equal(await kv.delete("strong:k", { ifEquals: "3" }), 1);
    await kv.set("strong:k", "a", { fence: { lock: "l", token: 7 } });
    const fenced = await failure(kv.set("strong:k", "b", { fence: { lock: "l", token: 6 } }));
    assert.deepEqual([fenced.code, fenced.outcome], ["FENCED", "not-applied"]);
    assert.equal((await failure(kv.version("plain"))).code, "BAD_ARGUMENT");
    assert.equal((await failure(kv.set("strong:k", "b", { ifEquals: "a", nx: true }))).code, "BAD_ARGUMENT");
    assert.equal((await failure(kv.delete(["strong:k", "b"], { ifEquals: "a" }))).code, "BAD_ARGUMENT");
  });
});

describe("once, whatever happens", () => {
  for (const isDone of [true, false]) {
    test(`an INCR whose peer died ${isDone ? "after" : "before"} it was done counts once`, async (t) => {
      const peers = await startFakePeers(t, 2);
      const [a, b] = peers as [FakePeer, FakePeer];
      const kv = await connectTo(t, peers);
      assert.equal(await kv.incr("strong:n"), 1);
      dieAt(a, "INCRBY", isDone);
      assert.equal(await kv.incr("strong:n"), 2);
      const last = wordsOf(a).at(-1);
      assert.deepEqual(wordsOf(b), [last], "the same words, with the same id");
      assert.equal(await kv.get("strong:n"), "2");
    });
  }

  test("a SET NX that was done is told so again", async (t) => {
    const peers = await startFakePeers(t, 2);
    const [a] = peers as [FakePeer];
    const kv = await connectTo(t, peers);
    dieAt(a, "SET", true);
    assert.equal(await kv.set("strong:claim", "me", { nx: true }), true);
  });

  test("unless the caller does not want it sent again", async (t) => {
    const peers = await startFakePeers(t, 2);
    const [a] = peers as [FakePeer];
    const kv = await connectTo(t, peers);
    dieAt(a, "INCRBY", true);
    const error = await failure(kv.incr("strong:n", { retry: false }));
    assert.deepEqual([error.code, error.outcome], ["CONNECTION_LOST", "unknown"]);
  });

  for (const [code, outcome] of [
    ["NOQUORUM", "not-applied"],
    ["BUSY", "not-applied"],
    ["UNKNOWN", "unknown"],
  ] as const) {
    test(`${code}: it is tried at another peer, under the same id`, async (t) => {
      const peers = await startFakePeers(t, 2);
      const [a, b] = peers as [FakePeer, FakePeer];
      const kv = await connectTo(t, peers);
      answerAll(a, code, outcome);
      assert.equal(await kv.incr("strong:n"), 1);
      assert.deepEqual(wordsOf(b), wordsOf(a));
      answerAll(b, code, outcome);
      const error = await failure(kv.incr("strong:n", { timeoutMs: 400 }));
      assert.equal(error.code, code);
      // The last try may be under way: then nobody knows.
      if (code === "UNKNOWN") assert.equal(error.outcome, "unknown");
    });
  }

  test("UNKNOWN at once where it may not be sent again", async (t) => {
    const peers = await startFakePeers(t, 2);
    const [a, b] = peers as [FakePeer, FakePeer];
    const kv = await connectTo(t, peers);
    answerAll(a, "UNKNOWN", "unknown");
    const error = await failure(kv.incr("strong:n", { retry: false }));
    assert.deepEqual([error.code, error.outcome], ["UNKNOWN", "unknown"]);
    assert.deepEqual(wordsOf(b), []);
  });

  test("plain keys do not wait behind a strong one, nor strong ones for a position", async (t) => {
    const peers = await startFakePeers(t, 1);
    const [a] = peers as [FakePeer];
    const kv = await connectTo(t, peers, { position: "f.0fake0000000000:1" });
    a.intercept = (request) => request.type === "command" && String(request.args[1]).startsWith("strong:");
    const waiting = kv.get("strong:k", { timeoutMs: 60_000 }).catch(() => undefined);
    await until("it came", () => wordsOf(a).length === 1);
    assert.equal(await kv.get("k"), null);
    const hellos = a.received.filter((request) => request.type === "hello");
    assert.deepEqual(
      hellos.map((hello) => hello.type === "hello" && hello.position),
      ["f.0fake0000000000:1", undefined],
    );
    await kv.close();
    await waiting;
    await until("both connections are closed", () => a.connectionsCount === 0);
  });
});

describe("a lock", () => {
  test("has one holder, a growing token, and is free when it is given back", async (t) => {
    const [a] = (await startFakePeers(t, 1)) as [FakePeer];
    const [one, two] = [await connectTo(t, [a]), await connectTo(t, [a])];
    const lock = await held(one.lock("x", { ttlMs: 60_000 }));
    assert.equal(lock.key, lockKey);
    assert.equal(lock.isHeld, true);
    assert.equal(lock.token, await one.version(lockKey));
    assert.equal(await two.lock("x", { ttlMs: 60_000 }), null);
    const waiting = two.lock("x", { ttlMs: 60_000, waitMs: 20_000 });
    assert.equal(await lock.release(), true);
    assert.equal(await lock.release(), true, "twice is fine");
    assert.equal(lock.isHeld, false);
    assert.equal(lock.signal.aborted, false, "released is not lost");
    const next = await held(waiting);
    assert(next.token > lock.token);
    await two.set("strong:k", "new", { fence: next.fence });
    assert.equal((await failure(one.set("strong:k", "old", { fence: lock.fence }))).code, "FENCED");
    await next[Symbol.asyncDispose]();
    assert.equal(await one.get(lockKey), null);
  });

  test("is renewed for as long as it is held", async (t) => {
    const [a] = (await startFakePeers(t, 1)) as [FakePeer];
    const kv = await connectTo(t, [a]);
    const ttlMs = 3000;
    const lock = await held(kv.lock("x", { ttlMs }));
    const value = await kv.get(lockKey);
    const renewals = (): number =>
      wordsOf(a).filter(([name, , , option]) => name === "SET" && option === "IFEQ").length;
    await until("two renewals", () => renewals() >= 2, 20_000);
    assert.equal(lock.signal.aborted, false);
    assert.equal(await kv.get(lockKey), value);
    assert.equal(await lock.release(), true);
  });

  test("is lost when somebody else has it, and what is somebody else's is not deleted", async (t) => {
    const [a] = (await startFakePeers(t, 1)) as [FakePeer];
    const kv = await connectTo(t, [a]);
    const lock = await held(kv.lock("x", { ttlMs: 1500 }));
    // It ran out, and was taken.
    await a.history.runStrong(["SET", lockKey, "another"]);
    await until("it is lost", () => lock.signal.aborted);
    assert.equal((lock.signal.reason as ChorusError).code, "LOCK_LOST");
    assert.equal(lock.isHeld, false);
    assert.equal(await lock.release(), false);
    assert.equal(await kv.get(lockKey), "another");
  });

  test("is believed in until 99 % of the time since it was asked for, and no longer", async (t) => {
    const [a] = (await startFakePeers(t, 1)) as [FakePeer];
    const kv = await connectTo(t, [a]);
    const ttlMs = 2000;
    const startedMs = performance.now();
    const lock = await held(kv.lock("x", { ttlMs }));
    const grantedMs = performance.now();
    answerAll(a, "NOQUORUM");
    await new Promise((resolve) => lock.signal.addEventListener("abort", resolve));
    const lostMs = performance.now();
    assert(lostMs >= startedMs + 0.99 * ttlMs, "not given up early");
    t.diagnostic(`lost ${Math.round(lostMs - grantedMs)} ms after it was granted`);
    assert.match(String(lock.signal.reason), /not renewed in time/);
    assert.equal(lock.isHeld, false);
  });

  test("that was granted to a peer that died is the holder's, not a stranger's", async (t) => {
    const peers = await startFakePeers(t, 2);
    const [a] = peers as [FakePeer];
    const kv = await connectTo(t, peers);
    dieAt(a, "SET", true);
    const lock = await held(kv.lock("x", { ttlMs: 60_000 }));
    assert.equal(lock.token, await kv.version(lockKey));
    await lock.release();
  });

  test("granted too late to be believed in is given back and asked for again", async (t) => {
    const [a] = (await startFakePeers(t, 1)) as [FakePeer];
    const kv = await connectTo(t, [a]);
    const ttlMs = 2000;
    a.intercept = (request, answer) => {
      if (request.type !== "command" || request.args[0] !== "SET") return false;
      a.intercept = () => false;
      // The answer is held back until nobody can believe in it.
      void a.history.runStrong(request.args).then((reply) => {
        const say = (): void => answer({ type: "reply", id: request.id, reply: JSON.parse(String(reply)) as string });
        setTimeout(say, ttlMs);
      });
      return true;
    };
    const lock = await held(kv.lock("x", { ttlMs, waitMs: 30_000 }));
    assert.equal(wordsOf(a).filter(([name]) => name === "DELEX").length, 1);
    assert.equal(lock.token, await kv.version(lockKey));
    assert.equal(lock.isHeld, true);
    await lock.release();
  });

  test("nobody waits for a lock that its client closed with, and the wait ends with its signal", async (t) => {
    const [a] = (await startFakePeers(t, 1)) as [FakePeer];
    const [one, two] = [await connectTo(t, [a]), await connectTo(t, [a])];
    const lock = await held(one.lock("x", { ttlMs: 1500 }));
    const controller = new AbortController();
    const waiting = failure(two.lock("x", { ttlMs: 60_000, waitMs: 60_000, signal: controller.signal }));
    controller.abort();
    assert.deepEqual([(await waiting).code, (await waiting).outcome], ["ABORTED", "not-applied"]);
    await one.close();
    assert.equal(lock.signal.aborted, true);
    assert.equal((await failure(lock.release())).code, "CLOSED");
    for (const ttlMs of [0, 99, 1.5, Number.NaN, 1e9])
      assert.equal((await failure(two.lock("x", { ttlMs }))).code, "BAD_ARGUMENT", String(ttlMs));
  });
});
