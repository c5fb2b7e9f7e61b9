/** What strangers send, and authenticated peers gone wrong (reliability: the table from CVEs to tests). */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, afterEach, before, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { WebSocket } from "ws";
import { handshakeBytesMax } from "../../protocol/limits.ts";
import { type PeerName, strongPrefixesDefault } from "../../protocol/words.ts";
import { clusterIdOf, DialerHandshake } from "../../server/links/handshake.ts";
import {
  closeDoors,
  connectRaw,
  type Door,
  eventually,
  frame,
  name,
  openDoors,
  readToEnd,
  run,
  startPeer,
  type TestPeer,
  upgradeRequest,
} from "./harness.ts";

let doors: Map<PeerName, Door>;
let b: TestPeer;
const all = [name("a"), name("b")];
before(async () => {
  doors = await openDoors("a", "b");
});
const start = (timing: { handshakeTimeoutMs?: number; closeTimeoutMs?: number } = {}): TestPeer =>
  startPeer({ name: "b", doors, more: { timing: { handshakeTimeoutMs: 400, closeTimeoutMs: 100, ...timing } } });
afterEach(async () => {
  await b.close();
});
after(() => closeDoors(doors));

/** A WebSocket that plays peer a as far as told. */
const dial = async (headers: Record<string, string> = {}): Promise<WebSocket> => {
  const ws = new WebSocket(`ws://127.0.0.1:${b.port}/peer`, { perMessageDeflate: false, headers });
  ws.on("error", () => undefined);
  await once(ws, "open");
  return ws;
};
const textOf = async (ws: WebSocket): Promise<string> => String(((await once(ws, "message")) as [Buffer])[0]);
const hello = (): DialerHandshake =>
  new DialerHandshake({
    identity: {
      name: name("a"),
      incarnation: run(1),
      clusterId: clusterIdOf(all),
      peers: all,
      secrets: [],
      strongPrefixes: strongPrefixesDefault,
    },
    peer: name("b"),
    nonce: Buffer.alloc(32, 1),
    admit: () => undefined,
  });
const linked = async (): Promise<WebSocket> => {
  const ws = await dial();
  const handshake = hello();
  ws.send(handshake.open());
  const step = handshake.receive(await textOf(ws));
  assert.ok(step.type === "continue");
  ws.send(step.send);
  assert.equal(handshake.receive(await textOf(ws)).type, "accepted");
  assert.ok(b.links.link(name("a")) !== undefined);
  return ws;
};
const afterUpgrade = async (...bytes: Uint8Array[]): Promise<string> => {
  const socket = await connectRaw(b.port);
  const said = readToEnd(socket);
  socket.write(Buffer.concat([Buffer.from(upgradeRequest()), ...bytes]));
  return said;
};

test("before authentication: binary, too long, garbage and silence are refused and closed, and nobody is let in", async () => {
  b = start({ handshakeTimeoutMs: 1500, closeTimeoutMs: 2000 });
  const table: [why: string, send: (ws: WebSocket) => void, told: RegExp | undefined][] = [
    ["binary", (ws) => ws.send(Buffer.from([1, 2, 3])), /BAD_MESSAGE.*binary message before authentication/],
    ["a ping of the links", (ws) => ws.send(Buffer.from("f0000000010000000000000000", "hex")), /BAD_MESSAGE.*binary/],
    ["5 KiB", (ws) => ws.send("x".repeat(5120)), /BAD_MESSAGE.*message of 5120 bytes before authentication/],
    ["garbage", (ws) => ws.send("{{{"), /BAD_MESSAGE.*not JSON/],
    ["silence", () => undefined, undefined],
  ];
  for (const [why, send, told] of table) {
    const ws = await dial();
    const texts: string[] = [];
    ws.on("message", (data) => texts.push(String(data)));
    send(ws);
    await once(ws, "close");
    if (told === undefined) assert.deepEqual(texts, [], why);
    else assert.match(texts.join(), told, why);
  }
  await eventually("all gone", () => b.links.unauthenticated === 0);
  assert.ok(!b.log.some((line) => line.startsWith("up")));
});

test("before authentication: bytes are counted, whatever they claim to be", async () => {
  b = start();
  const table: [why: string, bytes: Buffer[]][] = [
    ["a frame that claims 4 GiB", [frame(2, Buffer.alloc(10), { claim: 4n * 1024n ** 3n })]],
    ["a frame that claims 2^62", [frame(1, Buffer.alloc(10), { claim: 2n ** 62n })]],
    ["one that claims the most allowed, and sends on", [frame(1, Buffer.alloc(100_000, 65), { claim: 30_000_000n })]],
    [
      "many tiny fragments",
      [frame(1, "x", { fin: false }), ...Array.from({ length: 5000 }, () => frame(0, "x", { fin: false }))],
    ],
    [
      "many empty fragments",
      [frame(1, "", { fin: false }), ...Array.from({ length: 5000 }, () => frame(0, "", { fin: false }))],
    ],
    ["many WebSocket pings", Array.from({ length: 3000 }, () => frame(9, "ping"))],
    ["unmasked", [Buffer.from([0x81, 0x02, 0x7b, 0x7d])]],
    ["a reserved opcode", [frame(3, "x")]],
  ];
  for (const [why, bytes] of table) {
    let said = await afterUpgrade(...bytes);
    while (said.startsWith("HTTP/1.1 429 ")) said = await afterUpgrade(...bytes);
    assert.match(said, /^HTTP\/1\.1 101 /, why);
    // Silent but for a refusal and a close frame.
    assert.ok(said.length < 1000, why);
  }
  await eventually("all gone", () => b.links.unauthenticated === 0);
});

test("before authentication a flood holds no memory: it is cut after the limit and one read", async () => {
  b = start();
  const socket = await connectRaw(b.port);
  socket.write(upgradeRequest());
  await once(socket, "data");
  socket.write(frame(1, Buffer.alloc(0), { claim: 40_000_000n }));
  const chunk = Buffer.alloc(16 * 1024, 65);
  let written = 0;
  while (!socket.destroyed && written < 40_000_000) {
    written += chunk.length;
    if (!socket.write(chunk)) await Promise.race([once(socket, "drain"), once(socket, "close")]).catch(() => undefined);
  }
  await eventually("cut", () => socket.destroyed);
  // What the kernel takes on the way is not ours.
  assert.ok(written < 12_000_000, `${written} bytes taken, limit ${handshakeBytesMax}`);
  await eventually("gone", () => b.links.unauthenticated === 0);
});

test("the upgrade itself: Origin, wrong path, bad keys, long and odd headers", async () => {
  b = start();
  const table: [why: string, request: string, status: RegExp][] = [
    ["a web page", upgradeRequest("/peer", "Origin: http://127.0.0.1"), /^HTTP\/1\.1 403 /],
    ["an old web page", upgradeRequest("/peer", "Sec-WebSocket-Origin: null"), /^HTTP\/1\.1 403 /],
    ["bad key", upgradeRequest().replace("AAAA==", "AA"), /^HTTP\/1\.1 400 /],
    ["bad version", upgradeRequest().replace("Version: 13", "Version: 99"), /^HTTP\/1\.1 400 /],
    ["POST", upgradeRequest().replace("GET", "POST"), /^HTTP\/1\.1 405 /],
    ["a bad protocol list", upgradeRequest("/peer", "Sec-WebSocket-Protocol: a,,b"), /^HTTP\/1\.1 400 /],
    ["headers of 20 KiB", upgradeRequest("/peer", `X: ${"x".repeat(20_000)}`), /^HTTP\/1\.1 431 /],
  ];
  for (const [why, request, status] of table) {
    const socket = await connectRaw(b.port);
    const said = readToEnd(socket);
    socket.write(request);
    assert.match(await said, status, why);
  }
  const slow = performance.now();
  const hostile: string[] = [
    `Sec-WebSocket-Protocol: ${"a".repeat(7000)}`,
    `Sec-WebSocket-Protocol: a${" ".repeat(7000)}b`,
    `Sec-WebSocket-Extensions: ${'permessage-deflate; a="\\\\", '.repeat(200)}`,
    "Sec-WebSocket-Extensions: constructor",
  ];
  for (const header of hostile) {
    const socket = await connectRaw(b.port);
    socket.write(upgradeRequest("/peer", header));
    const [data] = (await once(socket, "data")) as [Buffer];
    assert.match(data.toString(), /^HTTP\/1\.1 (101|400) /);
    assert.doesNotMatch(data.toString(), /^Sec-WebSocket-(Protocol|Extensions):/m, "nothing is negotiated");
    socket.destroy();
  }
  assert.ok(performance.now() - slow < 2000);
  const ws = await linked();
  ws.terminate();
});

test("strangers that fail again and again must wait, and a peer gets in all the same", async () => {
  b = start();
  let waits = 0;
  for (let i = 0; i < 12; i++) if (/^HTTP\/1\.1 429 /.test(await afterUpgrade(frame(1, "garbage")))) waits += 1;
  assert.ok(waits > 0);
  const a = startPeer({ name: "a", doors });
  await eventually("linked", () => a.log[0] === "up b 1");
  await a.close();
});

test("sockets that wait to authenticate are few, and those that do hold up nobody", async () => {
  b = start({ handshakeTimeoutMs: 1500 });
  const sockets = await Promise.all(Array.from({ length: 40 }, () => connectRaw(b.port)));
  const answers = sockets.map(async (socket) => String(((await once(socket, "data")) as [Buffer])[0]).slice(9, 12));
  for (const socket of sockets) socket.write(upgradeRequest());
  const statuses = await Promise.all(answers);
  assert.deepEqual([statuses.filter((s) => s === "101").length, statuses.filter((s) => s === "503").length], [16, 24]);
  assert.equal(b.links.unauthenticated, 16);
  await eventually("their time is over", () => b.links.unauthenticated === 0);
  const a = startPeer({ name: "a", doors });
  await eventually("linked", () => a.log[0] === "up b 1");
  await a.close();
  for (const socket of sockets) socket.destroy();
});

test("after authentication: text, empty, unknown control, fragments and a frame of 4 GiB close the link and say why", async () => {
  b = start();
  const table: [why: string, send: (ws: WebSocket) => void, reason: RegExp][] = [
    ["text", (ws) => ws.send("{}"), /text message after authentication/],
    ["empty", (ws) => ws.send(Buffer.alloc(0)), /empty message/],
    ["unknown control", (ws) => ws.send(Buffer.from([0xff, 1, 2])), /unknown control message 0xff/],
    ["a short ping", (ws) => ws.send(Buffer.from([0xf0])), /unknown control message 0xf0/],
    [
      "many fragments",
      (ws) => {
        for (let i = 0; i < 40; i++) ws.send("x", { fin: false, binary: true });
      },
      /Too many message fragments/,
    ],
    [
      "4 GiB claimed",
      (ws) => rawSocketOf(ws).write(frame(2, "x", { claim: 4n * 1024n ** 3n })),
      /Max payload size exceeded/,
    ],
    [
      "one byte too long",
      (ws) => rawSocketOf(ws).write(frame(2, "x", { claim: BigInt(40 * 1024 * 1024 + 64 * 1024 + 1) })),
      /Max payload size/,
    ],
  ];
  for (const [why, send, reason] of table) {
    b.log.length = 0;
    const ws = await linked();
    send(ws);
    await eventually(why, () => b.log.length === 2);
    assert.match(b.log[1] ?? "", reason, why);
    if (ws.readyState !== WebSocket.CLOSED) await once(ws, "close");
  }
});
/** To write what ws itself would not. */
const rawSocketOf = (ws: WebSocket): { write(bytes: Buffer): void } =>
  (ws as unknown as { _socket: { write(bytes: Buffer): void } })._socket;

test("handshake and messages may come one byte at a time", async () => {
  b = start();
  const handshake = hello();
  const socket = await connectRaw(b.port);
  socket.setNoDelay(true);
  const said: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => said.push(chunk));
  const drip = async (bytes: Buffer): Promise<void> => {
    for (const byte of bytes) {
      socket.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  socket.write(upgradeRequest());
  await eventually("upgraded", () => said.length > 0);
  await drip(frame(1, handshake.open()));
  const jsonSaid = (): string =>
    Buffer.concat(said)
      .toString("latin1")
      .match(/\{"type":"challenge".*\}/)?.[0] ?? "";
  await eventually("challenged", () => jsonSaid() !== "");
  const step = handshake.receive(jsonSaid());
  assert.ok(step.type === "continue");
  await drip(frame(1, step.send));
  await eventually("up", () => b.log[0] === "up a 1");
  await drip(frame(2, "hello replica"));
  await eventually("arrived", () => b.messages[0]?.text === "hello replica");
  socket.destroy();
  await eventually("down", () => b.log[1] === "down a 1: the connection broke");
});

test("frames right behind the accept are not held against the handshake's budget", async () => {
  b = start();
  const big = Buffer.alloc(60_000, 2);
  b.onUp = (link) => {
    for (let i = 0; i < 5; i++) link.send(big);
  };
  const a = startPeer({ name: "a", doors });
  await eventually("arrived", () => a.messages.length === 5);
  assert.ok(a.messages.every(({ text }) => text.length === big.length));
  assert.deepEqual(a.log, ["up b 1"]);
  await a.close();
});

test("bad handshakes leave nothing behind", async () => {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  b = start({ handshakeTimeoutMs: 2000, closeTimeoutMs: 20 });
  // Another cluster: refused after it was read, and not counted as a failed authentication.
  const stranger = hello()
    .open()
    .replace(/"clusterId":"[^"]*"/, '"clusterId":"other"');
  const knock = async (): Promise<void> => {
    assert.match(await afterUpgrade(frame(1, stranger), frame(1, "y".repeat(3000))), /WRONG_CLUSTER/);
  };
  const knockOften = async (): Promise<number> => {
    for (let i = 0; i < 10; i++) await Promise.all(Array.from({ length: 12 }, knock));
    await eventually("all gone", () => b.links.unauthenticated === 0);
    gc();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  // Collections come when they will, so single figures are noise; but a leak only ever grows.
  const before = Math.min(await knockOften(), await knockOften(), await knockOften());
  let grownBytes = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 10 && grownBytes > 120 * 2000; i++) grownBytes = (await knockOften()) - before;
  assert.ok(grownBytes <= 120 * 2000, `${grownBytes} bytes more in the end`);
});
