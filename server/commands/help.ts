/**
 * HELP, and the HELP of commands with subcommands: from the command table, for people.
 *
 * In plain text and RESP3 it is a text, in RESP2 an array of lines as Redis's own helps are.
 */

import { syntaxText } from "../../protocol/command-syntax.ts";
import { type Command, commandGroups, commands, findCommand, meanings } from "../../protocol/commands.ts";
import type { ReplyWriter } from "../../protocol/reply.ts";
import type { Handler } from "./context.ts";
import { quoted } from "./errors.ts";

const writeLines = (reply: ReplyWriter, lines: readonly string[]): void => {
  if (reply.protocol === 2) {
    reply.array(lines.length);
    for (const line of lines) reply.simple(line);
  } else {
    reply.verbatim(`${lines.join("\n")}\n`);
  }
};

/** Wraps at spaces, so that a terminal of 80 columns does not. */
const wrapped = (text: string, indent: string): readonly string[] => {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(" ")) {
    if (line.length > indent.length && line.length + 1 + word.length > 79) {
      lines.push(line);
      line = indent;
    }
    line += line.length > indent.length ? ` ${word}` : word;
  }
  return [...lines, line];
};

const overview = (): readonly string[] => [
  "Chorus: a replicated map that takes writes at every peer.",
  "",
  "  SET city Oslo      GET city      DELETE city      INCR visits",
  "",
  "HELP <command> explains a command, HELP @<group> lists the commands of a group:",
  ...[...commandGroups].map(([group, title]) => {
    const names = commands.filter((command) => command.group === group).map((command) => command.name.toUpperCase());
    return `  @${group.padEnd(13)} ${title}: ${names.slice(0, 5).join(" ")}${names.length > 5 ? " ..." : ""}`;
  }),
];

const groupLines = (group: string): readonly string[] =>
  commands
    .filter((command) => command.group === group)
    .flatMap((command) => [syntaxText(command), ...wrapped(command.summary, "    ")]);

const commandLines = (command: Command): readonly string[] => [
  ...wrapped(syntaxText(command), ""),
  ...wrapped(command.summary, "  "),
  ...wrapped(`Across peers: ${meanings[command.meaning]}`, "  "),
  `  Cost: ${command.complexity}. Group: @${command.group}. Since: ${command.since}.`,
  ...(command.aliasOf === undefined ? [] : [`  The same as ${command.aliasOf.toUpperCase()}.`]),
  ...command.subcommands.flatMap((subcommand) => [
    `  ${syntaxText(subcommand)}`,
    ...wrapped(subcommand.summary, "      "),
  ]),
];

export const help: Handler = (session, words) => {
  const { reply } = session;
  if (words.length === 1) {
    writeLines(reply, overview());
    return;
  }
  const topic = words[1].toLowerCase();
  if (topic.startsWith("@")) {
    const lines = groupLines(topic.slice(1));
    if (lines.length === 0) reply.error(`ERR no group ${quoted(words[1])}, try HELP`);
    else writeLines(reply, lines);
    return;
  }
  const command = findCommand(words[1], words.length > 2 ? words[2] : undefined);
  if (command === undefined) reply.error(`ERR no command ${quoted(words.slice(1).join(" "))}, try HELP`);
  else writeLines(reply, commandLines(command));
};

/** `CLIENT HELP`: the subcommands of a container. */
export const containerHelp =
  (container: string): Handler =>
  (session) => {
    const { subcommands } = findCommand(container) ?? { subcommands: [] };
    writeLines(session.reply, [
      `${container.toUpperCase()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:`,
      ...subcommands.flatMap((subcommand) => {
        const [, ...syntax] = syntaxText(subcommand).split(" ");
        return [syntax.join(" "), ...wrapped(subcommand.summary, "    ")];
      }),
    ]);
  };
