/** The executor: what it refuses and when, transactions and their limits, commands that take their time. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  execBytesMax,
  flushInExecKeysMax,
  keyBytesMax,
  queuedCommandsMax,
  replyBytesMax,
  valueBytesMax,
  watchedKeysMax,
} from "../../protocol/limits.ts";
import { boundWrittenBytes } from "../../server/commands/exec-bytes.ts";
import { type FakeClient, fakePeerWithCommands } from "../support/fake-host.ts";
import { FakeKeyspace } from "../support/fake-keyspace.ts";
import { parseReply } from "../support/parse-reply.ts";

const mebibyte = 1024 * 1024;
const sendAll = async (client: FakeClient, lines: readonly string[]): Promise<readonly string[]> => {
  const replies: string[] = [];
  for (const line of lines) replies.push(await client.line(line));
  return replies;
};

describe("a peer that does not take everything now", () => {
  test("refuses writes with its own line and goes on reading", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client();
    await client.line("SET a 1");
    peer.host.refusesWrites = "CLOCKSKEW this peer's clock is 9 s off";
    assert.equal(await client.line("SET a 2"), "-CLOCKSKEW this peer's clock is 9 s off\r\n");
    assert.equal(await client.line("DEL a"), "-CLOCKSKEW this peer's clock is 9 s off\r\n");
    assert.equal(await client.line("GET a"), "$1\r\n1\r\n");
  });

  test("past its memory refuses what grows, and lets deletes and renames through", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client();
    await client.line("SET a 1");
    peer.host.refusesGrowth = "OOM command not allowed when used memory > 'maxmemory'.";
    assert.match(await client.line("SET b 2"), /^-OOM /);
    assert.match(await client.line("INCR a"), /^-OOM /);
    assert.equal(await client.line("EXPIRE a 100"), ":1\r\n");
    assert.equal(await client.line("DEL a"), ":1\r\n");
  });

  test("while it loads answers only what does not touch the map", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client();
    peer.host.refusesReads = "LOADING the map is being installed";
    assert.match(await client.line("GET a"), /^-LOADING /);
    assert.match(await client.line("PING"), /^-LOADING /);
    assert.match(await client.line("INFO"), /^\$/);
    assert.match(await client.line("HELLO 2"), /^\*14/);
    assert.match(await client.line("COMMAND COUNT"), /^:/);
  });

  test("spoils a transaction at the command it refuses", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client();
    await client.line("MULTI");
    peer.host.refusesWrites = "CLOCKSKEW off";
    assert.match(await client.line("SET a 1"), /^-CLOCKSKEW/);
    peer.host.refusesWrites = undefined;
    assert.match(await client.line("EXEC"), /^-EXECABORT Transaction discarded because of previous errors/);
    assert.equal(peer.host.keyspace.writes, 0);
  });

  test("refuses at EXEC what it took when it was queued", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client();
    for (const [refusal, lines] of [
      ["refusesWrites", ["GET a", "SET a 1"]],
      ["refusesReads", ["GET a"]],
      ["refusesGrowth", ["SET a 1"]],
    ] as const) {
      await sendAll(client, ["MULTI", ...lines]);
      peer.host[refusal] = "CODE why";
      assert.equal(await client.line("EXEC"), "-EXECABORT Transaction discarded because of: CODE why\r\n", refusal);
      peer.host[refusal] = undefined;
      assert.equal(await client.line("EXEC"), "-ERR EXEC without MULTI\r\n");
    }
    assert.equal(peer.host.keyspace.writes, 0);
  });
});

describe("bounds on keys and values", () => {
  const longKey = "k".repeat(keyBytesMax + 1);

  test("a key beyond its length is never written", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client();
    await client.line("SET a 1");
    const { writes } = peer.host.keyspace;
    const commands = [
      ["SET", longKey, "1"],
      ["SETNX", longKey, "1"],
      ["INCR", longKey],
      ["APPEND", longKey, "1"],
      ["SETRANGE", longKey, "1", "x"],
      ["MSET", "b", "1", longKey, "1"],
      ["MSETNX", "b", "1", longKey, "1"],
      ["RENAME", "a", longKey],
      ["RENAMENX", "a", longKey],
      ["COPY", "a", longKey],
    ];
    for (const words of commands) assert.match(await client.send(words), /^-ERR key is too long/, words[0]);
    assert.equal(peer.host.keyspace.writes, writes);
    assert.equal(await client.send(["GET", longKey]), "$-1\r\n");
    assert.equal(await client.send(["DEL", longKey]), ":0\r\n");
    assert.equal(await client.send(["SET", "k".repeat(keyBytesMax), "1"]), "+OK\r\n");
  });

  test("a value grows to its bound and no further", async () => {
    const client = fakePeerWithCommands().client();
    await client.send(["SET", "a", "x".repeat(valueBytesMax - 1)]);
    assert.equal(await client.line("APPEND a y"), `:${valueBytesMax}\r\n`);
    assert.match(await client.line("APPEND a z"), /^-ERR string exceeds maximum allowed size/);
    assert.equal(await client.line("STRLEN a"), `:${valueBytesMax}\r\n`);
    assert.equal(await client.send(["SETRANGE", "a", String(valueBytesMax - 1), "z"]), `:${valueBytesMax}\r\n`);
    assert.match(await client.send(["SETRANGE", "a", String(valueBytesMax), "z"]), /^-ERR string exceeds/);
  });

  test("MSET of more than one frame takes is refused as a whole", async () => {
    const peer = fakePeerWithCommands();
    const half = "x".repeat(execBytesMax / 2);
    assert.match(await peer.client().send(["MSET", "a", half, "b", half]), /^-ERR mset of \d+ bytes, limit/);
    assert.equal(peer.host.keyspace.writes, 0);
  });

  test("MGET of more than one reply takes is an error, not a closed connection", async () => {
    const client = fakePeerWithCommands().client();
    await client.send(["SET", "a", "x".repeat(mebibyte)]);
    const times = replyBytesMax / mebibyte + 1;
    assert.match(
      await client.send(["MGET", ...Array.from({ length: times }, () => "a")]),
      /^-ERR the values have \d+ bytes/,
    );
  });

  test("an LCS too large for its table is Redis's error", async () => {
    const client = fakePeerWithCommands().client();
    await client.send(["MSET", "a", "x".repeat(3000), "b", "y".repeat(3000)]);
    assert.match(await client.line("LCS a b"), /^-ERR Insufficient memory, transient memory for LCS/);
  });
});

describe("a transaction", () => {
  test("is one command to the map: one stamp, one moment", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client();
    await sendAll(client, ["MULTI", "SET a 1", "INCR a", "GET a"]);
    const { begins } = peer.host.keyspace;
    assert.equal(await client.line("EXEC"), "*3\r\n+OK\r\n:2\r\n$1\r\n2\r\n");
    assert.equal(peer.host.keyspace.begins, begins + 1);
  });

  test("remembers its last write for WAIT", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client();
    await sendAll(client, ["MULTI", "SET a 1", "SET b 1", "EXEC", "WAIT 1 100"]);
    assert.equal(client.session.lastWriteSeq, 2);
    assert.deepEqual(peer.host.waits, [[2, 1, 100]]);
  });

  test("with WAIT inside answers at once what is held now", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client();
    await sendAll(client, ["SET a 1", "MULTI", "SET a 2", "WAIT 2 0"]);
    assert.equal(await client.line("EXEC"), "*2\r\n+OK\r\n:0\r\n");
    assert.deepEqual(peer.host.waits, []);
  });

  test("that would write more than a frame holds is refused before anything is applied", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client();
    await client.send(["SET", "big", "x".repeat(6 * mebibyte)]);
    const { writes } = peer.host.keyspace;
    const tooMuch: readonly (readonly string[][])[] = [
      [
        ["SET", "a", "x".repeat(9 * mebibyte)],
        ["SET", "b", "x".repeat(9 * mebibyte)],
      ],
      [
        ["APPEND", "big", "y"],
        ["APPEND", "big", "y"],
        ["APPEND", "big", "y"],
      ],
      [
        ["COPY", "big", "c1"],
        ["COPY", "big", "c2"],
        ["COPY", "big", "c3"],
      ],
      [
        ["COPY", "big", "c1"],
        ["RENAME", "c1", "c2"],
        ["EXPIRE", "c2", "100"],
      ],
      [
        ["SETRANGE", "n", String(9 * mebibyte), "x"],
        ["SETRANGE", "m", String(9 * mebibyte), "x"],
      ],
    ];
    for (const commands of tooMuch) {
      await client.line("MULTI");
      for (const words of commands) assert.equal(await client.send(words), "+QUEUED\r\n");
      assert.match(
        await client.line("EXEC"),
        /^-EXECABORT Transaction discarded because of: it may write \d+ bytes, limit/,
      );
      assert.equal(peer.host.keyspace.writes, writes);
    }
  });

  test("never writes more bytes than it was judged to", () => {
    const key = fc.constantFrom("a", "b", "c");
    const value = fc.constantFrom("1", "xxxxxxxxxxxxxxxx", "1e30", "-1.5", "e300", "");
    const command = fc.oneof(
      fc.tuple(fc.constantFrom("SET", "APPEND", "SETNX", "GETSET", "INCRBYFLOAT"), key, value),
      fc.tuple(fc.constantFrom("INCR", "DECR", "DEL", "GETDEL", "PERSIST"), key),
      fc.tuple(fc.constantFrom("RENAME", "RENAMENX", "COPY"), key, key),
      fc.tuple(fc.constant("COPY"), key, key, fc.constant("REPLACE")),
      fc.tuple(fc.constant("SETRANGE"), key, fc.constantFrom("0", "5", "300"), value),
      fc.tuple(fc.constant("EXPIRE"), key, fc.constantFrom("100", "-1")),
      fc.tuple(fc.constantFrom("SETEX", "PSETEX"), key, fc.constant("1000"), value),
      fc.tuple(fc.constantFrom("MSET", "MSETNX"), key, value, key, value),
      fc.tuple(fc.constant("GETEX"), key, fc.constant("EX"), fc.constant("100")),
    );
    const commands = fc.array(
      command.map((words) => [...words] as string[]),
      { maxLength: 12 },
    );
    return fc.assert(
      fc.asyncProperty(commands, commands, async (before, inside) => {
        const peer = fakePeerWithCommands();
        const client = peer.client();
        for (const words of before) await client.send(words);
        peer.host.keyspace.begin(Date.now());
        const bound = boundWrittenBytes(inside, peer.host.keyspace);
        const startedAt = peer.host.keyspace.bytesWritten;
        await client.line("MULTI");
        for (const words of inside) await client.send(words);
        await client.line("EXEC");
        const written = peer.host.keyspace.bytesWritten - startedAt;
        assert.ok(written <= bound, `${written} <= ${bound}`);
      }),
      { numRuns: 500 },
    );
  });

  test("takes only so many commands", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client();
    await client.line("MULTI");
    for (let index = 0; index < queuedCommandsMax; index += 1) await client.send(["PING"]);
    assert.match(await client.line("PING"), /^-ERR too many commands inside MULTI/);
    assert.match(await client.line("EXEC"), /^-EXECABORT/);
  });

  test("takes only so many bytes", async () => {
    const client = fakePeerWithCommands().client();
    await client.line("MULTI");
    const value = "x".repeat(15 * mebibyte);
    assert.equal(await client.send(["SET", "a", value]), "+QUEUED\r\n");
    assert.equal(await client.send(["SET", "a", value]), "+QUEUED\r\n");
    assert.match(await client.send(["SET", "a", value]), /^-ERR too many commands inside MULTI/);
    await client.line("DISCARD");
    await client.line("MULTI");
    assert.equal(await client.send(["SET", "a", value]), "+QUEUED\r\n");
  });

  test("does not fill memory with replies, but does all its writes", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client();
    await client.send(["SET", "a", "x".repeat(10 * mebibyte)]);
    await sendAll(client, ["MULTI", "GET a", "GET a", "GET a", "SET b 1", "EXEC"]).then((replies) => {
      const replied = parseReply(replies.at(-1) ?? "") as readonly unknown[];
      assert.equal(replied.length, 4);
      assert.ok(replied[2] instanceof Error);
      assert.equal(replied[3], "OK");
    });
    assert.equal(await client.line("GET b"), "$1\r\n1\r\n");
  });

  test("flushes a small map and refuses a large one before it begins", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client();
    await sendAll(client, ["MSET a 1 b 2", "MULTI", "SET c 3", "FLUSHALL", "DBSIZE"]);
    assert.equal(await client.line("EXEC"), "*3\r\n+OK\r\n+OK\r\n:0\r\n");
    peer.host.keyspace.begin(Date.now());
    for (let index = 0; index <= flushInExecKeysMax; index += 1) peer.host.keyspace.set(`k${index}`, "", 0);
    await sendAll(client, ["MULTI", "SET c 3", "FLUSHDB"]);
    assert.match(await client.line("EXEC"), /^-EXECABORT .* FLUSHALL of 10001 keys inside MULTI, limit 10000/);
    assert.equal(await client.line("EXISTS c"), ":0\r\n");
  });

  test("does not take DIFF, nor RESTORE of a conflict", async () => {
    const client = fakePeerWithCommands().client();
    await client.line("MULTI");
    assert.match(await client.line("DIFF b"), /^-ERR Command not allowed inside a transaction/);
    await sendAll(client, ["DISCARD", "MULTI", "CONFLICTS RESTORE x"]);
    assert.match(await client.line("EXEC"), /^\*1\r\n-ERR CONFLICTS RESTORE is not allowed inside a transaction/);
  });

  test("watches only so many keys", async () => {
    const client = fakePeerWithCommands().client();
    const keys = Array.from({ length: watchedKeysMax }, (_, index) => `k${index}`);
    assert.equal(await client.send(["WATCH", ...keys]), "+OK\r\n");
    assert.match(await client.send(["WATCH", "one-more"]), /^-ERR too many watched keys/);
  });
});

describe("commands that take their time", () => {
  test("KEYS of a big map lets others run in between, and answers every key once", async () => {
    const peer = fakePeerWithCommands();
    const { keyspace } = peer.host;
    const count = 20_000;
    keyspace.begin(Date.now());
    for (let index = 0; index < count; index += 1) keyspace.set(`key:${index}`, "", 0);
    const client = peer.client();
    const other = peer.client();
    let turns = 0;
    const answered = peer.execute(client.session, ["KEYS", "key:*"]);
    assert.ok(answered instanceof Promise);
    const others = setInterval(() => {
      turns += 1;
      void other.line("PING");
    }, 1);
    await answered;
    clearInterval(others);
    const keys = parseReply(client.session.reply.take()) as readonly string[];
    assert.equal(keys.length, count);
    assert.equal(new Set(keys).size, count);
    assert.ok(turns > 0);
  });

  test("KEYS stops with the peer's line when the map is taken from under it", async () => {
    const peer = fakePeerWithCommands();
    peer.host.keyspace.begin(Date.now());
    for (let index = 0; index < 20_000; index += 1) peer.host.keyspace.set(`key:${index}`, "", 0);
    const client = peer.client();
    const answered = peer.execute(client.session, ["KEYS", "key:*"]);
    peer.host.refusesReads = "LOADING the map is being installed";
    await answered;
    assert.match(client.session.reply.take(), /^-LOADING/);
  });

  test("KEYS inside EXEC answers at once", async () => {
    const peer = fakePeerWithCommands();
    peer.host.keyspace.begin(Date.now());
    for (let index = 0; index < 2000; index += 1) peer.host.keyspace.set(`key:${index}`, "", 0);
    const client = peer.client();
    await sendAll(client, ["MULTI", "KEYS key:*"]);
    assert.equal(peer.execute(client.session, ["EXEC"]), undefined);
    const [keys] = parseReply(client.session.reply.take()) as readonly (readonly string[])[];
    assert.equal(keys?.length, 2000);
  });

  test("a full SCAN sees every key, whatever COUNT asks for, and ends", async () => {
    const peer = fakePeerWithCommands();
    peer.host.keyspace.begin(Date.now());
    for (let index = 0; index < 3000; index += 1) peer.host.keyspace.set(`key:${index}`, "", 0);
    const client = peer.client();
    for (const count of ["1", "7", "1000", "9223372036854775807"]) {
      const seen = new Set<string>();
      let cursor = "0";
      let calls = 0;
      do {
        const reply = parseReply(await client.line(`SCAN ${cursor} MATCH key:* COUNT ${count}`));
        const [next, keys] = reply as readonly [string, readonly string[]];
        for (const key of keys) seen.add(key);
        cursor = next;
        calls += 1;
      } while (cursor !== "0" && calls < 5000);
      assert.equal(seen.size, 3000, `COUNT ${count}`);
    }
  });

  test("SCAN and RANDOMKEY do not show what has expired", async () => {
    const peer = fakePeerWithCommands();
    peer.host.clockMs = 1_000_000;
    const client = peer.client();
    await sendAll(client, ["SET a 1 PX 10", "SET b 1"]);
    peer.host.clockMs += 10;
    assert.equal(await client.line("SCAN 0"), "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nb\r\n");
    assert.equal(await client.line("KEYS *"), "*1\r\n$1\r\nb\r\n");
    assert.equal(await client.line("RANDOMKEY"), "$1\r\nb\r\n");
    assert.equal(await client.line("PTTL a"), ":-2\r\n");
  });

  test("FLUSHALL remembers its write for WAIT, once it is done", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client();
    await sendAll(client, ["SET a 1", "FLUSHALL ASYNC"]);
    assert.equal(client.session.lastWriteSeq, peer.host.lastSeq);
    assert.equal(await client.line("DBSIZE"), ":0\r\n");
  });

  test("a failure of the peer's that is no error line is not told to the client", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client();
    peer.host.diffResult = Promise.reject(new Error("invariant broken"));
    await assert.rejects(client.line("DIFF b"), /invariant broken/);
  });
});

describe("the figures of the executor", () => {
  test("count commands, refusals, hits and misses", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client();
    await sendAll(client, ["SET a 1", "GET a", "GET b", "MGET a b", "NOSUCH", "GET"]);
    const { commands, rejected, keyspaceHits, keyspaceMisses, blocked } = peer.execute.stats;
    assert.deepEqual(
      { commands, rejected, keyspaceHits, keyspaceMisses, blocked },
      {
        commands: 4,
        rejected: 2,
        keyspaceHits: 2,
        keyspaceMisses: 2,
        blocked: 0,
      },
    );
  });

  test("expiry far in the future is refused rather than rounded", async () => {
    const client = fakePeerWithCommands().client();
    await client.line("SET a 1");
    assert.match(await client.line("PEXPIREAT a 9007199254740993"), /^-ERR invalid expire time in 'pexpireat'/);
    assert.equal(await client.line("PEXPIREAT a 9007199254740991"), ":1\r\n");
    assert.equal(await client.line("PEXPIRETIME a"), ":9007199254740991\r\n");
  });

  test("an EXPIRE that changes nothing writes nothing", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client();
    await sendAll(client, ["SET a 1", "PEXPIREAT a 4102444800000"]);
    const { writes } = peer.host.keyspace;
    assert.equal(await client.line("PEXPIREAT a 4102444800000"), ":1\r\n");
    assert.equal(peer.host.keyspace.writes, writes);
  });
});

test("the fake keyspace answers as an empty map does", () => {
  const keyspace = new FakeKeyspace();
  keyspace.begin(1);
  assert.equal(
    keyspace.scan(0, 10, () => assert.fail()),
    0,
  );
  assert.equal(keyspace.randomKey(0.5), undefined);
  assert.equal(keyspace.delete("a"), false);
  assert.equal(keyspace.writes, 0);
});
