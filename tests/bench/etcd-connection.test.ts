/** The bench's few bytes of HTTP/2 and HPACK, read by somebody else's implementation: node:http2. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type ServerHttp2Session } from "node:http2";
import { type TestContext, test } from "node:test";
import { EtcdConnection, putRequest, rangeRequest } from "../../scripts/bench/etcd-connection.ts";

interface Seen {
  readonly path: string | undefined;
  readonly authority: string | undefined;
  readonly contentType: string | undefined;
  readonly te: string | string[] | undefined;
  readonly body: string;
}

interface Fake {
  readonly port: number;
  readonly seen: Seen[];
  /** How each next call is answered; a message when there is none. */
  readonly answers: ("message" | "refusal" | "reset")[];
  session(): ServerHttp2Session;
}

const startFake = async (t: TestContext): Promise<Fake> => {
  const seen: Seen[] = [];
  const answers: Fake["answers"] = [];
  const sessions: ServerHttp2Session[] = [];
  const server = createServer();
  server.on("session", (session) => sessions.push(session));
  server.on("stream", (stream, headers) => {
    let body = "";
    stream.setEncoding("latin1");
    stream.on("error", () => undefined);
    stream.on("data", (chunk: string) => {
      body += chunk;
    });
    stream.on("end", () => {
      seen.push({
        path: headers[":path"],
        authority: headers[":authority"],
        contentType: headers["content-type"],
        te: headers.te,
        body,
      });
      const answer = answers.shift() ?? "message";
      if (answer === "reset") stream.close(8);
      else if (answer === "refusal")
        stream.respond(
          { ":status": 200, "content-type": "application/grpc", "grpc-status": "14" },
          { endStream: true },
        );
      else {
        stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
        stream.end(Buffer.from("\0\0\0\0\x03abc", "latin1"));
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert(typeof address === "object" && address !== null);
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return {
    port: address.port,
    seen,
    answers,
    session: () => {
      const session = sessions.at(-1);
      assert(session !== undefined);
      return session;
    },
  };
};

const callOf = (connection: EtcdConnection, message: string): Promise<number> =>
  new Promise((resolve, reject) => {
    connection.call(message, (failure, bytes) => (failure === undefined ? resolve(bytes) : reject(failure)));
  });

test("the first call and later ones carry the same headers, and each its own message", async (t) => {
  const fake = await startFake(t);
  const connection = await EtcdConnection.open(fake.port, "Put");
  t.after(() => connection.close());
  const messages = Array.from({ length: 200 }, (_, i) => putRequest(`k${i}`, "v".repeat(i)));
  const bytes = await Promise.all(messages.map((message) => callOf(connection, message)));
  assert.deepEqual(new Set(bytes), new Set([3]));
  assert.equal(fake.seen.length, messages.length);
  for (const { body, ...headers } of fake.seen) {
    assert.deepEqual(headers, {
      path: "/etcdserverpb.KV/Put",
      authority: `127.0.0.1:${fake.port}`,
      contentType: "application/grpc",
      te: "trailers",
    });
    assert.equal(body.charCodeAt(0), 0);
    assert.equal(Buffer.from(body, "latin1").readUInt32BE(1), body.length - 5);
  }
  assert.deepEqual(fake.seen.map(({ body }) => body.slice(5)).sort(), [...messages].sort());
});

test("messages are those of etcd's protocol buffers", () => {
  const hex = (text: string): string => Buffer.from(text, "latin1").toString("hex");
  assert.equal(hex(rangeRequest("ab")), "0a026162");
  assert.equal(hex(putRequest("a", "xyz")), "0a0161120378797a");
  assert.equal(hex(putRequest("", "x".repeat(300))).slice(0, 12), "0a0012ac0278");
});

test("a stream without a message, a reset one and a closed connection are failures; others go on", async (t) => {
  const fake = await startFake(t);
  const connection = await EtcdConnection.open(fake.port, "Range");
  t.after(() => connection.close());
  fake.answers.push("refusal", "reset", "message");
  await assert.rejects(callOf(connection, rangeRequest("a")), /refused the call/);
  await assert.rejects(callOf(connection, rangeRequest("a")), /reset the stream/);
  assert.equal(await callOf(connection, rangeRequest("a")), 3);
  // A server that asks whether we are there gets its answer.
  await new Promise<void>((resolve, reject) => {
    fake.session().ping((error) => (error === null ? resolve() : reject(error)));
  });
  assert.equal(await callOf(connection, rangeRequest("a")), 3);
  fake.session().destroy();
  await assert.rejects(callOf(connection, rangeRequest("a")), /ended the connection|closed the connection|ECONNRESET/);
  await assert.rejects(callOf(connection, rangeRequest("a")), /ended the connection|closed the connection|ECONNRESET/);
});
