/**
 * What the command line offers: words that may come next, and the syntax of the command being typed. All from the
 * command table. Pure.
 */

import { syntaxText } from "../../protocol/command-syntax.ts";
import { type Argument, type Command, commands, findCommand } from "../../protocol/commands.ts";
import type { Latin1 } from "../cluster.ts";
import { quotedBytes } from "../text/quoted.ts";
import type { Completion } from "./model.ts";

const candidatesMax = 50;

/** `CLIENT LIST` of a line that begins so; the container alone while its subcommand is typed. */
const commandOfLine = (words: readonly string[]): Command | undefined => {
  const command = findCommand(words[0] ?? "");
  if (command === undefined || command.subcommands.length === 0) return command;
  return findCommand(words[0] ?? "", words[1] ?? "") ?? command;
};

const wordsOf = (text: string): string[] => text.split(/\s+/).filter((word) => word !== "");

export interface Hint {
  /** `SET key value [NX | XX] ...`; undefined while no command is recognised. */
  readonly syntax: string | undefined;
  readonly summary: string;
}

/** About the line as it stands. */
export const hintOf = (line: string): Hint => {
  const words = wordsOf(line);
  const command = commandOfLine(words);
  if (command === undefined) {
    const [word = ""] = words;
    if (word === "") return { syntax: undefined, summary: "Tab completes; Esc leaves" };
    const near = commands
      .filter(({ name }) => name.startsWith(word.toLowerCase()))
      .map(({ name }) => name.toUpperCase());
    return near.length === 0
      ? { syntax: undefined, summary: "no such command" }
      : { syntax: undefined, summary: near.slice(0, 12).join(" ") + (near.length > 12 ? " …" : "") };
  }
  if (command.subcommands.length > 0)
    return {
      syntax: `${command.name.toUpperCase()} ${command.subcommands.map(({ name }) => name.toUpperCase()).join(" | ")}`,
      summary: command.summary,
    };
  return { syntax: syntaxText(command), summary: command.summary };
};

/** Every literal word of an argument. */
const tokensOf = (argument: Argument): string[] => [
  ...(argument.token === undefined ? [] : [argument.token]),
  ...(argument.arguments ?? []).flatMap(tokensOf),
];

/**
 * What may stand where the cursor is; `before` is the line up to it. Command names, subcommands, keys (of those loaded),
 * literal words of the command.
 */
export const candidatesFor = (before: string, loadedKeys: readonly Latin1[]): string[] => {
  const words = before.split(/\s+/);
  if (words[0] === "") words.shift();
  const typed = words.at(-1) ?? "";
  const lower = typed.toLowerCase();
  if (words.length <= 1)
    return commands
      .filter(({ name }) => name.startsWith(lower))
      .map(({ name }) => name.toUpperCase())
      .sort();
  const command = commandOfLine(words.slice(0, -1));
  if (command === undefined) return [];
  if (command.subcommands.length > 0)
    return words.length === 2
      ? command.subcommands.filter(({ name }) => name.startsWith(lower)).map(({ name }) => name.toUpperCase())
      : [];
  const { first, last, step } = command.keys;
  const at = words.length - 1;
  const isKey =
    first > 0 && at >= first && (last < 0 ? (at - first) % Math.max(1, step) === 0 : at <= last) && step > 0;
  const keys = isKey ? keysFrom(loadedKeys, typed) : [];
  const tokens = [...new Set(command.arguments.flatMap(tokensOf))].filter((token) =>
    token.toLowerCase().startsWith(lower),
  );
  return [...keys, ...(typed === "" && isKey ? [] : tokens)].slice(0, candidatesMax);
};

/** Loaded keys are sorted: those that begin so lie side by side. */
const keysFrom = (loaded: readonly Latin1[], typed: string): string[] => {
  const found: string[] = [];
  for (const key of loaded) {
    const shown = quotedBytes(key);
    const word = /[\s"']/.test(shown) || shown !== key ? `"${shown.replaceAll('"', '\\"')}"` : shown;
    if (word.startsWith(typed) && found.push(word) >= candidatesMax) break;
  }
  return found;
};

/** The first, or the next, of what Tab goes through; undefined when there is nothing. */
export const complete = (
  editor: { readonly before: string; readonly after: string },
  previous: Completion | undefined,
  loadedKeys: readonly Latin1[],
  step: 1 | -1,
): Completion | undefined => {
  if (previous !== undefined) {
    const count = previous.candidates.length;
    return { ...previous, index: (previous.index + step + count) % count };
  }
  const candidates = candidatesFor(editor.before, loadedKeys);
  if (candidates.length === 0) return undefined;
  const typed = /\S*$/.exec(editor.before)?.[0] ?? "";
  return {
    candidates,
    index: step === 1 ? 0 : candidates.length - 1,
    stem: editor.before.slice(0, editor.before.length - typed.length),
    after: editor.after,
  };
};
