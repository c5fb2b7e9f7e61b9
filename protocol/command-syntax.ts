/**
 * The syntax of a command as a line for people: `SET key value [NX | XX] [GET] [EX seconds | ...]`.
 *
 * HELP, docs/COMMANDS.md and the completion of the terminal UI print it. Brackets mean optional, bars a choice, `...`
 * once more.
 */
import type { Argument, Command } from "./commands.ts";

const innerText = (argument: Argument): string => {
  switch (argument.type) {
    case "pure-token":
      return argument.token ?? argument.name;
    case "oneof":
      // A choice that is itself optional would print brackets within the choice; the choice says it already.
      return (argument.arguments ?? []).map(presentText).join(" | ");
    case "block":
      return (argument.arguments ?? []).map(argumentText).join(" ");
    default:
      return argument.name;
  }
};

/** The argument as it looks when it is there. */
const presentText = (argument: Argument): string => {
  const isBareChoice = argument.optional === true && argument.token === undefined && argument.multiple !== true;
  const inner = innerText(argument);
  const grouped = argument.type === "oneof" && !isBareChoice ? `<${inner}>` : inner;
  const named =
    argument.token !== undefined && argument.type !== "pure-token" ? `${argument.token} ${grouped}` : grouped;
  if (argument.multiple !== true) return named;
  return named.includes("|") ? `${named} ...` : `${named} [${named} ...]`;
};

const argumentText = (argument: Argument): string =>
  argument.optional === true ? `[${presentText(argument)}]` : presentText(argument);

/** `SET key value [NX | XX] ...`, `CLIENT LIST [TYPE ...]`. */
export const syntaxText = (command: Command): string => {
  const name = command.fullName.replace("|", " ").toUpperCase();
  const rest = command.arguments.map(argumentText).join(" ");
  return rest === "" ? name : `${name} ${rest}`;
};
