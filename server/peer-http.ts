/**
 * What a peer offers on its HTTP port: which path leads to which part. The port is open before the parts are, so that a
 * peer that reads its data can say so; until then all of them but the reports answer LOADING.
 */
import type { Server } from "node:http";
import type { ClientPorts } from "./client-ports.ts";
import type { PeerConfig } from "./config.ts";
import { createHttpServer, type HttpSource } from "./http.ts";
import type { PeerLinks } from "./links/index.ts";
import { refuseUpgrade } from "./links/refuse-upgrade.ts";
import type { Logger } from "./logger.ts";
import { CountedRoutes } from "./metrics/counted-routes.ts";
import type { HttpCounts } from "./metrics/http-families.ts";
import { passwordCheckOf } from "./password-check.ts";
import { answerFailure } from "./web/answers.ts";
import { KvFailure } from "./web/kv-backend.ts";
import { KvRoutes } from "./web/kv-routes.ts";

export interface PeerHttpParts {
  readonly config: PeerConfig;
  readonly source: HttpSource;
  readonly counts: HttpCounts;
  readonly logger: Logger;
  /** Undefined while there are none. */
  readonly links: () => PeerLinks | undefined;
  /** Undefined while the data is read. */
  readonly ports: () => ClientPorts | undefined;
}

const readingData = new KvFailure("LOADING", "this peer is reading its data");

/** Not listening yet, see listenHttp. */
export const createPeerHttp = (parts: PeerHttpParts): Server => {
  const { config, source, counts, logger, links, ports } = parts;
  const onError = (error: unknown): void => logger.error({ err: error }, "HTTP request failed");
  return createHttpServer({
    source,
    upgrades: new Map([
      [
        "/peer",
        (request, socket, head) => {
          const open = links();
          if (open !== undefined) open.handleUpgrade(request, socket, head);
          else socket.destroy();
        },
      ],
      [
        "/client",
        (request, socket, head) => {
          const open = ports();
          if (open !== undefined) return open.sockets.handleUpgrade(request, socket, head);
          socket.on("error", () => socket.destroy());
          refuseUpgrade(socket, 503, readingData.message);
        },
      ],
    ]),
    routes: new CountedRoutes(
      new KvRoutes({
        backend: { call: (call) => ports()?.web.call(call) ?? Promise.reject(readingData) },
        checkPassword: passwordCheckOf(config.password),
        onError,
      }),
      counts,
    ),
    streams: new Map([
      [
        "/watch",
        (request, response) => {
          const open = ports();
          if (open !== undefined) open.watches.handle(request, response);
          else answerFailure(request, response, readingData);
        },
      ],
      [
        "/backup",
        (request, response) => {
          const open = ports();
          if (open !== undefined) open.backups.handle(request, response);
          else answerFailure(request, response, readingData);
        },
      ],
    ]),
    counts,
    pagePaths: new Set(["/client"]),
    allowOrigins: config.allowOrigins,
    hosts: [config.advertise.host, ...config.peers.map((peer) => peer.host)],
    onError,
  });
};
