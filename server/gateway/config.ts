/**
 * A gateway's configuration: ONE schema, filled as a peer's is (settings.ts): flags > environment > file > defaults.
 *
 * Its variables begin with `CHORUS_GATEWAY_`, so that one environment serves peers and gateways alike.
 */
import { isIP } from "node:net";
import { z } from "zod";
import { cacheBytesDefault, drainMsMax, gatewayPeersMax } from "../../protocol/limits.ts";
import { usageFailure } from "../cli/failure.ts";
import { type LogLevel, logLevels } from "../config.ts";
import {
  checkSettings,
  count,
  describeSettings,
  gatherSettings,
  type HostPort,
  hostPortToText,
  ignoredVariables as ignoredVariablesOf,
  isLoopback,
  loadPassword,
  oneOf,
  onOff,
  originList,
  parseHostPort,
  port,
  printedSettings,
  reportSettings,
  type SettingReport,
  type SettingSources,
  settingMetas,
  settingsTable,
  size,
  text,
} from "../settings.ts";

/** What `runGateway` takes. Everything resolved. */
export interface GatewayConfig {
  /** HTTP ports of peers, at least one. */
  readonly peers: readonly HostPort[];
  /** Go also to peers that a peer tells of. */
  readonly discover: boolean;
  readonly bind: string;
  /** 0: any free port. */
  readonly httpPort: number;
  readonly tcpPort: number;
  /** False: TCP is not balanced. */
  readonly balancesTcp: boolean;
  /** Names beside addresses and localhost that HTTP requests may be made to. */
  readonly hosts: readonly string[];
  readonly reads: "round-robin" | "least-lag";
  readonly writes: "sticky" | "spread";
  /** 0: no read cache. */
  readonly cacheBytesMax: number;
  /** A peer that lacks what another had so long ago is not asked, ms. */
  readonly lagMsMax: number;
  /** Of an HTTP request, its repetitions included, ms. */
  readonly timeoutMs: number;
  /** How long a peer may take to get to what a session saw, ms. */
  readonly staleAfterMs: number;
  /** TCP connections that are not idle by then are cut when the gateway stops, ms. */
  readonly drainMs: number;
  /** What peers are told of a TCP client: nothing, or a PROXY header. */
  readonly proxyProtocol: "off" | "v1" | "v2";
  /** The peers', and asked of HTTP clients; TCP clients AUTH with the peer itself. */
  readonly password: string | undefined;
  readonly allowOrigins: readonly string[];
  readonly logLevel: LogLevel;
  readonly logFormat: "pretty" | "json";
}

const peersWords = "expected host:port,host:port,... of peers' HTTP ports";

/** `name=` before an address is taken and ignored, so that a peer's own list serves here too. */
const addressList = z
  .union(
    [
      z.string().transform((input) => input.split(",").filter((entry) => entry.trim() !== "")),
      z.array(z.string()),
      z.record(z.string(), z.string()).transform((entries) => Object.values(entries)),
    ],
    peersWords,
  )
  .transform((entries, context): readonly HostPort[] => {
    const addresses: HostPort[] = [];
    const refuse = (message: string): never => {
      context.addIssue(message);
      return z.NEVER;
    };
    for (const entry of entries) {
      const address = parseHostPort(entry.trim().replace(/^[A-Za-z0-9_-]{1,32}=/, ""));
      if (address === undefined) return refuse(`${peersWords}, not "${entry.trim()}"`);
      if (!addresses.some(({ host, port: other }) => host === address.host && other === address.port))
        addresses.push(address);
    }
    if (addresses.length === 0) return refuse(peersWords);
    if (addresses.length > gatewayPeersMax) return refuse(`${addresses.length} peers, at most ${gatewayPeersMax}`);
    return addresses;
  });

const hostWords = "expected host names such as kv.example, without ports";

const hostList = z
  .union([z.string().transform((input) => input.split(",")), z.array(z.string())], hostWords)
  .transform((entries, context): readonly string[] => {
    const hosts = entries.map((entry) => entry.trim().toLowerCase()).filter((entry) => entry !== "");
    const bad = hosts.find((host) => !/^[a-z0-9._-]{1,253}$/.test(host));
    if (bad === undefined) return [...new Set(hosts)];
    context.addIssue(`${hostWords}, not "${bad}"`);
    return z.NEVER;
  });

const commas = (value: unknown): string => (value as readonly string[]).join(",");

const peersDefault = "127.0.0.1:6001,127.0.0.1:6002,127.0.0.1:6003";

const settingsSchema = z.strictObject({
  peers: addressList.prefault(peersDefault).register(settingMetas, {
    argument: "LIST",
    summary: "peers to begin with, as host:port,... of their HTTP ports; name=host:port is taken too",
    defaultText: peersDefault,
    show: (value) => (value as readonly HostPort[]).map(hostPortToText).join(","),
  }),
  discover: onOff.default(true).register(settingMetas, {
    summary: "go also to peers that a peer tells of; off (--no-discover) where their addresses mean nothing here",
  }),
  http: port.default(5000).register(settingMetas, {
    argument: "PORT",
    summary: "port for HTTP; 0 is any free one",
  }),
  tcp: port.default(5100).register(settingMetas, {
    argument: "PORT",
    summary: "port for nc and Redis clients, who are handed on to a peer; 0 is any free one",
  }),
  balanceTcp: onOff.default(true).register(settingMetas, {
    summary: "take TCP clients at all; off with --no-balance-tcp",
  }),
  bind: z
    .string()
    .refine((address) => address === "localhost" || isIP(address) !== 0, "expected an IP address or localhost")
    .default("127.0.0.1")
    .register(settingMetas, {
      argument: "ADDRESS",
      summary: "address to listen on; off loopback it needs --password-file",
    }),
  hosts: hostList.default([]).register(settingMetas, {
    argument: "LIST",
    summary: "host names this gateway is reached by, beside addresses and localhost; other Hosts are answered 421",
    defaultText: "none",
    show: commas,
  }),
  reads: oneOf(["round-robin", "least-lag"]).default("round-robin").register(settingMetas, {
    argument: "HOW",
    summary: "which of the peers that are up is read: one after another, or those with the least replication lag",
  }),
  writes: oneOf(["sticky", "spread"]).default("sticky").register(settingMetas, {
    argument: "HOW",
    summary: "where writes go: to one peer, and to another when it fails (fewest conflicts), or to all by turns",
  }),
  cache: size(0).default(cacheBytesDefault).register(settingMetas, {
    argument: "SIZE",
    summary: "memory of the read cache; 0 is none",
    isSize: true,
  }),
  maxLag: count(2000, 3_600_000).default(5000).register(settingMetas, {
    argument: "MS",
    summary: "a peer that lacks what another had so long ago is asked only when nobody else is left",
  }),
  timeout: count(100, 60_000).default(5000).register(settingMetas, {
    argument: "MS",
    summary: "of an HTTP request for a key, all its repetitions included",
  }),
  staleAfter: count(0, 60_000).default(1500).register(settingMetas, {
    argument: "MS",
    summary: "how long a peer may take to get to what a session saw, before another is asked; in the end: STALE",
  }),
  drain: count(0, drainMsMax).default(10_000).register(settingMetas, {
    argument: "MS",
    summary: "when stopping: TCP connections that are never idle are cut after this long",
  }),
  proxyProtocol: oneOf(["off", "v1", "v2"]).default("off").register(settingMetas, {
    argument: "HOW",
    summary:
      "tell peers the address of TCP clients, in a PROXY header; peers need --proxy-protocol with this one's address",
  }),
  passwordFile: text("a file name").optional().register(settingMetas, {
    argument: "FILE",
    summary: "the peers' password, asked of HTTP clients too (mode 600)",
    defaultText: "none",
  }),
  allowOrigin: originList.default([]).register(settingMetas, {
    argument: "ORIGIN",
    summary:
      "web pages of this origin may read and write here, such as https://app.example; several: again, or by commas; * is any",
    defaultText: "only pages of the gateway's own host and port",
    repeatable: true,
    show: commas,
  }),
  logLevel: oneOf(logLevels)
    .default("info")
    .register(settingMetas, {
      argument: "LEVEL",
      summary: `least level logged: ${logLevels.join(", ")}`,
    }),
  logFormat: oneOf(["pretty", "json"]).optional().register(settingMetas, {
    argument: "FORMAT",
    summary: "pretty or json, to standard error",
    defaultText: "pretty on a terminal, else json",
  }),
});

type Settings = z.output<typeof settingsSchema>;
type GatewaySettingKey = keyof Settings;

export const gatewaySettings = describeSettings(settingsSchema.shape, "CHORUS_GATEWAY_");
export const gatewayConfigVariable = "CHORUS_GATEWAY_CONFIG";

export interface LoadedGatewayConfig {
  readonly config: GatewayConfig;
  readonly report: readonly SettingReport[];
  readonly ignoredVariables: readonly string[];
}

/** Reads all sources, checks them, and reads the password. Throws a CommandFailure with exit code 2. */
export const loadGatewayConfig = (sources: SettingSources<GatewaySettingKey>): LoadedGatewayConfig => {
  const raw = gatherSettings(gatewaySettings, sources, gatewayConfigVariable);
  // Each field was parsed by its own schema.
  const settings = checkSettings(settingsSchema.shape, raw) as Settings;
  if (settings.balanceTcp && settings.tcp !== 0 && settings.tcp === settings.http)
    throw usageFailure(`--tcp and --http are both ${settings.http}; they need a port each`);
  const password = settings.passwordFile === undefined ? undefined : loadPassword(settings.passwordFile);
  if (!isLoopback(settings.bind) && password === undefined)
    throw usageFailure(
      `--bind ${settings.bind} is open to the network and needs --password-file; ` +
        "Chorus has no TLS yet, so even then what crosses the wire can be read: use a private network or a tunnel",
    );
  const logFormat = settings.logFormat ?? (process.stderr.isTTY ? "pretty" : "json");
  const config: GatewayConfig = {
    peers: settings.peers,
    discover: settings.discover,
    bind: settings.bind,
    httpPort: settings.http,
    tcpPort: settings.tcp,
    balancesTcp: settings.balanceTcp,
    hosts: settings.hosts,
    reads: settings.reads,
    writes: settings.writes,
    cacheBytesMax: settings.cache,
    lagMsMax: settings.maxLag,
    timeoutMs: settings.timeout,
    staleAfterMs: settings.staleAfter,
    drainMs: settings.drain,
    proxyProtocol: settings.proxyProtocol,
    password,
    allowOrigins: settings.allowOrigin,
    logLevel: settings.logLevel,
    logFormat,
  };
  const report = reportSettings(gatewaySettings, settings, raw, {
    logFormat: [logFormat, process.stderr.isTTY ? "default: a terminal" : "default: no terminal"],
  });
  const known = [...gatewaySettings.map(({ variable }) => variable), gatewayConfigVariable];
  const isOurs = (name: string): boolean => name.startsWith("CHORUS_GATEWAY_");
  return { config, report, ignoredVariables: ignoredVariablesOf(sources.env, isOurs, known) };
};

/** The table `--print-config` prints. */
export const printedGatewayConfig = ({ report, ignoredVariables }: LoadedGatewayConfig): string =>
  printedSettings(report, ignoredVariables);

/** The rows of docs/OPERATIONS.md's table. */
export const gatewayConfigTable = (): string => settingsTable(gatewaySettings);
