/** Channels and MONITOR beside a real Redis 7.0: several connections, the same steps, the same bytes to each. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { splitArguments } from "../../protocol/text.ts";
import { type PeerForTest, startPeerForTest } from "../support/peer-for-test.ts";
import { missingProgram, type RedisProcess, startRedis } from "../support/redis-process.ts";
import { type Step, transcriptOf } from "./transcript.ts";

const skip = missingProgram("redis-server") ?? false;

/** `side: command ; command`, one step a line. */
const parse = (script: string): readonly Step[] =>
  script
    .trim()
    .split("\n")
    .map((line) => {
      const colonAt = line.indexOf(":");
      const commands = line
        .slice(colonAt + 1)
        .split(" ; ")
        .map((text) => {
          const words = splitArguments(text);
          assert.ok(words !== undefined, line);
          return words;
        });
      return { side: line.slice(0, colonAt).trim(), commands };
    });

const scripts: Readonly<Record<string, string>> = {
  "confirmations, counts and what is allowed in subscribe mode": `
    a: SUBSCRIBE news sport news
    a: PSUBSCRIBE n* [ab]*
    a: GET x
    a: get
    a: nosuch
    a: PUBLISH news x
    a: config get save
    a: PING
    a: PING hello
    a: PING hello there
    a: SUBSCRIBE
    a: UNSUBSCRIBE sport never
    a: PUNSUBSCRIBE
    a: UNSUBSCRIBE
    a: UNSUBSCRIBE
    a: PUNSUBSCRIBE
    a: UNSUBSCRIBE x y
    a: GET x
    a: PING
  `,
  "messages reach channels before patterns, and the count is of deliveries": `
    a: SUBSCRIBE news
    b: PSUBSCRIBE ne*
    d: PSUBSCRIBE news
    c: PUBLISH news "hello\\r\\n\\x00\\xff"
    c: PUBLISH other x
    b: SUBSCRIBE news
    c: PUBLISH news ""
    c: PUBSUB NUMSUB news other
    c: PUBSUB NUMPAT
    c: PUBSUB CHANNELS
    c: PUBSUB CHANNELS x*
    c: PUBSUB NUMSUB
    c: PUBSUB NUMPAT x
    c: PUBSUB
    c: PUBSUB NOSUCH
    c: PUBLISH news
    a: UNSUBSCRIBE
    c: PUBLISH news 2
    b: RESET
    c: PUBLISH news 3
    c: PUBSUB NUMPAT
    b: GET x
  `,
  "RESP3: pushes beside replies, every command allowed": `
    a: HELLO 3
    a: SUBSCRIBE news
    a: PSUBSCRIBE n*s
    b: PUBLISH news one
    a: GET x
    a: PING
    a: PING x
    a: PUBSUB NUMSUB news
    a: PUBSUB CHANNELS
    a: UNSUBSCRIBE
    a: UNSUBSCRIBE
    a: PUNSUBSCRIBE x
    b: PUBLISH news two
    a: MULTI ; PUBLISH other x ; GET y ; EXEC
    a: RESET
    b: PUBLISH news three
    a: GET x
  `,
  "a transaction publishes": `
    a: SUBSCRIBE t
    b: MULTI ; PUBLISH t 1 ; SET k v ; PUBLISH t 2 ; EXEC
    b: MULTI ; PUBLISH t ; EXEC
  `,
  "quit while subscribed": `
    a: SUBSCRIBE t
    a: QUIT
    b: PUBLISH t 1
  `,
  "errors of CONFIG SET": `
    a: CONFIG SET
    a: CONFIG SET notify-keyspace-events
    a: CONFIG SET notify-keyspace-events Q
    a: CONFIG SET Notify-Keyspace-Events EA
    a: CONFIG GET notify-keyspace-events
    a: CONFIG SET notify-keyspace-events Kg$
    a: CONFIG GET notify-keyspace-*
    a: CONFIG SET nosuch 1
    a: CONFIG SET notify-keyspace-events E nosuch 1
    a: CONFIG SET notify-keyspace-events E notify-keyspace-events K
    a: CONFIG SET databases 7
    a: CONFIG GET notify-keyspace-events
    a: CONFIG SET notify-keyspace-events ""
    a: CONFIG GET notify-keyspace-events
  `,
  monitor: `
    m: MONITOR
    a: SET a "b\\x00\\xff\\n\\"c\\\\d"
    a: auth foo
    a: AUTH default foo
    a: HELLO 3 AUTH default x SETNAME n
    a: HELLO 2
    a: MULTI ; SET b 1 ; GET ; EXEC
    a: MULTI ; SET b 1 ; incr b ; GET b ; EXEC
    a: CONFIG GET save
    a: CLIENT SETNAME foo
    a: CLIENT KILL ID 1
    a: NOSUCH x
    a: GET
    a: SUBSCRIBE news
    b: PUBLISH news x
    a: QUIT
    n: MONITOR
    n: PING x
    m: RESET
    b: GET x
  `,
  "key events": `
    z: CONFIG SET notify-keyspace-events KEA
    a: SUBSCRIBE __keyspace@0__:k __keyevent@0__:del
    b: PSUBSCRIBE __key*__:*
    c: SET k v
    c: INCRBY n 4
    c: DECR n
    c: DEL k n nosuch
    c: MSET k 1 other 2
    c: UNLINK other
    a: UNSUBSCRIBE __keyspace@0__:k
    c: SET k v
    z: CONFIG SET notify-keyspace-events K$
    c: SET k w
    c: DEL k
    z: CONFIG SET notify-keyspace-events E
    c: SET k w
    z: CONFIG SET notify-keyspace-events ""
    c: SET k w
  `,
};

/** HELLO names versions and ids, MONITOR times and ports. */
const comparable = (lines: readonly string[]): readonly string[] =>
  lines.map((line) =>
    line
      .replace(/[%*]\d+\\r\\n\$6\\r\\nserver.*modules\\r\\n\*0\\r\\n/, "hello")
      .replaceAll(/\+\d+\.\d{6} \[0 127\.0\.0\.1:\d+\]/g, "+time.micros [0 client]"),
  );

/** DECR is an increment by a negative number here: a replicated write does not carry its command's name. */
const ourEvents = (lines: readonly string[]): readonly string[] =>
  lines.map((line) => line.replaceAll("$6\\r\\ndecrby", "$6\\r\\nincrby").replaceAll(":decrby", ":incrby"));

describe("channels as in Redis", { skip }, () => {
  let redis: RedisProcess;
  let peer: PeerForTest;
  before(async () => {
    [redis, peer] = await Promise.all([startRedis(), startPeerForTest()]);
  });
  after(async () => {
    await redis?.stop();
    await peer?.stop();
  });

  for (const [name, script] of Object.entries(scripts)) {
    test(name, async () => {
      const steps = parse(script);
      const [theirs, ours] = await Promise.all([transcriptOf(redis.port, steps), transcriptOf(peer.port, steps)]);
      assert.deepEqual(comparable(ours), comparable(ourEvents(theirs)));
    });
  }
});
