/** PING, HELLO, AUTH and the other commands about this connection; CLIENT is in clients.ts. */
import { redisVersionFollowed } from "../../protocol/commands.ts";
import { isClientName, nameRefusal } from "./clients.ts";
import type { Context, Handler, Handlers } from "./context.ts";
import { databaseOutOfRange, quoted, syntaxError, wrongArity, wrongPassword } from "./errors.ts";
import { parseInt32, parseInteger } from "./numbers.ts";
import { stopListening } from "./pubsub.ts";
import type { Session } from "./session.ts";
import { discardTransaction } from "./transactions.ts";

const ping: Handler = (session, words) => {
  if (session.subscriber !== undefined && session.reply.protocol !== 3 && words.length <= 2) {
    session.reply.array(2);
    session.reply.bulk("pong");
    session.reply.bulk(words.length === 2 ? words[1] : "");
  } else if (words.length === 1) session.reply.simple("PONG");
  else if (words.length === 2) session.reply.bulk(words[1]);
  else session.reply.error(wrongArity("ping"));
};

const echo: Handler = (session, words) => session.reply.bulk(words[1]);

const select: Handler = (session, words) => {
  const index = parseInt32(words[1]);
  if (typeof index === "string") session.reply.error(index);
  else if (index !== 0) session.reply.error(databaseOutOfRange);
  else session.reply.simple("OK");
};

const quit: Handler = (session) => {
  session.reply.simple("OK");
  session.closing = true;
};

const reset: Handler = (session, _words, { host }) => {
  discardTransaction(session);
  stopListening(session, host);
  session.name = "";
  session.noEvict = false;
  session.noTouch = false;
  session.authenticated = host.checkPassword === undefined;
  // Plain text has no version to go back to.
  if (session.reply.protocol === 3) session.setProtocol(2);
  session.reply.simple("RESET");
};

// ---- AUTH and HELLO ---------------------------------------------------------------------------------------------------

const defaultUser = "default";

/** Without a password the one user is let in with any. */
const logIn = (session: Session, context: Context, user: string, password: string): boolean => {
  const { checkPassword } = context.host;
  const right = checkPassword === undefined ? user === defaultUser : checkPassword(user, password);
  if (right) session.authenticated = true;
  return right;
};

const auth: Handler = (session, words, context) => {
  if (words.length > 3) {
    session.reply.error(syntaxError);
  } else if (words.length === 2 && context.host.checkPassword === undefined) {
    session.reply.error(
      "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
    );
  } else {
    const [user, password] = words.length === 2 ? [defaultUser, words[1]] : [words[1], words[2]];
    if (logIn(session, context, user, password)) session.reply.simple("OK");
    else session.reply.error(wrongPassword);
  }
};

const helloBeforeLogin =
  "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time";

/** The version asked for, undefined when none is. A string is the error line. */
const parseHelloVersion = (text: string | undefined): 2 | 3 | undefined | string => {
  if (text === undefined) return undefined;
  const version = parseInteger(text);
  if (version === undefined) return "ERR Protocol version is not an integer or out of range";
  return version === 2 || version === 3 ? version : "NOPROTO unsupported protocol version";
};

const hello: Handler = (session, words, context) => {
  const version = parseHelloVersion(words.length > 1 ? words[1] : undefined);
  if (typeof version === "string") {
    session.reply.error(version);
    return;
  }
  for (let at = 2; at < words.length; at += 1) {
    const option = words[at]?.toUpperCase();
    if (option === "AUTH" && at + 2 < words.length) {
      if (!logIn(session, context, words[at + 1] ?? "", words[at + 2] ?? "")) {
        session.reply.error(wrongPassword);
        return;
      }
      at += 2;
    } else if (option === "SETNAME" && at + 1 < words.length) {
      const name = words[at + 1] ?? "";
      if (!isClientName(name)) {
        session.reply.error(nameRefusal("Client names"));
        return;
      }
      session.name = name;
      at += 1;
    } else {
      session.reply.error(`ERR Syntax error in HELLO option ${quoted(words[at] ?? "")}`);
      return;
    }
  }
  if (!session.authenticated && context.host.checkPassword !== undefined) {
    session.reply.error(helloBeforeLogin);
    return;
  }
  if (version !== undefined) session.setProtocol(version);
  replyHello(session);
};

const replyHello = (session: Session): void => {
  const { reply } = session;
  reply.map(7);
  reply.bulk("server");
  reply.bulk("redis");
  reply.bulk("version");
  reply.bulk(redisVersionFollowed);
  reply.bulk("proto");
  reply.integer(reply.protocol === 3 ? 3 : 2);
  reply.bulk("id");
  reply.integer(session.id);
  reply.bulk("mode");
  reply.bulk("standalone");
  reply.bulk("role");
  reply.bulk("master");
  reply.bulk("modules");
  reply.array(0);
};

export const connectionHandlers: Handlers = { ping, echo, select, quit, reset, auth, hello };
