/** The shop of docs/EXAMPLE-ORDERS.md on real peers, with one of them killed in the middle. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { OwnCluster, openStage } from "../../scripts/load/own-cluster.ts";
import { targetsToText } from "../../scripts/load/targets.ts";
import { readEvents } from "../../scripts/orders/event-stream.ts";
import { Experts } from "../../scripts/orders/experts.ts";
import { parseOptions } from "../../scripts/orders/options.ts";
import { engineerOf, parseRecord, parseRequest } from "../../scripts/orders/orders.ts";
import type { OrdersReport } from "../../scripts/orders/report.ts";
import { build, type RunningProcess, startScript, tempDirectory, until } from "../support/processes.ts";
import { type RealCluster, withCluster } from "../support/real-cluster.ts";

const startShop = (t: TestContext, given: readonly string[]): RunningProcess =>
  startScript(t, "scripts/orders.ts", given);

const targetsOf = ({ peers }: RealCluster): string =>
  peers.map(({ httpPort }) => `http://127.0.0.1:${httpPort}`).join(",");

test("every order is recorded once, the same at every peer; a second run goes on counting", async (t) => {
  await withCluster(t, {}, async (cluster) => {
    const given = ["--targets", targetsOf(cluster), "--customers", "3", "--orders", "4", "--json"];
    for (const run of [1, 2]) {
      const shop = startShop(t, [...given, "--work", "1", "--expert-work", "2", "--experts", "1"]);
      assert.deepEqual(await shop.ended, { code: 0, signal: null }, shop.stderr() + shop.stdout());
      const report = JSON.parse(shop.stdout()) as OrdersReport;
      assert.equal(report.orders, 12);
      assert.equal(report.custom, 6);
      assert.equal(report.checked?.wrong, 0);
      assert.equal(report.checked?.peers.length, 3);
      assert.equal(
        report.madeBy.reduce((sum, made) => sum + made, 0),
        12,
        "none was made twice",
      );
      assert.equal(report.mostExpertsAtWork, 1);
      assert(report.latency.meanMs > 0 && report.ordersPerSecond > 0);
      const last = parseRecord(String(await cluster.peer("b").call("GET", "last:c1")));
      assert.equal(last?.n, run * 4);
    }
  });
});

test("a peer killed in the middle, and back later: nothing is lost or doubled", async (t) => {
  await withCluster(t, {}, async (cluster) => {
    const shop = startShop(t, [
      ...["--targets", targetsOf(cluster), "--customers", "4", "--orders", "40", "--work", "2", "--expert-work", "4"],
      ...["--patience", "400", "--json"],
    ]);
    const placed = async (): Promise<boolean> => (await cluster.peer("b").call("EXISTS", "order:c1:5")) === 1;
    await until("some orders are made", placed);
    // It is the target all begin with.
    await cluster.peer("a").kill();
    await until("others went on", async () => (await cluster.peer("b").call("EXISTS", "order:c1:15")) === 1);
    await cluster.peer("a").start();
    assert.deepEqual(await shop.ended, { code: 0, signal: null }, shop.stderr() + shop.stdout());
    const report = JSON.parse(shop.stdout()) as OrdersReport;
    assert.equal(report.orders, 160);
    assert.equal(report.checked?.wrong, 0);
    assert.equal(
      report.madeBy.reduce((sum, made) => sum + made, 0),
      160,
      "none was made twice",
    );
    assert.equal(report.olderReads, 0);
    const orders = (await cluster.peer("c").call("KEYS", "order:*")) as string[];
    assert.equal(orders.length, 160);
  });
});

test("claimed by strong keys, while a peer is killed: each is made by one, whoever is idle", async (t) => {
  await withCluster(t, {}, async (cluster) => {
    // Somebody died with the first order of c2 in hand: it is made once the claim has run out.
    await cluster.peer("b").call("SET", "strong:claim:c2:1", "dead/0", "PX", 1500);
    const shop = startShop(t, [
      ...["--targets", targetsOf(cluster), "--customers", "4", "--orders", "20", "--work", "2", "--expert-work", "4"],
      ...["--patience", "1000", "--claim", "strong", "--json"],
    ]);
    await until("some orders are made", async () => (await cluster.peer("b").call("EXISTS", "order:c1:3")) === 1);
    // It is the target all begin with, engineers and customers.
    await cluster.peer("a").kill();
    await until("others went on", async () => (await cluster.peer("b").call("EXISTS", "order:c1:7")) === 1);
    await cluster.peer("a").start();
    assert.deepEqual(await shop.ended, { code: 0, signal: null }, shop.stderr() + shop.stdout());
    const report = JSON.parse(shop.stdout()) as OrdersReport;
    assert.equal(report.orders, 80);
    assert.equal(report.checked?.wrong, 0);
    assert.equal(
      report.madeBy.reduce((sum, made) => sum + made, 0),
      80,
      "none was made twice",
    );
    assert.equal(report.claims?.discarded, 0);
    t.diagnostic(`made by ${report.madeBy.join(", ")}; ${report.claims?.beaten} claims came second`);
  });
});

test("through a gateway: last orders come from its cache, and a dead peer costs nothing", async (t) => {
  build();
  const cluster = await OwnCluster.start(openStage(false), { peers: 3, flags: {}, way: "gateway" });
  t.after(() => cluster.stop());
  const shop = startShop(t, [
    ...["--targets", targetsToText(cluster.targets("gateway")), "--customers", "4", "--orders", "30"],
    ...["--work", "2", "--expert-work", "4", "--patience", "1000", "--json"],
  ]);
  await until("some seconds of orders", () => /\b1 s /.test(shop.stderr()) || shop.child.exitCode !== null);
  // The first by name: writes go there.
  await cluster.kill(0);
  await cluster.restart(0);
  assert.deepEqual(await shop.ended, { code: 0, signal: null }, shop.stderr() + shop.stdout());
  const report = JSON.parse(shop.stdout()) as OrdersReport;
  assert.deepEqual([report.orders, report.checked?.wrong, report.checked?.peers.length], [120, 0, 3]);
  assert((report.cache["hit"] ?? 0) > 0, JSON.stringify(report.cache));
});

test("Ctrl-C: what is ordered is still made, and the report is of that; with a password", async (t) => {
  const passwordFile = join(tempDirectory(t), "password");
  writeFileSync(passwordFile, "open sesame\n", { mode: 0o600 });
  await withCluster(t, { count: 1, flags: ["--password-file", passwordFile] }, async (cluster) => {
    const [a] = cluster.peers;
    assert(a !== undefined);
    const target = `http://:open%20sesame@127.0.0.1:${a.httpPort}`;
    const stranger = startShop(t, ["--targets", targetsOf(cluster)]);
    assert.deepEqual(await stranger.ended, { code: 1, signal: null });
    assert.match(stranger.stderr(), /NOAUTH/);
    const shop = startShop(t, ["--targets", target, "--orders", "100000", "--json"]);
    const client = await a.connect();
    await client.call("AUTH", "open sesame");
    await until("some orders are made", async () => (await client.call("EXISTS", "order:c1:3")) === 1);
    shop.child.kill("SIGINT");
    assert.deepEqual(await shop.ended, { code: 0, signal: null }, shop.stderr() + shop.stdout());
    const report = JSON.parse(shop.stdout()) as OrdersReport;
    assert(report.orders >= 3 && report.orders < 100_000);
    assert.equal(report.checked?.wrong, 0);
    const orders = (await client.call("KEYS", "order:*")) as string[];
    client.close();
    assert.equal(orders.length, report.orders);
  });
});

test("an order has one engineer, whoever asks, and all have something to do", () => {
  const counts = [0, 0, 0, 0];
  for (let n = 1; n <= 400; n++) {
    const engineer = engineerOf("c1", n, 4);
    assert.equal(engineerOf("c1", n, 4), engineer);
    counts[engineer] = (counts[engineer] ?? 0) + 1;
  }
  for (const count of counts) assert(count > 60, String(counts));
});

test("no more experts are at work than there are, also when work fails", async () => {
  const experts = new Experts(2);
  let atWork = 0;
  let most = 0;
  const jobs = Array.from({ length: 20 }, (_, job) =>
    experts
      .with(async () => {
        most = Math.max(most, ++atWork);
        await new Promise((resolve) => setImmediate(resolve));
        atWork--;
        if (job % 3 === 0) throw new Error("it broke");
      })
      .catch(() => undefined),
  );
  await Promise.all(jobs);
  assert.deepEqual([most, experts.mostAtWork], [2, 2]);
  assert.equal(await experts.with(async (expert) => expert < 2), true);
});

test("what is no request or record of ours is none", () => {
  const request = { customer: "c1", n: 1, type: "custom", model: "pro", placedAt: "now" };
  assert.deepEqual(parseRequest(JSON.stringify(request)), request);
  for (const text of [
    "",
    "null",
    "[]",
    "7",
    "{}",
    JSON.stringify({ ...request, n: "1" }),
    JSON.stringify({ ...request, type: "x" }),
  ])
    assert.equal(parseRequest(text), undefined, text);
  assert.equal(parseRecord(JSON.stringify(request)), undefined);
});

test("events of a stream are read in whatever pieces they come", async () => {
  const text = "id: a:1\n\n: a comment\n\nevent: set\nid: a:2\ndata: {}\n\nevent: reset\ndata: x\ndata: y\n\n";
  for (const size of [1, 7, 1000]) {
    const bytes = new TextEncoder().encode(text);
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
        controller.close();
      },
    });
    const events = [];
    for await (const event of readEvents(body)) if (event.data !== "") events.push(event);
    assert.deepEqual(events, [
      { id: "a:2", event: "set", data: "{}" },
      { id: "a:2", event: "reset", data: "x\ny" },
    ]);
  }
});

test("wrong usage is refused with the flag's name and exit code 2", () => {
  for (const [given, words] of [
    ["--type costum", /did you mean custom/],
    ["--claim stong", /--claim: .*did you mean strong/],
    ["--customers 0", /--customers: expected a whole number, 1 to 1000/],
    ["--targets ws://a:1", /expected http/],
    ["--enginers 2", /did you mean engineers/],
  ] as const)
    assert.throws(() => parseOptions(given.split(" ")), { exitCode: 2, message: words }, given);
});

test("without a store it says so at once", async (t) => {
  const shop = startShop(t, ["--targets", "http://127.0.0.1:1"]);
  assert.deepEqual(await shop.ended, { code: 1, signal: null });
  assert.match(shop.stderr(), /^orders: http:\/\/127.0.0.1:1: .*Is npm start running/m);
});
