/**
 * A peer's configuration: ONE schema, from which come the flags, the `CHORUS_*` variables, the keys of `--config FILE`,
 * `--print-config`, the table in docs/OPERATIONS.md and what CONFIG GET answers.
 *
 * Precedence: flags > environment > file > defaults. Every value remembers where it came from, and every complaint names
 * that place. A value is checked here once; nobody checks it again.
 *
 * Refused: anything unknown on the command line or in the file. Unknown `CHORUS_*` variables are only shown by
 * `--print-config`, since Kubernetes makes some up for any service that is called chorus.
 */
import { readFileSync, statSync } from "node:fs";
import { BlockList, isIP, isIPv6 } from "node:net";
import { z } from "zod";
import { conflictsMaxDefault, passwordBytesMax, passwordBytesMin, peersMax } from "../protocol/limits.ts";
import { type PeerName, parsePeerName } from "../protocol/words.ts";
import { didYouMean, failureText, usageFailure } from "./cli/failure.ts";
import { parseSize, sizeToText } from "./cli/sizes.ts";
import { parseSecrets } from "./links/handshake.ts";

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

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
  /** Origins of web pages that may open `/client`, lower case, beside this peer's own; `*` is any. */
  readonly allowOrigins: readonly string[];
  /** 0: no limit. */
  readonly memoryBytesMax: number;
  readonly clockSkewMsMax: number;
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

interface SettingMeta {
  /** Placeholder of the value in help; a setting without one is on or off. */
  readonly argument?: string;
  readonly summary: string;
  /** The default in words, where it is not the schema's own. */
  readonly defaultText?: string;
  /** Each peer of one machine's cluster has its own: `npm start` sets it and does not pass it through. */
  readonly perPeer?: true;
  /** Redis's name of the same thing, for CONFIG GET. */
  readonly redisName?: string;
  /** The flag may be given several times; its value is then an array. */
  readonly repeatable?: true;
}

const settingMetas = z.registry<SettingMeta>();

const port = z
  .union(
    [
      z.number(),
      z
        .string()
        .regex(/^\d{1,5}$/)
        .transform(Number),
    ],
    "expected a port, 0 to 65535",
  )
  .pipe(z.number().int().min(0).max(65_535, "expected a port, 0 to 65535"));

const count = (min: number, max: number) => {
  const words = `expected a whole number, ${min} to ${max}`;
  return z
    .union(
      [
        z.number(),
        z
          .string()
          .regex(/^\d{1,15}$/)
          .transform(Number),
      ],
      words,
    )
    .pipe(z.number(words).int(words).min(min, words).max(max, words));
};

const size = (min: number) => {
  const words = `expected a size such as 512mb or 1gb${min > 0 ? `, at least ${sizeToText(min)}` : ""}`;
  return z
    .union([z.number(), z.string().transform((text) => parseSize(text) ?? -1)], words)
    .pipe(z.number(words).int(words).min(min, words));
};

const onOff = z.union(
  [z.boolean(), z.stringbool({ truthy: ["1", "true", "yes", "on"], falsy: ["0", "false", "no", "off"] })],
  "expected yes or no",
);

const oneOf = <const Words extends readonly [string, ...string[]]>(words: Words) =>
  z.enum(words, `expected one of ${words.join(", ")}`);

const text = (what: string) => z.string(`expected ${what}`).min(1, `expected ${what}`).max(4096, "too long");

const peerNameWords = "expected 1 to 32 of A-Z a-z 0-9 _ -";

/** `host:port`, `[v6]:port`; undefined for anything else. */
export const parseHostPort = (input: string): HostPort | undefined => {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]{1,253})):(\d{1,5})$/.exec(input.trim());
  const host = match?.[1] ?? match?.[2];
  const portNumber = Number(match?.[3]);
  if (host === undefined || !(portNumber >= 1 && portNumber <= 65_535)) return undefined;
  if (match?.[1] !== undefined && !isIPv6(host)) return undefined;
  return { host, port: portNumber };
};

export const hostPortToText = ({ host, port }: HostPort): string =>
  isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;

const hostPort = z.string("expected host:port").transform((input, context): HostPort => {
  const parsed = parseHostPort(input);
  if (parsed !== undefined) return parsed;
  context.addIssue("expected host:port");
  return z.NEVER;
});

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

const originWords = "expected origins such as https://app.example:8443, or *";

/** As a browser sends it: scheme, host, and the port unless it is the scheme's own. */
const originList = z
  .union([z.string().transform((input) => input.split(",")), z.array(z.string())], originWords)
  .transform((entries, context): readonly string[] => {
    const origins = entries.map((entry) => entry.trim().toLowerCase()).filter((entry) => entry !== "");
    const bad = origins.find((origin) => origin !== "*" && !isOrigin(origin));
    if (bad === undefined) return [...new Set(origins)];
    context.addIssue(`${originWords}, not "${bad}"`);
    return z.NEVER;
  });

const isOrigin = (text: string): boolean => URL.canParse(text) && new URL(text).origin === text;

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
      "web pages of this origin may connect to /client and read /watch, such as https://app.example; several: again, or by commas; * is any",
    defaultText: "only pages of the peer's own host and port",
    repeatable: true,
  }),
  maxMemory: size(0).default(0).register(settingMetas, {
    argument: "SIZE",
    summary: "past this, writes that grow are refused with -OOM; 0 is no limit. Nothing is ever evicted",
    redisName: "maxmemory",
  }),
  maxClockSkew: count(1, 86_400_000).default(5000).register(settingMetas, {
    argument: "MS",
    summary: "a clock further than this from a majority's makes the peer refuse writes",
  }),
  logRetention: size(64 * 1024)
    .default(1024 ** 3)
    .register(settingMetas, {
      argument: "SIZE",
      summary: "log kept for peers that are away; one that needs more gets a state transfer",
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

/** A setting as help, documents and printers see it. */
export interface SettingDescription extends SettingMeta {
  readonly key: SettingKey;
  /** `max-memory`; also the key in the file. */
  readonly flag: string;
  /** `CHORUS_MAX_MEMORY`. */
  readonly variable: string;
  readonly defaultText: string;
}

const sizeKeys: ReadonlySet<SettingKey> = new Set(["maxMemory", "logRetention"]);

const valueToText = (key: SettingKey, value: unknown): string => {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return sizeKeys.has(key) ? sizeToText(value) : String(value);
  if (key === "peers")
    return (value as readonly ListedPeer[]).map((peer) => `${peer.name}=${hostPortToText(peer)}`).join(",");
  if (key === "allowOrigin") return (value as readonly string[]).join(",");
  if (key === "advertise") return hostPortToText(value as HostPort);
  return String(value);
};

/** In the order of help and documents. */
export const settingDescriptions: readonly SettingDescription[] = Object.entries(settingsSchema.shape).map(
  ([name, schema]) => {
    const key = name as SettingKey;
    const meta = settingMetas.get(schema);
    if (meta === undefined) throw new Error(`setting ${name} is not described`);
    const flag = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const variable = `CHORUS_${flag.replaceAll("-", "_").toUpperCase()}`;
    const own = schema.safeParse(undefined);
    return { ...meta, key, flag, variable, defaultText: meta.defaultText ?? valueToText(key, own.data) };
  },
);

export interface SettingReport {
  readonly flag: string;
  readonly value: string;
  /** `flag --tcp`, `environment CHORUS_TCP`, `file chorus.json`, `default`, `from --peers`. */
  readonly source: string;
}

export interface LoadedConfig {
  readonly config: PeerConfig;
  readonly report: readonly SettingReport[];
  /** `CHORUS_*` variables that mean nothing to Chorus, with a guess where one is near. */
  readonly ignoredVariables: readonly string[];
}

export interface ConfigSources {
  /** What the command line gave: flag values as typed, `true` or `false` for a switch. By setting key. */
  readonly flags: Readonly<Partial<Record<SettingKey | "config", unknown>>>;
  readonly env: Readonly<Record<string, string | undefined>>;
}

interface RawValue {
  readonly value: unknown;
  readonly source: string;
  /** Higher wins. */
  readonly rank: 1 | 2 | 3;
}

/** Reads all sources, checks them, and reads the secret files. Throws a CommandFailure with exit code 2. */
export const loadConfig = ({ flags, env }: ConfigSources): LoadedConfig => {
  const file = typeof flags.config === "string" ? flags.config : env["CHORUS_CONFIG"] || undefined;
  const fileValues = file === undefined ? new Map<string, unknown>() : loadConfigFile(file);

  const raw = new Map<SettingKey, RawValue>();
  for (const { key, flag, variable } of settingDescriptions) {
    const variableValue = env[variable];
    if (flags[key] !== undefined) raw.set(key, { value: flags[key], source: `flag --${flag}`, rank: 3 });
    // An empty variable counts as unset: compose files write `${X:-}`.
    else if (variableValue !== undefined && variableValue !== "")
      raw.set(key, { value: variableValue, source: `environment ${variable}`, rank: 2 });
    else if (fileValues.has(flag)) raw.set(key, { value: fileValues.get(flag), source: `file ${file}`, rank: 1 });
  }
  dropLesserPeerList(raw);

  const values: Record<string, unknown> = {};
  for (const { key } of settingDescriptions) {
    const given = raw.get(key);
    const parsed = settingsSchema.shape[key].safeParse(given?.value);
    if (!parsed.success)
      throw usageFailure(`${given?.source}: ${parsed.error.issues[0]?.message}, got ${quote(given?.value)}`);
    values[key] = parsed.data;
  }
  // Each field was parsed by its own schema just above.
  return resolveConfig(values as Settings, raw, ignoredVariablesOf(env));
};

const quote = (value: unknown): string => {
  const json = JSON.stringify(value) ?? String(value);
  return json.length > 80 ? `${json.slice(0, 77)}...` : json;
};

/** --peers and --peers-file say the same thing: the one from the stronger source stands; from one source, both is a mistake. */
const dropLesserPeerList = (raw: Map<SettingKey, RawValue>): void => {
  const list = raw.get("peers");
  const file = raw.get("peersFile");
  if (list === undefined || file === undefined) return;
  if (list.rank === file.rank) throw usageFailure(`${list.source} and ${file.source} exclude each other; give one`);
  raw.delete(list.rank > file.rank ? "peersFile" : "peers");
};

const ignoredVariablesOf = (env: ConfigSources["env"]): string[] => {
  const known = [...settingDescriptions.map(({ variable }) => variable), "CHORUS_CONFIG"];
  return Object.keys(env)
    .filter((name) => name.startsWith("CHORUS_") && !known.includes(name))
    .map((name) => `${name}${didYouMean(name, known)}`);
};

const loadText = (path: string, what: string): string => {
  try {
    return readFileSync(path, "latin1");
  } catch (error) {
    throw usageFailure(`${what}: ${failureText(error)}`);
  }
};

const loadConfigFile = (path: string): Map<string, unknown> => {
  const content = loadText(path, "--config");
  let parsed: unknown;
  try {
    parsed = JSON.parse(content);
  } catch (error) {
    throw usageFailure(`file ${path} is not JSON: ${failureText(error)}`);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw usageFailure(`file ${path}: expected an object such as {"tcp": 5002, "fsync": "always"}`);
  const known = settingDescriptions.map(({ flag }) => flag);
  for (const key of Object.keys(parsed))
    if (!known.includes(key)) throw usageFailure(`file ${path}: unknown setting "${key}"${didYouMean(key, known)}`);
  return new Map(Object.entries(parsed));
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

/** What a file holds that only its owner may read. The mode is checked before the content is. */
const loadPrivateFile = (path: string, flag: string): string => {
  let mode: number;
  try {
    mode = statSync(path).mode;
  } catch (error) {
    throw usageFailure(`--${flag}: ${failureText(error)}`);
  }
  if ((mode & 0o077) !== 0) {
    const octal = (mode & 0o777).toString(8).padStart(3, "0");
    throw usageFailure(`--${flag}: ${path} can be read by others (mode ${octal}); chmod 600 ${path}`);
  }
  return loadText(path, `--${flag}`);
};

const loadSecrets = (path: string): readonly Buffer[] => {
  try {
    return parseSecrets(Buffer.from(loadPrivateFile(path, "secret-file"), "latin1").toString());
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw usageFailure(`--secret-file ${path}: ${error.message} (openssl rand -hex 32 makes a good one)`);
  }
};

/** One line. Redis's wire is bytes, so the password is too: latin1, as every value here. */
export const loadPassword = (path: string): string => {
  const password = loadPrivateFile(path, "password-file").replace(/\r?\n$/, "");
  if (/[\r\n]/.test(password)) throw usageFailure(`--password-file ${path}: more than one line`);
  if (password.length < passwordBytesMin || password.length > passwordBytesMax)
    throw usageFailure(
      `--password-file ${path}: a password of ${password.length} bytes, expected ${passwordBytesMin} to ${passwordBytesMax}`,
    );
  return password;
};

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

export const isLoopback = (address: string): boolean =>
  address === "localhost" || (isIP(address) !== 0 && loopback.check(address, isIPv6(address) ? "ipv6" : "ipv4"));

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
    allowOrigins: settings.allowOrigin,
    memoryBytesMax: settings.maxMemory,
    clockSkewMsMax: settings.maxClockSkew,
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
  const report = settingDescriptions.map(({ key, flag }): SettingReport => {
    const source = raw.get(key)?.source;
    if (source !== undefined) return { flag, value: valueToText(key, settings[key]), source };
    const [value, why] = derived[key] ?? [settings[key], "default"];
    return { flag, value: value === undefined ? "" : valueToText(key, value), source: why };
  });
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
      parameters.set(redisName, sizeKeys.has(key) ? String(config.memoryBytesMax) : entry.value);
  }
  return parameters;
};

/** The table `--print-config` prints. */
export const printedConfig = ({ report, ignoredVariables }: LoadedConfig): string => {
  const flagWidth = Math.max(...report.map(({ flag }) => flag.length));
  const valueWidth = Math.min(48, Math.max(...report.map(({ value }) => value.length)));
  const lines = report.map(
    ({ flag, value, source }) => `${flag.padEnd(flagWidth)}  ${(value || "-").padEnd(valueWidth)}  ${source}`,
  );
  for (const name of ignoredVariables) lines.push(`ignored: environment ${name}`);
  return `${lines.join("\n")}\n`;
};

/** The rows of docs/OPERATIONS.md's table. */
export const configTable = (): string => {
  const rows = settingDescriptions.map(({ flag, argument, variable, defaultText, summary }) => {
    const cells = [
      `\`--${flag}${argument === undefined ? "" : ` ${argument}`}\``,
      `\`${variable}\``,
      defaultText,
      summary,
    ];
    return `| ${cells.join(" | ").replaceAll("\n", " ")} |`;
  });
  return ["| flag | environment | default | meaning |", "|---|---|---|---|", ...rows].join("\n");
};
