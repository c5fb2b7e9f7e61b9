/**
 * Which commands a person is asked about before they run, and which read-only refuses. From the command table, so a new
 * command is judged as soon as it is there; what the table does not know is refused by read-only.
 */
import { type Command, findCommand } from "../../protocol/commands.ts";
import type { Latin1 } from "../cluster.ts";
import { fullCount } from "../text/format.ts";

/** KEYS walks the whole map; up to this many keys nobody notices. */
export const keysWalkFree = 10_000;

export const commandOf = (words: readonly Latin1[]): Command | undefined => {
  const command = findCommand(words[0] ?? "");
  if (command === undefined || command.subcommands.length === 0) return command;
  return findCommand(words[0] ?? "", words[1] ?? "") ?? command;
};

/** May it change anything, at any peer, or stop one? */
export const changesSomething = (words: readonly Latin1[]): boolean => {
  const command = commandOf(words);
  if (command === undefined) return true;
  const word = (words[1] ?? "").toUpperCase();
  if (command.fullName === "conflicts") return words.length === 3 && word === "RESTORE";
  if (command.fullName === "fault|link") return (words[2] ?? "").toUpperCase() !== "LIST";
  if (harmless.has(command.fullName)) return false;
  if (command.flags.includes("write")) return true;
  // EXEC runs what was queued before; the queueing was let through.
  return command.flags.includes("admin") || changing.has(command.fullName);
};

const harmless: ReadonlySet<string> = new Set([
  "config|get",
  "config|help",
  "client|list",
  "client|info",
  "client|id",
  "client|help",
  "fault|help",
]);
const changing: ReadonlySet<string> = new Set(["exec", "publish", "client|kill", "fault", "shutdown"]);

/** Why to think twice; undefined where there is no reason to. `keys`: how many the peer holds. */
export const warningOf = (words: readonly Latin1[], keys: number): string | undefined => {
  const command = commandOf(words);
  switch (command?.fullName) {
    case undefined:
      return undefined;
    case "flushall":
    case "flushdb":
      return `deletes all ${fullCount(keys)} keys, at every peer`;
    case "keys":
      return keys > keysWalkFree ? `walks all ${fullCount(keys)} keys; SCAN or the Keys pane take pages` : undefined;
    case "shutdown":
      return "stops the peer this screen is connected to";
    case "client|kill":
      return "closes connections of others";
    case "fault|link":
      return /^(CUT)$/i.test(words[2] ?? "") ? "cuts a link between peers until it is healed" : undefined;
    default:
      return command?.flags.includes("admin") === true && changesSomething(words)
        ? "changes how the peer works"
        : undefined;
  }
};
