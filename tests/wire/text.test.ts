import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ReplyWriter } from "../../protocol/reply.ts";
import { PlainWriter, quote, splitArguments } from "../../protocol/text.ts";

const lines: readonly (readonly [line: string, args: string[] | undefined, why: string])[] = [
  ["", [], "nothing"],
  [" \t\v\f ", [], "blanks only"],
  ["SET a 10", ["SET", "a", "10"], "words"],
  ["  SET   a\t10  ", ["SET", "a", "10"], "any blanks between"],
  ["a\vb", ["a\vb"], "which do not end a word when vertical"],
  ['"a b"', ["a b"], "double quotes"],
  ["'a b'", ["a b"], "single quotes"],
  ['""', [""], "an empty argument"],
  ["'' ''", ["", ""], "two of them"],
  ['"\\n\\r\\t\\b\\a\\\\\\""', ['\n\r\t\b\x07\\"'], "every escape"],
  ['"\\x00\\xfF"', ["\0\xff"], "hex, in either case"],
  ['"\\x4"', ["x4"], "hex that is none"],
  ['"\\q"', ["q"], "an unknown escape is the character"],
  ["'\\n\\'\\x41'", ["\\n'\\x41"], "single quotes know only \\'"],
  ['a"b c"', ["ab c"], "a quote may begin inside a word"],
  ['"a"b', undefined, "but must end it"],
  ['"a""b"', undefined, "whatever follows"],
  ["'a'\"b\"", undefined, "also another quote"],
  ['"a', undefined, "left open"],
  ["'a\\'", undefined, "left open by an escape"],
  ['"a\\', undefined, "left open by half an escape"],
  ["a\0b", ["a\0b"], "NUL is a character like any other"],
  [`'${"k".repeat(40)}'`, ["k".repeat(40)], "a long one"],
];

for (const [line, args, why] of lines) {
  test(`line ${JSON.stringify(line)}: ${why}`, () => assert.deepEqual(splitArguments(line), args));
}

test("what is quoted for people can be typed back, whatever the bytes", () => {
  const text = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) });
  fc.assert(
    fc.property(fc.array(text, { maxLength: 5 }), (args) => {
      assert.deepEqual(splitArguments(args.map(quote).join(" ")), args);
      assert.match(quote(args.join("")), /^[\x20-\x7e]*$/);
    }),
  );
});

const replies: readonly (readonly [what: string, write: (reply: ReplyWriter) => void, text: string])[] = [
  ["a status", (r) => r.simple("OK"), "OK\n"],
  ["a value", (r) => r.bulk("10"), "10\n"],
  ["a value of any bytes", (r) => r.bulk('a\0\xff"\r\n'), 'a\0\xff"\r\n\n'],
  ["nothing", (r) => r.nil(), "(nil)\n"],
  ["an aborted EXEC", (r) => r.nilArray(), "(nil)\n"],
  ["an integer", (r) => r.integer(1), "(integer) 1\n"],
  ["an error", (r) => r.error("ERR syntax error"), "ERR syntax error\n"],
  ["an error with a line end in it", (r) => r.error("ERR 'a\nOK'"), "ERR 'a OK'\n"],
  ["a double", (r) => r.double(0.1), "(double) 0.1\n"],
  ["a boolean", (r) => r.boolean(true), "(true)\n"],
  ["text", (r) => r.verbatim("# Server\r\na:1\r\n"), "# Server\r\na:1\r\n"],
  ["an empty array", (r) => r.array(0), "(empty array)\n"],
  ["an empty map", (r) => r.map(0), "(empty hash)\n"],
  ["an empty set", (r) => r.set(0), "(empty set)\n"],
  [
    "an array",
    (r) => {
      r.array(3);
      r.bulk("a\n");
      r.nil();
      r.error("ERR no");
    },
    '1) "a\\n"\n2) (nil)\n3) (error) ERR no\n',
  ],
  [
    "an array of ten",
    (r) => {
      r.array(10);
      for (let index = 0; index < 10; index += 1) r.integer(index);
    },
    `${Array.from({ length: 10 }, (_, index) => `${index < 9 ? " " : ""}${index + 1}) (integer) ${index}`).join("\n")}\n`,
  ],
  [
    "SCAN's array in an array",
    (r) => {
      r.array(2);
      r.bulk("0");
      r.array(2);
      r.bulk("a");
      r.bulk("b");
    },
    '1) "0"\n2) 1) "a"\n   2) "b"\n',
  ],
  [
    "arrays that end together",
    (r) => {
      r.array(2);
      r.array(1);
      r.array(1);
      r.integer(1);
      r.set(1);
      r.integer(2);
    },
    "1) 1) 1) (integer) 1\n2) 1~ (integer) 2\n",
  ],
  [
    "a map, with a map and an array and nothing as values",
    (r) => {
      r.map(4);
      r.bulk("proto");
      r.integer(3);
      r.bulk("docs");
      r.map(1);
      r.bulk("summary");
      r.bulk("text");
      r.bulk("modules");
      r.array(0);
      r.bulk("args");
      r.array(2);
      r.bulk("a");
      r.bulk("b");
    },
    '1# "proto" => (integer) 3\n2# "docs" => \n   1# "summary" => "text"\n3# "modules" => (empty array)\n' +
      '4# "args" => \n   1) "a"\n   2) "b"\n',
  ],
];

for (const [what, write, text] of replies) {
  test(`${what} in plain text`, () => {
    const writer = new PlainWriter();
    write(writer);
    assert.equal(writer.take(), text);
    writer.simple("OK");
    assert.equal(writer.take(), "OK\n", "and the next reply begins anew");
  });
}
