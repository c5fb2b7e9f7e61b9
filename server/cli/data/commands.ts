/**
 * The data commands of the command line: `chorus get`, `set`, `del`, `incr`, `scan`, `watch`, `conflicts`, `export`,
 * `import`. Here is what
 * may be typed; what they do is in run.ts, loaded when one of them runs.
 */
import { type Command, Option } from "commander";
import type { DataOptions } from "./options.ts";

export interface CommandLine {
  readonly examples: (...lines: readonly (readonly [command: string, note: string])[]) => string;
  readonly wholeNumber: (flag: string, min: number, max: number) => (text: string) => number;
  readonly setExitCode: (code: number) => void;
}

const exitCodes = `
Peers: --peers, else those of the cluster that runs in --data, else 127.0.0.1:6001, 6002 and 6003. One that is down does no
harm. A password: --password-file, or CHORUS_PASSWORD_FILE.

Exit code: 0 done, 1 no such key or the condition did not hold, 2 wrong usage, 3 not done (nobody answered, or the peer
refused), 4 not known whether it was done.`;

/** Nobody waits for a single call of those that make many. */
const bulkTimeoutMs = 30_000;

const valueHelp = "\nA VALUE of - is read from standard input, @FILE from a file, byte for byte; @@TEXT is @TEXT.";

export const addDataCommands = (program: Command, line: CommandLine): void => {
  const { examples, wholeNumber, setExitCode } = line;
  const add = (name: string, description: string, shown: string, after = "", timeoutMs = 5000): Command =>
    program
      .command(name)
      .description(description)
      .addHelpText("before", shown)
      .addHelpText("after", `${after}${exitCodes}`)
      .option("--peers <LIST>", "host:port,... of HTTP ports, or ws://... URLs")
      .option("--data <DIR>", "the data directory of a running cluster", "data")
      .addOption(new Option("--password-file <FILE>", "what the peers ask for (mode 600)").env("CHORUS_PASSWORD_FILE"))
      .addOption(
        new Option("--timeout <MS>", "of each call, a failover included")
          .default(timeoutMs)
          .argParser(wholeNumber("timeout", 1, 999_999_999)),
      )
      .option("--json", 'JSON; bytes that are no text as {"base64": ...}', false);
  const load = () => import("./run.ts");
  const ms = (flag: string) => wholeNumber(flag, 1, 999_999_999);

  add(
    "get",
    "print a value",
    examples(
      ["chorus get city", ""],
      ["chorus get photo > photo.jpg", "byte for byte; on a terminal control characters are shown, not sent"],
      ["chorus get city --json", '{"key":"city","value":"Oslo"}'],
    ),
  )
    .argument("<KEY>")
    .action(async (key: string, options: DataOptions) => setExitCode(await (await load()).runGet(key, options)));

  add(
    "set",
    "write a value",
    examples(
      ["chorus set city Oslo", ""],
      ["chorus set photo @photo.jpg", "from a file"],
      ["date | chorus set now - --ex 60", "from standard input, for a minute"],
      ["chorus set lock:job me --nx --px 30000", "exit code 1 when it is there already"],
    ),
    valueHelp,
  )
    .argument("<KEY>")
    .argument("<VALUE>")
    .addOption(
      new Option("--ex <SECONDS>", "expires in so many seconds").argParser(ms("ex")).conflicts(["px", "keepTtl"]),
    )
    .addOption(new Option("--px <MS>", "expires in so many milliseconds").argParser(ms("px")).conflicts("keepTtl"))
    .option("--keep-ttl", "keeps the expiry the key has")
    .addOption(new Option("--nx", "only if there is no such key, as the peer sees it").conflicts("xx"))
    .option("--xx", "only if there is such a key")
    .action(async (key: string, value: string, options: DataOptions) =>
      setExitCode(await (await load()).runSet(key, value, options)),
    );

  add(
    "del",
    "delete keys; prints how many were there",
    examples(["chorus del city", ""], ["chorus scan tmp: --null | xargs -0 chorus del", "many"]),
  )
    .argument("<KEY...>")
    .action(async (keys: string[], options: DataOptions) => setExitCode(await (await load()).runDelete(keys, options)));

  add(
    "incr",
    "add to a counter; prints what it is then",
    examples(["chorus incr visits", ""], ["chorus incr stock --by -3", ""]),
    "\nNot sent twice: exit code 4 when the answer was lost, and it may have been counted.",
  )
    .argument("<KEY>")
    .option("--by <N>", "how much, may be negative", "1")
    .action(async (key: string, options: DataOptions & { by: string }) =>
      setExitCode(await (await load()).runIncr(key, options)),
    );

  add(
    "scan",
    "print keys, one a line",
    examples(
      ["chorus scan", "all"],
      ["chorus scan user:", "those that begin so"],
      ["chorus scan --match 'user:*:name' --limit 100", "by a glob pattern, the first hundred"],
    ),
    "\nEvery key that is there all the while is printed; one that is written meanwhile may be printed twice.",
  )
    .argument("[PREFIX]")
    .addOption(new Option("--match <PATTERN>", "keys that match a glob pattern"))
    .addOption(new Option("--limit <N>", "at most so many").argParser(wholeNumber("limit", 1, 999_999_999)))
    .option("--null", "a NUL behind each key, for xargs -0", false)
    .action(
      async (prefix: string | undefined, options: DataOptions & { match?: string; limit?: number; null: boolean }) =>
        setExitCode(await (await load()).runScan(prefix, options)),
    );

  add(
    "watch",
    "print changes as they come",
    examples(
      ["chorus watch", "all"],
      ["chorus watch user:", "of keys that begin so"],
      ["chorus watch --key city --count 1", "wait for one change"],
      ["chorus watch user: --json | tee -a changes.jsonl", "each with its token"],
      ['chorus watch user: --json --token "$TOKEN"', "go on behind it, at any peer"],
    ),
    "\nIt goes on at another peer when one dies: nothing is missed or repeated. Ctrl-C ends it with exit code 0.",
  )
    .argument("[PREFIX]")
    .addOption(new Option("--key <KEY>", "this key only"))
    .option("--token <TOKEN>", "go on behind this token; '' is from the beginning of what is known")
    .option("--no-values", "without values")
    .addOption(new Option("--count <N>", "end after so many").argParser(wholeNumber("count", 1, 999_999_999)))
    .action(
      async (
        prefix: string | undefined,
        options: DataOptions & { key?: string; token?: string; values: boolean; count?: number },
      ) => setExitCode(await (await load()).runWatch(prefix, options)),
    );

  add(
    "conflicts",
    "print writes that lost against one that did not know of them",
    examples(
      ["chorus conflicts", "the journal of a peer, newest last"],
      ["chorus conflicts city", "of one key"],
      ["chorus conflicts --watch", "and those to come, until Ctrl-C"],
      ["chorus conflicts --restore a.08r…:17", "write the loser back"],
    ),
  )
    .argument("[KEY]")
    .option("--watch", "go on with those to come", false)
    .option("--restore <ID>", "write this conflict's loser back, as a new write")
    .action(async (key: string | undefined, options: DataOptions & { watch: boolean; restore?: string }) =>
      setExitCode(await (await load()).runConflicts(key, options)),
    );

  add(
    "export",
    "write keys and values as lines of JSON",
    examples(
      ["chorus export all.jsonl", "everything"],
      ["chorus export --prefix user: users.jsonl", "keys that begin so"],
      ["chorus export - | gzip > all.jsonl.gz", "to standard output"],
      ["chorus export - | jq -r .key", '{"key":"city","value":"Oslo","expiresAtMs":1900000000000}'],
    ),
    `
Bytes that are no text are {"base64": ...}; expiresAtMs is Unix ms. Each key as it was at some moment: one consistent cut is what
chorus backup gives. A key that is written meanwhile may stand twice.`,
    bulkTimeoutMs,
  )
    .argument("<FILE>", "must not exist yet; - is standard output")
    .addOption(new Option("--prefix <TEXT>", "only keys that begin so"))
    .option("--force", "replace FILE", false)
    .action(async (file: string, options: DataOptions & { prefix?: string; force: boolean }) =>
      setExitCode(await (await import("./export.ts")).runExport(file, options)),
    );

  add(
    "import",
    "read what export wrote, or copy the strings of a running Redis",
    examples(
      ["chorus import all.jsonl", ""],
      ["zcat all.jsonl.gz | chorus import -", "from standard input"],
      ["chorus import --nx all.jsonl", "leaves keys that are there as they are"],
      ["chorus import --from redis://:secret@10.0.0.9:6379/0", "strings, with their TTLs; others are counted"],
    ),
    `
What is written twice is the same as written once: an import that broke off can be done again, or from the line it names. Keys
whose time has passed are left out. A password for Redis may stand in REDISCLI_AUTH instead of the URL.`,
    bulkTimeoutMs,
  )
    .argument("[FILE]", "- is standard input")
    .addOption(new Option("--from <URL>", "redis://[user:password@]host[:port][/database], rediss:// for TLS"))
    .addOption(new Option("--prefix <TEXT>", "only keys that begin so"))
    .addOption(new Option("--nx", "only keys that are not there, as the peer sees it"))
    .addOption(
      new Option("--from-line <N>", "go on at this line")
        .default(1)
        .argParser(wholeNumber("from-line", 1, 999_999_999))
        .conflicts("from"),
    )
    .action(
      async (
        file: string | undefined,
        options: DataOptions & { from?: string; prefix?: string; nx?: true; fromLine: number },
      ) => setExitCode(await (await import("./import.ts")).runImport(file, options)),
    );
};
