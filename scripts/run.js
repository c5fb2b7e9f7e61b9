/**
 * `node scripts/run.js server/main peer --name b`: brings dist/ up to date, then runs the compiled file in this very
 * process, so that signals and exit codes need no passing on.
 */
import { existsSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { buildIfStale } from "./build.js";

const [target = "", ...given] = process.argv.slice(2);
if (!buildIfStale()) process.exit(1);
const script = fileURLToPath(new URL(`../dist/${target}.js`, import.meta.url));
if (!existsSync(script)) {
  process.stderr.write(`chorus: there is no ${target}.ts\n`);
  process.exit(2);
}
// As if it had been started directly.
process.argv = [process.execPath, script, ...given];
await import(pathToFileURL(script).href);
