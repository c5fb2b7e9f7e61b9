/** What a well-behaved client of the TCP port may rely on. The others are in tcp-hostile.test.ts. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { PortFailure, TcpPort } from "../../server/ports/tcp.ts";
import { openPort, TestStore, TestTurn, until } from "./harness.ts";
import { encode } from "./request-oracle.ts";

test("a line that ends with CRLF is answered in RESP, one that ends with LF in plain text", async (t) => {
  const { connect } = await openPort(t);
  const client = await connect();
  for (const [request, answer] of [
    ["SET a 10\n", "OK\n"],
    ["GET a\n", "10\n"],
    ["GET b\n", "(nil)\n"],
    ["NOSUCH\n", "ERR unknown command 'NOSUCH'\n"],
    ["MGET a b\n", '1) "10"\n2) ""\n'],
    ["GET a\r\n", "$2\r\n10\r\n"],
    ["GET b\r\n", "$-1\r\n"],
    ["NOSUCH\r\n", "-ERR unknown command 'NOSUCH'\r\n"],
    [encode("GET", "a"), "$2\r\n10\r\n"],
  ] as const) {
    assert.equal(await client.ask(request, answer), answer, JSON.stringify(request));
  }
});

test("dialects may be mixed in one chunk; a connection in RESP3 stays there for its arrays and CRLF lines", async (t) => {
  const { connect } = await openPort(t);
  const client = await connect();
  const answer = "%1\r\n$5\r\nproto\r\n:3\r\n(nil)\n_\r\nPONG\n(nil)\n_\r\n+OK\r\n$1\r\n1\r\n";
  const requests = [
    encode("HELLO", "3"),
    "GET a\n",
    encode("GET", "a"),
    "PING\nGET a\n",
    "GET a\r\n",
    "SET a 1\r\nGET a\r\n",
  ];
  assert.equal(await client.ask(requests.join(""), answer), answer);
});

test("HELLO in plain text changes what arrays are answered with, not the plain text", async (t) => {
  const { connect } = await openPort(t);
  const client = await connect();
  const answer = '1# "proto" => (integer) 3\n_\r\n(nil)\n';
  assert.equal(await client.ask(`HELLO 3\n${encode("GET", "a")}GET a\n`, answer), answer);
});

test("an empty line is not answered", async (t) => {
  const { connect } = await openPort(t);
  const client = await connect();
  assert.equal(await client.ask("\r\n\n\n*0\r\nPING\r\n", "+PONG\r\n"), "+PONG\r\n");
});

test("10,000 commands in one write are answered in order, a value of any bytes unchanged", async (t) => {
  const { connect } = await openPort(t);
  const client = await connect();
  const bytes = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)).join("");
  let request = encode("SET", bytes, bytes);
  let answer = "+OK\r\n";
  for (let index = 0; index < 10_000; index += 1) {
    request += encode("ECHO", String(index));
    answer += `$${String(index).length}\r\n${index}\r\n`;
  }
  request += encode("GET", bytes);
  answer += `$256\r\n${bytes}\r\n`;
  assert.equal(await client.ask(request, answer), answer);
});

test("a command cut into single bytes is answered once", async (t) => {
  const { connect } = await openPort(t);
  const client = await connect();
  for (const byte of `${encode("SET", "a", "1")}GET a\n`) {
    client.send(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until(() => client.received.length >= 7, "the answers");
  assert.equal(client.received, "+OK\r\n1\n");
});

test("a value of 16 MiB goes in and comes out", async (t) => {
  const { connect } = await openPort(t);
  const client = await connect();
  const value = "v".repeat(16 * 1024 * 1024);
  client.send(encode("SET", "a", value) + encode("GET", "a"));
  const bytes = 5 + 11 + value.length + 2;
  await until(() => client.receivedBytes >= bytes, "the value", 20_000);
  assert.equal(client.receivedBytes, bytes);
  assert.equal(client.received.slice(0, 20), "+OK\r\n$16777216\r\nvvvv");
});

test("a command that answers later holds back those behind it, and no other connection", async (t) => {
  const { connect, store } = await openPort(t);
  const [waiting, other] = [await connect(), await connect()];
  waiting.send(`${encode("SET", "a", "1")}${encode("WAIT")}${encode("SET", "a", "2")}GET a\n`);
  await until(() => store.wakers.length === 1, "WAIT to run");
  assert.equal(await other.ask("GET a\n", "1\n"), "1\n");
  assert.equal(waiting.received, "+OK\r\n", "what came before it is answered");
  waiting.send("PING\n");
  store.wakers[0]?.();
  await until(() => waiting.received.length >= 21, "the rest");
  assert.equal(waiting.received, "+OK\r\n:0\r\n+OK\r\n2\nPONG\n");
});

test("while the map is held still nothing runs, then everything in order", async (t) => {
  const { connect, turn, store } = await openPort(t);
  const client = await connect();
  let unblock = (): void => {};
  turn.blocked = new Promise((resolve) => {
    unblock = () => {
      turn.blocked = undefined;
      resolve();
    };
  });
  client.send("SET a 1\nGET a\n");
  await until(() => client.socket.bytesWritten === 14, "the request to leave");
  for (let round = 0; round < 20; round += 1) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(store.ran.length, 0);
  client.send("SET a 2\nGET a\n");
  unblock();
  await until(() => client.received.length >= 10, "the answers");
  assert.equal(client.received, "OK\n1\nOK\n2\n");
});

test("replies wait for the turn to release them, and keep their order", async (t) => {
  const { connect, turn } = await openPort(t);
  const client = await connect();
  turn.hold = true;
  client.send(encode("PING"));
  await until(() => turn.turns === 1, "a turn");
  client.send(encode("ECHO", "a"));
  await until(() => turn.turns === 2, "another");
  assert.equal(client.received, "");
  turn.releaseHeld();
  await until(() => client.received.length >= 14, "the replies");
  assert.equal(client.received, "+PONG\r\n$1\r\na\r\n");
});

test("a client with too many replies held back runs no further until some are released", async (t) => {
  const { connect, turn, store } = await openPort(t, { limits: { heldReplyBytesMax: 1000 } });
  const client = await connect();
  turn.hold = true;
  client.send(encode("ECHO", "x".repeat(2000)));
  await until(() => turn.turns === 1, "a turn");
  client.send(encode("PING"));
  for (let round = 0; round < 20; round += 1) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(store.ran.length, 1);
  turn.releaseHeld();
  await until(() => client.received.endsWith("+PONG\r\n"), "both replies");
});

test("QUIT is answered, what follows it is not run, and the connection ends", async (t) => {
  const { connect, store, port } = await openPort(t);
  const client = await connect();
  client.send(`PING\r\nQUIT\r\n${encode("SET", "a", "1")}`);
  assert.equal(await client.end(), "+PONG\r\n+OK\r\n");
  assert.equal(store.values.size, 0);
  await until(() => port.connectionCount === 0, "the connection to go");
});

test("a client that ends its side is still answered: printf | nc", async (t) => {
  const { connect, port } = await openPort(t, { limits: { turnCommandsMax: 7 } });
  const client = await connect();
  client.socket.end(`SET a 1\n${"GET a\n".repeat(100)}`);
  assert.equal(await client.end(), `OK\n${"1\n".repeat(100)}`);
  await until(() => port.connectionCount === 0, "the connection to go");
});

test("one client's endless pipeline does not delay the others", async (t) => {
  const { connect, port } = await openPort(t);
  const [greedy, modest] = [await connect(), await connect()];
  // 100 ms of work in one write, and again as long as it is taken.
  const burst = encode("SPIN", "0.1").repeat(1000);
  greedy.send(burst.repeat(3));
  await until(() => port.counters.commands > 10, "the pipeline to start");
  // Counted in commands, of a tenth of a millisecond each: a loaded machine has no more of them.
  const ranMeanwhile: number[] = [];
  for (let round = 0; round < 10; round += 1) {
    const before = port.counters.commands;
    await modest.ask("PING\r\n", "+PONG\r\n");
    ranMeanwhile.push(port.counters.commands - before);
  }
  ranMeanwhile.sort((a, b) => a - b);
  assert.ok((ranMeanwhile[5] ?? 0) < 300, `median of ${ranMeanwhile.join(" ")} commands`);
  assert.ok(port.counters.commands < 3000, "the pipeline was still running");
});

test("a connection tells who it is, and CLIENT KILL ends it", async (t) => {
  const { connect, port } = await openPort(t);
  const client = await connect();
  await client.ask("PING\n", "PONG\n");
  const [session] = port.sessions();
  assert.equal(session?.id, 1);
  assert.equal(session?.address, `127.0.0.1:${client.socket.localPort}`);
  assert.equal(session?.localAddress, `127.0.0.1:${port.port}`);
  assert.equal(port.session(1), session);
  session?.kill();
  assert.equal(await client.end(), "PONG\n");
  await until(() => port.connectionCount === 0, "the connection to go");
  assert.equal(port.session(1), undefined);
});

test("counters count", async (t) => {
  const { connect, port } = await openPort(t);
  const client = await connect();
  await client.ask("PING\n", "PONG\n");
  const { connectionsReceived, inputBytes, outputBytes, commands } = port.counters;
  assert.deepEqual(
    { connectionsReceived, inputBytes, outputBytes, commands },
    {
      connectionsReceived: 1,
      inputBytes: 5,
      outputBytes: 5,
      commands: 1,
    },
  );
});

test("closing lets a running command answer, runs nothing further, ends idle clients and takes no new ones", async (t) => {
  const { connect: join, port, store } = await openPort(t);
  const [idle, waiting] = [await join(), await join()];
  waiting.send(`${encode("WAIT")}${encode("SET", "a", "1")}`);
  await until(() => store.wakers.length === 1, "WAIT to run");
  const at = port.port;
  const closed = port.close(5000);
  assert.equal(await idle.end(), "");
  const late = connect({ host: "127.0.0.1", port: at });
  const [error] = (await once(late, "error")) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ECONNREFUSED");
  store.wakers[0]?.();
  assert.equal(await waiting.end(), ":0\r\n");
  await closed;
  await port.close();
  assert.equal(store.values.size, 0);
});

test("closing does not wait beyond its deadline for a command that never answers", async (t) => {
  const { connect, port, store } = await openPort(t);
  const client = await connect();
  client.send("WAIT\n");
  await until(() => store.wakers.length === 1, "WAIT to run");
  await port.close(20);
  assert.equal(port.connectionCount, 0);
  await client.end();
  store.wakers[0]?.();
});

test("a port that is taken, or an address that is not ours, is one clear line", async (t) => {
  const { port } = await openPort(t);
  const another = (host: string, at: number): TcpPort =>
    new TcpPort({
      host,
      port: at,
      turn: new TestTurn(),
      execute: new TestStore(undefined).execute,
      requiresAuthentication: false,
      nextSessionId: () => 1,
    });
  await assert.rejects(another("127.0.0.1", port.port).open(), (error) => {
    assert.ok(error instanceof PortFailure);
    assert.equal(error.code, "IN_USE");
    assert.equal(error.message, `port ${port.port} on 127.0.0.1 is taken by another process`);
    return true;
  });
  await assert.rejects(another("192.0.2.1", 0).open(), { code: "NO_SUCH_ADDRESS" });
  const unopened = another("127.0.0.1", 0);
  await unopened.close();
});
