/** INFO, CONFIG GET, TIME, SHUTDOWN and the helps: what the peer says about itself. */
import { patternBytesMax } from "../../protocol/limits.ts";
import { commandHandlers } from "./command-docs.ts";
import type { Handler, Handlers } from "./context.ts";
import { quoted, syntaxError } from "./errors.ts";
import { Glob } from "./glob.ts";
import { containerHelp, help } from "./help.ts";

const everySection: ReadonlySet<string> = new Set(["default", "all", "everything"]);

const info: Handler = (session, words, { host }) => {
  const asked = new Set(words.slice(1).map((word) => word.toLowerCase()));
  const wantsAll = asked.size === 0 || [...asked].some((section) => everySection.has(section));
  const sections: string[] = [];
  for (const [heading, fields] of host.info()) {
    if (!wantsAll && !asked.has(heading.toLowerCase())) continue;
    const lines = [...fields].map(([name, value]) => `${name}:${value}\r\n`);
    sections.push(`# ${heading}\r\n${lines.join("")}`);
  }
  session.reply.verbatim(sections.join("\r\n"));
};

const configGet: Handler = (session, words, { host }) => {
  const { reply } = session;
  const patterns = words.slice(2);
  if (patterns.some((pattern) => pattern.length > patternBytesMax)) {
    reply.error(`ERR pattern is longer than ${patternBytesMax} bytes`);
    return;
  }
  const globs = patterns.map((pattern) => new Glob(pattern.toLowerCase()));
  const found = [...host.configuration()].filter(([name]) =>
    globs.some((glob) => glob.matches(name.toLowerCase()) === true),
  );
  reply.map(found.length);
  for (const [name, value] of found) {
    reply.bulk(name);
    reply.bulk(value);
  }
};

/** All or nothing, as in Redis. */
const configSet: Handler = (session, words, { host }) => {
  const { reply } = session;
  const pairs = new Map<string, string>();
  if (words.length % 2 !== 0) {
    reply.error(syntaxError);
    return;
  }
  const known = new Set([...host.configuration().keys()].map((name) => name.toLowerCase()));
  for (let at = 2; at < words.length; at += 2) {
    const name = words[at] ?? "";
    if (!known.has(name.toLowerCase())) {
      reply.error(`ERR Unknown option or number of arguments for CONFIG SET - ${quoted(name)}`);
      return;
    }
    if (pairs.has(name.toLowerCase())) {
      reply.error(configSetFailed(name, "duplicate parameter"));
      return;
    }
    pairs.set(name.toLowerCase(), words[at + 1] ?? "");
  }
  for (const [name, value] of pairs) {
    const refusal = host.configurationRefusal(name, value);
    if (refusal !== undefined) {
      reply.error(configSetFailed(name, refusal));
      return;
    }
  }
  for (const [name, value] of pairs) host.configure(name, value);
  reply.simple("OK");
};

const configSetFailed = (name: string, why: string): string =>
  `ERR CONFIG SET failed (possibly related to argument ${quoted(name)}) - ${why}`;

const time: Handler = (session, _words, { host }) => {
  const nowMs = host.wallMs();
  session.reply.array(2);
  session.reply.bulk(String(Math.floor(nowMs / 1000)));
  session.reply.bulk(String(Math.floor((nowMs % 1000) * 1000)));
};

const shutdownOptions: ReadonlySet<string> = new Set(["NOSAVE", "SAVE", "NOW", "FORCE", "ABORT"]);

/** Answers nothing when it works: the connection closes, which is how Redis's clients know. */
const shutdown: Handler = (session, words, { host }) => {
  const options = words.slice(1).map((word) => word.toUpperCase());
  const aborts = options.includes("ABORT");
  if (
    options.some((option) => !shutdownOptions.has(option)) ||
    (aborts && options.length > 1) ||
    (options.includes("SAVE") && options.includes("NOSAVE"))
  ) {
    session.reply.error(syntaxError);
  } else if (aborts) {
    session.reply.error("ERR No shutdown in progress.");
  } else {
    session.closing = true;
    host.shutdown();
  }
};

export const introspectionHandlers: Handlers = {
  ...commandHandlers,
  info,
  "config|get": configGet,
  "config|set": configSet,
  time,
  shutdown,
  help,
  "command|help": containerHelp("command"),
  "client|help": containerHelp("client"),
  "config|help": containerHelp("config"),
  "object|help": containerHelp("object"),
  "memory|help": containerHelp("memory"),
};
