import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { projectRoot, tempDirectory } from "../support/processes.ts";

const inProject = (command: string, ...given: string[]) => {
  const { status, stdout, stderr } = spawnSync(command, given, {
    cwd: projectRoot,
    encoding: "utf8",
    maxBuffer: 16 * 1024 * 1024,
  });
  assert.equal(status, 0, stdout + stderr);
  return stdout;
};

/** What `npm pack` would put in the tarball. */
const packedFiles = (): string[] => {
  inProject(process.execPath, "scripts/build.js");
  const [pack] = JSON.parse(inProject("npm", "pack", "--dry-run", "--json", "--ignore-scripts")) as [
    { files: { path: string }[] },
  ];
  return pack.files.map(({ path }) => path);
};

test("the package holds what runs, its types and its documents, and nothing else; it runs elsewhere", (t) => {
  const files = packedFiles();
  for (const wanted of [
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "package.json",
    "docs/OPERATIONS.md",
    "dist/server/main.js",
    "dist/server/main.d.ts",
    "dist/server/web/page/page.html",
    "dist/server/web/page/page.css",
    "dist/server/web/page/page.js",
  ])
    assert(files.includes(wanted), wanted);
  const strange = files.filter(
    (path) =>
      !/^(dist\/(server|protocol|client-tui)\/.*\.(js|d\.ts)|dist\/server\/web\/page\/page\.(html|css)|docs\/.*|[A-Z]+(\.md)?|package\.json)$/.test(
        path,
      ),
  );
  assert.deepEqual(strange, []);
  for (const source of readdirSync(join(projectRoot, "server"), { recursive: true, encoding: "utf8" }))
    if (source.endsWith(".ts")) assert(files.includes(`dist/server/${source.replace(/ts$/, "js")}`), source);
  for (const source of readdirSync(join(projectRoot, "client-tui"), { recursive: true, encoding: "utf8" }))
    if (/\.tsx?$/.test(source)) assert(files.includes(`dist/client-tui/${source.replace(/tsx?$/, "js")}`), source);

  // As installed: only those files, beside the dependencies.
  const elsewhere = tempDirectory(t);
  for (const path of files) {
    mkdirSync(dirname(join(elsewhere, path)), { recursive: true });
    cpSync(join(projectRoot, path), join(elsewhere, path));
  }
  symlinkSync(join(projectRoot, "node_modules"), join(elsewhere, "node_modules"));
  const { bin, version } = JSON.parse(readFileSync(join(elsewhere, "package.json"), "utf8")) as {
    bin: { chorus: string };
    version: string;
  };
  const main = join(elsewhere, bin.chorus);
  assert.match(readFileSync(main, "utf8"), /^#!\/usr\/bin\/env node\n/);
  const run = (...given: string[]) =>
    spawnSync(process.execPath, [main, ...given], { cwd: elsewhere, encoding: "utf8" });
  assert.equal(run("--version").stdout, `${version}\n`);
  assert.match(run("peer", "--print-config").stdout, /^tcp +5001 +default$/m);
});
