/** Glob patterns: what they match, and that a hostile one costs bounded time (CVE-2022-36021). */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { globStepsMax, keyBytesMax, patternBytesMax } from "../../protocol/limits.ts";
import { Glob } from "../../server/commands/glob.ts";
import { fakePeerWithCommands } from "../support/fake-host.ts";

/** A second opinion: the textbook recursion, exponential and obvious. */
const matchesSlowly = (pattern: string, text: string): boolean => {
  const [first, ...rest] = pattern;
  if (first === undefined) return text === "";
  const others = rest.join("");
  if (first === "*") return matchesSlowly(others, text) || (text !== "" && matchesSlowly(pattern, text.slice(1)));
  return text !== "" && (first === "?" || first === text[0]) && matchesSlowly(others, text.slice(1));
};

describe("a glob pattern", () => {
  const cases: readonly (readonly [pattern: string, text: string, matches: boolean, why: string])[] = [
    ["*", "", true, "a star takes nothing"],
    ["**", "abc", true, "stars in a row are one"],
    ["a?c", "abc", true, "one byte"],
    ["a?c", "ac", false, "not none"],
    ["h[ae]llo", "hello", true, "one of a class"],
    ["h[^e]llo", "hello", false, "none of a class"],
    ["h[a-b]llo", "hbllo", true, "a range"],
    ["h[b-a]llo", "hallo", true, "a range the wrong way round"],
    ["h[a\\]e]llo", "h]llo", true, "an escaped bracket in a class"],
    ["[abc", "c", true, "a class that does not end"],
    ["[a-", "-", true, "a range that does not end"],
    ["[]", "a", false, "an empty class"],
    ["[^]", "a", true, "all but none"],
    ["a\\*c", "a*c", true, "an escaped star"],
    ["a\\*c", "abc", false, "is no star"],
    ["a\\", "a\\", true, "a backslash at the end is itself"],
    ["\xff*", "\xff\x00\n", true, "any bytes"],
    ["ABC", "abc", false, "case counts"],
    ["*a*b*c", "xaxbxc", true, "goes back to the last star only"],
    ["*ab", "aab", true, "a star gives back what it took"],
  ];
  for (const [pattern, text, matches, why] of cases) {
    test(`${JSON.stringify(pattern)} and ${JSON.stringify(text)}: ${why}`, () => {
      assert.equal(new Glob(pattern).matches(text), matches);
    });
  }

  test("agrees with the textbook on small patterns", () => {
    const pattern = fc.string({ unit: fc.constantFrom(..."ab?**"), maxLength: 8 });
    const text = fc.string({ unit: fc.constantFrom(..."abc"), maxLength: 8 });
    fc.assert(
      fc.property(pattern, text, (p, t) => new Glob(p).matches(t) === matchesSlowly(p, t)),
      { numRuns: 2000 },
    );
  });

  test("without special characters it is a literal", () => {
    assert.equal(new Glob("user:1").literal, "user:1");
    assert.equal(new Glob("a\\*b").literal, "a*b");
    assert.equal(new Glob("a*").literal, undefined);
    assert.equal(new Glob("[a]").literal, undefined);
  });

  test("that would take exponential time by recursion takes a moment", () => {
    const glob = new Glob(`${"*a".repeat(50)}*b`);
    assert.equal(glob.matches("a".repeat(200)), false);
    assert.ok(glob.steps < 200 * 102, `${glob.steps} steps`);
  });

  test("gives up past its steps instead of taking pattern times key", () => {
    const glob = new Glob(`*${"a".repeat(1000)}b`);
    assert.equal(glob.matches("a".repeat(keyBytesMax)), undefined);
    assert.ok(glob.steps <= globStepsMax);
  });

  test("that ordinary keys and patterns never meet the limit", () => {
    const glob = new Glob(`*${"a".repeat(100)}b`);
    assert.equal(glob.matches("a".repeat(1000)), false);
  });
});

describe("KEYS and SCAN with a hostile pattern", () => {
  const hostile = `*${"a".repeat(1000)}b`;

  test("answer an error, in bounded time", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client();
    for (let index = 0; index < 200; index += 1) {
      await client.send(["SET", "a".repeat(keyBytesMax - 3) + String(index), "1"]);
    }
    const startedMs = performance.now();
    assert.match(await client.send(["KEYS", hostile]), /^-ERR pattern takes too many steps/);
    assert.match(
      await client.send(["SCAN", "0", "COUNT", "1000000", "MATCH", hostile]),
      /^-ERR pattern takes too many/,
    );
    assert.ok(performance.now() - startedMs < 2000);
  });

  test("refuse a pattern longer than any key", async () => {
    const client = fakePeerWithCommands().client();
    const pattern = "*".repeat(patternBytesMax + 1);
    for (const words of [
      ["KEYS", pattern],
      ["SCAN", "0", "MATCH", pattern],
      ["CONFIG", "GET", pattern],
    ]) {
      assert.match(await client.send(words), /^-ERR pattern is longer than 65536 bytes/);
    }
  });
});
