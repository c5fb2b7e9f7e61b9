/**
 * A peer's configuration: ONE schema (settings.ts says how it is filled), from which come the flags, the `CHORUS_*`
 * variables, the keys of `--config FILE`, `--print-config`, the table in docs/OPERATIONS.md and what CONFIG GET answers.
 *
 * Refused: anything unknown on the command line or in the file. Unknown `CHORUS_*` variables are only shown by
 * `--print-config`, since Kubernetes makes some up for any service that is called chorus.
 */
import { isIP } from "node:net";
import { z } from "zod";
import { conflictsMaxDefault, passwordBytesMin, peersMax } from "../protocol/limits.ts";
import { type PeerName, parsePeerName, strongPrefixesDefault } from "../protocol/words.ts";
import { usageFailure } from "./cli/failure.ts";
import { parseSecrets } from "./links/handshake.ts";
import {
  addressList,
  checkSettings,
  count,
  describeSettings,
  gatherSettings,
  type HostPort,
  hostPort,
  hostPortToText,
  ignoredVariables as ignoredVariablesOf,
  isLoopback,
  loadPassword,
  loadPrivateFile,
  loadText,
  oneOf,
  onOff,
  originList,
  parseHostPort,
  port,
  prefixList,
  printedSettings,
  type RawValue,
  reportSettings,
  type SettingDescription as SettingDescriptionOf,
  type SettingReport,
  type SettingSources,
  settingMetas,
  settingsTable,
  size,
  text,
} from "./settings.ts";

export interface ListedPeer extends HostPort {
  readonly name: PeerName;
}

/** What `runPeer` takes. Everything resolved: no field waits for another to be meaningful. */
export interface PeerConfig {
  readonly name: PeerName;
  /** All peers of the cluster in the order given, this one included. */
  readonly peers: readonly ListedPeer[];
  readonly bind: string;
  /** 0: any free port. */
  readonly tcpPort: number;
  readonly httpPort: number;
  /** Where other peers reach this one's HTTP port. */
  readonly advertise: HostPort;
  readonly dataDirectory: string;
  readonly clusterId: string;
  readonly fsync: "always" | "interval" | "never";
  /** How many other peers must hold a write on disk before it is answered. */
  readonly acks: number;
  /** An empty peer takes writes at once, without having heard from the others. */
  readonly bootstrap: boolean;
  /** The data directory was put back from a copy: catch up with another peer before taking clients. */
  readonly restored: boolean;
  /** What peers prove to each other: one, or two while one replaces the other. None only on loopback. */
  readonly secrets: readonly Buffer[];
  /** What clients AUTH with, latin1 like every value on the wire; undefined only on loopback. */
  readonly password: string | undefined;
  /** Balancers whose connections to the TCP port begin with a PROXY header. */
  readonly proxies: readonly string[];
  /** Origins of web pages that may open `/client`, lower case, beside this peer's own; `*` is any. */
  readonly allowOrigins: readonly string[];
  /** 0: no limit. */
  readonly memoryBytesMax: number;
  readonly clockSkewMsMax: number;
  /** Keys that begin with one of these are strong; sorted. */
  readonly strongPrefixes: readonly string[];
  /** An operation on a strong key that no majority has answered by then is NOQUORUM or UNKNOWN. */
  readonly strongTimeoutMs: number;
  /** The registers of this disk are lost; the operator lets it take part again. */
  readonly readmitRegisters: boolean;
  readonly logRetentionBytes: number;
  readonly conflictsMax: number;
  readonly logLevel: LogLevel;
  readonly logFormat: "pretty" | "json";
  /** 0: as node was started. */
  readonly heapMb: number;
  /** Clients may cut this peer's links with FAULT. */
  readonly faultLinks: boolean;
  /** What CONFIG GET answers: Redis's own names where there is one, then ours. Never a secret, only file names. */
  readonly parameters: ReadonlyMap<string, string>;
}

export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

const peerNameWords = "expected 1 to 32 of A-Z a-z 0-9 _ -";

const peerList = z
  .union(
    [
      z.string().transform((input) => input.split(",").filter((entry) => entry.trim() !== "")),
      z.record(z.string(), z.string()).transform((entries) => Object.entries(entries).map((entry) => entry.join("="))),
    ],
    "expected a=host:port,b=host:port,...",
  )
  .transform((entries, context): readonly ListedPeer[] => {
    const peers: ListedPeer[] = [];
    const refuse = (message: string): never => {
      context.addIssue(message);
      return z.NEVER;
    };
    for (const entry of entries) {
      const at = entry.indexOf("=");
      const name = parsePeerName(entry.slice(0, at).trim());
      const address = parseHostPort(entry.slice(at + 1));
      if (at < 1 || name === undefined || address === undefined)
        return refuse(`expected name=host:port, not "${entry.trim()}"`);
      if (peers.some((peer) => peer.name === name)) return refuse(`peer ${name} is listed twice`);
      const twin = peers.find((peer) => peer.host === address.host && peer.port === address.port);
      if (twin !== undefined)
        return refuse(`peers ${twin.name} and ${name} have one address, ${hostPortToText(address)}`);
      peers.push({ name, ...address });
    }
    if (peers.length === 0) return refuse("expected at least one name=host:port");
    if (peers.length > peersMax) return refuse(`${peers.length} peers, at most ${peersMax}`);
    return peers;
  });

const settingsSchema = z.strictObject({
  name: text("a peer's name")
    .regex(/^[A-Za-z0-9_-]{1,32}$/, peerNameWords)
    .optional()
    .register(settingMetas, {
      argument: "NAME",
      summary: "this peer's name, for ever the same: 1 to 32 of A-Z a-z 0-9 _ -",
      defaultText: "a, when there are no --peers",
      perPeer: true,
    }),
  peers: peerList.optional().register(settingMetas, {
    argument: "LIST",
    summary: "all peers as a=host:port,b=host:port,...: their HTTP ports, this peer included",
    show: (value) => (value as readonly ListedPeer[]).map((peer) => `${peer.name}=${hostPortToText(peer)}`).join(","),
    defaultText: "this peer alone",
    perPeer: true,
  }),
  peersFile: text("a file name").optional().register(settingMetas, {
    argument: "FILE",
    summary: "the same from a file, one name=host:port a line, # for comments",
    defaultText: "none",
    perPeer: true,
  }),
  tcp: port.default(5001).register(settingMetas, {
    argument: "PORT",
    summary: "port for nc and Redis clients; 0 is any free one",
    perPeer: true,
    redisName: "port",
  }),
  http: port.optional().register(settingMetas, {
    argument: "PORT",
    summary: "port for HTTP and the links between peers",
    defaultText: "the port of its own entry in --peers, else 6001",
    perPeer: true,
  }),
  bind: z
    .string()
    .refine((address) => address === "localhost" || isIP(address) !== 0, "expected an IP address or localhost")
    .default("127.0.0.1")
    .register(settingMetas, {
      argument: "ADDRESS",
      summary: "address to listen on; off loopback it needs --secret-file and --password-file",
      redisName: "bind",
    }),
  advertise: hostPort.optional().register(settingMetas, {
    argument: "HOST:PORT",
    summary: "where the other peers reach this one's HTTP port",
    show: (value) => hostPortToText(value as HostPort),
    defaultText: "its own entry in --peers",
    perPeer: true,
  }),
  data: text("a directory").optional().register(settingMetas, {
    argument: "DIR",
    summary: "directory of this peer's log and checkpoint; made if missing",
    defaultText: "./data/NAME",
    perPeer: true,
    redisName: "dir",
  }),
  cluster: text("a name")
    .regex(/^[A-Za-z0-9_.-]{1,64}$/, "expected 1 to 64 of A-Z a-z 0-9 _ . -")
    .default("chorus")
    .register(settingMetas, {
      argument: "ID",
      summary: "name of the cluster; peers of different clusters refuse each other",
    }),
  fsync: oneOf(["always", "interval", "never"]).default("interval").register(settingMetas, {
    argument: "WHEN",
    summary:
      "when a write is forced to disk: always (before its answer), interval (within 1 s), never (up to the system)",
  }),
  acks: count(0, peersMax - 1)
    .default(0)
    .register(settingMetas, {
      argument: "N",
      summary: "answer a write when this many other peers hold it on disk",
    }),
  bootstrap: onOff.default(false).register(settingMetas, {
    summary: "a new cluster: take writes with an empty directory without having heard from the others",
    perPeer: true,
  }),
  restored: onOff.default(false).register(settingMetas, {
    summary:
      "the directory was put back from a copy: take no clients until caught up with another peer (once is enough)",
    perPeer: true,
  }),
  secretFile: text("a file name").optional().register(settingMetas, {
    argument: "FILE",
    summary: "what peers prove to each other; a second line is accepted too, while one replaces the other (mode 600)",
    defaultText: "none",
  }),
  passwordFile: text("a file name")
    .optional()
    .register(settingMetas, {
      argument: "FILE",
      summary: `what clients AUTH with: one line of at least ${passwordBytesMin} bytes (mode 600)`,
      defaultText: "none",
    }),
  allowOrigin: originList.default([]).register(settingMetas, {
    argument: "ORIGIN",
    summary:
      "web pages of this origin may use keys (/kv, /client) and read /watch, such as https://app.example; several: again, or by commas; * is any",
    defaultText: "only pages of the peer's own host and port",
    repeatable: true,
    show: (value) => (value as readonly string[]).join(","),
  }),
  proxyProtocol: addressList.default([]).register(settingMetas, {
    argument: "LIST",
    summary:
      "addresses or networks of balancers whose TCP connections begin with a PROXY header (v1 or v2), such as a gateway's",
    defaultText: "none",
    show: (value) => (value as readonly string[]).join(","),
  }),
  maxMemory: size(0).default(0).register(settingMetas, {
    argument: "SIZE",
    summary: "past this, writes that grow are refused with -OOM; 0 is no limit. Nothing is ever evicted",
    redisName: "maxmemory",
    isSize: true,
  }),
  maxClockSkew: count(1, 86_400_000).default(5000).register(settingMetas, {
    argument: "MS",
    summary: "a clock further than this from a majority's makes the peer refuse writes",
  }),
  strongPrefix: prefixList.default([...strongPrefixesDefault]).register(settingMetas, {
    argument: "PREFIX",
    summary:
      "keys that begin so are strong (linearizable, by majority); several: again, or by commas. The same at all peers, fixed when the cluster is born",
    repeatable: true,
    show: (value) => (value as readonly string[]).join(","),
  }),
  strongTimeout: count(50, 60_000).default(2000).register(settingMetas, {
    argument: "MS",
    summary: "an operation on a strong key that no majority answers is given up after this: -NOQUORUM, or -UNKNOWN",
  }),
  readmitRegisters: onOff.default(false).register(settingMetas, {
    summary:
      "the strong keys of this peer's disk are lost: copy what the others hold, then take part again (see docs/STRONG.md)",
    perPeer: true,
  }),
  logRetention: size(64 * 1024)
    .default(1024 ** 3)
    .register(settingMetas, {
      argument: "SIZE",
      summary: "log kept for peers that are away; one that needs more gets a state transfer",
      isSize: true,
    }),
  conflictsMax: count(0, 10_000_000).default(conflictsMaxDefault).register(settingMetas, {
    argument: "N",
    summary: "displaced concurrent writes kept in the journal; older ones are dropped and counted",
  }),
  logLevel: oneOf(logLevels)
    .default("info")
    .register(settingMetas, {
      argument: "LEVEL",
      summary: `least level logged: ${logLevels.join(", ")}`,
      redisName: "loglevel",
    }),
  logFormat: oneOf(["pretty", "json"]).optional().register(settingMetas, {
    argument: "FORMAT",
    summary: "pretty or json, to standard error",
    defaultText: "pretty on a terminal, else json",
  }),
  heapMb: count(0, 1_048_576).default(0).register(settingMetas, {
    argument: "MB",
    summary: "JavaScript heap of the process in MiB; 0 leaves node's choice",
  }),
  faultLinks: onOff.default(false).register(settingMetas, {
    summary: "for tests and demonstrations: clients may cut and heal this peer's links with FAULT LINK",
  }),
});

type Settings = z.output<typeof settingsSchema>;
export type SettingKey = keyof Settings;
export type SettingDescription = SettingDescriptionOf<SettingKey>;

/** In the order of help and documents. */
export const settingDescriptions: readonly SettingDescription[] = describeSettings(settingsSchema.shape, "CHORUS_");

export interface LoadedConfig {
  readonly config: PeerConfig;
  readonly report: readonly SettingReport[];
  /** `CHORUS_*` variables that mean nothing to Chorus, with a guess where one is near. */
  readonly ignoredVariables: readonly string[];
}

export type ConfigSources = SettingSources<SettingKey>;

/** Reads all sources, checks them, and reads the secret files. Throws a CommandFailure with exit code 2. */
export const loadConfig = (sources: ConfigSources): LoadedConfig => {
  const raw = gatherSettings(settingDescriptions, sources, "CHORUS_CONFIG");
  dropLesserPeerList(raw);
  // Each field was parsed by its own schema.
  const values = checkSettings(settingsSchema.shape, raw) as Settings;
  const known = [...settingDescriptions.map(({ variable }) => variable), "CHORUS_CONFIG"];
  // A gateway's are its own business.
  const isOurs = (name: string): boolean => name.startsWith("CHORUS_") && !name.startsWith("CHORUS_GATEWAY_");
  return resolveConfig(values, raw, ignoredVariablesOf(sources.env, isOurs, known));
};

/** --peers and --peers-file say the same thing: the one from the stronger source stands; from one source, both is a mistake. */
const dropLesserPeerList = (raw: Map<SettingKey, RawValue>): void => {
  const list = raw.get("peers");
  const file = raw.get("peersFile");
  if (list === undefined || file === undefined) return;
  if (list.rank === file.rank) throw usageFailure(`${list.source} and ${file.source} exclude each other; give one`);
  raw.delete(list.rank > file.rank ? "peersFile" : "peers");
};

const loadPeersFile = (path: string): readonly ListedPeer[] => {
  const entries = loadText(path, "--peers-file")
    .split("\n")
    .map((line) => line.replace(/#.*/, "").trim())
    .filter((line) => line !== "");
  const parsed = peerList.safeParse(entries.join(","));
  if (!parsed.success) throw usageFailure(`file ${path}: ${parsed.error.issues[0]?.message}`);
  return parsed.data;
};

const loadSecrets = (path: string): readonly Buffer[] => {
  try {
    return parseSecrets(Buffer.from(loadPrivateFile(path, "secret-file"), "latin1").toString());
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw usageFailure(`--secret-file ${path}: ${error.message} (openssl rand -hex 32 makes a good one)`);
  }
};

const httpPortDefault = 6001;

const resolveConfig = (
  settings: Settings,
  raw: ReadonlyMap<SettingKey, RawValue>,
  ignoredVariables: readonly string[],
): LoadedConfig => {
  const listed = settings.peers ?? (settings.peersFile === undefined ? undefined : loadPeersFile(settings.peersFile));
  if (settings.name === undefined && listed !== undefined)
    throw usageFailure(`--name is missing: which of ${listed.map((peer) => peer.name).join(", ")} is this peer?`);
  const name = parsePeerName(settings.name ?? "a");
  if (name === undefined) throw usageFailure(`--name: ${peerNameWords}`);
  const own = listed?.find((peer) => peer.name === name);
  if (listed !== undefined && own === undefined)
    throw usageFailure(`--name ${name} is not among the peers ${listed.map((peer) => peer.name).join(", ")}`);

  const httpPort = settings.http ?? own?.port ?? httpPortDefault;
  if (settings.tcp !== 0 && settings.tcp === httpPort)
    throw usageFailure(`--tcp and --http are both ${httpPort}; they need a port each`);
  const advertise = settings.advertise ?? own ?? { host: settings.bind, port: httpPort };
  const peers = listed ?? [{ name, host: advertise.host, port: advertise.port }];
  if (settings.acks > peers.length - 1)
    throw usageFailure(`--acks ${settings.acks} can never be met: there are ${peers.length - 1} other peers`);

  const secrets = settings.secretFile === undefined ? [] : loadSecrets(settings.secretFile);
  const password = settings.passwordFile === undefined ? undefined : loadPassword(settings.passwordFile);
  if (!isLoopback(settings.bind) && (secrets.length === 0 || password === undefined))
    throw usageFailure(
      `--bind ${settings.bind} is open to the network and needs both --secret-file and --password-file; ` +
        "Chorus has no TLS yet, so even then what crosses the wire can be read: use a private network or a tunnel",
    );

  const config: Omit<PeerConfig, "parameters"> = {
    name,
    peers,
    bind: settings.bind,
    tcpPort: settings.tcp,
    httpPort,
    advertise: { host: advertise.host, port: advertise.port },
    dataDirectory: settings.data ?? `./data/${name}`,
    clusterId: settings.cluster,
    fsync: settings.fsync,
    acks: settings.acks,
    bootstrap: settings.bootstrap,
    restored: settings.restored,
    secrets,
    password,
    proxies: settings.proxyProtocol,
    allowOrigins: settings.allowOrigin,
    memoryBytesMax: settings.maxMemory,
    clockSkewMsMax: settings.maxClockSkew,
    strongPrefixes: settings.strongPrefix,
    strongTimeoutMs: settings.strongTimeout,
    readmitRegisters: settings.readmitRegisters,
    logRetentionBytes: settings.logRetention,
    conflictsMax: settings.conflictsMax,
    logLevel: settings.logLevel,
    logFormat: settings.logFormat ?? (process.stderr.isTTY ? "pretty" : "json"),
    heapMb: settings.heapMb,
    faultLinks: settings.faultLinks,
  };
  const derived: Partial<Record<SettingKey, readonly [value: unknown, source: string]>> = {
    name: [name, "default"],
    peers: [peers, listed === undefined ? "default: this peer alone" : `file ${settings.peersFile}`],
    http: [httpPort, own === undefined ? "default" : "its own entry in --peers"],
    advertise: [advertise, own === undefined ? "default" : "its own entry in --peers"],
    data: [config.dataDirectory, "default"],
    logFormat: [config.logFormat, process.stderr.isTTY ? "default: a terminal" : "default: no terminal"],
  };
  const report = reportSettings(settingDescriptions, settings, raw, derived);
  return { config: { ...config, parameters: configurationParameters(config, report) }, report, ignoredVariables };
};

const configurationParameters = (
  config: Omit<PeerConfig, "parameters">,
  report: readonly SettingReport[],
): ReadonlyMap<string, string> => {
  const parameters = new Map<string, string>([
    ["save", ""],
    ["appendonly", "yes"],
    ["appendfsync", { always: "always", interval: "everysec", never: "no" }[config.fsync]],
    ["databases", "1"],
    ["maxmemory-policy", "noeviction"],
    ["requirepass", config.password === undefined ? "" : "(set)"],
  ]);
  for (const { key, flag, redisName } of settingDescriptions) {
    const entry = report.find((row) => row.flag === flag);
    if (entry === undefined) continue;
    parameters.set(flag, entry.value);
    if (redisName !== undefined)
      parameters.set(redisName, key === "maxMemory" ? String(config.memoryBytesMax) : entry.value);
  }
  return parameters;
};

/** The table `--print-config` prints. */
export const printedConfig = ({ report, ignoredVariables }: LoadedConfig): string =>
  printedSettings(report, ignoredVariables);

/** The rows of docs/OPERATIONS.md's table. */
export const configTable = (): string => settingsTable(settingDescriptions);
