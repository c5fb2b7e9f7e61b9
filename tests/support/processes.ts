/** Starting our own programs in tests, reading what they say, and leaving none behind. */
import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export const projectRoot = fileURLToPath(new URL("../..", import.meta.url));

export const tempDirectory = (t: TestContext): string => {
  const directory = mkdtempSync(join(tmpdir(), "chorus-test-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
};

export interface RunningProcess {
  readonly child: ChildProcessWithoutNullStreams;
  stdout(): string;
  stderr(): string;
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
}

let isBuilt = false;

/** Brings dist/ up to date. */
export const build = (): void => {
  if (isBuilt) return;
  const { status, stderr } = spawnSync(process.execPath, [join(projectRoot, "scripts/build.js")], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  isBuilt = true;
};

/** Server and scripts as their users run them, compiled: that starts in a tenth of the time. JavaScript stands on dist/. */
const programOf = (file: string): string[] => {
  // tsconfig.build.json leaves out what stands on tests/.
  if (/^(tests\/.*|scripts\/(soak|lincheck))\.ts$/.test(file))
    return ["--import", import.meta.resolve("tsx"), join(projectRoot, file)];
  build();
  return [join(projectRoot, file.startsWith("tests/") ? file : `dist/${file.replace(/\.ts$/, ".js")}`)];
};

/** Starts a file of ours; killed (SIGKILL or `endBy`) when the test ends, should it still run. */
export const startScript = (
  t: TestContext,
  file: string,
  given: readonly string[],
  options: {
    readonly env?: Readonly<Record<string, string>>;
    readonly cwd?: string;
    readonly endBy?: NodeJS.Signals;
  } = {},
): RunningProcess => {
  // Without what npm and the caller's shell say: they would be settings.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(CHORUS_|npm_|NODE_TEST_CONTEXT)/.test(name)),
  );
  const program = programOf(file);
  const child = spawn(process.execPath, [...program, ...given], {
    cwd: options.cwd ?? projectRoot,
    env: { ...env, ...options.env },
  });
  let out = "";
  let err = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err += text;
  });
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.on("close", (code, signal) => resolve({ code, signal }));
  });
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill(options.endBy ?? "SIGKILL");
    await ended;
  });
  return { child, stdout: () => out, stderr: () => err, ended };
};

export const runScript = async (
  ...given: Parameters<typeof startScript>
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> => {
  const running = startScript(...given);
  const { code } = await running.ended;
  return { code, stdout: running.stdout(), stderr: running.stderr() };
};

/** Waits for a condition, asked often; fails with what was waited for. */
export const until = async (
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> => {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error(`${what}: not within ${timeoutMs / 1000} s`);
    await delay(20);
  }
};

export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};
