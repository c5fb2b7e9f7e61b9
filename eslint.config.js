/**
 * What biome does not do: no promise may float, and the folders that must be deterministic name no clock, no chance, no
 * I/O and no waiting. Everything else is biome's.
 */
import tseslint from "typescript-eslint";

const clockWords = "the clock is an argument here: equal inputs must give equal outputs";
const pureGlobals = [
  ["Date", clockWords],
  ["performance", clockWords],
  ["setTimeout", "only the shell waits; see tick()"],
  ["setInterval", "only the shell waits; see tick()"],
  ["setImmediate", "only the shell waits"],
  ["queueMicrotask", "only the shell waits"],
  ["process", "the core knows no process"],
  ["console", "the core does not log; it reports"],
  ["crypto", "chance is an argument here"],
  ["fetch", "no I/O in the core"],
].map(([name, message]) => ({ name, message }));

const noRandom = [{ object: "Math", property: "random", message: "chance is an argument here" }];
const noWaiting = [
  { selector: "AwaitExpression", message: "the core is synchronous; only the shell awaits" },
  { selector: "ForOfStatement[await=true]", message: "the core is synchronous; only the shell awaits" },
  { selector: ":function[async=true]", message: "the core is synchronous; only the shell awaits" },
  { selector: "ImportExpression", message: "imports are static here, so that the arrows can be checked" },
];
/**
 * CRC-32 over a megabyte in JavaScript is ten times slower than zlib's, and zlib.crc32 is as pure as our own would be:
 * synchronous, without state. So node:zlib is the one module of node's these folders may have. zod checks handshakes
 * and client messages, in protocol/ alone.
 */
const onlyImports = (packages) => ({
  patterns: [
    { regex: "^node:(?!zlib$)", message: "no I/O here; node:zlib is allowed for crc32 alone" },
    { regex: `^(?!node:|\\.${packages})`, message: "this folder stands on nothing but the language" },
  ],
});

export default tseslint.config(
  { ignores: ["dist/", "node_modules/", "data/", "coverage/", "**/fixtures/"] },
  {
    files: ["**/*.ts", "**/*.tsx"],
    // One program for all, as tsc has: the language service's, made for editors, costs a quarter more.
    languageOptions: {
      parser: tseslint.parser,
      parserOptions: { project: "tsconfig.json", tsconfigRootDir: import.meta.dirname },
    },
    plugins: { "@typescript-eslint": tseslint.plugin },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-misused-promises": ["error", { checksVoidReturn: { arguments: true, attributes: true } }],
    },
  },
  {
    // node:test's own promises are the runner's to await.
    files: ["tests/**/*.ts"],
    rules: {
      "@typescript-eslint/no-floating-promises": [
        "error",
        {
          allowForKnownSafeCalls: [
            { from: "package", package: "node:test", name: ["test", "it", "suite", "describe"] },
          ],
        },
      ],
    },
  },
  {
    files: ["server/replica/**/*.ts", "server/registers/**/*.ts"],
    rules: {
      "no-restricted-globals": ["error", ...pureGlobals],
      "no-restricted-properties": ["error", ...noRandom],
      "no-restricted-syntax": ["error", ...noWaiting],
      "no-restricted-imports": ["error", onlyImports("")],
    },
  },
  {
    // client.ts and what it is made of is all there that has sockets.
    files: ["protocol/**/*.ts"],
    ignores: ["protocol/client.ts", "protocol/client/**"],
    rules: {
      "no-restricted-globals": ["error", ...pureGlobals],
      "no-restricted-properties": ["error", ...noRandom],
      "no-restricted-syntax": ["error", ...noWaiting],
      "no-restricted-imports": ["error", onlyImports("|zod$")],
    },
  },
);
