import assert from "node:assert/strict";
import { get, type IncomingMessage, request, type Server } from "node:http";
import { after, before, test } from "node:test";
import { closeHttpServer, createHttpServer, type HealthCheck, listenHttp } from "../../server/http.ts";
import { clusterIdOf, PeerLinks } from "../../server/links/index.ts";
import { connectRaw, eventually, name, readToEnd, run, upgradeRequest } from "./harness.ts";

let checks: HealthCheck[] = [];
let status: () => unknown = () => ({});
const errors: unknown[] = [];
let server: Server;
let port = 0;
const ups: string[] = [];
const linksOf = (own: string, peers: [string, string][]): PeerLinks => {
  const links = new PeerLinks({
    name: name(own),
    incarnation: run(1),
    clusterId: clusterIdOf([name("a"), name("b")]),
    peers: new Map(peers.map(([peer, address]) => [name(peer), address])),
    secrets: [],
    events: {
      onLinkUp: (link) => ups.push(`${own}: ${link.peer}`),
      onLinkDown() {},
      onLinkMessage() {},
      onLinkWritable() {},
      onLinkRefused() {},
    },
  });
  links.open();
  return links;
};
let links: PeerLinks;

before(async () => {
  links = linksOf("b", [["a", "127.0.0.1:1"]]);
  server = createHttpServer({
    source: { status: () => status(), checks: () => checks },
    upgrades: new Map([["/peer", links.handleUpgrade]]),
    hosts: ["db1.example"],
    onError: (error) => errors.push(error),
  });
  port = (await listenHttp(server, { host: "127.0.0.1", port: 0 })).port;
});
after(async () => {
  await links.close();
  await closeHttpServer(server, 100);
});

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}
const ask = (path: string, options: { method?: string; host?: string } = {}): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const headers = options.host === undefined ? {} : { Host: options.host };
    const asked = request(
      { port, host: "127.0.0.1", path, method: options.method ?? "GET", headers, agent: false },
      (response) => {
        let body = "";
        response.on("data", (chunk: Buffer) => {
          body += chunk.toString();
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
      },
    );
    asked.on("error", reject);
    asked.end();
  });

test("/status is JSON, with maps as objects and bigints as strings", async () => {
  status = () => ({ name: "b", vv: new Map([["a.1", 3]]), big: 2n ** 60n, none: undefined });
  const answer = await ask("/status");
  assert.equal(answer.status, 200);
  assert.equal(answer.headers["content-type"], "application/json");
  assert.equal(answer.headers["access-control-allow-origin"], undefined);
  assert.deepEqual(JSON.parse(answer.body), { name: "b", vv: { "a.1": 3 }, big: "1152921504606846976" });
  assert.ok(answer.body.endsWith("}\n"));
});

test("health answers ok, or 503 and each reason, or all checks when asked", async () => {
  checks = [
    { name: "loading", ok: true, detail: "" },
    { name: "gate", ok: true, detail: "" },
  ];
  assert.deepEqual(await bodyOf("/readyz"), [200, "ok\n"]);
  assert.deepEqual(await bodyOf("/readyz?verbose"), [200, "[+]loading ok\n[+]gate ok\nreadyz check passed\n"]);
  checks = [
    { name: "loading", ok: true, detail: "" },
    { name: "gate", ok: false, detail: "waits for c to answer" },
  ];
  assert.deepEqual(await bodyOf("/readyz"), [503, "[-]gate failed: waits for c to answer\nreadyz check failed\n"]);
  assert.deepEqual(await bodyOf("/healthz?verbose"), [
    503,
    "[+]loading ok\n[-]gate failed: waits for c to answer\nhealthz check failed\n",
  ]);
  assert.deepEqual(await bodyOf("/livez"), [200, "ok\n"]);
  const head = await ask("/readyz", { method: "HEAD" });
  assert.deepEqual([head.status, head.body], [503, ""]);
});
const bodyOf = async (path: string): Promise<[number, string]> => {
  const { status, body } = await ask(path);
  return [status, body];
};

test("unknown paths, methods and failures are JSON errors that tell nothing of the inside", async () => {
  status = () => {
    throw new Error("secret detail");
  };
  for (const [path, method, code] of [
    ["/nothing", "GET", 404],
    ["//", "GET", 404],
    ["/", "POST", 405],
    ["/status/../x", "GET", 404],
    ["/status", "POST", 405],
    ["/peer", "GET", 426],
    ["/status", "GET", 500],
  ] as const) {
    const answer = await ask(path, { method });
    assert.equal(answer.status, code, path);
    assert.equal((JSON.parse(answer.body) as { error: { status: number } }).error.status, code);
    assert.ok(!answer.body.includes("secret detail"));
  }
  assert.equal(errors.length, 1);
});

test("only addresses, loopback and advertised names are answered, so a rebound name is not", async () => {
  const table = [
    ["localhost:6001", 200],
    ["127.0.0.1", 200],
    ["[::1]:6001", 200],
    ["10.1.2.3:6001", 200],
    ["db1.example", 200],
    ["DB1.example:6001", 200],
    ["evil.example", 421],
    ["localhost.evil.example", 421],
    ["db1.example.evil", 421],
    ["127.0.0.1.evil.example:80", 421],
    ["[evil", 421],
  ] as const;
  for (const [host, code] of table) assert.equal((await ask("/livez", { host })).status, code, host);
  const socket = await connectRaw(port);
  const said = readToEnd(socket);
  socket.write("GET /livez HTTP/1.0\r\n\r\n");
  assert.match(await said, /^HTTP\/1\.1 200 /, "a probe of HTTP/1.0 has no Host");
});

test("an upgrade goes to the links on their path and nowhere else", async () => {
  const raw = async (text: string): Promise<string> => {
    const socket = await connectRaw(port);
    const said = readToEnd(socket);
    socket.write(text);
    return said;
  };
  assert.match(await raw(upgradeRequest("/other")), /^HTTP\/1\.1 404 /);
  assert.match(await raw(upgradeRequest("/peer/x")), /^HTTP\/1\.1 404 /);
  assert.match(await raw(upgradeRequest("/peer?x=1", "Origin: http://localhost")), /^HTTP\/1\.1 403 /);
  const a = linksOf("a", [["b", `127.0.0.1:${port}`]]);
  await eventually("linked", () => ups.length === 2);
  assert.deepEqual([...ups].sort(), ["a: b", "b: a"]);
  await a.close();
});

test("more headers than the limit do not harm an upgrade or a request", async () => {
  const many = Array.from({ length: 300 }, (_, i) => `X${i}: 1`);
  const upgrade = upgradeRequest("/peer").replace("Connection:", `${many.join("\r\n")}\r\nConnection:`);
  for (const text of [
    upgrade,
    `GET /livez HTTP/1.1\r\nHost: localhost\r\n${many.join("\r\n")}\r\nConnection: close\r\n\r\n`,
  ]) {
    const socket = await connectRaw(port);
    const said = readToEnd(socket);
    socket.write(text);
    // Node before 22 leaves out what is too many, later ones refuse.
    assert.match(await said, /^HTTP\/1\.1 (200|400|431) /);
  }
  assert.equal((await ask("/livez")).status, 200);
});

const serverWithoutLinks = (): Server =>
  createHttpServer({
    source: { status: () => 1, checks: () => [] },
    upgrades: new Map(),
    hosts: [],
    onError: () => undefined,
  });

test("a port that cannot be had is one clear line", async () => {
  const another = serverWithoutLinks();
  await assert.rejects(listenHttp(another, { host: "127.0.0.1", port }), {
    message: `HTTP port ${port} on 127.0.0.1 is already in use: stop what uses it, or choose another`,
  });
  await assert.rejects(listenHttp(another, { host: "192.0.2.1", port: 0 }), /this machine has no such address/);
  await closeHttpServer(another);
});

test("closing loses no request of a client that asks one thing after another; who asks nothing is not waited for long", async () => {
  const another = serverWithoutLinks();
  const where = await listenHttp(another, { host: "127.0.0.1", port: 0 });
  const asking = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const socket = await connectRaw(where.port);
      const seen = { asked: 0, answered: 0, wasLast: false, isEnded: false };
      const ask = (): void => {
        seen.asked += 1;
        socket.write("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
      };
      let text = "";
      socket.on("data", (chunk: Buffer) => {
        text += chunk;
        if (!text.endsWith("ok\n")) return;
        seen.answered += 1;
        seen.wasLast = /^connection: close\r$/im.test(text);
        text = "";
        // The next comes as soon as it can: on its way while the server thinks the connection idle.
        if (!seen.wasLast) ask();
      });
      socket.on("close", () => {
        seen.isEnded = true;
      });
      ask();
      return seen;
    }),
  );
  const silent = await connectRaw(where.port);
  await eventually("all are at it", () => asking.every(({ answered }) => answered > 10));
  await closeHttpServer(another);
  await eventually("all are gone", () => silent.destroyed && asking.every(({ isEnded }) => isEnded));
  for (const { asked, answered, wasLast } of asking) assert.deepEqual([answered, wasLast], [asked, true]);
});

test("closing ends idle connections and does not wait for ever", async () => {
  const another = serverWithoutLinks();
  const where = await listenHttp(another, { host: "127.0.0.1", port: 0 });
  const stuck = await connectRaw(where.port);
  stuck.write("GET /livez HTTP/1.1\r\nHost: lo");
  await new Promise<void>((resolve, reject) => {
    get({ port: where.port, path: "/livez" }, (response) => response.resume().on("end", resolve)).on("error", reject);
  });
  await closeHttpServer(another, 50);
  await eventually("cut", () => stuck.destroyed);
});
