/**
 * What `npm start` is going to start: names, ports, directories and arguments of every peer, and the checks that come
 * before anything does. Either all of it can start, or nothing is touched.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync } from "node:fs";
import { createServer } from "node:net";
import { totalmem } from "node:os";
import { dirname, join } from "node:path";
import { type ConfigSources, loadConfig, type PeerConfig, settingDescriptions } from "../../config.ts";
import { hostPortToText } from "../../settings.ts";
import { CommandFailure, failureText, usageFailure } from "../failure.ts";

export interface ClusterOptions {
  readonly count: number;
  readonly directory: string;
  /** First ports; the peers count up from them. 0: free ones. */
  readonly tcpPort: number;
  readonly httpPort: number;
  /** Settings all peers share, as typed. */
  readonly flags: ConfigSources["flags"];
  readonly env: ConfigSources["env"];
}

export interface PlannedPeer {
  readonly name: string;
  readonly tcpPort: number;
  readonly httpPort: number;
  readonly dataDirectory: string;
  readonly logFile: string;
  /** For `chorus peer`, without --bootstrap. */
  readonly peerArguments: readonly string[];
}

export interface ClusterPlan {
  readonly directory: string;
  /** Where this machine reaches the peers. */
  readonly host: string;
  readonly peers: readonly PlannedPeer[];
  readonly heapMb: number;
  /** All directories are empty: a new cluster is born. */
  readonly bootstrap: boolean;
  /** For the peers' processes: ours, less what each peer has its own of. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Checks everything that can be checked before a process starts. Throws a CommandFailure; leaves nothing behind then. */
export const planCluster = async (options: ClusterOptions): Promise<ClusterPlan> => {
  const { count, directory, flags } = options;
  const env = sharedEnvironment(options.env);
  // Checked as for one peer first, for words about the flag itself rather than about a peer.
  const names = Array.from({ length: count }, (_, index) => String.fromCharCode("a".charCodeAt(0) + index));
  const anyPeers = names.map((name, index) => `${name}=127.0.0.1:${index + 1}`).join(",");
  const shared = loadConfig({ flags: { ...flags, name: "a", peers: anyPeers }, env }).config;
  const host =
    shared.bind === "0.0.0.0" || shared.bind === "::" || shared.bind === "localhost" ? "127.0.0.1" : shared.bind;

  const wanted = {
    tcp: portsFrom("--tcp", options.tcpPort, count),
    http: portsFrom("--http", options.httpPort, count),
  };
  const twice = wanted.tcp.find((port) => port !== 0 && wanted.http.includes(port));
  if (twice !== undefined)
    throw usageFailure(
      `--tcp ${options.tcpPort} and --http ${options.httpPort} with ${count} peers both need port ${twice}`,
    );
  const tcpPorts = await claimPorts(wanted.tcp, "tcp", shared.bind);
  const httpPorts = await claimPorts(wanted.http, "http", shared.bind, tcpPorts);

  const list = names.map((name, index) => `${name}=${hostPortToText({ host, port: httpPorts[index] ?? 0 })}`).join(",");
  const heapMb = shared.heapMb > 0 ? shared.heapMb : heapMbFor(count);
  const peers = names.map((name, index): PlannedPeer => {
    const tcpPort = tcpPorts[index] ?? 0;
    const httpPort = httpPorts[index] ?? 0;
    const dataDirectory = join(directory, name);
    const own = { name, peers: list, tcp: String(tcpPort), data: dataDirectory };
    // The very check the peer makes: what it would refuse is refused before anything starts.
    loadConfig({ flags: { ...flags, ...own }, env });
    const peerArguments = [
      "--name",
      name,
      "--peers",
      list,
      "--tcp",
      own.tcp,
      "--data",
      dataDirectory,
      "--heap-mb",
      String(heapMb),
    ];
    return {
      name,
      tcpPort,
      httpPort,
      dataDirectory,
      logFile: join(directory, `${name}.log`),
      peerArguments: [...peerArguments, ...sharedArguments(flags)],
    };
  });
  const bootstrap = claimDirectories(directory, peers);
  return { directory, host, peers, heapMb, bootstrap, env };
};

/** A peer's own settings make no sense for all of them, so they are not inherited. */
const sharedEnvironment = (env: ConfigSources["env"]): Record<string, string | undefined> => {
  const shared = { ...env };
  for (const { perPeer, variable } of settingDescriptions) if (perPeer === true) delete shared[variable];
  return shared;
};

const sharedArguments = (flags: ConfigSources["flags"]): string[] => {
  const given: string[] = typeof flags.config === "string" ? ["--config", flags.config] : [];
  for (const { key, flag } of settingDescriptions) {
    const value = flags[key];
    if (value === undefined || key === "heapMb") continue;
    if (typeof value === "boolean") given.push(value ? `--${flag}` : `--no-${flag}`);
    else given.push(`--${flag}`, String(value));
  }
  return given;
};

/** Three quarters of the memory this process may use, shared out; the rest is for buffers and the page cache. */
const heapMbFor = (count: number): number => {
  const memoryBytes = Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY);
  return Math.min(8192, Math.max(256, Math.floor((memoryBytes * 0.75) / count / 1024 ** 2)));
};

const portsFrom = (flag: string, first: number, count: number): number[] => {
  if (first + count - 1 > 65_535)
    throw usageFailure(`${flag} ${first} leaves no ports for ${count} peers; the last port is 65535`);
  return Array.from({ length: count }, (_, index) => (first === 0 ? 0 : first + index));
};

/** The ports, each seen free just now; a 0 becomes a free one. */
const claimPorts = async (
  ports: readonly number[],
  kind: "tcp" | "http",
  bind: PeerConfig["bind"],
  taken: readonly number[] = [],
): Promise<number[]> => {
  const servers = ports.map(() => createServer());
  try {
    const free: number[] = [];
    for (const [index, port] of ports.entries()) {
      const server = servers[index];
      if (server === undefined) continue;
      for (;;) {
        const got = await listen(server, port, bind, kind);
        if (!taken.includes(got)) {
          free.push(got);
          break;
        }
        await new Promise((resolve) => server.close(resolve));
      }
    }
    return free;
  } finally {
    // Held until all are known, so that no free port is given out twice.
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }
};

const listen = (
  server: ReturnType<typeof createServer>,
  port: number,
  bind: string,
  kind: "tcp" | "http",
): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const words: Record<string, string> = {
        EADDRINUSE: `port ${port} is taken on ${bind}; choose others with --${kind}`,
        EACCES: `port ${port} needs more rights than this user has; choose others with --${kind}`,
        EADDRNOTAVAIL: `this machine has no address ${bind} to bind`,
      };
      reject(new CommandFailure(words[error.code ?? ""] ?? `port ${port}: ${error.message}`));
    });
    server.listen({ port, host: bind, exclusive: true }, () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });

/** Makes the directories, sees that they take files, and tells whether all were empty. Unmakes what it made if not. */
const claimDirectories = (directory: string, peers: readonly PlannedPeer[]): boolean => {
  const made: string[] = [];
  try {
    for (const path of [directory, ...peers.map((peer) => peer.dataDirectory)]) {
      makeDirectory(path, made);
      const probe = mkdtempSync(join(path, ".probe-"));
      rmdirSync(probe);
    }
    return peers.every((peer) => readdirSync(peer.dataDirectory).length === 0);
  } catch (error) {
    for (const path of made.reverse()) rmdirSync(path);
    if (error instanceof CommandFailure) throw error;
    throw new CommandFailure(`cannot write below ${directory}: ${failureText(error)}`, 1, { cause: error });
  }
};

const makeDirectory = (path: string, made: string[]): void => {
  if (existsSync(path)) return;
  makeDirectory(dirname(path), made);
  mkdirSync(path);
  made.push(path);
};
