/** CLIENT: the connections of this peer, as lines in Redis's format. */
import { clientNameBytesMax } from "../../protocol/limits.ts";
import type { Context, Handler, Handlers } from "./context.ts";
import { quoted, syntaxError } from "./errors.ts";
import { parseInteger } from "./numbers.ts";
import type { Session } from "./session.ts";

// ---- Names ------------------------------------------------------------------------------------------------------------

/** No spaces and no control characters: a name is one field of a CLIENT LIST line. Empty takes the name away. */
export const isClientName = (name: string): boolean => name.length <= clientNameBytesMax && /^[!-~]*$/.test(name);

export const nameRefusal = (what: string): string =>
  `ERR ${what} cannot contain spaces, newlines or special characters.`;

const setname: Handler = (session, words) => {
  if (!isClientName(words[2])) {
    session.reply.error(nameRefusal("Client names"));
    return;
  }
  session.name = words[2];
  session.reply.simple("OK");
};

const getname: Handler = (session) => {
  if (session.name === "") session.reply.nil();
  else session.reply.bulk(session.name);
};

const setinfo: Handler = (session, words) => {
  const option = words[2].toLowerCase();
  const value = words[3];
  if (option !== "lib-name" && option !== "lib-ver") {
    session.reply.error(`ERR Unrecognized option ${quoted(words[2])}`);
  } else if (!isClientName(value)) {
    session.reply.error(nameRefusal(option));
  } else {
    if (option === "lib-name") session.libraryName = value;
    else session.libraryVersion = value;
    session.reply.simple("OK");
  }
};

// ---- Lines ------------------------------------------------------------------------------------------------------------

const seconds = (ms: number): number => Math.max(0, Math.floor(ms / 1000));

/** Fields that only a Redis has stand at their resting values: tools parse the line by name. */
const clientLine = (session: Session, { host }: Context, nowMs: number): string => {
  const flags =
    (host.monitors.has(session) ? "O" : "") +
    (session.subscriber === undefined ? "" : "P") +
    (session.queue === undefined ? "" : "x");
  const fields: readonly (readonly [string, string | number])[] = [
    ["id", session.id],
    ["addr", session.address],
    ["laddr", session.localAddress],
    ["fd", session.id],
    ["name", session.name],
    ["age", seconds(nowMs - session.connectedAtMs)],
    ["idle", seconds(nowMs - session.lastCommandAtMs)],
    ["flags", flags === "" ? "N" : flags],
    ["db", 0],
    ["sub", session.subscriber?.channels.size ?? 0],
    ["psub", session.subscriber?.patterns.size ?? 0],
    ["ssub", 0],
    ["multi", session.queue === undefined ? -1 : session.queue.length],
    ["watch", session.watched?.size ?? 0],
    ["qbuf", session.queuedInputBytes],
    ["qbuf-free", 0],
    ["argv-mem", 0],
    ["multi-mem", 0],
    ["rbs", 0],
    ["rbp", 0],
    ["obl", session.queuedOutputBytes],
    ["oll", 0],
    ["omem", session.queuedOutputBytes],
    ["tot-mem", session.queuedInputBytes + session.queuedOutputBytes],
    ["events", "r"],
    ["cmd", session.lastCommand === "" ? "NULL" : session.lastCommand],
    ["user", session.authenticated ? "default" : "(none)"],
    ["redir", -1],
    ["resp", session.reply.protocol === 3 ? 3 : 2],
    ["lib-name", session.libraryName],
    ["lib-ver", session.libraryVersion],
  ];
  return fields.map(([name, value]) => `${name}=${value}`).join(" ");
};

const info: Handler = (session, _words, context) =>
  session.reply.verbatim(`${clientLine(session, context, context.host.wallMs())}\n`);

const clientTypes: ReadonlySet<string> = new Set(["normal", "master", "replica", "slave", "pubsub"]);

const unknownType = (text: string): string => `ERR Unknown client type ${quoted(text)}`;

/** As Redis sorts connections, which all are one of two here. */
const typeOf = (session: Session): string => (session.subscriber === undefined ? "normal" : "pubsub");

const list: Handler = (session, words, context) => {
  const { host } = context;
  let sessions: readonly Session[];
  const option = words.length > 2 ? words[2].toUpperCase() : "";
  if (words.length === 2) {
    sessions = [...host.sessions()];
  } else if (option === "TYPE" && words.length === 4) {
    const type = words[3].toLowerCase();
    if (!clientTypes.has(type)) {
      session.reply.error(unknownType(words[3]));
      return;
    }
    sessions = [...host.sessions()].filter((other) => typeOf(other) === type);
  } else if (option === "ID" && words.length > 3) {
    const found = new Set<Session>();
    for (const word of words.slice(3)) {
      const id = parseInteger(word);
      if (id === undefined || id < 1) {
        session.reply.error("ERR Invalid client ID");
        return;
      }
      const other = host.session(Number(id));
      if (other !== undefined) found.add(other);
    }
    sessions = [...found];
  } else {
    session.reply.error(syntaxError);
    return;
  }
  const nowMs = host.wallMs();
  session.reply.verbatim(sessions.map((other) => `${clientLine(other, context, nowMs)}\n`).join(""));
};

// ---- KILL -------------------------------------------------------------------------------------------------------------

/** Ends this connection behind the reply, another one at once. */
const end = (target: Session, self: Session, context: Context): void => {
  if (target === self) self.closing = true;
  else context.host.kill(target);
};

const killAddress = (session: Session, address: string, context: Context): void => {
  for (const target of context.host.sessions()) {
    if (target.address === address) {
      session.reply.simple("OK");
      end(target, session, context);
      return;
    }
  }
  session.reply.error("ERR No such client");
};

interface KillFilter {
  id?: number;
  address?: string;
  localAddress?: string;
  user?: string;
  type?: string;
  skipsSelf: boolean;
}

/** A string is the error line. */
const parseKillFilter = (words: readonly string[]): KillFilter | string => {
  const filter: KillFilter = { skipsSelf: true };
  for (let at = 2; at < words.length; at += 2) {
    const option = words[at]?.toUpperCase();
    const value = words[at + 1];
    if (value === undefined) return syntaxError;
    if (option === "ID") {
      const id = parseInteger(value);
      if (id === undefined || id < 1) return "ERR client-id should be greater than 0";
      filter.id = Number(id);
    } else if (option === "TYPE") {
      if (!clientTypes.has(value.toLowerCase())) return unknownType(value);
      filter.type = value.toLowerCase();
    } else if (option === "USER") {
      if (value !== "default") return `ERR No such user ${quoted(value)}`;
      filter.user = value;
    } else if (option === "ADDR") {
      filter.address = value;
    } else if (option === "LADDR") {
      filter.localAddress = value;
    } else if (option === "SKIPME" && /^(yes|no)$/i.test(value)) {
      filter.skipsSelf = value.toLowerCase() === "yes";
    } else {
      return syntaxError;
    }
  }
  return filter;
};

const isMeant = (target: Session, filter: KillFilter): boolean =>
  (filter.id === undefined || target.id === filter.id) &&
  (filter.address === undefined || target.address === filter.address) &&
  (filter.localAddress === undefined || target.localAddress === filter.localAddress) &&
  (filter.user === undefined || target.authenticated) &&
  (filter.type === undefined || filter.type === typeOf(target));

const kill: Handler = (session, words, context) => {
  if (words.length === 3) {
    killAddress(session, words[2], context);
    return;
  }
  const filter = parseKillFilter(words);
  if (typeof filter === "string") {
    session.reply.error(filter);
    return;
  }
  const targets = [...context.host.sessions()].filter(
    (target) => isMeant(target, filter) && !(filter.skipsSelf && target === session),
  );
  session.reply.integer(targets.length);
  for (const target of targets) end(target, session, context);
};

// ---- Switches ---------------------------------------------------------------------------------------------------------

const switchWith =
  (flip: (session: Session, on: boolean) => void): Handler =>
  (session, words) => {
    const state = words[2].toLowerCase();
    if (state !== "on" && state !== "off") {
      session.reply.error(syntaxError);
      return;
    }
    flip(session, state === "on");
    session.reply.simple("OK");
  };

export const clientHandlers: Handlers = {
  "client|id": (session) => session.reply.integer(session.id),
  "client|info": info,
  "client|list": list,
  "client|setname": setname,
  "client|getname": getname,
  "client|setinfo": setinfo,
  "client|kill": kill,
  "client|no-evict": switchWith((session, on) => {
    session.noEvict = on;
  }),
  "client|no-touch": switchWith((session, on) => {
    session.noTouch = on;
  }),
};
