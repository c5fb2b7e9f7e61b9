/** What a gateway sends again, to whom, and what it says when nobody answers: by fake peers that do as they are told. */
import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { pino } from "pino";
import { Breaker } from "../../server/gateway/breaker.ts";
import { GatewayBackend } from "../../server/gateway/gateway-backend.ts";
import { isUp, PeerPool, type PeerPoolOptions } from "../../server/gateway/peer-pool.ts";
import { ReadCache } from "../../server/gateway/read-cache.ts";
import { type KvAnswer, type KvCall, KvFailure } from "../../server/web/kv-backend.ts";
import { until } from "../support/processes.ts";
import { FakePeer, type Reaction } from "./fake-peer.ts";

const origin = "a.000000000000001";

interface World {
  readonly peers: readonly FakePeer[];
  readonly pool: PeerPool;
  readonly backend: GatewayBackend;
  readonly cache: ReadCache;
  peer(name: string): FakePeer;
  call(call: Partial<KvCall>): Promise<KvAnswer>;
  fails(call: Partial<KvCall>): Promise<KvFailure>;
}

const open = async (
  t: TestContext,
  names: readonly string[],
  options: Partial<PeerPoolOptions> & { readonly timeoutMs?: number } = {},
): Promise<World> => {
  const peers = await Promise.all(names.map((name) => FakePeer.start(t, name)));
  let backend: GatewayBackend | undefined;
  const pool = new PeerPool({
    peers: peers.map(({ port }) => ({ host: "127.0.0.1", port })),
    discover: false,
    reads: "round-robin",
    writes: "sticky",
    lagMsMax: 5000,
    password: undefined,
    logger: pino({ level: "silent" }),
    onDown: () => undefined,
    onChange: () => backend?.onPeers(),
    ...options,
  });
  const cache = new ReadCache(1_000_000);
  backend = new GatewayBackend({
    pool,
    cache,
    isFeedAlive: () => true,
    timeoutMs: options.timeoutMs ?? 2000,
    staleAfterMs: 50,
  });
  const made = backend;
  pool.open();
  t.after(async () => {
    made.close();
    await pool.close();
  });
  await until("all are up", () => pool.peers.every(({ state }) => isUp(state)));
  const call = (given: Partial<KvCall>): Promise<KvAnswer> =>
    made.call({ command: ["GET", "k"], position: "", kind: "read", ...given });
  return {
    peers,
    pool,
    backend: made,
    cache,
    call,
    peer: (name) => peers.find((peer) => peer.name === name) ?? assert.fail(name),
    fails: async (given) => {
      try {
        await call(given);
      } catch (error) {
        assert(error instanceof KvFailure, String(error));
        return error;
      }
      return assert.fail("it was answered");
    },
  };
};

const set: Partial<KvCall> = { command: ["SET", "k", "v"], kind: "absolute" };
const incr: Partial<KvCall> = { command: ["INCR", "k"], kind: "once" };

describe("strong keys", () => {
  const read: Partial<KvCall> = { command: ["VERSION", "strong:k", "WITHVALUE"], kind: "read" };
  const increment: Partial<KvCall> = { command: ["INCRBY", "strong:k", "1"], kind: "once" };

  test("are never answered from the cache, nor by a read that began before the question", async (t) => {
    const { call, peer, backend } = await open(t, ["a"]);
    const a = peer("a");
    a.react = () => ({ reply: ["65", "v", -1] });
    const answers = await Promise.all([call(read), call(read)]);
    assert.deepEqual(
      answers.map(({ cache }) => cache),
      ["bypass", "bypass"],
    );
    assert.equal(a.commands.length, 2, "each asked by itself");
    assert.equal(backend.cached("strong:k", ""), undefined);
  });

  test("a write whose peer vanished, or does not know, is sent again under one operation id", async (t) => {
    const { call, peers } = await open(t, ["a", "b", "c"]);
    const reactions: Reaction[] = ["vanish", { code: "UNKNOWN", outcome: "unknown" }, { reply: 1 }];
    for (const peer of peers) peer.react = () => reactions.shift() ?? "silence";
    assert.equal((await call(increment)).reply, 1);
    const sent = peers.flatMap(({ commands }) => commands.map(({ args }) => args.join(" ")));
    assert.equal(sent.length, 3);
    assert.match(sent[0] ?? "", /^INCRBY strong:k 1 OPID [^ ]+$/);
    assert.equal(new Set(sent).size, 1, sent.join(", "));
  });

  test("a peer without a majority is passed over; what no peer could do is NOQUORUM, certainly not done", async (t) => {
    const { call, fails, peers, peer } = await open(t, ["a", "b"], { timeoutMs: 300 });
    peer("a").react = () => ({ code: "NOQUORUM" });
    assert.deepEqual((await call(increment)).reply, { status: "OK" });
    for (const each of peers) each.react = () => ({ code: "NOQUORUM" });
    const failure = await fails(increment);
    assert.equal(failure.outcome, "not-applied");
  });
});

describe("who is asked", () => {
  test("reads go round, writes to the first by name, and to the next when that one is not ready", async (t) => {
    const { call, peer, peers, pool } = await open(t, ["c", "a", "b"]);
    for (let count = 0; count < 6; count++) await call({});
    assert.deepEqual(
      peers.map(({ commands }) => commands.length),
      [2, 2, 2],
    );
    const runs = new Set<string>();
    for (let count = 0; count < 3; count++) runs.add((await call(set)).run);
    assert.deepEqual([...runs], ["a.000000000000001"]);
    peer("a").ready = false;
    await until("it moves", () => pool.writesTo?.name === "b");
    assert.equal((await call(set)).run, "b.000000000000001");
  });

  test("--writes spread sends them to all", async (t) => {
    const { call } = await open(t, ["a", "b"], { writes: "spread" });
    const runs = new Set<string>();
    for (let count = 0; count < 4; count++) runs.add((await call(set)).run);
    assert.equal(runs.size, 2);
  });

  test("a session goes to a peer that is known to have what it saw; else its position goes along", async (t) => {
    const { call, peer, pool } = await open(t, ["a", "b"]);
    peer("b").versionVector = { [origin]: 7 };
    await until("b is known to have it", () => pool.peers.some(({ known }) => known.get(origin) === 7));
    for (let count = 0; count < 4; count++) await call({ position: `${origin}:7` });
    assert.deepEqual([peer("a").commands.length, peer("b").commands.length], [0, 4]);
    assert.equal(peer("b").commands[0]?.position, undefined);
    await call({ position: `${origin}:8` });
    const [sent] = [...peer("a").commands, ...peer("b").commands.slice(4)];
    assert.deepEqual([sent?.position, sent?.staleAfterMs], [`${origin}:8`, 50]);
  });

  test("what belongs to a run goes there or nowhere", async (t) => {
    const { call, fails, peer } = await open(t, ["a", "b"]);
    const scan = { command: ["SCAN", "17"], run: "b.000000000000001" };
    await call(scan);
    assert.equal(peer("b").commands.length, 1);
    assert.equal((await fails({ ...scan, run: "b.000000000000002" })).code, "CURSOR_GONE");
  });
});

describe("what is sent again", () => {
  test("what a peer refuses for what another may grant", async (t) => {
    const { call, peer } = await open(t, ["a", "b"]);
    for (const code of ["LOADING", "MISCONF", "CLOCKSKEW", "NOREPLICAS"]) {
      peer("a").react = () => ({ code });
      for (const given of [set, incr]) assert.equal((await call(given)).run, "b.000000000000001", code);
    }
  });

  test("not what is wrong at every peer", async (t) => {
    const { fails, peer } = await open(t, ["a", "b"]);
    peer("a").react = () => ({ code: "WRONGTYPE" });
    const failure = await fails(set);
    assert.deepEqual([failure.code, failure.outcome, peer("b").commands.length], ["WRONGTYPE", "not-applied", 0]);
  });

  test("a lost answer: reads and absolute writes again, anything else is unknown", async (t) => {
    const { call, fails, peer, pool } = await open(t, ["a", "b"]);
    peer("a").react = () => "vanish";
    assert.equal((await call(set)).run, "b.000000000000001");
    await until("a is back", () => pool.peers.every(({ state }) => isUp(state)) && pool.writesTo?.name === "a");
    const failure = await fails(incr);
    assert.deepEqual([failure.code, failure.outcome], ["CONNECTION_LOST", "unknown"]);
    assert.equal(peer("b").commands.length, 1, "the SET alone");
  });

  test("a peer that says nothing is given up, and its calls go on elsewhere", async (t) => {
    const { call, peer } = await open(t, ["a", "b"], { timeoutMs: 5000 });
    peer("a").react = (command) => {
      if (command.args[0] === "SET") peer("a").stop();
      return "silence";
    };
    assert.equal((await call(set)).run, "b.000000000000001");
  });

  test("STALE only when no peer got there", async (t) => {
    const { call, fails, peer } = await open(t, ["a", "b"]);
    peer("a").react = () => ({ code: "STALE" });
    for (let count = 0; count < 4; count++)
      assert.equal((await call({ position: `${origin}:9` })).run, "b.000000000000001");
    peer("b").react = () => ({ code: "STALE" });
    const failure = await fails({ position: `${origin}:9` });
    assert.deepEqual([failure.code, failure.outcome], ["STALE", "not-applied"]);
  });
});

describe("when nobody answers", () => {
  test("with no peer: UNREACHABLE, not applied, by the deadline; it is answered if one comes in time", async (t) => {
    const { call, fails, peer, pool } = await open(t, ["a"], { timeoutMs: 700 });
    peer("a").stop();
    await until("it is down", () => pool.peers[0]?.state === "down");
    const startedMs = performance.now();
    const failure = await fails(incr);
    assert.deepEqual([failure.code, failure.outcome], ["UNREACHABLE", "not-applied"]);
    assert(performance.now() - startedMs >= 690);
    const waiting = call(incr);
    await peer("a").listen();
    assert.equal((await waiting.catch(() => call(incr))).run, "a.000000000000001");
  });

  test("refused by all, again and again: the refusal, by the deadline", async (t) => {
    const { fails, peers } = await open(t, ["a", "b"], { timeoutMs: 300 });
    for (const peer of peers) peer.react = () => ({ code: "NOREPLICAS" });
    const failure = await fails(set);
    assert.deepEqual([failure.code, failure.outcome], ["NOREPLICAS", "not-applied"]);
  });

  test("no answer at all: TIMEOUT, and of a write nobody knows", async (t) => {
    const { fails, peer } = await open(t, ["a"], { timeoutMs: 300 });
    peer("a").react = () => "silence";
    const [write, read] = await Promise.all([fails(set), fails({})]);
    assert.deepEqual([write.code, write.outcome, read.outcome], ["TIMEOUT", "unknown", "not-applied"]);
  });

  test("stopped: what waits is refused", async (t) => {
    const { backend, fails, peer } = await open(t, ["a"]);
    peer("a").react = () => "silence";
    const failing = fails({});
    await until("it is under way", () => peer("a").commands.length === 1);
    backend.close();
    assert.equal((await failing).code, "CLOSED");
    assert.equal((await fails({})).code, "CLOSED");
  });
});

describe("reads for the cache", () => {
  const read = (key: string): Partial<KvCall> => ({ command: ["VERSION", key, "WITHVALUE"] });

  test("a crowd that misses one key asks once, and all are answered; then it is kept", async (t) => {
    const { backend, cache, call, peer } = await open(t, ["a"]);
    cache.begin("", performance.now());
    cache.trusted = true;
    peer("a").react = () => ({ reply: ["v1", "žluť", -1], position: `${origin}:1` });
    const answers = await Promise.all([call(read("k")), call(read("k")), call(read("k"))]);
    assert.equal(peer("a").commands.length, 1);
    const text = Buffer.from("žluť").toString("latin1");
    for (const answer of answers)
      assert.deepEqual([answer.reply, answer.cache, answer.position], [["v1", text, -1], "miss", `${origin}:1`]);
    assert.equal(backend.cached("k", "")?.value?.toString(), "žluť");
    assert.equal(backend.cached("k", `${origin}:1`), undefined, "the feed has not told so much yet");
    cache.onChanges([], `${origin}:1`, performance.now());
    assert.equal(backend.cached("k", `${origin}:1`)?.version, "v1");
  });

  test("a key that changed lately is asked for behind its change, and so can be kept", async (t) => {
    const { backend, cache, call, peer } = await open(t, ["a"]);
    cache.begin("", performance.now());
    cache.trusted = true;
    cache.onChanges([{ key: "k", origin, seq: 5 }], `${origin}:5`, performance.now());
    peer("a").react = () => ({ reply: null });
    await call(read("k"));
    assert.equal(peer("a").commands[0]?.position, `${origin}:5`);
    assert(backend.cached("k", "") !== undefined);
  });

  test("untrusted, it says bypass", async (t) => {
    const { backend, call, peer } = await open(t, ["a"]);
    peer("a").react = () => ({ reply: null });
    assert.equal((await call(read("k"))).cache, "bypass");
    assert.equal(backend.cached("k", ""), undefined);
    assert.equal((await call({})).cache, undefined);
  });
});

test("a breaker opens after five failures in a row, is probed after a rest that grows, and closes by one success", () => {
  const breaker = new Breaker();
  for (let count = 0; count < 4; count++) breaker.onFailure(0);
  assert(!breaker.isOpen);
  breaker.onSuccess();
  for (let count = 0; count < 5; count++) breaker.onFailure(0);
  assert(breaker.isOpen && breaker.timesOpened === 1);
  breaker.onFailure(10);
  assert.equal(breaker.timesOpened, 1, "what was under way says nothing new");
  assert(!breaker.takeProbe(999) && breaker.takeProbe(1000) && !breaker.takeProbe(1000));
  breaker.onFailure(1000);
  assert(!breaker.takeProbe(2999) && breaker.takeProbe(3000));
  breaker.onSuccess();
  assert(!breaker.isOpen);
});

test("a peer that fails what it is asked is left alone, probed, and taken again", async (t) => {
  const { call, peer, pool } = await open(t, ["a", "b"]);
  let isWell = false;
  peer("a").react = () => (isWell ? { reply: 1 } : { code: "LOADING" });
  for (let count = 0; count < 5; count++) assert.equal((await call(set)).run, "b.000000000000001");
  assert.equal(pool.peers[0]?.state, "open");
  peer("a").commands.length = 0;
  for (let count = 0; count < 3; count++) await call({});
  assert.deepEqual(
    peer("a").commands.filter(({ args }) => args[0] === "GET"),
    [],
  );
  isWell = true;
  await until("it is probed and up", () => isUp(pool.peers[0]?.state ?? "down"));
  assert.deepEqual(peer("a").commands[0]?.args, ["EXISTS", "chorus:probe"]);
});
