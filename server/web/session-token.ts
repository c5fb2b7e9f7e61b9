/**
 * Sessions over HTTP: whoever wrote reads what it wrote, at whatever peer.
 *
 * A write is answered with a token, `X-Chorus-Session` and for browsers a cookie; the next request brings it back, and is
 * not answered by a peer that has not got so far. The token of a write is the write's own dot, `name.incarnation:seq`:
 * frames are applied only where their context is, so a peer that has that write has all the writer had seen, its earlier
 * tokens included. What only read and had a token gets one of all it may have seen.
 */
import type { IncomingMessage } from "node:http";
import { sessionCookieSeconds, sessionTokenBytesMax } from "../../protocol/limits.ts";
import { parsePosition } from "../../protocol/position.ts";

const headerName = "x-chorus-session";
export const sessionHeader = "X-Chorus-Session";
const cookiePattern = /(?:^|;) *chorus-session=([^; ]*)/;

/** "" without a session; undefined when the header is no token. A cookie that is none may be another program's. */
export const sessionOf = ({ headers }: IncomingMessage): string | undefined => {
  const given = headers[headerName];
  if (given !== undefined) return typeof given === "string" && parsePosition(given) !== undefined ? given : undefined;
  const { cookie } = headers;
  if (cookie === undefined) return "";
  const kept = cookiePattern.exec(cookie)?.[1] ?? "";
  return parsePosition(kept) === undefined ? "" : kept;
};

/** Of a write that the run `run` made, answered at `position`. Undefined: that run wrote nothing yet. */
export const writeToken = (position: string, run: string): string | undefined => {
  const start = `${run}:`;
  // Positions are sorted and an origin has no comma: found at the start or behind one.
  const at = position.startsWith(start) ? 0 : position.indexOf(`,${start}`) + 1;
  if (at === 0 && !position.startsWith(start)) return undefined;
  const end = position.indexOf(",", at);
  return end < 0 ? position.slice(at) : position.slice(at, end);
};

/** Of a read that came with a session. */
export const readToken = (position: string, before: string): string =>
  position.length <= sessionTokenBytesMax ? position : before;

/** Short-lived: by then every peer that is there has the write. A page of another site does not send it. */
export const sessionCookie = (token: string): string =>
  `chorus-session=${token}; Path=/; Max-Age=${sessionCookieSeconds}; HttpOnly; SameSite=Strict`;
