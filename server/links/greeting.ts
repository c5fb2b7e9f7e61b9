/**
 * Runs one handshake over one WebSocket, and keeps the stranger at the other end within its means until it is over.
 *
 * The limit of a message is the server's for all its sockets (40 MiB, for frames), so before authentication the bytes of
 * the socket itself are counted: ws keeps what arrived and allocates nothing by a claimed length, so a stranger holds at
 * most handshakeBytesMax and the one read that went beyond it (64 KiB). Our listener for `data` comes after that of ws,
 * so a read that completes the handshake and already carries frames is not counted against it.
 */
import type { Socket } from "node:net";
import type { RawData, WebSocket } from "ws";
import { handshakeBytesMax, handshakeChunksMax, handshakeMessageBytesMax } from "../../protocol/limits.ts";
import type { Incarnation, PeerName } from "../../protocol/words.ts";
import type { Handshake, HandshakeStep, Refused } from "./handshake.ts";

export type GreetingResult =
  | { readonly type: "accepted"; readonly peer: PeerName; readonly incarnation: Incarnation }
  | { readonly type: "refused"; readonly refused: Refused }
  /** Closed, broken or too slow. */
  | { readonly type: "failed"; readonly peer: PeerName | undefined; readonly why: string };

export interface GreetingOptions {
  readonly ws: WebSocket;
  readonly socket: Socket;
  readonly handshake: Handshake;
  /** The dialer's hello. */
  readonly opening: string | undefined;
  readonly timeoutMs: number;
  /** Messages of this peer vanish in this direction: the fault seam. */
  readonly drops: (peer: PeerName, direction: "in" | "out") => boolean;
  /**
   * Called once, in the event that brought the last message: whoever listens to `message` from then on misses none.
   * Unless accepted, the socket is being closed.
   */
  readonly onEnd: (result: GreetingResult) => void;
}

export const greet = (options: GreetingOptions): void => {
  const { ws, socket, handshake } = options;
  let isOver = false;
  let isAccepted = false;
  let bytesHeard = 0;
  let chunksHeard = 0;

  const end = (result: GreetingResult): void => {
    if (isOver) return;
    isOver = true;
    isAccepted = result.type === "accepted";
    clearTimeout(timer);
    ws.off("message", onMessage);
    ws.off("close", onClose);
    ws.off("error", onError);
    // One that was not accepted is counted on until it is closed.
    if (isAccepted) socket.off("data", onData);
    options.onEnd(result);
  };
  const drops = (direction: "in" | "out"): boolean =>
    handshake.peer !== undefined && options.drops(handshake.peer, direction);
  const send = (text: string): void => {
    if (!drops("out")) ws.send(text);
  };

  const follow = (step: HandshakeStep): void => {
    if (step.send !== undefined) send(step.send);
    if (step.type === "accepted") end({ type: "accepted", peer: step.peer, incarnation: step.incarnation });
    if (step.type === "refused") {
      ws.close(1008, step.refused.code);
      end({ type: "refused", refused: step.refused });
    }
  };
  const onMessage = (data: RawData, isBinary: boolean): void => {
    // Never fragments or an ArrayBuffer: binaryType is left at its default.
    const bytes = data as Buffer;
    if (drops("in")) return;
    if (isBinary) return follow(handshake.refuse("BAD_MESSAGE", "binary message before authentication"));
    if (bytes.length > handshakeMessageBytesMax) {
      const message = `message of ${bytes.length} bytes before authentication, limit ${handshakeMessageBytesMax}`;
      return follow(handshake.refuse("BAD_MESSAGE", message));
    }
    const step = handshake.receive(bytes.toString("utf8"));
    // A listener learns from the hello who speaks, so only now can it tell that nothing may come from there.
    if (step.type === "continue" && drops("in")) return;
    follow(step);
  };
  const onData = (chunk: Buffer): void => {
    // Taking a listener away during an event does not keep it from this event.
    if (isAccepted) return;
    bytesHeard += chunk.length;
    chunksHeard += 1;
    if (bytesHeard <= handshakeBytesMax && chunksHeard <= handshakeChunksMax) return;
    socket.destroy();
    const refused = handshake.refuse("BAD_MESSAGE", `more than ${handshakeBytesMax} bytes before authentication`);
    if (refused.type === "refused") end({ type: "refused", refused: refused.refused });
  };
  const fail = (why: string): void => {
    ws.terminate();
    end({ type: "failed", peer: handshake.peer, why });
  };
  const onClose = (code: number): void => fail(`closed during the handshake (${code})`);
  const onError = (error: Error): void => {
    // What ws calls an error here is a frame that breaks RFC 6455 or a limit; it closes the socket with a code itself.
    end({ type: "failed", peer: handshake.peer, why: error.message });
  };
  const timer = setTimeout(() => fail(`no handshake within ${options.timeoutMs} ms`), options.timeoutMs);

  ws.on("message", onMessage);
  ws.on("close", onClose);
  ws.on("error", onError);
  socket.on("data", onData);
  if (options.opening !== undefined) send(options.opening);
};
