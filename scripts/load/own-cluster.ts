/**
 * The cluster that `--chaos` starts for itself, as `npm start` does: a temporary directory, free ports, one process per
 * peer. Whatever becomes of this process, nothing of it stays (see Stage).
 */
import { join } from "node:path";
import { statusMsMax } from "../../protocol/limits.ts";
import { type PeerProcess, startPeerProcess } from "../../server/cli/cluster/peer-process.ts";
import { CommandFailure } from "../../server/cli/failure.ts";
import { httpGet } from "../../server/cli/http-get.ts";
import { type HostPort, hostPortToText } from "../../server/settings.ts";
import { ChorusSystem, projectRoot } from "../bench/chorus-system.ts";
import { serverAt } from "../bench/servers.ts";
import { Stage } from "../bench/stage.ts";
import { until } from "../bench/wait.ts";
import type { Targets } from "./targets.ts";

/** How clients reach the cluster: `gateway` by HTTP, `gateway-tcp` by the Redis protocol; the others go to the peers. */
export const ways = ["gateway", "gateway-tcp", "resp", "ws", "http"] as const;
export type Way = (typeof ways)[number];

const returnMsMax = 60_000;

export class OwnCluster {
  readonly #stage: Stage;
  readonly #system: ChorusSystem;
  #gateway: Gateway | undefined;

  private constructor(stage: Stage, system: ChorusSystem) {
    this.#stage = stage;
    this.#system = system;
  }

  /** Resolves when all that is needed takes reads and writes. */
  static async start(
    stage: Stage,
    { peers, flags, way }: { readonly peers: number; readonly flags: Flags; readonly way: Way },
  ): Promise<OwnCluster> {
    const cluster = new OwnCluster(stage, await ChorusSystem.start(stage, { count: peers, flags }));
    try {
      if (way === "gateway" || way === "gateway-tcp")
        cluster.#gateway = await startGateway(stage, cluster.httpAddresses);
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  get directory(): string {
    return this.#stage.directory;
  }

  get httpAddresses(): readonly HostPort[] {
    return this.#system.servers.map(({ httpPort }) => ({ host: "127.0.0.1", port: httpPort }));
  }

  targets(way: Way): Targets {
    const gateway = this.#gateway;
    if (gateway !== undefined) {
      const isHttp = way === "gateway";
      const port = isHttp ? gateway.httpPort : gateway.tcpPort;
      return { protocol: isHttp ? "http" : "resp", addresses: [{ host: "127.0.0.1", port }], password: undefined };
    }
    const addresses = this.#system.servers.map(({ tcpPort, httpPort }) => ({
      host: "127.0.0.1",
      port: way === "resp" ? tcpPort : httpPort,
    }));
    return { protocol: way === "ws" || way === "http" ? way : "resp", addresses, password: undefined };
  }

  nameOf(index: number): string {
    return serverAt(this.#system, index).name;
  }

  kill(index: number): Promise<void> {
    return serverAt(this.#system, index).end("SIGKILL");
  }

  /** Resolves when it takes reads and writes again. */
  async restart(index: number): Promise<void> {
    const server = this.#system.servers[index];
    if (server === undefined) return;
    server.spawn();
    await until(`peer ${server.name} is back`, () => server.isReady(), { timeoutMs: returnMsMax, intervalMs: 20 });
  }

  /** What ended though nobody asked it to. */
  failures(): string[] {
    return this.#system.servers.flatMap(({ name, failure }) =>
      failure === undefined ? [] : `peer ${name}: ${failure}`,
    );
  }

  async stop(): Promise<void> {
    await Promise.all([this.#gateway?.kill(), this.#system.stop()]);
  }
}

interface Gateway {
  readonly httpPort: number;
  readonly tcpPort: number;
  /** Why it ended though nobody asked it to. */
  readonly failure: string | undefined;
  kill(): Promise<void>;
}

const gatewayMsMax = 30_000;

const startGateway = async (stage: Stage, peers: readonly HostPort[]): Promise<Gateway> => {
  const given = ["--peers", peers.map(hostPortToText).join(","), "--http", "0", "--tcp", "0", "--log-format", "json"];
  const logFile = join(stage.makeDirectory("gateway"), "gateway.log");
  const running: PeerProcess = startPeerProcess(
    { name: "gateway", tcpPort: 0, httpPort: 0, logFile, arguments: given },
    {
      command: [join(projectRoot, "dist/server/main.js"), "gateway"],
      env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(CHORUS_|npm_)/.test(name))),
      extraArguments: [],
    },
  );
  stage.began(running.pid);
  let isEnding = false;
  let failure: string | undefined;
  const ended = running.ended.then(({ code, signal, lastWords }) => {
    stage.ended(running.pid);
    if (!isEnding) failure = signal === null ? lastWords || `exit code ${code}` : `signal ${signal}`;
  });
  const kill = async (): Promise<void> => {
    isEnding = true;
    running.signal("SIGKILL");
    await ended;
  };
  const ports = await running.serving;
  if (ports === undefined) throw new CommandFailure(`the gateway did not start: ${(await running.ended).lastWords}`);
  const at = { host: "127.0.0.1", port: ports.httpPort };
  const isReady = async (): Promise<boolean> =>
    (await httpGet(at, "/readyz", statusMsMax).catch(() => undefined))?.statusCode === 200;
  try {
    await until("the gateway is ready", isReady, { timeoutMs: gatewayMsMax });
  } catch (error) {
    await kill();
    throw error;
  }
  return {
    ...ports,
    kill,
    get failure() {
      return failure;
    },
  };
};

type Flags = Parameters<typeof ChorusSystem.start>[1]["flags"] & {};

export const openStage = (keep: boolean): Stage => new Stage({ keep, prefix: "chorus-load-", exitOnSignals: false });
