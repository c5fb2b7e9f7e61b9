/** A gateway before one peer, or none: what it says, whom it refuses, how it stops. */
import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { describe, test } from "node:test";
import { CommandFailure } from "../../server/cli/failure.ts";
import { gatewaySettings, loadGatewayConfig, printedGatewayConfig } from "../../server/gateway/config.ts";
import { openEventStream } from "../support/event-stream.ts";
import { startPeerForTest } from "../support/peer-for-test.ts";
import { runScript, startScript, until } from "../support/processes.ts";
import { RespClient } from "../support/resp-client.ts";
import { startGateway } from "./support.ts";

const refusal = (flags: Readonly<Record<string, unknown>>): string => {
  try {
    loadGatewayConfig({ flags, env: {} });
  } catch (error) {
    assert(error instanceof CommandFailure && error.exitCode === 2, String(error));
    return error.message;
  }
  return "accepted";
};

describe("settings", () => {
  test("flags beat the environment, whose variables are its own", () => {
    const env = { CHORUS_GATEWAY_HTTP: "5001", CHORUS_HTTP: "7000", CHORUS_GATEWAY_CAHCE: "1" };
    const loaded = loadGatewayConfig({ flags: { tcp: "5201" }, env });
    assert.deepEqual([loaded.config.httpPort, loaded.config.tcpPort], [5001, 5201]);
    const printed = printedGatewayConfig(loaded);
    for (const { flag } of gatewaySettings) assert.match(printed, new RegExp(`^${flag} `, "m"));
    assert.match(printed, /^ignored: environment CHORUS_GATEWAY_CAHCE \(did you mean CHORUS_GATEWAY_CACHE\?\)$/m);
  });

  test("a list of peers may be a peer's own, with names; each address counts once", () => {
    const { config } = loadGatewayConfig({ flags: { peers: "a=db1:6001, db2:6001,db1:6001,[::1]:6001" }, env: {} });
    assert.deepEqual(
      config.peers.map(({ host, port }) => `${host} ${port}`),
      ["db1 6001", "db2 6001", "::1 6001"],
    );
  });

  test("what makes no sense is refused in one line", () => {
    assert.match(refusal({ peers: "db1" }), /^flag --peers: expected host:port/);
    assert.match(refusal({ reads: "fast" }), /expected one of round-robin, least-lag/);
    assert.match(refusal({ http: "7000", tcp: "7000" }), /both 7000/);
    assert.match(refusal({ bind: "0.0.0.0" }), /needs --password-file/);
    assert.match(refusal({ hosts: "https://kv.example" }), /expected host names/);
  });
});

test("without a peer it runs, and says that it is not ready; with one it is, and takes what it tells", async (t) => {
  const free = createServer();
  await new Promise<void>((resolve) => free.listen(0, "127.0.0.1", resolve));
  const address = free.address();
  const gone = typeof address === "object" && address !== null ? address.port : 0;
  await new Promise((resolve) => free.close(resolve));
  const gateway = await startGateway(t, [gone], { timeout: "300" });
  const ready = await gateway.http("GET", "/readyz");
  assert.deepEqual([ready.status, ready.body], [503, "[-]peers failed: no peer is up\nreadyz check failed\n"]);
  assert.equal((await gateway.http("GET", "/livez")).body, "ok\n");
  const put = await gateway.http("PUT", "/kv/x", { body: "1" });
  assert.equal(put.status, 503);
  assert.match(put.body, /"code": "UNREACHABLE".*"outcome": "not-applied"/s);
  assert.match((await gateway.http("GET", "/status")).body, /"state": "down"/);
  assert.equal((await gateway.http("POST", "/watch?prefix=x")).status, 405);
  const route = (path: string, code: number): string =>
    `chorus_http_requests_total{route="${path}",code="${code}"} 1\n`;
  const counted = [route("/kv/{key}", 503), route("/status", 200), route("/watch", 405)];
  await until("what was asked, counted, the probes not", async () => {
    const { body } = await gateway.http("GET", "/metrics");
    assert.doesNotMatch(body, /route="\/(readyz|livez|metrics)"/);
    return counted.every((line) => body.includes(line));
  });
});

test("a peer with a password: the gateway has it, and asks HTTP clients for it", async (t) => {
  // Bytes of UTF-8, as a file has them; and a space, which a bearer token cannot have.
  const text = "hölzernes pferd";
  const password = Buffer.from(text).toString("latin1");
  const peer = await startPeerForTest({ password: text });
  t.after(() => peer.stop());
  const { config } = loadGatewayConfig({ flags: { peers: `127.0.0.1:${peer.httpPort}` }, env: {} });
  const { runGateway } = await import("../../server/gateway/gateway.ts");
  const { pino } = await import("pino");
  const gateway = await runGateway(
    { ...config, httpPort: 0, tcpPort: 0, drainMs: 0, password },
    { logger: pino({ level: "silent" }), farewellMs: 0 },
  );
  t.after(() => gateway.close());
  const url = `http://127.0.0.1:${gateway.httpPort}`;
  await until("ready", async () => (await fetch(`${url}/readyz`)).status === 200);
  assert.equal((await fetch(`${url}/kv/x`)).status, 401);
  const headers = { Authorization: `Basic ${Buffer.from(`default:${text}`).toString("base64")}` };
  assert.equal((await fetch(`${url}/kv/x`, { method: "PUT", body: "1", headers })).status, 204);
  assert.equal(await (await fetch(`${url}/kv/x`, { headers })).text(), "1");
  const client = await RespClient.connect({ port: gateway.tcpPort });
  await assert.rejects(client.call("GET", "x"), /NOAUTH/, "a TCP client logs in at the peer itself");
  await client.call("AUTH", password);
  const stream = await openEventStream(gateway.httpPort, "/watch", headers);
  assert.equal(stream.status, 200);
  stream.close();
  assert.equal(await client.call("GET", "x"), "1");
  client.close();
});

test("PROXY headers: the peer sees the client; who is trusted must send one, and nobody else may", async (t) => {
  const peer = await startPeerForTest({ flags: { proxyProtocol: "127.0.0.0/8" } });
  t.after(() => peer.stop());
  for (const proxyProtocol of ["v1", "v2"]) {
    const gateway = await startGateway(t, [peer.httpPort], { proxyProtocol });
    await gateway.up("a");
    const socket = connect({ port: gateway.tcpPort, host: "127.0.0.1" });
    let text = "";
    socket.setEncoding("latin1").on("data", (chunk: string) => {
      text += chunk;
    });
    socket.write("CLIENT INFO\r\n");
    await until("an answer", () => text.includes("addr="));
    assert.match(text, new RegExp(`addr=127\\.0\\.0\\.1:${socket.localPort} `));
    socket.destroy();
  }
  const bare = connect({ port: peer.port, host: "127.0.0.1" });
  bare.on("error", () => undefined);
  bare.write("PING\r\n");
  await until("it is cut", () => bare.destroyed);

  const plain = await startPeerForTest();
  t.after(() => plain.stop());
  const claims = connect({ port: plain.port, host: "127.0.0.1" });
  claims.on("error", () => undefined);
  let said = "";
  claims.setEncoding("latin1").on("data", (chunk: string) => {
    said += chunk;
  });
  claims.write("PROXY TCP4 9.9.9.9 127.0.0.1 1 2\r\nCLIENT INFO\r\n");
  await until("an answer", () => said.includes("addr="));
  assert.match(said, /^-ERR unknown command 'PROXY'/);
  assert.doesNotMatch(said, /addr=9\.9/);
  claims.destroy();
});

test("stopping: readyz says no, what is under way is answered, then the ports are closed", async (t) => {
  const peer = await startPeerForTest();
  t.after(() => peer.stop());
  const gateway = await startGateway(t, [peer.httpPort], {}, 2500);
  await gateway.up("a");
  const client = await RespClient.connect({ port: gateway.tcpPort });
  assert.equal(await client.call("SET", "x", "1"), "OK");
  const puts = Array.from({ length: 20 }, (_, at) => gateway.http("PUT", `/kv/k${at}`, { body: "1" }));
  await Promise.race(puts);
  const closing = gateway.gateway.close();
  const ready = await fetch(`http://127.0.0.1:${gateway.httpPort}/readyz`);
  assert.deepEqual([ready.status, await ready.text()], [503, "[-]draining failed: stopping\nreadyz check failed\n"]);
  for (const put of await Promise.all(puts)) assert.equal(put.status, 204, put.body);
  await client.ended;
  await closing;
  await assert.rejects(RespClient.connect({ port: gateway.tcpPort, timeoutMs: 500 }));
  await assert.rejects(gateway.http("GET", "/livez"));
});

test("chorus gateway: a ready line, exit code 0 when asked to stop, one line when a port is taken", async (t) => {
  const running = startScript(t, "server/main.ts", ["gateway", "--http", "0", "--tcp", "0", "--peers", "127.0.0.1:1"]);
  await until("ready", () => running.stdout().includes("\n"));
  const [, tcp, http] = /^ready: gateway {2}tcp 127\.0\.0\.1:(\d+) {2}http 127\.0\.0\.1:(\d+) {2}pid \d+\n$/.exec(
    running.stdout(),
  ) ?? [undefined, "", ""];
  assert(tcp !== "" && http !== "", running.stdout());
  const twin = await runScript(t, "server/main.ts", ["gateway", "--http", http ?? "", "--peers", "127.0.0.1:1"]);
  assert.equal(twin.code, 1);
  assert.match(
    twin.stderr,
    new RegExp(`^chorus: gateway: HTTP port ${http} on 127.0.0.1 is already in use[^\\n]*\\n$`),
  );
  running.child.kill("SIGTERM");
  assert.equal((await running.ended).code, 0);
});
