/** The command line of the shop: examples first, every bound said. */
import { didYouMean, usageFailure } from "../../server/cli/failure.ts";
import { parseFlags } from "../load/parse-flags.ts";
import { parseTargets, type Targets } from "../load/targets.ts";

export interface Options {
  readonly targets: Targets;
  readonly customers: number;
  /** Of each customer. */
  readonly orders: number;
  readonly type: "regular" | "custom" | "mixed";
  readonly engineers: number;
  readonly experts: number;
  /** Who makes an order: the one its name says, or who claims it. */
  readonly claim: "name" | "strong";
  readonly workMs: number;
  readonly expertMs: number;
  readonly looks: number;
  readonly patienceMs: number;
  readonly verify: boolean;
  readonly json: boolean;
}

const targetsDefault = "http://localhost:5000";

export const helpText = `Examples:
  npm start                                                      # in another terminal: peers, and a gateway on port 5000
  npm run orders -- --customers 8 --orders 50 --type custom --engineers 4 --experts 2
  npm run orders -- --orders 500 --type regular                  # and meanwhile: npm run cluster -- kill b
  npm run orders -- --claim strong                               # whoever is idle takes the next order
  npm run orders -- --targets http://localhost:6001,http://localhost:6002   # peers rather than a gateway

A shop for laptops, as an example of a program on Chorus (docs/EXAMPLE-ORDERS.md). Customers order, engineers make what is
theirs to make, experts help with what is custom. Every order is recorded once, also when a peer dies meanwhile.

  --targets LIST    http://host:port of a gateway, or of peers (${targetsDefault}); http://:SECRET@host:port with a
                    password
  --customers N     1 to 1000 (8)
  --orders N        of each customer, 1 to 100000 (50)
  --type TYPE       regular, custom, or mixed: every other one (mixed)
  --engineers N     1 to 1000 (4)
  --experts N       1 to 1000 (2)
  --claim HOW       who makes an order: name, the engineer its name says; strong, who claims it by a strong key (name)
  --work MS         of an engineer on a laptop, 0 to 60000 (2)
  --expert-work MS  of an expert on a custom one, 0 to 60000 (5)
  --looks N         how often a customer looks at the last order of somebody, per order, 0 to 1000 (4)
  --patience MS     without a record for so long a customer orders the same again, 50 to 60000 (1000)
  --no-verify       do not look for every order at every peer in the end
  --json            the report as JSON
  --help            print this help

Ctrl-C: no more orders, and the report of what there is. Exit code: 0 all recorded, 1 not, 2 wrong usage.
`;

const flags = {
  targets: { type: "string" },
  customers: { type: "string" },
  orders: { type: "string" },
  type: { type: "string" },
  engineers: { type: "string" },
  experts: { type: "string" },
  claim: { type: "string" },
  work: { type: "string" },
  "expert-work": { type: "string" },
  looks: { type: "string" },
  patience: { type: "string" },
  verify: { type: "boolean" },
  "no-verify": { type: "boolean" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

const types = ["regular", "custom", "mixed"] as const;
const claims = ["name", "strong"] as const;

/** Undefined: help was asked for. Throws a CommandFailure with exit code 2. */
export const parseOptions = (given: readonly string[]): Options | undefined => {
  const values = parseFlags(given, flags);
  if (values.help === true) return undefined;
  const whole = (flag: keyof typeof flags, min: number, max: number, otherwise: number): number => {
    const text = values[flag];
    if (typeof text !== "string") return otherwise;
    const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (number >= min && number <= max) return number;
    throw usageFailure(`flag --${flag}: expected a whole number, ${min} to ${max}, got "${text}"`);
  };
  const oneOf = <Word extends string>(flag: "type" | "claim", words: readonly Word[], otherwise: Word): Word => {
    const typed = values[flag] ?? otherwise;
    const word = words.find((known) => known === typed);
    if (word !== undefined) return word;
    throw usageFailure(`flag --${flag}: expected ${words.join(", ")}, got "${typed}"${didYouMean(typed, words)}`);
  };
  const targets = parseTargets(values.targets ?? targetsDefault);
  if (typeof targets === "string") throw usageFailure(`flag --targets: ${targets}`);
  if (targets.protocol !== "http") throw usageFailure("flag --targets: expected http://host:port,...");
  return {
    targets,
    customers: whole("customers", 1, 1000, 8),
    orders: whole("orders", 1, 100_000, 50),
    type: oneOf("type", types, "mixed"),
    claim: oneOf("claim", claims, "name"),
    engineers: whole("engineers", 1, 1000, 4),
    experts: whole("experts", 1, 1000, 2),
    workMs: whole("work", 0, 60_000, 2),
    expertMs: whole("expert-work", 0, 60_000, 5),
    looks: whole("looks", 0, 1000, 4),
    patienceMs: whole("patience", 50, 60_000, 1000),
    verify: values["no-verify"] !== true,
    json: values.json === true,
  };
};
