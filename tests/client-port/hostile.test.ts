/** What no client can do to `/client`: grow memory, delay others, be believed, crash it. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { connectRaw, frame, readToEnd, upgradeRequest } from "../links/harness.ts";
import { until } from "../wire/harness.ts";
import { openClientPort } from "./harness.ts";

const checkPassword = (user: string, password: string): boolean => user === "default" && password === "p\xc3\xa4ssword";
const hello = JSON.stringify({ type: "hello", protocolVersion: 1 });

test("what is no message of this protocol is refused with a code, in its place; the connection stays", async (t) => {
  const { greeted, port } = await openClientPort(t, { limits: { messageBytesMax: 1000 } });
  const client = await greeted();
  for (const [text, id, message] of [
    ["{", undefined, /not JSON/],
    ["[]", undefined, /./],
    ["null", undefined, /./],
    ['{"type":"dance","id":3}', 3, /./],
    ['{"type":"command","id":3,"args":[]}', 3, /args/],
    ['{"type":"command","id":0,"args":["PING"]}', undefined, /id/],
    ['{"type":"command","id":3,"args":["PING"],"extra":1}', 3, /extra/],
    ['{"type":"command","id":3,"args":[{"base64":"%%%"}]}', 3, /args/],
    ['{"type":"command","id":3,"args":[7]}', 3, /args/],
    [JSON.stringify({ type: "command", id: 3, args: ["ECHO", "x".repeat(1000)] }), undefined, /limit 1000/],
    [hello, undefined, /already/],
  ] as const) {
    client.ws.send(text);
    client.send({ type: "command", id: 4, args: ["PING"] });
    const error = await client.next();
    assert.ok(error.type === "error", text);
    assert.deepEqual([error.code, error.id, error.outcome], ["BAD_MESSAGE", id, "not-applied"], text);
    assert.match(error.message, message, text);
    assert.equal((await client.next()).type, "reply");
  }
  client.ws.send(Buffer.from(hello), { binary: true });
  const binary = await client.next();
  assert.equal(binary.type === "error" && binary.code, "BAD_MESSAGE");
  assert.equal(port.counters.badMessages, 11);
});

test("hello: another version, a wrong or missing password, a bad name or position are refused and may be said again", async (t) => {
  const { connect, host, port } = await openClientPort(t, { checkPassword });
  const client = await connect();
  for (const [fields, code] of [
    [{ protocolVersion: 2, password: "pässword" }, "UNKNOWN_VERSION"],
    [{}, "NOAUTH"],
    [{ password: "wrong" }, "WRONGPASS"],
    [{ user: "other", password: "pässword" }, "WRONGPASS"],
    [{ user: "default" }, "WRONGPASS"],
    [{ password: "pässword", name: "two words" }, "ERR"],
    [{ password: "pässword", position: "nowhere" }, "BAD_POSITION"],
  ] as const) {
    const answer = await client.ask({ type: "hello", protocolVersion: 1, ...fields });
    assert.equal(answer.type === "error" && answer.code, code, JSON.stringify(fields));
    assert.ok(answer.type === "error" && answer.position === undefined, "a stranger is told no position");
  }
  const early = await client.ask({ type: "command", id: 1, args: ["SET", "a", "1"] });
  assert.equal(early.type === "error" && early.code, "NO_HELLO");
  assert.equal(host.keyspace.size, 0);
  assert.equal(port.unauthenticatedCount, 1);
  const welcome = await client.ask({ type: "hello", protocolVersion: 1, user: "default", password: "pässword" });
  assert.equal(welcome.type, "welcome");
  assert.equal(port.unauthenticatedCount, 0);
  assert.deepEqual(await client.command(2, "SET", "a", "1"), { status: "OK" });
});

test("who does not say hello in time is cut, and who knocks too often is turned away", async (t) => {
  const { connect, greeted, port, httpPort } = await openClientPort(t, {
    limits: { helloMs: 150, unauthenticatedSocketsMax: 2, socketsMax: 3 },
  });
  const known = await greeted();
  const [one, two] = [await connect(), await connect()];
  const third = await connectRaw(httpPort);
  const said = readToEnd(third);
  third.write(upgradeRequest("/client"));
  assert.match(await said, /^HTTP\/1\.1 503 /);
  await Promise.all([one.end(), two.end()]);
  assert.equal(port.counters.closedUnauthenticated, 2);
  assert.deepEqual(await known.command(1, "PING"), { status: "PONG" });
});

test("before hello a message and all that is sent are small, whatever a frame claims", async (t) => {
  const { connect, httpPort, port } = await openClientPort(t, {
    limits: { helloBytesMax: 1000, helloSocketBytesMax: 4000 },
  });
  const client = await connect();
  const long = await client.ask({ type: "hello", protocolVersion: 1, position: "x".repeat(1000) });
  assert.match(long.type === "error" ? long.message : "", /limit 1000/);
  client.ws.send("x".repeat(10_000));
  await client.end();
  const raw = await connectRaw(httpPort);
  const said = readToEnd(raw);
  raw.write(upgradeRequest("/client"));
  raw.write(frame(1, "x".repeat(3000), { claim: 30_000_000n }));
  raw.write(frame(1, "x".repeat(3000)));
  assert.match(await said, /^HTTP\/1\.1 101 /);
  await until(() => port.connectionCount === 0, "both to be gone");
});

test("a message beyond all bounds closes with 1009, and takes no memory before it came", async (t) => {
  const { httpPort, port } = await openClientPort(t);
  const raw = await connectRaw(httpPort);
  const said = readToEnd(raw);
  raw.write(upgradeRequest("/client"));
  raw.write(frame(1, hello));
  raw.write(frame(1, "x", { claim: 2n ** 40n }));
  const answer = Buffer.from(await said, "latin1");
  assert.ok(answer.includes(Buffer.from([0x88, 0x02, 0x03, 0xf1])), "a close frame with 1009");
  await until(() => port.connectionCount === 0, "it to be gone");
});

test("frames that break the WebSocket protocol close that connection alone", async (t) => {
  const { greeted, httpPort, port } = await openClientPort(t);
  const known = await greeted();
  for (const bytes of [
    Buffer.from([0xc1, 0x80, 0, 0, 0, 0]),
    Buffer.from([0x81, 0x01, 0x78]),
    frame(1, Buffer.from([0xff, 0xfe])),
    frame(3, "x"),
    frame(0, "x"),
    randomBytes(64).fill(0xff, 0, 1),
  ]) {
    const raw = await connectRaw(httpPort);
    const said = readToEnd(raw);
    raw.write(upgradeRequest("/client"));
    raw.write(bytes);
    await said;
  }
  await until(() => port.connectionCount === 1, "only the known one to be left");
  assert.deepEqual(await known.command(1, "PING"), { status: "PONG" });
});

test("many tiny fragments are put together, and end at a bound", async (t) => {
  const { httpPort, port } = await openClientPort(t);
  const raw = await connectRaw(httpPort);
  let text = "";
  raw.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
  });
  raw.write(upgradeRequest("/client"));
  const parts = [...hello].map((char, at) => frame(at === 0 ? 1 : 0, char, { fin: at === hello.length - 1 }));
  raw.write(Buffer.concat(parts));
  await until(() => text.includes('"welcome"'), "the welcome");
  raw.write(frame(1, "{", { fin: false }));
  raw.write(Buffer.concat(Array.from({ length: 20_000 }, () => frame(0, "", { fin: false }))));
  await until(() => port.connectionCount === 0, "the connection to be closed");
});

test("who floods and never reads is paused, then holds no more memory than the bounds", async (t) => {
  const { greeted, host, port } = await openClientPort(t, { limits: { queuedInputBytesMax: 32 * 1024 } });
  host.keyspace.set("big", "x".repeat(4000), 0);
  const [flooder, other] = [await greeted(), await greeted()];
  flooder.ws.pause();
  const padding = " ".repeat(2000);
  const texts = [`{${padding}`, `{"type":"command","id":1,"args":["GET","big"]${padding}}`, '{"type":"cancel","id":5}'];
  let [sent, queuedMax] = [0, 0];
  await until(() => {
    if (flooder.ws.bufferedAmount < 1024 * 1024)
      for (let at = 0; at < 300; at += 1, sent += 1) flooder.ws.send(texts[at % 3] ?? "");
    for (const session of port.sessions()) {
      queuedMax = Math.max(queuedMax, session.queuedInputBytes + session.queuedOutputBytes);
    }
    return flooder.ws.bufferedAmount > 512 * 1024;
  }, "the flood to be held back");
  assert.ok(queuedMax < 4 * 1024 * 1024, `${queuedMax} bytes were queued`);
  assert.deepEqual(await other.command(1, "PING"), { status: "PONG" });
  flooder.ws.resume();
  await until(() => flooder.received.length === sent, "every message to be answered");
});

test("a client that does not read what it asked for is cut once it has waited long enough", async (t) => {
  const { greeted, host, port } = await openClientPort(t, {
    limits: { replyBytesSoft: 1024 * 1024, replySoftMs: 100 },
  });
  host.keyspace.set("big", "x".repeat(4 * 1024 * 1024), 0);
  const client = await greeted();
  client.ws.pause();
  for (let id = 1; id <= 4; id += 1) client.send({ type: "command", id, args: ["GET", "big"] });
  await until(() => port.connectionCount === 0, "the client to be cut");
  assert.equal(port.counters.closedForOutput, 1);
});

test("a reply beyond the bound is an error, which says whether the command may have written", async (t) => {
  const { greeted, host } = await openClientPort(t);
  const bytes = 14 * 1024 * 1024;
  // Below the bound on TCP, beyond it in base64.
  host.keyspace.set("big", "\xff".repeat(bytes), 0);
  const client = await greeted();
  const mget = ["MGET", "big", "big", "big", "big"];
  const answer = await client.ask({ type: "command", id: 1, args: mget });
  assert.ok(answer.type === "error");
  assert.deepEqual([answer.code, answer.outcome], ["ERR", "not-applied"]);
  await client.command(2, "MULTI");
  await client.command(3, "SET", "a", "1");
  await client.command(4, ...mget);
  const exec = await client.ask({ type: "command", id: 5, args: ["EXEC"] });
  assert.deepEqual(exec.type === "error" && [exec.code, exec.outcome], ["ERR", "unknown"]);
  assert.equal(await client.command(6, "GET", "a"), "1");
  assert.equal(await client.command(7, "STRLEN", "big"), bytes);
});

test("the longest value goes in and comes out, as text, as bytes, and as nothing but escapes", async (t) => {
  const { greeted, host } = await openClientPort(t);
  const client = await greeted();
  const bytes = 16 * 1024 * 1024;
  for (const [name, value, read] of [
    ["text", "x".repeat(bytes), "x".repeat(bytes)],
    ["quotes", '"'.repeat(bytes), '"'.repeat(bytes)],
    ["zeros", { base64: Buffer.alloc(bytes).toString("base64") }, { base64: Buffer.alloc(bytes).toString("base64") }],
  ] as const) {
    assert.deepEqual(await client.command(1, "SET", "k", value), { status: "OK" }, name);
    assert.equal(host.keyspace.get("k")?.length, bytes);
    const got = await client.command(2, "GET", "k");
    assert.ok(JSON.stringify(got) === JSON.stringify(read), name);
  }
});

test("the silent are pinged, and cut when they do not answer; who answers pings stays", async (t) => {
  const { greeted, httpPort, port } = await openClientPort(t, { limits: { pingMs: 50, silentMs: 300 } });
  const known = await greeted();
  let pings = 0;
  known.ws.on("ping", () => {
    pings += 1;
  });
  // This one is half-open: it takes everything and says nothing.
  const raw = await connectRaw(httpPort);
  raw.write(upgradeRequest("/client"));
  raw.write(frame(1, hello));
  const said = readToEnd(raw);
  await said;
  assert.equal(port.counters.closedSilent, 1);
  assert.ok(pings > 0);
  assert.deepEqual(await known.command(1, "PING"), { status: "PONG" });
});

test("who pings and never reads gets no pile of pongs", async (t) => {
  const { greeted, port } = await openClientPort(t);
  const client = await greeted();
  client.ws.pause();
  const payload = Buffer.alloc(125);
  let queuedMax = 0;
  for (let round = 0; round < 50; round += 1) {
    for (let count = 0; count < 1000; count += 1) client.ws.ping(payload);
    await new Promise((resolve) => setImmediate(resolve));
    for (const session of port.sessions()) queuedMax = Math.max(queuedMax, session.queuedOutputBytes);
  }
  assert.ok(queuedMax < 256 * 1024, `${queuedMax} bytes of pongs`);
});

test("replies wait for the turn's release; a peer that stops meanwhile refuses what has not run", async (t) => {
  const { greeted, turn, port } = await openClientPort(t);
  const client = await greeted();
  turn.hold = true;
  client.send({ type: "command", id: 1, args: ["SET", "a", "1"] });
  await until(() => [...port.sessions()].some((session) => session.queuedOutputBytes > 0), "the reply to be held");
  assert.equal(client.received.length, 0);
  turn.blocked = new Promise(() => {});
  client.send({ type: "command", id: 2, args: ["SET", "b", "1"] });
  await until(() => [...port.sessions()].some((session) => session.queuedInputBytes > 0), "the second to wait");
  const closed = port.close(5000);
  turn.releaseHeld();
  await closed;
  assert.deepEqual(
    client.received.map((message) => [message.type, "id" in message && message.id]),
    [
      ["reply", 1],
      ["error", 2],
    ],
  );
  assert.deepEqual(await client.end(), [1001, "this peer stops"]);
});

test("a thousand messages in one write get their turn by shares, and others between", async (t) => {
  const { greeted } = await openClientPort(t, { limits: { turnCommandsMax: 10 } });
  const [busy, other] = [await greeted(), await greeted()];
  for (let id = 1; id <= 1000; id += 1) busy.send({ type: "command", id, args: ["INCR", "n"] });
  await other.command(1, "PING");
  await until(() => busy.received.length === 1000, "all replies");
  assert.deepEqual(
    busy.received.map((message) => message.type === "reply" && message.id === message.reply),
    Array.from({ length: 1000 }, () => true),
  );
});
