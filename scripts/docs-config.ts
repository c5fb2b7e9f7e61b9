/**
 * Writes the tables of settings, of peers and of gateways, into docs/OPERATIONS.md, between their marks; `--check` only says
 * whether they are there as the schemas have them. Exit code: 0 written or equal, 1 different, 2 no marks.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { configTable } from "../server/config.ts";
import { gatewayConfigTable } from "../server/gateway/config.ts";

const file = new URL("../docs/OPERATIONS.md", import.meta.url);
const tables: readonly (readonly [mark: string, table: string])[] = [
  ["settings", configTable()],
  ["gateway settings", gatewayConfigTable()],
];

const text = readFileSync(file, "utf8");
let made = text;
for (const [mark, table] of tables) {
  const begin = `<!-- ${mark}: made by npm run docs -->\n`;
  const from = made.indexOf(begin);
  const to = made.indexOf(`\n<!-- /${mark} -->`);
  if (from < 0 || to < from) {
    process.stderr.write(`docs/OPERATIONS.md has lost the marks around its table of ${mark}\n`);
    process.exit(2);
  }
  made = `${made.slice(0, from)}${begin}\n${table}\n${made.slice(to)}`;
}
if (!process.argv.includes("--check")) writeFileSync(file, made);
else if (made !== text) {
  process.stderr.write("docs/OPERATIONS.md: the tables of settings are not those of the schemas; run npm run docs\n");
  process.exitCode = 1;
}
