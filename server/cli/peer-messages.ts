/**
 * How the process of a peer or a gateway says that it serves, to people and programs: a line on standard output, and, to a parent that
 * opened an IPC channel, a message.
 */
import { type HostPort, hostPortToText } from "../settings.ts";

export type PeerMessage =
  | { readonly type: "ready"; readonly tcpPort: number; readonly httpPort: number }
  | { readonly type: "failed"; readonly message: string };

export const parsePeerMessage = (message: unknown): PeerMessage | undefined => {
  if (typeof message !== "object" || message === null || !("type" in message)) return undefined;
  if (message.type === "failed" && "message" in message && typeof message.message === "string")
    return { type: "failed", message: message.message };
  if (message.type !== "ready" || !("tcpPort" in message) || !("httpPort" in message)) return undefined;
  const { tcpPort, httpPort } = message;
  return typeof tcpPort === "number" && typeof httpPort === "number" ? { type: "ready", tcpPort, httpPort } : undefined;
};

/** `ready: peer b  tcp 127.0.0.1:5002  http 127.0.0.1:6002  pid 4711` */
export const readyLine = (service: {
  /** `peer b`, `gateway`. */
  what: string;
  bind: string;
  tcpPort: number;
  httpPort: number;
  pid: number;
}): string => {
  const address = (port: number): string => hostPortToText({ host: service.bind, port } satisfies HostPort);
  // A gateway may balance no TCP.
  const tcp = service.tcpPort === 0 ? "" : `  tcp ${address(service.tcpPort)}`;
  return `ready: ${service.what}${tcp}  http ${address(service.httpPort)}  pid ${service.pid}`;
};
