/** Servers of somebody else's program as one system: started together, and all killed where that fails. */
import type { ProgramServer } from "./program-server.ts";
import { checkServers, type System } from "./servers.ts";
import { until } from "./wait.ts";

const startMsMax = 60_000;

export abstract class ProgramSystem<One extends ProgramServer> implements System {
  abstract readonly name: System["name"];
  readonly servers: readonly One[];

  constructor(servers: readonly One[]) {
    this.servers = servers;
  }

  abstract isSettled(): Promise<boolean>;
  abstract isIdentical(): Promise<boolean>;

  /** Resolves with itself once it is settled; `what` says of the wait what that means here. */
  async started(what: string): Promise<this> {
    try {
      for (const server of this.servers) server.spawn();
      await until(what, () => this.isSettled(), { timeoutMs: startMsMax, check: () => checkServers(this) });
    } catch (error) {
      await this.stop();
      throw error;
    }
    return this;
  }

  /** There are none, or they are the program's own business: all is in its log. */
  checkpointed(): Promise<void> {
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.end("SIGKILL")));
  }
}
