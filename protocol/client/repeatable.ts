/**
 * Which commands may be sent again when nobody knows whether they happened.
 *
 * Reads may. Of writes those that say what shall be, not what shall change: a second SET of the same value leaves what
 * one would have left. Each sending is a write of its own though, with a later stamp, so a repeated SET may displace
 * what somebody else wrote in between. INCR, APPEND, conditions (NX, XX) and whatever answers the old value may not.
 */
import { findCommand } from "../commands.ts";

export type CommandKind =
  /** Changes nothing. */
  | "read"
  /** Changes something, the same by being sent twice. */
  | "absolute"
  /** Anything else. */
  | "once"
  /** Changes the connection, which calls of the same client share and a failover replaces. */
  | "stateful";

/** Not flagged `readonly`, since they read no key. */
const readers = new Set(["ping", "echo", "time", "info", "command", "help", "peers", "config", "object", "memory"]);
const absoluteWrites = new Set([
  "del",
  "delete",
  "unlink",
  "setex",
  "psetex",
  "mset",
  "persist",
  // Without a condition; see below.
  "set",
  "expire",
  "pexpire",
  "expireat",
  "pexpireat",
]);
const statefulCommands = new Set([
  "hello",
  "auth",
  "select",
  "quit",
  "reset",
  "multi",
  "exec",
  "discard",
  "watch",
  "unwatch",
  "subscribe",
  "unsubscribe",
  "psubscribe",
  "punsubscribe",
  "monitor",
]);

const setExpiries = new Set(["EX", "PX", "EXAT", "PXAT"]);

/** True when nothing but an expiry, or what is to be answered, stands behind the value. */
const isPlainSet = (options: readonly string[]): boolean => {
  for (let at = 0; at < options.length; at++) {
    const option = options[at]?.toUpperCase() ?? "";
    if (option === "KEEPTTL" || option === "WITHVERSION") continue;
    if (!setExpiries.has(option)) return false;
    at += 1;
  }
  return true;
};

/** Of words as typed. A command the table does not know is sent once. */
export const commandKind = (words: readonly string[]): CommandKind => {
  const name = words[0]?.toLowerCase() ?? "";
  if (statefulCommands.has(name)) return "stateful";
  if (name === "conflicts") return words.length === 3 && words[1]?.toUpperCase() === "RESTORE" ? "absolute" : "read";
  if (readers.has(name)) return "read";
  if (absoluteWrites.has(name)) {
    if (name === "set") return isPlainSet(words.slice(3)) ? "absolute" : "once";
    return name.includes("expire") && words.length > 3 ? "once" : "absolute";
  }
  return findCommand(name)?.flags.includes("readonly") === true ? "read" : "once";
};
