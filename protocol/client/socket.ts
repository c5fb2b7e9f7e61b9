/**
 * A WebSocket of text messages, by what the platform has: `ws` under Node, the built-in one in a browser.
 *
 * Under Node it is always `ws`, though later versions have a built-in one: only `ws` can ping, be cut without waiting for
 * the other end, and bound a message. It is imported when first needed, so that a bundle for browsers, where `ws` is an
 * empty shell, never runs it.
 */
import { clientReceivedBytesMax } from "../limits.ts";

export interface SocketEvents {
  readonly onText: (text: string) => void;
  /** The other end answered a ping: it is alive. Never called in a browser. */
  readonly onPong: () => void;
  /** Once; nothing comes after it. `why` is for people. */
  readonly onEnd: (why: string) => void;
}

export interface Socket {
  send(text: string): void;
  /** Undefined where the platform cannot: then ask something. */
  readonly ping: (() => void) | undefined;
  /** Bytes given to `send` that are not in the operating system's hands. */
  readonly bufferedBytes: number;
  /** Bytes that came, of whole messages or not; 0 where the platform does not tell. */
  readonly receivedBytes: number;
  /** At once, without waiting for the other end. No event comes any more. */
  cut(): void;
  /** The same with good manners: resolves when the other end has agreed, or was too slow about it. */
  close(): Promise<void>;
}

/** What the other end gets to answer a close. */
const closeMsMax = 500;

/** As much of a browser's WebSocket as we use; TypeScript's DOM library is not ours to ask for. */
interface BrowserSocket {
  readonly bufferedAmount: number;
  readonly readyState: number;
  onopen: (() => void) | null;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null;
  onerror: (() => void) | null;
  send(text: string): void;
  close(code?: number): void;
}

const runtime = globalThis as {
  readonly WebSocket?: new (url: string) => BrowserSocket;
  readonly process?: { readonly versions?: { readonly node?: string } };
};

/** Resolves when open; rejects with an Error for people. An abort cuts it, before and while opening. */
export const openSocket = async (url: string, events: SocketEvents, signal: AbortSignal): Promise<Socket> => {
  const isNode = runtime.process?.versions?.node !== undefined;
  if (!isNode && runtime.WebSocket !== undefined) return await openBuiltIn(runtime.WebSocket, url, events, signal);
  return await openWs(url, events, signal);
};

const openWs = async (url: string, events: SocketEvents, signal: AbortSignal): Promise<Socket> => {
  const { default: WebSocket } = await import("ws");
  signal.throwIfAborted();
  const socket = new WebSocket(url, { perMessageDeflate: false, maxPayload: clientReceivedBytesMax });
  // ws emits an error for whatever ends it early; the close that follows is where we look.
  let failure: Error | undefined;
  socket.on("error", (error) => {
    failure ??= error;
  });
  let wire: { readonly bytesRead: number; cork(): void; uncork(): void } | undefined;
  socket.on("upgrade", (response) => {
    wire = response.socket;
  });
  let isCut = false;
  const cut = (): void => {
    isCut = true;
    socket.terminate();
  };
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => {
      cut();
      reject(new Error("given up"));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    socket.on("open", () => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    });
    socket.on("close", (code, reason) => {
      signal.removeEventListener("abort", onAbort);
      const why = failure?.message ?? (reason.toString() || (code === 1006 ? "connection lost" : `closed (${code})`));
      reject(new Error(why));
      if (!isCut) events.onEnd(why);
    });
    socket.on("message", (data, isBinary) => {
      if (isCut) return;
      if (!isBinary) return events.onText(data.toString());
      cut();
      events.onEnd("it sent a binary message");
    });
    socket.on("pong", () => {
      if (!isCut) events.onPong();
    });
  });
  // What is sent within one turn of the event loop goes out together: a system call for many messages rather than each.
  let isCorked = false;
  const uncork = (): void => {
    isCorked = false;
    wire?.uncork();
  };
  return {
    send: (text) => {
      if (socket.readyState !== socket.OPEN) return;
      if (!isCorked && wire !== undefined) {
        isCorked = true;
        wire.cork();
        setImmediate(uncork);
      }
      socket.send(text);
    },
    ping: () => {
      if (socket.readyState === socket.OPEN) socket.ping();
    },
    get bufferedBytes() {
      return socket.bufferedAmount;
    },
    get receivedBytes() {
      return wire?.bytesRead ?? 0;
    },
    cut,
    close: () =>
      new Promise((resolve) => {
        isCut = true;
        if (socket.readyState === socket.CLOSED) return resolve();
        const impatience = setTimeout(() => socket.terminate(), closeMsMax);
        socket.on("close", () => {
          clearTimeout(impatience);
          resolve();
        });
        socket.close(1000);
      }),
  };
};

const openBuiltIn = async (
  WebSocket: new (url: string) => BrowserSocket,
  url: string,
  events: SocketEvents,
  signal: AbortSignal,
): Promise<Socket> => {
  signal.throwIfAborted();
  const socket = new WebSocket(url);
  let isCut = false;
  const cut = (): void => {
    isCut = true;
    // It waits for the other end in the background, at most until the browser loses patience.
    socket.close();
  };
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => {
      cut();
      reject(new Error("given up"));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    socket.onopen = () => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    };
    // A browser says nothing about why; the close that follows says little more.
    socket.onerror = () => undefined;
    socket.onclose = ({ code, reason }) => {
      signal.removeEventListener("abort", onAbort);
      const why = reason || (code === 1006 ? "connection lost or refused" : `closed (${code})`);
      reject(new Error(why));
      if (!isCut) events.onEnd(why);
    };
    socket.onmessage = ({ data }) => {
      if (isCut) return;
      if (typeof data === "string") return events.onText(data);
      cut();
      events.onEnd("it sent a binary message");
    };
  });
  const open = 1;
  return {
    send: (text) => {
      if (socket.readyState === open) socket.send(text);
    },
    ping: undefined,
    get bufferedBytes() {
      return socket.bufferedAmount;
    },
    receivedBytes: 0,
    cut,
    close: async () => cut(),
  };
};
