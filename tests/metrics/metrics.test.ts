/** What `/metrics` of a real peer shows, and how; the health checks beside it. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { PeerName } from "../../protocol/words.ts";
import type { Family } from "../../server/metrics/family.ts";
import { metricsOf } from "../../server/metrics/family.ts";
import { GatewayCounts, gatewayFamilies, gatewayMetrics } from "../../server/metrics/gateway-families.ts";
import { LoopDelays } from "../../server/metrics/loop-delay.ts";
import { peerFamilies } from "../../server/metrics/peer-families.ts";
import { PeerMeasures } from "../../server/metrics/peer-measures.ts";
import { type PeerForTest, startPeerForTest } from "../support/peer-for-test.ts";
import { promtool, skipWithoutPromtool } from "../support/promtool.ts";
import { RespClient } from "../support/resp-client.ts";
import { parseScrape, type Scrape, scrape } from "../support/scrape.ts";

const until = async <Value>(what: string, get: () => Promise<Value | undefined>): Promise<Value> => {
  const deadlineMs = performance.now() + 20_000;
  for (;;) {
    const value = await get();
    if (value !== undefined) return value;
    if (performance.now() > deadlineMs) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

const lintProblems = (text: string): string => promtool(["check", "metrics"], { input: text }).text;

describe("families", () => {
  test("names are unique, of one prefix, with units and endings as Prometheus wants them", () => {
    for (const families of [peerFamilies, gatewayFamilies] as readonly (readonly Family<never>[])[]) {
      assert.equal(new Set(families.map(({ name }) => name)).size, families.length);
      for (const { name, type, help } of families) {
        assert.match(name, /^(chorus|process|nodejs)_[a-z0-9_]+$/);
        assert.equal(name.endsWith("_total"), type === "counter", name);
        assert.doesNotMatch(name, /_(ms|millis|milliseconds|micros|kb|mb)(_|$)/);
        assert.match(help, /^[^\n]+\.$/, name);
      }
    }
  });

  test("two families of one name are refused", () => {
    const family: Family<unknown> = { name: "chorus_x", type: "gauge", help: "X.", read: () => 1 };
    assert.throws(() => metricsOf([family, { ...family }], () => ({})), /chorus_x/);
  });

  test("values and labels are escaped; what has nothing to tell shows its name alone", async () => {
    const metrics = metricsOf<undefined>(
      [
        { name: "chorus_a", type: "gauge", help: "A.", read: () => [{ labels: { name: 'q"\\\n' }, value: 1.5 }] },
        { name: "chorus_b", type: "gauge", help: "B.", read: () => undefined },
      ],
      () => undefined,
    );
    const text = await metrics.scrape();
    assert.match(text, /^chorus_a\{name="q\\"\\\\\\n"\} 1\.5$/m);
    assert.match(text, /^# TYPE chorus_b gauge$/m);
  });

  test("the longest standstill is that of the last minute", () => {
    const delays = new LoopDelays(50);
    delays.note(400, 0);
    delays.note(20, 30_000);
    assert.equal(delays.maxMs, 400);
    delays.note(10, 61_000);
    assert.equal(delays.maxMs, 20);
    assert.equal(delays.slow, 1);
  });
});

describe("what a peer measures", () => {
  test("what took long becomes an event of LATENCY, all of it a count or a histogram", () => {
    const measures = new PeerMeasures({ slowLoopMs: 50, wallMs: () => 1_700_000_000_000 });
    measures.onSynced(3);
    measures.onSynced(120);
    measures.onCheckpoint({ tookMs: 4000, slowestSliceMs: 70 });
    measures.onCheckpoint({ tookMs: 4000, slowestSliceMs: 2 });
    measures.onLoopDelay(300);
    const peer = "b" as PeerName;
    measures.onReplicaEvent({ type: "transfer-started", peer, full: true, outgoing: true }, 1);
    measures.onReplicaEvent({ type: "transfer-started", peer, full: true, outgoing: false }, 1);
    measures.onReplicaEvent({ type: "transfer-installed", peer, cells: 1000, dropped: 0, full: true }, 200);
    measures.onReplicaEvent({ type: "caught-up", peer, frames: 2, ops: 30 }, 1);
    measures.onReplicaEvent({ type: "repaired", peer, keys: 4 }, 1);
    const events = measures.latencyEvents.histories().map(({ event, maxMs }) => [event, maxMs]);
    assert.deepEqual(events, [
      ["fsync", 120],
      ["event-loop", 300],
      ["checkpoint", 70],
      ["install", 200],
    ]);
    assert.equal(measures.fsyncTimes.count, 2);
    assert.equal(measures.checkpointTimes.count, 2);
    assert.deepEqual(measures.catchUps, {
      sent: 1,
      opsSent: 30,
      transfersSent: 1,
      transfersReceived: 1,
      transferCellsReceived: 1000,
      repairedKeys: 4,
    });
  });
});

describe("a peer", () => {
  let peer: PeerForTest;
  let client: RespClient;
  before(async () => {
    peer = await startPeerForTest();
    client = await RespClient.connect(peer);
  });
  after(async () => {
    client.close();
    await peer.stop();
  });

  const now = (): Promise<Scrape> => scrape(peer.httpPort);

  test("answers in Prometheus's text format", async () => {
    const response = await fetch(`http://127.0.0.1:${peer.httpPort}/metrics`);
    assert.equal(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert.equal(response.headers.get("cache-control"), "no-store");
    const { types } = parseScrape(await response.text());
    assert.deepEqual([...types.keys()].sort(), peerFamilies.map(({ name }) => name).sort());
  });

  test("counts commands by name and end, errors by code, reads by what they found", async () => {
    await client.call("SET", "a", "x");
    await client.call("GET", "a");
    await client.call("GET", "b");
    await assert.rejects(() => client.call("INCR", "a"));
    await assert.rejects(() => client.call("SET", "a"));
    await assert.rejects(() => client.call("NOSUCH"));
    const { value } = await now();
    assert.equal(value('chorus_commands_total{command="set",result="ok"}'), 1);
    assert.equal(value('chorus_commands_total{command="set",result="refused"}'), 1);
    assert.equal(value('chorus_commands_total{command="incr",result="error"}'), 1);
    assert.equal(value('chorus_commands_total{command="incr",result="ok"}'), 0);
    assert.equal(value('chorus_commands_total{command="unknown",result="refused"}'), 1);
    assert.equal(value('chorus_errors_total{code="ERR"}'), 3);
    assert.equal(value('chorus_keyspace_reads_total{result="hit"}'), 1);
    assert.equal(value('chorus_keyspace_reads_total{result="miss"}'), 1);
    assert.equal(value('chorus_command_duration_seconds_count{command="set"}'), 1);
    assert.equal(value('chorus_command_duration_seconds_bucket{command="set",le="+Inf"}'), 1);
    assert.equal(value("chorus_keys"), 1);
    assert.equal(value('chorus_clients{port="tcp"}'), 1);
    assert.ok((value('chorus_client_input_bytes_total{port="tcp"}') ?? 0) > 100);
    assert.equal(value("chorus_ready"), 1);
    assert.ok((value("process_resident_memory_bytes") ?? 0) > 1e7);
  });

  test("a histogram's buckets only grow, and end at its count", async () => {
    const { text, value } = await now();
    const buckets = [...text.matchAll(/^chorus_reply_duration_seconds_bucket\{le="[^"]+"\} (\d+)$/gm)].map((match) =>
      Number(match[1]),
    );
    assert.ok(buckets.length > 8);
    assert.deepEqual(
      buckets,
      [...buckets].sort((a, b) => a - b),
    );
    assert.equal(buckets.at(-1), value("chorus_reply_duration_seconds_count"));
  });

  test("counts HTTP requests by route, never by key", async () => {
    const ask = async (path: string): Promise<number> =>
      (
        await fetch(`http://127.0.0.1:${peer.httpPort}${path}`).then(async (response) => {
          await response.arrayBuffer();
          return response;
        })
      ).status;
    assert.equal(await ask("/kv/nothing-here"), 404);
    assert.equal(await ask("/kv/nothing-there"), 404);
    assert.equal(await ask("/get?key=a"), 200);
    const { value, text } = await until("all noted", async () => {
      const seen = await now();
      return seen.value('chorus_http_requests_total{route="/get",code="200"}') === 1 ? seen : undefined;
    });
    assert.equal(value('chorus_http_requests_total{route="/kv/{key}",code="404"}'), 2);
    assert.equal(value('chorus_http_request_duration_seconds_count{route="/kv/{key}"}'), 2);
    assert.doesNotMatch(text, /nothing-/);
  });

  test("counts what people ask and streams that ended, times no stream, and leaves out probes", async () => {
    const address = `http://127.0.0.1:${peer.httpPort}`;
    for (const path of ["/", "/status", "/nowhere", "/readyz", "/readyz?verbose", "/backup"])
      await (await fetch(address + path)).arrayBuffer();
    await (await fetch(`${address}/status`, { method: "POST" })).arrayBuffer();
    await (await fetch(`${address}/backup`, { method: "HEAD" })).arrayBuffer();
    const reader = new AbortController();
    const watch = await fetch(`${address}/watch?prefix=w`, { signal: reader.signal });
    assert.equal(watch.status, 200);
    const route = (path: string, code: number): string => `chorus_http_requests_total{route="${path}",code="${code}"}`;
    const during = await until("both backups' ends", async () => {
      const seen = await now();
      return seen.value(route("/backup", 200)) === 2 ? seen : undefined;
    });
    assert.equal(during.value(route("/watch", 200)), undefined);
    reader.abort();
    const { value, text } = await until("the watch's end", async () => {
      const seen = await now();
      return seen.value(route("/watch", 200)) === 1 ? seen : undefined;
    });
    assert.equal(value(route("/", 200)), 1);
    assert.equal(value(route("/status", 200)), 1);
    assert.equal(value(route("/status", 405)), 1);
    assert.equal(value('chorus_http_request_duration_seconds_count{route="/status"}'), 2);
    assert.doesNotMatch(text, /duration_seconds_count\{route="\/(watch|backup)"/);
    assert.doesNotMatch(text, /route="\/(nowhere|readyz|metrics)/);
    assert.equal(value('chorus_backups_total{result="sent"}'), 1);
    assert.equal(value('chorus_backups_total{result="refused"}'), 0);
    assert.equal(value("chorus_backups_running"), 0);
    assert.ok((value("chorus_backup_bytes_total") ?? 0) > 100);
  });

  test("tells of fsyncs, within the interval of --fsync", async () => {
    await client.call("SET", "a", "y");
    await until(
      "a sync",
      async () => ((await now()).value("chorus_fsync_duration_seconds_count") ?? 0) > 0 || undefined,
    );
    await until("nothing unsynced", async () => (await now()).value("chorus_log_unsynced_records") === 0 || undefined);
  });

  test("promtool finds nothing to say against it", { skip: skipWithoutPromtool }, async () => {
    assert.equal(lintProblems((await now()).text), "");
  });

  test("no label holds a key, a value or an address of a client", async () => {
    await client.call("SET", "a-very-special-key", "a-very-special-value");
    const { text } = await now();
    assert.doesNotMatch(text, /special/);
    assert.doesNotMatch(text, /127\.0\.0\.1/);
  });
});

describe("health", () => {
  const ask = async (port: number, path: string): Promise<readonly [number, string]> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    return [response.status, await response.text()];
  };

  test("a peer that must catch up from empty lives and is not ready; its metrics say why", async () => {
    // Its other peer is not there, so nobody knows whether there is data.
    const peer = await startPeerForTest({
      flags: { name: "a", peers: "a=127.0.0.1:2,b=127.0.0.1:1", http: "0", bootstrap: false },
    });
    try {
      assert.deepEqual(await ask(peer.httpPort, "/livez"), [200, "ok\n"]);
      const [status, text] = await ask(peer.httpPort, "/readyz");
      assert.equal(status, 503);
      assert.match(text, /^\[-\]gate failed: .*catching up.*\nreadyz check failed\n$/);
      const [, verbose] = await ask(peer.httpPort, "/readyz?verbose");
      assert.match(
        verbose,
        /^\[\+\]loading ok\n\[-\]gate failed: .*\n\[\+\]draining ok\n\[\+\]clock ok\n\[\+\]disk ok\n/,
      );
      assert.equal((await ask(peer.httpPort, "/healthz"))[0], 503);
      const { value } = await scrape(peer.httpPort);
      assert.equal(value("chorus_ready"), 0);
      assert.equal(value('chorus_check_ok{check="gate"}'), 0);
      assert.equal(value('chorus_check_ok{check="loading"}'), 1);
      assert.equal(value('chorus_link_up{peer="b"}'), 0);
      assert.equal(value('chorus_digest_agreement{peer="b",verdict="no-link"}'), 1);
    } finally {
      await peer.stop();
    }
  });

  test("a peer that stops says so to who asks, while it answers what it took", async () => {
    const peer = await startPeerForTest();
    const client = await RespClient.connect(peer);
    const waiting = client.call("WAIT", "1", "1500");
    await until(
      "the command to run",
      async () => (await scrape(peer.httpPort)).value("chorus_clients_blocked") === 1 || undefined,
    );
    const stopped = peer.stop();
    const [status, text] = await ask(peer.httpPort, "/readyz");
    assert.equal(status, 503);
    assert.match(text, /\[-\]draining failed: stopping/);
    assert.equal((await ask(peer.httpPort, "/livez"))[0], 200);
    assert.equal(await waiting, 0);
    client.close();
    await stopped;
  });
});

describe("a gateway", () => {
  test("its metrics come from plain numbers, and promtool finds nothing to say against them", async () => {
    const counts = new GatewayCounts();
    counts.http.route("/kv/{key}").note(200, 300);
    counts.http.route("/kv/{key}").note(404, 200);
    counts.http.route("/kv/{key}").note(999, 200);
    counts.cacheHits = 7;
    const metrics = gatewayMetrics({
      version: "0.1.0",
      name: "gateway",
      counts,
      state: () => ({
        ready: true,
        upstreams: [
          {
            name: "a",
            state: "up",
            isPreferred: true,
            inFlight: 2,
            requests: 10,
            failures: 1,
            lagMs: undefined,
            tcpConnections: 3,
          },
        ],
        httpConnections: 5,
        tcpConnections: 3,
        cache: { entries: 1, bytes: 100, bytesMax: 1000, trusted: true },
        watches: 0,
      }),
    });
    const { text, value, types } = parseScrape(await metrics.scrape());
    assert.equal(value('chorus_http_requests_total{route="/kv/{key}",code="200"}'), 1);
    assert.equal(value('chorus_http_requests_total{route="/kv/{key}",code="other"}'), 1);
    assert.equal(value('chorus_http_request_duration_seconds_count{route="/kv/{key}"}'), 3);
    assert.equal(value('chorus_gateway_cache_requests_total{result="hit"}'), 7);
    assert.equal(value('chorus_gateway_upstream_state{peer="a",state="up"}'), 1);
    assert.equal(types.size, gatewayFamilies.length);
    if (skipWithoutPromtool === false) assert.equal(lintProblems(text), "");
  });
});
