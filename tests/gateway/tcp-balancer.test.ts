import assert from "node:assert/strict";
import { createServer, connect as dial, type Server, Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { parseProxyHeader } from "../../protocol/proxy-protocol.ts";
import { ReadBuffer, readInto } from "../../server/gateway/read-buffer.ts";
import { TcpBalancer, type TcpBalancerOptions, type TcpTarget } from "../../server/gateway/tcp-balancer.ts";
import { until } from "../support/processes.ts";

interface FakePeer extends TcpTarget {
  readonly sockets: Socket[];
  readonly server: Server;
}

/** Echoes, unless told otherwise. */
const fakePeer = async (t: TestContext, name: string, onSocket?: (socket: Socket) => void): Promise<FakePeer> => {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined);
    if (onSocket !== undefined) return onSocket(socket);
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const address = server.address();
  assert(typeof address === "object" && address !== null);
  return { name, host: "127.0.0.1", port: address.port, sockets, server };
};

/** For until(): a count that is no longer 0 was the same at several looks on end. */
const standsStill = (count: () => number, looks = 5): (() => boolean) => {
  let before = 0;
  let same = 0;
  return () => {
    const now = count();
    same = now > 0 && now === before ? same + 1 : 0;
    before = now;
    return same >= looks;
  };
};

const open = async (
  t: TestContext,
  peers: readonly TcpTarget[],
  options: Partial<TcpBalancerOptions> = {},
): Promise<{ readonly balancer: TcpBalancer; readonly refused: string[] }> => {
  const refused: string[] = [];
  const balancer = new TcpBalancer({
    host: "127.0.0.1",
    port: 0,
    proxyProtocol: "off",
    targets: () => peers.map((target) => ({ target, share: 1 })),
    onRefused: ({ name }) => refused.push(name),
    ...options,
  });
  await balancer.open();
  t.after(() => balancer.close(0));
  return { balancer, refused };
};

const client = (t: TestContext, { port }: TcpBalancer): { readonly socket: Socket; text: () => string } => {
  const socket = dial({ port, host: "127.0.0.1", allowHalfOpen: true });
  let text = "";
  socket.on("error", () => undefined);
  socket.setEncoding("latin1").on("data", (chunk: string) => {
    text += chunk;
  });
  t.after(() => socket.destroy());
  return { socket, text: () => text };
};

test("connections are shared out, and bytes go both ways", async (t) => {
  const peers = [await fakePeer(t, "a"), await fakePeer(t, "b")];
  const { balancer } = await open(t, peers);
  const clients = [1, 2, 3, 4].map(() => client(t, balancer));
  for (const [index, { socket }] of clients.entries()) socket.write(`hello ${index}`);
  await until("echoes", () => clients.every(({ text }, index) => text() === `hello ${index}`));
  assert.deepEqual([balancer.connectionsOf("a"), balancer.connectionsOf("b")], [2, 2]);
  for (const { socket } of clients) socket.destroy();
  await until("all gone", () => balancer.connectionCount === 0 && balancer.connectionsOf("a") === 0);
});

test("a client that ends its side is still answered", async (t) => {
  const peer = await fakePeer(t, "a", (socket) => {
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk;
    });
    socket.on("end", () => socket.end(`all of ${text.length}`));
  });
  const { balancer } = await open(t, [peer]);
  const { socket, text } = client(t, balancer);
  socket.end("x".repeat(100_000));
  await until("the answer", () => text() === "all of 100000");
  await until("gone", () => balancer.connectionCount === 0);
});

test("whoever does not read is not read for: memory stays bounded", async (t) => {
  let sent = 0;
  const peer = await fakePeer(t, "a", (socket) => {
    const chunk = Buffer.alloc(64 * 1024);
    const pump = (): void => {
      while (sent < 64 * 1024 * 1024) {
        sent += chunk.length;
        if (!socket.write(chunk)) return void socket.once("drain", pump);
      }
    };
    pump();
  });
  const { balancer } = await open(t, [peer]);
  const socket = dial({ port: balancer.port, host: "127.0.0.1" });
  socket.on("error", () => undefined);
  t.after(() => socket.destroy());
  await until("bytes", () => balancer.counters.bytesOut > 0);
  await until(
    "no more come",
    standsStill(() => balancer.counters.bytesOut),
  );
  assert(balancer.counters.bytesOut < 32 * 1024 * 1024, `${balancer.counters.bytesOut} bytes were taken`);
  let got = 0;
  socket.on("data", (chunk) => {
    got += chunk.length;
  });
  await until("the rest comes when it is read", () => got >= 64 * 1024 * 1024);
});

for (const adopt of [readInto, (accepted: Socket): Socket => accepted]) {
  const how = adopt === readInto ? "ours" : "node's";
  test(`both ways, what is read late is what was sent; read into memory of ${how}`, async (t) => {
    // Every 32-bit word tells its place, so that a byte overwritten while it waits to be sent shows.
    const words = 6 * 1024 * 1024;
    const all = Buffer.alloc(words * 4);
    for (let at = 0; at < words; at++) all.writeUInt32LE(at, at * 4);
    // It echoes, so while the client does not read the bytes wait on both ways.
    const { balancer } = await open(t, [await fakePeer(t, "a")], { adopt });
    const socket = dial({ port: balancer.port, host: "127.0.0.1", allowHalfOpen: true });
    t.after(() => socket.destroy());
    let at = 0;
    const pump = (): void => {
      // Few enough at a time that most reads stay short of their memory.
      const end = Math.min(all.length, at + 1 + ((at * 7919) % 20_000));
      const isRoomLeft = socket.write(all.subarray(at, end));
      at = end;
      if (at === all.length) socket.end();
      else if (isRoomLeft) setImmediate(pump);
      else socket.once("drain", pump);
    };
    pump();
    await until(
      "what the system takes for somebody who does not read is full",
      standsStill(() => balancer.counters.bytesIn),
    );
    let got = 0;
    let wrongAt = -1;
    let reads = 0;
    let isEnded = false;
    socket.on("data", (chunk: Buffer) => {
      if (wrongAt < 0 && !chunk.equals(all.subarray(got, got + chunk.length))) wrongAt = got;
      got += chunk.length;
      reads += 1;
      if (reads % 64 !== 0) return;
      socket.pause();
      setTimeout(() => socket.resume(), 1);
    });
    socket.on("end", () => {
      isEnded = true;
    });
    await until("all of it, and its end", () => isEnded || wrongAt >= 0);
    assert.deepEqual([wrongAt, got], [-1, all.length]);
    await until("gone", () => balancer.connectionCount === 0);
  });
}

test("a socket without what it takes is left as it is", () => {
  for (const handle of [undefined, null, {}]) {
    const socket = new Socket();
    Object.assign(socket, { _handle: handle });
    assert.equal(readInto(socket, new ReadBuffer()), socket);
    Object.assign(socket, { _handle: null });
  }
});

test("this node has what it takes to read into memory of ours", async (t) => {
  const peer = await fakePeer(t, "a");
  const adopted: boolean[] = [];
  const adopt = (accepted: Socket, buffer: ReadBuffer): Socket => {
    const socket = readInto(accepted, buffer);
    adopted.push(socket !== accepted);
    // Bytes that came as events were not read into it.
    socket.on("data", () => adopted.push(false));
    return socket;
  };
  const { balancer } = await open(t, [peer], { adopt });
  const { socket, text } = client(t, balancer);
  socket.write("hello");
  await until("the echo", () => text() === "hello");
  assert.deepEqual(adopted, [true]);
});

test("a peer that takes no connection is passed over; while there is none, a client waits", async (t) => {
  const gone = await fakePeer(t, "gone");
  await new Promise((resolve) => gone.server.close(resolve));
  const peer = await fakePeer(t, "b");
  const targets: TcpTarget[] = [gone];
  const { balancer, refused } = await open(t, targets);
  const { socket, text } = client(t, balancer);
  socket.write("hello");
  await until("it was tried", () => refused.includes("gone"));
  targets.push(peer);
  await until("the echo", () => text() === "hello");
});

test("a peer that is given up: its clients are cut, the others' not", async (t) => {
  const [a, b] = [await fakePeer(t, "a"), await fakePeer(t, "b")];
  const { balancer } = await open(t, [a, b]);
  const clients = [1, 2].map(() => client(t, balancer));
  for (const { socket } of clients) socket.write("x");
  await until("echoes", () => clients.every(({ text }) => text() === "x"));
  let closed = 0;
  for (const { socket } of clients) socket.on("close", () => closed++);
  for (const { socket } of clients) socket.on("end", () => socket.end());
  balancer.cutPeer("a");
  await until("one is cut", () => closed === 1);
  assert.deepEqual([balancer.connectionsOf("b"), balancer.connectionCount], [1, 1]);
});

test("stopping ends what is idle at once, waits for an answer under way, and cuts what takes too long", async (t) => {
  const answers: (() => void)[] = [];
  const peer = await fakePeer(t, "a", (socket) => {
    socket.on("data", () => answers.push(() => socket.write("answer")));
    socket.on("end", () => socket.end());
  });
  const { balancer } = await open(t, [peer]);
  const [idle, asking, endless] = [1, 2, 3].map(() => client(t, balancer));
  assert(idle !== undefined && asking !== undefined && endless !== undefined);
  await until("all are carried", () => balancer.connectionsOf("a") === 3 && peer.sockets.length === 3);
  const ends: string[] = [];
  for (const [name, { socket }] of Object.entries({ idle, asking, endless })) {
    socket.on("end", () => socket.end());
    socket.on("close", () => ends.push(name));
  }
  asking.socket.write("?");
  await until("the question", () => answers.length === 1);
  endless.socket.write("?");
  await until("both questions", () => answers.length === 2);
  const closing = balancer.close(1500);
  await until("the idle one", () => ends.length === 1);
  assert.deepEqual(ends, ["idle"]);
  answers[0]?.();
  await until("the answered one", () => ends.length === 2);
  assert.deepEqual([ends[1], asking.text()], ["asking", "answer"]);
  await closing;
  await until("the endless one", () => ends.length === 3);
  const late = client(t, { port: balancer.port || 1 } as TcpBalancer);
  await until("nobody listens", () => late.socket.destroyed);
});

test("a PROXY header goes before the client's first byte", async (t) => {
  for (const proxyProtocol of ["v1", "v2"] as const) {
    let received = "";
    const peer = await fakePeer(t, "a", (socket) => {
      socket.setEncoding("latin1").on("data", (chunk: string) => {
        received += chunk;
      });
    });
    const { balancer } = await open(t, [peer], { proxyProtocol });
    const { socket } = client(t, balancer);
    socket.write("PING\r\n");
    await until("all", () => received.endsWith("PING\r\n"));
    const header = parseProxyHeader(received);
    assert(header.kind === "whole");
    assert.deepEqual(header.from, { address: "127.0.0.1", port: socket.localPort });
    assert.equal(received.slice(header.bytes), "PING\r\n");
  }
});
