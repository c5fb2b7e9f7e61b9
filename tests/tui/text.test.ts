import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import stringWidth from "string-width";
import { durationText, parseTtl, shortCount, sparkline, ttlText } from "../../client-tui/text/format.ts";
import { previewLines } from "../../client-tui/text/preview.ts";
import { parseQuoted, quotedBytes } from "../../client-tui/text/quoted.ts";
import { rowToAnsi, span } from "../../client-tui/text/row.ts";
import {
  clip,
  fit,
  isForbidden,
  latin1ToText,
  narrow,
  textToLatin1,
  visibleBytes,
  visibleText,
  widthOf,
  wrap,
  wrapWords,
} from "../../client-tui/text/visible.ts";

/** Bytes, one character each. */
const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => String.fromCharCode(...array));
/** Text with all that is hard: wide, joined, marked, hidden, reordering, controlling. */
const hard = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        "a",
        " ",
        "é",
        "漢",
        "한",
        "👍",
        "👨‍👩‍👧",
        "🇳🇴",
        "❤️",
        "e\u0301",
        "\u0301",
        "\u202e",
        "\u2066",
        "\u200b",
        "\ufeff",
      ),
      fc.constantFrom(
        "\u001b[31m",
        "\u009b2J",
        "\u001b]0;x\u0007",
        "\r",
        "\n",
        "\t",
        "\u0085",
        "\u2028",
        "\ud800",
        "\u0000",
        "\u007f",
      ),
      // A note in three parts, which is one grapheme of three cells.
      fc.constant("\u{1d158}\u{1d165}\u{1d16e}"),
      fc.string({ unit: "grapheme" }),
      fc.string({ unit: "binary" }),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join(""));

test("nothing a terminal would obey is left, whatever the bytes", () => {
  fc.assert(fc.property(bytes, (latin1) => !isForbidden(visibleBytes(latin1))));
  fc.assert(
    fc.property(hard, (text) => !isForbidden(visibleText(text)) && !isForbidden(visibleBytes(textToLatin1(text)))),
  );
});

test("what is hidden or hostile is shown escaped, what can be read stays", () => {
  for (const [bytesOfKey, shown] of [
    ["plain key", "plain key"],
    ["\u001b[31mred", "\\x1b[31mred"],
    ["two\nlines\ttab\r", "two\\nlines\\ttab\\r"],
    [textToLatin1("Grüße 漢字 👍"), "Grüße 漢字 👍"],
    [textToLatin1("user\u202egnp.exe"), "user\\u{202e}gnp.exe"],
    [textToLatin1("zero\u200bwidth"), "zero\\u{200b}width"],
    [textToLatin1("c1 \u009b2J"), "c1 \\x9b2J"],
    ["\xff\xfe raw", "\\xff\\xfe raw"],
    [textToLatin1("👨‍👩‍👧"), "👨‍👩‍👧"],
    [textToLatin1("\u0301 a mark alone"), "\\u{301} a mark alone"],
    [textToLatin1(`a${"\u0301".repeat(20)}`), `a${"\\u{301}".repeat(20)}`],
  ] as const)
    assert.equal(visibleBytes(bytesOfKey), shown);
});

test("a cut never exceeds its cells, a fit has exactly its cells", () => {
  fc.assert(
    fc.property(hard, fc.integer({ min: 1, max: 40 }), (text, width) => {
      const shown = visibleText(text);
      assert(widthOf(clip(shown, width)) <= width);
      if (widthOf(shown) <= width) assert.equal(clip(shown, width), shown);
      assert.equal(widthOf(fit(shown, width)), width);
      assert.equal(widthOf(fit(shown, width, "right")), width);
    }),
  );
});

test("a row is exactly as wide as asked for, with styles and without, and carries nothing but SGR", () => {
  fc.assert(
    fc.property(
      fc.array(hard, { maxLength: 5 }),
      fc.integer({ min: 1, max: 60 }),
      fc.boolean(),
      (texts, width, colors) => {
        const style = (index: number) => (index % 2 === 0 ? "good" : "badge-bad");
        const unstyled = (row: string): string => row.replaceAll(/\u001b\[[0-9;]*m/g, "");
        const row = texts.map((text, index) => span(`${visibleText(text)} `, style(index)));
        assert.equal(widthOf(unstyled(rowToAnsi(row, width, colors))), width);
        // Should a view forget to make its text visible, the last gate still holds.
        const raw = texts.map((text, index) => span(text, style(index)));
        assert(!isForbidden(unstyled(rowToAnsi(raw, width, colors))));
      },
    ),
  );
});

test("NO_COLOR leaves weight and inversion, no colour", () => {
  const row = [span("a", "good"), span("b", "badge-bad"), span("c", "quiet"), span("d", "selected")];
  assert.doesNotMatch(rowToAnsi(row, 10, false), /\u001b\[(3|4|9)[0-9]m/);
  assert.match(rowToAnsi(row, 10, true), /\u001b\[32m/);
});

test("what is taken for narrow is one cell to string-width, alone and in a row", () => {
  for (let code = 0; code <= 0xffff; code++) {
    const char = String.fromCharCode(code);
    if (!narrow.test(char)) continue;
    assert.equal(stringWidth(char), 1, code.toString(16));
    assert.equal(stringWidth(`${char}${char}a`), 3, code.toString(16));
  }
});

test("prose is broken at its spaces, and a word too long for a line anywhere", () => {
  assert.deepEqual(wrapWords("at every peer. There is no undo.", 12), ["at every", "peer. There", "is no undo."]);
  assert.deepEqual(wrapWords("a abcdefgh b", 3), ["a", "abc", "def", "gh", "b"]);
  assert.deepEqual(wrapWords("one two three", 5, 2), ["one", "two"]);
  assert.deepEqual(wrapWords("", 5), [""]);
});

test("wrapping loses nothing and keeps to the width", () => {
  fc.assert(
    fc.property(hard, fc.integer({ min: 2, max: 30 }), (text, width) => {
      const shown = visibleText(text);
      const lines = wrap(shown, width);
      assert.equal(lines.join(""), shown);
      for (const line of lines) assert(widthOf(line) <= width);
    }),
  );
});

test("what can be edited is what was there: quoting and reading back give the same bytes", () => {
  fc.assert(fc.property(bytes, (latin1) => parseQuoted(quotedBytes(latin1)) === latin1));
  fc.assert(fc.property(hard, (text) => parseQuoted(quotedBytes(textToLatin1(text))) === textToLatin1(text)));
  assert.equal(quotedBytes("a\\b\nc"), "a\\\\b\\nc");
  assert.equal(parseQuoted("caf\\xe9"), "caf\xe9");
  assert.equal(parseQuoted("a\\q"), undefined);
  assert.equal(parseQuoted("a\\"), undefined);
});

test("bytes and text are each other's, where they are UTF-8", () => {
  fc.assert(fc.property(fc.string({ unit: "grapheme" }), (text) => latin1ToText(textToLatin1(text)) === text));
  assert.equal(latin1ToText("\xff"), undefined);
});

test("a preview shows text as text, JSON indented from its source, the rest as hex", () => {
  const lines = (latin1: string, mode: Parameters<typeof previewLines>[2] = "auto", isWhole = true) =>
    previewLines(latin1, isWhole, mode, 40);
  assert.deepEqual(lines("hello"), { shownAs: "text", lines: ["hello"] });
  // As it was written: the number does not fit a double, the name comes twice.
  assert.deepEqual(lines('{"a":12345678901234567890,"a":[],"b":"x, y: {z}"}'), {
    shownAs: "json",
    lines: ["{", '  "a": 12345678901234567890,', '  "a": [],', '  "b": "x, y: {z}"', "}"],
  });
  assert.equal(lines('{"a":1', "auto").shownAs, "text");
  assert.equal(lines('{"a":1}', "auto", false).shownAs, "text");
  assert.equal(lines("42").shownAs, "text");
  assert.deepEqual(lines("42", "json"), { shownAs: "json", lines: ["42"] });
  assert.equal(lines("\x00\x01\x02\x03").shownAs, "hex");
  assert.deepEqual(lines("AB\xff", "hex"), { shownAs: "hex", lines: ["00000000  41 42 ff     AB."] });
  // Cut in the middle of a character.
  assert.equal(lines(textToLatin1("漢字").slice(0, -1), "auto", false).shownAs, "text");
});

test("numbers and times are short", () => {
  assert.deepEqual([0, 999, 999.6, 1000, 12_345, 99_960, 1_234_567, 5e9].map(shortCount), [
    "0",
    "999",
    "1.0k",
    "1.0k",
    "12.3k",
    "100k",
    "1.2M",
    "5.0G",
  ]);
  assert.deepEqual([0.42, 12, 1500, 61_000, 7_200_000, 180_000_000].map(durationText), [
    "0.4 ms",
    "12 ms",
    "1.5 s",
    "1 min",
    "2.0 h",
    "2.1 d",
  ]);
  assert.deepEqual([1, 59_000, 61_000, 3_661_000, 90_061_000].map(ttlText), [
    "1 s",
    "59 s",
    "1:01",
    "1:01:01",
    "1 d 01:01",
  ]);
  assert.deepEqual(["90", "90s", "10m", "2h", "7d", "500ms", "none", "", "-1", "x", "0"].map(parseTtl), [
    90_000,
    90_000,
    600_000,
    7_200_000,
    604_800_000,
    500,
    0,
    0,
    undefined,
    undefined,
    undefined,
  ]);
  assert.equal(sparkline([0, 5, 10], 5), "  ▁▅█");
});
