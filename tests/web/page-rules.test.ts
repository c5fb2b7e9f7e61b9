/** What a web page may have its visitor's browser do, as a table of the headers that browsers send. */
import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { describe, test } from "node:test";
import { judgeRead, parseTags, writeCondition } from "../../server/web/conditions.ts";
import type { KvBackend } from "../../server/web/kv-backend.ts";
import { PageRules, type RequestKind } from "../../server/web/page-rules.ts";
import { ask, serveBackend } from "./support.ts";

const browser = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36";
const own = "http://localhost:6001";
type Headers = Readonly<Record<string, string>>;

const mayAsk = (rules: PageRules, kind: RequestKind, headers: Headers): boolean =>
  // Headers are all the rules look at.
  rules.refusal({ headers: { host: "localhost:6001", ...headers } } as unknown as IncomingMessage, kind) === undefined;

describe("a page", () => {
  const rules = new PageRules({ hosts: ["db1.example"], allowOrigins: ["https://app.example"] });
  // Columns: what the browser sends; may it read, change, change by GET?
  const cases: readonly (readonly [why: string, headers: Headers, may: string])[] = [
    ["curl", { "user-agent": "curl/8" }, "yes yes yes"],
    ["a person's own address bar", { "sec-fetch-site": "none", "user-agent": browser }, "yes yes yes"],
    ["our own page", { "sec-fetch-site": "same-origin" }, "yes yes yes"],
    ["our own page's fetch", { "sec-fetch-site": "same-origin", origin: own }, "yes yes yes"],
    ["<img> of another site", { "sec-fetch-site": "cross-site" }, "no no no"],
    ["<img> of another port", { "sec-fetch-site": "same-site" }, "no no no"],
    ["fetch of another site", { "sec-fetch-site": "cross-site", origin: "https://evil.example" }, "no no no"],
    ["a sandboxed page", { "sec-fetch-site": "cross-site", origin: "null" }, "no no no"],
    ["an old browser's form", { origin: "https://evil.example" }, "no no no"],
    ["an allowed page's fetch", { "sec-fetch-site": "cross-site", origin: "https://app.example" }, "yes yes no"],
    ["a link of an allowed page", { "sec-fetch-site": "cross-site" }, "no no no"],
    ["what is no value of that header", { "sec-fetch-site": "same-origin, cross-site" }, "no no no"],
    ["an old browser's link", { referer: "https://evil.example/x" }, "yes yes no"],
    ["an old browser on our page", { referer: `${own}/` }, "yes yes yes"],
    ["an old browser that hides its page, at loopback", { "user-agent": browser }, "yes yes yes"],
    ["the same at an address", { "user-agent": browser, host: "10.0.0.7:6001" }, "yes yes no"],
    ["curl at an address", { "user-agent": "curl/8", host: "10.0.0.7:6001" }, "yes yes yes"],
    ["a page on another port", { origin: "http://localhost:6002" }, "no no no"],
    ["a page by https on the same name", { origin: "https://localhost:6001" }, "yes yes yes"],
  ];
  for (const [why, headers, wanted] of cases) {
    test(`${why}: ${wanted}`, () => {
      const kinds: readonly RequestKind[] = ["read", "change", "change-by-get"];
      const may = kinds.map((kind) => (mayAsk(rules, kind, headers) ? "yes" : "no")).join(" ");
      assert.equal(may, wanted);
    });
  }

  test("that points its own name here is refused by its Host", () => {
    for (const host of [
      "evil.example",
      "evil.example:6001",
      "localhost.evil.example",
      "[evil]",
      "a b",
      "localhost:x",
    ]) {
      assert.equal(rules.isHostAllowed(host), false, host);
    }
    for (const host of ["localhost", "LOCALHOST:1", "127.0.0.1:6001", "[::1]:6001", "DB1.example:80", undefined]) {
      assert.equal(rules.isHostAllowed(host), true, host);
    }
  });
});

describe("over HTTP", () => {
  const backend: KvBackend & { writes: number } = {
    writes: 0,
    call({ kind, command }) {
      if (kind !== "read") this.writes += 1;
      const reply = command[0] === "VERSION" ? ["v:1", "secret", -1] : command[0] === "DEL" ? 1 : "OK";
      return Promise.resolve({ reply, position: "", run: "a.000000000000001" });
    },
  };

  test("no page of another site changes anything, whatever it sends", async (t) => {
    const { port } = await serveBackend(t, backend);
    const attempts: readonly (readonly [method: string, path: string, headers: Headers])[] = [
      ["GET", "/set?key=a&value=b", { "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate" }],
      ["GET", "/delete?key=a", { "Sec-Fetch-Site": "same-site" }],
      ["GET", "/set?key=a&value=b", { Referer: "https://evil.example/" }],
      ["POST", "/set?key=a&value=b", { Origin: "https://evil.example", "Content-Type": "text/plain" }],
      ["POST", "/kv/a?incr=1", { Origin: "null", "Content-Type": "text/plain" }],
      ["PUT", "/kv/a", { Origin: "https://evil.example" }],
      ["DELETE", "/kv/a", { "Sec-Fetch-Site": "cross-site" }],
      ["OPTIONS", "/kv/a", { Origin: "https://evil.example", "Access-Control-Request-Method": "PUT" }],
    ];
    for (const [method, path, headers] of attempts) {
      const answer = await ask(port, path, { method, headers });
      assert.equal(answer.status, 403, `${method} ${path}`);
      assert.equal(answer.headers["access-control-allow-origin"], undefined);
    }
    assert.equal((await ask(port, "/set?key=a&value=b", { headers: { Host: "evil.example" } })).status, 421);
    assert.equal(backend.writes, 0);
  });

  test("an allowed page may, after asking; and sees the headers that matter", async (t) => {
    const { port } = await serveBackend(t, backend, { allowOrigins: ["https://app.example"] });
    const Origin = "https://app.example";
    const preflight = await ask(port, "/kv/a", {
      method: "OPTIONS",
      headers: {
        Origin,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "if-match",
        "Access-Control-Request-Private-Network": "true",
      },
    });
    assert.equal(preflight.status, 204);
    assert.match(preflight.headers["access-control-allow-methods"] ?? "", /PUT/);
    assert.match(preflight.headers["access-control-allow-headers"] ?? "", /If-Match/);
    assert.equal(preflight.headers["access-control-allow-private-network"], "true");
    assert.equal(preflight.headers["access-control-allow-credentials"], undefined);
    const got = await ask(port, "/kv/a", { headers: { Origin, "Sec-Fetch-Site": "cross-site" } });
    assert.deepEqual(
      [got.status, got.headers["access-control-allow-origin"], got.headers.vary],
      [200, Origin, "Origin"],
    );
    assert.match(got.headers["access-control-expose-headers"] ?? "", /ETag/);
    const plain = await ask(port, "/kv/a");
    assert.deepEqual([plain.headers["access-control-allow-origin"], plain.headers.vary], [undefined, "Origin"]);
  });
});

describe("conditions", () => {
  test("lists of tags are read as RFC 9110 has them", () => {
    const cases: readonly (readonly [header: string, strong: unknown, weak: unknown])[] = [
      ["*", "*", "*"],
      [' "a" ', ["a"], ["a"]],
      ['"a","b" , W/"c"', ["a", "b"], ["a", "b", "c"]],
      ['"a.0:1/2f"', ["a.0:1/2f"], ["a.0:1/2f"]],
      ['""', [""], [""]],
      ["a", undefined, undefined],
      ['"a" "b"', undefined, undefined],
      ['"a', undefined, undefined],
      ['w/"a"', undefined, undefined],
      ['"a b"', undefined, undefined],
    ];
    for (const [header, strong, weak] of cases) {
      assert.deepEqual(parseTags(header, "skip"), strong, header);
      assert.deepEqual(parseTags(header, "take"), weak, header);
    }
  });

  test("of a key that is not there nothing matches", () => {
    assert.equal(judgeRead({ "if-match": "*" }, undefined), "failed");
    assert.equal(judgeRead({ "if-none-match": "*" }, undefined), "answer");
    assert.equal(judgeRead({ "if-match": '"a"', "if-none-match": '"a"' }, "a"), "not-modified");
    assert.deepEqual(writeCondition({ "if-match": 'W/"a"' }), { type: "never" });
  });
});
