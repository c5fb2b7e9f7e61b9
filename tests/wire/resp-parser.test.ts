import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { argumentsMax, commandBytesMax, inlineBytesMax, valueBytesMax } from "../../protocol/limits.ts";
import { RequestParser } from "../../protocol/resp.ts";
import { eachByte, encode, latin1, type Parsed, parseChunks, parseSlowly } from "./request-oracle.ts";

const protocolError = (text: string): string => `ERR Protocol error: ${text}`;
const badCount = protocolError("invalid multibulk length");
const badBulk = protocolError("invalid bulk length");

/** Bytes, the commands in them, the fault they end with, and why. */
const rows: readonly (readonly [input: string, commands: string[][], fault: string | undefined, why: string])[] = [
  ["*1\r\n$4\r\nPING\r\n", [["PING"]], undefined, "one command"],
  ["*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nPING\r\n", [["GET", "a"], ["PING"]], undefined, "a pipeline"],
  ["*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", [["ECHO", ""]], undefined, "an empty argument"],
  ["*2\r\n$4\r\nECHO\r\n$4\r\n\r\n\0\xff\r\n", [["ECHO", "\r\n\0\xff"]], undefined, "arguments are bytes, not lines"],
  ["*0\r\n*1\r\n$4\r\nPING\r\n", [["PING"]], undefined, "an empty array is no command"],
  ["*-1\r\n*1\r\n$4\r\nPING\r\n", [["PING"]], undefined, "nor is a nil array"],
  ["PING\r\n", [["PING"]], undefined, "an inline command"],
  ["\r\n\n  \r\nPING\n", [["PING"]], undefined, "blank lines are no commands (redis-cli --pipe sends one)"],
  [
    "SET a 'b c'\nGET a\r\n",
    [
      ["SET", "a", "b c"],
      ["GET", "a"],
    ],
    undefined,
    "lines with either end",
  ],
  ["PING\r\n*1\r\n$4\r\nPING\r\nPING\n", [["PING"], ["PING"], ["PING"]], undefined, "lines and arrays mixed"],
  ["*1\r\n$4\r\nPIN", [], undefined, "not whole yet"],
  ["*2\r\n$4\r\nECHO\r\n$2\r\nab\r", [], undefined, "not whole until its last byte"],
  ["*+5\r\n", [], badCount, "a sign is no digit"],
  ["*05\r\n", [], badCount, "no leading zeros"],
  ["*\r\n", [], badCount, "no digits"],
  ["*-2\r\n", [], badCount, "negative counts but -1"],
  ["*-0\r\n", [], badCount, "not even -0"],
  ["* 1\r\n", [], badCount, "no spaces"],
  ["*1 \r\n", [], badCount, "anywhere"],
  ["*1\n", [], badCount, "a header ends with CRLF"],
  ["*1\rx", [], badCount, "both of it"],
  ["*1048577\r\n", [], badCount, "one more than a million (binary)"],
  ["*2147483648\r\n", [], badCount, "2^31"],
  ["*4294967297\r\n", [], badCount, "2^32 + 1"],
  ["*9007199254740993\r\n", [], badCount, "2^53 + 1"],
  ["*9223372036854775807\r\n", [], badCount, "2^63 - 1"],
  ["*18446744073709551617\r\n", [], badCount, "2^64 + 1"],
  ["*1e1\r\n", [], badCount, "no exponent"],
  ["*0x1\r\n", [], badCount, "no hex"],
  ["*1\r\n$+4\r\n", [], badBulk, "the same rules for a length"],
  ["*1\r\n$04\r\n", [], badBulk, "leading zero"],
  ["*1\r\n$-1\r\n", [], badBulk, "a nil is no argument"],
  ["*1\r\n$-2\r\n", [], badBulk, "negative"],
  ["*1\r\n$\r\n", [], badBulk, "no digits"],
  ["*1\r\n$16777217\r\n", [], badBulk, "16 MiB and one"],
  ["*1\r\n$536870912\r\n", [], badBulk, "Redis's limit is beyond ours"],
  ["*1\r\n$4294967300\r\n", [], badBulk, "2^32 + 4"],
  ["*1\r\n$9007199254740993\r\n", [], badBulk, "2^53 + 1"],
  ["*1\r\n$9223372036854775807\r\n", [], badBulk, "2^63 - 1"],
  ["*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", [], protocolError("expected '$', got 'f'"), "from Redis's own tests"],
  ["*1\r\n*1\r\n", [], protocolError("expected '$', got '*'"), "no arrays in a request"],
  ["*1\r\n:1\r\n", [], protocolError("expected '$', got ':'"), "no integers either"],
  ["*1\r\n$4\r\nPINGxx", [], protocolError("expected CRLF after a bulk string"), "the length was a lie"],
  ["*1\r\n$4\r\nPING\n\n", [], protocolError("expected CRLF after a bulk string"), "LF alone does not end it"],
  ["*1\r\n$4\r\nPING\r\n*x\r\nPING\r\n", [["PING"]], badCount, "nothing is read after a fault"],
  ['set """test-key""" test-value\r\n', [], protocolError("unbalanced quotes in request"), "from Redis's own tests"],
  ["GET 'a\n", [], protocolError("unbalanced quotes in request"), "a quote left open"],
  ["POST / HTTP/1.1\r\nHost: x\r\n", [], "HTTP", "CVE-2016-10517"],
  ["post  x\n", [], "HTTP", "in any case"],
  ["X-A: b\r\nhOsT: 127.0.0.1:5001\r\nSET a b\r\n", [["X-A:", "b"]], "HTTP", "what follows Host: is never run"],
  ["Host:x\n", [], "HTTP", "without a space"],
  ["GET / HTTP/1.1\r\n", [], "HTTP", "a request line"],
  ["DELETE /a HTTP/1.1\r\n", [], "HTTP", "which would be a command of ours"],
  ["SET a HTTP/1.1\r\n", [["SET", "a", "HTTP/1.1"]], undefined, "a value that looks like one"],
  ["GET postbox\r\n", [["GET", "postbox"]], undefined, "a key that begins like one"],
  [encode("POST", "a"), [["POST", "a"]], undefined, "no browser sends RESP arrays"],
];

const strip = (parsed: Parsed) => ({ commands: parsed.commands.map(({ args }) => args), fault: parsed.fault });

for (const [input, commands, fault, why] of rows) {
  test(`request ${JSON.stringify(input.slice(0, 48))}: ${why}`, () => {
    const bytes = latin1(input);
    assert.deepEqual(strip(parseChunks([bytes])), { commands, fault }, "whole");
    assert.deepEqual(strip(parseChunks(eachByte(bytes))), { commands, fault }, "one byte at a time");
    assert.deepEqual(strip(parseSlowly(input)), { commands, fault }, "the oracle");
  });
}

/** Budgets of a client that has yet to authenticate. */
const unauthenticatedRows: readonly (readonly [input: string, commands: string[][], fault: string | undefined])[] = [
  [`*10\r\n${"$1\r\na\r\n".repeat(10)}`, [Array.from("a".repeat(10))], undefined],
  ["*11\r\n", [], protocolError("unauthenticated multibulk length")],
  ["*1000000\r\n", [], protocolError("unauthenticated multibulk length")],
  [encode("AUTH", "p".repeat(16_384)), [["AUTH", "p".repeat(16_384)]], undefined],
  ["*2\r\n$4\r\nAUTH\r\n$16385\r\n", [], protocolError("unauthenticated bulk length")],
  ["*1\r\n$536870912\r\n", [], protocolError("invalid bulk length")],
  ["a b c d e f g h i j\n", [["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]], undefined],
  ["a b c d e f g h i j k\n", [], protocolError("unauthenticated multibulk length")],
  ["x".repeat(16_385), [], protocolError("too big inline request")],
];

for (const [input, commands, fault] of unauthenticatedRows) {
  test(`before authentication, request ${JSON.stringify(input.slice(0, 40))} of ${input.length} bytes`, () => {
    assert.deepEqual(strip(parseChunks([latin1(input)], false)), { commands, fault });
    assert.deepEqual(strip(parseChunks(eachByte(latin1(input)), false)), { commands, fault });
    assert.deepEqual(strip(parseSlowly(input, false)), { commands, fault });
  });
}

test("authentication binds the very next command of the same chunk", () => {
  const parser = new RequestParser();
  parser.authenticated = false;
  const long = encode("SET", "a", "v".repeat(20_000));
  parser.push(latin1(encode("AUTH", "p") + long));
  assert.deepEqual(parser.next(), ["AUTH", "p"]);
  parser.authenticated = true;
  assert.equal(parser.next()?.[2]?.length, 20_000);
});

const anyByte = fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code));

/** Well-formed and malformed pieces; joined at random they reach every state of the parser. */
const piece = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.array(fc.string({ unit: anyByte, maxLength: 20 }), { maxLength: 12 }).map((args) => encode(...args)),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      "PING\r\n",
      "SET a 'b c'\n",
      'SET "\\x00" b\r\n',
      "\r\n",
      "\n",
      " \n",
      "GET 'a\n",
      `${"a".repeat(40)}\n`,
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      "*",
      "$",
      "-1",
      "-2",
      "05",
      "0",
      "1",
      "3",
      "16777216",
      "16777217",
      "99999999999",
      "\r",
      "\n",
      "\r\n",
      "*2\r\n",
      "*-1\r\n",
      "$3\r\n",
      "+",
      ":",
      "post",
      "Host: ",
    ),
  },
  { weight: 1, arbitrary: fc.string({ unit: anyByte, maxLength: 6 }) },
);
const stream = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(""));

test("any stream, cut anywhere, means what the oracle says", () => {
  fc.assert(
    fc.property(stream, fc.array(fc.nat(), { maxLength: 20 }), fc.boolean(), (input, cuts, authenticated) => {
      const bytes = latin1(input);
      const expected = parseSlowly(input, authenticated);
      const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
      const chunks = places.slice(1).map((place, index) => bytes.subarray(places[index], place));
      assert.deepEqual(parseChunks([bytes], authenticated), expected, "whole");
      assert.deepEqual(parseChunks(chunks, authenticated), expected, "cut");
      assert.deepEqual(parseChunks(eachByte(bytes), authenticated), expected, "byte by byte");
    }),
    { numRuns: 3000 },
  );
});

test("commands left in the parser while more chunks come are given in order", () => {
  const parser = new RequestParser();
  const sent: string[][] = [];
  const got: string[][] = [];
  for (let round = 0; round < 200; round += 1) {
    const args = ["SET", `key:${round}`, "v".repeat(round % 70)];
    sent.push(args);
    const bytes = latin1(encode(...args));
    parser.push(bytes.subarray(0, round % bytes.length));
    if (round % 3 === 0) parser.retain();
    parser.push(bytes.subarray(round % bytes.length));
    if (round % 5 === 0) {
      for (let next = parser.next(); next !== undefined; next = parser.next()) got.push(next);
    }
  }
  for (let next = parser.next(); next !== undefined; next = parser.next()) got.push(next);
  assert.deepEqual(got, sent);
  assert.ok(parser.empty);
  assert.equal(parser.bufferedBytes, 0);
});

test("an inline line of 64 KiB passes, one more byte does not", () => {
  const longest = `ECHO ${"a".repeat(inlineBytesMax - 5)}`;
  assert.equal(parseChunks([latin1(`${longest}\n`)]).commands[0]?.args[1]?.length, inlineBytesMax - 5);
  const tooBig = { commands: [], fault: protocolError("too big inline request") };
  assert.deepEqual(parseChunks([latin1(`${longest}a\n`)]), tooBig);
  assert.deepEqual(parseChunks([latin1(longest), latin1("aa")]), tooBig, "without waiting for its end");
});

test("a value of 16 MiB arrives whole, in chunks of any size, in time linear in its bytes", () => {
  const value = "v".repeat(valueBytesMax);
  const bytes = latin1(encode("SET", "a", value));
  const chunks = Array.from({ length: Math.ceil(bytes.length / 1000) }, (_, index) =>
    bytes.subarray(index * 1000, (index + 1) * 1000),
  );
  const startedMs = performance.now();
  const parsed = parseChunks(chunks);
  const ms = performance.now() - startedMs;
  assert.equal(parsed.commands[0]?.args[2], value);
  // Copying all that came so far for each chunk would be 140 GB: minutes.
  assert.ok(ms < 5000, `${ms} ms`);
});

test("nothing is reserved for a length that is only claimed", () => {
  const before = process.memoryUsage();
  const parsers = Array.from({ length: 1000 }, () => {
    const parser = new RequestParser();
    parser.push(latin1(`*1000000\r\n$3\r\nSET\r\n$${valueBytesMax}\r\nabc`));
    assert.equal(parser.next(), undefined);
    assert.ok(parser.fault === undefined);
    return parser;
  });
  const after = process.memoryUsage();
  const grown = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers;
  assert.ok(grown < 8 * 1024 * 1024, `${parsers.length} parsers took ${grown} bytes`);
});

test("a small tail does not keep the chunk it came in", () => {
  const before = process.memoryUsage().arrayBuffers;
  const parsers = Array.from({ length: 500 }, () => {
    const parser = new RequestParser();
    const chunk = Buffer.allocUnsafeSlow(64 * 1024).fill("PING\r\n");
    parser.push(chunk);
    while (parser.next() !== undefined);
    return parser;
  });
  globalThis.gc?.();
  const kept = process.memoryUsage().arrayBuffers - before;
  if (globalThis.gc !== undefined) assert.ok(kept < 1024 * 1024, `${parsers.length} parsers keep ${kept} bytes`);
  assert.ok(parsers.every((parser) => parser.bufferedBytes < 6));
});

test("one command is bounded in all, not only each argument", () => {
  const parser = new RequestParser();
  const arg = latin1(`$${valueBytesMax}\r\n${"v".repeat(valueBytesMax)}\r\n`);
  parser.push(latin1(`*${argumentsMax}\r\n`));
  let sent = 0;
  while (parser.fault === undefined && sent < 10) {
    parser.push(arg);
    parser.next();
    sent += 1;
  }
  assert.equal(parser.fault?.reply, protocolError("too big mbulk request"));
  assert.equal(sent, Math.floor(commandBytesMax / valueBytesMax) + 1);
  assert.equal(parser.bufferedBytes, 0, "and its memory is let go");
});
