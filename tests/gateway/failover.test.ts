/** Real peers behind a gateway, killed under load: nobody in front of it notices. */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { until } from "../support/processes.ts";
import { dump, type RealPeer, shareCluster } from "../support/real-cluster.ts";
import { RespClient } from "../support/resp-client.ts";
import { type GatewayForTest, startGateway } from "./support.ts";

/** Writes keys of its own over HTTP and reads each back with its session. */
class HttpWorker {
  readonly written = new Map<string, string>();
  readonly problems: string[] = [];
  stale = 0;
  slowestMs = 0;
  #isOver = false;
  readonly #running: Promise<void>;

  constructor(gateway: GatewayForTest, name: string) {
    this.#running = this.#run(gateway, name);
    this.#running.catch(() => undefined);
  }

  async #run(gateway: GatewayForTest, name: string): Promise<void> {
    for (let serial = 0; !this.#isOver; serial++) {
      const key = `http:${name}:${serial}`;
      const startedMs = performance.now();
      const put = await gateway.http("PUT", `/kv/${key}`, { body: `${serial}` });
      this.slowestMs = Math.max(this.slowestMs, performance.now() - startedMs);
      if (put.status !== 204) {
        this.problems.push(`PUT: ${put.status} ${put.body}`);
        continue;
      }
      this.written.set(key, `${serial}`);
      const session = String(put.headers["x-chorus-session"]);
      const get = await gateway.http("GET", `/kv/${key}`, { headers: { "X-Chorus-Session": session } });
      // Only the peer that died had it, and says so rather than that there is no such key.
      if (get.status === 503 && get.body.includes('"STALE"')) this.stale += 1;
      else if (get.body !== `${serial}`) this.problems.push(`GET: ${get.status} ${get.body} instead of ${serial}`);
      const other = await gateway.http("GET", "/kv/known");
      if (other.body !== "here") this.problems.push(`GET known: ${other.status} ${other.body}`);
      await delay(2);
    }
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }
}

/** A Redis client as they are: it connects again and sends again what was not answered. */
class TcpWorker {
  readonly written = new Map<string, string>();
  reconnects = 0;
  #isOver = false;
  readonly #running: Promise<void>;

  constructor(port: number, name: string) {
    this.#running = this.#run(port, name);
    this.#running.catch(() => undefined);
  }

  async #run(port: number, name: string): Promise<void> {
    let client = await RespClient.connect({ port });
    for (let serial = 0; !this.#isOver; serial++) {
      const key = `tcp:${name}:${serial}`;
      for (;;) {
        const [outcome] = await client.pipeline([["SET", key, `${serial}`]]);
        if (outcome?.state === "acked") break;
        assert.equal(outcome?.state, "unknown", JSON.stringify(outcome));
        client.close();
        this.reconnects += 1;
        assert(this.reconnects < 1000, "it is not served");
        client = await RespClient.connect({ port });
      }
      this.written.set(key, `${serial}`);
      await delay(2);
    }
    client.close();
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }
}

/** Each of them has written some more by then. */
const allGoOn = async (workers: readonly (HttpWorker | TcpWorker)[]): Promise<void> => {
  const goals = workers.map(({ written }) => written.size + 20);
  await until("every worker goes on", () => workers.every(({ written }, at) => written.size >= (goals[at] ?? 0)));
};

shareCluster(
  "three peers behind a gateway",
  { flags: ["--fault-links"] },
  {
    "each peer is killed and comes back under load: no write and no read fails, nothing is lost": async (
      cluster,
      t,
    ) => {
      const gateway = await startGateway(t, [cluster.peer("a").httpPort], { staleAfter: "300" });
      await gateway.up("a", "b", "c");
      await gateway.http("PUT", "/kv/known", { body: "here" });
      await cluster.identical();
      const http = ["1", "2", "3"].map((name) => new HttpWorker(gateway, name));
      const tcp = ["1", "2", "3"].map((name) => new TcpWorker(gateway.tcpPort, name));
      for (const peer of cluster.peers) {
        const others = cluster.peers.filter((other) => other !== peer).map(({ name }) => name);
        await peer.kill();
        await gateway.up(...others);
        await allGoOn([...http, ...tcp]);
        await peer.start();
        await gateway.up("a", "b", "c");
        await allGoOn([...http, ...tcp]);
      }
      await Promise.all([...http, ...tcp].map((worker) => worker.end()));
      assert.deepEqual(
        http.flatMap(({ problems }) => problems),
        [],
      );
      const slowestMs = Math.max(...http.map(({ slowestMs: ms }) => ms));
      t.diagnostic(
        `slowest write ${Math.round(slowestMs)} ms; stale ${http.map(({ stale }) => stale)}; ` +
          `reconnects ${tcp.map(({ reconnects }) => reconnects)}; writes ${http.map(({ written }) => written.size)}`,
      );
      assert(slowestMs < 2500, "a failover takes less than two seconds, and a loaded machine its time");
      await cluster.identical();
      for (const peer of cluster.peers) {
        const held = await dump(peer);
        for (const { written } of [...http, ...tcp])
          for (const [key, value] of written) assert.equal(held.get(key), value, `${key} at ${peer.name}`);
      }
    },

    "a peer that hangs is given up within two seconds, and its TCP clients come again elsewhere": async (
      cluster,
      t,
    ) => {
      const gateway = await startGateway(t, [cluster.peer("a").httpPort]);
      await gateway.up("a", "b", "c");
      const clients = await Promise.all([1, 2, 3].map(() => RespClient.connect({ port: gateway.tcpPort })));
      for (const client of clients) assert.equal(await client.call("PING"), "PONG");
      const hung = cluster.peer("a");
      const startedMs = performance.now();
      hung.pause();
      try {
        const put = await gateway.http("PUT", "/kv/x", { body: "1" });
        assert.equal(put.status, 204, put.body);
        assert.notEqual(put.headers["x-chorus-peer"], "a");
        await gateway.up("b", "c");
        const tookMs = performance.now() - startedMs;
        assert(tookMs < 4000, `${Math.round(tookMs)} ms; two seconds, and a loaded machine its time`);
        const ended = await Promise.race([...clients.map((client) => client.ended), delay(5000, "nobody was cut")]);
        assert.notEqual(ended, "nobody was cut");
      } finally {
        hung.resume();
      }
      await gateway.up("a", "b", "c");
      for (const client of clients) client.close();
    },

    "the cache follows writes made elsewhere, also when the peer of its feed dies": async (cluster, t) => {
      const [feed, writer] = [cluster.peer("a"), cluster.peer("b")] as [RealPeer, RealPeer];
      const gateway = await startGateway(t, [feed.httpPort]);
      await gateway.up("a", "b", "c");
      const client = await writer.connect();
      /** When each version was acknowledged. */
      const ackedAtMs: number[] = [];
      let isOver = false;
      const write = async (): Promise<void> => {
        while (!isOver) {
          await client.call("SET", "hot", ackedAtMs.length);
          ackedAtMs.push(performance.now());
          await delay(20);
        }
      };
      const caches = new Map<string, number>();
      let oldestMs = 0;
      const read = async (): Promise<void> => {
        while (!isOver) {
          const askedAtMs = performance.now();
          const { status, body, headers } = await gateway.http("GET", "/kv/hot");
          if (status === 404) continue;
          const how = String(headers["x-cache"]);
          caches.set(how, (caches.get(how) ?? 0) + 1);
          const next = ackedAtMs[Number(body) + 1];
          if (next !== undefined) oldestMs = Math.max(oldestMs, askedAtMs - next);
          await delay(1);
        }
      };
      const running = Promise.all([write(), read(), read()]);
      running.catch(() => undefined);
      await until("hits", () => (caches.get("hit") ?? 0) > 50);
      await feed.kill();
      const hitsBefore = caches.get("hit") ?? 0;
      await until("hits again", () => (caches.get("hit") ?? 0) > hitsBefore + 50);
      await feed.start();
      await gateway.up("a", "b", "c");
      isOver = true;
      await running;
      t.diagnostic(
        `${[...caches].map(([how, count]) => `${count} ${how}`).join(", ")}; oldest ${Math.round(oldestMs)} ms`,
      );
      assert(oldestMs < 1500, "what was read was overwritten no longer ago than replication and this machine take");
      // Nobody writes any more: all must be told what stands.
      const last = String(ackedAtMs.length - 1);
      await until("the last value", async () => (await gateway.http("GET", "/kv/hot")).body === last);
      for (let at = 0; at < 20; at++) assert.equal((await gateway.http("GET", "/kv/hot")).body, last);
      client.close();
    },

    "what is deleted, expires and was not there: the cache says what the peers say": async (cluster, t) => {
      const gateway = await startGateway(
        t,
        cluster.peers.map(({ httpPort }) => httpPort),
      );
      await gateway.up("a", "b", "c");
      const get = async (): Promise<string> => {
        const { status, body, headers } = await gateway.http("GET", "/get?key=k");
        return `${status} ${headers["x-cache"]} ${status === 200 ? body : ""}`.trim();
      };
      assert.equal(await get(), "404 miss");
      assert.equal(await get(), "404 hit");
      await cluster.peer("b").call("SET", "k", "one");
      await until("one", async () => /^200 \w+ one$/.test(await get()));
      await until("kept", async () => (await get()) === "200 hit one");
      await cluster.peer("a").call("DEL", "k");
      await until("gone", async () => (await get()).startsWith("404"));
      await cluster.peer("b").call("SET", "k", "short", "PX", 1200);
      await until("short", async () => (await get()) === "200 hit short");
      await until("over", async () => (await get()).startsWith("404"));
      assert.equal(await cluster.peer("a").call("GET", "k"), null);
    },

    "a peer that is cut off is behind, and not read; healed, it is up again": async (cluster, t) => {
      const gateway = await startGateway(t, [cluster.peer("a").httpPort], { maxLag: "2000", cache: "0" });
      await gateway.up("a", "b", "c");
      await cluster.linked();
      const cut = cluster.peer("c");
      for (const other of ["a", "b"]) await cut.call("FAULT", "LINK", "CUT", other);
      assert.equal((await gateway.http("PUT", "/kv/k", { body: "new" })).status, 204);
      await gateway.up("a", "b");
      assert.match(
        (await gateway.http("GET", "/status")).body,
        /"state": "behind",\s+"why": "it lacks what others had/,
      );
      for (let count = 0; count < 10; count++) assert.equal((await gateway.http("GET", "/kv/k")).body, "new");

      // It takes writes of its own: now each side lacks what the other had, and the side of the most is asked.
      await cut.call("SET", "other", "1");
      await until("all are behind", async () => {
        const { peers } = await gateway.status();
        return peers.every(({ state }) => state === "behind");
      });
      for (let count = 0; count < 10; count++) {
        const get = await gateway.http("GET", "/kv/k");
        assert.deepEqual([get.body, get.headers["x-chorus-peer"] === "c"], ["new", false]);
      }
      assert.notEqual((await gateway.http("PUT", "/kv/k", { body: "newer" })).headers["x-chorus-peer"], "c");
      for (const other of ["a", "b"]) await cut.call("FAULT", "LINK", "HEAL", other);
      await gateway.up("a", "b", "c");
    },
  },
);
