/**
 * COMMAND and its subcommands: the command table in Redis's shapes.
 *
 * redis-cli reads COMMAND DOCS for its hints and help and aborts on a wrong type: the flags of an argument must be simple
 * strings.
 */
import { type Argument, type Command, commands, findCommand } from "../../protocol/commands.ts";
import { patternBytesMax } from "../../protocol/limits.ts";
import type { ReplyWriter } from "../../protocol/reply.ts";
import type { Handler, Handlers } from "./context.ts";
import { syntaxError } from "./errors.ts";
import { Glob } from "./glob.ts";

// ---- COMMAND INFO -----------------------------------------------------------------------------------------------------

const writeSimpleSet = (reply: ReplyWriter, texts: readonly string[]): void => {
  reply.set(texts.length);
  for (const text of texts) reply.simple(text);
};

/** Where the keys are, in the newer of Redis's two forms; first, last and step are the older. */
const writeKeySpecs = (reply: ReplyWriter, command: Command): void => {
  const { first, last, step } = command.keys;
  if (first === 0) {
    reply.set(0);
    return;
  }
  reply.set(1);
  reply.map(3);
  reply.bulk("flags");
  writeSimpleSet(reply, command.flags.includes("write") ? ["RW", "update"] : ["RO", "access"]);
  reply.bulk("begin_search");
  reply.map(2);
  reply.bulk("type");
  reply.bulk("index");
  reply.bulk("spec");
  reply.map(1);
  reply.bulk("index");
  reply.integer(first);
  reply.bulk("find_keys");
  reply.map(2);
  reply.bulk("type");
  reply.bulk("range");
  reply.bulk("spec");
  reply.map(3);
  reply.bulk("lastkey");
  // Counted from the first key here, from the start of the command there.
  reply.integer(last < 0 ? last : last - first);
  reply.bulk("keystep");
  reply.integer(step);
  reply.bulk("limit");
  reply.integer(0);
};

const writeInfo = (reply: ReplyWriter, command: Command): void => {
  reply.array(10);
  reply.bulk(command.fullName);
  reply.integer(command.arity);
  writeSimpleSet(reply, command.flags);
  reply.integer(command.keys.first);
  reply.integer(command.keys.last);
  reply.integer(command.keys.step);
  writeSimpleSet(reply, command.categories);
  reply.set(0);
  writeKeySpecs(reply, command);
  reply.set(command.subcommands.length);
  for (const subcommand of command.subcommands) writeInfo(reply, subcommand);
};

const all: Handler = (session) => {
  session.reply.array(commands.length);
  for (const command of commands) writeInfo(session.reply, command);
};

const info: Handler = (session, words, context) => {
  if (words.length === 2) return all(session, words, context);
  session.reply.array(words.length - 2);
  for (const name of words.slice(2)) {
    const command = findCommand(name);
    if (command === undefined) session.reply.nil();
    else writeInfo(session.reply, command);
  }
  return undefined;
};

// ---- COMMAND DOCS -----------------------------------------------------------------------------------------------------

const argumentFlags = (argument: Argument): readonly string[] => [
  ...(argument.optional === true ? ["optional"] : []),
  ...(argument.multiple === true ? ["multiple"] : []),
];

const writeArguments = (reply: ReplyWriter, list: readonly Argument[]): void => {
  reply.array(list.length);
  for (const argument of list) writeArgument(reply, argument);
};

const writeArgument = (reply: ReplyWriter, argument: Argument): void => {
  const flags = argumentFlags(argument);
  const hasToken = argument.token !== undefined;
  const hasParts = argument.arguments !== undefined;
  reply.map(
    2 + Number(argument.keySpec !== undefined) + Number(hasToken) + Number(flags.length > 0) + Number(hasParts),
  );
  reply.bulk("name");
  reply.bulk(argument.name);
  reply.bulk("type");
  reply.bulk(argument.type);
  if (argument.keySpec !== undefined) {
    reply.bulk("key_spec_index");
    reply.integer(argument.keySpec);
  }
  if (argument.token !== undefined) {
    reply.bulk("token");
    reply.bulk(argument.token);
  }
  if (flags.length > 0) {
    reply.bulk("flags");
    writeSimpleSet(reply, flags);
  }
  if (argument.arguments !== undefined) {
    reply.bulk("arguments");
    writeArguments(reply, argument.arguments);
  }
};

const writeDocs = (reply: ReplyWriter, command: Command): void => {
  const hasArguments = command.arguments.length > 0;
  const hasSubcommands = command.subcommands.length > 0;
  reply.map(4 + Number(hasArguments) + Number(hasSubcommands));
  reply.bulk("summary");
  reply.bulk(command.summary);
  reply.bulk("since");
  reply.bulk(command.since);
  reply.bulk("group");
  reply.bulk(command.group);
  reply.bulk("complexity");
  reply.bulk(command.complexity);
  if (hasArguments) {
    reply.bulk("arguments");
    writeArguments(reply, command.arguments);
  }
  if (hasSubcommands) {
    reply.bulk("subcommands");
    reply.map(command.subcommands.length);
    for (const subcommand of command.subcommands) {
      reply.bulk(subcommand.fullName);
      writeDocs(reply, subcommand);
    }
  }
};

/** Names that are no commands are left out, as in Redis. */
const docs: Handler = (session, words) => {
  const asked = words.length === 2 ? commands : words.slice(2).flatMap((name) => findCommand(name) ?? []);
  session.reply.map(asked.length);
  for (const command of asked) {
    session.reply.bulk(command.fullName);
    writeDocs(session.reply, command);
  }
};

// ---- COMMAND LIST -----------------------------------------------------------------------------------------------------

const named = (list: readonly Command[]): readonly Command[] =>
  list.flatMap((command) => [command, ...command.subcommands]);

const list: Handler = (session, words) => {
  const { reply } = session;
  let chosen: readonly Command[];
  if (words.length === 2) {
    chosen = commands;
  } else if (words.length === 5 && words[2].toUpperCase() === "FILTERBY") {
    const value = words[4] ?? "";
    const filter = words[3].toUpperCase();
    if (filter === "MODULE") {
      chosen = [];
    } else if (filter === "ACLCAT") {
      chosen = named(commands).filter((command) => command.categories.includes(`@${value.toLowerCase()}`));
    } else if (filter === "PATTERN" && value.length <= patternBytesMax) {
      const glob = new Glob(value.toLowerCase());
      chosen = named(commands).filter((command) => glob.matches(command.fullName) === true);
    } else {
      reply.error(syntaxError);
      return;
    }
  } else {
    reply.error(syntaxError);
    return;
  }
  reply.array(chosen.length);
  for (const command of chosen) reply.bulk(command.fullName);
};

export const commandHandlers: Handlers = {
  command: all,
  "command|count": (session) => session.reply.integer(commands.length),
  "command|info": info,
  "command|docs": docs,
  "command|list": list,
};
