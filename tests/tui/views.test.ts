/**
 * Every pane on a terminal of fixed size: exactly as many rows as it has, exactly as wide, and of strangers' bytes nothing
 * that a terminal would obey. What the panes look like is in fixtures/; CHORUS_TEST_UPDATE=1 writes them anew, for a look
 * at the diff.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import type { Size } from "../../client-tui/model/model.ts";
import { textToLatin1, widthOf } from "../../client-tui/text/visible.ts";
import { addressOf, answersOf, linkOf, ModelDriver, reportOf, startMs } from "./model-driver.ts";

// React's development build is not what runs.
process.env["NODE_ENV"] = "production";
process.env["TZ"] = "UTC";
const { openScreen } = await import("../../client-tui/screen.tsx");
const { blankSizes } = await import("../../client-tui/views/panel.tsx");

const fixtures = fileURLToPath(new URL("fixtures/", import.meta.url));
const screen = openScreen({ columns: 80, rows: 24 }, (error) => {
  throw error;
});
after(() => screen.close());

const unstyled = (frame: string): string => frame.replaceAll(/\u001b\[[0-9;]*m/g, "");

/** Rows as the terminal has them: Ink leaves out the blanks at their ends. */
const rowsOf = (frame: string): string[] => unstyled(frame).split("\n");

const hostile = textToLatin1("evil\u001b]0;pwned\u0007\n\u202e漢字 👨‍👩‍👧\u009b2J");

const map = (): Map<string, string> =>
  new Map([
    ["config:app", textToLatin1('{"debug":true,"limits":{"rps":100,"burst":[1,2]},"name":"Zoë 🎉"}')],
    [hostile, hostile],
    ["session:9f2c", "\x00\x01\xffbinary"],
    ...Array.from({ length: 12 }, (_, at) => [`user:${at}:name`, `Person ${at}`] as const),
    [textToLatin1("漢字キー"), textToLatin1("値")],
    ["visits", "1"],
  ]);

/** A cluster with something to see in every pane. */
const populated = (size: Size, colors = false): ModelDriver => {
  const driver = new ModelDriver({ size, colors, answer: answersOf(map()) }).connect("a");
  driver
    .report(
      reportOf("a", {
        faultLinks: true,
        conflicts: { kept: 1, dropped: 0 },
        links: [
          linkOf("b", { state: "down", fault: "both", rttMs: null, lagOps: 12, why: "no heartbeat for 5 s" }),
          linkOf("c"),
        ],
      }),
    )
    .report(
      reportOf("b", {
        tombstones: { count: 1204, bytes: 90_000, heldBy: ["a"] },
        versionVector: { "a.0abc1234567xyz0": 9 },
      }),
    )
    .report(reportOf("c"));
  for (let second = 0; second < 60; second++) {
    driver.model = { ...driver.model, opsHistory: [...driver.model.opsHistory, (second * 137) % 4000] };
  }
  driver.event({
    type: "changes",
    left: 120,
    changes: [
      {
        type: "set",
        key: "user:1:name",
        expiresAtMs: startMs + 60_000,
        origin: "b.x",
        stampMs: startMs - 3,
        receivedAtMs: startMs,
      },
      {
        type: "delete",
        key: hostile,
        expiresAtMs: undefined,
        origin: "a.x",
        stampMs: startMs - 12,
        receivedAtMs: startMs,
      },
      {
        type: "increment",
        key: "visits",
        expiresAtMs: undefined,
        origin: "c.x",
        stampMs: startMs - 1500,
        receivedAtMs: startMs,
      },
      {
        type: "expired",
        key: "session:1",
        expiresAtMs: startMs,
        origin: "c.x",
        stampMs: startMs - 9000,
        receivedAtMs: startMs,
      },
    ],
  });
  const side = { origin: "b.0abc1234567xyz0", valueBytes: 24, stampMs: startMs - 20 };
  driver.event({
    type: "conflicts",
    conflicts: [
      {
        id: "a.0abc1234567xyz0:7",
        key: "cart:42",
        atMs: startMs,
        why: "later stamp",
        restored: false,
        winner: { ...side, value: '{"items":["plums","figs"]}'.slice(0, 24), dot: "b.0abc1234567xyz0:9" },
        loser: { ...side, value: null, valueBytes: 0, origin: "a.0abc1234567xyz0", dot: "a.0abc1234567xyz0:7" },
      },
    ],
  });
  return driver;
};

const panes: readonly (readonly [name: string, keys: readonly string[]])[] = [
  ["peers", ["1"]],
  ["keys", ["2", "g"]],
  ["keys-open", ["2", "G", "k", "k", "\r", "j"]],
  ["edit", ["2", "g", "e"]],
  ["feed", ["3"]],
  ["conflicts", ["4"]],
  ["console", [":", "set user:1:name v ke\t"]],
  ["help", ["?"]],
];

const sizes: readonly Size[] = [
  { columns: 80, rows: 24 },
  { columns: 140, rows: 40 },
];

for (const size of sizes)
  for (const [name, keys] of panes)
    test(`${name} at ${size.columns}x${size.rows}`, () => {
      const driver = populated(size).type(...keys);
      const text = `${rowsOf(screen.frame(driver.model)).join("\n")}\n`;
      const file = join(fixtures, `${name}-${size.columns}x${size.rows}.txt`);
      if (process.env["CHORUS_TEST_UPDATE"] !== undefined) writeFileSync(file, text);
      assert.equal(text, readFileSync(file, "utf8"));
    });

test("whatever is typed, at any size, a frame has the rows of the terminal, none wider, and nothing a terminal obeys but SGR", () => {
  const keys = fc.constantFrom(
    ...[
      "1",
      "2",
      "3",
      "4",
      "5",
      "\t",
      "j",
      "k",
      "g",
      "G",
      "\r",
      "\u001b",
      ":",
      "/",
      "?",
      "e",
      "n",
      "t",
      "B",
      "c",
      "h",
      "r",
      "v",
      "p",
      "d",
    ],
    ...[
      "x",
      "\u001b[200~漢字👍\n\u202e\u001b[31m\u001b[201~",
      "\u001b[C",
      "\u001b[D",
      "\u001b[6~",
      "get ",
      "\u0004",
      "y",
      "J",
      " ",
    ],
  );
  const size = fc.record({ columns: fc.integer({ min: 20, max: 200 }), rows: fc.integer({ min: 5, max: 60 }) });
  fc.assert(
    fc.property(size, fc.array(keys, { maxLength: 12 }), fc.boolean(), (given, typed, colors) => {
      const driver = populated(given, colors).type(...typed.filter((key) => key !== "q"));
      const frame = screen.frame(driver.model);
      const rows = rowsOf(frame);
      assert.equal(rows.length, given.rows);
      for (const row of rows) assert(widthOf(row) <= given.columns, row);
      assert.doesNotMatch(rows.join(""), /[\p{Cc}\u202a-\u202e\u2066-\u2069]/u);
      if (!colors) assert.doesNotMatch(frame, /\u001b\[(3|4|9|10)[0-9]m/);
    }),
    // The example: a dialog began in the middle of a wide glyph.
    { numRuns: 60, examples: [[{ columns: 110, rows: 30 }, ["2", "n"], false]] },
  );
});

test("the frame of a panel is unbroken: its right edge stands in one column, whatever is in it", () => {
  const size = { columns: 80, rows: 24 };
  const driver = populated(size);
  for (const keys of ["1", "3", "5"]) {
    driver.type(keys);
    for (const row of rowsOf(screen.frame(driver.model)).slice(3, -1)) {
      assert.equal(widthOf(row), size.columns, row);
      assert.match(row, /[╮│╯]$/);
    }
  }
});

test("a peer that dies is seen at once: in its row, in the count, in the badge", () => {
  const size = { columns: 80, rows: 24 };
  const driver = populated(size);
  for (const name of ["a", "b", "c"]) driver.report(reportOf(name));
  assert.match(rowsOf(screen.frame(driver.model))[0] ?? "", /peers up 3\/3 +identical/);
  driver.event({ type: "silent", name: "c", address: addressOf("c"), why: "connection refused" });
  const rows = rowsOf(screen.frame(driver.model));
  assert.match(rows[0] ?? "", /peers up 2\/3 +cut from c/);
  assert(rows.some((row) => /c +no answer/.test(row)));
});

test("Ink is given nothing to measure but blanks: it keeps every text it ever measured", () => {
  const views = fileURLToPath(new URL("../../client-tui/views/", import.meta.url));
  for (const file of readdirSync(views)) {
    const imported = /import \{([^}]*)\} from "ink"/.exec(readFileSync(join(views, file), "utf8"))?.[1] ?? "";
    if (file !== "panel.tsx") assert.doesNotMatch(imported, /\b(Text|Newline|Spacer|Static|Transform)\b/, file);
  }
  const driver = populated({ columns: 80, rows: 24 });
  const before = blankSizes();
  for (let second = 0; second < 20; second++) {
    driver.later(1000);
    driver.report(reportOf("a", { keys: second * 1000, opsPerSecond: second }));
    screen.frame(driver.model);
  }
  assert(blankSizes() <= before + 3, "a pane has as many blanks as it has blocks");
});

test("a second of an idle screen changes no more than its clocks", () => {
  const size = { columns: 80, rows: 24 };
  const driver = populated(size).type("2");
  const before = rowsOf(screen.frame(driver.model));
  driver.later(1000);
  const after = rowsOf(screen.frame(driver.model));
  assert(before.filter((row, at) => row !== after[at]).length <= 3);
});
