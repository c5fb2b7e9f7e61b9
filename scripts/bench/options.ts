/** The bench's command line: examples first, every bound said. */
import { didYouMean, usageFailure } from "../../server/cli/failure.ts";
import { parseFlags } from "../load/parse-flags.ts";
import { type FigureName, figures, strongNames } from "./figures.ts";

export interface Options {
  readonly only: ReadonlySet<FigureName>;
  readonly rounds: number;
  /** Of the figures that load every key: a round takes a minute or more. */
  readonly heavyRounds: number;
  /** Length of a throughput run, and of a lag run. */
  readonly seconds: number;
  /** Length of a throughput run in requests, instead. */
  readonly requests: number | undefined;
  /** Keys of the figures about memory, restart, return and busy reads. */
  readonly keys: number;
  /** Random keys of the throughput and lag figures. */
  readonly keyspace: number;
  /** Random keys of the strong figures. */
  readonly strongKeys: number;
  /** SETs a second of the lag figure. */
  readonly lagRate: number;
  readonly json: boolean;
  readonly quick: boolean;
  readonly keep: boolean;
}

const heavyRoundsMax = 3;

export const helpText = `Examples:
  npm run bench                                  # all figures: about half an hour on two idle cores
  npm run bench -- --quick                       # all of it once, small: does it work? The figures mean nothing
  npm run bench -- --only set,get                # every figure whose name begins so
  npm run bench -- --only lag --rounds 9 --seconds 20
  npm run bench -- --strong                      # strong keys beside etcd: about five minutes
  npm run bench -- --json > bench.json           # for programs; progress goes to standard error

Measures three Chorus peers beside redis-server (a primary, two replicas), both started here, on loopback, in temporary
directories. Without redis-server Chorus is measured alone; without redis-benchmark the throughput rows are left out.
With --strong: strong keys beside three etcd servers; without etcd Chorus alone.

Options:
  --only NAME,...   figures: ${figures
    .map(({ name }) => name)
    .join(", ")
    .replaceAll(/(.{60,80}), /g, "$1,\n                    ")}
  --strong          the strong-... figures, which are not measured otherwise
  --rounds N        rounds of each figure, 1 to 99 (5); of memory, restart, return, busy-get and scrape at most ${heavyRoundsMax}
  --seconds N       length of one throughput, lag or strong run, 1 to 600 (5)
  --requests N      length of one throughput run in requests, 1000 to 20000000, instead
  --keys N          keys of memory, restart, return, busy-get and scrape, 1000 to 20000000 (1000000)
  --quick           one round, short runs, 20,000 keys
  --json            the result as JSON on standard output
  --keep            leave the temporary directory, with all data and logs, and say where it is
  --help            print this help

Exit code: 0 all was measured, 1 something could not be, 2 wrong usage.
`;

const flags = {
  only: { type: "string" },
  strong: { type: "boolean" },
  rounds: { type: "string" },
  seconds: { type: "string" },
  requests: { type: "string" },
  keys: { type: "string" },
  json: { type: "boolean" },
  quick: { type: "boolean" },
  keep: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

/** Undefined: help was asked for. Throws a CommandFailure with exit code 2. */
export const parseOptions = (given: readonly string[]): Options | undefined => {
  const values = parseFlags(given, flags);
  if (values.help === true) return undefined;
  if (values.strong === true && values.only !== undefined)
    throw usageFailure("flags --strong and --only: say one (--only takes names of strong figures too)");
  const quick = values.quick === true;
  const rounds = wholeNumber("rounds", values.rounds, 1, 99) ?? (quick ? 1 : 5);
  const requests = wholeNumber("requests", values.requests, 1000, 20_000_000) ?? (quick ? 20_000 : undefined);
  return {
    only: values.strong === true ? new Set(strongNames) : parseOnly(values.only),
    rounds,
    heavyRounds: Math.min(rounds, heavyRoundsMax),
    seconds: wholeNumber("seconds", values.seconds, 1, 600) ?? (quick ? 1 : 5),
    requests,
    keys: wholeNumber("keys", values.keys, 1000, 20_000_000) ?? (quick ? 20_000 : 1_000_000),
    keyspace: quick ? 10_000 : 100_000,
    strongKeys: quick ? 1000 : 10_000,
    lagRate: 20_000,
    json: values.json === true,
    quick,
    keep: values.keep === true,
  };
};

const wholeNumber = (flag: string, text: string | undefined, min: number, max: number): number | undefined => {
  if (text === undefined) return undefined;
  const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(number >= min && number <= max))
    throw usageFailure(`flag --${flag}: expected a whole number, ${min} to ${max}, got "${text}"`);
  return number;
};

/** A name, or the beginning of several up to a hyphen: `set` is every `set-...`. */
const parseOnly = (text: string | undefined): ReadonlySet<FigureName> => {
  const names = figures.map(({ name }) => name);
  if (text === undefined) return new Set(names.filter((name) => !strongNames.includes(name)));
  const only = new Set<FigureName>();
  for (const word of text.split(",").map((part) => part.trim())) {
    const meant = names.filter((name) => name === word || name.startsWith(`${word}-`));
    if (meant.length === 0 || word === "") {
      const groups = [...names, ...names.map((name) => name.replace(/-.*$/, ""))];
      throw usageFailure(`flag --only: there is no figure "${word}"${didYouMean(word, groups)}`);
    }
    for (const name of meant) only.add(name);
  }
  return only;
};
