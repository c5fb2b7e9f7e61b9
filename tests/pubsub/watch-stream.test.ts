/** GET /watch at a real peer: what is told, going on after a break, who is let in, and readers that are slow. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";
import { parsePeerMessage } from "../../protocol/client-messages.ts";
import { parseWatchQuery } from "../../server/ports/watch-query.ts";
import { WatchStreams, type WatchStreamsOptions } from "../../server/ports/watch-stream.ts";
import { type EventStream, openEventStream } from "../support/event-stream.ts";
import { type PeerForTest, startPeerForTest } from "../support/peer-for-test.ts";
import { until as eventually } from "../support/processes.ts";
import { RespClient } from "../support/resp-client.ts";

const until = (what: string, holds: () => boolean): Promise<void> => eventually(what, () => Promise.resolve(holds()));

const linesOf = ({ events }: Pick<EventStream, "events">): string[] =>
  events.map(({ event, data }) => [event, data["key"], data["value"]].filter((part) => part !== undefined).join(" "));

describe("watching a peer", () => {
  let peer: PeerForTest;
  let client: RespClient;
  const streams: EventStream[] = [];
  const watch = async (path: string, headers: Record<string, string> = {}): Promise<EventStream> => {
    const stream = await openEventStream(peer.httpPort, path, headers);
    streams.push(stream);
    return stream;
  };
  before(async () => {
    peer = await startPeerForTest({ flags: { allowOrigin: "https://app.example" } });
    client = await RespClient.connect({ port: peer.port });
  });
  after(async () => {
    for (const stream of streams) stream.close();
    client?.close();
    await peer?.stop();
  });

  test("every change of the keys asked for is an event, with the JSON of the client protocol", async () => {
    const all = await watch("/watch");
    const users = await watch("/watch?prefix=user%3a");
    const one = await watch("/watch?key=%ff%00+");
    const bare = await watch("/watch?prefix=user:&values=no");
    assert.equal(all.status, 200);
    assert.equal(all.headers["content-type"], "text/event-stream; charset=utf-8");
    assert.equal(all.headers["access-control-allow-origin"], undefined);
    await client.call("SET", "user:1", "Ann\nB", "PX", 300);
    await client.call("INCRBY", "n", 5);
    await client.call("SET", "\xff\x00 ", "\xfe");
    await client.call("DEL", "n");
    await until("the expiry", () => all.events.length === 5);
    assert.deepEqual(linesOf(users), ["set user:1 Ann\nB", "expired user:1"]);
    assert.deepEqual(linesOf(bare), ["set user:1", "expired user:1"]);
    assert.deepEqual(
      all.events.map(({ event }) => event),
      ["set", "increment", "set", "delete", "expired"],
    );
    assert.deepEqual(one.events[0]?.data["key"], { base64: "/wAg" });
    assert.equal(one.events[0]?.data["value"] instanceof Object, true);
    for (const { data, event } of all.events) {
      assert.equal(data["type"], event);
      const parsed = parsePeerMessage(JSON.stringify({ type: "changes", id: 1, changes: [data], token: "" }));
      assert.ok(parsed.ok, parsed.ok ? "" : parsed.why);
    }
  });

  test("from each event's id on, exactly the rest is told again", async () => {
    const first = await watch("/watch?prefix=r:");
    const began = first.lastEventId();
    // One turn, so one batch; then single ones.
    await client.pipeline(Array.from({ length: 20 }, (_, index) => ["SET", `r:${index}`, String(index)]));
    await client.call("SET", "other", "1");
    for (let index = 20; index < 25; index += 1) await client.call("SET", `r:${index}`, String(index));
    await until("all came", () => first.events.length === 25);
    const lines = linesOf(first);
    for (const [index, { id }] of [{ id: began }, ...first.events].entries()) {
      const headers: Record<string, string> = index % 2 === 0 ? { "Last-Event-ID": id } : {};
      const again = await watch(
        `/watch?prefix=r:${index % 2 === 0 ? "" : `&token=${encodeURIComponent(id)}`}`,
        headers,
      );
      await until("the rest came", () => again.events.length >= 25 - index);
      assert.deepEqual(linesOf(again), lines.slice(index), `behind ${index}`);
      again.close();
    }
  });

  test("what it cannot do is refused in words", async () => {
    const refusals: readonly (readonly [path: string, status: number, words: RegExp])[] = [
      ["/watch?key=a&prefix=b", 400, /key or prefix, not both/],
      ["/watch?pre=a", 400, /unknown parameter; there are key, prefix, token, values/],
      ["/watch?prefix=%zz", 400, /two hex digits/],
      ["/watch?prefix=a&prefix=b", 400, /twice/],
      ["/watch?token=nonsense", 400, /no position/],
      ["/watch?values=maybe", 400, /yes or no/],
    ];
    for (const [path, status, words] of refusals) {
      const stream = await watch(path);
      assert.equal(stream.status, status, path);
      await until("the body", () => stream.isEnded());
      assert.match(stream.text(), words);
    }
    const post = await answerTo(peer.httpPort, "POST", "/watch");
    assert.deepEqual([post.status, post.headers["allow"]], [405, "GET, HEAD"]);
    const head = await answerTo(peer.httpPort, "HEAD", "/watch");
    assert.deepEqual([head.status, head.body], [200, ""]);
  });

  test("pages of other origins are refused, those of --allow-origin may read", async () => {
    const foreign = await watch("/watch", { Origin: "https://evil.example" });
    assert.equal(foreign.status, 403);
    assert.equal(foreign.headers["access-control-allow-origin"], undefined);
    assert.equal((await watch("/watch", { "Sec-Fetch-Site": "cross-site" })).status, 403);
    assert.equal((await watch("/watch", { Host: "evil.example" })).status, 421);
    const allowed = await watch("/watch", { Origin: "https://app.example", "Sec-Fetch-Site": "cross-site" });
    assert.equal(allowed.status, 200);
    assert.equal(allowed.headers["access-control-allow-origin"], "https://app.example");
    assert.equal(allowed.headers["vary"], "Origin");
    const preflight = await answerTo(peer.httpPort, "OPTIONS", "/watch", { Origin: "https://app.example" });
    assert.equal(preflight.status, 204);
    assert.match(String(preflight.headers["access-control-allow-headers"]), /Last-Event-ID/);
    const own = await watch("/watch", { Origin: `http://127.0.0.1:${peer.httpPort}` });
    assert.equal(own.status, 200);
  });

  test("a reader that stops is told so and goes on from the log, without a gap and without a repetition", async () => {
    const stream = await watch("/watch?prefix=slow:");
    stream.pause();
    const count = 400;
    const value = "v".repeat(64 * 1024);
    for (let index = 0; index < count; index += 20) {
      await client.pipeline(Array.from({ length: 20 }, (_, step) => ["SET", `slow:${index + step}`, value]));
    }
    stream.resume();
    await until("all came", () => stream.events.filter(({ event }) => event === "set").length >= count);
    const keys = stream.events.filter(({ event }) => event === "set").map(({ data }) => data["key"]);
    assert.deepEqual(
      keys,
      Array.from({ length: count }, (_, index) => `slow:${index}`),
    );
    assert.ok(
      stream.events.some(({ event }) => event === "lagging"),
      "25 MiB are more than it may hold",
    );
  });
});

const answerTo = (
  port: number,
  method: string,
  path: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; headers: Record<string, unknown>; body: string }> =>
  new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, method, path, headers, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        body += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    asked.on("error", reject);
    asked.end();
  });

test("where clients have a password it is asked for, as Basic or Bearer", async () => {
  const password = "open: sesame, please";
  const peer = await startPeerForTest({ password });
  const basic = (text: string): string => `Basic ${Buffer.from(text).toString("base64")}`;
  const streams: EventStream[] = [];
  try {
    const tries: readonly (readonly [authorization: string | undefined, status: number])[] = [
      [undefined, 401],
      [basic(`default:${password}`), 200],
      [basic(`:${password}`), 200],
      [basic(`admin:${password}`), 401],
      [basic(`default:${password}x`), 401],
      [basic(password.replaceAll(":", "")), 401],
      ["Bearer wrong-password", 401],
      ["Bearer", 401],
      ["Digest x", 401],
    ];
    for (const [authorization, status] of tries) {
      const headers: Record<string, string> = authorization === undefined ? {} : { Authorization: authorization };
      const stream = await openEventStream(peer.httpPort, "/watch", headers);
      streams.push(stream);
      assert.equal(stream.status, status, authorization);
      if (status === 401) assert.equal(stream.headers["www-authenticate"], 'Basic realm="chorus"');
    }
  } finally {
    for (const stream of streams) stream.close();
    await peer.stop();
  }
});

describe("streams", () => {
  const open = async (t: { after(fn: () => void): void }, options: Partial<WatchStreamsOptions> = {}) => {
    const cancelled: string[] = [];
    const watches = new WatchStreams({
      feed: {
        subscribe: () => ({ cancel: () => cancelled.push("x"), resume: () => undefined }),
        position: () => "a.000000000000001:7",
        covers: () => false,
        reached: () => Promise.resolve(false),
      },
      readRefusal: () => undefined,
      checkPassword: undefined,
      ...options,
    });
    const server = createServer((asked, response) => watches.handle(asked, response));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => {
      watches.close();
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    return { watches, cancelled, watch: (path = "/watch") => openEventStream(port, path) };
  };

  test("beat while nothing happens, are counted, and end with the peer", async (t) => {
    const { watches, watch, cancelled } = await open(t, { limits: { beatMs: 10, streamsMax: 2 } });
    const [one, other] = [await watch(), await watch()];
    await until("beats", () => one.text().split(":\n\n").length > 3);
    assert.match(one.text(), /^: watching\nretry: 1000\nid: a\.000000000000001:7\n\n:\n\n:\n\n/);
    const refused = await watch();
    assert.equal(refused.status, 503);
    assert.equal(refused.headers["retry-after"], "1");
    one.close();
    await until("it is gone", () => watches.count === 1);
    assert.equal((await watch()).status, 200);
    watches.close();
    await until("ended", () => other.isEnded());
    assert.equal(cancelled.length, 3);
    assert.equal((await watch()).status, 503);
  });

  test("a token that is not reached in time, or a peer that does not answer now, is no stream", async (t) => {
    const { watch, watches } = await open(t);
    const stale = await watch("/watch?token=b.000000000000002:9");
    assert.equal(stale.status, 503);
    await until("the words", () => stale.text().includes("STALE"));
    await until("its place is free", () => watches.count === 0);
    const { watch: gated } = await open(t, { readRefusal: () => "LOADING for a reason" });
    const refused = await gated();
    await until("the words", () => refused.text().includes('"message": "for a reason"'));
    assert.match(refused.text(), /"code": "LOADING"/);
    assert.equal(refused.status, 503);
  });

  test("one that takes nothing for long is cut", async (t) => {
    let tell = (_text: string): void => undefined;
    const { watch, watches } = await open(t, {
      limits: { beatMs: 10, stallMs: 100 },
      feed: {
        subscribe: (subscriber) => {
          tell = (text) => subscriber.onReset(text, "");
          return { cancel: () => undefined, resume: () => undefined };
        },
        position: () => "",
        covers: () => false,
        reached: () => Promise.resolve(true),
      },
    });
    const stream = await watch();
    stream.pause();
    for (let count = 0; count < 20; count += 1) tell("x".repeat(1024 * 1024));
    await until("cut", () => watches.counters.stalled === 1);
    await until("gone", () => watches.count === 0);
  });
});

test("a query's bytes are bytes", () => {
  const parsed = parseWatchQuery("/watch?prefix=%C3%a9%ff+%2B&&values=yes", undefined);
  assert.deepEqual(parsed, {
    ok: true,
    query: { key: undefined, prefix: "\xc3\xa9\xff +", values: true, from: undefined },
  });
});
