import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Painter, placedRow } from "../../client-tui/terminal/painter.ts";
import { widthOf } from "../../client-tui/text/visible.ts";

/** As much of a terminal as the painter uses; each character of ours is one cell. */
class TinyTerminal {
  readonly rows = new Map<number, string>();
  #row = 0;
  #column = 0;
  bytes = 0;

  readonly write = (text: string): void => {
    this.bytes += text.length;
    for (const [, control, plain] of text.matchAll(/\u001b\[([?0-9;]*[A-Za-z])|([^\u001b]+)/g)) {
      if (plain !== undefined) {
        const before = this.rows.get(this.#row) ?? "";
        this.rows.set(
          this.#row,
          before.slice(0, this.#column).padEnd(this.#column) + plain + before.slice(this.#column + plain.length),
        );
        this.#column += plain.length;
      } else if (control?.endsWith("H")) {
        const [row = "1", column = "1"] = control.slice(0, -1).split(";");
        this.#row = Number(row) - 1;
        this.#column = Number(column) - 1;
      } else if (control === "K") this.rows.set(this.#row, (this.rows.get(this.#row) ?? "").slice(0, this.#column));
      else if (control === "2J") this.rows.clear();
      else if (control?.endsWith("G")) this.#column = Number(control.slice(0, -1)) - 1;
    }
  };

  text(rows: number): string[] {
    return Array.from({ length: rows }, (_, at) => (this.rows.get(at) ?? "").trimEnd());
  }
}

test("after any run of frames the screen shows the last one, and nothing of those before", () => {
  const frame = fc.array(fc.constantFrom("", "a", "bb b", "a long row", "│ x │"), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(fc.array(fc.tuple(frame, fc.boolean()), { minLength: 1, maxLength: 8 }), (frames) => {
      const terminal = new TinyTerminal();
      const painter = new Painter(terminal.write, widthOf);
      for (const [rows, isForgotten] of frames) {
        if (isForgotten) painter.forget();
        painter.paint(rows.join("\n"), 5);
        assert.deepEqual(
          terminal.text(6),
          Array.from({ length: 6 }, (_, at) => (at < 5 ? (rows[at] ?? "") : "")),
        );
      }
    }),
  );
});

test("a frame that is the same writes nothing, one row writes one row", () => {
  const terminal = new TinyTerminal();
  const painter = new Painter(terminal.write, widthOf);
  const rows = Array.from({ length: 20 }, (_, at) => `row ${at} ${"x".repeat(60)}`);
  painter.paint(rows.join("\n"), 24);
  const whole = terminal.bytes;
  painter.paint(rows.join("\n"), 24);
  assert.equal(terminal.bytes, whole);
  painter.paint([...rows.slice(0, 19), "last"].join("\n"), 24);
  assert(terminal.bytes - whole < 60, "the bytes of one short row");
});

test("behind a glyph terminals disagree about, the cursor is put where the layout has it", () => {
  assert.equal(placedRow("│ plain ñ 漢字 │", widthOf), "│ plain ñ 漢字 │");
  assert.equal(placedRow("a👍b", widthOf), "a👍\u001b[4Gb");
  assert.equal(placedRow("\u001b[1m👨‍👩‍👧\u001b[22m│", widthOf), "\u001b[1m👨‍👩‍👧\u001b[3G\u001b[22m│");
});
