/** Requests as bytes: what is asked and answered over HTTP, without a client that knows better. */
import { once } from "node:events";
import { type IncomingHttpHeaders, request, type Server } from "node:http";
import { connect } from "node:net";
import type { TestContext } from "node:test";
import { closeHttpServer, createHttpServer, listenHttp } from "../../server/http.ts";
import type { KvBackend } from "../../server/web/kv-backend.ts";
import { KvRoutes, type KvRoutesOptions } from "../../server/web/kv-routes.ts";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
  readonly text: string;
}

export interface Asking {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer | string;
}

export const ask = (port: number, path: string, { method = "GET", headers = {}, body }: Asking = {}): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, path, method, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const bytes = Buffer.concat(chunks);
        resolve({ status: response.statusCode ?? 0, headers: response.headers, bytes, text: bytes.toString() });
      });
    });
    asked.on("error", reject);
    asked.end(body);
  });

/** `code` of a JSON error. */
export const codeOf = ({ text }: Answer): string =>
  (JSON.parse(text) as { readonly error: { readonly code: string } }).error.code;

/** Sends bytes as they are and gives all that comes until `enough` says so or the peer closes. */
export const talk = async (
  port: number,
  parts: readonly (string | Buffer)[],
  enough: (text: string) => boolean,
): Promise<string> => {
  const socket = connect(port, "127.0.0.1");
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    if (enough(text)) socket.end();
  });
  // A reset after the answer is the peer's right.
  socket.on("error", () => socket.destroy());
  await once(socket, "connect");
  for (const part of parts) socket.write(part);
  await once(socket, "close");
  return text;
};

export interface FakeWeb {
  readonly port: number;
  readonly server: Server;
  readonly errors: unknown[];
}

/** The whole HTTP port over a backend that a test made. */
export const serveBackend = async (
  context: TestContext,
  backend: KvBackend,
  options: Partial<KvRoutesOptions> & {
    readonly allowOrigins?: readonly string[];
    readonly status?: () => unknown;
  } = {},
): Promise<FakeWeb> => {
  const errors: unknown[] = [];
  const onError = (error: unknown): void => void errors.push(error);
  const routes = new KvRoutes({ backend, checkPassword: undefined, onError, ...options });
  const server = createHttpServer({
    source: { status: options.status ?? (() => ({})), checks: () => [] },
    upgrades: new Map(),
    routes,
    hosts: ["db1.example"],
    allowOrigins: options.allowOrigins ?? [],
    onError,
  });
  const { port } = await listenHttp(server, { host: "127.0.0.1", port: 0 });
  context.after(() => closeHttpServer(server, 0));
  return { port, server, errors };
};
