/** The routes over backends that fail, that cache, that wait; and the peer's backend and its turns. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Session } from "../../server/commands/session.ts";
import type { Releasable } from "../../server/turn.ts";
import {
  httpStatusOf,
  type KvAnswer,
  type KvBackend,
  type KvCached,
  type KvCall,
  KvFailure,
} from "../../server/web/kv-backend.ts";
import { PeerBackend } from "../../server/web/peer-backend.ts";
import { BodyReader } from "../../server/web/request-body.ts";
import { readToken, writeToken } from "../../server/web/session-token.ts";
import { withCluster } from "../support/real-cluster.ts";
import { ask, codeOf, serveBackend, talk } from "./support.ts";

const run = "b.000000000000002";
const answers = (reply: KvAnswer["reply"], more: Partial<KvAnswer> = {}): KvBackend => ({
  call: () => Promise.resolve({ reply, position: `a.000000000000001:7,${run}:9`, run, ...more }),
});
const fails = (failure: unknown): KvBackend => ({ call: () => Promise.reject(failure) });

describe("what a backend rejects with", () => {
  test("becomes a status and a JSON error with its outcome, or a line for people", async (t) => {
    const cases: readonly (readonly [code: string, outcome: "not-applied" | "unknown", status: number])[] = [
      ["LOADING", "not-applied", 503],
      ["STALE", "not-applied", 503],
      ["NOREPLICAS", "not-applied", 503],
      ["UNREACHABLE", "not-applied", 503],
      ["OOM", "not-applied", 507],
      ["TIMEOUT", "unknown", 504],
      ["CONNECTION_LOST", "unknown", 502],
      ["CLOSED", "unknown", 504],
      ["ERR", "not-applied", 400],
      ["constructor", "not-applied", 500],
    ];
    for (const [code, outcome, status] of cases) {
      const { port } = await serveBackend(t, fails(new KvFailure(code, "why", outcome)));
      const answer = await ask(port, "/kv/a", { method: "PUT", body: "x" });
      assert.deepEqual(JSON.parse(answer.text), { error: { code, message: "why", outcome, status } });
      assert.equal(answer.status, status);
      assert.equal(answer.headers["retry-after"], status === 503 ? "1" : undefined, code);
      const line = await ask(port, "/set?key=a&value=x");
      assert.deepEqual([line.status, line.text], [status, `${code} why\n`]);
    }
  });

  test("a write of which nobody knows never has a status that says: try again", () => {
    for (const code of ["LOADING", "STALE", "BUSY", "TOO_MANY", "UNREACHABLE", "CLOSED", "ABORTED"]) {
      assert.notEqual(httpStatusOf({ code, outcome: "unknown" }), 503);
    }
  });

  test("a bug is a bare 500, is reported, and ends nothing else", async (t) => {
    const { port, errors } = await serveBackend(t, fails(new TypeError("secret")));
    const answer = await ask(port, "/kv/a");
    assert.deepEqual([answer.status, codeOf(answer), answer.text.includes("secret")], [500, "INTERNAL", false]);
    assert.equal(errors.length, 1);
    const strange = await serveBackend(t, answers(["?"]));
    assert.equal((await ask(strange.port, "/kv/a")).status, 502);
    assert.equal((await ask(strange.port, "/kv")).status, 502);
  });

  test("the commands are said to be repeatable only where they are", async (t) => {
    const calls: KvCall[] = [];
    const { port } = await serveBackend(t, {
      call: (call) => {
        calls.push(call);
        return Promise.resolve({ reply: call.command[0] === "SET" ? `${run}:10` : 1, position: "", run });
      },
    });
    await ask(port, "/set?key=k&value=v&ttl=1.5");
    await ask(port, "/delete?key=k");
    await ask(port, "/kv/k?ttl=2", { method: "PUT", body: "v" });
    await ask(port, "/kv/k", { method: "PUT", body: "v", headers: { "If-None-Match": "*" } });
    await ask(port, "/kv/k", { method: "PUT", body: "v", headers: { "If-Match": '"x:1"' } });
    await ask(port, "/kv/k", { method: "DELETE" });
    await ask(port, "/kv/k", { method: "DELETE", headers: { "If-Match": '"x:1"' } });
    await ask(port, "/kv/k?incr=3", { method: "POST" });
    await ask(port, "/kv/k", { headers: { "X-Chorus-Session": `${run}:9` } });
    assert.deepEqual(
      calls.map(({ command, kind, position }) => [command.join(" "), kind, position]),
      [
        ["SET k v PX 1500", "absolute", ""],
        ["DEL k", "absolute", ""],
        ["SET k v PX 2000 WITHVERSION", "absolute", ""],
        ["SET k v NX WITHVERSION", "once", ""],
        ["SET k v IFVERSION x:1 WITHVERSION", "once", ""],
        ["DEL k", "absolute", ""],
        ["DELEX k IFVERSION x:1", "once", ""],
        ["INCRBY k 3", "once", ""],
        ["VERSION k WITHVALUE", "read", `${run}:9`],
      ],
    );
  });
});

describe("a cache", () => {
  const cachedBackend = (entries: ReadonlyMap<string, KvCached>): KvBackend & { calls: number } => ({
    calls: 0,
    call() {
      this.calls += 1;
      return Promise.resolve({ reply: [`${run}:3`, "from the peer", -1], position: "", run, cache: "miss" });
    },
    cached: (key) => entries.get(key),
  });

  test("answers hits without a call, conditions and absences too", async (t) => {
    const entry: KvCached = { value: Buffer.from("\xff1", "latin1"), version: `${run}:1`, expiresAtMs: 0 };
    const backend = cachedBackend(
      new Map([
        ["k", entry],
        ["gone", { value: undefined, version: "", expiresAtMs: 0 }],
        ["soon", { value: Buffer.from("s"), version: `${run}:2`, expiresAtMs: Date.now() + 50_000 }],
      ]),
    );
    const { port } = await serveBackend(t, backend);
    for (const path of ["/kv/k", "/kv/k", "/get?key=k"]) {
      const answer = await ask(port, path);
      assert.deepEqual([answer.status, answer.bytes, answer.headers["x-cache"]], [200, entry.value, "hit"]);
      assert.equal(answer.headers.etag, `"${run}:1"`);
    }
    assert.equal((await ask(port, "/kv/k", { method: "HEAD" })).headers["content-length"], "2");
    assert.equal((await ask(port, "/kv/k", { headers: { "If-None-Match": `"${run}:1"` } })).status, 304);
    const gone = await ask(port, "/kv/gone");
    assert.deepEqual([gone.status, gone.headers["x-cache"]], [404, "hit"]);
    const left = Number((await ask(port, "/kv/soon")).headers["x-chorus-ttl"]);
    assert(left > 30 && left <= 50, String(left));
    assert.equal(backend.calls, 0);
    const missed = await ask(port, "/kv/other");
    assert.deepEqual([missed.text, missed.headers["x-cache"], backend.calls], ["from the peer", "miss", 1]);
  });

  test("requests sent at once on one connection are answered in order, hits behind calls", async (t) => {
    const backend = cachedBackend(new Map([["k", { value: Buffer.from("hit"), version: "v:1", expiresAtMs: 0 }]]));
    const { port } = await serveBackend(t, backend);
    const request = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    const parts = [request("/kv/other") + request("/kv/k") + request("/kv/k") + request("/status")];
    const text = await talk(port, parts, (so) => so.endsWith("{}\n"));
    assert.deepEqual(text.match(/(from the peer|hit)(?=HTTP|$)/g), ["from the peer", "hit", "hit"]);
  });
});

describe("bodies", () => {
  test("of all requests together have a bound, and what broke off no longer counts", async (t) => {
    const bodies = new BodyReader(1000);
    const { port } = await serveBackend(t, answers(`${run}:10`), { bodies });
    const full = await ask(port, "/kv/a", { method: "PUT", body: Buffer.alloc(1001) });
    assert.deepEqual([full.status, codeOf(full)], [503, "TOO_MANY"]);
    const chunked = "PUT /kv/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    const part = `320\r\n${"x".repeat(800)}\r\n`;
    const refused = await talk(port, [chunked, part, part], (so) => so.includes("TOO_MANY"));
    assert.match(refused, /^HTTP\/1\.1 503 /);
    assert.equal(bodies.bytes, 0);
    assert.equal((await ask(port, "/kv/a", { method: "PUT", body: Buffer.alloc(900) })).status, 204);
    assert.equal(bodies.bytes, 0);
  });
});

test("a connection that sends more requests ahead than there is room for is cut, and leaves its room", async (t) => {
  let free: () => void = () => {};
  const held = new Promise<void>((resolve) => {
    free = resolve;
  });
  const { port } = await serveBackend(
    t,
    { call: () => held.then(() => ({ reply: ["v:1", "value", -1], position: "", run })) },
    { pipelinedMax: 3 },
  );
  const requests = (count: number): string => "GET /kv/a HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(count);
  assert.equal(await talk(port, [requests(5)], () => false), "");
  const within = talk(port, [requests(4)], (so) => so.split("value").length === 5);
  setImmediate(free);
  assert.equal((await within).match(/HTTP\/1\.1 200/g)?.length, 4);
});

test("a body that does not come in time ends with 408, and nothing is called", async (t) => {
  let calls = 0;
  const { port, server } = await serveBackend(t, {
    call: () => {
      calls += 1;
      return Promise.reject(new KvFailure("ERR", "not expected"));
    },
  });
  // In the product half a minute.
  server.headersTimeout = 200;
  server.requestTimeout = 200;
  const head = "PUT /kv/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nonly so much";
  assert.match(await talk(port, [head], () => false), /^HTTP\/1\.1 408 /);
  assert.equal(calls, 0);
});

describe("session tokens", () => {
  test("of a write name the write alone", () => {
    const position = "a.000000000000001:7,aa.000000000000001:8,b.000000000000002:19";
    assert.equal(writeToken(position, "a.000000000000001"), "a.000000000000001:7");
    assert.equal(writeToken(position, "aa.000000000000001"), "aa.000000000000001:8");
    assert.equal(writeToken(position, "b.000000000000002"), "b.000000000000002:19");
    assert.equal(writeToken(position, "b.000000000000001"), undefined);
    assert.equal(writeToken("", "a.000000000000001"), undefined);
  });

  test("of a read name all it saw, unless that is too long for a header", () => {
    assert.equal(readToken("a.000000000000001:7", "x"), "a.000000000000001:7");
    assert.equal(readToken("y".repeat(100_000), "x"), "x");
  });
});

describe("the peer's backend", () => {
  interface Parts {
    readonly backend: PeerBackend;
    readonly finished: Releasable[];
    readonly ran: string[][];
    reached: boolean;
    blocked: Promise<void> | undefined;
  }
  const makeParts = (limits: { readonly answerMs?: number } = {}): Parts => {
    const finished: Releasable[] = [];
    const ran: string[][] = [];
    const execute = Object.assign(
      (session: Session, words: readonly string[]): void => {
        ran.push([...words]);
        if (words[0] === "BAD") session.reply.error("WRONGTYPE of a kind");
        else session.reply.bulk("done");
      },
      { stats: { commands: 0, rejected: 0, keyspaceHits: 0, keyspaceMisses: 0, blocked: 0 } },
    );
    const parts: Parts = {
      finished,
      ran,
      reached: true,
      blocked: undefined,
      backend: new PeerBackend({
        // The parts of an executor that are asked for.
        execute: execute as unknown as ConstructorParameters<typeof PeerBackend>[0]["execute"],
        turn: {
          nowMs: () => 1,
          finish: (connection) => void finished.push(connection),
          get blocked() {
            return parts.blocked;
          },
        },
        feed: {
          position: () => `${run}:5`,
          reached: () => Promise.resolve(parts.reached),
          covers: () => true,
          subscribe: () => ({ cancel: () => undefined, resume: () => undefined }),
        },
        run: () => run,
        nextSessionId: () => 1,
        limits: { callsMax: 2, ...limits },
      }),
    };
    return parts;
  };
  const call = (command: readonly string[], more: Partial<KvCall> = {}): KvCall => ({
    command,
    position: "",
    kind: "once",
    ...more,
  });
  const settled = async (): Promise<void> => {
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  };

  test("answers when its turn lets go of it, not before", async () => {
    const { backend, finished } = makeParts();
    let answer: unknown;
    void backend.call(call(["SET", "a", "1"])).then((given) => {
      answer = given;
    });
    await settled();
    const [connection] = finished;
    assert(connection !== undefined);
    const output = connection.takeOutput();
    await settled();
    assert.equal(answer, undefined, "it is not durable yet");
    connection.release(output);
    await settled();
    assert.deepEqual(answer, { reply: "done", position: `${run}:5`, run });
  });

  test("an error reply rejects, with its code", async () => {
    const { backend, finished } = makeParts();
    const failing = backend.call(call(["BAD"]));
    await settled();
    const [connection] = finished;
    connection?.release(connection.takeOutput());
    await assert.rejects(failing, { code: "WRONGTYPE", message: "of a kind", outcome: "not-applied" });
  });

  test("runs nothing for who is gone, behind its session, of another run, or one too many", async () => {
    const parts = makeParts();
    const { backend, ran } = parts;
    await assert.rejects(backend.call(call(["X"], { isGone: () => true })), { code: "ABORTED" });
    await assert.rejects(backend.call(call(["X"], { run: "a.000000000000001" })), { code: "CURSOR_GONE" });
    parts.reached = false;
    await assert.rejects(backend.call(call(["X"], { position: "a.000000000000001:9" })), { code: "STALE" });
    assert.equal(backend.waiting, 0);
    const held = [backend.call(call(["X"])), backend.call(call(["X"]))];
    await assert.rejects(backend.call(call(["X"])), { code: "TOO_MANY" });
    await settled();
    assert.equal(ran.length, 2);
    const closing = backend.close(10_000);
    await assert.rejects(backend.call(call(["X"])), { code: "LOADING" });
    for (const connection of parts.finished) connection.release(connection.takeOutput());
    await Promise.all(held);
    await closing;
  });

  test("gives up what is not let go of: the write is here, the outcome is not known", async (t) => {
    // The backend's own timer does not keep a process.
    const alive = setInterval(() => undefined, 1000);
    t.after(() => clearInterval(alive));
    const { backend, finished } = makeParts({ answerMs: 20 });
    const late = backend.call(call(["SET", "a", "1"]));
    await assert.rejects(late, { code: "TIMEOUT", outcome: "unknown" });
    assert.equal(backend.waiting, 0);
    // In vain: nobody listens any more.
    const [connection] = finished;
    connection?.release(connection.takeOutput());
  });

  test("waits while somebody holds the map", async () => {
    const parts = makeParts();
    let free: () => void = () => {};
    parts.blocked = new Promise((resolve) => {
      free = resolve;
    });
    void parts.backend.call(call(["X"]));
    await settled();
    assert.equal(parts.ran.length, 0);
    parts.blocked = undefined;
    free();
    await settled();
    assert.equal(parts.ran.length, 1);
  });
});

test("who wrote at one peer reads it at another, at once, by the token alone", (t) =>
  withCluster(t, {}, async (cluster) => {
    const [a, b, c] = cluster.peers;
    assert(a !== undefined && b !== undefined && c !== undefined);
    for (let round = 0; round < 30; round += 1) {
      const wrote = await ask(a.httpPort, "/kv/mine", { method: "PUT", body: `round ${round}` });
      assert.equal(wrote.status, 204);
      const session = String(wrote.headers["x-chorus-session"]);
      const read = await ask(b.httpPort, "/get?key=mine", { headers: { "X-Chorus-Session": session } });
      assert.equal(read.text, `round ${round}`);
      // What b showed, c shows: the token of the read has what it saw.
      const later = String(read.headers["x-chorus-session"]);
      const again = await ask(c.httpPort, "/kv/mine", { headers: { Cookie: "x=y", "X-Chorus-Session": later } });
      assert.equal(again.text, `round ${round}`);
      assert.equal(again.headers.etag, wrote.headers.etag, "versions are equal at all peers");
    }
  }));
