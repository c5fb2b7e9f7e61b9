/** A gateway in the test's own process, before real peers or none, and an HTTP client that keeps its connections. */
import { Agent, type IncomingHttpHeaders, request } from "node:http";
import type { TestContext } from "node:test";
import { pino } from "pino";
import type { GatewayStatus } from "../../protocol/gateway-status.ts";
import { type GatewayConfig, loadGatewayConfig } from "../../server/gateway/config.ts";
import { type RunningGateway, runGateway } from "../../server/gateway/gateway.ts";
import { until } from "../support/processes.ts";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export class GatewayForTest {
  readonly gateway: RunningGateway;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });

  constructor(gateway: RunningGateway) {
    this.gateway = gateway;
  }

  get tcpPort(): number {
    return this.gateway.tcpPort;
  }

  get httpPort(): number {
    return this.gateway.httpPort;
  }

  http(
    method: string,
    path: string,
    options: { readonly body?: string; readonly headers?: Readonly<Record<string, string>> } = {},
  ): Promise<Answer> {
    const { body, headers = {} } = options;
    return new Promise((resolve, reject) => {
      const asked = request(
        { host: "127.0.0.1", port: this.httpPort, method, path, headers, agent: this.#agent, timeout: 20_000 },
        (response) => {
          let text = "";
          response.setEncoding("latin1").on("data", (chunk: string) => {
            text += chunk;
          });
          response.on("end", () =>
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
          );
          response.on("error", reject);
        },
      );
      asked.on("error", reject);
      asked.on("timeout", () => asked.destroy(new Error("no answer in 20 s")));
      asked.end(body);
    });
  }

  async status(): Promise<GatewayStatus> {
    return JSON.parse((await this.http("GET", "/status")).body) as GatewayStatus;
  }

  /** Exactly these peers take calls, and the cache, if there is one, is trusted. */
  async up(...names: readonly string[]): Promise<void> {
    let states = "";
    await until(`up: ${names.join(", ")}`, async () => {
      const { peers, gateway } = await this.status();
      states = peers.map(({ name, state, why }) => `${name} ${state} ${why}`).join("; ");
      const up = peers.filter(({ state }) => state === "up" || state === "slow-start").map(({ name }) => name);
      return up.sort().join() === [...names].sort().join() && gateway.cache?.trusted !== false;
    }).catch((error: unknown) => {
      throw new Error(`${String(error)} (${states})`);
    });
  }

  async end(): Promise<void> {
    this.#agent.destroy();
    await this.gateway.close();
  }
}

/** `peers`: their HTTP ports. Closed when the test ends, if it is not by then. */
export const startGateway = async (
  t: TestContext,
  peers: readonly number[],
  flags: Readonly<Record<string, unknown>> = {},
  farewellMs = 0,
): Promise<GatewayForTest> => {
  const list = peers.map((port) => `127.0.0.1:${port}`).join(",");
  const config: GatewayConfig = loadGatewayConfig({
    flags: { peers: list, http: "0", tcp: "0", drain: "300", ...flags },
    env: {},
  }).config;
  const gateway = new GatewayForTest(await runGateway(config, { logger: pino({ level: "silent" }), farewellMs }));
  t.after(() => gateway.end());
  return gateway;
};
