/**
 * What `npm start` is going to start: names, ports, directories and arguments of every peer, and the checks that come
 * before anything does. Either all of it can start, or nothing is touched.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync } from "node:fs";
import { createServer } from "node:net";
import { totalmem } from "node:os";
import { dirname, join } from "node:path";
import { type ConfigSources, loadConfig, type PeerConfig, settingDescriptions } from "../../config.ts";
import { loadGatewayConfig } from "../../gateway/config.ts";
import { hostPortToText, type SettingReport } from "../../settings.ts";
import { CommandFailure, failureText, usageFailure } from "../failure.ts";

export interface ClusterOptions {
  readonly count: number;
  readonly directory: string;
  /** First ports; the peers count up from them. 0: free ones. */
  readonly tcpPort: number;
  readonly httpPort: number;
  /** Undefined: no gateway. */
  readonly gateway: GatewayWish | undefined;
  /** Settings all peers share, as typed. */
  readonly flags: ConfigSources["flags"];
  readonly env: ConfigSources["env"];
}

/** Ports as typed; undefined: the default, or a free one where the peers take free ones. */
export interface GatewayWish {
  readonly tcpPort: number | undefined;
  readonly httpPort: number | undefined;
}

export interface PlannedProcess {
  /** A peer's name, or `gateway`. */
  readonly name: string;
  readonly tcpPort: number;
  readonly httpPort: number;
  readonly logFile: string;
  /** For `chorus peer`, without --bootstrap, or `chorus gateway`. */
  readonly arguments: readonly string[];
}

export interface PlannedPeer extends PlannedProcess {
  readonly dataDirectory: string;
}

/** No peer is called so: they are a to z. */
export const gatewayName = "gateway";
export const tcpPortDefault = 5001;
export const httpPortDefault = 6001;
export const gatewayTcpDefault = 5100;
export const gatewayHttpDefault = 5000;

export interface ClusterPlan {
  readonly directory: string;
  /** Where this machine reaches the peers. */
  readonly host: string;
  readonly peers: readonly PlannedPeer[];
  /** A text: why it is left out, though nobody asked for that. Undefined: somebody did. */
  readonly gateway: PlannedProcess | string | undefined;
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
  const gatewayPorts = wantedGatewayPorts(options, [...wanted.tcp, ...wanted.http]);
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
      arguments: [...peerArguments, ...sharedArguments(flags)],
    };
  });
  const gateway = await planGateway(gatewayPorts, {
    options,
    taken: [...tcpPorts, ...httpPorts],
    peers: list,
    env,
    settings: loadConfig({ flags: { ...flags, name: "a", peers: anyPeers }, env }).report,
  });
  const bootstrap = claimDirectories(directory, peers);
  return { directory, host, peers, gateway, heapMb, bootstrap, env };
};

// ---- The gateway ------------------------------------------------------------------------------------------------------

interface GatewayPorts {
  readonly http: number;
  readonly tcp: number;
  /**
   * Asked for, or the peers have the default ports too: a taken one is a failure then. A gateway nobody asked for does not
   * keep a cluster with ports of its own from starting.
   */
  readonly isNeeded: boolean;
}

const wantedGatewayPorts = (options: ClusterOptions, peerPorts: readonly number[]): GatewayPorts | undefined => {
  const { gateway, tcpPort, httpPort } = options;
  if (gateway === undefined) return undefined;
  const isAnywhere = tcpPort === 0 || httpPort === 0;
  const http = gateway.httpPort ?? (isAnywhere ? 0 : gatewayHttpDefault);
  const tcp = gateway.tcpPort ?? (isAnywhere ? 0 : gatewayTcpDefault);
  const isAsked = gateway.httpPort !== undefined || gateway.tcpPort !== undefined;
  const isNeeded = isAsked || (tcpPort === tcpPortDefault && httpPort === httpPortDefault);
  if (http !== 0 && http === tcp) throw usageFailure(`--gateway-http and --gateway-tcp are both ${http}`);
  for (const [flag, port] of [
    ["gateway-http", http],
    ["gateway-tcp", tcp],
  ] as const)
    if (port !== 0 && peerPorts.includes(port))
      throw usageFailure(`--${flag} ${port} is a peer's port too; choose another, or --no-gateway`);
  return { http, tcp, isNeeded };
};

const planGateway = async (
  ports: GatewayPorts | undefined,
  context: {
    readonly options: ClusterOptions;
    readonly taken: readonly number[];
    readonly peers: string;
    readonly env: ConfigSources["env"];
    readonly settings: readonly SettingReport[];
  },
): Promise<PlannedProcess | string | undefined> => {
  if (ports === undefined) return undefined;
  const { options, taken, peers, env, settings } = context;
  const settingOf = (flag: string): string => settings.find((setting) => setting.flag === flag)?.value ?? "";
  const bind = settingOf("bind");
  let http: number;
  let tcp: number;
  try {
    [http = 0] = await claimPorts([ports.http], "gateway-http", bind, taken);
    [tcp = 0] = await claimPorts([ports.tcp], "gateway-tcp", bind, [...taken, http]);
  } catch (error) {
    if (ports.isNeeded || !(error instanceof CommandFailure)) throw error;
    return error.message;
  }
  const own: Record<string, string> = { peers, http: String(http), tcp: String(tcp), bind };
  // What a gateway has in common with its peers.
  for (const flag of ["password-file", "allow-origin"]) if (settingOf(flag) !== "") own[flag] = settingOf(flag);
  for (const flag of ["log-level", "log-format"]) {
    const setting = settings.find((each) => each.flag === flag);
    if (setting !== undefined && !setting.source.startsWith("default")) own[flag] = setting.value;
  }
  const given = Object.entries(own).flatMap(([flag, value]) => [`--${flag}`, value]);
  // The very check the gateway makes.
  const keyed = Object.entries(own).map(([flag, value]) => [
    flag.replaceAll(/-./g, (dash) => dash.slice(1).toUpperCase()),
    value,
  ]);
  loadGatewayConfig({ flags: Object.fromEntries(keyed), env });
  return {
    name: gatewayName,
    tcpPort: tcp,
    httpPort: http,
    logFile: join(options.directory, `${gatewayName}.log`),
    arguments: given,
  };
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
  flag: string,
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
        const got = await listen(server, port, bind, flag);
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

const choose = (flag: string): string =>
  flag.startsWith("gateway") ? `choose another with --${flag}, or --no-gateway` : `choose others with --${flag}`;

const listen = (server: ReturnType<typeof createServer>, port: number, bind: string, flag: string): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const words: Record<string, string> = {
        EADDRINUSE: `port ${port} is taken on ${bind}; ${choose(flag)}`,
        EACCES: `port ${port} needs more rights than this user has; ${choose(flag)}`,
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
