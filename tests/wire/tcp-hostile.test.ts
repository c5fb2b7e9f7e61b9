/**
 * What no client can do to the TCP port: grow memory, delay others, be believed, crash it. The rows of the CVE table in
 * docs that concern this port are named by their numbers.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openPort, until } from "./harness.ts";
import { encode } from "./request-oracle.ts";

const protocolError = (text: string): string => `-ERR Protocol error: ${text}\r\n`;

test("after a protocol error: the replies before it, the error, the end, and nothing run behind it", async (t) => {
  for (const [request, error] of [
    ["*x\r\n", "invalid multibulk length"],
    ["*1\r\n$-2\r\n", "invalid bulk length"],
    ["*1\r\n$9223372036854775807\r\n", "invalid bulk length"],
    ["*1\r\nPING\r\n", "expected '$', got 'P'"],
    ["GET 'a\r\n", "unbalanced quotes in request"],
    ["x".repeat(70_000), "too big inline request"],
  ] as const) {
    const { connect, store, port } = await openPort(t);
    const client = await connect();
    client.send(`${encode("PING")}${request}${encode("SET", "a", "1")}`);
    assert.equal(await client.end(), `+PONG\r\n${protocolError(error)}`);
    assert.equal(store.values.size, 0);
    assert.equal(port.counters.protocolErrors, 1);
  }
});

test("a bad plain line is refused in plain text", async (t) => {
  const { connect } = await openPort(t);
  const client = await connect();
  client.send("GET 'a\n");
  assert.equal(await client.end(), "ERR Protocol error: unbalanced quotes in request\n");
});

test("the error still reaches a client that was in the middle of sending much", async (t) => {
  const { connect } = await openPort(t);
  const client = await connect();
  client.send(`*x\r\n${"y".repeat(1024 * 1024)}`);
  assert.equal(await client.end(), protocolError("invalid multibulk length"));
});

test("CVE-2016-10517: HTTP to this port runs nothing and gets no answer", async (t) => {
  for (const head of ["POST / HTTP/1.1", "GET / HTTP/1.1", "DELETE /a HTTP/1.1", "Host: localhost:5001", "hOST:x"]) {
    const { connect, store, port } = await openPort(t);
    const client = await connect();
    client.send(`${head}\r\nContent-Length: 9\r\n\r\nSET a 1\r\n`);
    assert.equal(await client.end(), "", head);
    assert.equal(store.ran.length, 0);
    assert.equal(port.counters.httpRefused, 1);
  }
});

test("CVE-2021-32675: before AUTH large counts and lengths are refused by their headers", async (t) => {
  for (const [request, error] of [
    ["*1000000\r\n", "unauthenticated multibulk length"],
    ["*11\r\n", "unauthenticated multibulk length"],
    ["*1\r\n$536870912\r\n", "invalid bulk length"],
    ["*1\r\n$16385\r\n", "unauthenticated bulk length"],
    [`${"x".repeat(20_000)}`, "too big inline request"],
  ] as const) {
    const { connect } = await openPort(t, { password: "secret" });
    const client = await connect();
    client.send(request);
    assert.equal(await client.end(), protocolError(error));
  }
});

test("the large budgets hold from the command behind AUTH on, and the small ones again once it is undone", async (t) => {
  const { connect, port } = await openPort(t, { password: "secret" });
  const client = await connect();
  const long = encode("ECHO", "v".repeat(20_000));
  client.send(encode("AUTH", "secret") + long);
  await until(() => client.receivedBytes === 5 + 8 + 20_000 + 2, "the echo");
  assert.equal(port.unauthenticatedCount, 0);
  await client.ask(encode("AUTH", "wrong"), "-WRONGPASS invalid\r\n");
  assert.equal(port.unauthenticatedCount, 1);
  client.send(long);
  assert.equal(await client.end(), `-WRONGPASS invalid\r\n${protocolError("unauthenticated bulk length")}`);
});

test("CVE-2025-21605: an unauthenticated client that never reads is cut, and takes no memory meanwhile", async (t) => {
  const { connect, port } = await openPort(t, { password: "secret", limits: { authenticateMs: 500 } });
  const client = await connect();
  client.socket.pause();
  const flood = encode("GET", "a").repeat(2000);
  const pump = (): void => {
    while (!client.socket.destroyed && client.socket.write(flood));
  };
  client.socket.on("drain", pump);
  pump();
  let queuedMax = 0;
  await until(() => {
    for (const session of port.sessions()) {
      queuedMax = Math.max(queuedMax, session.queuedInputBytes + session.queuedOutputBytes);
    }
    return port.counters.connectionsReceived === 1 && port.connectionCount === 0;
  }, "the client to be cut");
  assert.ok(queuedMax < 512 * 1024, `${queuedMax} bytes were queued`);
  assert.equal(port.counters.closedUnauthenticated + port.counters.closedForOutput, 1);
});

test("who does not authenticate in time is cut; who does, stays", async (t) => {
  const { connect, port } = await openPort(t, { password: "secret", limits: { authenticateMs: 150 } });
  const [silent, known] = [await connect(), await connect()];
  await known.ask(encode("AUTH", "secret"), "+OK\r\n");
  assert.equal(await silent.end(), "");
  assert.equal(port.counters.closedUnauthenticated, 1);
  assert.equal(await known.ask(encode("PING"), "+PONG\r\n"), "+PONG\r\n");
});

test("CVE-2025-48367: floods of errors from unauthenticated clients do not starve the others", async (t) => {
  const { connect, port } = await openPort(t, { password: "secret" });
  const known = await connect();
  await known.ask(encode("AUTH", "secret"), "+OK\r\n");
  let flooding = true;
  const flood = async (request: string): Promise<void> => {
    while (flooding) {
      const client = await connect();
      client.send(request.repeat(500));
      await until(() => client.ended || client.receivedBytes > 1000, "an answer");
      client.socket.destroy();
    }
  };
  const floods = ["*x\r\n", encode("GET", "a"), "\xff\xfe\r\n", "*1\r\n$-1\r\n"].map(flood);
  await until(() => port.counters.protocolErrors > 10, "the flood");
  const slowestMs: number[] = [];
  for (let round = 0; round < 50; round += 1) {
    const startedMs = performance.now();
    assert.equal(await known.ask(encode("PING"), "+PONG\r\n"), "+PONG\r\n");
    slowestMs.push(performance.now() - startedMs);
  }
  flooding = false;
  await Promise.all(floods);
  slowestMs.sort((a, b) => a - b);
  assert.ok((slowestMs[25] ?? 0) < 50, `median of ${slowestMs.map(Math.round).join(" ")} ms`);
});

test("connections are capped, unauthenticated ones by a cap of their own", async (t) => {
  const limits = { connectionsMax: 3, unauthenticatedConnectionsMax: 2 };
  const { connect, port } = await openPort(t, { password: "secret", limits });
  const full = "-ERR max number of clients reached\r\n";
  const first = await connect();
  const second = await connect();
  assert.equal(await (await connect()).end(), full, "two have yet to authenticate");
  await first.ask(encode("AUTH", "secret"), "+OK\r\n");
  await second.ask(encode("AUTH", "secret"), "+OK\r\n");
  const third = await connect();
  await until(() => port.connectionCount === 3, "a third");
  assert.equal(await (await connect()).end(), full, "three in all");
  assert.equal(port.counters.connectionsRejected, 2);
  third.socket.destroy();
  await until(() => port.connectionCount === 2, "room");
  await connect();
  assert.equal(port.unauthenticatedCount, 1);
  await until(() => port.connectionCount === 3, "the room to be taken");
});

test("a slow reader is paused: its commands wait as bytes, memory stays flat, others go on", async (t) => {
  const { connect, port, store } = await openPort(t);
  const [slow, other] = [await connect(), await connect()];
  store.values.set("big", "v".repeat(1024 * 1024));
  slow.socket.pause();
  const asked = 20_000;
  slow.send(encode("GET", "big").repeat(asked));
  await until(() => [...port.sessions()].some((session) => session.queuedOutputBytes > 0), "the reader to choke");
  assert.equal(await other.ask("PING\r\n", "+PONG\r\n"), "+PONG\r\n");
  const [session] = port.sessions();
  const output = session?.queuedOutputBytes ?? 0;
  assert.ok(output < 8 * 1024 * 1024, `${output} bytes wait for the client`);
  assert.ok(store.ran.length < 1000, `${store.ran.length} of ${asked} commands ran`);
  const ranBefore = store.ran.length;
  slow.socket.resume();
  await until(() => store.ran.length > ranBefore + 20, "it to go on when it is read");
});

test("a client that leaves more than the soft limit unread for too long is cut", async (t) => {
  const { connect, port, store } = await openPort(t, { limits: { replyBytesSoft: 1024 * 1024, replySoftMs: 50 } });
  const client = await connect();
  store.values.set("big", "v".repeat(16 * 1024 * 1024));
  client.socket.pause();
  client.send(encode("GET", "big"));
  await until(() => port.counters.closedForOutput === 1 && port.connectionCount === 0, "it to be cut");
});

test("a single reply beyond the hard limit cuts the client before anything of it is sent", async (t) => {
  const { connect, port, store } = await openPort(t);
  const client = await connect();
  store.values.set("big", "v".repeat(16 * 1024 * 1024));
  client.send(encode("MGET", ...Array.from({ length: 1000 }, () => "big")));
  assert.equal(await client.end(), "");
  assert.equal(port.counters.closedForOutput, 1);
});

test("a client that goes while its command waits is forgotten, and the late answer harms nobody", async (t) => {
  const { connect, port, store } = await openPort(t);
  const [gone, killed, other] = [await connect(), await connect(), await connect()];
  for (const [index, client] of [gone, killed].entries()) {
    client.send(`${encode("WAIT")}${encode("SET", "a", "1")}`);
    await until(() => store.wakers.length === index + 1, "it to wait");
  }
  gone.socket.resetAndDestroy();
  await until(() => port.connectionCount === 2, "the first to be forgotten");
  store.wakers[0]?.();
  // CVE-2026-23479: killed and woken in the same turn.
  [...port.sessions()].find((session) => session.id === 2)?.kill();
  store.wakers[1]?.();
  await until(() => port.connectionCount === 1, "the second to go");
  assert.equal(await other.ask("GET a\n", "(nil)\n"), "(nil)\n", "nothing they had queued was run");
});

test("a waiting client's further input is not read without end", async (t) => {
  const { connect, port, store } = await openPort(t);
  const client = await connect();
  client.send(encode("WAIT"));
  await until(() => store.wakers.length === 1, "it to wait");
  const asked = 200_000;
  client.send(encode("PING").repeat(asked));
  await until(() => [...port.sessions()].some((session) => session.queuedInputBytes > 128 * 1024), "input to pile up");
  for (let round = 0; round < 50; round += 1) await new Promise((resolve) => setImmediate(resolve));
  const [session] = port.sessions();
  assert.ok((session?.queuedInputBytes ?? 0) < 512 * 1024, `${session?.queuedInputBytes} bytes`);
  store.wakers[0]?.();
  await until(() => store.ran.length === asked + 1, "all to be run", 20_000);
});

test("who does not leave after the last reply is cut", async (t) => {
  const { connect, port } = await openPort(t, { limits: { closeLingerMs: 50 } });
  const client = await connect();
  client.socket.removeAllListeners("end");
  client.send("QUIT\r\n");
  await until(() => port.counters.closedLingering === 1 && port.connectionCount === 0, "it to be cut");
});

test("resets at any moment are counted, never thrown", async (t) => {
  const { connect, port } = await openPort(t);
  for (const request of [
    "",
    "*",
    encode("PING"),
    encode("PING").repeat(1000),
    "QUIT\r\n",
    "*x\r\n",
    encode("SET", "a"),
  ]) {
    const client = await connect();
    client.send(request);
    await new Promise((resolve) => setImmediate(resolve));
    client.socket.resetAndDestroy();
  }
  await until(() => port.connectionCount === 0 && port.counters.connectionsReceived === 7, "all to go");
});
