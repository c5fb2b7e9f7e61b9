/** `/client`: hello, commands and replies. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startPeerForTest } from "../support/peer-for-test.ts";
import { until } from "../wire/harness.ts";
import { Client, openClientPort, welcome } from "./harness.ts";

test("hello is answered with who is here; before it nothing else is", async (t) => {
  const { connect } = await openClientPort(t);
  const client = await connect();
  const early = await client.ask({ type: "command", id: 1, args: ["PING"] });
  assert.deepEqual(early, {
    type: "error",
    id: 1,
    code: "NO_HELLO",
    message: "the first message must be hello",
    outcome: "not-applied",
  });
  assert.deepEqual(await client.ask({ type: "hello", protocolVersion: 1, name: "tester" }), {
    type: "welcome",
    protocolVersion: 1,
    ...welcome,
  });
  assert.deepEqual(await client.command(2, "CLIENT", "GETNAME"), "tester");
});

test("replies come in the order of the commands, by their ids, several in one turn", async (t) => {
  const { greeted, turn } = await openClientPort(t);
  const client = await greeted();
  const before = turn.turns;
  client.ws.send(JSON.stringify({ type: "command", id: 5, args: ["SET", "a", "1"] }));
  client.ws.send(JSON.stringify({ type: "command", id: 4, args: ["INCR", "a"] }));
  client.ws.send(JSON.stringify({ type: "command", id: 9, args: ["GET", "a"] }));
  assert.deepEqual(
    [await client.next(), await client.next(), await client.next()],
    [
      { type: "reply", id: 5, reply: { status: "OK" } },
      { type: "reply", id: 4, reply: 2 },
      { type: "reply", id: 9, reply: "2" },
    ],
  );
  assert.ok(turn.turns - before <= 3);
});

test("every kind of reply has its form in JSON", async (t) => {
  const { greeted, host } = await openClientPort(t);
  const client = await greeted();
  const binary = { base64: Buffer.from([0xff, 0, 0x80]).toString("base64") };
  for (const [args, reply] of [
    [["SET", "k", "žluť 🐎\n"], { status: "OK" }],
    [["GET", "k"], "žluť 🐎\n"],
    [["STRLEN", "k"], 12],
    [["SET", "b", binary], { status: "OK" }],
    [["GET", "b"], binary],
    [["SET", { base64: "YQ==" }, "plain"], { status: "OK" }],
    [["GET", "a"], "plain"],
    [["GET", "none"], null],
    [
      ["MGET", "a", "none", "b"],
      ["plain", null, binary],
    ],
    [["MGET", "none"], [null]],
    [["SET", "n", "9007199254740993"], { status: "OK" }],
    [["INCR", "n"], { integer: "9007199254740994" }],
    [["CONFIG", "GET", "databases"], { map: [["databases", "1"]] }],
    [["CONFIG", "GET", "nothing"], { map: [] }],
    [["KEYS", "nothing"], []],
  ] as const) {
    assert.deepEqual(await client.command(1, ...args), reply, args.join(" "));
  }
  host.keyspace.set("long", "x".repeat(300_000), 0);
  assert.equal(await client.command(2, "GET", "long"), "x".repeat(300_000));
});

test("an error is an error message with Redis' code, and says that nothing happened", async (t) => {
  const { greeted, host } = await openClientPort(t);
  const client = await greeted();
  assert.deepEqual(await client.command(1, "GET"), {
    type: "error",
    id: 1,
    code: "ERR",
    message: "wrong number of arguments for 'get' command",
    outcome: "not-applied",
  });
  host.refusesWrites = "CLOCKSKEW the clock is off";
  assert.deepEqual(await client.command(2, "SET", "a", "1"), {
    type: "error",
    id: 2,
    code: "CLOCKSKEW",
    message: "the clock is off",
    outcome: "not-applied",
  });
  host.refusesReads = "LOADING not yet";
  const gated = (await client.command(3, "GET", "a")) as { code: string };
  assert.equal(gated.code, "LOADING");
});

test("MULTI and EXEC work, with an error in its place", async (t) => {
  const { greeted } = await openClientPort(t);
  const client = await greeted();
  assert.deepEqual(await client.command(1, "MULTI"), { status: "OK" });
  assert.deepEqual(await client.command(2, "SET", "a", "x"), { status: "QUEUED" });
  assert.deepEqual(await client.command(3, "INCR", "a"), { status: "QUEUED" });
  assert.deepEqual(await client.command(4, "MGET", "a", "b"), { status: "QUEUED" });
  assert.deepEqual(await client.command(5, "EXEC"), [
    { status: "OK" },
    { error: { code: "ERR", message: "value is not an integer or out of range" } },
    ["x", null],
  ]);
  assert.deepEqual(await client.command(6, "MULTI"), { status: "OK" });
  const refused = await client.command(7, "MONITOR");
  assert.deepEqual(refused, {
    type: "error",
    id: 7,
    code: "ERR",
    message: "MONITOR has no meaning here: send watch",
    outcome: "not-applied",
  });
  assert.equal(((await client.command(8, "EXEC")) as { code: string }).code, "EXECABORT");
});

test("a real peer answers, and lists, names and kills these clients beside those of TCP", async (t) => {
  const peer = await startPeerForTest();
  t.after(() => peer.stop());
  const [one, two] = [await Client.greeted(peer.httpPort, { name: "one" }), await Client.greeted(peer.httpPort)];
  assert.deepEqual(await one.command(1, "SET", "city", "Oslo"), { status: "OK" });
  assert.equal(await two.command(1, "GET", "city"), "Oslo");
  const list = (await two.command(2, "CLIENT", "LIST")) as { verbatim: string };
  assert.match(list.verbatim, /name=one .*\n.*name= /);
  const id = await one.command(2, "CLIENT", "ID");
  assert.equal(await two.command(3, "CLIENT", "KILL", "ID", String(id)), 1);
  await until(() => one.closed !== undefined, "the killed one to be gone");
  assert.deepEqual(await two.command(4, "QUIT"), { status: "OK" });
  assert.deepEqual(await two.end(), [1000, ""]);
  const three = await Client.greeted(peer.httpPort);
  await peer.stop();
  assert.deepEqual(await three.end(), [1001, "this peer stops"]);
});
