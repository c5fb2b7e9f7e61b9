/**
 * A cluster of real processes for tests: `chorus peer` from dist/, each with its own ports, directory and log file.
 *
 * `withCluster` starts it, hands it to the test, and afterwards ends every process. A test fails also when a peer ended
 * that nobody ended, or one logged a fatal line; then the tails of all logs are printed. The peers hold an IPC channel to
 * us, so they stop by themselves when the test is killed; one that is paused by then is woken first.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { parseStatus, type StatusReport } from "../../protocol/status.ts";
import { Random } from "../../scripts/sim/random.ts";
import { httpGet } from "../../server/cli/http-get.ts";
import { parsePeerMessage } from "../../server/cli/peer-messages.ts";
import { verdictOf } from "../../server/cli/verdict.ts";
import type { PeerOptions } from "../../server/peer.ts";
import { build, projectRoot, until } from "./processes.ts";
import { RespClient } from "./resp-client.ts";
import { TcpProxy } from "./tcp-proxy.ts";

/** 1 in `npm test`; CHORUS_TEST_SCALE=10 makes runs ten times as long. */
export const testScale = Number(process.env["CHORUS_TEST_SCALE"] ?? "1");
const startMsMax = 30_000;
const logTailLines = 25;

export interface RealClusterOptions {
  readonly count?: number;
  /** Of every peer. */
  readonly flags?: readonly string[];
  readonly flagsOf?: (name: string) => readonly string[];
  /** What no flag sets, such as short maintenance times. */
  readonly peerOptions?: Omit<PeerOptions, "logger" | "wallMs">;
  /** Links go over proxies, so that `cluster.cut` works. */
  readonly proxied?: boolean;
  /** False: the peers find out by themselves that all are empty. */
  readonly bootstrap?: boolean;
  /** Peers are made, not started. */
  readonly start?: boolean;
  /** Ends of peers nobody asked for, and fatal log lines, belong to the test. */
  readonly mayFail?: boolean;
}

export interface PeerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

interface RealPeerOptions {
  readonly name: string;
  readonly tcpPort: number;
  readonly httpPort: number;
  readonly directory: string;
  readonly peers: string;
  readonly flags: readonly string[];
  readonly bootstrap: boolean;
  readonly peerOptions: RealClusterOptions["peerOptions"];
}

export class RealPeer {
  readonly name: string;
  readonly tcpPort: number;
  readonly httpPort: number;
  readonly dataDirectory: string;
  readonly logFile: string;
  readonly #arguments: readonly string[];
  #child: ChildProcess | undefined;
  #exit: Promise<PeerExit> = Promise.resolve({ code: 0, signal: null });
  #expectedEnd = true;
  #waker: ChildProcess | undefined;
  #startedBefore = false;
  readonly #bootstrap: boolean;
  readonly #peerOptions: RealClusterOptions["peerOptions"];
  /** Ends that nobody asked for. */
  readonly surprises: string[] = [];

  readonly #options: RealPeerOptions;

  constructor(options: RealPeerOptions) {
    this.#options = options;
    const { name, tcpPort, httpPort, directory } = options;
    this.name = name;
    this.tcpPort = tcpPort;
    this.httpPort = httpPort;
    this.dataDirectory = join(directory, name);
    this.logFile = join(directory, `${name}.log`);
    this.#bootstrap = options.bootstrap;
    this.#peerOptions = options.peerOptions;
    const own = { name, peers: options.peers, tcp: tcpPort, http: httpPort, data: this.dataDirectory };
    this.#arguments = [
      ...Object.entries(own).flatMap(([flag, value]) => [`--${flag}`, String(value)]),
      ...options.flags,
    ];
  }

  /** Another handle with the same settings: for a second process that claims them. */
  twin(): RealPeer {
    return new RealPeer({ ...this.#options, bootstrap: false });
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  /** Resolves when it serves (it may still be gated). `extra`: flags of this run only. */
  async start(...extra: readonly string[]): Promise<void> {
    const serving = this.launch(...extra);
    const result = await Promise.race([serving, delay(startMsMax, "late", { ref: false })]);
    assert.notEqual(result, "late", `${this.name} serves within ${startMsMax / 1000} s`);
    if (result !== undefined) throw new Error(`${this.name} does not start: ${String(result)}`);
  }

  /** Starts the process; resolves with undefined when it serves, else with its last words. */
  launch(...extra: readonly string[]): Promise<string | undefined> {
    assert(this.#child === undefined, `${this.name} runs already`);
    const log = openSync(this.logFile, "a");
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([key]) => !/^(CHORUS_|npm_|NODE_TEST_CONTEXT|NODE_OPTIONS)/.test(key)),
    );
    const given = [...this.#arguments, ...extra];
    if (this.#bootstrap && !this.#startedBefore) given.push("--bootstrap");
    this.#startedBefore = true;
    const main = this.#peerOptions === undefined ? "dist/server/main.js" : "tests/support/peer-with-options.js";
    const child = spawn(process.execPath, [join(projectRoot, main), "peer", ...given], {
      stdio: ["ignore", log, log, "ipc"],
      env: { ...env, PEER_OPTIONS: JSON.stringify(this.#peerOptions ?? {}) },
    });
    closeSync(log);
    this.#child = child;
    this.#expectedEnd = false;
    let words: string | undefined;
    this.#exit = new Promise((resolve) => {
      child.on("exit", (code, signal) => {
        if (this.#child === child) this.#child = undefined;
        if (!this.#expectedEnd) this.surprises.push(`${this.name} ended by itself: ${signal ?? `exit code ${code}`}`);
        resolve({ code, signal });
      });
    });
    return new Promise((resolve) => {
      child.on("message", (received) => {
        const message = parsePeerMessage(received);
        if (message?.type === "ready") resolve(undefined);
        if (message?.type === "failed") words = message.message;
      });
      this.#exit.then(({ code, signal }) => resolve(words ?? `ended: ${signal ?? code}`)).catch(() => undefined);
    });
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(): Promise<void> {
    this.#expectedEnd = true;
    this.#child?.kill("SIGKILL");
    await this.#exit;
    this.#endWaker();
  }

  /** SIGTERM; resolves with how it ended. */
  async stop(): Promise<PeerExit> {
    this.#expectedEnd = true;
    this.#child?.kill("SIGTERM");
    return await this.#exit;
  }

  /** How the run ends, or has ended, without our doing. */
  end(): Promise<PeerExit> {
    this.#expectedEnd = true;
    return this.#exit;
  }

  /** SIGSTOP. Should we die meanwhile, a shell that waits for our end of a pipe wakes it, and it stops. */
  pause(): void {
    assert(this.#child?.pid !== undefined, `${this.name} runs`);
    this.#waker = spawn("sh", ["-c", `read _; kill -CONT ${this.#child.pid}`], { stdio: ["pipe", "ignore", "ignore"] });
    this.#child.kill("SIGSTOP");
  }

  resume(): void {
    this.#child?.kill("SIGCONT");
    this.#endWaker();
  }

  #endWaker(): void {
    this.#waker?.kill("SIGKILL");
    this.#waker = undefined;
  }

  /** Loses its data directory. */
  wipe(): void {
    assert(!this.isRunning, `${this.name} is down`);
    rmSync(this.dataDirectory, { recursive: true, force: true });
  }

  async restart(...extra: readonly string[]): Promise<void> {
    await this.kill();
    await this.start(...extra);
  }

  connect(): Promise<RespClient> {
    return RespClient.connectSoon({ port: this.tcpPort });
  }

  /** One command over a connection of its own; error replies reject. */
  async call(...words: readonly (string | number)[]): ReturnType<RespClient["call"]> {
    const client = await this.connect();
    try {
      return await client.call(...words);
    } finally {
      client.close();
    }
  }

  /** Undefined: no answer. */
  async status(timeoutMs = 2000): Promise<StatusReport | undefined> {
    try {
      const { body } = await httpGet({ host: "127.0.0.1", port: this.httpPort }, "/status", timeoutMs);
      const parsed = parseStatus(JSON.parse(body));
      assert(parsed.ok, parsed.ok ? "" : parsed.why);
      return parsed.status;
    } catch {
      return undefined;
    }
  }

  log(): string {
    try {
      return readFileSync(this.logFile, "utf8");
    } catch {
      return "";
    }
  }
}

export class RealCluster {
  readonly directory: string;
  readonly peers: readonly RealPeer[];
  readonly #proxies: ReadonlyMap<string, TcpProxy>;
  readonly #hooks: (() => void)[] = [];

  constructor(directory: string, peers: readonly RealPeer[], proxies: ReadonlyMap<string, TcpProxy>) {
    this.directory = directory;
    this.peers = peers;
    this.#proxies = proxies;
  }

  peer(name: string): RealPeer {
    const found = this.peers.find((peer) => peer.name === name);
    assert(found !== undefined, `there is a peer ${name}`);
    return found;
  }

  /** All serve and are not gated. */
  async ready(peers: readonly RealPeer[] = this.peers, withinMs = 20_000): Promise<void> {
    for (const peer of peers) {
      let why = "no answer";
      await until(
        `${peer.name} is ready`,
        async () => {
          const status = await peer.status();
          why = status === undefined ? "no answer" : status.reasons.join(", ");
          return status?.ready === true;
        },
        withinMs,
      ).catch((error: unknown) => {
        throw new Error(`${String(error)} (${why})`);
      });
    }
  }

  /** Every peer has a live link to every other. */
  async linked(withinMs = 20_000): Promise<void> {
    await until(
      "all links are up",
      async () =>
        (await this.statuses()).every((status) => status?.links.every(({ state }) => state === "up") === true),
      withinMs,
    );
  }

  statuses(peers: readonly RealPeer[] = this.peers): Promise<(StatusReport | undefined)[]> {
    return Promise.all(peers.map((peer) => peer.status()));
  }

  /** Ready, equal version vectors, equal digests. A proven difference fails at once. */
  async identical(peers: readonly RealPeer[] = this.peers, withinMs = 30_000): Promise<readonly StatusReport[]> {
    const deadlineMs = performance.now() + withinMs;
    let differed = 0;
    for (;;) {
      const statuses = await this.statuses(peers);
      const verdict = verdictOf(
        statuses.map((status, index) => {
          const address = peers[index]?.name ?? "";
          return status === undefined ? { address, why: "no answer" } : { address, status };
        }),
      );
      const reports = statuses.filter((status) => status !== undefined);
      if (verdict.kind === "identical" && reports.every((report) => report.ready)) return reports;
      // Once may be a repair under way; it must not stay.
      differed = verdict.kind === "differs" ? differed + 1 : 0;
      if (performance.now() > deadlineMs || differed > 100) {
        throw new Error(
          `identical within ${withinMs / 1000} s: ${verdict.text}\n${reports.map(statusLine).join("\n")}`,
        );
      }
      await delay(30);
    }
  }

  /** Stops the bytes that `from` sends `to`, on present and future connections; `to` may still talk to `from`. */
  cut(from: string, to: string): void {
    const [dialer, listener] = [from, to].sort() as [string, string];
    const proxy = this.#proxies.get(`${dialer}>${listener}`);
    assert(proxy !== undefined, "the cluster is proxied");
    proxy.cut(from === dialer ? "to-target" : "from-target");
  }

  heal(): void {
    for (const proxy of this.#proxies.values()) proxy.heal();
  }

  /** Runs at the end, whatever the test's outcome. */
  atEnd(hook: () => void): void {
    this.#hooks.push(hook);
  }

  async end({ keep = process.env["CHORUS_TEST_KEEP"] !== undefined }: { readonly keep?: boolean } = {}): Promise<void> {
    for (const hook of this.#hooks) hook();
    await Promise.all(this.peers.map((peer) => peer.kill()));
    for (const proxy of this.#proxies.values()) proxy.close();
    // To look at what a failure left behind.
    if (!keep) rmSync(this.directory, { recursive: true, force: true });
  }
}

const statusLine = (status: StatusReport): string =>
  `${status.peer.name}: ready=${status.ready} keys=${status.keys} digest=${status.digest.value} horizon=${status.digest.horizon} ` +
  `vv=${JSON.stringify(status.versionVector)} links=${status.links.map((link) => `${link.peer}:${link.state}${link.why ? ` (${link.why})` : ""}`).join(",")} ` +
  `reasons=${status.reasons.join(",")}`;

/** A peer's port stays its own over restarts, so it must not be one that the system hands out meanwhile. */
const freePorts = async (count: number): Promise<number[]> => {
  const found: number[] = [];
  while (found.length < count) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    if (!found.includes(port) && (await isFree(port))) found.push(port);
  }
  return found;
};

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)));
  });

/** Made, not started. */
export const openCluster = async (options: RealClusterOptions): Promise<RealCluster> => {
  // Compiled code is what runs.
  build();
  const { count = 3, flags = [], flagsOf = () => [], proxied = false, bootstrap = true } = options;
  const names = Array.from({ length: count }, (_, index) => String.fromCharCode("a".charCodeAt(0) + index));
  const ports = await freePorts(2 * count + (proxied ? (count * (count - 1)) / 2 : 0));
  const nextPort = (): number => ports.pop() ?? 0;
  const places = names.map((name) => ({ name, tcpPort: nextPort(), httpPort: nextPort() }));
  const proxies = new Map<string, TcpProxy>();
  const proxyPorts = new Map<string, number>();
  if (proxied) {
    for (const dialer of names) {
      for (const { name, httpPort } of places) {
        // The smaller name dials.
        if (dialer >= name) continue;
        const port = nextPort();
        proxies.set(`${dialer}>${name}`, await TcpProxy.open(httpPort, port));
        proxyPorts.set(`${dialer}>${name}`, port);
      }
    }
  }
  const directory = mkdtempSync(join(tmpdir(), "chorus-cluster-"));
  const peers = places.map(({ name, tcpPort, httpPort }) => {
    const list = places
      .map((other) => `${other.name}=127.0.0.1:${proxyPorts.get(`${name}>${other.name}`) ?? other.httpPort}`)
      .join(",");
    return new RealPeer({
      name,
      tcpPort,
      httpPort,
      directory,
      peers: list,
      flags: [...flags, ...flagsOf(name)],
      bootstrap,
      peerOptions: options.peerOptions,
    });
  });
  return new RealCluster(directory, peers, proxies);
};

/** Runs `body` with a cluster; nothing is left behind, and what the peers logged is shown when it fails. */
export const withCluster = async (
  t: TestContext,
  options: RealClusterOptions,
  body: (cluster: RealCluster) => Promise<void>,
): Promise<void> => {
  const cluster = await openCluster(options);
  try {
    if (options.start !== false) {
      await Promise.all(cluster.peers.map((peer) => peer.start()));
      await cluster.ready();
    }
    await body(cluster);
    if (options.mayFail !== true) {
      assert.deepEqual(
        cluster.peers.flatMap((peer) => peer.surprises),
        [],
        "no peer ended by itself",
      );
      for (const peer of cluster.peers) assert.deepEqual(fatalLines(peer), [], `no fatal line of ${peer.name}`);
    }
  } catch (error) {
    for (const peer of cluster.peers) {
      t.diagnostic(`log of ${peer.name}:\n${peer.log().trimEnd().split("\n").slice(-logTailLines).join("\n")}`);
    }
    throw error;
  } finally {
    await cluster.end();
  }
};

/**
 * Tests that leave a whole cluster to the next, in their order: one start of its peers serves all of them. Each is a test
 * of its own; when one fails the logs are shown, as by `withCluster`.
 */
export const shareCluster = (
  name: string,
  options: RealClusterOptions,
  tests: Readonly<Record<string, (cluster: RealCluster, t: TestContext) => Promise<void>>>,
): void => {
  void test(name, (t) =>
    withCluster(t, options, async (cluster) => {
      const failed: string[] = [];
      for (const [title, body] of Object.entries(tests)) {
        await t.test(title, async (inner) => {
          failed.push(title);
          await cluster.linked();
          await body(cluster, inner);
          failed.pop();
        });
      }
      assert.deepEqual(failed, [], "all passed");
    }),
  );
};

/** pino's levels: 60 is fatal. Digest alarms are errors that only a bug makes. */
const fatalLines = (peer: RealPeer): string[] =>
  peer
    .log()
    .split("\n")
    .filter(
      (line) => line.includes('"level":60') || line.includes("digest differs") || /uncaught|Unhandled/.test(line),
    );

/** Every visible key with its value, read as a client would: SCAN and MGET. */
export const dump = async (peer: RealPeer): Promise<Map<string, string>> => {
  const client = await peer.connect();
  try {
    const keys = new Set<string>();
    let cursor = "0";
    do {
      const [next, found] = (await client.call("SCAN", cursor, "COUNT", 1000)) as [string, string[]];
      for (const key of found) keys.add(key);
      cursor = next;
    } while (cursor !== "0");
    const values = new Map<string, string>();
    const all = [...keys];
    for (let at = 0; at < all.length; at += 1000) {
      const slice = all.slice(at, at + 1000);
      const found = (await client.call("MGET", ...slice)) as (string | null)[];
      for (const [index, key] of slice.entries()) {
        const value = found[index];
        if (typeof value === "string") values.set(key, value);
      }
    }
    return values;
  } finally {
    client.close();
  }
};

/** Identical by status, and by every key and value a client can read. Returns what all hold. */
export const sameEverywhere = async (cluster: RealCluster, withinMs = 30_000): Promise<Map<string, string>> => {
  await cluster.identical(cluster.peers, withinMs);
  const [first, ...others] = await Promise.all(cluster.peers.map(dump));
  assert(first !== undefined);
  for (const [index, other] of others.entries()) {
    const name = cluster.peers[index + 1]?.name;
    assert.equal(other.size, first.size, `${name} holds as many keys as ${cluster.peers[0]?.name}`);
    for (const [key, value] of first) {
      if (other.get(key) !== value)
        assert.equal(other.get(key), value, `${key} at ${name} as at ${cluster.peers[0]?.name}`);
    }
  }
  return first;
};

/** A seeded source: `CHORUS_TEST_SEED` repeats a run's choices, though not its timing. */
export const seededRandom = (t: TestContext): (() => number) => {
  const seed = Number(process.env["CHORUS_TEST_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`seed ${seed}`);
  return new Random(seed).next;
};

/** Minutes in seconds: checkpoints all the time, segments of 64 KiB. */
export const busyMaintenance = {
  maintenance: { checkpointLogBytes: 256 * 1024, checkpointIntervalMs: 300, checkpointForPurgeMs: 300 },
  segmentBytes: 64 * 1024,
  factIntervalMs: 1000,
};

/** A link is found dead in 1.5 s rather than 5 s. */
export const quickLinks = { linkTiming: { heartbeatIntervalMs: 300, deadAfterMs: 1500 } };
