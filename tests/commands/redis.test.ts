/** Our replies beside those of a real Redis 7.0: the same commands must give the same bytes, in RESP2 and in RESP3. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import { type Command, commands } from "../../protocol/commands.ts";
import { splitArguments } from "../../protocol/text.ts";
import { type FakeClient, fakePeerWithCommands } from "../support/fake-host.ts";
import { parseReply } from "../support/parse-reply.ts";
import { missingProgram, RawConnection, type RedisProcess, replyEnd, startRedis } from "../support/redis-process.ts";
import { passwordScript, scripts } from "./redis-scripts.ts";

const skip = missingProgram("redis-server") ?? false;

interface Step {
  readonly words: readonly string[];
  readonly unordered: boolean;
}

const parseScript = (script: string): readonly Step[] =>
  script
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const unordered = line.startsWith("~");
      const words = splitArguments(unordered ? line.slice(1) : line);
      if (words === undefined) throw new Error(`quotes do not balance: ${line}`);
      return { words, unordered };
    });

/** The items of an aggregate in order of their bytes, also those within. */
const sorted = (reply: string): string => {
  if (!/^[*~]/.test(reply)) return reply;
  const items: string[] = [];
  let at = reply.indexOf("\r\n") + 2;
  const head = reply.slice(0, at);
  while (at < reply.length) {
    const end = replyEnd(reply, at);
    if (end === undefined) throw new Error("half a reply");
    items.push(sorted(reply.slice(at, end)));
    at = end;
  }
  return head + items.sort().join("");
};

/** Of an expiry relative to now the two clocks say different milliseconds; on a busy machine, seconds. */
const sameTime = (words: readonly string[], ours: string, theirs: string): boolean => {
  const name = words[0]?.toUpperCase() ?? "";
  if (!/^(P?TTL|P?EXPIRETIME)$/.test(name) || !/^:[1-9]/.test(ours) || !/^:[1-9]/.test(theirs)) return false;
  return Math.abs(Number(ours.slice(1)) - Number(theirs.slice(1))) <= (name.startsWith("P") ? 30_000 : 30);
};

/** Both sides run the steps; gives what differs. */
const differences = async (
  steps: readonly Step[],
  connection: RawConnection,
  client: FakeClient,
): Promise<readonly string[]> => {
  const theirs = await connection.pipeline(steps.map((step) => step.words));
  const found: string[] = [];
  for (const [index, { words, unordered }] of steps.entries()) {
    const ours = await client.send(words);
    const reply = theirs[index] ?? "";
    const same = unordered ? sorted(ours) === sorted(reply) : ours === reply || sameTime(words, ours, reply);
    if (!same)
      found.push(`${JSON.stringify(words)}\n  redis ${JSON.stringify(reply)}\n  ours  ${JSON.stringify(ours)}`);
  }
  return found;
};

describe("the same commands at Redis and here", { skip }, () => {
  let redis: RedisProcess;
  before(async () => {
    redis = await startRedis(["--proto-max-bulk-len", String(16 * 1024 * 1024)]);
  });
  after(async () => {
    await redis.stop();
  });

  const withBoth = async (
    protocol: 2 | 3,
    use: (connection: RawConnection, client: FakeClient) => Promise<void>,
  ): Promise<void> => {
    const connection = await RawConnection.open(redis.port);
    try {
      await connection.pipeline([["FLUSHALL"], ["HELLO", String(protocol)]]);
      const peer = fakePeerWithCommands();
      peer.host.held = 0;
      await use(connection, peer.client(protocol));
    } finally {
      connection.close();
    }
  };

  for (const [title, script] of Object.entries(scripts)) {
    for (const protocol of [2, 3] as const) {
      test(`${title}, RESP${protocol}`, () =>
        withBoth(protocol, async (connection, client) => {
          const found = await differences(parseScript(script), connection, client);
          assert.equal(found.length, 0, found.join("\n"));
        }));
    }
  }

  test("the login where there is a password", async () => {
    const guarded = await startRedis(["--requirepass", "secret"]);
    const connection = await RawConnection.open(guarded.port);
    try {
      const peer = fakePeerWithCommands();
      peer.host.checkPassword = (user, password) => user === "default" && password === "secret";
      const found = await differences(parseScript(passwordScript), connection, peer.client());
      assert.equal(found.length, 0, found.join("\n"));
    } finally {
      connection.close();
      await guarded.stop();
    }
  });

  test("commands drawn at random answer the same", () =>
    withBoth(2, (connection, client) =>
      fc.assert(
        fc.asyncProperty(fc.array(anyCommand, { minLength: 1, maxLength: 40 }), async (commands) => {
          // A transaction or a watch left over would reach into the next run.
          const script = [...commands, ["RESET"], ["FLUSHALL"]].map((words) => ({ words, unordered: false }));
          const found = await differences(script, connection, client);
          assert.equal(found.length, 0, found.join("\n"));
        }),
        { numRuns: 2000 },
      ),
    ));

  test("sums of floats drawn at random have the same digits", () =>
    withBoth(2, async (connection, client) => {
      const texts = fc.sample(fc.tuple(anyFloatText, anyFloatText), 3000);
      const script = texts.flatMap(([value, increment]) => [
        { words: ["SET", "f", value], unordered: false },
        { words: ["INCRBYFLOAT", "f", increment], unordered: false },
      ]);
      const found = await differences(script, connection, client);
      assert.equal(found.length, 0, found.join("\n"));
    }));

  test("patterns drawn at random match the same keys", () =>
    withBoth(2, async (connection, client) => {
      const texts = new Set(
        fc.sample(fc.string({ unit: fc.constantFrom(..."aabc-]^*"), minLength: 1, maxLength: 8 }), 150),
      );
      const patterns = fc.sample(
        fc.string({ unit: fc.constantFrom(..."aabc-]^***?[[\\"), minLength: 1, maxLength: 10 }),
        2000,
      );
      const words = [
        ["MSET", ...[...texts].flatMap((text) => [text, "1"])],
        ...patterns.map((pattern) => ["KEYS", pattern]),
      ];
      const found = await differences(
        words.map((each) => ({ words: each, unordered: true })),
        connection,
        client,
      );
      assert.equal(found.length, 0, found.slice(0, 5).join("\n"));
    }));

  test("arity, flags and key positions are those of Redis", async () => {
    const connection = await RawConnection.open(redis.port);
    try {
      const names = commands
        .flatMap((command) => [command, ...command.subcommands])
        .filter((command) => !isOurs(command));
      const [reply] = await connection.pipeline([["COMMAND", "INFO", ...names.map((command) => command.fullName)]]);
      const theirs = parseReply(reply ?? "") as readonly (readonly unknown[] | null)[];
      const compared = names.flatMap((command, index) => {
        const info = theirs[index];
        if (info === null || info === undefined) return [];
        const { fullName, arity, flags, keys, categories } = command;
        const ours = [fullName, arity, [...flags].sort(), keys.first, keys.last, keys.step, [...categories].sort()];
        const [name, theirArity, theirFlags, first, last, step, theirCategories] = info;
        const sortedFlags = [...(theirFlags as string[])].sort();
        const sortedCategories = [...(theirCategories as string[])].sort();
        return [{ ours, theirs: [name, theirArity, sortedFlags, first, last, step, sortedCategories] }];
      });
      // CLIENT SETINFO and NO-TOUCH came after 7.0.
      assert.equal(compared.length, names.length - 2);
      for (const { ours, theirs: wanted } of compared) assert.deepEqual(ours, wanted);
    } finally {
      connection.close();
    }
  });
});

const oursAlone: ReadonlySet<string> = new Set([
  "delete",
  "help",
  "peers",
  "conflicts",
  "trace",
  "digest",
  "diff",
  "fault",
  "version",
  // Redis has it since 8.4, with conditions of its own.
  "cas",
  "delex",
]);
const isOurs = (command: Command): boolean => oursAlone.has(command.fullName.split("|", 1)[0] ?? "");

const anyKey = fc.constantFrom("a", "b", "c");
const anyNumber = fc.constantFrom(
  "0",
  "1",
  "-1",
  "5",
  "-3",
  "100",
  "x",
  "9223372036854775807",
  "-9223372036854775808",
  "01",
  "",
);
const anyValue = fc.oneof(anyNumber, fc.constantFrom("v", "hello", "1.5", "\x00\xff"));
/** Far from now, so that the two clocks do not matter. */
const anyExpiry = fc.constantFrom(
  ["EX", "1000"],
  ["PX", "1000000"],
  ["PXAT", "4102444800123"],
  ["PXAT", "1"],
  ["EX", "-1"],
  ["EXAT", "x"],
  ["KEEPTTL"],
  ["PERSIST"],
);
const anyOption = fc.constantFrom(["NX"], ["XX"], ["GET"], ["GT"], ["LT"], ["nosuch"]);

const words = (...parts: readonly fc.Arbitrary<string | readonly string[]>[]): fc.Arbitrary<readonly string[]> =>
  fc.tuple(...parts).map((chosen) => chosen.flat());
const named = (...names: readonly string[]): fc.Arbitrary<string> => fc.constantFrom(...names);
const some = (arbitrary: fc.Arbitrary<readonly string[]>): fc.Arbitrary<readonly string[]> =>
  fc.array(arbitrary, { maxLength: 2 }).map((chosen) => chosen.flat());

// No DBSIZE: Redis counts a key that was set with a time in the past until it happens to look at it; here it is gone.
const anyCommand: fc.Arbitrary<readonly string[]> = fc.oneof(
  words(
    named("GET", "STRLEN", "TYPE", "GETDEL", "PERSIST", "TTL", "EXPIRETIME", "PEXPIRETIME", "INCR", "DECR", "DEL"),
    anyKey,
  ),
  words(named("SET"), anyKey, anyValue, some(fc.oneof(anyExpiry, anyOption))),
  words(named("GETEX"), anyKey, some(anyExpiry)),
  words(named("SETNX", "GETSET", "APPEND", "INCRBY", "DECRBY", "INCRBYFLOAT"), anyKey, anyValue),
  words(named("SETEX", "PSETEX"), anyKey, fc.constantFrom("100000", "0", "x", "9223372036854775807"), anyValue),
  words(named("MSET", "MSETNX"), anyKey, anyValue, anyKey, anyValue),
  words(named("MGET", "EXISTS", "TOUCH", "UNLINK", "RENAME", "RENAMENX", "COPY"), anyKey, anyKey),
  words(named("COPY"), anyKey, anyKey, named("REPLACE", "DB")),
  words(named("GETRANGE", "SUBSTR"), anyKey, anyNumber, anyNumber),
  words(named("SETRANGE"), anyKey, fc.constantFrom("0", "2", "-1", "x", "20"), anyValue),
  words(
    named("EXPIRE", "PEXPIRE"),
    anyKey,
    fc.constantFrom("1000000", "-1", "x", "9223372036854775807"),
    some(anyOption),
  ),
  words(named("EXPIREAT"), anyKey, fc.constantFrom("4102444800", "1", "4102444801"), some(anyOption)),
  words(named("MULTI", "EXEC", "DISCARD", "UNWATCH", "NOSUCH")),
  words(named("WATCH"), anyKey),
);

const digits = (maxLength: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(..."0123456789"), maxLength });
const anyFloatText = fc
  .tuple(
    fc.constantFrom("", "-", "+"),
    digits(22),
    fc.oneof(
      fc.constant(""),
      digits(25).map((text) => `.${text}`),
    ),
    fc.oneof(
      { weight: 4, arbitrary: fc.constant("") },
      { weight: 1, arbitrary: fc.integer({ min: -40, max: 40 }).map((exponent) => `e${exponent}`) },
      { weight: 1, arbitrary: fc.integer({ min: -5000, max: 5000 }).map((exponent) => `e${exponent}`) },
    ),
  )
  .map((parts) => parts.join(""));
