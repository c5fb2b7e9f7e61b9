/** Protocol talk as text: every file of this folder is a script (tests/support/script-runner.ts says how to read one). */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { runScript } from "../support/script-runner.ts";

const folder = fileURLToPath(new URL(".", import.meta.url));
const update = process.env["UPDATE_SCRIPTS"] === "1";
const only = process.env["SCRIPT"];

for (const file of readdirSync(folder)
  .filter((name) => name.endsWith(".txt"))
  .sort()) {
  if (only !== undefined && !file.includes(only)) continue;
  test(file.replace(/\.txt$/, "").replaceAll("-", " "), () => {
    runScript(join(folder, file), update, (actual, expected, commands) => {
      assert.equal(actual, expected, `after:\n${commands}`);
    });
  });
}
