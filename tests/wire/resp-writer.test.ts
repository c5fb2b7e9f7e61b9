import assert from "node:assert/strict";
import { test } from "node:test";
import { replyBytesMax } from "../../protocol/limits.ts";
import type { ReplyWriter } from "../../protocol/reply.ts";
import { RespWriter } from "../../protocol/resp.ts";

const rows: readonly (readonly [what: string, write: (reply: ReplyWriter) => void, resp2: string, resp3: string])[] = [
  ["OK", (r) => r.simple("OK"), "+OK\r\n", "+OK\r\n"],
  ["a status", (r) => r.simple("QUEUED"), "+QUEUED\r\n", "+QUEUED\r\n"],
  ["an error", (r) => r.error("ERR no"), "-ERR no\r\n", "-ERR no\r\n"],
  ["an error with a line end in it", (r) => r.error("ERR 'a\r\nb'"), "-ERR 'a  b'\r\n", "-ERR 'a  b'\r\n"],
  ["an integer", (r) => r.integer(-7), ":-7\r\n", ":-7\r\n"],
  ["a bigint", (r) => r.integer(9223372036854775807n), ":9223372036854775807\r\n", ":9223372036854775807\r\n"],
  ["a bulk", (r) => r.bulk("a\r\n\0\xff"), "$5\r\na\r\n\0\xff\r\n", "$5\r\na\r\n\0\xff\r\n"],
  ["an empty bulk", (r) => r.bulk(""), "$0\r\n\r\n", "$0\r\n\r\n"],
  [
    "a long bulk",
    (r) => r.bulk("x".repeat(1024)),
    `$1024\r\n${"x".repeat(1024)}\r\n`,
    `$1024\r\n${"x".repeat(1024)}\r\n`,
  ],
  ["nil", (r) => r.nil(), "$-1\r\n", "_\r\n"],
  ["a nil array", (r) => r.nilArray(), "*-1\r\n", "_\r\n"],
  ["an array", (r) => r.array(2), "*2\r\n", "*2\r\n"],
  ["a map", (r) => r.map(2), "*4\r\n", "%2\r\n"],
  ["a set", (r) => r.set(2), "*2\r\n", "~2\r\n"],
  ["a double", (r) => r.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"],
  ["infinity", (r) => r.double(Number.NEGATIVE_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n"],
  ["true", (r) => r.boolean(true), ":1\r\n", "#t\r\n"],
  ["false", (r) => r.boolean(false), ":0\r\n", "#f\r\n"],
  ["verbatim text", (r) => r.verbatim("a:1"), "$3\r\na:1\r\n", "=7\r\ntxt:a:1\r\n"],
];

for (const [what, write, resp2, resp3] of rows) {
  test(`${what} in RESP2 and RESP3`, () => {
    const writer = new RespWriter();
    write(writer);
    assert.equal(writer.take(), resp2);
    writer.protocol = 3;
    write(writer);
    assert.equal(writer.take(), resp3);
    assert.equal(writer.take(), "", "taken once");
  });
}

test("a reply beyond the hard limit is dropped whole and said to be", () => {
  const writer = new RespWriter();
  const value = "v".repeat(16 * 1024 * 1024);
  const fits = Math.floor(replyBytesMax / value.length) - 1;
  for (let count = 0; count < fits; count += 1) writer.bulk(value);
  assert.equal(writer.overflowed, false);
  for (let count = 0; count < 64; count += 1) writer.bulk(value);
  assert.equal(writer.overflowed, true);
  assert.ok(writer.length <= replyBytesMax, "it never holds more, whatever is written on");
});
