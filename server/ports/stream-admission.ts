/**
 * Who may have a stream of this peer over HTTP (/watch, /backup), and when: those who know the password, while the peer
 * answers reads and is not about to stop.
 */
import type { IncomingMessage } from "node:http";
import { KvFailure } from "../web/kv-backend.ts";
import { authorizationChallenge, authorizationWanted, isAuthorized } from "./authorization.ts";

export interface StreamAdmission {
  /** Undefined when reads are answered; else the error line, such as `LOADING ...`. */
  readonly readRefusal: () => string | undefined;
  /** Undefined: no password is set. Compares in constant time. */
  readonly checkPassword: ((user: string, password: string) => boolean) | undefined;
}

export interface StreamRefusal {
  readonly code: string;
  readonly message: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Undefined: it may begin. */
export const streamRefusal = (
  request: IncomingMessage,
  { readRefusal, checkPassword }: StreamAdmission,
  isStopping: boolean,
): StreamRefusal | undefined => {
  // First: to a stranger the peer does not even say how it is.
  if (checkPassword !== undefined && !isAuthorized(request.headers.authorization, checkPassword))
    return { code: "NOAUTH", message: authorizationWanted, headers: authorizationChallenge };
  if (isStopping) return { code: "LOADING", message: "this peer is stopping" };
  const notNow = readRefusal();
  if (notNow === undefined) return undefined;
  const { code, message } = KvFailure.ofLine(notNow);
  return { code, message };
};
