/** Commands on strong keys over a register that answers at once: words in, replies and error lines out. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { keyBytesMax, operationIdBytesMax, registerValueBytesMax } from "../../protocol/limits.ts";
import type { Holding } from "../../server/registers/index.ts";
import { type FakeClient, type FakePeer, fakePeerWithCommands } from "../support/fake-host.ts";

type Step = readonly [line: string, reply: string];

const run = async (client: FakeClient, steps: readonly Step[]): Promise<void> => {
  for (const [line, reply] of steps) assert.equal(await client.line(line), reply, line);
};

const script = (steps: readonly Step[], protocol: 0 | 2 | 3 = 2) => {
  const peer = fakePeerWithCommands();
  return run(peer.client(protocol), steps);
};

const onPeer = (protocol: 2 | 3 = 2): { readonly peer: FakePeer; readonly client: FakeClient } => {
  const peer = fakePeerWithCommands();
  return { peer, client: peer.client(protocol) };
};

const nil = "$-1\r\n";
const ok = "+OK\r\n";
const notAnInteger = "-ERR value is not an integer or out of range\r\n";
const syntaxError = "-ERR syntax error\r\n";

describe("commands on a strong key answer as on any other", () => {
  test("values", () =>
    script([
      ["GET strong:a", nil],
      ["SET strong:a one", ok],
      ["GET strong:a", "$3\r\none\r\n"],
      ["STRLEN strong:a", ":3\r\n"],
      ["APPEND strong:a ly", ":5\r\n"],
      ["GETRANGE strong:a 1 -2", "$3\r\nnel\r\n"],
      ["GETRANGE strong:a 4 1", "$0\r\n\r\n"],
      ["SUBSTR strong:a -2 -1", "$2\r\nly\r\n"],
      ["GETRANGE strong:none 0 -1", "$0\r\n\r\n"],
      ["TYPE strong:a", "+string\r\n"],
      ["TYPE strong:none", "+none\r\n"],
      ["EXISTS strong:a", ":1\r\n"],
      ["TOUCH strong:none", ":0\r\n"],
      ["GETSET strong:a two", "$5\r\nonely\r\n"],
      ["GETDEL strong:a", "$3\r\ntwo\r\n"],
      ["GETDEL strong:a", nil],
      ["DEL strong:a", ":0\r\n"],
      ["SETNX strong:a 1", ":1\r\n"],
      ["SETNX strong:a 2", ":0\r\n"],
      ["UNLINK strong:a", ":1\r\n"],
      ["STRLEN strong:a", ":0\r\n"],
    ]));

  test("numbers", () =>
    script([
      ["INCR strong:n", ":1\r\n"],
      ["INCRBY strong:n 41", ":42\r\n"],
      ["DECR strong:n", ":41\r\n"],
      ["DECRBY strong:n -9", ":50\r\n"],
      ["DECRBY strong:n 0", ":50\r\n"],
      ["INCRBY strong:n 9223372036854775757", ":9223372036854775807\r\n"],
      ["INCR strong:n", "-ERR increment or decrement would overflow\r\n"],
      ["DECRBY strong:n -9223372036854775808", "-ERR decrement would overflow\r\n"],
      ["INCRBY strong:n x", notAnInteger],
      ["SET strong:n word", ok],
      ["INCR strong:n", notAnInteger],
    ]));

  test("conditions, each judged at the register", () =>
    script([
      ["SET strong:a 1 XX", nil],
      ["SET strong:a 1 NX", ok],
      ["SET strong:a 2 NX", nil],
      ["SET strong:a 2 NX GET", "$1\r\n1\r\n"],
      ["SET strong:a 2 XX GET", "$1\r\n1\r\n"],
      ["SET strong:a 3 IFEQ 1", nil],
      ["SET strong:a 3 IFEQ 2", ok],
      ["SET strong:none 3 IFEQ ''", nil],
      ["CAS strong:a 2 4", ":0\r\n"],
      ["CAS strong:a 3 4", ":1\r\n"],
      ["CAS strong:none x y", ":0\r\n"],
      ["DEL strong:a IFEQ 3", ":0\r\n"],
      ["DEL strong:a IFEQ 4", ":1\r\n"],
      ["SET strong:a 5", ok],
      ["DELEX strong:a IFEQ 5", ":1\r\n"],
    ]));

  test("versions, which only grow, also over a delete", async () => {
    const { client } = onPeer();
    const version = async (): Promise<number> => Number((await client.line("VERSION strong:a")).slice(1));
    assert.equal(await client.line("VERSION strong:a"), nil);
    await client.line("SET strong:a 1");
    const first = await version();
    assert(first > 0);
    assert.equal(await client.line(`SET strong:a 2 IFVERSION ${first + 1}`), nil);
    assert.equal(await client.line(`SET strong:a 2 IFVERSION ${first}`), ok);
    const second = await version();
    assert(second > first);
    assert.equal(await client.line("SET strong:a 2 IFVERSION abc"), nil, "no register is at such a version");
    assert.equal(await client.line(`DEL strong:a IFVERSION ${first}`), ":0\r\n");
    assert.equal(await client.line(`DEL strong:a IFVERSION ${second}`), ":1\r\n");
    assert.match(await client.line("SET strong:a 3 WITHVERSION"), /^\$\d+\r\n\d+\r\n$/);
    assert((await version()) > second);
    assert.match(await client.line("VERSION strong:a WITHVALUE"), /^\*3\r\n\$\d+\r\n\d+\r\n\$1\r\n3\r\n:-1\r\n$/);
    assert.equal(await client.line("SET strong:a 3 NX WITHVERSION"), nil);
    assert.equal(await client.line("SET strong:a 3 GET WITHVERSION"), syntaxError);
  });

  test("times to live", async () => {
    await script([
      ["TTL strong:a", ":-2\r\n"],
      ["SET strong:a 1 EX 100", ok],
      ["TTL strong:a", ":100\r\n"],
      ["PTTL strong:a", ":100000\r\n"],
      ["SET strong:a 2 KEEPTTL", ok],
      ["TTL strong:a", ":100\r\n"],
      ["APPEND strong:a 3", ":2\r\n"],
      ["TTL strong:a", ":100\r\n"],
      ["SET strong:a 2", ok],
      ["TTL strong:a", ":-1\r\n"],
      ["SETEX strong:a 5 1", ok],
      ["PSETEX strong:a 500 1", ok],
      ["PTTL strong:a", ":500\r\n"],
      ["PERSIST strong:a", ":1\r\n"],
      ["PERSIST strong:a", ":0\r\n"],
      ["EXPIRE strong:a 7", ":1\r\n"],
      ["PEXPIRE strong:a 70", ":1\r\n"],
      ["PTTL strong:a", ":70\r\n"],
      ["EXPIRE strong:none 7", ":0\r\n"],
      ["EXPIRE strong:a -1", ":1\r\n"],
      ["EXISTS strong:a", ":0\r\n"],
    ]);
  });

  test("durations that are none", () =>
    script([
      ["SET strong:a 1 EX 0", "-ERR invalid expire time in 'set' command\r\n"],
      ["SET strong:a 1 PX -5", "-ERR invalid expire time in 'set' command\r\n"],
      ["SET strong:a 1 EX x", notAnInteger],
      ["SETEX strong:a 0 1", "-ERR invalid expire time in 'setex' command\r\n"],
      ["SET strong:a 1 EX 10 PX 10", syntaxError],
      ["SET strong:a 1 EX", syntaxError],
      ["SET strong:a 1 EX 31536001", "-ERR a strong key lives for at most 31536000000 ms, or for ever\r\n"],
      ["EXPIRE strong:a 100 NX", "-ERR strong keys take no NX, XX, GT or LT in EXPIRE\r\n"],
      [
        "SET strong:a 1 PXAT 1",
        "-ERR strong keys take durations (EX, PX, EXPIRE, PEXPIRE): no two clocks agree on a point in time\r\n",
      ],
      [
        "EXPIREAT strong:a 1",
        "-ERR strong keys take durations (EX, PX, EXPIRE, PEXPIRE): no two clocks agree on a point in time\r\n",
      ],
      [
        "PEXPIRETIME strong:a",
        "-ERR strong keys take durations (EX, PX, EXPIRE, PEXPIRE): no two clocks agree on a point in time\r\n",
      ],
    ]));

  test("RESP3 has its own nil, plain text its own words", async () => {
    await script(
      [
        ["GET strong:a", "_\r\n"],
        ["SET strong:a 1", ok],
        ["SET strong:a 1 NX", "_\r\n"],
        ["VERSION strong:none", "_\r\n"],
      ],
      3,
    );
    await script(
      [
        ["SET strong:a 1", "OK\n"],
        ["GET strong:a", "1\n"],
      ],
      0,
    );
  });

  test("too many and too few words are said as everywhere, and syntax too", () =>
    script([
      ["GET strong:a b", "-ERR wrong number of arguments for 'get' command\r\n"],
      ["SET strong:a", "-ERR wrong number of arguments for 'set' command\r\n"],
      ["CAS strong:a 1", "-ERR wrong number of arguments for 'cas' command\r\n"],
      ["SET strong:a 1 NX XX", syntaxError],
      ["SET strong:a 1 IFEQ", syntaxError],
      ["SET strong:a 1 NX IFEQ 2", syntaxError],
      ["SET strong:a 1 SOMETHING", syntaxError],
      ["VERSION strong:a SOMETHING", syntaxError],
      ["DELEX strong:a IFNE 1", syntaxError],
    ]));
});

describe("a fencing token", () => {
  test("that is behind is refused, also for a key that was deleted since", () =>
    script([
      ["SET strong:a 1 FENCE strong:lock 7", ok],
      ["SET strong:a 2 FENCE strong:lock 7", ok],
      ["SET strong:a 3 FENCE other 1", ok],
      [
        "SET strong:a 4 FENCE strong:lock 6",
        "-FENCED a write with a higher fencing token was here before: the lock has another holder\r\n",
      ],
      ["DEL strong:a", ":1\r\n"],
      [
        "SET strong:a 4 FENCE strong:lock 6",
        "-FENCED a write with a higher fencing token was here before: the lock has another holder\r\n",
      ],
      ["SET strong:a 5 FENCE strong:lock 8", ok],
      ["GET strong:a", "$1\r\n5\r\n"],
    ]));

  test("is a number, and a key remembers those of eight locks", async () => {
    const { client } = onPeer();
    const refused = "-ERR a fencing token is what VERSION of the lock answered\r\n";
    await run(client, [
      ["SET strong:a 1 FENCE l x", refused],
      ["SET strong:a 1 FENCE l -1", refused],
      ["SET strong:a 1 FENCE l", syntaxError],
      ["SET strong:a 1 FENCE l 1 FENCE m 1", syntaxError],
    ]);
    for (let lock = 0; lock < 8; lock++) assert.equal(await client.line(`SET strong:a 1 FENCE l${lock} 1`), ok);
    assert.equal(
      await client.line("SET strong:a 1 FENCE l8 1"),
      "-ERR this key remembers the tokens of as many locks as it can\r\n",
    );
  });
});

describe("an operation id", () => {
  test("makes a retry answer what the first time answered, refusals too", () =>
    script([
      ["INCR strong:n OPID one", ":1\r\n"],
      ["INCR strong:n OPID one", ":1\r\n"],
      ["INCR strong:n opid two", ":2\r\n"],
      ["SET strong:n 9 NX OPID three", nil],
      ["DEL strong:n OPID four", ":1\r\n"],
      ["SET strong:n 9 NX OPID three", nil],
      ["SET strong:n 9 NX OPID five", ok],
      ["DEL strong:n IFEQ 9 OPID six", ":1\r\n"],
      ["DEL strong:n IFEQ 9 OPID six", ":1\r\n"],
      ["CAS strong:n a b OPID seven", ":0\r\n"],
      ["EXPIRE strong:n 5 OPID eight", ":0\r\n"],
    ]));

  test("is for writes, and has its bounds", () =>
    script([
      ["GET strong:n OPID x", "-ERR OPID is for commands that write; a read may be sent again as it is\r\n"],
      ["TTL strong:n OPID x", "-ERR OPID is for commands that write; a read may be sent again as it is\r\n"],
      ["INCR strong:n OPID ''", `-ERR an OPID has 1 to ${operationIdBytesMax} bytes\r\n`],
      [
        `INCR strong:n OPID ${"x".repeat(operationIdBytesMax + 1)}`,
        `-ERR an OPID has 1 to ${operationIdBytesMax} bytes\r\n`,
      ],
      ["SET strong:n OPID", ok],
      ["GET strong:n", "$4\r\nOPID\r\n"],
      ["APPEND strong:n OPID", ":8\r\n"],
      ["CAS strong:n OPIDOPID OPID", ":1\r\n"],
    ]));
});

describe("what has no meaning on strong keys says so and names the remedy", () => {
  const oneKey = (name: string): string =>
    `-ERR strong keys are taken one at a time: each is a register of its own. Send ${name} once per key\r\n`;
  const notFor = (name: string): string => `-ERR ${name} is not for strong keys (strong:); see docs/STRONG.md\r\n`;

  test("several keys at once, of one kind or of both", () =>
    script([
      ["DEL strong:a strong:b", oneKey("DEL")],
      ["UNLINK strong:a b", oneKey("UNLINK")],
      ["EXISTS strong:a strong:a", oneKey("EXISTS")],
      ["TOUCH strong:a b", oneKey("TOUCH")],
      ["DEL a strong:b", "-ERR DEL of a strong key among others: strong keys are taken one at a time\r\n"],
      ["EXISTS a b strong:c", "-ERR EXISTS of a strong key among others: strong keys are taken one at a time\r\n"],
      ["MGET a strong:b", notFor("MGET")],
      ["MSET a 1 strong:b 2", notFor("MSET")],
      ["MSETNX strong:a 1", notFor("MSETNX")],
      ["MSET a strong:not-a-key", ok],
    ]));

  test("RENAME and COPY, from or to one", () =>
    script([
      ["RENAME strong:a b", "-ERR RENAME is not for strong keys: no operation spans two of them\r\n"],
      ["RENAME a strong:b", "-ERR RENAME of a strong key among others: strong keys are taken one at a time\r\n"],
      ["RENAMENX strong:a strong:b", "-ERR RENAMENX is not for strong keys: no operation spans two of them\r\n"],
      ["COPY strong:a b", "-ERR COPY is not for strong keys: no operation spans two of them\r\n"],
    ]));

  test("and what a register has not", () =>
    script([
      ["SETRANGE strong:a 1 x", notFor("SETRANGE")],
      ["INCRBYFLOAT strong:a 1.5", notFor("INCRBYFLOAT")],
      ["OBJECT ENCODING strong:a", notFor("OBJECT ENCODING")],
      ["MEMORY USAGE strong:a", notFor("MEMORY USAGE")],
      ["GETEX strong:a", notFor("GETEX")],
      ["LCS strong:a strong:b", notFor("LCS")],
    ]));

  test("MULTI: the command is refused and spoils the transaction", () =>
    script([
      ["MULTI", ok],
      ["SET plain 1", "+QUEUED\r\n"],
      [
        "SET strong:a 1",
        "-ERR strong keys cannot be used inside MULTI: each is taken alone. CAS key expected new changes one by what it holds\r\n",
      ],
      ["EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n"],
      ["EXISTS plain", ":0\r\n"],
      ["GET strong:a", nil],
    ]));

  test("WATCH: CAS does it in one step", () =>
    script([
      [
        "WATCH strong:a",
        "-ERR WATCH is not for strong keys: CAS key expected new does in one step what WATCH and EXEC do\r\n",
      ],
      ["WATCH a strong:b", "-ERR WATCH of a strong key among others: strong keys are taken one at a time\r\n"],
      ["MULTI", ok],
      ["EXEC", "*0\r\n"],
    ]));

  test("and what is only for strong keys says so on others", () =>
    script([
      ["CAS a 1 2", "-ERR CAS is for strong keys ('strong:'): elsewhere two peers may both find it true\r\n"],
      ["SET a 1 IFEQ 2", "-ERR IFEQ is for strong keys ('strong:'): elsewhere two peers may both find it true\r\n"],
      ["SET a 1 FENCE l 2", "-ERR FENCE is for strong keys ('strong:'): elsewhere two peers may both find it true\r\n"],
      ["SET a 1 OPID x", "-ERR OPID is for strong keys ('strong:'): elsewhere two peers may both find it true\r\n"],
      ["GET a", nil],
      ["INCR a OPID x", "-ERR wrong number of arguments for 'incr' command\r\n"],
    ]));
});

describe("bounds", () => {
  test("of a value and of a key", async () => {
    const { client } = onPeer();
    const tooLong = `-ERR a strong key holds at most ${registerValueBytesMax} bytes\r\n`;
    const most = "x".repeat(registerValueBytesMax);
    assert.equal(await client.send(["SET", "strong:a", `${most}x`]), tooLong);
    assert.equal(await client.send(["SET", "strong:a", most]), ok);
    assert.equal(await client.send(["APPEND", "strong:a", "x"]), tooLong);
    assert.equal(await client.send(["STRLEN", "strong:a"]), `:${registerValueBytesMax}\r\n`);
    const key = `strong:${"k".repeat(keyBytesMax)}`;
    assert.match(await client.send(["GET", key]), /^-ERR key is too long /);
  });
});

describe("keys of both kinds", () => {
  const three = async (): Promise<FakeClient> => {
    const { client } = onPeer();
    for (const line of ["SET plain 1", "SET strong:a 1", "SET strong:b 1", "SET strong:gone 1", "DEL strong:gone"])
      await client.line(line);
    return client;
  };

  const keysIn = (reply: string): string[] =>
    reply.split("\r\n").filter((part) => part.startsWith("strong:") || part === "plain");

  test("KEYS lists both, by pattern and by name", async () => {
    const client = await three();
    assert.deepEqual(keysIn(await client.line("KEYS *")), ["plain", "strong:a", "strong:b"]);
    assert.deepEqual(keysIn(await client.line("KEYS strong:*")), ["strong:a", "strong:b"]);
    assert.deepEqual(keysIn(await client.line("KEYS strong:a")), ["strong:a"]);
    assert.deepEqual(keysIn(await client.line("KEYS strong:gone")), []);
  });

  test("SCAN comes to strong keys behind the others, however small its steps", async () => {
    const client = await three();
    for (const count of [1, 2, 100]) {
      const found: string[] = [];
      let cursor = "0";
      do {
        const reply = await client.line(`SCAN ${cursor} COUNT ${count}`);
        cursor = reply.split("\r\n")[2] ?? "0";
        found.push(...keysIn(reply));
      } while (cursor !== "0");
      assert.equal(found[0], "plain");
      assert.deepEqual(found.sort(), ["plain", "strong:a", "strong:b"], `COUNT ${count}`);
    }
  });

  test("DBSIZE counts both", async () => {
    assert.equal(await (await three()).line("DBSIZE"), ":3\r\n");
  });

  test("FLUSHALL refuses while there are strong keys, unless told that it means the others", async () => {
    const client = await three();
    assert.equal(
      await client.line("FLUSHALL"),
      "-ERR there are 2 strong keys, which FLUSHALL does not delete: DEL each, or say FLUSHALL EVENTUAL to delete all others\r\n",
    );
    assert.match(await client.line("FLUSHDB ASYNC"), /^-ERR there are 2 strong keys, which FLUSHDB does not/);
    assert.equal(await client.line("EXISTS plain"), ":1\r\n");
    assert.equal(await client.line("FLUSHALL EVENTUAL"), ok);
    assert.deepEqual(keysIn(await client.line("KEYS *")), ["strong:a", "strong:b"]);
    await client.line("DEL strong:a");
    await client.line("DEL strong:b");
    assert.equal(await client.line("FLUSHALL"), ok);
  });
});

describe("an operation that was not done, or not surely", () => {
  test("says which of the two", async () => {
    const { peer, client } = onPeer();
    const { strong } = peer.host;
    strong.outcome = { kind: "no-quorum" };
    assert.equal(await client.line("SET strong:a 1"), `-${strong.whyNoQuorum()}\r\n`);
    assert.match(await client.line("GET strong:a"), /^-NOQUORUM .*; it did not happen\r\n$/);
    strong.outcome = { kind: "unknown" };
    assert.equal(
      await client.line("SET strong:a 1"),
      "-UNKNOWN it may have happened, or may yet: read the key, or send it again with the same OPID\r\n",
    );
    strong.outcome = { kind: "busy" };
    assert.equal(
      await client.line("SET strong:a 1"),
      "-BUSY too many operations on strong keys wait at this peer; it did not happen\r\n",
    );
    strong.outcome = { kind: "done", reply: { kind: "not-kept", bytes: 500 }, version: 3, leftMs: 0 };
    assert.equal(
      await client.line("GETSET strong:a 1 OPID x"),
      "-NOTKEPT the operation of this OPID took place before; its answer of 500 bytes was not kept\r\n",
    );
    assert.match(await client.line("SETNX strong:a 1 OPID x"), /^-NOTKEPT /, "whatever the command's own answer is");
  });

  test("is counted as a failed call under its code", async () => {
    const { peer, client } = onPeer();
    peer.host.strong.outcome = { kind: "no-quorum" };
    await client.line("SET strong:a 1");
    assert.equal(peer.execute.stats.errors.get("NOQUORUM"), 1);
  });
});

describe("what the peer refuses for other reasons", () => {
  test("a peer that is read in, or stops, or has no disk left", async () => {
    const { peer, client } = onPeer();
    await client.line("SET strong:a 1");
    peer.host.refusesStrongWrites = "MISCONF the disk of this peer is nearly full";
    assert.match(await client.line("SET strong:a 2"), /^-MISCONF /);
    assert.match(await client.line("DEL strong:a"), /^-MISCONF /);
    assert.equal(await client.line("GET strong:a"), "$1\r\n1\r\n");
    peer.host.refusesReads = "LOADING this peer";
    assert.match(await client.line("GET strong:a"), /^-LOADING /);
  });

  test("clocks that differ and peers that are away for --acks are no reason", async () => {
    const { peer, client } = onPeer();
    peer.host.refusesWrites = "CLOCKSKEW this peer's clock is 9 s off";
    assert.equal(await client.line("SET strong:a 1"), ok);
    assert.match(await client.line("SET plain 1"), /^-CLOCKSKEW/);
  });

  test("who has not logged in touches no strong key", async () => {
    const peer = fakePeerWithCommands();
    peer.host.checkPassword = (_user, password) => password === "secret";
    const client = peer.client();
    assert.equal(await client.line("SET strong:a 1"), "-NOAUTH Authentication required.\r\n");
    assert.match(await client.line("SET strong:a"), /^-ERR wrong number/);
    assert.equal(await client.line("SET strong:a 1 SOMETHING"), "-NOAUTH Authentication required.\r\n");
    await client.line("AUTH secret");
    assert.equal(await client.line("SET strong:a 1"), ok);
  });

  test("in subscribe mode, as for any key", async () => {
    const { client } = onPeer();
    await client.line("SUBSCRIBE news");
    assert.match(await client.line("GET strong:a"), /^-ERR Can't execute 'get'/);
  });
});

describe("TRACE of a strong key", () => {
  const holding = (peer: string, counter: number): Holding =>
    ({ peer, ballot: counter < 0 ? undefined : { counter, origin: "b.000000000000001" } }) as unknown as Holding;

  const traced = async (holdings: readonly Holding[]): Promise<readonly string[]> => {
    const { peer, client } = onPeer();
    peer.host.strong.trace = () => Promise.resolve(holdings);
    const reply = await client.line("TRACE strong:a");
    return reply.split("\r\n").filter((part) => part !== "" && !/^[*$:]/.test(part));
  };

  test("tells the ballot that a majority holds, and who holds what", async () => {
    assert.deepEqual(await traced([holding("a", 7), holding("b", 7), holding("c", 6)]), [
      ...["key", "strong:a", "kind", "strong", "ballot", "7@b.000000000000001", "holders"],
      ...["a", "7@b.000000000000001", "b", "7@b.000000000000001", "c", "6@b.000000000000001"],
    ]);
  });

  test("says undecided when no majority is seen to hold one ballot", async () => {
    const words = await traced([holding("a", 7), holding("b", -1), holding("c", 0)]);
    assert.deepEqual(words.slice(4), [
      "ballot",
      "undecided",
      "holders",
      "a",
      "7@b.000000000000001",
      "b",
      "silent",
      "c",
      "none",
    ]);
  });
});
