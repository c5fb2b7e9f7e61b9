/**
 * What a handler gets besides the connection: the peer, its map, and how the command is being run.
 *
 * A handler answers through `session.reply` exactly once, now or when its promise resolves. It is called only after the
 * executor has checked arity, login and refusals, so it starts with its own arguments.
 */
import type { Command } from "../../protocol/commands.ts";
import type { SlowLog } from "../metrics/slow-log.ts";
import type { CommandFigures } from "./figures.ts";
import type { CommandHost, Keyspace, Session } from "./session.ts";

/**
 * A command's words, its name first. The arity check has passed before a handler sees them, so the words that the
 * command requires are there; those beyond must be looked for.
 */
export interface Words extends ReadonlyArray<string> {
  readonly 0: string;
  readonly 1: string;
  readonly 2: string;
  readonly 3: string;
}

export type Handler = (session: Session, words: Words, context: Context) => void | Promise<void>;

export type Handlers = Readonly<Record<string, Handler>>;

export interface Context {
  readonly host: CommandHost;
  readonly keyspace: Keyspace;
  readonly stats: CommandFigures;
  readonly slowLog: SlowLog;
  readonly lookup: Lookup;
  /** True while EXEC runs its commands: a handler must then answer before it returns. */
  inExec: boolean;
}

/** A command with its handler, and what the executor asks of its flags on every call. */
export interface RunnableCommand {
  readonly command: Command;
  readonly fullName: string;
  /** Its place in what is counted by command (figures.ts). */
  readonly index: number;
  /** Some of its words are keys. */
  readonly hasKeys: boolean;
  readonly wordsMin: number;
  readonly wordsMax: number;
  readonly run: Handler;
  readonly writes: boolean;
  /** Flagged denyoom. */
  readonly grows: boolean;
  /** Answered also while the map is loaded; such commands do not touch the map by themselves. */
  readonly whileLoading: boolean;
  readonly beforeAuth: boolean;
  readonly refusedInMulti: boolean;
  /** Allowed to a RESP2 connection that is subscribed to something. */
  readonly inSubscribeMode: boolean;
  /** Shown by MONITOR. */
  readonly monitored: boolean;
  /** Its work is bounded when its words are few and short: see run.ts. */
  readonly brief: boolean;
  /** Waits for other peers by its nature: not timed. */
  readonly waits: boolean;
  /** Shown by SLOWLOG. */
  readonly logged: boolean;
  /** Runs at once inside MULTI instead of being queued. */
  readonly immediateInMulti: boolean;
  readonly subcommands: ReadonlyMap<string, RunnableCommand> | undefined;
}

/** Undefined: no such command. For a container with an unknown subcommand: the container's name. */
export type Lookup = (words: readonly string[]) => RunnableCommand | string | undefined;
