/** The command table: whole, in step with the handlers, and in the shapes that clients read. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { syntaxText } from "../../protocol/command-syntax.ts";
import { type Argument, type Command, commandGroups, commands, findCommand } from "../../protocol/commands.ts";
import { writeBounds } from "../../server/commands/exec-bytes.ts";
import { handlers } from "../../server/commands/handlers.ts";
import { lookup } from "../../server/commands/lookup.ts";
import { fakePeerWithCommands } from "../support/fake-host.ts";
import { parseTypedReply, type ReplyValue, Simple } from "../support/parse-reply.ts";

const everyCommand: readonly Command[] = commands.flatMap((command) => [command, ...command.subcommands]);
const runsByItself = (command: Command): boolean => command.subcommands.length === 0 || command.name === "command";

describe("the command table", () => {
  test("every command has a handler, and every handler a command", () => {
    const named = everyCommand.filter(runsByItself).map((command) => command.fullName);
    assert.deepEqual(Object.keys(handlers).sort(), [...named].sort());
  });

  test("every command that writes has a bound for EXEC, and no other", () => {
    const writing = everyCommand
      .filter((command) => command.flags.includes("write"))
      .map((command) => command.fullName);
    assert.deepEqual([...writeBounds.keys()].sort(), writing.sort());
  });

  test("names are lower case and unique", () => {
    const names = everyCommand.map((command) => command.fullName);
    assert.equal(new Set(names).size, names.length);
    for (const name of names) assert.match(name, /^[a-z|-]+$/);
  });

  test("every command is in a group that has a title, and every group has commands", () => {
    assert.deepEqual(new Set(commands.map((command) => command.group)), new Set(commandGroups.keys()));
  });

  test("a command is found in lower, upper and mixed case, a subcommand with its container", () => {
    for (const command of everyCommand.filter(runsByItself)) {
      const wanted = command.fullName.split("|");
      const mixed = wanted.map((word) => word.slice(0, 1) + word.slice(1).toUpperCase());
      for (const words of [wanted, wanted.map((word) => word.toUpperCase()), mixed]) {
        const found = lookup(words);
        assert.equal(typeof found === "object" ? found.fullName : undefined, command.fullName);
      }
      assert.equal(findCommand(command.fullName), command);
    }
  });

  test("arity agrees with the arguments", () => {
    for (const command of everyCommand.filter(runsByItself)) {
      const nameWords = command.fullName.split("|").length;
      const { least, most } = wordsOf(command.arguments);
      assert.equal(Math.abs(command.arity), nameWords + least, `least words of ${command.fullName}`);
      const exact = least === most;
      // Redis takes words behind QUIT too, and COMMAND has subcommands.
      if (!["quit", "command", "config|get"].includes(command.fullName)) {
        assert.equal(command.arity > 0, exact, `${command.fullName}: ${exact ? "exact" : "at least"}`);
      }
    }
  });

  test("a command with keys says where they are, and its first key is where its arguments have one", () => {
    const hasKey = (list: readonly Argument[]): boolean =>
      list.some((argument) => argument.type === "key" || hasKey(argument.arguments ?? []));
    for (const command of everyCommand.filter((each) => each.name !== "conflicts")) {
      assert.equal(command.keys.first > 0, hasKey(command.arguments), command.fullName);
    }
  });

  test("summaries are sentences, and syntaxes have balanced brackets", () => {
    for (const command of everyCommand) {
      assert.match(command.summary, /[.!]$/, command.fullName);
      const syntax = syntaxText(command);
      for (const [open, close] of ["[]", "<>"]) {
        assert.equal(syntax.split(open ?? "").length, syntax.split(close ?? "").length, syntax);
      }
    }
  });

  test("docs/COMMANDS.md is what the table says", () => {
    const { status, stderr } = spawnSync(process.execPath, ["--import", "tsx", "scripts/docs-commands.ts", "--check"], {
      cwd: new URL("../..", import.meta.url),
      encoding: "utf8",
    });
    assert.equal(status, 0, stderr);
  });
});

/** The fewest and the most words a list of arguments stands for. */
const wordsOf = (list: readonly Argument[]): { readonly least: number; readonly most: number } => {
  const each = list.map((argument) => {
    const inner =
      argument.type === "oneof"
        ? (argument.arguments ?? []).map((choice) =>
            wordsOf([{ ...choice, optional: undefined } as unknown as Argument]),
          )
        : argument.type === "block"
          ? [wordsOf(argument.arguments ?? [])]
          : [{ least: 1, most: 1 }];
    const token = argument.token !== undefined && argument.type !== "pure-token" ? 1 : 0;
    const least = token + Math.min(...inner.map((words) => words.least));
    const most = token + Math.max(...inner.map((words) => words.most));
    return {
      least: argument.optional === true ? 0 : least,
      most: argument.multiple === true ? Number.POSITIVE_INFINITY : most,
    };
  });
  return {
    least: each.reduce((sum, { least }) => sum + least, 0),
    most: each.reduce((sum, { most }) => sum + most, 0),
  };
};

// ---- COMMAND DOCS -------------------------------------------------------------------------------------------------------

/** In RESP2 maps are flat arrays. */
const toMap = (value: ReplyValue | undefined): ReadonlyMap<ReplyValue, ReplyValue> => {
  if (value instanceof Map) return value;
  assert.ok(Array.isArray(value), "a map is a map or a flat array");
  assert.equal(value.length % 2, 0);
  const pairs = Array.from({ length: value.length / 2 }, (_, at) => [value[at * 2], value[at * 2 + 1]] as const);
  return new Map(pairs);
};

const toItems = (value: ReplyValue | undefined): readonly ReplyValue[] => {
  const items = value instanceof Set ? [...value] : value;
  assert.ok(Array.isArray(items), "a set is a set or an array");
  return items;
};

const argumentTypes = new Set([
  "string",
  "integer",
  "double",
  "key",
  "pattern",
  "unix-time",
  "pure-token",
  "oneof",
  "block",
]);

const checkArgument = (value: ReplyValue): void => {
  const argument = toMap(value);
  assert.equal(typeof argument.get("name"), "string");
  assert.ok(argumentTypes.has(argument.get("type") as string));
  if (argument.has("token")) assert.equal(typeof argument.get("token"), "string");
  if (argument.has("key_spec_index")) assert.equal(typeof argument.get("key_spec_index"), "number");
  if (argument.has("flags")) {
    // redis-cli aborts on anything but simple strings here.
    for (const flag of toItems(argument.get("flags"))) assert.ok(flag instanceof Simple);
  }
  if (argument.has("arguments")) {
    const parts = argument.get("arguments");
    assert.ok(Array.isArray(parts) && parts.length > 0);
    for (const part of parts) checkArgument(part);
  }
};

const checkDocs = (value: ReplyValue | undefined): void => {
  const docs = toMap(value);
  for (const field of ["summary", "since", "group", "complexity"]) {
    assert.equal(typeof docs.get(field), "string", field);
    assert.notEqual(docs.get(field), "");
  }
  for (const argument of docs.has("arguments") ? toItems(docs.get("arguments")) : []) checkArgument(argument);
  if (docs.has("subcommands")) for (const subcommand of toMap(docs.get("subcommands")).values()) checkDocs(subcommand);
};

describe("COMMAND", () => {
  for (const protocol of [2, 3] as const) {
    test(`DOCS gives every command in the shape redis-cli expects, RESP${protocol}`, async () => {
      const client = fakePeerWithCommands().client(protocol);
      const all = toMap(parseTypedReply(await client.line("COMMAND DOCS")));
      assert.deepEqual(
        [...all.keys()],
        commands.map((command) => command.name),
      );
      for (const docs of all.values()) checkDocs(docs);
    });
  }

  test("DOCS of our own commands has their arguments, so that redis-cli gives hints", async () => {
    const client = fakePeerWithCommands().client(3);
    const docs = toMap(
      parseTypedReply(await client.line("command docs conflicts trace diff peers digest delete nosuch")),
    );
    assert.deepEqual([...docs.keys()], ["conflicts", "trace", "diff", "peers", "digest", "delete"]);
    const [traced] = toItems(toMap(docs.get("trace")).get("arguments"));
    assert.equal(toMap(traced).get("name"), "key");
  });

  test("COUNT, LIST, INFO and COMMAND agree on how many there are", async () => {
    const client = fakePeerWithCommands().client(3);
    const count = parseTypedReply(await client.line("COMMAND COUNT"));
    assert.equal(count, commands.length);
    for (const line of ["COMMAND", "COMMAND LIST", "COMMAND INFO"]) {
      assert.equal(toItems(parseTypedReply(await client.line(line))).length, commands.length);
    }
  });

  test("LIST takes a category or a pattern", async () => {
    const client = fakePeerWithCommands().client(3);
    const byCategory = toItems(parseTypedReply(await client.line("COMMAND LIST FILTERBY ACLCAT transaction")));
    assert.deepEqual(byCategory, ["multi", "exec", "discard", "watch", "unwatch"]);
    const byPattern = toItems(parseTypedReply(await client.line("COMMAND LIST FILTERBY PATTERN CLIENT|NO-*")));
    assert.deepEqual(byPattern, ["client|no-evict", "client|no-touch"]);
  });
});
