import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { keyRows, mergeKeys, rowId, scanPattern } from "../../client-tui/model/key-tree.ts";
import type { KeyRow } from "../../client-tui/model/model.ts";

const key = fc.array(fc.constantFrom("a", "b", ":", "ab", "\xff"), { maxLength: 6 }).map((parts) => parts.join(""));
const keys = fc.array(key, { maxLength: 40 }).map((list) => mergeKeys([], list, 1000));

const lines = (rows: readonly KeyRow[]): string[] =>
  rows.map((row) =>
    row.kind === "more"
      ? "more"
      : "  ".repeat(row.depth) +
        (row.kind === "folder" ? `${row.isOpen ? "-" : "+"}${row.path} ${row.count}` : row.name),
  );

const rowsOf = (loaded: readonly string[], open: readonly string[] = [], filter = "", view: "tree" | "flat" = "tree") =>
  keyRows(loaded, { view, open: new Set(open), filter, hasMore: false });

test("a tree by colons: folders with counts, a key that is a folder too, a folder of one is its key", () => {
  const loaded = ["user", "user:1", "user:1:name", "user:2", "x:only"].sort();
  assert.deepEqual(lines(rowsOf(loaded)), ["user", "+user: 3", "x:only"]);
  assert.deepEqual(lines(rowsOf(loaded, ["user:"])), ["user", "-user: 3", "  1", "  1:name", "  2", "x:only"]);
  assert.deepEqual(lines(rowsOf(loaded, [], "", "flat")), loaded);
  assert.deepEqual(lines(rowsOf(loaded, [], "NAME")), ["user:1:name"]);
});

test("with all folders open every key has one row, in order; closed, the counts add up", () => {
  fc.assert(
    fc.property(keys, (loaded) => {
      const folders = loaded.flatMap((entry) =>
        [...entry.matchAll(/:/g)].map(({ index }) => entry.slice(0, index + 1)),
      );
      const all = rowsOf(loaded, folders);
      assert.deepEqual(
        all.flatMap((row) => (row.kind === "key" ? [row.key] : [])),
        loaded,
      );
      assert.equal(new Set(all.map(rowId)).size, all.length);
      const closed = rowsOf(loaded);
      const counted = closed.reduce((sum, row) => sum + (row.kind === "folder" ? row.count : 1), 0);
      assert.equal(counted, loaded.length);
    }),
  );
});

test("a filter finds what a slow, obvious one finds", () => {
  const glob = fc
    .array(fc.constantFrom("a", "b", ":", "*", "?", "**"), { maxLength: 6 })
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(keys, glob, (loaded, filter) => {
      const slow = /[*?]/.test(filter)
        ? new RegExp(`^${filter.replaceAll(/\*+/g, "*").replaceAll("*", ".*").replaceAll("?", ".")}$`, "s")
        : undefined;
      const expected = loaded.filter((entry) => (slow === undefined ? entry.includes(filter) : slow.test(entry)));
      assert.deepEqual(
        rowsOf(loaded, [], filter).flatMap((row) => (row.kind === "key" && filter !== "" ? [row.key] : [])),
        filter === "" ? [] : expected,
      );
    }),
  );
  assert.equal(scanPattern("us"), "*us*");
  assert.equal(scanPattern("us*"), "us*");
});

test("merging pages keeps the list sorted, each key once, and bounded", () => {
  fc.assert(
    fc.property(keys, fc.array(key), (loaded, page) => {
      const merged = mergeKeys(loaded, page, 30);
      const expected = [...new Set([...loaded, ...page])]
        .sort()
        .slice(0, Math.max(30, page.length === 0 ? loaded.length : 30));
      assert.deepEqual(merged, expected);
    }),
  );
});
