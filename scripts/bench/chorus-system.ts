/** Chorus as `npm start` would run it: the same plan, the same processes, each peer to be killed on its own. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { statusMsMax } from "../../protocol/limits.ts";
import { parseStatus, type StatusReport } from "../../protocol/status.ts";
import { type PeerEnd, type PeerProcess, startPeerProcess } from "../../server/cli/cluster/peer-process.ts";
import { type ClusterOptions, type ClusterPlan, type PlannedPeer, planCluster } from "../../server/cli/cluster/plan.ts";
import { httpGet } from "../../server/cli/http-get.ts";
import { verdictOf } from "../../server/cli/verdict.ts";
import { checkServers, type Server, type System, withFreePorts } from "./servers.ts";
import type { Stage } from "./stage.ts";
import { until } from "./wait.ts";

const startMsMax = 60_000;

/** The package's directory, from the sources and from dist/. */
export const projectRoot = ((): string => {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, "package.json"))) directory = dirname(directory);
  return directory;
})();

export class ChorusServer implements Server {
  readonly #stage: Stage;
  readonly #plan: ClusterPlan;
  readonly #planned: PlannedPeer;
  readonly #kind: "peer" | "gateway";
  #process: PeerProcess | undefined;
  #ending = false;
  failure: string | undefined;

  constructor(stage: Stage, plan: ClusterPlan, planned: PlannedPeer, kind: "peer" | "gateway" = "peer") {
    this.#stage = stage;
    this.#plan = plan;
    this.#planned = planned;
    this.#kind = kind;
  }

  get name(): string {
    return this.#planned.name;
  }

  get tcpPort(): number {
    return this.#planned.tcpPort;
  }

  get httpPort(): number {
    return this.#planned.httpPort;
  }

  get dataDirectory(): string {
    return this.#planned.dataDirectory;
  }

  get logFile(): string {
    return this.#planned.logFile;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  spawn({ bootstrap = false } = {}): void {
    if (this.#process !== undefined) throw new Error(`peer ${this.name} runs already`);
    const running = startPeerProcess(this.#planned, {
      command: [`--max-old-space-size=${this.#plan.heapMb}`, join(projectRoot, "dist/server/main.js"), this.#kind],
      env: this.#plan.env,
      extraArguments: bootstrap ? ["--bootstrap"] : [],
    });
    this.#process = running;
    this.#ending = false;
    this.#stage.began(running.pid);
    running.ended.then((end) => this.#onEnd(running.pid, end)).catch(() => undefined);
  }

  #onEnd(pid: number, { code, signal, lastWords }: PeerEnd): void {
    this.#stage.ended(pid);
    this.#process = undefined;
    if (!this.#ending) this.failure = signal === null ? lastWords || `exit code ${code}` : `signal ${signal}`;
  }

  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const running = this.#process;
    if (running === undefined) return;
    this.#ending = true;
    running.signal(signal);
    await running.ended;
  }

  async isReady(): Promise<boolean> {
    try {
      return (await httpGet(this.#address, "/readyz", statusMsMax)).statusCode === 200;
    } catch {
      return false;
    }
  }

  /** Undefined while it does not answer. */
  async status(): Promise<StatusReport | undefined> {
    try {
      const parsed = parseStatus(JSON.parse((await httpGet(this.#address, "/status", statusMsMax)).body));
      return parsed.ok ? parsed.status : undefined;
    } catch {
      return undefined;
    }
  }

  get #address(): { readonly host: string; readonly port: number } {
    return { host: this.#plan.host, port: this.#planned.httpPort };
  }

  /** What it logged since then, oldest first. Times are of the wall clock. */
  loggedSince(unixMs: number): readonly LoggedEvent[] {
    return readFileSync(this.logFile, "utf8")
      .split("\n")
      .flatMap(parseLogLine)
      .filter((event) => event.atMs >= unixMs);
  }
}

export interface LoggedEvent {
  readonly atMs: number;
  readonly message: string;
  /** The event's own duration, if it has one. */
  readonly tookMs: number | undefined;
}

const parseLogLine = (line: string): LoggedEvent[] => {
  if (!line.startsWith("{")) return [];
  try {
    const { time, msg, ms } = JSON.parse(line) as { time?: unknown; msg?: unknown; ms?: unknown };
    if (typeof msg !== "string" || typeof time !== "string") return [];
    return [{ atMs: Date.parse(time), message: msg, tookMs: typeof ms === "number" ? ms : undefined }];
  } catch {
    return [];
  }
};

export class ChorusSystem implements System {
  readonly name = "chorus";
  readonly servers: readonly ChorusServer[];
  /** Undefined: none was asked for. */
  gateway: ChorusServer | undefined;
  /** Where this machine reaches them. */
  readonly host: string;

  private constructor(servers: readonly ChorusServer[], host: string) {
    this.servers = servers;
    this.host = host;
  }

  /** Resolves when all peers take reads and writes and every link is up. */
  static start(
    stage: Stage,
    {
      count,
      flags = {},
      gateway = false,
    }: { readonly count: number; readonly flags?: ClusterOptions["flags"]; readonly gateway?: boolean },
  ): Promise<ChorusSystem> {
    return withFreePorts(async () => {
      // A caller's settings are not the bench's.
      const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(CHORUS_|npm_)/.test(name)));
      const plan = await planCluster({
        count,
        directory: stage.makeDirectory("chorus"),
        tcpPort: 0,
        httpPort: 0,
        gateway: gateway ? { httpPort: undefined, tcpPort: undefined } : undefined,
        flags: { fsync: "interval", logFormat: "json", ...flags },
        env,
      });
      const system = new ChorusSystem(
        plan.peers.map((planned) => new ChorusServer(stage, plan, planned)),
        plan.host,
      );
      try {
        for (const server of system.servers) server.spawn({ bootstrap: plan.bootstrap });
        await until("Chorus up", () => system.#isUp(), {
          timeoutMs: startMsMax,
          check: () => checkServers(system),
        });
        if (typeof plan.gateway === "object") {
          const front = new ChorusServer(stage, plan, { ...plan.gateway, dataDirectory: "" }, "gateway");
          system.gateway = front;
          front.spawn();
          await until("the gateway up", () => front.isReady(), { timeoutMs: startMsMax });
        }
      } catch (error) {
        await system.stop();
        throw error;
      }
      return system;
    });
  }

  async #isUp(): Promise<boolean> {
    for (const server of this.servers) {
      const status = await server.status();
      if (status?.ready !== true || status.links.some((link) => link.state !== "up")) return false;
    }
    return true;
  }

  async #statuses(): Promise<StatusReport[] | undefined> {
    const statuses = await Promise.all(this.servers.map((server) => server.status()));
    const all = statuses.filter((status) => status !== undefined);
    return all.length === statuses.length ? all : undefined;
  }

  async isIdentical(): Promise<boolean> {
    return identical(await this.#statuses());
  }

  async isSettled(): Promise<boolean> {
    const statuses = await this.#statuses();
    return identical(statuses) && statuses?.some(({ checkpoint }) => checkpoint.running) === false;
  }

  async checkpointed(timeoutMs: number): Promise<void> {
    const wanted = (await this.#statuses())?.map(({ log }) => log.nextLsn);
    if (wanted === undefined) throw new Error("a peer does not answer");
    // Idle peers write a record now and then (a ceiling), so what counts is what was there when we were asked.
    const done = async (): Promise<boolean> => {
      const statuses = await this.#statuses();
      return statuses?.every(({ checkpoint }, i) => !checkpoint.running && checkpoint.lsn >= (wanted[i] ?? 0)) === true;
    };
    await until("a checkpoint of all that is written, at every peer", done, {
      timeoutMs,
      intervalMs: 200,
      check: () => checkServers(this),
    });
  }

  /** How often the event loops stood still for more than 50 ms, and the worst of it: from the peers' logs. */
  stalls(): { readonly count: number; readonly worstMs: number } {
    const stalls = this.servers.flatMap((server) =>
      server.loggedSince(0).filter(({ message }) => message === "the event loop stood still"),
    );
    return { count: stalls.length, worstMs: Math.max(0, ...stalls.map(({ tookMs }) => tookMs ?? 0)) };
  }

  async stop(): Promise<void> {
    await this.gateway?.end("SIGKILL");
    await Promise.all(this.servers.map((server) => server.end("SIGKILL")));
  }
}

/** By evidence alone: equal digests at equal version vectors. */
const identical = (statuses: readonly StatusReport[] | undefined): boolean =>
  statuses !== undefined &&
  verdictOf(statuses.map((status) => ({ address: status.peer.name, status }))).kind === "identical";
