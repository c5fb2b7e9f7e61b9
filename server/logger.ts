/**
 * The peer's logger: pino, one line per event a person would care about, to standard error. Standard output is left to
 * the ready line.
 *
 * Writes are synchronous: the last lines before a crash are the ones that matter, and nothing logs per operation.
 */
import { createRequire } from "node:module";
import { type Logger, pino } from "pino";
import type { PeerConfig } from "./config.ts";

export type { Logger } from "pino";

/** `name`: the peer's, or `gateway`. */
export interface LoggerOptions extends Pick<PeerConfig, "logLevel" | "logFormat"> {
  readonly name: string;
}

export const createLogger = (config: LoggerOptions): Logger => {
  const options = { level: config.logLevel, base: { peer: config.name }, timestamp: pino.stdTimeFunctions.isoTime };
  const stderr = pino.destination({ fd: 2, sync: true });
  if (config.logFormat === "json") return pino(options, stderr);
  // Loaded only for people: a service does not wait for it at its start.
  const { PinoPretty } = createRequire(import.meta.url)("pino-pretty") as typeof import("pino-pretty");
  // PinoPretty as a stream in this process, not as a worker: a worker loses the last lines of a crash.
  const pretty = PinoPretty({
    destination: 2,
    singleLine: true,
    sync: true,
    colorize: process.stderr.isTTY && !process.env["NO_COLOR"],
    translateTime: "SYS:HH:MM:ss.l",
    ignore: "pid,hostname,peer",
    messageFormat: `[${config.name}] {msg}`,
  });
  return pino(options, pretty);
};
