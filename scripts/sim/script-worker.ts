/** Runs one protocol script of tests/scripts: exit code 0 when it prints what it should, 1 and the difference when not. */
import { runScript } from "../../tests/support/script-runner.ts";

const [path = ""] = process.argv.slice(2);

try {
  runScript(path, false, (actual, expected, commands) => {
    if (actual !== expected) throw new Error(`after:\n${commands}\nexpected:\n${expected}\nfound:\n${actual}`);
  });
} catch (error) {
  process.stdout.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
