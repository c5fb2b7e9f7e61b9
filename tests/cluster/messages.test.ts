/** Messages and key events among real peers: everybody hears what is published or written anywhere. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { openEventStream } from "../support/event-stream.ts";
import { until } from "../support/processes.ts";
import { type RealPeer, shareCluster } from "../support/real-cluster.ts";

/** Subscribes, and collects what comes: `message CHANNEL TEXT`, `pmessage ...` and confirmations. */
const listen = async (peer: RealPeer, ...commands: readonly string[]): Promise<{ got: string[]; close(): void }> => {
  const socket = connect({ port: peer.tcpPort, host: "127.0.0.1" });
  await once(socket, "connect");
  const got: string[] = [];
  let text = "";
  socket.setEncoding("latin1").on("data", (chunk: string) => {
    text += chunk;
    // Arrays of three or four bulks or integers, none with a line end in it.
    for (;;) {
      const match = /^\*(\d)\r\n((?:(?:\$\d+\r\n[^\r]*|:\d+)\r\n)+?)(?=\*|$)/.exec(text);
      if (match === null) return;
      got.push(
        match[2]
          ?.replaceAll(/\$\d+\r\n/g, "")
          .trim()
          .replaceAll("\r\n", " ") ?? "",
      );
      text = text.slice(match[0].length);
    }
  });
  for (const command of commands) socket.write(`${command}\r\n`);
  await until("subscribed", () => Promise.resolve(got.length >= commands.length));
  return { got, close: () => socket.destroy() };
};

shareCluster(
  "what everybody hears",
  {},
  {
    "a message reaches who listens at every peer, once, behind the writes before it": async (cluster) => {
      const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
      await cluster.linked();
      const listeners = await Promise.all([a, b, c].map((peer) => listen(peer, "SUBSCRIBE news", "PSUBSCRIBE n*")));
      const client = await a.connect();
      const count = 200;
      const replies = await client.pipeline(
        Array.from({ length: count }, (_, index) => ["PUBLISH", "news", String(index)]),
      );
      for (const reply of replies)
        assert.deepEqual(reply, { state: "acked", reply: 2 }, "counted are those at this peer");
      for (const { got } of listeners) {
        await until("all have come", () => Promise.resolve(got.length >= 2 + 2 * count));
        assert.deepEqual(
          got.slice(2),
          Array.from({ length: count }, (_, index) => [`message news ${index}`, `pmessage n* news ${index}`]).flat(),
        );
      }
      assert.equal(await b.call("PUBLISH", "news", "from b"), 2);
      for (const { got } of listeners)
        await until("from b", () => Promise.resolve(got.includes("message news from b")));
      for (const { close } of listeners) close();
      await until("nobody listens", async () => (await a.call("PUBLISH", "news", "x")) === 0);
      client.close();
    },

    "key events tell of writes of every peer, and of expiry by each peer's clock": async (cluster) => {
      const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
      await cluster.linked();
      const listeners = await Promise.all([a, b].map((peer) => listen(peer, "PSUBSCRIBE __keyevent@0__:*")));
      await c.call("SET", "city", "Oslo");
      await c.call("INCRBY", "n", 5);
      await c.call("DEL", "city");
      await c.call("SET", "short", "1", "PX", 300);
      const events = ["set city", "incrby n", "del city", "set short", "expired short"];
      for (const { got, close } of listeners) {
        await until("the key expires", () => Promise.resolve(got.length >= 1 + events.length));
        assert.deepEqual(
          got.slice(1).map((line) => line.replace("pmessage __keyevent@0__:* __keyevent@0__:", "")),
          events,
        );
        close();
      }
      assert.deepEqual(await a.call("CONFIG", "GET", "notify-keyspace-events"), ["notify-keyspace-events", "AKE"]);
    },

    "a stream of events goes on at another peer when its own is killed, with nothing missing or repeated": async (
      cluster,
    ) => {
      const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
      await cluster.linked();
      const seen: string[] = [];
      const first = await openEventStream(a.httpPort, "/watch?prefix=k:");
      for (let index = 0; index < 50; index += 1) await (index % 2 === 0 ? a : c).call("SET", `k:${index}`, "1");
      await until("they came", () => Promise.resolve(first.events.length === 50));
      // Nobody but a had it: then b would rightly say that it has not reached the token.
      await until("b has them too", async () => (await b.call("EXISTS", "k:48", "k:49")) === 2);
      await a.kill();
      seen.push(...first.events.map(({ data }) => String(data["key"])));
      for (let index = 50; index < 100; index += 1) await (index % 2 === 0 ? b : c).call("SET", `k:${index}`, "1");
      const second = await openEventStream(b.httpPort, "/watch?prefix=k:", { "Last-Event-ID": first.lastEventId() });
      assert.equal(second.status, 200);
      await until("the rest came", () => Promise.resolve(second.events.length >= 50));
      seen.push(...second.events.map(({ data }) => String(data["key"])));
      second.close();
      assert.deepEqual(seen.length, 100);
      assert.deepEqual(new Set(seen).size, 100);
      await a.start();
    },
  },
);
