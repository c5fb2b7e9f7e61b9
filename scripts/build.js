/**
 * Compiles the sources to dist/ when they are newer than what is there, and says nothing when they are not.
 *
 * Looking costs a few milliseconds, so every script goes by it and nobody runs old code. JavaScript, since it must run
 * before anything is compiled. Compiled code is what runs, also at the desk: tsx keeps function names by a helper that
 * slows hot paths.
 *
 * As a command: `node scripts/build.js` (npm's prepare), `--clean` starts from nothing (prepack).
 */
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const stamp = join(root, "dist/.built");
const lock = join(root, "node_modules/.chorus-build-lock");
const compiler = join(root, "node_modules/typescript/bin/tsc");
/** A compile takes seconds; a lock older than this was left by one that was killed. */
const lockMsMax = 120_000;

/** The newest time among the sources, their folders (a file was deleted) and the compiler's settings. */
const sourcesMs = () => {
  let newestMs = 0;
  const see = (path) => {
    newestMs = Math.max(newestMs, statSync(path).mtimeMs);
  };
  for (const name of ["tsconfig.json", "tsconfig.build.json", "package-lock.json"])
    if (existsSync(join(root, name))) see(join(root, name));
  for (const folder of ["protocol", "server", "client-tui", "scripts"]) {
    see(join(root, folder));
    for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true }))
      if (entry.isDirectory() || /\.(tsx?|css|html|js)$/.test(entry.name)) see(join(entry.parentPath, entry.name));
  }
  return newestMs;
};

const isFresh = () => (statSync(stamp, { throwIfNoEntry: false })?.mtimeMs ?? 0) >= sourcesMs();

/** Several scripts may be started at once: one compiles, the others wait for it. */
const takeLock = () => {
  mkdirSync(dirname(lock), { recursive: true });
  for (;;) {
    try {
      mkdirSync(lock);
      return;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
      const madeMs = statSync(lock, { throwIfNoEntry: false })?.mtimeMs;
      if (madeMs !== undefined && Date.now() - madeMs > lockMsMax) rmSync(lock, { recursive: true, force: true });
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    }
  }
};

/** True when dist/ is up to date. The compiler's complaints go to standard error. */
export const buildIfStale = ({ clean = false } = {}) => {
  if (!clean && isFresh()) return true;
  if (!existsSync(compiler)) {
    // `npm ci --omit=dev` on a tree that brings its dist/ along.
    if (!existsSync(join(root, "dist")))
      process.stderr.write("chorus: not compiled, and typescript is not installed: run npm ci\n");
    return existsSync(join(root, "dist"));
  }
  takeLock();
  try {
    if (!clean && isFresh()) return true;
    if (clean) rmSync(join(root, "dist"), { recursive: true, force: true });
    // Of before the compile: what is edited meanwhile is newer.
    const startedAt = new Date();
    const { status, stdout } = spawnSync(process.execPath, [compiler, "-p", join(root, "tsconfig.build.json")], {
      encoding: "utf8",
    });
    if (status !== 0) {
      process.stderr.write(`${stdout}chorus: the sources do not compile\n`);
      return false;
    }
    // The status page's parts are read as they are.
    cpSync(join(root, "server/web/page"), join(root, "dist/server/web/page"), { recursive: true });
    writeFileSync(stamp, "");
    utimesSync(stamp, startedAt, startedAt);
    return true;
  } finally {
    rmdirSync(lock);
  }
};

if (process.argv[1] === fileURLToPath(import.meta.url) && !buildIfStale({ clean: process.argv.includes("--clean") }))
  process.exitCode = 1;
