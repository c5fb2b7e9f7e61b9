/**
 * Writes docs/COMMANDS.md from the command table; `--check` only says whether the file is there as the table has it.
 * Exit code: 0 written or equal, 1 different.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { argv, exit, stderr } from "node:process";
import { syntaxText } from "../protocol/command-syntax.ts";
import { type Command, commandGroups, commands, meanings, redisVersionFollowed } from "../protocol/commands.ts";
import { execBytesMax, flushInExecKeysMax, keyBytesMax, valueBytesMax } from "../protocol/limits.ts";

const file = new URL("../docs/COMMANDS.md", import.meta.url);

const intro = `# Commands

This page is made from the command table (\`protocol/commands.ts\`) by \`npm run docs\`; \`HELP\`, \`COMMAND DOCS\` and the hints
of redis-cli come from the same table. Replies, error texts and RESP3 types are those of Redis ${redisVersionFollowed.split(".")[0]}.

Brackets mean optional, bars a choice, \`...\` once more. All values are strings of bytes, and names of commands are not
case-sensitive.

What a command means where every peer takes writes is said in one word:
`;

const meaningNames: Readonly<Record<keyof typeof meanings, string>> = {
  "reads-local": "local read",
  "last-writer-wins": "last writer wins",
  counter: "counter",
  "read-modify-write": "read-modify-write",
  "local-condition": "local condition",
  "by-majority": "by majority",
  everywhere: "all peers",
  "this-peer": "this peer",
};

const meaningTable = (): string =>
  [
    "| word | meaning |",
    "| --- | --- |",
    ...Object.entries(meanings).map(
      ([meaning, text]) => `| **${meaningNames[meaning as keyof typeof meanings]}** | ${text} |`,
    ),
  ].join("\n");

const mebibytes = (bytes: number): string => `${bytes / 1024 / 1024} MiB`;

const differences = `## What differs from Redis

- One database, one user (\`default\`), and only strings as values. Lists, scripts, subscriptions and Redis's own
  replication (\`SYNC\`, \`REPLICAOF\`) are unknown commands.
- \`DELETE\` is \`DEL\`, for people. \`PEERS\`, \`CONFLICTS\`, \`TRACE\`, \`DIGEST\`, \`DIFF\` and \`HELP\` are ours.
- \`VERSION\`, \`SET ... IFVERSION\` and \`DELEX\` are for writers that must not overwrite what they have not seen. \`DELEX\` is
  a command of its own because \`DEL\` takes any word for a key; Redis 8.4 has it with conditions on the value.
- \`WAIT\` counts peers that have the writes on disk, not in memory. The number may include any peer: there are no replicas.
- \`NX\`, \`XX\`, \`IFVERSION\`, \`SETNX\`, \`MSETNX\`, \`RENAMENX\`, \`WATCH\` judge what this peer sees. They are no locks across peers.
- A change of expiry writes the value again: over a concurrent new value of another peer, the later one of the two wins.
- A key has at most ${keyBytesMax / 1024} KiB, a value ${mebibytes(valueBytesMax)}, one EXEC (and one MSET) writes at most ${mebibytes(execBytesMax)}; a larger one is refused
  before any of it is applied (\`EXECABORT\`). An expiry beyond 2^53 - 1 ms is refused.
- \`SCAN\` may answer fewer keys than \`COUNT\` asks for, and a pattern that takes too many steps to match is an error.
- \`KEYS\` on a big map is no snapshot: other clients run meanwhile. \`FLUSHALL\` inside MULTI takes at most ${flushInExecKeysMax} keys.
- \`OBJECT ENCODING\` tells what Redis would choose for such a value when it is set; \`IDLETIME\` is 0.`;

const details = (command: Command): string =>
  [
    `*${meaningNames[command.meaning]}*`,
    command.complexity.replace(/\.$/, ""),
    ...(command.aliasOf === undefined ? [] : [`the same as \`${command.aliasOf.toUpperCase()}\``]),
    `since ${command.since}`,
  ].join(" · ");

const section = (command: Command, heading: string): string =>
  [
    `${heading} ${command.fullName.replace("|", " ").toUpperCase()}`,
    `\`\`\`\n${syntaxText(command)}\n\`\`\``,
    command.summary,
    details(command),
  ].join("\n\n");

/** A container by itself does nothing, unless it has a syntax of its own as COMMAND has. */
const sections = (command: Command): readonly string[] => [
  section(command, "###"),
  ...command.subcommands
    .filter((subcommand) => subcommand.name !== "help")
    .map((subcommand) => section(subcommand, "####")),
];

const anchor = (command: Command): string => `[${command.name.toUpperCase()}](#${command.name})`;

const page = (): string => {
  const groups = [...commandGroups].map(([group, title]) => {
    const members = commands.filter((command) => command.group === group);
    return [`## ${title}`, members.map(anchor).join(" · "), ...members.flatMap(sections)].join("\n\n");
  });
  return `${[intro, meaningTable(), differences, ...groups].join("\n\n").replace(/\n{3,}/g, "\n\n")}\n`;
};

const existing = (): string => {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
};

if (!argv.includes("--check")) writeFileSync(file, page());
else if (existing() !== page()) {
  stderr.write("docs/COMMANDS.md is not what the command table says; run npm run docs\n");
  exit(1);
}
