/**
 * From a command's words to what runs it.
 *
 * Names are found as they are usually written, in lower or upper case, without making a string; only other spellings are
 * folded first. A container (CLIENT, CONFIG, ...) goes on to its subcommand.
 */
import { type Command, commands } from "../../protocol/commands.ts";
import type { Lookup, RunnableCommand } from "./context.ts";
import { countedCommands } from "./figures.ts";
import { handlers } from "./handlers.ts";

/** These act on the transaction itself, or end it. */
const immediateInMulti: ReadonlySet<string> = new Set(["exec", "discard", "multi", "watch", "quit", "reset"]);

/** They answer outside the order of replies (RESP3) or with several (RESP2), which EXEC's reply has no place for. */
const refusedInMulti: ReadonlySet<string> = new Set([
  "subscribe",
  "unsubscribe",
  "psubscribe",
  "punsubscribe",
  "monitor",
]);

const inSubscribeMode: ReadonlySet<string> = new Set([
  "subscribe",
  "unsubscribe",
  "psubscribe",
  "punsubscribe",
  "ping",
  "quit",
  "reset",
]);

/** Each touches one key, or a few, and copies no long value. */
const brief: ReadonlySet<string> = new Set(
  [
    "get set setnx setex psetex getset getdel getex version delex del delete unlink touch exists strlen type mget",
    "incr incrby decr decrby ttl pttl expiretime pexpiretime expire pexpire expireat pexpireat persist ping echo",
  ].flatMap((names) => names.split(" ")),
);

const waiting: ReadonlySet<string> = new Set(["wait", "diff"]);

const byBothCases = <Value>(entries: readonly (readonly [string, Value])[]): ReadonlyMap<string, Value> =>
  new Map(entries.flatMap(([name, value]) => [[name, value] as const, [name.toUpperCase(), value] as const]));

const toRunnable = (command: Command): RunnableCommand => {
  const { fullName, arity, flags, subcommands } = command;
  return {
    command,
    fullName,
    index: countedCommands.indexOf(fullName),
    hasKeys: command.keys.first > 0,
    wordsMin: Math.abs(arity),
    wordsMax: arity > 0 ? arity : Number.POSITIVE_INFINITY,
    run:
      handlers[fullName] ??
      (() => {
        throw new Error(`no handler for ${fullName}`);
      }),
    writes: flags.includes("write"),
    grows: flags.includes("denyoom"),
    whileLoading: flags.includes("loading"),
    beforeAuth: flags.includes("no_auth"),
    refusedInMulti: flags.includes("no_multi") || refusedInMulti.has(fullName),
    inSubscribeMode: inSubscribeMode.has(fullName),
    monitored: !flags.includes("admin"),
    brief: brief.has(fullName),
    waits: waiting.has(fullName),
    logged: !flags.includes("skip_slowlog"),
    immediateInMulti: immediateInMulti.has(fullName),
    subcommands:
      subcommands.length === 0
        ? undefined
        : byBothCases(subcommands.map((subcommand) => [subcommand.name, toRunnable(subcommand)] as const)),
  };
};

const runnables = byBothCases(commands.map((command) => [command.name, toRunnable(command)] as const));

/** Longer words name no command; a hostile one of megabytes is not folded to find that out. */
const nameCharsMax = 32;

const find = (map: ReadonlyMap<string, RunnableCommand>, name: string): RunnableCommand | undefined =>
  map.get(name) ?? (name.length <= nameCharsMax ? map.get(name.toLowerCase()) : undefined);

export const lookup: Lookup = (words) => {
  const runnable = find(runnables, words[0] ?? "");
  if (runnable?.subcommands === undefined || words.length === 1) return runnable;
  return find(runnable.subcommands, words[1] ?? "") ?? runnable.fullName;
};
