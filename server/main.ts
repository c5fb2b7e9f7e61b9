#!/usr/bin/env node
/**
 * `chorus`: the one command line. Each subcommand loads what it needs only when it runs, so help and mistakes are quick.
 *
 * Exit codes: 0 done, 1 tried and failed, 2 wrong usage; `status` adds 3 (a peer did not answer). Those of the data
 * commands are in cli/data/commands.ts.
 */
import { fileURLToPath } from "node:url";
import { Command, CommanderError, Option } from "commander";
import { clusterPeersMax } from "../protocol/limits.ts";
import { addBackupCommands } from "./cli/backup-commands.ts";
import { addDataCommands } from "./cli/data/commands.ts";
import { CommandFailure, failureText, usageFailure } from "./cli/failure.ts";
import { packageVersion } from "./package-version.ts";

/** npm runs us by script name; then that is what a person types again. */
const isNpm = ["start", "peer", "gateway", "chorus", "cluster", "tui"].includes(
  process.env["npm_lifecycle_event"] ?? "",
);
const named = (script: string, direct: string): string => (isNpm ? `npm run ${script} --` : direct);

const examples = (...lines: readonly (readonly [command: string, note: string])[]): string => {
  const width = Math.max(...lines.map(([command]) => command.length));
  return `Examples:\n${lines.map(([command, note]) => `  ${command.padEnd(width)}  # ${note}`.trimEnd()).join("\n")}\n`;
};

const wholeNumber =
  (flag: string, min: number, max: number) =>
  (text: string): number => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max))
      throw usageFailure(`flag --${flag}: expected a whole number, ${min} to ${max}, got "${text}"`);
    return value;
  };

/** `status` and `cluster` set it; anything thrown outranks it. */
let exitCode = 0;

const program = new Command("chorus")
  .description("A multi-master replicated key-value store that speaks the Redis protocol.")
  .version(packageVersion(), "-V, --version", "print the version")
  .helpOption("-h, --help", "print this help")
  .helpCommand("help [command]", "print help of a command")
  .configureHelp({ sortSubcommands: false })
  .addHelpText(
    "before",
    examples(
      ["chorus up", "three peers on this machine, data in ./data"],
      ["chorus peer --data ./mine", "one peer alone"],
      ["chorus peer --name b --peers a=10.0.0.1:6001,b=10.0.0.2:6001 ...", "one of several"],
      ["chorus gateway --peers 127.0.0.1:6001,127.0.0.1:6002", "one address for browsers, curl and Redis clients"],
      ["chorus status --peers 127.0.0.1:6001,127.0.0.1:6002", "identical, or what differs"],
      ["chorus tui", "the cluster in the terminal: peers, keys, changes, conflicts"],
      ["chorus set city Oslo && chorus get city", "data, at whatever peer answers"],
      ["chorus watch user:", "changes as they come"],
      ["chorus inspect data/b", "what a stopped peer has on disk"],
      ["chorus backup monday.chorus", "all data of a running peer, as one file"],
      ["chorus restore monday.chorus --data data/b", "a data directory out of it"],
      ["chorus export --prefix user: users.jsonl", "keys and values as lines of JSON; import reads them"],
    ),
  );

/** The settings are a schema, and loading that takes a while: only those who are asked for it do. */
const isAskedFor = (name: string): boolean =>
  process.argv.slice(2).find((word) => !word.startsWith("-") && word !== "help") === name;

const peer = program
  .command("peer")
  .description("run one peer")
  .addHelpText(
    "before",
    examples(
      ["chorus peer", "alone: TCP 5001, HTTP 6001, data in ./data/a"],
      [
        "chorus peer --name b --peers a=127.0.0.1:6001,b=127.0.0.1:6002 --tcp 5002",
        "one of two; HTTP port from its entry",
      ],
      ["chorus peer --name b --peers-file peers.txt --bind 10.0.0.2 --secret-file s --password-file p", "off loopback"],
      ["CHORUS_FSYNC=always chorus peer --print-config", "each value, and where it came from"],
    ),
  )
  .addHelpText(
    "after",
    "\nEach flag has a CHORUS_* variable and a key in the --config file. Flags > environment > file > defaults.",
  );
if (isAskedFor("peer")) {
  const { addSettingOptions } = await import("./cli/setting-options.ts");
  addSettingOptions(peer, (await import("./config.ts")).settingDescriptions, "CHORUS_CONFIG");
}
peer.option("--print-config", "print each value and its source, and exit").action(async () => {
  const [{ loadConfig, printedConfig, settingDescriptions }, { typedSettings }] = await Promise.all([
    import("./config.ts"),
    import("./cli/setting-options.ts"),
  ]);
  const loaded = loadConfig({ flags: typedSettings(peer, settingDescriptions), env: process.env });
  if (peer.opts()["printConfig"] === true) process.stdout.write(printedConfig(loaded));
  else await (await import("./cli/peer.ts")).peerCommand(loaded);
});

const gateway = program
  .command("gateway")
  .description("run one gateway: HTTP and TCP clients in front of the peers")
  .addHelpText(
    "before",
    examples(
      [
        `${named("gateway", "chorus gateway")}`.replace(/ --$/, ""),
        "HTTP 5000, TCP 5100, before the peers of npm start",
      ],
      [
        `${named("gateway", "chorus gateway")} --peers 10.0.0.1:6001,10.0.0.2:6001 --http 8080`,
        "any peers to begin with",
      ],
      ['curl "http://localhost:5000/set?key=username&value=ada"', "a write, through the gateway"],
      ["redis-cli -p 5100 get username", "a Redis client, handed on to a peer"],
      ["CHORUS_GATEWAY_CACHE=1gb chorus gateway --print-config", "each value, and where it came from"],
    ),
  )
  .addHelpText(
    "after",
    "\nEach flag has a CHORUS_GATEWAY_* variable and a key in the --config file. Flags > environment > file > defaults.",
  );
if (isAskedFor("gateway")) {
  const [{ addSettingOptions }, { gatewaySettings, gatewayConfigVariable }] = await Promise.all([
    import("./cli/setting-options.ts"),
    import("./gateway/config.ts"),
  ]);
  addSettingOptions(gateway, gatewaySettings, gatewayConfigVariable);
}
gateway.option("--print-config", "print each value and its source, and exit").action(async () => {
  const [{ gatewaySettings, loadGatewayConfig, printedGatewayConfig }, { typedSettings }] = await Promise.all([
    import("./gateway/config.ts"),
    import("./cli/setting-options.ts"),
  ]);
  const loaded = loadGatewayConfig({ flags: typedSettings(gateway, gatewaySettings), env: process.env });
  if (gateway.opts()["printConfig"] === true) process.stdout.write(printedGatewayConfig(loaded));
  else await (await import("./cli/gateway.ts")).gatewayCommand(loaded);
});

const up = program
  .command("up")
  .description("start several peers and a gateway on this machine (npm start)")
  .addHelpText(
    "before",
    examples(
      [
        isNpm ? "npm start" : "chorus up",
        "three peers, TCP 5001-5003, HTTP 6001-6003; a gateway, HTTP 5000, TCP 5100; data in ./data",
      ],
      [
        `${isNpm ? "npm start --" : "chorus up"} --count 5 --data DIR --tcp 7001 --http 8001`,
        "five, ports counted up from these",
      ],
      [`${isNpm ? "npm start --" : "chorus up"} --gateway-http 8080 --gateway-tcp 6379`, "the gateway's ports"],
      [`${isNpm ? "npm start --" : "chorus up"} --fsync always --acks 1`, "settings of a peer go to all of them"],
    ),
  )
  .addHelpText(
    "after",
    "\nEvery peer is its own process. None is restarted: see the cluster command. Ctrl-C stops all.",
  )
  .addOption(new Option("--count <N>", "how many peers").default(3).argParser(wholeNumber("count", 1, clusterPeersMax)))
  .addOption(new Option("--data <DIR>", "each peer gets a directory in it").default("data"))
  .addOption(
    new Option("--tcp <PORT>", "first port for nc and Redis clients; 0: free ones")
      .default(5001)
      .argParser(wholeNumber("tcp", 0, 65_535)),
  )
  .addOption(
    new Option("--http <PORT>", "first port for HTTP and links; 0: free ones")
      .default(6001)
      .argParser(wholeNumber("http", 0, 65_535)),
  );
up.addOption(
  new Option("--gateway-http <PORT>", "the gateway's port for HTTP; 0: a free one (default: 5000)").argParser(
    wholeNumber("gateway-http", 0, 65_535),
  ),
)
  .addOption(
    new Option(
      "--gateway-tcp <PORT>",
      "the gateway's port for nc and Redis clients; 0: a free one (default: 5100)",
    ).argParser(wholeNumber("gateway-tcp", 0, 65_535)),
  )
  .addOption(new Option("--no-gateway", "peers only"));
if (isAskedFor("up")) {
  const { addSettingOptions } = await import("./cli/setting-options.ts");
  const { settingDescriptions } = await import("./config.ts");
  const shared = settingDescriptions.filter(({ perPeer }) => perPeer !== true);
  addSettingOptions(up, shared, "CHORUS_CONFIG");
}
interface UpOptions {
  readonly count: number;
  readonly data: string;
  readonly tcp: number;
  readonly http: number;
  readonly gateway: boolean;
  readonly gatewayHttp?: number;
  readonly gatewayTcp?: number;
}

up.action(async ({ count, data, tcp, http, gateway: wantsGateway, gatewayHttp, gatewayTcp }: UpOptions) => {
  const [{ runCluster }, { typedSettings }, { settingDescriptions }] = await Promise.all([
    import("./cli/cluster/supervisor.ts"),
    import("./cli/setting-options.ts"),
    import("./config.ts"),
  ]);
  const ownCommand = [
    ...process.execArgv.filter((flag) => !flag.startsWith("--max-old-space-size")),
    fileURLToPath(import.meta.url),
  ];
  // --data, --tcp and --http mean another thing here; `planCluster` gives each peer its own.
  const { data: _data, tcp: _tcp, http: _http, ...flags } = typedSettings(up, settingDescriptions);
  exitCode = await runCluster({
    count,
    directory: data.length > 1 ? data.replace(/\/+$/, "") : data,
    tcpPort: tcp,
    httpPort: http,
    flags,
    env: process.env,
    gateway: wantsGateway ? { httpPort: gatewayHttp, tcpPort: gatewayTcp } : undefined,
    peerCommand: [...ownCommand, "peer"],
    gatewayCommand: [...ownCommand, "gateway"],
    clusterCommand: named("cluster", "chorus cluster"),
    statusCommand: `${named("chorus", "chorus")} status`,
    tuiCommand: named("tui", "chorus tui"),
  });
});

const cluster = program
  .command("cluster")
  .description("give orders to the running cluster of this machine")
  .addHelpText(
    "before",
    examples(
      [`${named("cluster", "chorus cluster")} stop b`, "SIGTERM: a clean stop"],
      [`${named("cluster", "chorus cluster")} kill b`, "SIGKILL: as a crash"],
      [`${named("cluster", "chorus cluster")} start b`, "start it again on its data"],
      [`${named("cluster", "chorus cluster")} pause b`, "SIGSTOP: as a machine that hangs; resume b ends it"],
      [`${named("cluster", "chorus cluster")} stop gateway`, "the gateway is one of them"],
    ),
  );
const orders = {
  stop: "stop a peer cleanly (SIGTERM)",
  kill: "kill a peer (SIGKILL)",
  start: "start a peer again",
  pause: "stop a peer's clock (SIGSTOP)",
  resume: "let it go on (SIGCONT)",
} as const;
for (const [action, description] of Object.entries(orders) as [keyof typeof orders, string][])
  cluster
    .command(`${action} <peer>`)
    .description(description)
    .option("--data <DIR>", "the data directory the cluster was started with", "data")
    .action(async (name: string, { data }: { data: string }) => {
      const { orderCluster } = await import("./cli/cluster/control.ts");
      process.stdout.write(`${await orderCluster(data, { action, peer: name })}\n`);
    });

program
  .command("status")
  .description("ask all peers how they are, and whether they are identical")
  .addHelpText(
    "before",
    examples(
      ["chorus status", "the cluster that runs in ./data"],
      ["chorus status --peers 127.0.0.1:6001,127.0.0.1:6002,127.0.0.1:6003", "by their HTTP ports"],
      ["chorus status --peers ... --watch", "again every second, until Ctrl-C"],
      ["until chorus status --peers ... > /dev/null; do sleep 1; done", "wait until identical"],
    ),
  )
  .addHelpText("after", "\nExit code: 0 identical, 1 syncing or different, 2 wrong usage, 3 a peer did not answer.")
  .option("--peers <LIST>", "host:port,... or name=host:port,... (default: those of the cluster in --data)")
  .option("--data <DIR>", "the data directory of a running cluster", "data")
  .option("--json", "the reports and the verdict as JSON", false)
  .option("--watch", "every second", false)
  .action(async ({ peers, data, json, watch }: { peers?: string; data: string; json: boolean; watch: boolean }) => {
    const { runStatus } = await import("./cli/status.ts");
    const { statusPeers } = await import("./cli/status-peers.ts");
    exitCode = await runStatus({ peers: statusPeers(peers, data), json, watch });
  });

addDataCommands(program, {
  examples,
  wholeNumber,
  setExitCode: (code) => {
    exitCode = code;
  },
});

program
  .command("tui")
  .description("watch and work on a cluster in the terminal (npm run tui)")
  .argument("[peers...]", "host:port of HTTP ports (default: the cluster in --data, else 127.0.0.1:6001-6003)")
  .addHelpText(
    "before",
    examples(
      [named("tui", "chorus tui"), "the cluster that runs in ./data"],
      [`${named("tui", "chorus tui")} 10.0.0.1:6001`, "any one peer; it tells of the others"],
      [`${named("tui", "chorus tui")} 10.0.0.1:6001 --read-only`, "look, change nothing"],
      [`${named("tui", "chorus tui")} --json`, "one status, as JSON; also what a pipe gets as text"],
    ),
  )
  .addHelpText("after", "\n? in the program shows its keys; docs/TUI.md tells the rest. NO_COLOR is honoured.")
  .option("--read-only", "refuse whatever changes anything", false)
  .option("--password-file <FILE>", "what clients AUTH with (or CHORUS_PASSWORD_FILE)")
  .option("--data <DIR>", "the data directory of a running cluster", "data")
  .option("--json", "print one status as JSON and exit", false)
  .action(
    async (
      peers: readonly string[],
      { data, readOnly, json, passwordFile }: { data: string; readOnly: boolean; json: boolean; passwordFile?: string },
    ) => {
      const { tuiCommand } = await import("./cli/tui.ts");
      exitCode = await tuiCommand({ peers, data, readOnly, json, passwordFile });
    },
  );

program
  .command("inspect")
  .description("print what a stopped peer has on disk")
  .argument("<DIR>", "its data directory, such as data/b")
  .addHelpText(
    "before",
    examples(
      ["chorus inspect data/b", "facts, log segments, the first 100 keys"],
      ["chorus inspect data/b --prefix user: --count 1000", "keys that start with user:"],
      ["chorus inspect data/b --json", "for programs"],
    ),
  )
  .addHelpText("after", "\nExit code: 0 all is whole, 1 damaged, in use, or not there, 2 wrong usage.")
  .option("--prefix <TEXT>", "only keys that start with it", "")
  .addOption(
    new Option("--count <N>", "how many keys at most").default(100).argParser(wholeNumber("count", 0, 999_999_999)),
  )
  .option("--json", "as JSON", false)
  .action(async (directory: string, { json, prefix, count }: { json: boolean; prefix: string; count: number }) => {
    const { runInspect } = await import("./cli/inspect-text.ts");
    exitCode = await runInspect(directory, { json, prefix, cellsMax: count });
  });

addBackupCommands(program, {
  examples,
  wholeNumber,
  setExitCode: (code) => {
    exitCode = code;
  },
});

/** One line, whoever complains: commander puts its guess on a second one. */
const oneLine = (text: string): string =>
  text
    .trim()
    .replace(/^error: /, "")
    .replace(/\n\(Did you mean (.*)\?\)$/, " (did you mean $1?)");

const strict = (command: Command): void => {
  command
    .exitOverride()
    .allowExcessArguments(false)
    .configureOutput({ outputError: (text, write) => write(`chorus: ${oneLine(text)}\n`) });
  for (const child of command.commands) strict(child);
};
strict(program);

/** A reader that left (`chorus status | head -1`) is no failure of ours. */
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(exitCode);
  throw error;
});

try {
  if (process.argv.length <= 2) program.outputHelp();
  else await program.parseAsync();
  process.exitCode = exitCode;
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else {
    process.stderr.write(`chorus: ${failureText(error)}\n`);
    process.exitCode = error instanceof CommandFailure ? error.exitCode : 1;
  }
}
