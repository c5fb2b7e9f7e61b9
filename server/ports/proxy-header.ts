/**
 * The PROXY header of connections from balancers that are trusted (`--proxy-protocol`): read before anything else, so that
 * the connection is the client's it names.
 *
 * Only of named addresses, and there always: a header that may or may not be there could be the client's own words, and
 * anybody could claim to be anybody.
 */
import type { Socket } from "node:net";
import { proxyHeaderMsMax } from "../../protocol/limits.ts";
import { type Endpoint, parseProxyHeader } from "../../protocol/proxy-protocol.ts";

/** `onHeader`: who the client is, undefined when the header names nobody. Neither is called when the socket ends before. */
export const readProxyHeader = (
  socket: Socket,
  onHeader: (client: Endpoint | undefined) => void,
  onRefused: (why: string) => void,
): void => {
  let received = "";
  const timer = setTimeout(() => refuse("no whole PROXY header in time"), proxyHeaderMsMax);
  timer.unref();
  const release = (): void => {
    clearTimeout(timer);
    socket.off("data", onData);
    socket.off("close", release);
    socket.off("end", onEnd);
    socket.off("error", ignore);
  };
  const refuse = (why: string): void => {
    release();
    socket.on("error", ignore);
    socket.destroy();
    onRefused(why);
  };
  const onEnd = (): void => refuse("it ended before its PROXY header");
  const onData = (chunk: Buffer): void => {
    received += chunk.toString("latin1");
    const header = parseProxyHeader(received);
    if (header.kind === "bad") return refuse(header.why);
    if (header.kind === "partial") return;
    release();
    // What came behind it is the client's, and is read by whoever listens next.
    socket.pause();
    const rest = received.slice(header.bytes);
    if (rest.length > 0) socket.unshift(Buffer.from(rest, "latin1"));
    onHeader(header.from);
    socket.resume();
  };
  socket.on("data", onData);
  socket.on("close", release);
  socket.on("end", onEnd);
  socket.on("error", ignore);
};

const ignore = (): void => {};
