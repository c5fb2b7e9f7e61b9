/**
 * Writes the table of settings into docs/OPERATIONS.md, between its two marks; `--check` only says whether it is there
 * as the schema has it. Exit code: 0 written or equal, 1 different, 2 no marks.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { configTable } from "../server/config.ts";

const file = new URL("../docs/OPERATIONS.md", import.meta.url);
const begin = "<!-- settings: made by npm run docs -->\n";
const end = "\n<!-- /settings -->";

const text = readFileSync(file, "utf8");
const from = text.indexOf(begin);
const to = text.indexOf(end);
if (from < 0 || to < from) {
  process.stderr.write("docs/OPERATIONS.md has lost the marks around its table of settings\n");
  process.exit(2);
}
const made = `${text.slice(0, from)}${begin}\n${configTable()}\n${text.slice(to)}`;
if (!process.argv.includes("--check")) writeFileSync(file, made);
else if (made !== text) {
  process.stderr.write("docs/OPERATIONS.md: the table of settings is not that of server/config.ts; run npm run docs\n");
  process.exitCode = 1;
}
