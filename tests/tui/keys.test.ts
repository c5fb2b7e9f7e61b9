import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type KeyPress, readKeys } from "../../client-tui/input/keys.ts";
import { editLine, editorOf, editorText, emptyEditor, type LineEditor } from "../../client-tui/input/line-editor.ts";

const name = ({ name, text, ctrl, alt }: KeyPress): string =>
  `${ctrl ? "^" : ""}${alt ? "alt-" : ""}${name === "char" ? text : name === "paste" ? `paste(${text})` : name}`;
const read = (input: string, isLast = true): string => readKeys(input, isLast).keys.map(name).join(" ");

test("what terminals send is read as keys", () => {
  for (const [input, keys] of [
    ["jk", "j k"],
    ["漢👍", "漢 👍"],
    ["\r", "enter"],
    ["\t\u001b[Z", "tab backtab"],
    ["\u007f\b", "backspace backspace"],
    ["\u0003\u0004", "^c ^d"],
    ["\u001b[A\u001b[B\u001bOC\u001bOD", "up down right left"],
    ["\u001b[5~\u001b[6~\u001b[3~\u001b[H\u001b[F\u001b[1~\u001b[4~", "pageup pagedown delete home end home end"],
    ["\u001b[1;5C\u001b[1;3D", "^right alt-left"],
    ["\u001bb", "alt-b"],
    ["\u001b", "escape"],
    ["\u001b\u001b", "escape escape"],
    ["\u001b[200~q\r:\u001b[A\u001b[201~j", "paste(q\r:\u001b[A) j"],
    // A reply of the terminal, a function key, a mouse: passed over whole.
    ["\u001b[?62;4c\u001b[15~\u001b[<0;1;1Mj", "j"],
    ["\u001b]11;rgb:0/0/0\u0007j", "j"],
  ] as const)
    assert.equal(read(input), keys, JSON.stringify(input));
});

test("it does not matter how the bytes are cut, except that an ESC waits for what follows", () => {
  const inputs = fc.array(
    fc.constantFrom(
      "a",
      "漢",
      "\r",
      "\u001b[A",
      "\u001b[5~",
      "\u001b[1;5C",
      "\u001bOC",
      "\u001b[200~x\u001b[201~",
      "\u001b[?1c",
    ),
    { maxLength: 8 },
  );
  fc.assert(
    fc.property(inputs, fc.array(fc.nat(20), { maxLength: 6 }), (parts, cuts) => {
      const input = parts.join("");
      let pending = "";
      let at = 0;
      const keys: KeyPress[] = [];
      for (const cut of [...cuts, input.length]) {
        const result = readKeys(pending + input.slice(at, at + cut));
        // A surrogate pair is never cut: the stream decodes.
        keys.push(...result.keys);
        pending = result.pending;
        at += cut;
        if (/[\ud800-\udbff]$/.test(input.slice(0, at))) return;
      }
      keys.push(...readKeys(pending, true).keys);
      assert.deepEqual(keys, readKeys(input, true).keys);
    }),
  );
  assert.deepEqual(readKeys("\u001b"), { keys: [], pending: "\u001b" });
});

test("no input makes the reader fail or hold on for ever", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (input) => {
      assert.equal(
        readKeys(input, true).pending.startsWith("\u001b[200~") || readKeys(input, true).pending === "",
        true,
      );
    }),
  );
});

const typed = (editor: LineEditor, input: string): LineEditor =>
  readKeys(input, true).keys.reduce((line, key) => editLine(line, key) ?? line, editor);

test("a line is edited as in a shell, by graphemes", () => {
  assert.equal(editorText(typed(emptyEditor, "abc\u001b[D\u001b[Dx")), "axbc");
  assert.equal(editorText(typed(editorOf("SET key value"), "\u0017")), "SET key ");
  assert.equal(editorText(typed(editorOf("SET key value"), "\u0015GET")), "GET");
  assert.equal(editorText(typed(editorOf("abc"), "\u0001\u000b")), "");
  assert.equal(editorText(typed(editorOf("a👨‍👩‍👧"), "\u007f")), "a");
  assert.equal(editorText(typed(editorOf("漢字"), "\u001b[D\u001b[3~")), "漢");
  assert.deepEqual(typed(editorOf("one two"), "\u001bb"), { before: "one ", after: "two" });
});

test("editing never loses or doubles text but by what the keys say", () => {
  const moves = fc.array(fc.constantFrom("\u001b[D", "\u001b[C", "\u001b[H", "\u001b[F", "\u001bb", "\u001bf"), {
    maxLength: 20,
  });
  fc.assert(
    fc.property(
      fc.string({ unit: "grapheme" }),
      moves,
      (text, keys) => editorText(typed(editorOf(text), keys.join(""))) === text,
    ),
  );
});
