/**
 * The package: what is in it, and as somebody else has it, installed in another directory. The client needs `ws` and `zod`
 * and nothing else there, compiles strictly, and is run by plain Node: what is run are the examples of the docstrings, of
 * docs/CLIENT.md and of the README, so these are true.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { startPeerForTest } from "../support/peer-for-test.ts";
import { build, projectRoot, tempDirectory } from "../support/processes.ts";

const compiler = join(projectRoot, "node_modules/typescript/bin/tsc");

const run = (cwd: string, command: string, ...given: string[]): string => {
  const { status, stdout, stderr } = spawnSync(command, given, { cwd, encoding: "utf8", maxBuffer: 16 * 1024 * 1024 });
  assert.equal(status, 0, stdout + stderr);
  return stdout;
};

let packed: readonly string[] | undefined;

/** What `npm pack` would put in the tarball; npm is asked once. */
const packedFiles = (): readonly string[] => {
  if (packed !== undefined) return packed;
  build();
  const [pack] = JSON.parse(run(projectRoot, "npm", "pack", "--dry-run", "--json", "--ignore-scripts")) as [
    { files: { path: string }[] },
  ];
  packed = pack.files.map(({ path }) => path);
  return packed;
};

const unpack = (directory: string): void => {
  for (const path of packedFiles()) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    cpSync(join(projectRoot, path), join(directory, path));
  }
};

/** As `npm install` would: a project whose one dependency we are. */
const install = (t: TestContext): string => {
  const elsewhere = tempDirectory(t);
  unpack(join(elsewhere, "node_modules/chorus-kv"));
  for (const name of ["ws", "zod", "@types/node", "undici-types"]) {
    mkdirSync(dirname(join(elsewhere, "node_modules", name)), { recursive: true });
    symlinkSync(join(projectRoot, "node_modules", name), join(elsewhere, "node_modules", name));
  }
  writeFileSync(join(elsewhere, "package.json"), '{"type":"module"}');
  return elsewhere;
};

const compile = (directory: string, options: Readonly<Record<string, unknown>>, file: string): string => {
  writeFileSync(
    join(directory, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        target: "ES2023",
        module: "NodeNext",
        moduleResolution: "NodeNext",
        preserveSymlinks: true,
        // Those of TypeScript itself are not ours to check.
        skipDefaultLibCheck: true,
        ...options,
      },
      files: [file],
    }),
  );
  const { stdout } = spawnSync(process.execPath, [compiler, "-p", "."], { cwd: directory, encoding: "utf8" });
  return stdout;
};

/** Each is the body of a function that is given `kv` and `assert`. */
const examples = (): readonly (readonly [where: string, code: string])[] => {
  const found: [string, string][] = [];
  const source = readFileSync(join(projectRoot, "protocol/client.ts"), "utf8");
  for (const [comment] of source.matchAll(/\/\*\*.*?\*\//gs)) {
    const code = comment.split("@example")[1];
    if (code === undefined) continue;
    found.push(["docstring", code.replace(/\s*\*\/$/, "").replaceAll(/^ *\* ?/gm, "")]);
  }
  for (const file of ["docs/CLIENT.md", "README.md"]) {
    for (const [, code = ""] of readFileSync(join(projectRoot, file), "utf8").matchAll(/^```ts\n(.*?)^```$/gms))
      found.push([file, code]);
  }
  // Imports stand at the top of the module they become.
  return found.map(([where, code]) => [where, code.replaceAll(/^import .*\n/gm, "").trim()]);
};

const exampleModule = (): string => {
  const functions = examples().map(
    ([where, code], index) => `
await (async (kv: Client): Promise<void> => {
  await kv.command(["FLUSHALL", "EVENTUAL"]);
  // ${where}
  {
${code}
  }
})(await connect([])).catch((error) => {
  console.error("example ${index + 1} (${where}):", error);
  process.exitCode = 1;
});`,
  );
  return `import assert from "node:assert/strict";
import { ChorusError, type Client, type ConnectOptions, connect as connectTo } from "chorus-kv/client";

void ChorusError;
const opened: Client[] = [];
const connect = async (_peers: string | readonly string[], options: ConnectOptions = {}): Promise<Client> => {
  const kv = await connectTo(process.env["PEER"] ?? "", options);
  opened.push(kv);
  return kv;
};
${functions.join("\n")}
for (const kv of opened) await kv.close();
process.stdout.write("${functions.length} examples\\n");
`;
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
  unpack(elsewhere);
  symlinkSync(join(projectRoot, "node_modules"), join(elsewhere, "node_modules"));
  const { bin, version } = JSON.parse(readFileSync(join(elsewhere, "package.json"), "utf8")) as {
    bin: { chorus: string };
    version: string;
  };
  const main = join(elsewhere, bin.chorus);
  assert.match(readFileSync(main, "utf8"), /^#!\/usr\/bin\/env node\n/);
  const chorus = (...given: string[]) =>
    spawnSync(process.execPath, [main, ...given], { cwd: elsewhere, encoding: "utf8" });
  assert.equal(chorus("--version").stdout, `${version}\n`);
  assert.match(chorus("peer", "--print-config").stdout, /^tcp +5001 +default$/m);
});

test("installed elsewhere the examples compile strictly and run without tsx", async (t) => {
  const elsewhere = install(t);
  writeFileSync(join(elsewhere, "examples.ts"), exampleModule());
  assert.equal(compile(elsewhere, { types: ["node"], lib: ["ES2023"], skipLibCheck: true }, "examples.ts"), "");
  const peer = await startPeerForTest();
  try {
    // Not synchronously: the peer lives in this process.
    const child = spawn(process.execPath, ["examples.js"], {
      cwd: elsewhere,
      env: { PATH: process.env["PATH"], PEER: `127.0.0.1:${peer.httpPort}` },
      timeout: 60_000,
    });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        said += text;
      });
    }
    const code = await new Promise((resolve) => child.on("close", resolve));
    assert.equal(code, 0, said);
    assert(examples().length >= 15, "the examples are found");
    assert.match(said, new RegExp(`^${examples().length} examples$`, "m"));
  } finally {
    await peer.stop();
  }
});

test("its types need nothing of Node: a page's program compiles with the DOM's alone", (t) => {
  const elsewhere = install(t);
  writeFileSync(
    join(elsewhere, "page.ts"),
    `import { connect, type Lock } from "chorus-kv/client";
const kv = await connect("wss://kv.example", { signal: AbortSignal.timeout(1000) });
const value: string | null = await kv.get("k");
const bytes: Uint8Array | null = await kv.get("k", { as: "bytes" });
const before: string | null = await kv.set("k", "v", { get: true });
const isSet: boolean = await kv.set("k", "v", { nx: true });
const lock: Lock | null = await kv.lock("x", { ttlMs: 1000 });
await lock?.[Symbol.asyncDispose]();
for await (const change of kv.watch({ key: "k" }, { as: "bytes" })) {
  // @ts-expect-error a reset has no key
  change.key;
  if (change.type !== "reset") console.log(change.key satisfies Uint8Array, value, bytes, before, isSet);
}
// @ts-expect-error set() takes no numbers: they would be text
await kv.set("k", 1);
`,
  );
  assert.equal(compile(elsewhere, { types: [], lib: ["ES2023", "DOM"], noEmit: true }, "page.ts"), "");
});
