/**
 * The JSON messages of `/client`, a WebSocket on each peer's HTTP port: commands by id, and subscriptions.
 *
 *     client                                        peer
 *       | -- hello     who I am, what I saw  -------> |
 *       | <- welcome   who answers ------------------ |   or error, and a close when nothing else would make sense
 *       | -- command 1 ["SET","a","1"]  ------------> |
 *       | -- watch   2 prefix "user:"  -------------> |
 *       | <- reply   1 "OK" ------------------------- |   replies in the order of the commands
 *       | <- watching 2, changes 2, changes 2, ... -- |   until cancel 2, or ended 2
 *
 * One WebSocket text message each. Objects are strict: an unknown field is refused, so a message of this version means
 * one thing. A bad message is answered by an error, the connection stays. Ids are the client's; one in use by a
 * subscription may not be used again. Positions are explained in position.ts, bytes in JSON in wire-text.ts.
 */
import { z } from "zod";
import {
  argumentsMax,
  clientNameBytesMax,
  positionBytesMax,
  strongPrefixBytesMax,
  strongPrefixesMax,
} from "./limits.ts";
import { type WireText, wireText } from "./wire-text.ts";

/** Of every message on `/client`. Another: UNKNOWN_VERSION. */
export const clientProtocolVersion = 1;

/** What a client may do about it is in `outcome`: `not-applied` may be sent again safely, `unknown` may have happened. */
export type Outcome = "not-applied" | "unknown";

/**
 * Codes of `error` messages beside those of Redis (`WRONGTYPE`, `ERR`, `OOM`, ...), which come through as they are:
 *
 *   BAD_MESSAGE      not JSON, not a message of this protocol, an unknown field, too long
 *   UNKNOWN_VERSION  another version of this protocol
 *   UNKNOWN_ID       cancel of something that is not there
 *   ID_IN_USE        an id that a subscription has
 *   BAD_POSITION     a position or token that is none
 *   NO_HELLO         the first message must be hello
 *   STALE            this peer did not reach the position in time: ask another, or wait
 *   TOO_MANY         more subscriptions on one connection than limits.ts allows
 */
export type ClientErrorCode =
  | "BAD_MESSAGE"
  | "UNKNOWN_VERSION"
  | "UNKNOWN_ID"
  | "ID_IN_USE"
  | "BAD_POSITION"
  | "NO_HELLO"
  | "STALE"
  | "TOO_MANY";

/** Of a command's error: all say that nothing was done, but two of strong keys. NOTKEPT: it was, and is not done again. */
export const outcomeOf = (code: string): Outcome =>
  code === "UNKNOWN" || code === "NOTKEPT" ? "unknown" : "not-applied";

const id = z.int().min(1);
const position = z.string().max(positionBytesMax);

// ---- From the client ------------------------------------------------------------------------------------------------

const hello = z.strictObject({
  type: z.literal("hello"),
  protocolVersion: z.int().nonnegative(),
  /** Where the peer has a password. `user` is `default` when left out. */
  user: z.string().max(clientNameBytesMax).optional(),
  password: z.string().max(clientNameBytesMax).optional(),
  /** For CLIENT LIST. */
  name: z.string().max(clientNameBytesMax).optional(),
  /** What this client saw, here or at another peer: nothing it asks is answered from an older state. */
  position: position.optional(),
  /** How long the peer may wait until it has reached that position, ms. Then commands get STALE. */
  staleAfterMs: z.int().min(0).max(60_000).optional(),
});

const command = z.strictObject({
  type: z.literal("command"),
  id,
  /** As typed into redis-cli: name and arguments. */
  args: z.array(wireText).min(1).max(argumentsMax),
  /**
   * For whoever asks for several others over one connection (a gateway): not answered from a state older than this. Such
   * a command waits by itself; those behind it go before it, and so may their replies. Not inside MULTI.
   */
  position: position.optional(),
  /** How long it may wait for that, ms; else as hello said. Then: STALE. */
  staleAfterMs: z.int().min(0).max(60_000).optional(),
});

const watch = z.strictObject({
  type: z.literal("watch"),
  id,
  /** Keys that begin so; "" or neither: all keys. */
  prefix: wireText.optional(),
  /** This one key. Not together with prefix. */
  key: wireText.optional(),
  /** Go on behind this token. Left out: from now on. */
  token: position.optional(),
  /** False: changes come without values. */
  values: z.boolean().optional(),
  /** At most so many changes a second; `left` counts those left out. For people's eyes. */
  perSecondMax: z.int().min(1).max(1_000_000).optional(),
});

const status = z.strictObject({ type: z.literal("status"), id });
const conflicts = z.strictObject({ type: z.literal("conflicts"), id });
const cancel = z.strictObject({ type: z.literal("cancel"), id });

export const clientRequest = z
  .discriminatedUnion("type", [hello, command, watch, status, conflicts, cancel])
  .refine((message) => message.type !== "watch" || message.key === undefined || message.prefix === undefined, {
    message: "watch takes key or prefix, not both",
  });

export type ClientHello = z.infer<typeof hello>;
export type CommandRequest = z.infer<typeof command>;
export type WatchRequest = z.infer<typeof watch>;
export type ClientRequest = z.infer<typeof clientRequest>;

// ---- From the peer --------------------------------------------------------------------------------------------------

/**
 * A Redis reply in JSON. Bytes: wire text. Integers: a number, beyond 2^53 `{integer}`. A status such as OK: `{status}`,
 * so that it is told from a value. An error inside an array (EXEC): `{error}`.
 */
export type WireReply =
  | WireText
  | number
  | boolean
  | null
  | { readonly status: string }
  | { readonly integer: string }
  /** `inf`, `-inf`, `nan` are text. */
  | { readonly double: number | "inf" | "-inf" | "nan" }
  | { readonly verbatim: WireText }
  | { readonly error: { readonly code: string; readonly message: string } }
  | readonly WireReply[]
  | { readonly map: readonly (readonly [WireReply, WireReply])[] }
  | { readonly set: readonly WireReply[] };

export const wireReply: z.ZodType<WireReply> = z.lazy(() =>
  z.union([
    wireText,
    z.int(),
    z.boolean(),
    z.null(),
    z.strictObject({ status: z.string() }),
    z.strictObject({ integer: z.string().regex(/^-?[0-9]{1,20}$/) }),
    z.strictObject({ double: z.union([z.number(), z.enum(["inf", "-inf", "nan"])]) }),
    z.strictObject({ verbatim: wireText }),
    z.strictObject({ error: z.strictObject({ code: z.string(), message: z.string() }) }),
    z.array(wireReply),
    z.strictObject({ map: z.array(z.tuple([wireReply, wireReply])) }),
    z.strictObject({ set: z.array(wireReply) }),
  ]),
);

const change = z.strictObject({
  /** `expired` comes from this peer's clock and has no dot of its own: origin, seq and stamp are of what expired. */
  type: z.enum(["set", "delete", "increment", "expired"]),
  key: wireText,
  /** set: the value. increment: the counter's value as this peer shows it. Left out with `values: false`. */
  value: wireText.optional(),
  /** Unix ms; left out when the key does not expire. */
  expiresAtMs: z.number().optional(),
  /** `name.incarnation` of the peer's run that took the write; with seq it is the write's dot. */
  origin: z.string(),
  seq: z.int(),
  /** Hybrid clock: order of writes of a key. Its milliseconds since 1970 are in stampMs. */
  stamp: z.number(),
  stampMs: z.number(),
});

const conflictSide = z.strictObject({
  /** null: a delete. */
  value: wireText.nullable(),
  origin: z.string(),
  dot: z.string(),
  stampMs: z.number(),
});

const conflict = z.strictObject({
  id: z.string(),
  key: wireText,
  atMs: z.number(),
  winner: conflictSide,
  loser: conflictSide,
  why: z.string(),
  restored: z.boolean(),
});

export const peerMessage = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("welcome"),
    protocolVersion: z.int(),
    peer: z.string(),
    incarnation: z.string(),
    cluster: z.string(),
    version: z.string(),
    /** All peers of the cluster, this one among them: where else a client may go. `host:port` of their HTTP ports. */
    peers: z.array(z.strictObject({ name: z.string(), address: z.string() })),
    /** Keys that begin with one of these are strong. Left out: there are none. */
    strongPrefixes: z.array(z.string().max(strongPrefixBytesMax)).max(strongPrefixesMax).optional(),
  }),
  z.strictObject({ type: z.literal("reply"), id, reply: wireReply, position: position.optional() }),
  z.strictObject({
    type: z.literal("error"),
    /** Left out when the message could not be read so far. */
    id: id.optional(),
    code: z.string(),
    message: z.string(),
    outcome: z.enum(["not-applied", "unknown"]),
    position: position.optional(),
  }),
  /** The watch has begun: what follows comes behind this token. */
  z.strictObject({ type: z.literal("watching"), id, token: position }),
  z.strictObject({
    type: z.literal("changes"),
    id,
    /** In causal order. Empty: nothing that was asked for, but the token moved on. */
    changes: z.array(change),
    /** Behind the last of them. */
    token: position,
    /** Changes left out since the last message: `perSecondMax`. */
    left: z.int().optional(),
  }),
  /** The history behind the token is no longer here: read what you need anew, then go on from this token. */
  z.strictObject({ type: z.literal("reset"), id, token: position, why: z.string() }),
  /** This client reads too slowly: what follows comes from the log, later. */
  z.strictObject({ type: z.literal("lagging"), id }),
  /** Every second. The report of GET /status, see status.ts. */
  z.strictObject({ type: z.literal("status"), id, status: z.unknown() }),
  /** First all that the journal has, newest last, then each as it comes. `dropped`: let go by the bounded journal so far. */
  z.strictObject({ type: z.literal("conflicts"), id, conflicts: z.array(conflict), dropped: z.int() }),
  /** A subscription is over: cancelled, or the peer stops. */
  z.strictObject({ type: z.literal("ended"), id, why: z.string() }),
]);

export type WireChange = z.infer<typeof change>;
export type WireConflict = z.infer<typeof conflict>;
export type PeerMessage = z.infer<typeof peerMessage>;

export type Parsed<Message> =
  | { readonly ok: true; readonly message: Message }
  | { readonly ok: false; readonly why: string; readonly id: number | undefined };

const parse = <Message>(schema: z.ZodType<Message>, text: string): Parsed<Message> => {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { ok: false, why: "not JSON", id: undefined };
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return { ok: true, message: parsed.data };
  const [issue] = parsed.error.issues;
  const where = issue === undefined || issue.path.length === 0 ? "" : `${issue.path.join(".")}: `;
  const given = z.looseObject({ id }).safeParse(json);
  return {
    ok: false,
    why: `${where}${issue?.message ?? "not a message of this protocol"}`,
    id: given.success ? given.data.id : undefined,
  };
};

// ---- Without zod --------------------------------------------------------------------------------------------------------

/*
 * A schema's way through a message costs some 5 to 20 microseconds, ten times as much as reading its JSON. The messages
 * that come by the thousand are looked at by hand first: whatever is not exactly of the plain form goes the long way, so
 * these only ever say yes to what the schema says yes to (a test holds them together).
 */

type Fields = Readonly<Record<string, unknown>>;

const isId = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 1;
const isPosition = (value: unknown): boolean => typeof value === "string" && value.length <= positionBytesMax;

const quickCommand = (json: Fields): boolean => {
  let fields = 3;
  if (json["position"] !== undefined) {
    if (!isPosition(json["position"])) return false;
    fields += 1;
  }
  if (Object.keys(json).length !== fields || json["type"] !== "command" || !isId(json["id"])) return false;
  const { args } = json;
  return Array.isArray(args) && args.length >= 1 && args.length <= argumentsMax && args.every(isString);
};

const isString = (value: unknown): boolean => typeof value === "string";

const quickReply = (json: Fields): boolean => {
  const { reply, position: told } = json;
  if (Object.keys(json).length !== (told === undefined ? 3 : 4) || !isId(json["id"])) return false;
  if (told !== undefined && !isPosition(told)) return false;
  return reply === null || typeof reply === "string" || Number.isSafeInteger(reply) || isPlainList(reply);
};

const isPlainList = (reply: unknown): boolean =>
  Array.isArray(reply) &&
  reply.every((item) => item === null || typeof item === "string" || Number.isSafeInteger(item));

const changeTypes = new Set<unknown>(["set", "delete", "increment", "expired"]);

const quickChange = (change: Fields): boolean => {
  if (change === null || typeof change !== "object") return false;
  let fields = 6;
  const { value, expiresAtMs, stamp, stampMs } = change;
  if (value !== undefined) {
    if (typeof value !== "string") return false;
    fields += 1;
  }
  if (expiresAtMs !== undefined) {
    if (typeof expiresAtMs !== "number") return false;
    fields += 1;
  }
  if (Object.keys(change).length !== fields || !changeTypes.has(change["type"])) return false;
  if (typeof change["key"] !== "string" || typeof change["origin"] !== "string") return false;
  return Number.isSafeInteger(change["seq"]) && typeof stamp === "number" && typeof stampMs === "number";
};

const quickChanges = (json: Fields): boolean => {
  if (Object.keys(json).length !== 4 || !isId(json["id"]) || !isPosition(json["token"])) return false;
  const { changes } = json;
  return Array.isArray(changes) && changes.every(quickChange);
};

const quickly = <Message>(text: string, isOne: (json: Fields) => boolean): Parsed<Message> | undefined => {
  try {
    const json: unknown = JSON.parse(text);
    // The cast holds where isOne says so: it looked at every field.
    if (typeof json === "object" && json !== null && isOne(json as Fields))
      return { ok: true, message: json as Message };
  } catch {
    // The long way says what is wrong.
  }
  return undefined;
};

/** Never throws. `why` is for people; `id` is that of the message where it has a readable one. */
export const parseClientRequest = (text: string): Parsed<ClientRequest> =>
  quickly<ClientRequest>(text, quickCommand) ?? parse(clientRequest, text);

export const parsePeerMessage = (text: string): Parsed<PeerMessage> =>
  quickly<PeerMessage>(text, (json) =>
    json["type"] === "reply" ? quickReply(json) : json["type"] === "changes" && quickChanges(json),
  ) ?? parse(peerMessage, text);
