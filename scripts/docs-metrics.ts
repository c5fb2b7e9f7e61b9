/**
 * Writes the tables of metrics into docs/OPERATIONS.md, between their marks; `--check` only says whether they are there as
 * the families have them. Exit code: 0 written or equal, 1 different, 2 no marks.
 */
import { readFileSync, writeFileSync } from "node:fs";
import type { Family } from "../server/metrics/family.ts";
import { gatewayFamilies } from "../server/metrics/gateway-families.ts";
import { peerFamilies } from "../server/metrics/peer-families.ts";

const file = new URL("../docs/OPERATIONS.md", import.meta.url);

/** `Family<never>`: of any source, for it is not read here. */
const table = (families: readonly Family<never>[]): string =>
  [
    "| metric | type | labels | what |",
    "|---|---|---|---|",
    ...families.map(
      ({ name, type, labels = [], help }) =>
        `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(" ")} | ${help.replaceAll("|", "\\|")} |`,
    ),
  ].join("\n");

const tables: readonly (readonly [mark: string, families: readonly Family<never>[]])[] = [
  ["peer metrics", peerFamilies],
  ["gateway metrics", gatewayFamilies],
];

const text = readFileSync(file, "utf8");
let made = text;
for (const [mark, families] of tables) {
  const begin = `<!-- ${mark}: made by npm run docs -->\n`;
  const end = `\n<!-- /${mark} -->`;
  const from = made.indexOf(begin);
  const to = made.indexOf(end);
  if (from < 0 || to < from) {
    process.stderr.write(`docs/OPERATIONS.md has lost the marks around its ${mark}\n`);
    process.exit(2);
  }
  made = `${made.slice(0, from)}${begin}\n${table(families)}\n${made.slice(to)}`;
}
if (!process.argv.includes("--check")) writeFileSync(file, made);
else if (made !== text) {
  process.stderr.write("docs/OPERATIONS.md: its metrics are not those of server/metrics; run npm run docs\n");
  process.exitCode = 1;
}
