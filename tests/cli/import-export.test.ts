import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ReplyError, ReplyParser } from "../../protocol/resp-replies.ts";
import { parseEntryLine } from "../../server/cli/data/entry-line.ts";
import { parseRedisUrl } from "../../server/cli/data/redis-source.ts";
import { type PeerForTest, startPeerForTest } from "../support/peer-for-test.ts";
import { build, projectRoot, tempDirectory } from "../support/processes.ts";
import { RawConnection, type RedisProcess, startRedis } from "../support/redis-process.ts";
import { RespClient } from "../support/resp-client.ts";

/** Latin1, one character a byte, in and out. */
const openClient = (port: number): Promise<RespClient> => RespClient.connectSoon({ port });

const run = (
  given: readonly string[],
  options: {
    readonly input?: string | Buffer;
    readonly env?: Readonly<Record<string, string>>;
    readonly shell?: string;
  } = {},
): Promise<{ code: number | null; out: string; err: string }> =>
  new Promise((resolve) => {
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(CHORUS_|npm_)/.test(name)));
    const words = [process.execPath, "dist/server/main.js", ...given];
    const [command = "", ...rest] = options.shell === undefined ? words : ["sh", "-c", options.shell, ...words];
    const child = spawn(command, rest, {
      cwd: projectRoot,
      env: { ...env, ...options.env },
    });
    let out = "";
    let err = "";
    child.stdout.setEncoding("latin1").on("data", (text: string) => {
      out += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      err += text;
    });
    // It may have ended before it read all.
    child.stdin.on("error", () => {});
    child.stdin.end(options.input ?? "");
    child.on("close", (code) => resolve({ code, out, err }));
  });

const later = Date.now() + 3_600_000;

describe("export and import", () => {
  let peer: PeerForTest;
  let to: PeerForTest;
  let kv: RespClient;
  let copy: RespClient;
  const at = (which: PeerForTest): readonly string[] => ["--peers", `127.0.0.1:${which.httpPort}`];

  before(async () => {
    build();
    [peer, to] = [await startPeerForTest(), await startPeerForTest()];
    [kv, copy] = [await openClient(peer.port), await openClient(to.port)];
  });
  after(async () => {
    kv.close();
    copy.close();
    await peer.stop();
    await to.stop();
  });

  test("all that was exported is imported as it was: any bytes, expiries, counters, huge values", async (t) => {
    const bytes = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)).join("");
    await kv.call("SET", "city", "\u00c3\u0085lesund");
    await kv.call("SET", bytes, bytes.repeat(10));
    await kv.call("SET", "", "");
    await kv.call("SET", "soon", "x", "PXAT", later);
    await kv.call("INCRBY", "n", 7);
    await kv.call("SET", "huge", "h\n".repeat(8 * 1024 * 1024));
    for (let index = 0; index < 1500; index++) void kv.send("SET", `many:${index}`, `v${index}`);
    await kv.call("PING");
    const file = join(tempDirectory(t), "all.jsonl");
    const exported = await run(["export", ...at(peer), file]);
    assert.equal(exported.code, 0, exported.err);
    assert.match(exported.err, /^exported 1,506 keys, 1 of them with an expiry, in .*\n$/m);
    const lines = readFileSync(file, "utf8").split("\n");
    assert(lines.includes('{"key":"city","value":"Ålesund"}'));
    assert(lines.includes(`{"key":"soon","value":"x","expiresAtMs":${later}}`));
    const again = await run(["export", ...at(peer), file]);
    assert.deepEqual([again.code, again.err], [1, `chorus: ${file} exists; --force replaces it\n`]);

    const imported = await run(["import", ...at(to), file]);
    assert.equal(imported.code, 0, imported.err);
    assert.match(imported.err, /^imported 1,506 keys, in .*\n$/m);
    for (const key of ["city", bytes, "", "soon", "n", "huge", "many:0", "many:1499"]) {
      assert.equal(await copy.call("GET", key), await kv.call("GET", key), key);
      assert.equal(await copy.call("PEXPIRETIME", key), await kv.call("PEXPIRETIME", key), key);
    }
    assert.equal(await copy.call("DBSIZE"), 1506);
    const twice = await run(["import", ...at(to), file]);
    assert.equal(twice.code, 0);
    assert.equal(await copy.call("DBSIZE"), 1506);
    const some = await run(["export", ...at(peer), "--prefix", "many:14", "-"]);
    assert.equal(some.out.split("\n").length - 1, 111);
  });

  test("strong keys are among them, with what is left of their time", async () => {
    await kv.call("SET", "strong:a", "1");
    await kv.call("SET", "strong:b", "\xff", "PX", 3_600_000);
    const exported = await run(["export", ...at(peer), "--prefix", "strong:", "-"]);
    assert.equal(exported.code, 0, exported.err);
    const lines = exported.out.trimEnd().split("\n").sort();
    assert.equal(lines[0], '{"key":"strong:a","value":"1"}');
    assert.match(lines[1] ?? "", /^\{"key":"strong:b","value":\{"base64":"\/w=="\},"expiresAtMs":\d+\}$/);
    assert.equal(lines.length, 2);

    const input = `${exported.out}{"key":"strong:late","value":"x","expiresAtMs":1000}\n{"key":"beside","value":"y"}\n`;
    const imported = await run(["import", ...at(to), "-"], { input });
    assert.equal(imported.code, 0, imported.err);
    assert.match(imported.err, /^imported 3 keys/m);
    assert.equal(await copy.call("GET", "strong:a"), "1");
    assert.equal(await copy.call("TTL", "strong:a"), -1);
    assert.equal(await copy.call("GET", "strong:b"), "\xff");
    const leftMs = Number(await copy.call("PTTL", "strong:b"));
    assert(leftMs > 3_000_000 && leftMs <= 3_600_000, `${leftMs} ms`);
    assert.equal(await copy.call("GET", "beside"), "y");
    const again = await run(["import", ...at(to), "--nx", "-"], { input: '{"key":"strong:a","value":"2"}\n' });
    assert.equal(again.code, 0, again.err);
    assert.equal(await copy.call("GET", "strong:a"), "1");
    for (const key of ["strong:a", "strong:b"]) for (const client of [kv, copy]) await client.call("DEL", key);
    await copy.call("DEL", "beside");
  });

  test("--nx leaves what is there, --prefix and --from-line take a part, expired keys are left out", async () => {
    await copy.call("SET", "mine", "kept");
    const lines = [
      { key: "mine", value: "theirs" },
      { key: "old", value: "x", expiresAtMs: 1000 },
      { key: "new:1", value: "1", expiresAtMs: later },
      { key: "new:2", value: "2" },
      { key: "other", value: "3" },
    ]
      .map((each) => `${JSON.stringify(each)}\n`)
      .join("\n");
    const { code, err } = await run(["import", ...at(to), "--nx", "-"], { input: lines });
    assert.equal(code, 0);
    assert.match(err, /^imported 3 keys, 1 were there already, 1 had expired, in/);
    assert.equal(await copy.call("GET", "mine"), "kept");
    assert.equal(await copy.call("PEXPIRETIME", "new:1"), later);
    await copy.call("DEL", "new:1", "new:2", "other");
    // Lines are counted as an editor counts them, empty ones too.
    await run(["import", ...at(to), "--from-line", "6", "--prefix", "new:", "-"], { input: lines });
    assert.deepEqual(
      [await copy.call("EXISTS", "new:1"), await copy.call("EXISTS", "new:2"), await copy.call("EXISTS", "other")],
      [0, 1, 0],
    );
  });

  test("a line that is wrong is named; what stood before it is written, and one can go on behind it", async () => {
    await copy.call("DEL", "x");
    const wrong: readonly (readonly [string | Buffer, RegExp])[] = [
      ["{", /not JSON/],
      ["[]", /not an object/],
      [Buffer.from([0x22, 0xff, 0x22]), /not UTF-8/],
      ['{"value":"1"}', /key: missing/],
      ['{"key":"k"}', /value: missing/],
      ['{"key":"k","value":1}', /value: expected text, or \{"base64": \.\.\.\}/],
      ['{"key":{"base64":"?"},"value":""}', /key: expected text/],
      ['{"key":"k","value":"","ttl":5}', /unknown field "ttl"; known are key, value and expiresAtMs/],
      ['{"key":"k","value":"","expiresAtMs":1.5}', /expiresAtMs: expected a whole number/],
      [JSON.stringify({ key: "k".repeat(65_537), value: "" }), /a key of 65537 bytes, limit 65536/],
    ];
    for (const [line, why] of wrong) {
      const found = parseEntryLine(Buffer.from(line as string));
      assert(typeof found === "string" && why.test(found), `${String(line)}: ${JSON.stringify(found)}`);
    }
    const good = '{"key":"x","value":"1"}\n';
    const { code, err } = await run(["import", ...at(to), "-"], { input: `${good}\n{"key":"y"}\n${good}` });
    assert.equal(code, 3);
    assert.equal(err, "chorus: line 3: value: missing. Lines 1 to 1 are written: go on with --from-line 2\n");
    assert.equal(await copy.call("GET", "x"), "1");
    const none = await run(["import", ...at(to), "-"], { input: "oops" });
    assert.equal(none.err, "chorus: line 1: not JSON. Nothing was written\n");
  });

  test("wrong usage, a missing file and a full disk are told in one line", async (t) => {
    const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
      [["import"], 2, /either FILE \(- is standard input\), or --from/],
      [["import", "--from", "http://x", ...at(to)], 2, /flag --from: expected redis:/],
      [["import", "/nowhere/x.jsonl", ...at(to)], 3, /cannot be read: ENOENT/],
      [["export", "/nowhere/x.jsonl", ...at(to)], 1, /cannot be written: ENOENT/],
      [["export", "-", "--peers", "127.0.0.1:1"], 3, /UNREACHABLE/],
      [
        ["import", "--from", "redis://user:secret@127.0.0.1:1", ...at(to)],
        3,
        /redis at 127\.0\.0\.1:1: nobody listens/,
      ],
    ];
    for (const [given, code, line] of cases) {
      const ended = await run(given);
      assert.equal(ended.code, code, given.join(" "));
      assert.match(ended.err, line);
      assert.equal(ended.err.split("\n").length, 2);
      assert.doesNotMatch(ended.err, /secret/);
    }
    const directory = tempDirectory(t);
    // A file of at most 64 KiB: as a disk that is full.
    const limited = await run(["export", ...at(peer), join(directory, "all.jsonl")], {
      shell: 'ulimit -f 64; trap "" XFSZ; exec "$0" "$@"',
    });
    assert.equal(limited.code, 1, limited.err);
    assert.match(limited.err, /^chorus: .*all\.jsonl cannot be written: EFBIG/m);
    assert.deepEqual(readdirSync(directory), []);
  });
});

describe("the strings of a Redis", () => {
  const isMissing = spawnSync("redis-server", ["--version"]).status !== 0;
  let redis: RedisProcess;
  let source: RawConnection;
  let peer: PeerForTest;
  let kv: RespClient;
  before(async () => {
    if (isMissing) return;
    redis = await startRedis(["--databases", "4", "--requirepass", "open sesame"]);
    source = await RawConnection.open(redis.port);
    peer = await startPeerForTest();
    kv = await openClient(peer.port);
  });
  after(async () => {
    if (isMissing) return;
    source.close();
    kv.close();
    await redis.stop();
    await peer.stop();
  });

  test("are copied with their TTLs; other types are counted", { skip: isMissing && "no redis-server" }, async () => {
    const long = "l".repeat(17 * 1024 * 1024);
    const bytes = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)).join("");
    const commands = [
      ["AUTH", "open sesame"],
      ["SELECT", "3"],
      ["SET", "city", "Oslo"],
      ["SET", bytes, bytes],
      ["SET", "", ""],
      ["SET", "soon", "x", "EX", "3600"],
      ["SET", "[a]*", "glob"],
      ["SET", "too long", long],
      ["RPUSH", "list", "1"],
      ["HSET", "hash", "f", "1"],
      ["HSET", "hash2", "f", "1"],
      ...Array.from({ length: 3000 }, (_, index) => ["SET", `many:${index}`, `v${index}`]),
    ];
    for (const reply of await source.pipeline(commands)) assert.doesNotMatch(reply, /^-/);
    const to = ["--peers", `127.0.0.1:${peer.httpPort}`];
    const refused = await run(["import", "--from", `redis://127.0.0.1:${redis.port}/3`, ...to]);
    assert.equal(refused.code, 3);
    assert.match(refused.err, /^chorus: redis at 127\.0\.0\.1:\d+: NOAUTH .*\n$/);
    const { code, err } = await run(["import", "--from", `redis://:open%20sesame@127.0.0.1:${redis.port}/3`, ...to]);
    assert.equal(code, 0, err);
    assert.match(err, /^imported 3,005 keys, in .*$/m);
    assert.match(err, /^left out, since only strings can be held: 2 of type hash, 1 of type list$/m);
    assert.match(err, /^left out, since key or value are too long: 1 \(too long\)$/m);
    assert.equal(await kv.call("DBSIZE"), 3005);
    for (const [key, value] of [
      ["city", "Oslo"],
      [bytes, bytes],
      ["", ""],
      ["many:2999", "v2999"],
    ] as const) {
      assert.equal(await kv.call("GET", key), value);
      assert.equal(await kv.call("PTTL", key), -1);
    }
    const ttlMs = Number(await kv.call("PTTL", "soon"));
    assert(ttlMs > 3_000_000 && ttlMs <= 3_600_000, `${ttlMs}`);
    await kv.call("FLUSHALL");
    const part = await run(["import", "--from", `redis://127.0.0.1:${redis.port}/3`, "--prefix", "[a]", ...to], {
      env: { REDISCLI_AUTH: "open sesame" },
    });
    assert.match(part.err, /^imported 1 keys/);
    assert.equal(await kv.call("GET", "[a]*"), "glob");
  });

  test("what is no Redis is told", async (t) => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    const { port } = server.address() as { port: number };
    const { code, err } = await run(["import", "--from", `redis://127.0.0.1:${port}`, "--peers", "127.0.0.1:1"]);
    assert.equal(code, 3);
    assert.match(err, /^chorus: redis at 127\.0\.0\.1:\d+: no reply begins with "H": is it a Redis\?\n$/);
  });

  test("addresses", () => {
    const address = (text: string) => parseRedisUrl(text, {});
    assert.deepEqual(address("redis://host"), {
      host: "host",
      port: 6379,
      tls: false,
      user: undefined,
      password: undefined,
      database: 0,
    });
    const full = address("rediss://al:p%40ss@[::1]:7000/12");
    assert.deepEqual(
      [full.host, full.port, full.tls, full.user, full.password, full.database],
      ["::1", 7000, true, "al", "p@ss", 12],
    );
    assert.equal(parseRedisUrl("redis://host", { REDISCLI_AUTH: "env" }).password, "env");
    for (const wrong of ["", "host:1", "redis://", "redis://h/x", "redis://h/1?a", "http://h"]) {
      assert.throws(() => address(wrong), /flag --from/, wrong);
    }
  });
});

describe("replies of a Redis", () => {
  const text =
    "+OK\r\n-ERR no\r\n:-12\r\n$3\r\na\r\n\r\n$0\r\n\r\n$-1\r\n*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n:7\r\n*-1\r\n*0\r\n";
  const parsed = (chunkBytes: number): unknown[] => {
    const parser = new ReplyParser();
    const bytes = Buffer.from(text, "latin1");
    const replies: unknown[] = [];
    for (let at = 0; at < bytes.length; at += chunkBytes) {
      parser.push(bytes.subarray(at, at + chunkBytes));
      for (let reply = parser.next(); reply !== undefined; reply = parser.next()) replies.push(plain(reply));
    }
    return replies;
  };
  const plain = (reply: unknown): unknown => {
    if (reply instanceof Buffer) return `$${reply.toString("latin1")}`;
    if (reply instanceof ReplyError) return `-${reply.text}`;
    return Array.isArray(reply) ? reply.map(plain) : reply;
  };

  test("are read however the bytes come", () => {
    const expected = ["OK", "-ERR no", -12, "$a\r\n", "$", null, ["$0", ["$a", 7]], null, []];
    for (const chunkBytes of [1, 2, 3, 5, 1000]) assert.deepEqual(parsed(chunkBytes), expected);
  });

  test("are bounded and checked", () => {
    for (const wrong of ["$99999999999\r\n", "$-2\r\n", "$x\r\n", "!\r\n", "+a\rb", `${"*1\r\n".repeat(9)}:1\r\n`]) {
      const parser = new ReplyParser(1000);
      parser.push(Buffer.from(wrong));
      assert.throws(() => parser.next(), Error, wrong);
    }
  });
});
