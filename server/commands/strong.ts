/**
 * Commands on strong keys: from a command's words to one operation on one register, and from its outcome to a reply.
 *
 * Same commands, same replies and the same error lines as on other keys, where an operation exists; every other command
 * says that it is not for strong keys, and what is instead. All take one key: an operation on two registers would be two.
 *
 *   SET key value [NX | XX | IFEQ value | IFVERSION v] [GET | WITHVERSION] [EX s | PX ms | KEEPTTL] [FENCE lock token]
 *   DEL key [IFEQ value]      CAS key expected new      VERSION key [WITHVALUE]
 *
 * and, behind any command that writes, `OPID id`: the client's name for the operation, so that a retry happens once.
 */
import { keyBytesMax, operationIdBytesMax, registerValueBytesMax } from "../../protocol/limits.ts";
import type { RegisterError, RegisterReply } from "../../protocol/register-value.ts";
import type { Ballot, Match, Operation, Outcome, SetOperation } from "../registers/index.ts";
import type { RunnableCommand, Words } from "./context.ts";
import {
  invalidExpireTime,
  keyTooLong,
  notAnInteger,
  quoted,
  syntaxError,
  wouldOverflow,
  wrongArity,
} from "./errors.ts";
import { parseIndex, parseInteger } from "./numbers.ts";
import type { Session, StrongKeyHost } from "./session.ts";

type Done = Extract<Outcome, { kind: "done" }>;

interface StrongCommand {
  readonly operation: Operation;
  /** How an answer is told, where it is not as it stands. */
  readonly tell?: (session: Session, done: Done) => void;
}

/** A string is the error line. */
type Parser = (words: Words) => StrongCommand | string;

const just =
  (operation: Operation): Parser =>
  () => ({ operation });

// ---- Time to live -------------------------------------------------------------------------------------------------------

const leaseMsMax = 365 * 24 * 3600 * 1000;

/** A duration in ms; a string is the error line. `atLeast`: 1 where Redis refuses zero and less. */
const durationMs = (text: string, unit: "s" | "ms", fullName: string, atLeast: number): number | string => {
  const value = parseInteger(text);
  if (value === undefined) return notAnInteger;
  const ms = Number(value) * (unit === "s" ? 1000 : 1);
  if (ms < atLeast) return invalidExpireTime(fullName);
  if (ms > leaseMsMax) return `ERR a strong key lives for at most ${leaseMsMax} ms, or for ever`;
  return ms;
};

const noAbsoluteTimes =
  "ERR strong keys take durations (EX, PX, EXPIRE, PEXPIRE): no two clocks agree on a point in time";

const expire =
  (unit: "s" | "ms"): Parser =>
  (words) => {
    if (words.length > 3) return "ERR strong keys take no NX, XX, GT or LT in EXPIRE";
    const ttlMs = durationMs(words[2], unit, unit === "s" ? "expire" : "pexpire", Number.NEGATIVE_INFINITY);
    return typeof ttlMs === "string" ? ttlMs : { operation: { kind: "expire", ttlMs } };
  };

// ---- SET ----------------------------------------------------------------------------------------------------------------

const plainSet = (value: string, more: Partial<SetOperation> = {}): SetOperation => ({
  kind: "set",
  value,
  condition: "none",
  returnsOld: false,
  ttlMs: 0,
  ...more,
});

const versionPattern = /^[0-9]{1,16}$/;

/** One that no register ever has cannot match. */
const versionOf = (text: string): Match => ({ version: versionPattern.test(text) ? Number(text) : -1 });

const set: Parser = (words) => {
  let condition: SetOperation["condition"] = "none";
  let returnsOld = false;
  let tellsVersion = false;
  let ttlMs: number | "keep" | undefined;
  let fence: SetOperation["fence"];
  for (let at = 3; at < words.length; at += 1) {
    const option = words[at]?.toUpperCase() ?? "";
    const [next, afterNext] = [words[at + 1], words[at + 2]];
    if (condition === "none" && (option === "NX" || option === "XX")) {
      condition = option === "NX" ? "absent" : "present";
    } else if (condition === "none" && option === "IFEQ" && next !== undefined) {
      condition = { equals: next };
      at += 1;
    } else if (condition === "none" && option === "IFVERSION" && next !== undefined) {
      condition = versionOf(next);
      at += 1;
    } else if (option === "GET" && !tellsVersion) returnsOld = true;
    else if (option === "WITHVERSION" && !returnsOld) tellsVersion = true;
    else if (option === "KEEPTTL" && ttlMs === undefined) ttlMs = "keep";
    else if ((option === "EX" || option === "PX") && ttlMs === undefined && next !== undefined) {
      const given = durationMs(next, option === "EX" ? "s" : "ms", "set", 1);
      if (typeof given === "string") return given;
      ttlMs = given;
      at += 1;
    } else if (option === "EXAT" || option === "PXAT") return noAbsoluteTimes;
    else if (option === "FENCE" && fence === undefined && next !== undefined && afterNext !== undefined) {
      const token = parseInteger(afterNext);
      if (typeof token !== "number" || token < 0) return "ERR a fencing token is what VERSION of the lock answered";
      fence = { lock: next, token };
      at += 2;
    } else return syntaxError;
  }
  const operation = plainSet(words[2], { condition, returnsOld, ttlMs: ttlMs ?? 0, fence });
  return tellsVersion ? { operation, tell: tellVersion } : { operation };
};

const tellVersion = (session: Session, { reply, version }: Done): void => {
  if (reply.kind === "ok") session.reply.bulk(String(version));
  else tellReply(session, reply);
};

const setWithTime =
  (unit: "s" | "ms", fullName: string): Parser =>
  (words) => {
    const ttlMs = durationMs(words[2], unit, fullName, 1);
    return typeof ttlMs === "string" ? ttlMs : { operation: plainSet(words[3], { ttlMs }) };
  };

const tellWhether = (session: Session, { reply }: Done): void => {
  if (reply.kind === "ok" || reply.kind === "nil") session.reply.integer(reply.kind === "ok" ? 1 : 0);
  else tellReply(session, reply);
};

// ---- DEL, CAS, VERSION and the rest ---------------------------------------------------------------------------------------

const conditionally = (words: Words, otherwise: string): StrongCommand | string => {
  const [, , option, given] = words;
  if (words.length === 2) return { operation: { kind: "del" } };
  if (words.length !== 4) return otherwise;
  if (option.toUpperCase() === "IFEQ") return { operation: { kind: "del", only: { equals: given } } };
  if (option.toUpperCase() === "IFVERSION") return { operation: { kind: "del", only: versionOf(given) } };
  return otherwise;
};

const version: Parser = (words) => {
  if (words.length === 2) return { operation: { kind: "version" } };
  if (words.length > 3 || words[2].toUpperCase() !== "WITHVALUE") return syntaxError;
  return {
    operation: { kind: "get" },
    tell: (session, done) => {
      const { reply } = done;
      if (reply.kind !== "text") return tellReply(session, reply);
      session.reply.array(3);
      session.reply.bulk(String(done.version));
      session.reply.bulk(reply.text);
      // As this peer's clock has it: only a duration is agreed on.
      session.reply.integer(done.leftMs === 0 ? -1 : Math.ceil(Date.now() + done.leftMs));
      return undefined;
    },
  };
};

const change =
  (sign: 1 | -1, given: boolean): Parser =>
  (words) => {
    const amount = given ? parseInteger(words[2]) : 1;
    if (amount === undefined) return notAnInteger;
    if (sign === 1) return { operation: { kind: "incrby", amount } };
    const least = typeof amount === "bigint" && amount === -(2n ** 63n);
    if (least) return "ERR decrement would overflow";
    return { operation: { kind: "incrby", amount: typeof amount === "bigint" ? -amount : 0 - amount } };
  };

const getrange: Parser = (words) => {
  const [first, last] = [parseIndex(words[2]), parseIndex(words[3])];
  if (first === undefined || last === undefined) return notAnInteger;
  return {
    operation: { kind: "get" },
    tell: (session, { reply }) => {
      const text = reply.kind === "text" ? reply.text : "";
      const from = first < 0 ? Math.max(0, text.length + first) : first;
      const to = last < 0 ? text.length + last : last;
      session.reply.bulk(from > to ? "" : text.slice(from, to + 1));
    },
  };
};

const tellType = (session: Session, { reply }: Done): void => {
  session.reply.simple(reply.kind === "text" ? reply.text : "none");
};

const parsers: ReadonlyMap<string, Parser> = new Map<string, Parser>([
  ["get", just({ kind: "get" })],
  ["set", set],
  ["setnx", (words) => ({ operation: plainSet(words[2], { condition: "absent" }), tell: tellWhether })],
  ["setex", setWithTime("s", "setex")],
  ["psetex", setWithTime("ms", "psetex")],
  ["getset", (words) => ({ operation: plainSet(words[2], { returnsOld: true }) })],
  ["getdel", just({ kind: "getdel" })],
  ["del", (words) => conditionally(words, oneKeyOnly("DEL"))],
  ["delete", (words) => conditionally(words, oneKeyOnly("DELETE"))],
  ["unlink", (words) => conditionally(words, oneKeyOnly("UNLINK"))],
  ["delex", (words) => conditionally(words, syntaxError)],
  ["exists", (words) => (words.length > 2 ? oneKeyOnly("EXISTS") : { operation: { kind: "exists" } })],
  ["touch", (words) => (words.length > 2 ? oneKeyOnly("TOUCH") : { operation: { kind: "exists" } })],
  ["strlen", just({ kind: "strlen" })],
  ["type", () => ({ operation: { kind: "type" }, tell: tellType })],
  ["getrange", getrange],
  ["substr", getrange],
  ["append", (words) => ({ operation: { kind: "append", text: words[2] } })],
  ["incr", change(1, false)],
  ["decr", change(-1, false)],
  ["incrby", change(1, true)],
  ["decrby", change(-1, true)],
  ["expire", expire("s")],
  ["pexpire", expire("ms")],
  ["ttl", just({ kind: "ttl" })],
  ["pttl", just({ kind: "pttl" })],
  ["persist", just({ kind: "persist" })],
  ["cas", (words) => ({ operation: { kind: "cas", expected: words[2], value: words[3] } })],
  ["version", version],
  ["expireat", () => noAbsoluteTimes],
  ["pexpireat", () => noAbsoluteTimes],
  ["expiretime", () => noAbsoluteTimes],
  ["pexpiretime", () => noAbsoluteTimes],
  ["watch", () => "ERR WATCH is not for strong keys: CAS key expected new does in one step what WATCH and EXEC do"],
  ["rename", () => twoKeys("RENAME")],
  ["renamenx", () => twoKeys("RENAMENX")],
  ["copy", () => twoKeys("COPY")],
]);

const oneKeyOnly = (name: string): string =>
  `ERR strong keys are taken one at a time: each is a register of its own. Send ${name} once per key`;
const twoKeys = (name: string): string => `ERR ${name} is not for strong keys: no operation spans two of them`;

// ---- Whether a command speaks of a strong key -----------------------------------------------------------------------------

/** Looks at every key among the words. */
export const namesStrongKey = (runnable: RunnableCommand, words: readonly string[], strong: StrongKeyHost): boolean => {
  const { first, last, step } = runnable.command.keys;
  const end = last < 0 ? words.length + last : Math.min(last, words.length - 1);
  for (let at = first; at <= end; at += step) if (strong.isStrong(words[at] as string)) return true;
  return false;
};

// ---- Running ------------------------------------------------------------------------------------------------------------

interface Given {
  readonly words: Words;
  readonly operationId: string | undefined;
}

/** `OPID id` behind a command that has all its words without them. */
const withoutOperationId = (runnable: RunnableCommand, given: readonly string[]): Given => {
  const at = given.length - 2;
  if (at < runnable.wordsMin || given[at]?.toUpperCase() !== "OPID") {
    return { words: given as Words, operationId: undefined };
  }
  return { words: given.slice(0, at) as unknown as Words, operationId: given[at + 1] };
};

const refusedOperationId = (runnable: RunnableCommand, id: string): string | undefined => {
  if (!runnable.writes) return `ERR OPID is for commands that write; a read may be sent again as it is`;
  if (id === "" || id.length > operationIdBytesMax) return `ERR an OPID has 1 to ${operationIdBytesMax} bytes`;
  return undefined;
};

export interface ReadyStrongCommand {
  readonly words: Words;
  run(session: Session): Promise<void>;
}

/** What is to be done; a string is the error line. The caller has checked login, and that the peer takes it now. */
export const prepareStrong = (
  runnable: RunnableCommand,
  given: readonly string[],
  strong: StrongKeyHost,
): ReadyStrongCommand | string => {
  const { words, operationId } = withoutOperationId(runnable, given);
  const { fullName } = runnable;
  if (words.length < runnable.wordsMin || words.length > runnable.wordsMax) return wrongArity(fullName);
  if (operationId !== undefined) {
    const refused = refusedOperationId(runnable, operationId);
    if (refused !== undefined) return refused;
  }
  const key = words[runnable.command.keys.first] as string;
  if (fullName === "trace") return { words: given as Words, run: (session) => trace(session, key, strong) };
  const parser = parsers.get(fullName);
  if (parser === undefined) return notForStrongKeys(fullName, strong);
  // A plain key first, and a strong one later on.
  if (!strong.isStrong(key)) return mixed(fullName);
  if (key.length > keyBytesMax) return keyTooLong(key.length, keyBytesMax);
  const command = parser(words);
  if (typeof command === "string") return command;
  const tell = command.tell ?? ((session: Session, { reply }: Done) => tellReply(session, reply));
  return {
    words: given as Words,
    run: async (session) => {
      const outcome = await strong.operate(key, command.operation, operationId);
      if (outcome.kind !== "done") session.reply.error(undone(outcome.kind, strong));
      else if (outcome.reply.kind === "error") session.reply.error(errorLines[outcome.reply.error]);
      else if (outcome.reply.kind === "not-kept") tellReply(session, outcome.reply);
      else tell(session, outcome);
    },
  };
};

const notForStrongKeys = (fullName: string, strong: StrongKeyHost): string =>
  `ERR ${fullName.toUpperCase().replace("|", " ")} is not for strong keys (${strong.prefixes.join(", ")}); see docs/STRONG.md`;

const mixed = (fullName: string): string =>
  `ERR ${fullName.toUpperCase()} of a strong key among others: strong keys are taken one at a time`;

/** MULTI is spoiled by it. */
export const strongInMulti =
  "ERR strong keys cannot be used inside MULTI: each is taken alone. CAS key expected new changes one by what it holds";

const undone = (kind: Exclude<Outcome["kind"], "done">, strong: StrongKeyHost): string => {
  switch (kind) {
    case "no-quorum":
      return strong.whyNoQuorum();
    case "unknown":
      return "UNKNOWN it may have happened, or may yet: read the key, or send it again with the same OPID";
    case "busy":
      return "BUSY too many operations on strong keys wait at this peer; it did not happen";
  }
};

const errorLines: Readonly<Record<RegisterError, string>> = {
  "not-an-integer": notAnInteger,
  overflow: wouldOverflow,
  "too-long": `ERR a strong key holds at most ${registerValueBytesMax} bytes`,
  fenced: "FENCED a write with a higher fencing token was here before: the lock has another holder",
  "too-many-fences": "ERR this key remembers the tokens of as many locks as it can",
};

const tellReply = (session: Session, reply: RegisterReply): void => {
  switch (reply.kind) {
    case "ok":
      return session.reply.simple("OK");
    case "nil":
      return session.reply.nil();
    case "integer":
      return session.reply.integer(reply.value);
    case "text":
      return session.reply.bulk(reply.text);
    case "error":
      return session.reply.error(errorLines[reply.error]);
    case "not-kept":
      return session.reply.error(
        `NOTKEPT the operation of this OPID took place before; its answer of ${reply.bytes} bytes was not kept`,
      );
  }
};

// ---- TRACE --------------------------------------------------------------------------------------------------------------

const ballotText = (ballot: Ballot): string =>
  ballot.counter === 0
    ? "none"
    : `${ballot.counter}@${ballot.origin}${ballot.epoch === undefined ? "" : " (new epoch)"}`;

const trace = async (session: Session, key: string, strong: StrongKeyHost): Promise<void> => {
  const holdings = await strong.trace(key);
  const { reply } = session;
  const counted = new Map<string, number>();
  for (const { ballot } of holdings) {
    if (ballot !== undefined) counted.set(ballotText(ballot), (counted.get(ballotText(ballot)) ?? 0) + 1);
  }
  const chosen = [...counted].find(([, count]) => count > holdings.length / 2)?.[0];
  reply.map(4);
  reply.bulk("key");
  reply.bulk(key);
  reply.bulk("kind");
  reply.bulk("strong");
  reply.bulk("ballot");
  // No majority holds one ballot: a round is under way, or peers are silent.
  reply.bulk(chosen ?? "undecided");
  reply.bulk("holders");
  reply.map(holdings.length);
  for (const { peer, ballot } of holdings) {
    reply.bulk(peer);
    reply.bulk(ballot === undefined ? "silent" : ballotText(ballot));
  }
};

/** Options and commands that only mean something for strong keys, on a key that is not one. */
export const strongOnly = (what: string, strong: StrongKeyHost): string =>
  `ERR ${what} is for strong keys (${strong.prefixes.map(quoted).join(", ")}): elsewhere two peers may both find it true`;
