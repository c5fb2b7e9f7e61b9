/** The gateway's /watch over stand-ins for peers: what its reader sees of their deaths, and of their refusals. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { type WatchedPeer, WatchRelay } from "../../server/gateway/watch-relay.ts";
import { passwordCheckOf } from "../../server/password-check.ts";
import { openEventStream } from "../support/event-stream.ts";
import { until } from "../support/processes.ts";

interface FakePeer extends WatchedPeer {
  /** What it was asked, each with the stream it may write to. */
  readonly asked: { readonly request: IncomingMessage; readonly response: ServerResponse }[];
  /** Instead of a stream. */
  refuse: { readonly status: number; readonly body: string } | undefined;
  isUp: boolean;
}

const event = (id: string, key: string): string => `event: set\nid: ${id}\ndata: {"key":"${key}"}\n\n`;

const fakePeer = async (t: TestContext, name: string): Promise<FakePeer> => {
  const asked: FakePeer["asked"] = [];
  const server = createServer((request, response) => {
    asked.push({ request, response });
    const { refuse } = peer;
    if (refuse !== undefined) {
      response.writeHead(refuse.status, { "Content-Type": "application/json" }).end(refuse.body);
      return;
    }
    response.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8" });
    response.write(`: watching\nid: ${String(request.headers["last-event-id"] ?? `${name}.1:1`)}\n\n`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const peer: FakePeer = { name, address: { host: "127.0.0.1", port }, asked, refuse: undefined, isUp: true };
  return peer;
};

const openRelay = async (
  t: TestContext,
  peers: readonly FakePeer[],
  options: { readonly password?: string; readonly gapMs?: number } = {},
) => {
  const relay = new WatchRelay<FakePeer>({
    choose: (avoid) => peers.find((peer) => peer.isUp && !avoid.has(peer)),
    password: options.password,
    checkPassword: passwordCheckOf(options.password),
    limits: { gapMs: options.gapMs ?? 5000, streamsMax: 2 },
  });
  const server = createServer((request, response) => relay.handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    relay.close();
    server.closeAllConnections();
    server.close();
  });
  return { relay, port: (server.address() as AddressInfo).port };
};

test("a stream goes on at another peer behind the last whole event, and its reader sees nothing of it", async (t) => {
  const [a, b] = [await fakePeer(t, "a"), await fakePeer(t, "b")];
  const { relay, port } = await openRelay(t, [a, b]);
  const stream = await openEventStream(port, "/watch?prefix=user:");
  assert.equal(stream.headers["content-type"], "text/event-stream; charset=utf-8");
  await until("a is asked", () => a.asked.length === 1);
  assert.equal(a.asked[0]?.request.url, "/watch?prefix=user:");
  a.asked[0]?.response.write(event("a.1:2", "one"));
  // The next one does not get to its end.
  a.asked[0]?.response.write(event("a.1:3", "two").slice(0, -1));
  await until("one came", () => stream.events.length === 1);
  a.isUp = false;
  a.asked[0]?.response.destroy();
  await until("b is asked", () => b.asked.length === 1);
  assert.equal(b.asked[0]?.request.headers["last-event-id"], "a.1:2");
  b.asked[0]?.response.write(event("a.1:3", "two") + event("b.1:4", "three"));
  await until("all came", () => stream.events.length === 3);
  assert.deepEqual(
    stream.events.map(({ id, data }) => [id, data["key"]]),
    [
      ["a.1:2", "one"],
      ["a.1:3", "two"],
      ["b.1:4", "three"],
    ],
  );
  assert.equal(stream.isEnded(), false);
  assert.equal(relay.counters.moved, 1);
  // A peer that hangs is left too.
  a.isUp = true;
  b.isUp = false;
  relay.leave(b);
  await until("a is asked again", () => a.asked.length === 2);
  assert.equal(a.asked[1]?.request.headers["last-event-id"], "b.1:4");
  stream.close();
  await until("the stream is forgotten", () => relay.count === 0);
});

test("an event that comes in pieces is handed on once it is whole", async (t) => {
  const a = await fakePeer(t, "a");
  const { port } = await openRelay(t, [a]);
  const stream = await openEventStream(port, "/watch");
  await until("a is asked", () => a.asked.length === 1);
  const text = event("a.1:2", "one") + event("a.1:3", "two");
  for (const character of text) {
    a.asked[0]?.response.write(character);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until("both came", () => stream.events.length === 2);
  assert.equal(stream.lastEventId(), "a.1:3");
});

test("where its reader wants to go on is passed to the peer, as header or as token", async (t) => {
  const token = (seq: number): string => `a.000000000000001:${seq}`;
  const a = await fakePeer(t, "a");
  const { port } = await openRelay(t, [a]);
  await openEventStream(port, `/watch?token=${token(7)}&key=x`);
  await openEventStream(port, `/watch?token=${token(7)}`, { "Last-Event-ID": token(9) });
  assert.deepEqual(
    a.asked.map(({ request }) => [request.url, request.headers["last-event-id"]]),
    [
      ["/watch?key=x", token(7)],
      ["/watch", token(9)],
    ],
  );
});

test("what is wrong with the request is told; a peer that is not ready lets another be asked", async (t) => {
  const [a, b] = [await fakePeer(t, "a"), await fakePeer(t, "b")];
  const { port, relay } = await openRelay(t, [a, b], { gapMs: 300 });
  assert.equal((await openEventStream(port, "/watch?nonsense=1")).status, 400);
  assert.equal(a.asked.length, 0);
  a.refuse = { status: 503, body: '{"error":{"code":"STALE"}}' };
  const stream = await openEventStream(port, "/watch");
  assert.deepEqual([stream.status, a.asked.length, b.asked.length], [200, 1, 1]);
  b.refuse = { status: 403, body: '{"error":{"code":"FORBIDDEN"}}' };
  const refused = await openEventStream(port, "/watch");
  assert.equal(refused.status, 403);
  await until("its words came", () => refused.text() === '{"error":{"code":"FORBIDDEN"}}');
  // Nobody but those not ready: the last refusal, after a while.
  b.refuse = a.refuse;
  assert.equal((await openEventStream(port, "/watch")).status, 503);
  a.isUp = b.isUp = false;
  const nobody = await openEventStream(port, "/watch");
  assert.equal(nobody.status, 503);
  await until("its words came", () => nobody.text().includes("UNREACHABLE"));
  assert.equal(relay.count, 1);
});

test("the password is asked of readers and given to peers", async (t) => {
  const a = await fakePeer(t, "a");
  const { port } = await openRelay(t, [a], { password: "open sesame" });
  const nobody = await openEventStream(port, "/watch");
  assert.equal(nobody.status, 401);
  assert.equal(a.asked.length, 0);
  const basic = Buffer.from("default:open sesame").toString("base64");
  assert.equal((await openEventStream(port, "/watch", { Authorization: `Basic ${basic}` })).status, 200);
  assert.equal(a.asked[0]?.request.headers.authorization, `Basic ${basic}`);
});

test("more streams than allowed are refused; a gateway that stops ends them", async (t) => {
  const a = await fakePeer(t, "a");
  const { relay, port } = await openRelay(t, [a]);
  const streams = [await openEventStream(port, "/watch"), await openEventStream(port, "/watch")];
  assert.equal((await openEventStream(port, "/watch")).status, 503);
  relay.close();
  await until("they end", () => streams.every((stream) => stream.isEnded()));
  assert.equal((await openEventStream(port, "/watch")).status, 503);
});
