/**
 * The cluster that `--chaos` starts for itself, as `npm start` does: a temporary directory, free ports, one process per
 * peer. Whatever becomes of this process, nothing of it stays (see Stage).
 */
import type { HostPort } from "../../server/settings.ts";
import { ChorusSystem } from "../bench/chorus-system.ts";
import { serverAt } from "../bench/servers.ts";
import { Stage } from "../bench/stage.ts";
import { until } from "../bench/wait.ts";
import type { Targets } from "./targets.ts";

/** How clients reach the cluster. */
export const ways = ["resp", "ws", "http"] as const;
export type Way = (typeof ways)[number];

const returnMsMax = 60_000;

export class OwnCluster {
  readonly #stage: Stage;
  readonly #system: ChorusSystem;

  private constructor(stage: Stage, system: ChorusSystem) {
    this.#stage = stage;
    this.#system = system;
  }

  static async start(stage: Stage, { peers, flags }: { readonly peers: number; readonly flags: Flags }) {
    return new OwnCluster(stage, await ChorusSystem.start(stage, { count: peers, flags }));
  }

  get directory(): string {
    return this.#stage.directory;
  }

  get httpAddresses(): readonly HostPort[] {
    return this.#system.servers.map(({ httpPort }) => ({ host: "127.0.0.1", port: httpPort }));
  }

  targets(way: Way): Targets {
    const addresses = this.#system.servers.map(({ tcpPort, httpPort }) => ({
      host: "127.0.0.1",
      port: way === "resp" ? tcpPort : httpPort,
    }));
    return { protocol: way, addresses, password: undefined };
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

  stop(): Promise<void> {
    return this.#system.stop();
  }
}

type Flags = Parameters<typeof ChorusSystem.start>[1]["flags"] & {};

export const openStage = (keep: boolean): Stage => new Stage({ keep, prefix: "chorus-load-", exitOnSignals: false });
