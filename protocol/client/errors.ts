/** What a call of the client rejects with. */
import type { Outcome } from "../client-messages.ts";

/**
 * Codes the client itself makes. Beside them come those of the peer as they are: Redis's (`ERR`, `OOM`, `NOAUTH`,
 * `WRONGPASS`, `LOADING`, ...) and those of `/client` (`STALE`, `TOO_MANY`, ...). All are in docs/CLIENT.md.
 *
 *   UNREACHABLE        no peer took a connection in time
 *   TIMEOUT            no answer in time
 *   CONNECTION_LOST    the connection ended before the answer, and the call may not be sent twice
 *   CLOSED             close() was called
 *   ABORTED            the call's signal was aborted; its reason is the error's cause
 *   TOO_MANY           more calls wait here than limits.ts allows
 *   TOO_LARGE          a call longer than a peer takes
 *   NOT_TEXT           bytes that are not UTF-8 where text was asked for: ask `as: "bytes"`
 *   UNSAFE_INTEGER     an integer beyond 2^53 where a number was asked for: ask `as: "bigint"`
 *   STATEFUL           a command that changes the connection, which is not the caller's alone
 *   PROTOCOL           the peer speaks something else
 *   BAD_ARGUMENT       options that exclude each other, no key, and the like
 *   LOCK_LOST          the reason of a lock's signal: somebody else may have it
 */
export type ClientCode =
  | "UNREACHABLE"
  | "TIMEOUT"
  | "CONNECTION_LOST"
  | "CLOSED"
  | "ABORTED"
  | "TOO_MANY"
  | "TOO_LARGE"
  | "NOT_TEXT"
  | "UNSAFE_INTEGER"
  | "STATEFUL"
  | "PROTOCOL"
  | "BAD_ARGUMENT"
  | "LOCK_LOST";

/**
 * What peers say of strong keys alone, after the client has tried elsewhere for as long as the call had time:
 *
 *   NOQUORUM   no majority answers
 *   UNKNOWN    a majority was asked, and did not answer in time: it may have happened, or may still
 *   BUSY       too many operations wait there
 *   FENCED     the key was written under a higher token of that lock
 *   NOTKEPT    it was sent again, and had happened; its answer was too long to be kept for that
 */
export type StrongCode = "NOQUORUM" | "UNKNOWN" | "BUSY" | "FENCED" | "NOTKEPT";

/**
 * Every rejection of the client is one of these.
 *
 * `outcome` is what is known of a write: `not-applied`, it did not happen and may be sent again; `unknown`, it may have
 * happened, or may still. Reads change nothing, so theirs is always `not-applied`.
 */
export class ChorusError extends Error {
  readonly code: string;
  readonly outcome: Outcome;

  constructor(code: string, message: string, outcome: Outcome, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "ChorusError";
    this.code = code;
    this.outcome = outcome;
  }
}

/** Of a mistake or refusal before anything was sent. */
export const refused = (code: ClientCode, message: string, cause?: unknown): ChorusError =>
  new ChorusError(code, message, "not-applied", cause);
