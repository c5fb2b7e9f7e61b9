/** The load tool's command line: examples first, every bound said. */
import { didYouMean, usageFailure } from "../../server/cli/failure.ts";
import { type HostPort, parseHostPort } from "../../server/settings.ts";
import { valueBytesMin } from "./keys.ts";
import { type Mix, parseMix } from "./operation.ts";
import { type Way, ways } from "./own-cluster.ts";
import { parseFlags } from "./parse-flags.ts";
import { parseTargets, type Targets } from "./targets.ts";

export interface Options {
  /** Undefined: those of the `npm start` that runs here. */
  readonly targets: Targets | undefined;
  /** HTTP addresses of the peers that `--verify` asks; undefined: found out from the targets. */
  readonly peers: readonly HostPort[] | undefined;
  readonly clients: number;
  readonly pipeline: number;
  readonly seconds: number;
  readonly mix: Mix;
  readonly keys: number;
  readonly zipf: number;
  readonly valueBytes: number;
  /** Undefined: a closed loop. */
  readonly rate: number | undefined;
  readonly timeoutMs: number;
  readonly slowMs: number;
  readonly fill: boolean;
  readonly session: boolean;
  readonly seed: number;
  readonly verify: boolean;
  readonly chaos: ChaosPlan | undefined;
  readonly runs: number;
  readonly jsonFile: string | undefined;
  readonly htmlFile: string | undefined;
  readonly keep: boolean;
  readonly quiet: boolean;
}

export interface ChaosPlan {
  readonly way: Way;
  readonly peers: number;
  readonly everyMs: number;
  readonly downMs: number;
  /** Settings of the peers by key, as typed. */
  readonly flags: Readonly<Record<string, string>>;
}

export const helpText = `Examples:
  npm run load -- --rate 5000                                    # the cluster of npm start, 30 seconds
  npm run load -- --targets http://127.0.0.1:5000 --mix get=100 --fill --rate 10000
  npm run load -- --targets 127.0.0.1:5001,127.0.0.1:5002 --clients 8 --mix set=20,get=70,incr=10 \\
                  --keys 100000 --zipf 0.99 --value 64 --rate 20000 --verify --html load.html
  npm run load -- --targets ws://127.0.0.1:6001 --clients 50     # as fast as they answer (closed loop)
  npm run load -- --chaos --verify --seconds 20 --rate 4000      # its own cluster, whose peers are killed
  npm run load -- --chaos --verify --runs 10 --seconds 10 --via resp

Sends commands to Chorus at a fixed rate and measures how long each took from when it was due, whether it could be sent
then or not. Prints throughput, latencies, failures and a histogram.

Where:
  --targets LIST     host:port or redis:// (Redis protocol), ws:// (the TypeScript client), http:// (/kv/KEY: a peer or a
                     gateway). redis://:SECRET@host:port for a password. Default: the peers of the npm start that runs here.
                     Clients are spread over them, and go on at the next one when theirs fails
  --peers LIST       HTTP ports of the peers, host:port: for --verify where the targets do not tell them

What:
  --rate N           operations a second, all clients together, 0.1 to 1000000. Without it: each client sends as soon as
                     it was answered, and latency counts from there
  --clients N        1 to 10000 (8)
  --pipeline N       operations a client has under way at a time, 1 to 1000 (1). HTTP: connections per client
  --seconds N        how long, 1 to 604800 (30)
  --mix LIST         weights of set, get, incr, del (set=20,get=70,incr=10)
  --keys N           different keys, and as many counters, 1 to 10000000 (100000)
  --zipf S           skew: key k is drawn k^-S times as often as the first, 0 (all alike) to 5 (0.99)
  --value BYTES      ${valueBytesMin} to 1048576 (64)
  --fill             write every key once before, so that reads find something
  --session          HTTP: send back the session token, so that each client reads its own writes
  --timeout MS       of an operation; then it failed, 10 to 600000 (5000)
  --slow MS          an answer later than this does not count as available, 1 to 600000 (2000)
  --seed N           of keys and commands, 0 to 999999999 (1)

Checks:
  --verify           keys of its own, one client writing each; afterwards every acknowledged write is looked for at every
                     peer, and the digests must be identical. The keys are deleted in the end
  --chaos            start three peers of its own in a temporary directory, and kill -9 one after the other; each comes back
  --via WAY          with --chaos, how clients reach them: ${ways.join(", ")} (${ways[0]})
  --chaos-seconds N  from one kill to the next, 0.5 to 86400 (5)
  --down-seconds N   how long a peer stays dead, 0 to 3600 (2)
  --chaos-peers N    how many peers, 2 to 9 (3)
  --peer LIST        settings of the peers: acks=1,fsync=always
  --runs N           so many runs, each with a new cluster, 1 to 1000 (1)
  --keep             leave the temporary directory, with data and logs

Output:
  --json FILE        the report for programs; - is standard output
  --html FILE        the report with plots, one file
  --quiet            no line per second
  --help             print this help

Ctrl-C ends the load and prints what there is. Exit code: 0 done, 1 something was lost or differs, or no operation
succeeded, 2 wrong usage.
`;

const flags = {
  targets: { type: "string" },
  peers: { type: "string" },
  clients: { type: "string" },
  pipeline: { type: "string" },
  seconds: { type: "string" },
  mix: { type: "string" },
  keys: { type: "string" },
  zipf: { type: "string" },
  value: { type: "string" },
  rate: { type: "string" },
  timeout: { type: "string" },
  slow: { type: "string" },
  fill: { type: "boolean" },
  session: { type: "boolean" },
  seed: { type: "string" },
  verify: { type: "boolean" },
  chaos: { type: "boolean" },
  via: { type: "string" },
  "chaos-seconds": { type: "string" },
  "down-seconds": { type: "string" },
  "chaos-peers": { type: "string" },
  peer: { type: "string" },
  runs: { type: "string" },
  json: { type: "string" },
  html: { type: "string" },
  keep: { type: "boolean" },
  quiet: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

/** Undefined: help was asked for. Throws a CommandFailure with exit code 2. */
export const parseOptions = (given: readonly string[]): Options | undefined => {
  const values = parseFlags(given, flags);
  if (values.help === true) return undefined;
  const whole = (flag: keyof typeof flags, min: number, max: number, otherwise: number): number =>
    numberOf(flag, values[flag], min, max, /^\d{1,9}$/) ?? otherwise;
  const decimal = (flag: keyof typeof flags, min: number, max: number): number | undefined =>
    numberOf(flag, values[flag], min, max, /^\d{1,9}(\.\d{1,6})?$/);

  const options: Options = {
    targets: values.targets === undefined ? undefined : listOf("targets", parseTargets(values.targets)),
    peers: values.peers === undefined ? undefined : parsePeers(values.peers),
    clients: whole("clients", 1, 10_000, 8),
    pipeline: whole("pipeline", 1, 1000, 1),
    seconds: decimal("seconds", 1, 604_800) ?? 30,
    mix: listOf("mix", parseMix(values.mix ?? "set=20,get=70,incr=10")),
    keys: whole("keys", 1, 10_000_000, 100_000),
    zipf: decimal("zipf", 0, 5) ?? 0.99,
    valueBytes: whole("value", valueBytesMin, 1024 ** 2, 64),
    rate: decimal("rate", 0.1, 1_000_000),
    timeoutMs: whole("timeout", 10, 600_000, 5000),
    slowMs: whole("slow", 1, 600_000, 2000),
    fill: values.fill === true,
    session: values.session === true,
    seed: whole("seed", 0, 999_999_999, 1),
    verify: values.verify === true,
    chaos: parseChaos(values, decimal, whole),
    runs: whole("runs", 1, 1000, 1),
    jsonFile: values.json,
    htmlFile: values.html,
    keep: values.keep === true,
    quiet: values.quiet === true,
  };
  check(options);
  return options;
};

type Values = ReturnType<typeof parseFlags<typeof flags>>;

const numberOf = (flag: string, text: unknown, min: number, max: number, pattern: RegExp): number | undefined => {
  if (typeof text !== "string") return undefined;
  const number = pattern.test(text) ? Number(text) : Number.NaN;
  if (number >= min && number <= max) return number;
  throw usageFailure(`flag --${flag}: expected a number, ${min} to ${max}, got "${text}"`);
};

const listOf = <Parsed>(flag: string, parsed: Parsed | string): Parsed => {
  if (typeof parsed === "string") throw usageFailure(`flag --${flag}: ${parsed}`);
  return parsed;
};

const parsePeers = (text: string): readonly HostPort[] =>
  text.split(",").map((part) => {
    const address = parseHostPort(part.replace(/^http:\/\//, ""));
    if (address === undefined) throw usageFailure(`flag --peers: expected host:port, got "${part}"`);
    return address;
  });

const parseChaos = (
  values: Values,
  decimal: (flag: keyof typeof flags, min: number, max: number) => number | undefined,
  whole: (flag: keyof typeof flags, min: number, max: number, otherwise: number) => number,
): ChaosPlan | undefined => {
  const needs = (["via", "chaos-seconds", "down-seconds", "chaos-peers", "peer"] as const).find(
    (flag) => values[flag] !== undefined,
  );
  if (values.chaos !== true) {
    if (needs !== undefined) throw usageFailure(`flag --${needs} goes with --chaos`);
    return undefined;
  }
  const via = values.via ?? ways[0];
  const way = ways.find((known) => known === via);
  if (way === undefined)
    throw usageFailure(`flag --via: there is no "${via}"${didYouMean(via, ways)}; there are ${ways.join(", ")}`);
  return {
    way,
    peers: whole("chaos-peers", 2, 9, 3),
    everyMs: 1000 * (decimal("chaos-seconds", 0.5, 86_400) ?? 5),
    downMs: 1000 * (decimal("down-seconds", 0, 3600) ?? 2),
    flags: parsePeerFlags(values.peer ?? ""),
  };
};

/** `acks=1,max-memory=1gb`. What they mean is checked where the peers are planned. */
const parsePeerFlags = (text: string): Readonly<Record<string, string>> => {
  const peerFlags: Record<string, string> = {};
  for (const part of text.split(",").filter((word) => word !== "")) {
    const [, name, value] = /^([a-z-]+)=(.+)$/.exec(part) ?? [];
    if (name === undefined || value === undefined)
      throw usageFailure(`flag --peer: expected name=value,..., got "${part}"`);
    peerFlags[name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())] = value;
  }
  return peerFlags;
};

/** Rules between flags. */
const check = ({ targets, chaos, verify, keys, clients, pipeline, runs, session }: Options): void => {
  if (chaos !== undefined && targets !== undefined)
    throw usageFailure("--chaos kills peers of a cluster it starts itself; it takes no --targets");
  if (chaos === undefined && runs > 1) throw usageFailure("--runs goes with --chaos");
  if (verify && keys < clients * (pipeline + 1))
    throw usageFailure(
      `--verify gives each key one client, and each write a key: ${clients} clients with ${pipeline} under way need ` +
        `--keys ${clients * (pipeline + 1)} or more`,
    );
  if (session && targets !== undefined && targets.protocol !== "http")
    throw usageFailure("--session goes with http:// targets");
};
