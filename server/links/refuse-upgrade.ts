/** Answers an HTTP upgrade with a plain HTTP error and closes the socket. */
import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";

/** `message`: printable ASCII. */
export const refuseUpgrade = (socket: Duplex, status: number, message: string): void => {
  const body = `${JSON.stringify({ error: { status, message } })}\n`;
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
    "Connection: close",
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  // Destroyed once written: a client that never closes its side would otherwise stay.
  socket.once("finish", () => socket.destroy());
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
};
