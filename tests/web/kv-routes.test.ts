/** The routes for keys at a real peer: what is stored and answered, and what is refused. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { valueBytesMax } from "../../protocol/limits.ts";
import { type PeerForTest, startPeerForTest } from "../support/peer-for-test.ts";
import { until } from "../support/processes.ts";
import { RespClient } from "../support/resp-client.ts";
import { type Answer, type Asking, ask as askPort, codeOf, talk } from "./support.ts";

let peer: PeerForTest;
let redis: RespClient;
before(async () => {
  peer = await startPeerForTest();
  redis = await RespClient.connect({ port: peer.port });
});
after(async () => {
  redis.close();
  await peer.stop();
});
const ask = (path: string, asking?: Asking): Promise<Answer> => askPort(peer.httpPort, path, asking);
const put = (path: string, body: string | Buffer, headers = {}): Promise<Answer> =>
  ask(path, { method: "PUT", body, headers });

const allBytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
const percent = (bytes: Buffer): string => bytes.toString("hex").replaceAll(/../g, "%$&");

describe("/set, /get and /delete", () => {
  test("answer in plain words", async () => {
    const set = await ask("/set?key=username&value=ada");
    assert.deepEqual([set.status, set.text, set.headers["content-type"]], [200, "OK", "text/plain; charset=utf-8"]);
    const got = await ask("/get?key=username");
    assert.deepEqual([got.status, got.text], [200, "ada"]);
    assert.deepEqual((await ask("/delete?key=username")).text, "OK");
    const gone = await ask("/get?key=username");
    assert.deepEqual([gone.status, gone.text], [404, "NOT_FOUND no such key\n"]);
    assert.equal((await ask("/delete?key=username")).status, 404);
  });

  test("take any bytes: %-encoded, plus for a space, UTF-8 as it is", async () => {
    await ask(`/set?key=${percent(allBytes)}&value=${percent(allBytes)}`);
    assert.deepEqual((await ask(`/get?key=${percent(allBytes)}`)).bytes, allBytes);
    assert.equal((await ask(`/set?key=a+b%2Bc&value=1+%2B+1`)).text, "OK");
    assert.equal(await redis.call("GET", "a b+c"), "1 + 1");
    await ask("/set?key=%C3%B8&value=%F0%9F%99%82");
    assert.equal((await ask("/get?key=%C3%B8")).text, "🙂");
    await ask("/set?key=empty&value=");
    const empty = await ask("/get?key=empty");
    assert.deepEqual([empty.status, empty.bytes.length], [200, 0]);
  });

  test("expire after ttl seconds, with fractions", async () => {
    await ask("/set?key=soon&value=x&ttl=0.05");
    await until("it is gone", async () => (await ask("/get?key=soon")).status === 404);
    await ask("/set?key=later&value=x&ttl=90.5");
    const left = Number((await ask("/kv/later")).headers["x-chorus-ttl"]);
    assert(left > 60 && left <= 90.5, String(left));
    await ask("/set?key=later&value=x");
    assert.equal((await ask("/kv/later")).headers["x-chorus-ttl"], undefined);
  });

  test("say what is missing or makes no sense", async () => {
    const bad = [
      "/set?key=a",
      "/set?value=a",
      "/get",
      "/get?keys=a",
      "/delete?",
      "/get?key=a&key=b",
      "/get?key=%",
      "/get?key=%f",
      "/get?key=%zz",
      "/set?key=a&value=1&ttl=0",
      "/set?key=a&value=1&ttl=-1",
      "/set?key=a&value=1&ttl=1e3",
      "/set?key=a&value=1&ttl=",
      "/set?key=a&value=1&ttl=0.0001",
      "/set?key=a&value=1&px=1",
    ];
    for (const path of bad) {
      const answer = await ask(path);
      assert.equal(answer.status, 400, path);
      assert.match(answer.text, /^BAD_ARGUMENT .+\n$/);
    }
    assert.equal((await ask("/set?key=a&value=b", { method: "PUT" })).status, 405);
    assert.equal((await ask("/set?key=a&value=b", { method: "HEAD" })).headers.allow, "GET, POST");
    assert.equal((await ask("/set?key=by-post&value=b", { method: "POST" })).text, "OK");
    assert.equal((await ask("/get?key=a", { method: "DELETE" })).headers.allow, "GET, HEAD");
  });
});

describe("/kv/<key>", () => {
  test("keeps any bytes under any bytes, also with other ports", async () => {
    const keys = ["plain", "a/b/c", "/", "", "..%2f..", "%00", percent(allBytes), "%F0%9F%99%82", "a+b", "100%25"];
    for (const key of keys) {
      assert.equal((await put(`/kv/${key}`, allBytes)).status, 204, key);
      assert.deepEqual((await ask(`/kv/${key}`)).bytes, allBytes, key);
      assert.equal((await ask(`/kv/${key}`, { method: "DELETE" })).status, 204, key);
      assert.equal((await ask(`/kv/${key}`)).status, 404, key);
    }
    await put("/kv/a+b", "plus");
    assert.equal(await redis.call("GET", "a+b"), "plus");
    await redis.call("SET", "from redis", "x");
    assert.equal((await ask("/kv/from%20redis")).text, "x");
    assert.equal(codeOf(await ask("/kv/%x")), "BAD_ARGUMENT");
  });

  test("answers a value as nothing that a browser would run", async () => {
    await put("/kv/page", "<script>alert(1)</script>", { "Content-Type": "text/html" });
    for (const path of ["/kv/page", "/get?key=page"]) {
      const { headers } = await ask(path);
      assert.match(headers["content-type"] ?? "", /^(application\/octet-stream|text\/plain; charset=utf-8)$/);
      assert.equal(headers["x-content-type-options"], "nosniff");
      assert.equal(headers["content-security-policy"], "default-src 'none'; sandbox");
      assert.equal(headers["cross-origin-resource-policy"], "same-origin");
    }
    assert.equal((await ask("/kv/page")).headers["content-disposition"], "attachment");
  });

  test("HEAD answers the headers of GET and no body", async () => {
    await put("/kv/h", "12345", {});
    const strip = ({ headers: { date: _date, ...rest } }: Answer): object => rest;
    const [head, got] = [await ask("/kv/h", { method: "HEAD" }), await ask("/kv/h")];
    assert.deepEqual([head.status, head.text, head.headers["content-length"]], [200, "", "5"]);
    assert.deepEqual(strip(head), strip(got));
    const missing = await ask("/kv/nothing", { method: "HEAD" });
    assert.deepEqual([missing.status, missing.text], [404, ""]);
  });

  test("takes values up to the longest, and answers 413 to a longer one while it is still sent", async () => {
    const longest = Buffer.alloc(valueBytesMax, "x");
    longest[17] = 0xff;
    assert.equal((await put("/kv/long", longest)).status, 204);
    const got = await ask("/kv/long");
    assert(got.bytes.equals(longest));
    const announced = await ask("/kv/long", { method: "PUT", body: Buffer.alloc(valueBytesMax + 1) });
    assert.deepEqual([announced.status, codeOf(announced)], [413, "TOO_LARGE"]);
    // Chunked: nobody knows how much comes.
    const chunk = Buffer.concat([Buffer.from("100000\r\n"), Buffer.alloc(0x100000), Buffer.from("\r\n")]);
    const head = "PUT /kv/long HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    const parts = [head, ...Array.from({ length: 17 }, () => chunk)];
    const text = await talk(peer.httpPort, parts, (so) => so.includes("TOO_LARGE"));
    assert.match(text, /^HTTP\/1\.1 413 /);
    assert((await ask("/kv/long")).bytes.equals(longest), "what was there is there");
    await ask("/kv/long", { method: "DELETE" });
  });

  test("says 100 Continue only to a body it wants", async () => {
    const start = "PUT /kv/c HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\n";
    const wanted = await talk(peer.httpPort, [`${start}Content-Length: 3\r\n\r\n`, "abc"], (so) => so.includes("204"));
    assert.match(wanted, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 204 /);
    assert.equal((await ask("/kv/c")).text, "abc");
    const refused = await talk(peer.httpPort, [`${start}Content-Length: 99999999\r\n\r\n`], (so) =>
      so.includes("}\n}"),
    );
    assert.match(refused, /^HTTP\/1\.1 413 /);
  });

  test("a body that breaks off is nothing", async () => {
    await put("/kv/broken", "before");
    const socket = connect(peer.httpPort, "127.0.0.1");
    await once(socket, "connect");
    socket.write("PUT /kv/broken HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf of it");
    socket.write("", () => socket.destroy());
    await once(socket, "close");
    assert.equal((await ask("/kv/broken")).text, "before");
  });

  test("other methods are refused with what there is", async () => {
    for (const method of ["PATCH", "OPTIONS"]) {
      const answer = await ask("/kv/a", { method });
      assert.deepEqual([answer.status, answer.headers.allow], [405, "GET, HEAD, PUT, DELETE, POST"], method);
    }
    assert.equal((await ask("/kv?prefix=a", { method: "PUT", body: "x" })).headers.allow, "GET, HEAD");
    assert.equal(codeOf(await ask("/kv/a?ttl=1")), "BAD_ARGUMENT");
  });

  test("requests on one connection are answered in their order, also sent at once", async () => {
    const request = (line: string, body = ""): string =>
      `${line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    const parts = [
      request("PUT /kv/p", "one") + request("GET /kv/p") + request("PUT /kv/p", "two") + request("GET /get?key=p"),
    ];
    const text = await talk(peer.httpPort, parts, (so) => so.endsWith("two"));
    assert.deepEqual(
      text.match(/HTTP\/1\.1 [0-9]+|\r\n\r\n(one|two)/g)?.map((each) => each.trim()),
      ["HTTP/1.1 204", "HTTP/1.1 200", "one", "HTTP/1.1 204", "HTTP/1.1 200", "two"],
    );
  });
});

describe("counters", () => {
  test("POST adds to a counter, exact to 64 bits", async () => {
    const post = (path: string): Promise<Answer> => ask(path, { method: "POST" });
    assert.equal((await post("/kv/n?incr=5")).text, "5");
    assert.equal((await post("/kv/n?incr=-7")).text, "-2");
    await put("/kv/n", "9223372036854775800");
    assert.equal((await post("/kv/n?incr=7")).text, "9223372036854775807");
    const over = await post("/kv/n?incr=1");
    assert.deepEqual([over.status, codeOf(over)], [409, "NOT_A_NUMBER"]);
    await put("/kv/n", "text");
    assert.equal((await post("/kv/n?incr=1")).status, 409);
    for (const query of ["", "?incr", "?incr=x", "?incr=1.5", "?incr=9223372036854775808", "?incr=1&ttl=1"]) {
      assert.equal((await post(`/kv/n${query}`)).status, 400, query);
    }
  });
});

describe("conditions", () => {
  test("If-None-Match: * creates only", async () => {
    const created = await put("/kv/once", "first", { "If-None-Match": "*" });
    assert.deepEqual([created.status, created.headers["content-length"]], [201, "0"]);
    const again = await put("/kv/once", "second", { "If-None-Match": "*" });
    assert.deepEqual([again.status, codeOf(again)], [412, "CONDITION_FAILED"]);
    assert.equal((await ask("/kv/once")).text, "first");
  });

  test("If-Match writes and deletes only over the version that was seen", async () => {
    const first = (await put("/kv/v", "1")).headers.etag ?? "";
    assert.match(first, /^"[^"]+"$/);
    assert.equal((await ask("/kv/v")).headers.etag, first);
    const second = (await put("/kv/v", "2", { "If-Match": first })).headers.etag ?? "";
    assert.notEqual(second, first);
    assert.equal((await put("/kv/v", "3", { "If-Match": first })).status, 412);
    assert.equal((await put("/kv/v", "3", { "If-Match": `W/${second}` })).status, 412);
    assert.equal((await put("/kv/v", "3", { "If-Match": '""' })).status, 412);
    assert.equal((await ask("/kv/v")).text, "2");
    assert.equal((await ask("/kv/v", { method: "DELETE", headers: { "If-Match": first } })).status, 412);
    assert.equal((await ask("/kv/v", { method: "DELETE", headers: { "If-Match": second } })).status, 204);
    assert.equal((await ask("/kv/v", { method: "DELETE", headers: { "If-Match": second } })).status, 412);
    assert.equal((await put("/kv/v", "4", { "If-Match": "*" })).status, 412, "there is none");
    assert.equal((await ask("/kv/v", { method: "DELETE", headers: { "If-Match": "*" } })).status, 412);
    await put("/kv/v", "5");
    assert.equal((await put("/kv/v", "6", { "If-Match": "*" })).status, 204);
  });

  test("a counter's version changes with every increment", async () => {
    await ask("/kv/tally?incr=1", { method: "POST" });
    const { etag = "" } = (await ask("/kv/tally")).headers;
    await ask("/kv/tally?incr=1", { method: "POST" });
    assert.notEqual((await ask("/kv/tally")).headers.etag, etag);
    assert.equal((await put("/kv/tally", "0", { "If-Match": etag })).status, 412);
  });

  test("reads answer 304 to who has the value, 412 to who wants another", async () => {
    const etag = (await put("/kv/r", "1")).headers.etag ?? "";
    const same = await ask("/kv/r", { headers: { "If-None-Match": `"other", W/${etag}` } });
    assert.deepEqual([same.status, same.text, same.headers.etag], [304, "", etag]);
    assert.equal((await ask("/kv/r", { headers: { "If-None-Match": "*" } })).status, 304);
    assert.equal((await ask("/kv/r", { headers: { "If-None-Match": '"other"' } })).status, 200);
    assert.equal((await ask("/kv/r", { headers: { "If-Match": '"other"' } })).status, 412);
    assert.equal((await ask("/kv/r", { headers: { "If-Match": `"other",${etag}` } })).status, 200);
    assert.equal((await ask("/get?key=r", { headers: { "If-None-Match": etag } })).status, 304);
    assert.equal((await ask("/kv/none", { headers: { "If-None-Match": "*" } })).status, 404);
    assert.equal((await ask("/kv/r", { headers: { "If-None-Match": "not a tag" } })).status, 400);
  });

  test("what a peer cannot judge in one step is refused", async () => {
    for (const headers of [
      { "If-Match": '"a", "b"' },
      { "If-Match": "a" },
      { "If-None-Match": '"a"' },
      { "If-Match": "*", "If-None-Match": "*" },
    ]) {
      assert.equal((await put("/kv/x", "1", headers)).status, 400, JSON.stringify(headers));
    }
    assert.equal((await ask("/kv/x", { method: "DELETE", headers: { "If-None-Match": "*" } })).status, 400);
  });
});

describe("the list of keys", () => {
  const list = async (query: string): Promise<{ keys: unknown[]; cursor: string | null }> =>
    JSON.parse((await ask(`/kv${query}`)).text) as { keys: unknown[]; cursor: string | null };

  test("goes through all keys of a prefix, page by page", async () => {
    const words = Array.from({ length: 1500 }, (_, index) => [`list:${index}`, "x"]).flat();
    await redis.call("MSET", ...words);
    await redis.call("MSET", "list*", "a glob's own sign");
    const found: unknown[] = [];
    let cursor: string | null = "";
    let pages = 0;
    while (cursor !== null) {
      const page = await list(`?prefix=list:&limit=200&cursor=${encodeURIComponent(cursor)}`);
      found.push(...page.keys);
      cursor = page.cursor;
      pages += 1;
      assert(page.keys.length < 400, "about as many as asked for");
    }
    assert.equal(new Set(found).size, 1500);
    assert(pages > 3, `${pages} pages`);
    assert.deepEqual((await list("?prefix=list*")).keys, ["list*"]);
  });

  test("names keys that are not UTF-8 in base64", async () => {
    await put("/kv/raw%3A%FF%FE", "x");
    assert.deepEqual((await list("?prefix=raw%3A")).keys, [
      { base64: Buffer.from("raw:\xff\xfe", "latin1").toString("base64") },
    ]);
  });

  test("a cursor of another run is gone, nonsense is refused", async () => {
    const other = await ask("/kv?cursor=b.000000000000001:5");
    assert.deepEqual([other.status, codeOf(other)], [410, "CURSOR_GONE"]);
    for (const query of ["cursor=x", "cursor=5", "limit=0", "limit=1001", "limit=x", "count=5"]) {
      assert.equal((await ask(`/kv?${query}`)).status, 400, query);
    }
  });
});

describe("sessions", () => {
  test("a write answers a token, which a later one goes beyond", async () => {
    const first = await put("/kv/s", "1");
    const token = String(first.headers["x-chorus-session"]);
    assert.match(token, /^a\.[0-9a-z]{15}:[0-9]+$/);
    const [cookie = ""] = first.headers["set-cookie"] ?? [];
    assert.equal(cookie, `chorus-session=${token}; Path=/; Max-Age=60; HttpOnly; SameSite=Strict`);
    for (const headers of [{ "X-Chorus-Session": token }, { Cookie: `other=1; chorus-session=${token}` }]) {
      const got = await ask("/kv/s", { headers });
      assert.deepEqual([got.status, got.text], [200, "1"]);
      assert.equal(got.headers["set-cookie"], undefined);
      assert(String(got.headers["x-chorus-session"]).startsWith("a."));
    }
    assert.equal((await ask("/kv/s")).headers["x-chorus-session"], undefined, "who has none is given none for reading");
    const unchanged = await ask("/kv/nothing", { method: "DELETE", headers: { "X-Chorus-Session": token } });
    assert.equal(unchanged.status, 404);
    assert.equal(unchanged.headers["set-cookie"], undefined);
  });

  test("a header that is no token is refused, a cookie that is none is somebody else's", async () => {
    const bad = await ask("/kv/s", { headers: { "X-Chorus-Session": "nonsense" } });
    assert.deepEqual([bad.status, codeOf(bad)], [400, "BAD_POSITION"]);
    assert.equal((await ask("/kv/s", { headers: { Cookie: "chorus-session=nonsense" } })).status, 200);
  });
});

describe("with a password", () => {
  test("each route asks for it, by Bearer or Basic", async (t) => {
    const locked = await startPeerForTest({ password: "open sesame" });
    t.after(() => locked.stop());
    const basic = (text: string): string => `Basic ${Buffer.from(text).toString("base64")}`;
    for (const path of ["/kv/a", "/kv", "/get?key=a", "/set?key=a&value=1", "/delete?key=a"]) {
      for (const Authorization of ["", "Bearer wrong", basic("default:wrong"), basic("root:open sesame"), "Digest x"]) {
        const answer = await askPort(locked.httpPort, path, { headers: Authorization === "" ? {} : { Authorization } });
        assert.equal(answer.status, 401, `${path} ${Authorization}`);
        assert.equal(answer.headers["www-authenticate"], 'Basic realm="chorus"');
      }
    }
    const headers = { Authorization: basic("default:open sesame") };
    assert.equal((await askPort(locked.httpPort, "/set?key=a&value=1", { headers })).text, "OK");
    assert.equal(
      (await askPort(locked.httpPort, "/get?key=a", { headers: { Authorization: basic(":open sesame") } })).text,
      "1",
    );
  });
});
