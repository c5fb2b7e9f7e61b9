/**
 * The one command table: every command and subcommand as data.
 *
 * The executor takes arity, flags and keys from here; COMMAND, COMMAND DOCS, HELP, docs/COMMANDS.md and the completion of
 * the terminal UI take the words. Flags, arities and key positions of commands that Redis has are Redis 7's own, because
 * clients and proxies read them; the summaries are ours and say what a command means where several peers take writes.
 *
 * A new command needs an entry here and a handler in server/commands/: a test holds the two lists together.
 */

/** The version of Redis whose commands, replies and error texts we follow; HELLO and INFO name it. */
export const redisVersionFollowed = "7.4.0";

export type CommandGroup = "connection" | "generic" | "string" | "transactions" | "pubsub" | "server" | "replication";

/**
 * Redis's flags as COMMAND prints them. `write`: refused where the peer takes no writes. `denyoom`: grows memory, refused
 * past `--max-memory`. `loading`: answered while the map is loaded. `no_auth`: allowed before AUTH. `no_multi`: refused
 * inside MULTI. The others only inform clients.
 */
export type CommandFlag =
  | "write"
  | "readonly"
  | "denyoom"
  | "admin"
  | "noscript"
  | "loading"
  | "stale"
  | "fast"
  | "no_auth"
  | "no_multi"
  | "allow_busy"
  | "pubsub"
  | "skip_slowlog";

/** What a command means where every peer takes writes. */
export type Meaning =
  | "reads-local"
  | "last-writer-wins"
  | "counter"
  | "read-modify-write"
  | "local-condition"
  | "by-majority"
  | "everywhere"
  | "this-peer";

/** The sentence that docs/COMMANDS.md and HELP print for each meaning. */
export const meanings: Readonly<Record<Meaning, string>> = {
  "reads-local": "Answers from this peer's map, without asking another peer.",
  "last-writer-wins":
    "Writes the whole value. Of two concurrent writes the one with the later stamp wins at every peer; the other is kept in CONFLICTS.",
  counter: "A conflict-free counter: increments made at several peers at once all count.",
  "read-modify-write":
    "Reads the value this peer sees and writes the whole result (last writer wins), so a concurrent write at another peer may displace it or be displaced by it; the loser is kept in CONFLICTS.",
  "local-condition":
    "The condition is judged by what this peer sees now: two peers may both find it true at the same time. Then the later stamp wins and the loser is kept in CONFLICTS.",
  "by-majority": "Asks a majority of the peers, and takes effect at one moment for all: for strong keys.",
  everywhere: "Asks or tells about the other peers too.",
  "this-peer": "About this connection or this peer only; nothing is replicated.",
};

export type ArgumentType =
  | "key"
  | "string"
  | "integer"
  | "double"
  | "pattern"
  | "unix-time"
  | "pure-token"
  | "oneof"
  | "block";

/** One argument as COMMAND DOCS describes it. */
export interface Argument {
  readonly name: string;
  readonly type: ArgumentType;
  /** The literal word: of a `pure-token` the argument itself, else what stands before the argument. */
  readonly token?: string;
  /** Which of the command's key specifications this key belongs to. */
  readonly keySpec?: number;
  readonly optional?: true;
  readonly multiple?: true;
  /** The choices of a `oneof`, the parts of a `block`. */
  readonly arguments?: readonly Argument[];
}

/** Redis's positions of keys among the words of a command: the command itself is 0, negative counts from the end. */
export interface KeyPositions {
  readonly first: number;
  readonly last: number;
  readonly step: number;
}

export interface Command {
  /** Lower case. Of a subcommand the last word only. */
  readonly name: string;
  /** `get`, `client|list`: as error texts and CLIENT LIST name it. */
  readonly fullName: string;
  /** Words including the command's name: exact when positive, at least that many when negative. */
  readonly arity: number;
  readonly flags: readonly CommandFlag[];
  readonly keys: KeyPositions;
  readonly group: CommandGroup;
  readonly summary: string;
  readonly meaning: Meaning;
  readonly complexity: string;
  /** The version of Chorus that has it first. */
  readonly since: string;
  readonly arguments: readonly Argument[];
  /** Redis's access categories, with the `@`. */
  readonly categories: readonly string[];
  /** Another name of this command; the two do the same. */
  readonly aliasOf?: string;
  readonly subcommands: readonly Command[];
}

// ---- The words of the table -------------------------------------------------------------------------------------------

const key = (name = "key", keySpec = 0): Argument => ({ name, type: "key", keySpec });
const text = (name: string): Argument => ({ name, type: "string" });
const integer = (name: string): Argument => ({ name, type: "integer" });
const double = (name: string): Argument => ({ name, type: "double" });
const pattern = (name = "pattern"): Argument => ({ name, type: "pattern" });
const unixTime = (name: string): Argument => ({ name, type: "unix-time" });
const word = (token: string): Argument => ({ name: token.toLowerCase(), type: "pure-token", token });
const oneOf = (name: string, ...choices: readonly Argument[]): Argument => ({
  name,
  type: "oneof",
  arguments: choices,
});
const block = (name: string, ...parts: readonly Argument[]): Argument => ({ name, type: "block", arguments: parts });
const after = (token: string, argument: Argument): Argument => ({ ...argument, token });
const optional = (argument: Argument): Argument => ({ ...argument, optional: true });
const many = (argument: Argument): Argument => ({ ...argument, multiple: true });

const noKeys: KeyPositions = { first: 0, last: 0, step: 0 };
const oneKey: KeyPositions = { first: 1, last: 1, step: 1 };
const twoKeys: KeyPositions = { first: 1, last: 2, step: 1 };
const allKeys: KeyPositions = { first: 1, last: -1, step: 1 };
const keyOfSubcommand: KeyPositions = { first: 2, last: 2, step: 1 };
const everySecondIsKey: KeyPositions = { first: 1, last: -1, step: 2 };

const readFast: readonly CommandFlag[] = ["readonly", "fast"];
const writeFast: readonly CommandFlag[] = ["write", "fast"];
const growing: readonly CommandFlag[] = ["write", "denyoom"];
const growingFast: readonly CommandFlag[] = ["write", "denyoom", "fast"];
const anyTime: readonly CommandFlag[] = ["loading", "stale"];
const anyTimeFast: readonly CommandFlag[] = ["loading", "stale", "fast"];
const connectionState: readonly CommandFlag[] = ["noscript", "loading", "stale"];
const connectionAdmin: readonly CommandFlag[] = ["admin", "noscript", "loading", "stale"];
const watching: readonly CommandFlag[] = ["admin", "loading", "stale"];
const beforeAuth: readonly CommandFlag[] = ["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"];
const listening: readonly CommandFlag[] = ["pubsub", "noscript", "loading", "stale"];
const askingListeners: readonly CommandFlag[] = ["pubsub", "loading", "stale"];
const transaction: readonly CommandFlag[] = ["noscript", "loading", "stale", "fast", "allow_busy"];

interface Entry {
  readonly arity: number;
  readonly flags: readonly CommandFlag[];
  readonly keys?: KeyPositions;
  readonly summary: string;
  readonly meaning: Meaning;
  readonly complexity?: string;
  readonly arguments?: readonly Argument[];
  readonly aliasOf?: string;
  readonly since?: string;
  readonly subcommands?: Readonly<Record<string, Omit<Entry, "subcommands">>>;
}

const groupCategories: Readonly<Record<CommandGroup, string | undefined>> = {
  connection: "@connection",
  generic: "@keyspace",
  string: "@string",
  transactions: "@transaction",
  pubsub: undefined,
  server: undefined,
  replication: undefined,
};

/** Where Redis's category is not the one of the group. */
const ownCategories: ReadonlyMap<string, string> = new Map([
  ["dbsize", "@keyspace"],
  ["flushall", "@keyspace"],
  ["flushdb", "@keyspace"],
  ["command", "@connection"],
  ["wait", "@connection"],
]);

/** What Redis calls dangerous without the flag `admin`. */
const dangerousCommands: ReadonlySet<string> = new Set(["keys", "flushall", "flushdb", "info"]);

const categoriesOf = (
  name: string,
  parent: string | undefined,
  group: CommandGroup,
  entry: Entry,
): readonly string[] => {
  const { flags } = entry;
  // A container that does nothing by itself.
  if (entry.subcommands !== undefined && flags.length === 0) return ["@slow"];
  const categories: string[] = [];
  const groupCategory = ownCategories.get(parent ?? name) ?? groupCategories[group];
  if (groupCategory !== undefined) categories.push(groupCategory);
  if (flags.includes("pubsub")) categories.push("@pubsub");
  if (flags.includes("readonly")) categories.push("@read");
  if (flags.includes("write")) categories.push("@write");
  if (flags.includes("admin")) categories.push("@admin");
  categories.push(flags.includes("fast") ? "@fast" : "@slow");
  if (flags.includes("admin") || (parent === undefined && dangerousCommands.has(name))) categories.push("@dangerous");
  return categories;
};

const define = (group: CommandGroup, entries: Readonly<Record<string, Entry>>, parent?: string): readonly Command[] =>
  Object.entries(entries).map(([name, entry]) => ({
    name,
    fullName: parent === undefined ? name : `${parent}|${name}`,
    arity: entry.arity,
    flags: entry.flags,
    keys: entry.keys ?? noKeys,
    group,
    summary: entry.summary,
    meaning: entry.meaning,
    complexity: entry.complexity ?? "O(1)",
    since: entry.since ?? "0.1.0",
    arguments: entry.arguments ?? [],
    categories: categoriesOf(name, parent, group, entry),
    ...(entry.aliasOf === undefined ? {} : { aliasOf: entry.aliasOf }),
    subcommands: entry.subcommands === undefined ? [] : define(group, entry.subcommands, name),
  }));

const helpSubcommand: Omit<Entry, "subcommands"> = {
  arity: 2,
  flags: anyTime,
  summary: "Lists the subcommands.",
  meaning: "this-peer",
};

// ---- Connection -------------------------------------------------------------------------------------------------------

const onOff = oneOf("enabled", word("ON"), word("OFF"));
const clientTypes = oneOf("type", word("NORMAL"), word("MASTER"), word("REPLICA"), word("PUBSUB"));

const connection = define("connection", {
  ping: {
    arity: -1,
    flags: ["fast"],
    summary: "Answers PONG, or the message.",
    meaning: "this-peer",
    arguments: [optional(text("message"))],
  },
  echo: {
    arity: 2,
    flags: anyTimeFast,
    summary: "Answers the message.",
    meaning: "this-peer",
    arguments: [text("message")],
  },
  hello: {
    arity: -1,
    flags: beforeAuth,
    summary: "Chooses RESP2 or RESP3, and may log in and name the connection in the same step.",
    meaning: "this-peer",
    arguments: [
      optional(
        block(
          "arguments",
          integer("protover"),
          optional(after("AUTH", block("username_password", text("username"), text("password")))),
          optional(after("SETNAME", text("clientname"))),
        ),
      ),
    ],
  },
  auth: {
    arity: -2,
    flags: beforeAuth,
    summary: "Logs the connection in. The only user is `default`.",
    meaning: "this-peer",
    arguments: [optional(text("username")), text("password")],
  },
  select: {
    arity: 2,
    flags: anyTimeFast,
    summary: "Accepts database 0, the only one.",
    meaning: "this-peer",
    arguments: [integer("index")],
  },
  client: {
    arity: -2,
    flags: [],
    summary: "Shows and manages the connections of this peer.",
    meaning: "this-peer",
    complexity: "Depends on subcommand.",
    subcommands: {
      id: { arity: 2, flags: connectionState, summary: "The id of this connection.", meaning: "this-peer" },
      info: { arity: 2, flags: connectionState, summary: "One line about this connection.", meaning: "this-peer" },
      list: {
        arity: -2,
        flags: connectionAdmin,
        summary: "A line for each connection of this peer.",
        meaning: "this-peer",
        complexity: "O(N) where N is the number of connections",
        arguments: [
          optional(after("TYPE", clientTypes)),
          optional(after("ID", block("id", many(integer("client-id"))))),
        ],
      },
      setname: {
        arity: 3,
        flags: connectionState,
        summary: "Names this connection.",
        meaning: "this-peer",
        arguments: [text("connection-name")],
      },
      getname: { arity: 2, flags: connectionState, summary: "The name of this connection.", meaning: "this-peer" },
      setinfo: {
        arity: 4,
        flags: connectionState,
        summary: "Tells the name or version of the client library.",
        meaning: "this-peer",
        arguments: [oneOf("attr", after("LIB-NAME", text("libname")), after("LIB-VER", text("libver")))],
      },
      kill: {
        arity: -3,
        flags: connectionAdmin,
        summary: "Closes connections of this peer, by address or by filters.",
        meaning: "this-peer",
        complexity: "O(N) where N is the number of connections",
        arguments: [
          oneOf(
            "filter",
            text("ip:port"),
            many(
              oneOf(
                "new-format",
                optional(after("ID", integer("client-id"))),
                optional(after("TYPE", clientTypes)),
                optional(after("USER", text("username"))),
                optional(after("ADDR", text("ip:port"))),
                optional(after("LADDR", text("ip:port"))),
                optional(after("SKIPME", text("yes/no"))),
              ),
            ),
          ),
        ],
      },
      "no-evict": {
        arity: 3,
        flags: connectionAdmin,
        summary: "Kept for clients that send it: connections are never evicted for memory here.",
        meaning: "this-peer",
        arguments: [onOff],
      },
      "no-touch": {
        arity: 3,
        flags: connectionState,
        summary: "Kept for clients that send it: there is no access time to leave untouched.",
        meaning: "this-peer",
        arguments: [onOff],
      },
      help: helpSubcommand,
    },
  },
  quit: { arity: -1, flags: beforeAuth, summary: "Answers OK and closes the connection.", meaning: "this-peer" },
  reset: {
    arity: 1,
    flags: beforeAuth,
    summary: "Puts the connection back to how it began: RESP2, no name, no transaction, logged out.",
    meaning: "this-peer",
  },
});

// ---- Keys -------------------------------------------------------------------------------------------------------------

const expireCondition = optional(oneOf("condition", word("NX"), word("XX"), word("GT"), word("LT")));
const expireWrites =
  "Writes the value this peer sees again with the new expiry (last writer wins, also over a concurrent new value).";

const deleteEntry: Entry = {
  arity: -2,
  flags: ["write"],
  keys: allKeys,
  summary:
    "Deletes keys and answers how many there were. A counter's increments made elsewhere at the same time survive.",
  meaning: "last-writer-wins",
  complexity: "O(N) where N is the number of keys",
  arguments: [many(key())],
};

const generic = define("generic", {
  del: deleteEntry,
  delete: { ...deleteEntry, aliasOf: "del" },
  unlink: { ...deleteEntry, flags: writeFast, summary: "The same as DEL.", aliasOf: "del" },
  exists: {
    arity: -2,
    flags: readFast,
    keys: allKeys,
    summary: "How many of the keys exist; a key named twice counts twice.",
    meaning: "reads-local",
    complexity: "O(N) where N is the number of keys",
    arguments: [many(key())],
  },
  cas: {
    arity: 4,
    flags: growingFast,
    keys: oneKey,
    summary:
      "Of a strong key: sets the new value if it holds the expected one now, judged by a majority. Answers 1 or 0.",
    meaning: "by-majority",
    arguments: [key(), text("expected"), text("new")],
  },
  version: {
    arity: -2,
    flags: readFast,
    keys: oneKey,
    summary:
      "A text that changes with the key and is equal at every peer that shows it so; nil when there is none. WITHVALUE: version, value and expiry (unix ms, or -1) at one moment. Of a strong key it is an integer that only grows: the fencing token of a lock.",
    meaning: "reads-local",
    arguments: [key(), optional(word("WITHVALUE"))],
  },
  type: {
    arity: 2,
    flags: readFast,
    keys: oneKey,
    summary: "`string` or `none`: all values are strings.",
    meaning: "reads-local",
    arguments: [key()],
  },
  keys: {
    arity: 2,
    flags: ["readonly"],
    summary: "All keys that match a pattern. On a big map prefer SCAN.",
    meaning: "reads-local",
    complexity: "O(N) where N is the number of keys in the map",
    arguments: [pattern()],
  },
  scan: {
    arity: -2,
    flags: ["readonly"],
    summary:
      "Walks through the keys step by step. A full pass sees every key that stays; a key may come twice. Strong keys come last, as this peer holds them (it may lag behind).",
    meaning: "reads-local",
    complexity: "O(1) for a call, O(N) for a full pass over N keys",
    arguments: [
      integer("cursor"),
      optional(after("MATCH", pattern())),
      optional(after("COUNT", integer("count"))),
      optional(after("TYPE", text("type"))),
    ],
  },
  randomkey: { arity: 1, flags: ["readonly"], summary: "A key chosen at random.", meaning: "reads-local" },
  rename: {
    arity: 3,
    flags: ["write"],
    keys: twoKeys,
    summary: "Writes the value under the new key and deletes the old one. A counter moves as its present value.",
    meaning: "read-modify-write",
    arguments: [key("key", 0), key("newkey", 1)],
  },
  renamenx: {
    arity: 3,
    flags: writeFast,
    keys: twoKeys,
    summary: "RENAME if this peer sees no key of the new name.",
    meaning: "local-condition",
    arguments: [key("key", 0), key("newkey", 1)],
  },
  copy: {
    arity: -3,
    flags: growing,
    keys: twoKeys,
    summary: "Writes the value and expiry of a key under another key. A counter is copied as its present value.",
    meaning: "local-condition",
    arguments: [
      key("source", 0),
      key("destination", 1),
      optional(after("DB", integer("destination-db"))),
      optional(word("REPLACE")),
    ],
  },
  touch: {
    arity: -2,
    flags: readFast,
    keys: allKeys,
    summary: "How many of the keys exist. There is no access time to touch.",
    meaning: "reads-local",
    complexity: "O(N) where N is the number of keys",
    arguments: [many(key())],
  },
  expire: {
    arity: -3,
    flags: writeFast,
    keys: oneKey,
    summary: `Sets the time to live in seconds. ${expireWrites}`,
    meaning: "read-modify-write",
    arguments: [key(), integer("seconds"), expireCondition],
  },
  pexpire: {
    arity: -3,
    flags: writeFast,
    keys: oneKey,
    summary: `Sets the time to live in milliseconds. ${expireWrites}`,
    meaning: "read-modify-write",
    arguments: [key(), integer("milliseconds"), expireCondition],
  },
  expireat: {
    arity: -3,
    flags: writeFast,
    keys: oneKey,
    summary: `Sets when the key expires, in Unix seconds. ${expireWrites}`,
    meaning: "read-modify-write",
    arguments: [key(), unixTime("unix-time-seconds"), expireCondition],
  },
  pexpireat: {
    arity: -3,
    flags: writeFast,
    keys: oneKey,
    summary: `Sets when the key expires, in Unix milliseconds. ${expireWrites}`,
    meaning: "read-modify-write",
    arguments: [key(), unixTime("unix-time-milliseconds"), expireCondition],
  },
  expiretime: {
    arity: 2,
    flags: readFast,
    keys: oneKey,
    summary: "When the key expires, in Unix seconds; -1 never, -2 no such key.",
    meaning: "reads-local",
    arguments: [key()],
  },
  pexpiretime: {
    arity: 2,
    flags: readFast,
    keys: oneKey,
    summary: "When the key expires, in Unix milliseconds; -1 never, -2 no such key.",
    meaning: "reads-local",
    arguments: [key()],
  },
  ttl: {
    arity: 2,
    flags: readFast,
    keys: oneKey,
    summary: "The time to live in seconds; -1 for ever, -2 no such key.",
    meaning: "reads-local",
    arguments: [key()],
  },
  pttl: {
    arity: 2,
    flags: readFast,
    keys: oneKey,
    summary: "The time to live in milliseconds; -1 for ever, -2 no such key.",
    meaning: "reads-local",
    arguments: [key()],
  },
  persist: {
    arity: 2,
    flags: writeFast,
    keys: oneKey,
    summary: "Takes the expiry away. Writes the value this peer sees again, without one (last writer wins).",
    meaning: "read-modify-write",
    arguments: [key()],
  },
  object: {
    arity: -2,
    flags: [],
    summary: "Tells how a value is held.",
    meaning: "reads-local",
    complexity: "Depends on subcommand.",
    subcommands: {
      encoding: {
        arity: 3,
        flags: ["readonly"],
        keys: keyOfSubcommand,
        summary: "`int`, `embstr` or `raw`, as Redis would hold such a value.",
        meaning: "reads-local",
        arguments: [key()],
      },
      freq: {
        arity: 3,
        flags: ["readonly"],
        keys: keyOfSubcommand,
        summary: "An error: access frequency is not tracked.",
        meaning: "reads-local",
        arguments: [key()],
      },
      idletime: {
        arity: 3,
        flags: ["readonly"],
        keys: keyOfSubcommand,
        summary: "Always 0: access times are not tracked.",
        meaning: "reads-local",
        arguments: [key()],
      },
      help: helpSubcommand,
    },
  },
});

// ---- Strings ----------------------------------------------------------------------------------------------------------

const expirations = [
  after("EX", integer("seconds")),
  after("PX", integer("milliseconds")),
  after("EXAT", unixTime("unix-time-seconds")),
  after("PXAT", unixTime("unix-time-milliseconds")),
] as const;

const getRangeEntry: Entry = {
  arity: 4,
  flags: ["readonly"],
  keys: oneKey,
  summary: "The bytes of the value from start to end; negative positions count from the end.",
  meaning: "reads-local",
  complexity: "O(N) where N is the length of the answer",
  arguments: [key(), integer("start"), integer("end")],
};

const strings = define("string", {
  set: {
    arity: -3,
    flags: growing,
    keys: oneKey,
    summary:
      "Sets a value, with or without an expiry. NX, XX and IFVERSION judge only what this peer sees: no lock across peers. WITHVERSION answers the new version instead of OK. Of strong keys all conditions are judged by a majority; IFEQ, FENCE and OPID are theirs alone.",
    meaning: "last-writer-wins",
    arguments: [
      key(),
      text("value"),
      optional(
        oneOf("condition", word("NX"), word("XX"), after("IFEQ", text("now")), after("IFVERSION", text("version"))),
      ),
      optional(oneOf("answer", word("GET"), word("WITHVERSION"))),
      optional(oneOf("expiration", ...expirations, word("KEEPTTL"))),
      optional(block("fence", after("FENCE", text("lock")), integer("token"))),
      optional(after("OPID", text("id"))),
    ],
  },
  get: {
    arity: 2,
    flags: readFast,
    keys: oneKey,
    summary: "The value of a key.",
    meaning: "reads-local",
    arguments: [key()],
  },
  getset: {
    arity: 3,
    flags: growingFast,
    keys: oneKey,
    summary: "Sets a value and answers the one this peer saw before. Newer clients use SET with GET.",
    meaning: "last-writer-wins",
    arguments: [key(), text("value")],
  },
  getdel: {
    arity: 2,
    flags: writeFast,
    keys: oneKey,
    summary: "Answers the value and deletes the key. Two peers may both hand out the same value.",
    meaning: "last-writer-wins",
    arguments: [key()],
  },
  delex: {
    arity: -2,
    flags: writeFast,
    keys: oneKey,
    summary: "Deletes the key, if it has still this VERSION. Answers 1, or 0 when nothing was deleted.",
    meaning: "local-condition",
    arguments: [key(), optional(after("IFVERSION", text("version")))],
  },
  getex: {
    arity: -2,
    flags: writeFast,
    keys: oneKey,
    summary: "Answers the value and may change its expiry, which writes it again (last writer wins).",
    meaning: "read-modify-write",
    arguments: [key(), optional(oneOf("expiration", ...expirations, word("PERSIST")))],
  },
  setex: {
    arity: 4,
    flags: growing,
    keys: oneKey,
    summary: "Sets a value that lives for some seconds.",
    meaning: "last-writer-wins",
    arguments: [key(), integer("seconds"), text("value")],
  },
  psetex: {
    arity: 4,
    flags: growing,
    keys: oneKey,
    summary: "Sets a value that lives for some milliseconds.",
    meaning: "last-writer-wins",
    arguments: [key(), integer("milliseconds"), text("value")],
  },
  setnx: {
    arity: 3,
    flags: growingFast,
    keys: oneKey,
    summary: "Sets a value if this peer sees no such key. Not a lock: another peer may do the same at that moment.",
    meaning: "local-condition",
    arguments: [key(), text("value")],
  },
  mset: {
    arity: -3,
    flags: growing,
    keys: everySecondIsKey,
    summary: "Sets several values at once; they become visible together at every peer.",
    meaning: "last-writer-wins",
    complexity: "O(N) where N is the number of keys",
    arguments: [many(block("key_value", key(), text("value")))],
  },
  msetnx: {
    arity: -3,
    flags: growing,
    keys: everySecondIsKey,
    summary: "Sets several values at once if this peer sees none of the keys.",
    meaning: "local-condition",
    complexity: "O(N) where N is the number of keys",
    arguments: [many(block("key_value", key(), text("value")))],
  },
  mget: {
    arity: -2,
    flags: readFast,
    keys: allKeys,
    summary: "The values of several keys.",
    meaning: "reads-local",
    complexity: "O(N) where N is the number of keys",
    arguments: [many(key())],
  },
  append: {
    arity: 3,
    flags: growingFast,
    keys: oneKey,
    summary: "Adds bytes to the end of a value: a read-modify-write of what this peer sees, last writer wins.",
    meaning: "read-modify-write",
    complexity: "O(N) where N is the length of the result",
    arguments: [key(), text("value")],
  },
  strlen: {
    arity: 2,
    flags: readFast,
    keys: oneKey,
    summary: "The length of a value in bytes.",
    meaning: "reads-local",
    arguments: [key()],
  },
  getrange: getRangeEntry,
  substr: { ...getRangeEntry, summary: "An older name of GETRANGE.", aliasOf: "getrange" },
  setrange: {
    arity: 4,
    flags: growing,
    keys: oneKey,
    summary: "Overwrites part of a value: a read-modify-write of what this peer sees, last writer wins.",
    meaning: "read-modify-write",
    complexity: "O(N) where N is the length of the result",
    arguments: [key(), integer("offset"), text("value")],
  },
  incr: {
    arity: 2,
    flags: growingFast,
    keys: oneKey,
    summary: "Adds 1. Conflict-free: increments at several peers all count; the answer is what this peer sees so far.",
    meaning: "counter",
    arguments: [key()],
  },
  decr: {
    arity: 2,
    flags: growingFast,
    keys: oneKey,
    summary: "Subtracts 1. Conflict-free, as INCR.",
    meaning: "counter",
    arguments: [key()],
  },
  incrby: {
    arity: 3,
    flags: growingFast,
    keys: oneKey,
    summary: "Adds a 64-bit integer. Conflict-free, as INCR.",
    meaning: "counter",
    arguments: [key(), integer("increment")],
  },
  decrby: {
    arity: 3,
    flags: growingFast,
    keys: oneKey,
    summary: "Subtracts a 64-bit integer. Conflict-free, as INCR.",
    meaning: "counter",
    arguments: [key(), integer("decrement")],
  },
  incrbyfloat: {
    arity: 3,
    flags: growingFast,
    keys: oneKey,
    summary: "Adds a decimal number: a read-modify-write of what this peer sees, last writer wins (not a counter).",
    meaning: "read-modify-write",
    arguments: [key(), double("increment")],
  },
  lcs: {
    arity: -3,
    flags: ["readonly"],
    keys: twoKeys,
    summary: "The longest common subsequence of two values.",
    meaning: "reads-local",
    complexity: "O(N*M) where N and M are the lengths of the values",
    arguments: [
      key("key1", 0),
      key("key2", 0),
      optional(word("LEN")),
      optional(word("IDX")),
      optional(after("MINMATCHLEN", integer("len"))),
      optional(word("WITHMATCHLEN")),
    ],
  },
});

// ---- Transactions -----------------------------------------------------------------------------------------------------

const transactions = define("transactions", {
  multi: {
    arity: 1,
    flags: transaction,
    summary: "Begins a transaction: the commands that follow wait for EXEC.",
    meaning: "this-peer",
  },
  exec: {
    arity: 1,
    flags: ["noscript", "loading", "stale", "skip_slowlog"],
    summary: "Runs the commands of the transaction in one go. Its writes become visible together at every peer.",
    meaning: "last-writer-wins",
    complexity: "Depends on the commands",
  },
  discard: {
    arity: 1,
    flags: transaction,
    summary: "Forgets the commands of the transaction.",
    meaning: "this-peer",
    complexity: "O(N) where N is the number of commands",
  },
  watch: {
    arity: -2,
    flags: transaction,
    keys: allKeys,
    summary:
      "Lets EXEC answer nil if one of the keys changed at this peer in between, by a client or by replication. A change another peer has not sent yet is not seen.",
    meaning: "local-condition",
    complexity: "O(1) for every key",
    arguments: [many(key())],
  },
  unwatch: { arity: 1, flags: transaction, summary: "Forgets all watched keys.", meaning: "this-peer" },
});

// ---- Messages ---------------------------------------------------------------------------------------------------------

const pubSub = define("pubsub", {
  subscribe: {
    arity: -2,
    flags: listening,
    summary:
      "Listens to channels. In RESP2 the connection then takes only the commands about channels, PING, QUIT and RESET. `__keyspace@0__:KEY` and `__keyevent@0__:set|incrby|del|expired` tell of changes, made at any peer. Not inside MULTI.",
    meaning: "this-peer",
    complexity: "O(N) where N is the number of channels",
    arguments: [many(text("channel"))],
  },
  unsubscribe: {
    arity: -1,
    flags: listening,
    summary: "Stops listening to the channels, or to all. Not inside MULTI.",
    meaning: "this-peer",
    complexity: "O(N) where N is the number of channels",
    arguments: [optional(many(text("channel")))],
  },
  psubscribe: {
    arity: -2,
    flags: listening,
    summary:
      "Listens to the channels that match a pattern. Only patterns that begin with `__key` match the channels of key events. Not inside MULTI.",
    meaning: "this-peer",
    complexity: "O(N) where N is the number of patterns",
    arguments: [many(pattern())],
  },
  punsubscribe: {
    arity: -1,
    flags: listening,
    summary: "Stops listening to the patterns, or to all. Not inside MULTI.",
    meaning: "this-peer",
    complexity: "O(N) where N is the number of patterns",
    arguments: [optional(many(pattern()))],
  },
  publish: {
    arity: 3,
    flags: ["pubsub", "loading", "stale", "fast"],
    summary:
      "Sends a message to who listens to the channel, at every peer. Answers how many listen at this one. At most once: nothing is kept for who is away, and a link that is down or full misses it.",
    meaning: "everywhere",
    complexity: "O(N+M) where N is the number of listeners here and M the number of patterns",
    arguments: [text("channel"), text("message")],
  },
  pubsub: {
    arity: -2,
    flags: [],
    summary: "Tells who listens to what at this peer.",
    meaning: "this-peer",
    complexity: "Depends on subcommand.",
    subcommands: {
      channels: {
        arity: -2,
        flags: askingListeners,
        summary: "The channels that somebody listens to by name, all or those that match a pattern.",
        meaning: "this-peer",
        complexity: "O(N) where N is the number of channels",
        arguments: [optional(pattern())],
      },
      numsub: {
        arity: -2,
        flags: askingListeners,
        summary: "How many listen to each channel by name.",
        meaning: "this-peer",
        complexity: "O(N) where N is the number of channels asked for",
        arguments: [optional(many(text("channel")))],
      },
      numpat: {
        arity: 2,
        flags: askingListeners,
        summary: "How many different patterns are listened to.",
        meaning: "this-peer",
      },
      help: helpSubcommand,
    },
  },
});

// ---- Server -----------------------------------------------------------------------------------------------------------

const commandNames = optional(many(text("command-name")));
const flushEntry: Entry = {
  arity: -1,
  flags: ["write"],
  summary:
    "Deletes every key this peer sees, at all peers. Concurrent writes elsewhere survive. ASYNC and SYNC mean the same. Refused while there are strong keys, unless EVENTUAL says that all others are meant.",
  meaning: "last-writer-wins",
  complexity: "O(N) where N is the number of keys",
  arguments: [optional(oneOf("flush-type", word("ASYNC"), word("SYNC"), word("EVENTUAL")))],
};

const server = define("server", {
  command: {
    arity: -1,
    flags: anyTime,
    summary: "Details of all commands.",
    meaning: "this-peer",
    complexity: "O(N) where N is the number of commands",
    subcommands: {
      count: { arity: 2, flags: anyTime, summary: "The number of commands.", meaning: "this-peer" },
      info: {
        arity: -2,
        flags: anyTime,
        summary: "Arity, flags and key positions of commands.",
        meaning: "this-peer",
        complexity: "O(N) where N is the number of commands asked for",
        arguments: [commandNames],
      },
      docs: {
        arity: -2,
        flags: anyTime,
        summary: "Summary, group and arguments of commands, for hints and help.",
        meaning: "this-peer",
        complexity: "O(N) where N is the number of commands asked for",
        arguments: [commandNames],
      },
      list: {
        arity: -2,
        flags: anyTime,
        summary: "The names of commands.",
        meaning: "this-peer",
        complexity: "O(N) where N is the number of commands",
        arguments: [
          optional(
            after(
              "FILTERBY",
              oneOf(
                "filterby",
                after("MODULE", text("module-name")),
                after("ACLCAT", text("category")),
                after("PATTERN", pattern()),
              ),
            ),
          ),
        ],
      },
      help: helpSubcommand,
    },
  },
  info: {
    arity: -1,
    flags: anyTime,
    summary: "Figures of this peer, by section.",
    meaning: "this-peer",
    arguments: [optional(many(text("section")))],
  },
  config: {
    arity: -2,
    flags: [],
    summary: "Shows the configuration.",
    meaning: "this-peer",
    complexity: "Depends on subcommand.",
    subcommands: {
      get: {
        arity: -3,
        flags: connectionAdmin,
        summary: "Configuration values whose names match a pattern.",
        meaning: "this-peer",
        complexity: "O(N) where N is the number of parameters",
        arguments: [many(block("parameter", text("parameter")))],
      },
      set: {
        arity: -4,
        flags: connectionAdmin,
        summary:
          "Changes a value of this peer until it stops: `notify-keyspace-events`, `slowlog-log-slower-than`, `slowlog-max-len` and `latency-monitor-threshold` are those that can be changed while it runs.",
        meaning: "this-peer",
        complexity: "O(N) where N is the number of parameters",
        arguments: [many(block("data", text("parameter"), text("value")))],
      },
      help: helpSubcommand,
    },
  },
  slowlog: {
    arity: -2,
    flags: [],
    summary: "The commands that took long at this peer.",
    meaning: "this-peer",
    complexity: "Depends on subcommand.",
    subcommands: {
      get: {
        arity: -2,
        flags: watching,
        summary:
          "The newest entries: id, Unix time, microseconds, the command (cut), the client's address and name. Timed is the command alone. GET, SET and others of bounded work are timed once in 31, or always with `slowlog-log-slower-than` below 1000.",
        meaning: "this-peer",
        complexity: "O(N) where N is the number of entries",
        arguments: [optional(integer("count"))],
      },
      len: { arity: 2, flags: watching, summary: "The number of entries.", meaning: "this-peer" },
      reset: { arity: 2, flags: watching, summary: "Forgets all entries.", meaning: "this-peer" },
      help: helpSubcommand,
    },
  },
  latency: {
    arity: -2,
    flags: [],
    summary: "What kept clients of this peer waiting.",
    meaning: "this-peer",
    complexity: "Depends on subcommand.",
    subcommands: {
      latest: {
        arity: 2,
        flags: connectionAdmin,
        summary:
          "Of each event its latest time, its latest and its greatest milliseconds. Events: `command`, `fsync`, `event-loop`, `checkpoint`, `install`.",
        meaning: "this-peer",
      },
      history: {
        arity: 3,
        flags: connectionAdmin,
        summary: "Times and milliseconds of an event, at most 160, the worst of each second.",
        meaning: "this-peer",
        arguments: [text("event")],
      },
      reset: {
        arity: -2,
        flags: connectionAdmin,
        summary: "Forgets what was kept of these events, or of all; answers of how many there was anything.",
        meaning: "this-peer",
        arguments: [optional(many(text("event")))],
      },
      histogram: {
        arity: -2,
        flags: connectionAdmin,
        summary:
          "How long commands took: calls, and cumulative counts by microseconds, of the commands named or of all. GET, SET and others of bounded work are timed once in 31 and counted for all.",
        meaning: "this-peer",
        complexity: "O(N) where N is the number of commands",
        arguments: [optional(many(text("command")))],
      },
      doctor: {
        arity: 2,
        flags: connectionAdmin,
        summary: "The same for people, with what to do.",
        meaning: "this-peer",
      },
      help: helpSubcommand,
    },
  },
  time: {
    arity: 1,
    flags: anyTimeFast,
    summary: "This peer's clock: Unix seconds and microseconds.",
    meaning: "this-peer",
  },
  dbsize: {
    arity: 1,
    flags: readFast,
    summary: "The number of keys in this peer's map, and of strong keys it holds.",
    meaning: "reads-local",
  },
  memory: {
    arity: -2,
    flags: [],
    summary: "Tells what a key costs in memory.",
    meaning: "reads-local",
    complexity: "Depends on subcommand.",
    subcommands: {
      usage: {
        arity: -3,
        flags: ["readonly"],
        keys: keyOfSubcommand,
        summary: "An estimate of the bytes a key and its value hold in this peer.",
        meaning: "reads-local",
        arguments: [key(), optional(after("SAMPLES", integer("count")))],
      },
      help: helpSubcommand,
    },
  },
  flushdb: flushEntry,
  flushall: { ...flushEntry, aliasOf: "flushdb" },
  help: {
    arity: -1,
    flags: anyTime,
    summary: "Explains a command, lists a group of commands (`HELP @string`), or lists the groups.",
    meaning: "this-peer",
    arguments: [optional(many(text("command-or-group")))],
  },
  monitor: {
    arity: 1,
    flags: connectionAdmin,
    summary:
      "Shows every command this peer runs from now on, one a line, without passwords. Costs while it is on; RESET or closing the connection ends it.",
    meaning: "this-peer",
  },
  shutdown: {
    arity: -1,
    flags: ["admin", "noscript", "loading", "stale", "no_multi", "allow_busy"],
    summary: "Stops this peer cleanly. SAVE and NOSAVE mean the same: everything is in the log.",
    meaning: "this-peer",
    arguments: [
      optional(oneOf("save-selector", word("NOSAVE"), word("SAVE"))),
      optional(word("NOW")),
      optional(word("FORCE")),
      optional(word("ABORT")),
    ],
  },
});

// ---- Replication ------------------------------------------------------------------------------------------------------

const faultDirection = oneOf("direction", word("SEND"), word("RECEIVE"), word("BOTH"));

const replication = define("replication", {
  wait: {
    arity: 3,
    flags: ["noscript"],
    summary:
      "Waits until so many other peers have this connection's writes on disk, or the milliseconds (0: no limit) are over; answers how many have. Inside MULTI it does not wait.",
    meaning: "everywhere",
    arguments: [integer("numpeers"), integer("timeout")],
  },
  peers: {
    arity: 1,
    flags: anyTime,
    summary: "Every peer as this one sees it: state, lag, round-trip time, clock offset, digest, what it holds back.",
    meaning: "everywhere",
    complexity: "O(N) where N is the number of peers",
  },
  conflicts: {
    arity: -1,
    flags: ["readonly"],
    summary:
      "Lists the writes that lost against a concurrent write, of one key or of all. RESTORE writes a loser back as a new write.",
    meaning: "this-peer",
    complexity: "O(N) where N is the number of conflicts kept",
    arguments: [
      optional(
        oneOf(
          "what",
          block("list", optional(key()), optional(after("COUNT", integer("count")))),
          after("RESTORE", text("id")),
        ),
      ),
    ],
  },
  trace: {
    arity: 2,
    flags: ["readonly"],
    keys: oneKey,
    summary: "Which write made the key what it is, how old it is, and which peers hold it, on disk or in memory.",
    meaning: "everywhere",
    complexity: "O(N) where N is the number of peers",
    arguments: [key()],
  },
  digest: {
    arity: 1,
    flags: ["readonly"],
    summary: "The hash of this peer's live keys, its version vector, and whether the other peers are identical.",
    meaning: "everywhere",
    complexity: "O(N) where N is the number of peers",
  },
  diff: {
    arity: 2,
    flags: ["readonly", "no_multi"],
    summary: "Compares this peer's map with another's and lists the keys that differ.",
    meaning: "everywhere",
    complexity: "O(N) where N is the number of keys in buckets that differ",
    arguments: [text("peer")],
  },
  fault: {
    arity: -2,
    flags: [],
    summary: "Breaks something on purpose, at peers started with --fault-links.",
    meaning: "this-peer",
    complexity: "Depends on subcommand.",
    subcommands: {
      link: {
        arity: -3,
        flags: connectionAdmin,
        summary:
          "Cuts or heals this peer's link to another peer: what it sends to it, what it receives from it, or both (the default). LIST tells what is cut.",
        meaning: "this-peer",
        complexity: "O(N) where N is the number of peers",
        arguments: [
          oneOf(
            "action",
            after("CUT", block("cut", text("peer"), optional(faultDirection))),
            after("HEAL", block("heal", text("peer"), optional(faultDirection))),
            word("LIST"),
          ),
        ],
      },
      help: helpSubcommand,
    },
  },
});

/** Every command, by group and then in the order of the table. */
export const commands: readonly Command[] = [
  ...connection,
  ...generic,
  ...strings,
  ...transactions,
  ...pubSub,
  ...server,
  ...replication,
];

/** The groups in the order of the table, each with a title. */
export const commandGroups: ReadonlyMap<CommandGroup, string> = new Map([
  ["connection", "Connection"],
  ["generic", "Keys"],
  ["string", "Strings and counters"],
  ["transactions", "Transactions"],
  ["pubsub", "Messages"],
  ["server", "Server"],
  ["replication", "Replication"],
]);

const commandsByName: ReadonlyMap<string, Command> = new Map(commands.map((command) => [command.name, command]));

/** Finds `get`, `CLIENT LIST`, `client|list`; undefined when there is no such command. */
export const findCommand = (name: string, subcommand?: string): Command | undefined => {
  const lower = name.toLowerCase();
  const barAt = lower.indexOf("|");
  if (barAt > 0) return findCommand(lower.slice(0, barAt), lower.slice(barAt + 1));
  const command = commandsByName.get(lower);
  if (subcommand === undefined) return command;
  return command?.subcommands.find((candidate) => candidate.name === subcommand.toLowerCase());
};
