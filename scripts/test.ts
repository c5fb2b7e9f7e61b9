/**
 * `npm test`: format, lint, types, generated documents, then all tests. One command at the desk and in CI.
 *
 *   npm test                              everything
 *   npm test -- tests/wire                only the tests below a folder, or in a file; no checks
 *   npm test -- --checks                  only the checks
 *   npm test -- tests/wire --name quoted  only tests whose name matches
 *
 * Node 20's runner finds no TypeScript files by itself and calls an empty run a success, so the files are listed here
 * and an empty list fails. Its own summary is the last thing printed. Exit code: 0 all is well, 1 not, 2 wrong usage.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, dirname, join, relative, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const root = fileURLToPath(new URL("..", import.meta.url));
const binary = (name: string): string => join(root, "node_modules/.bin", name);
/** The whole suite is to stay under five minutes; a process that needs more than this hangs. */
const processMsMax = 280_000;
/**
 * To start tsx and load the server's sources costs more than most test files do, so the files of a folder share a process,
 * one after the other. Not of these: most of their time they wait for processes of their own, better side by side.
 */
const foldersApart = ["cli", "client", "cluster"];
/** Hooks outside of a `describe` are those of all tests of the process. */
const ownHooks = /^(before|after)(Each)?\(/m;

const script = (path: string, ...given: string[]): readonly string[] => [
  process.execPath,
  "--import",
  "tsx",
  path,
  ...given,
];

const checks: readonly (readonly [name: string, command: readonly string[]])[] = [
  // A large nursery: most of what it makes dies soon.
  [
    "promises and purity",
    [
      process.execPath,
      "--max-semi-space-size=64",
      binary("eslint"),
      "protocol",
      "server",
      "client-tui",
      "scripts",
      "tests",
    ],
  ],
  ["format and lint", [binary("biome"), "ci", "--colors=off", "--max-diagnostics=30", "."]],
  [
    "arrows between folders",
    [
      binary("depcruise"),
      "--config",
      ".dependency-cruiser.cjs",
      "protocol",
      "server",
      "client-tui",
      "scripts",
      "tests",
    ],
  ],
  ["types", [binary("tsc"), "-p", "."]],
  ["docs/COMMANDS.md", script("scripts/docs-commands.ts", "--check")],
  ["docs/OPERATIONS.md", script("scripts/docs-config.ts", "--check")],
  ["docs/OPERATIONS.md, metrics", script("scripts/docs-metrics.ts", "--check")],
];

const run = (command: readonly string[]): Promise<{ readonly code: number; readonly text: string }> =>
  new Promise((resolve, reject) => {
    const [program = "", ...given] = command;
    const child = spawn(program, given, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (chunk: string) => {
        text += chunk;
      });
    }
    child.on("error", reject);
    child.on("close", (code) => resolve({ code: code ?? 1, text }));
  });

/** Two at a time: the longest takes one core for as long as all others take the other. */
const runChecks = async (): Promise<string[]> => {
  const failed: string[] = [];
  const waiting = [...checks];
  const lane = async (): Promise<void> => {
    for (let check = waiting.shift(); check !== undefined; check = waiting.shift()) {
      const [name, command] = check;
      const startedMs = performance.now();
      const { code, text } = await run(command);
      process.stdout.write(
        `${code === 0 ? "ok    " : "FAILED"} ${name} (${((performance.now() - startedMs) / 1000).toFixed(1)} s)\n`,
      );
      if (code === 0) continue;
      failed.push(name);
      process.stdout.write(`${text.trimEnd()}\n`);
    }
  };
  await Promise.all([lane(), lane()]);
  return failed;
};

/** All test files below the given paths, in byte order. */
const listTestFiles = (paths: readonly string[]): string[] => {
  const files = new Set<string>();
  for (const path of paths) {
    const full = join(root, relative(root, path));
    if (!existsSync(full)) throw new Error(`there is no ${path}`);
    if (statSync(full).isFile()) files.add(relative(root, full));
    else
      for (const entry of readdirSync(full, { recursive: true, encoding: "utf8" }))
        if (entry.endsWith(".test.ts")) files.add(relative(root, join(full, entry)));
  }
  return [...files].sort();
};

/** What the runner is given, a process each: a file, or one made in `directory` that loads several of a folder. */
const joinFiles = (files: readonly string[], directory: string): string[] => {
  const apart: string[] = [];
  const together = new Map<string, string[]>();
  for (const file of files) {
    const folder = dirname(file);
    if (foldersApart.includes(basename(folder)) || ownHooks.test(readFileSync(join(root, file), "utf8")))
      apart.push(file);
    else together.set(folder, [...(together.get(folder) ?? []), file]);
  }
  for (const [folder, inFolder] of together) {
    // .mts, since there is no package.json that would say it is a module.
    const path = join(directory, `${folder.replaceAll(sep, "-")}.mts`);
    writeFileSync(
      path,
      inFolder.map((file) => `import ${JSON.stringify(pathToFileURL(join(root, file)))};\n`).join(""),
    );
    apart.push(path);
  }
  return apart;
};

const main = async (): Promise<number> => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      checks: { type: "boolean", default: false },
      name: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(
      "npm test                    checks and all tests\nnpm test -- tests/wire      some tests\nnpm test -- --checks        no tests\nnpm test -- --name PATTERN  tests by name\n",
    );
    return 0;
  }
  const isPartial = positionals.length > 0 || values.name !== undefined;
  const failed = isPartial ? [] : await runChecks();
  if (values.checks) return failed.length === 0 ? 0 : 1;

  const files = listTestFiles(
    positionals.length > 0 ? positionals.map((path) => join(process.cwd(), path)) : [join(root, "tests")],
  );
  if (files.length === 0) throw new Error("no test files found; a run without tests is no success");
  // Once, before many ask for it at the same time; what does not compile fails here, not in each of them.
  const built = spawnSync(process.execPath, [join(root, "scripts/build.js")], { stdio: "inherit" });
  if (built.status !== 0) return 1;
  const directory = mkdtempSync(join(tmpdir(), "chorus-tests-"));
  const joined = joinFiles(files, directory);
  process.stdout.write(`${files.length} test files in ${joined.length} processes\n`);
  const given = [
    "--test-reporter=spec",
    `--test-concurrency=${availableParallelism() + 1}`,
    `--test-timeout=${processMsMax}`,
  ];
  if (values.name !== undefined) given.push(`--test-name-pattern=${values.name}`);
  const { status } = spawnSync(process.execPath, ["--import", "tsx", "--test", ...given, ...joined], {
    cwd: root,
    stdio: "inherit",
  });
  rmSync(directory, { recursive: true, force: true });
  if (failed.length > 0) process.stdout.write(`FAILED before the tests: ${failed.join(", ")}\n`);
  return status === 0 && failed.length === 0 ? 0 : 1;
};

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`npm test: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}
