/** The command line of `npm run lincheck`: examples first, every bound said. */
import { usageFailure } from "../../../server/cli/failure.ts";
import { parseFlags } from "../../load/parse-flags.ts";

export interface Options {
  readonly seconds: number;
  readonly clients: number;
  readonly keys: number;
  readonly peers: 3 | 5;
  readonly seed: number;
  /** Where the history is written as it comes in. */
  readonly historyFile: string | undefined;
  /** A stored history, instead of a run. */
  readonly readFile: string | undefined;
}

export const helpText = `Examples:
  npm run lincheck -- --seconds 300                     # the run of docs/STRONG.md
  npm run lincheck -- --seconds 20 --seed 7             # the same blows in the same order as the last run with seed 7
  npm run lincheck -- --peers 5 --seconds 120
  npm run lincheck -- --seconds 60 --history run.jsonl
  npm run lincheck -- --read run.jsonl                  # judge a stored history, of this or any other program

Starts peers of its own, lets clients work on strong keys at all of them while peers are killed, stopped, cut off and
robbed of a disk, and says whether some order of the operations of each key explains every answer (linearizability).

  --seconds N      how long the load lasts, 1 to 86400 (60). The lost disk needs 40 or more
  --clients N      1 to 64 (8), and three more that fight for a lock
  --keys N         1 to 64 (5), and a lock and what it guards
  --peers N        3 or 5 (3)
  --seed N         of operations and blows, 0 to 999999999 (drawn, and told). Times differ from run to run
  --history FILE   write every operation as a line of JSON: client, key, op, input, output, start_ns, end_ns, outcome
  --read FILE      judge such a file; starts nothing
  --help           print this help

Exit code: 0 linearizable and nothing else is wrong, 1 not, or undecided, 2 wrong usage.
`;

const flags = {
  seconds: { type: "string" },
  clients: { type: "string" },
  keys: { type: "string" },
  peers: { type: "string" },
  seed: { type: "string" },
  history: { type: "string" },
  read: { type: "string" },
  help: { type: "boolean", short: "h" },
} as const;

/** undefined: help was asked for. Throws a CommandFailure with exit code 2. */
export const parseOptions = (given: readonly string[]): Options | undefined => {
  const values = parseFlags(given, flags);
  if (values.help === true) return undefined;
  const whole = (
    flag: "seconds" | "clients" | "keys" | "seed",
    min: number,
    max: number,
    otherwise: number,
  ): number => {
    const text = values[flag];
    if (text === undefined) return otherwise;
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw usageFailure(`flag --${flag}: expected a whole number, ${min} to ${max}, got "${text}"`);
  };
  const { peers = "3" } = values;
  if (peers !== "3" && peers !== "5") throw usageFailure(`flag --peers: expected 3 or 5, got "${peers}"`);
  return {
    seconds: whole("seconds", 1, 86_400, 60),
    clients: whole("clients", 1, 64, 8),
    keys: whole("keys", 1, 64, 5),
    peers: peers === "3" ? 3 : 5,
    seed: whole("seed", 0, 999_999_999, Math.floor(Math.random() * 1e9)),
    historyFile: values.history,
    readFile: values.read,
  };
};
