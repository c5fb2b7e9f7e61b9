/** A TCP connection for measuring: small writes leave at once, and a server that does not take it fails the figure. */
import { connect, type Socket } from "node:net";

export const openSocket = (port: number, timeoutMs = 5000, host = "127.0.0.1"): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect({ port, host, noDelay: true });
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no connection within ${timeoutMs / 1000} s`)));
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.setTimeout(0);
      socket.off("error", reject);
      resolve(socket);
    });
  });
