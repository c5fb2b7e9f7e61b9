/**
 * What the configurations of a peer (config.ts) and of a gateway (gateway/config.ts) have in common: ONE schema each, from
 * which come the flags, the `CHORUS_*` variables, the keys of `--config FILE`, `--print-config` and a table of documents.
 *
 * Precedence: flags > environment > file > defaults. Every value remembers where it came from, and every complaint names
 * that place. A value is checked here once; nobody checks it again.
 */
import { readFileSync, statSync } from "node:fs";
import { BlockList, isIP, isIPv6 } from "node:net";
import { z } from "zod";
import { passwordBytesMax, passwordBytesMin, strongPrefixBytesMax, strongPrefixesMax } from "../protocol/limits.ts";
import { didYouMean, failureText, usageFailure } from "./cli/failure.ts";
import { parseSize, sizeToText } from "./cli/sizes.ts";

// ---- What a setting is ------------------------------------------------------------------------------------------------

export interface SettingMeta {
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
  /** Bytes, shown as `64mb`. */
  readonly isSize?: true;
  /** A value that is neither text, number nor switch, as it is typed. */
  readonly show?: (value: unknown) => string;
}

export const settingMetas = z.registry<SettingMeta>();

/** A setting as help, documents and printers see it. */
export interface SettingDescription<Key extends string = string> extends SettingMeta {
  readonly key: Key;
  /** `max-memory`; also the key in the file. */
  readonly flag: string;
  /** `CHORUS_MAX_MEMORY`. */
  readonly variable: string;
  readonly defaultText: string;
}

type Shape<Key extends string> = Readonly<Record<Key, z.ZodType>>;

/** In the order of help and documents. `prefix`: of the variables. */
export const describeSettings = <Key extends string>(
  shape: Shape<Key>,
  prefix: string,
): readonly SettingDescription<Key>[] =>
  Object.entries<z.ZodType>(shape).map(([name, schema]) => {
    const meta = settingMetas.get(schema);
    if (meta === undefined) throw new Error(`setting ${name} is not described`);
    const flag = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const variable = `${prefix}${flag.replaceAll("-", "_").toUpperCase()}`;
    const own = schema.safeParse(undefined);
    // The cast holds: these are the shape's own keys.
    return { ...meta, key: name as Key, flag, variable, defaultText: meta.defaultText ?? showSetting(meta, own.data) };
  });

export const showSetting = (meta: SettingMeta, value: unknown): string => {
  if (value === undefined) return "";
  if (meta.show !== undefined) return meta.show(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return meta.isSize === true ? sizeToText(value) : String(value);
  return String(value);
};

// ---- Kinds of values --------------------------------------------------------------------------------------------------

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export const port = z
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

export const count = (min: number, max: number) => {
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

export const size = (min: number) => {
  const words = `expected a size such as 512mb or 1gb${min > 0 ? `, at least ${sizeToText(min)}` : ""}`;
  return z
    .union([z.number(), z.string().transform((text) => parseSize(text) ?? -1)], words)
    .pipe(z.number(words).int(words).min(min, words));
};

export const onOff = z.union(
  [z.boolean(), z.stringbool({ truthy: ["1", "true", "yes", "on"], falsy: ["0", "false", "no", "off"] })],
  "expected yes or no",
);

export const oneOf = <const Words extends readonly [string, ...string[]]>(words: Words) =>
  z.enum(words, `expected one of ${words.join(", ")}`);

export const text = (what: string) => z.string(`expected ${what}`).min(1, `expected ${what}`).max(4096, "too long");

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

export const hostPort = z.string("expected host:port").transform((input, context): HostPort => {
  const parsed = parseHostPort(input);
  if (parsed !== undefined) return parsed;
  context.addIssue("expected host:port");
  return z.NEVER;
});

const originWords = "expected origins such as https://app.example:8443, or *";

/** As a browser sends it: scheme, host, and the port unless it is the scheme's own. */
export const originList = z
  .union([z.string().transform((input) => input.split(",")), z.array(z.string())], originWords)
  .transform((entries, context): readonly string[] => {
    const origins = entries.map((entry) => entry.trim().toLowerCase()).filter((entry) => entry !== "");
    const bad = origins.find((origin) => origin !== "*" && !isOrigin(origin));
    if (bad === undefined) return [...new Set(origins)];
    context.addIssue(`${originWords}, not "${bad}"`);
    return z.NEVER;
  });

const isOrigin = (text: string): boolean => URL.canParse(text) && new URL(text).origin === text;

const prefixWords = `expected 1 to ${strongPrefixBytesMax} printable ASCII characters without space or comma`;

/** Prefixes of keys; sorted, since their order means nothing. */
export const prefixList = z
  .union([z.string().transform((input) => input.split(",")), z.array(z.string())], prefixWords)
  .transform((entries, context): readonly string[] => {
    const bad = entries.find((entry) => entry.length > strongPrefixBytesMax || !/^[!-+\--~]+$/.test(entry));
    if (bad !== undefined) context.addIssue(`${prefixWords}, not "${bad}"`);
    else if (entries.length === 0 || entries.length > strongPrefixesMax)
      context.addIssue(`expected 1 to ${strongPrefixesMax} prefixes`);
    else return [...new Set(entries)].sort();
    return z.NEVER;
  });

const addressWords = "expected IP addresses or networks such as 10.0.0.5 or 10.0.0.0/8";

/** IP addresses and networks, as text that is known to be some. */
export const addressList = z
  .union([z.string().transform((input) => input.split(",")), z.array(z.string())], addressWords)
  .transform((entries, context): readonly string[] => {
    const addresses = entries.map((entry) => entry.trim()).filter((entry) => entry !== "");
    const bad = addresses.find((address) => !isNetwork(address));
    if (bad === undefined) return [...new Set(addresses)];
    context.addIssue(`${addressWords}, not "${bad}"`);
    return z.NEVER;
  });

const isNetwork = (text: string): boolean => {
  const [address = "", bits, more] = text.split("/");
  const family = isIP(address);
  if (family === 0 || more !== undefined) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
};

/** Whether an address is one of these, or in one of these networks. */
export const addressTest = (list: readonly string[]): ((address: string) => boolean) => {
  const known = new BlockList();
  const familyOf = (address: string): "ipv4" | "ipv6" => (isIPv6(address) ? "ipv6" : "ipv4");
  for (const entry of list) {
    const [address = "", bits] = entry.split("/");
    if (bits === undefined) known.addAddress(address, familyOf(address));
    else known.addSubnet(address, Number(bits), familyOf(address));
  }
  return (given) => {
    // An IPv4 client of a socket that takes both.
    const address = given.replace(/^::ffff:(?=\d+\.)/i, "");
    return isIP(address) !== 0 && known.check(address, familyOf(address));
  };
};

// ---- Where values come from -------------------------------------------------------------------------------------------

export interface SettingSources<Key extends string> {
  /** What the command line gave: flag values as typed, `true` or `false` for a switch. By setting key. */
  readonly flags: Readonly<Partial<Record<Key | "config", unknown>>>;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface RawValue {
  readonly value: unknown;
  /** `flag --tcp`, `environment CHORUS_TCP`, `file chorus.json`. */
  readonly source: string;
  /** Higher wins. */
  readonly rank: 1 | 2 | 3;
}

export interface SettingReport {
  readonly flag: string;
  readonly value: string;
  /** As `RawValue.source`; or `default`, `from --peers` and the like. */
  readonly source: string;
}

/** What was given, by key, the strongest source's word each. `fileVariable` names a file when `--config` does not. */
export const gatherSettings = <Key extends string>(
  descriptions: readonly SettingDescription<Key>[],
  { flags, env }: SettingSources<Key>,
  fileVariable: string,
): Map<Key, RawValue> => {
  const given = flags as Readonly<Partial<Record<string, unknown>>>;
  const file = typeof given["config"] === "string" ? given["config"] : env[fileVariable] || undefined;
  const fileValues = file === undefined ? new Map<string, unknown>() : loadConfigFile(file, descriptions);
  const raw = new Map<Key, RawValue>();
  for (const { key, flag, variable } of descriptions) {
    const variableValue = env[variable];
    if (given[key] !== undefined) raw.set(key, { value: given[key], source: `flag --${flag}`, rank: 3 });
    // An empty variable counts as unset: compose files write `${X:-}`.
    else if (variableValue !== undefined && variableValue !== "")
      raw.set(key, { value: variableValue, source: `environment ${variable}`, rank: 2 });
    else if (fileValues.has(flag)) raw.set(key, { value: fileValues.get(flag), source: `file ${file}`, rank: 1 });
  }
  return raw;
};

/** Each value checked by its schema; defaults where nothing was given. Throws a CommandFailure with exit code 2. */
export const checkSettings = <Key extends string>(
  shape: Shape<Key>,
  raw: ReadonlyMap<Key, RawValue>,
): Record<Key, unknown> => {
  const values: Partial<Record<Key, unknown>> = {};
  for (const [key, schema] of Object.entries<z.ZodType>(shape) as [Key, z.ZodType][]) {
    const given = raw.get(key);
    const parsed = schema.safeParse(given?.value);
    if (!parsed.success)
      throw usageFailure(`${given?.source}: ${parsed.error.issues[0]?.message}, got ${quote(given?.value)}`);
    values[key] = parsed.data;
  }
  // All keys of the shape were gone through.
  return values as Record<Key, unknown>;
};

const quote = (value: unknown): string => {
  const json = JSON.stringify(value) ?? String(value);
  return json.length > 80 ? `${json.slice(0, 77)}...` : json;
};

/** `derived`: what a setting that was not given comes out as, and why. */
export const reportSettings = <Key extends string>(
  descriptions: readonly SettingDescription<Key>[],
  values: Readonly<Partial<Record<Key, unknown>>>,
  raw: ReadonlyMap<Key, RawValue>,
  derived: Readonly<Partial<Record<Key, readonly [value: unknown, source: string]>>>,
): readonly SettingReport[] =>
  descriptions.map((description): SettingReport => {
    const { key, flag } = description;
    const source = raw.get(key)?.source;
    if (source !== undefined) return { flag, value: showSetting(description, values[key]), source };
    const [value, why] = derived[key] ?? [values[key], "default"];
    return { flag, value: showSetting(description, value), source: why };
  });

/** The table `--print-config` prints. */
export const printedSettings = (report: readonly SettingReport[], ignoredVariables: readonly string[]): string => {
  const flagWidth = Math.max(...report.map(({ flag }) => flag.length));
  const valueWidth = Math.min(48, Math.max(...report.map(({ value }) => value.length)));
  const lines = report.map(
    ({ flag, value, source }) => `${flag.padEnd(flagWidth)}  ${(value || "-").padEnd(valueWidth)}  ${source}`,
  );
  for (const name of ignoredVariables) lines.push(`ignored: environment ${name}`);
  return `${lines.join("\n")}\n`;
};

/** The rows of a table in docs/OPERATIONS.md. */
export const settingsTable = (descriptions: readonly SettingDescription[]): string => {
  const rows = descriptions.map(({ flag, argument, variable, defaultText, summary }) => {
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

/** Variables that begin as ours do and mean nothing, with a guess where one is near. */
export const ignoredVariables = (
  env: Readonly<Record<string, string | undefined>>,
  isOurs: (name: string) => boolean,
  known: readonly string[],
): string[] =>
  Object.keys(env)
    .filter((name) => isOurs(name) && !known.includes(name))
    .map((name) => `${name}${didYouMean(name, known)}`);

// ---- Files ------------------------------------------------------------------------------------------------------------

export const loadText = (path: string, what: string): string => {
  try {
    return readFileSync(path, "latin1");
  } catch (error) {
    throw usageFailure(`${what}: ${failureText(error)}`);
  }
};

const loadConfigFile = (path: string, descriptions: readonly SettingDescription[]): Map<string, unknown> => {
  const content = loadText(path, "--config");
  let parsed: unknown;
  try {
    parsed = JSON.parse(content);
  } catch (error) {
    throw usageFailure(`file ${path} is not JSON: ${failureText(error)}`);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw usageFailure(`file ${path}: expected an object such as {"tcp": 5002, "fsync": "always"}`);
  const known = descriptions.map(({ flag }) => flag);
  for (const key of Object.keys(parsed))
    if (!known.includes(key)) throw usageFailure(`file ${path}: unknown setting "${key}"${didYouMean(key, known)}`);
  return new Map(Object.entries(parsed));
};

/** What a file holds that only its owner may read. The mode is checked before the content is. */
export const loadPrivateFile = (path: string, flag: string): string => {
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
