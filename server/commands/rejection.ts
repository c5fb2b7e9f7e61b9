/** What the peer could not do for a waiting command, told to the client. */
import type { Session } from "./session.ts";

const errorLine = /^[A-Z][A-Z0-9]+ /;

/**
 * The host rejects with an Error whose message is a Redis error line (`NOPEER no link to c`). Anything else is a bug of
 * ours: it goes on to whoever runs the command.
 */
export const replyRejection = (session: Session, failure: unknown): void => {
  if (!(failure instanceof Error) || !errorLine.test(failure.message)) throw failure;
  session.reply.error(failure.message);
};
