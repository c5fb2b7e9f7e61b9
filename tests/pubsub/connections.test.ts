/** What is pushed to connections of a real port: its place among replies, its forms, and what a slow reader costs. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { TcpPortOptions } from "../../server/ports/tcp.ts";
import { PubSubMessage } from "../../server/pubsub/push.ts";
import { fakePeerWithCommands } from "../support/fake-host.ts";
import { encodeCommand } from "../support/redis-process.ts";
import { openPort, until } from "../wire/harness.ts";

const limits = { pushBytesMax: 512 * 1024, pushBytesSoft: 64 * 1024, pushSoftMs: 100 };

const open = async (t: Parameters<typeof openPort>[0], options: Partial<TcpPortOptions> = {}) => {
  const { host, execute } = fakePeerWithCommands();
  const opened = await openPort(t, {
    execute,
    onSessionClosed: (session) => {
      host.pubSub.leave(session);
      host.monitors.remove(session);
    },
    ...options,
  });
  return { ...opened, hub: host.pubSub, monitors: host.monitors };
};

describe("messages on a connection", () => {
  test("a RESP3 client that publishes to itself has its reply first, also in a transaction", async (t) => {
    const { connect } = await open(t);
    const client = await connect();
    const hello = encodeCommand(["HELLO", "3"]) + encodeCommand(["SUBSCRIBE", "c"]);
    client.send(hello);
    await until(() => client.received.endsWith("$1\r\nc\r\n:1\r\n"), "the confirmation");
    const push = (text: string): string => `>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n${text}\r\n`;
    const publish = (text: string): string => encodeCommand(["PUBLISH", "c", text]);
    const alone = `:1\r\n${push("1")}`;
    assert.equal(await client.ask(publish("1"), alone), alone);
    const inExec = `+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n:1\r\n${push("2")}${push("3")}`;
    const transaction = encodeCommand(["MULTI"]) + publish("2") + publish("3") + encodeCommand(["EXEC"]);
    assert.equal(await client.ask(transaction, inExec), inExec);
  });

  test("a person at nc reads them line by line", async (t) => {
    const { connect, hub } = await open(t);
    const client = await connect();
    const confirmed = '1) "subscribe"\n2) "news"\n3) (integer) 1\n';
    assert.equal(await client.ask("SUBSCRIBE news\n", confirmed), confirmed);
    client.received = "";
    hub.publish("news", "it rains\n");
    const message = '1) "message"\n2) "news"\n3) "it rains\\n"\n';
    await until(() => client.received.length >= message.length, "the message");
    assert.equal(client.received, message);
    const refusal =
      "ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\n";
    assert.equal(await client.ask("GET a\n", refusal), refusal);
    const none = '1) "unsubscribe"\n2) (nil)\n3) (integer) 0\n';
    const left = '1) "unsubscribe"\n2) "news"\n3) (integer) 0\n';
    assert.equal(await client.ask("UNSUBSCRIBE\nUNSUBSCRIBE\n", left + none), left + none);
  });

  test("subscribing inside MULTI is refused, and spoils nothing", async (t) => {
    const { connect } = await open(t);
    const client = await connect();
    const refusal = "-ERR Command not allowed inside a transaction\r\n";
    const wanted = `+OK\r\n${refusal}${refusal}-EXECABORT Transaction discarded because of previous errors.\r\n`;
    assert.equal(await client.ask("MULTI\r\nSUBSCRIBE a\r\nMONITOR\r\nEXEC\r\n", wanted), wanted);
  });

  test("a connection that is gone listens no more", async (t) => {
    const { connect, hub, monitors } = await open(t);
    const client = await connect();
    client.send("SUBSCRIBE a b\r\nPSUBSCRIBE x* y*\r\nRESET\r\nHELLO 3\r\nSUBSCRIBE a\r\nPSUBSCRIBE x*\r\nMONITOR\r\n");
    await until(() => monitors.active, "it monitors");
    assert.deepEqual(hub.counts, { channels: 1, patterns: 1, clients: 1 });
    client.socket.destroy();
    await until(() => hub.counts.clients === 0, "it left");
    assert.deepEqual(hub.counts, { channels: 0, patterns: 0, clients: 0 });
    assert.equal(monitors.active, false);
    assert.equal(hub.publish("a", "x"), 0);
  });

  test("a reader that stops is cut at the bound, holds no more than it, and delays nobody", async (t) => {
    const { connect, hub, port } = await open(t, { limits });
    const [slow, quick] = [await connect(), await connect()];
    for (const client of [slow, quick]) {
      client.send("SUBSCRIBE c\r\n");
      await until(() => client.received.includes(":1\r\n"), "subscribed");
    }
    slow.socket.pause();
    const message = "x".repeat(64 * 1024);
    const most = (): number => Math.max(...[...port.sessions()].map((session) => session.queuedOutputBytes));
    let sent = 0;
    // The kernel takes some megabytes before anything waits here.
    while (hub.publish("c", message) === 2) {
      sent += 1;
      assert.ok(most() <= limits.pushBytesMax, `${most()} bytes queued`);
      assert.ok(sent < 2000, "it is cut some time");
      await until(() => quick.receivedBytes > sent * message.length, "the other has it");
    }
    assert.equal(port.counters.closedForOutput, 1);
    const before = quick.receivedBytes;
    assert.equal(hub.publish("c", message), 1);
    await until(() => quick.receivedBytes > before, "the other goes on");
  });

  test("many messages in one turn are bounded too", async (t) => {
    const { connect, hub, port } = await open(t, { limits });
    const client = await connect();
    client.send("SUBSCRIBE c\r\n");
    await until(() => client.received.includes(":1\r\n"), "subscribed");
    const message = new PubSubMessage("message", "c", "y".repeat(100_000)).text(2).length;
    let published = 0;
    while (port.counters.closedForOutput === 0) {
      hub.publish("c", "y".repeat(100_000));
      published += 1;
      assert.ok(published * message < limits.pushBytesMax + 2 * message, "cut at the bound, in the same turn");
    }
    await client.end();
  });

  test("a reader that is behind for too long is cut, below the bound as well", async (t) => {
    const { connect, hub, port } = await open(t, { limits });
    const client = await connect();
    client.send("SUBSCRIBE c\r\n");
    await until(() => client.received.includes(":1\r\n"), "subscribed");
    client.socket.pause();
    const session = [...port.sessions()][0];
    assert.ok(session !== undefined);
    // Until as much waits here as the soft bound speaks of, then not a byte more.
    for (let sent = 0; session.queuedOutputBytes <= limits.pushBytesSoft; sent += 1) {
      assert.ok(sent < 5000);
      hub.publish("c", "z".repeat(16 * 1024));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => port.counters.closedForOutput === 1, "it is cut");
  });

  test("MONITOR is cut off like a subscriber, and redacts and shortens", async (t) => {
    const { connect, monitors } = await open(t);
    const [watcher, client] = [await connect(), await connect()];
    assert.equal(await watcher.ask("MONITOR\n", "OK\n"), "OK\n");
    watcher.received = "";
    const large = "v".repeat(10_000);
    client.send(encodeCommand(["AUTH", "default", "secret"]));
    client.send(encodeCommand(["HELLO", "3", "SETNAME", "AUTH", "AUTH", "default", "secret"]));
    client.send(encodeCommand(["hello", "3", "auth", "secret"]));
    client.send(encodeCommand(["SET", "k", large]));
    client.send(encodeCommand(["MGET", ...Array.from({ length: 200 }, (_, index) => `k${index}`)]));
    await until(() => watcher.received.includes("more arguments"), "the last");
    const lines = watcher.received.split("\n");
    assert.match(lines[0] ?? "", /^\d+\.\d{6} \[0 127\.0\.0\.1:\d+\] "AUTH" "\(redacted\)" "\(redacted\)"$/);
    assert.match(lines[1] ?? "", /"HELLO" "3" "SETNAME" "AUTH"( "\(redacted\)"){3}$/);
    assert.match(lines[2] ?? "", /"hello" "3" "auth" "\(redacted\)"$/);
    assert.match(lines[3] ?? "", /"SET" "k" "v{4096}\.\.\. \(5904 more bytes\)"$/);
    assert.match(lines[4] ?? "", /"k126" "\.\.\. \(73 more arguments\)"$/);
    assert.ok(!watcher.received.includes("secret"));
    watcher.socket.destroy();
    await until(() => !monitors.active, "nobody monitors");
  });

  test("CLIENT LIST tells who listens", async () => {
    const { host, client } = fakePeerWithCommands();
    const [listener, watcher, plain] = [client(3), client(2), client(0)];
    await listener.line("SUBSCRIBE a b");
    await listener.line("PSUBSCRIBE c*");
    await watcher.line("MONITOR");
    const text = await plain.line("CLIENT LIST");
    assert.match(text, new RegExp(`id=${listener.session.id} .* flags=P db=0 sub=2 psub=1 `));
    assert.match(text, new RegExp(`id=${watcher.session.id} .* flags=O db=0 sub=0 psub=0 `));
    assert.match(text, new RegExp(`id=${plain.session.id} .* flags=N `));
    const ids = async (type: string): Promise<string[]> =>
      [...(await plain.line(`CLIENT LIST TYPE ${type}`)).matchAll(/^id=(\d+)/gm)].map(([, id]) => id ?? "");
    assert.deepEqual(await ids("pubsub"), [String(listener.session.id)]);
    assert.equal((await ids("normal")).length, 2);
    assert.equal(await plain.line("CLIENT KILL TYPE pubsub"), "(integer) 1\n");
    assert.deepEqual(host.killed, [listener.session]);
  });

  test("bounds on subscriptions refuse the whole command", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client(3);
    const long = "c".repeat(64 * 1024 + 1);
    assert.match(await client.send(["SUBSCRIBE", "a", long]), /^-ERR a channel or pattern is longer than 65536 bytes/);
    assert.match(await client.send(["PUBLISH", long, "x"]), /^-ERR a channel is longer/);
    const names = Array.from({ length: 100_000 }, (_, index) => `c${index}`);
    await client.send(["SUBSCRIBE", ...names.slice(1)]);
    assert.match(await client.send(["SUBSCRIBE", "x", "y"]), /^-ERR too many subscriptions, limit 100000 of/);
    assert.equal(peer.host.pubSub.counts.channels, 99_999);
    const other = peer.client(3);
    const fat = Array.from({ length: 257 }, (_, index) => `${index}`.padEnd(65_536, "."));
    assert.match(await other.send(["PSUBSCRIBE", ...fat]), /^-ERR too many subscriptions/);
    assert.equal(peer.host.pubSub.counts.patterns, 0);
  });
});
