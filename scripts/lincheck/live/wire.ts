/** Operations on strong keys as commands of the Redis protocol, and answers back into what a history records. */
import type { RegisterError } from "../../../protocol/register-value.ts";
import type { Operation } from "../../../server/registers/index.ts";
import type { Outcome, Reply } from "../../../tests/support/resp-client.ts";
import type { RecordedOutput } from "../history.ts";

export interface Call {
  readonly key: string;
  readonly operation: Operation;
  readonly operationId: string | undefined;
  /** SET … WITHVERSION, VERSION … WITHVALUE. */
  readonly asksVersion: boolean;
}

export const wordsOf = ({ key, operation, operationId, asksVersion }: Call): readonly (string | number)[] => {
  const id = operationId === undefined ? [] : ["OPID", operationId];
  switch (operation.kind) {
    case "get":
      return asksVersion ? ["VERSION", key, "WITHVALUE"] : ["GET", key];
    case "set": {
      const { value, condition, returnsOld, ttlMs, fence } = operation;
      const words: (string | number)[] = ["SET", key, value];
      if (condition === "absent") words.push("NX");
      else if (condition === "present") words.push("XX");
      else if (typeof condition === "object" && "equals" in condition) words.push("IFEQ", condition.equals);
      if (returnsOld) words.push("GET");
      else if (asksVersion) words.push("WITHVERSION");
      if (ttlMs === "keep") words.push("KEEPTTL");
      else if (ttlMs > 0) words.push("PX", ttlMs);
      if (fence !== undefined) words.push("FENCE", fence.lock, fence.token);
      return [...words, ...id];
    }
    case "del":
      return operation.only !== undefined && "equals" in operation.only
        ? ["DEL", key, "IFEQ", operation.only.equals, ...id]
        : ["DEL", key, ...id];
    case "cas":
      return ["CAS", key, operation.expected, operation.value, ...id];
    case "append":
      return ["APPEND", key, operation.text, ...id];
    case "incrby":
      return operation.amount === 1 ? ["INCR", key, ...id] : ["INCRBY", key, String(operation.amount), ...id];
    case "expire":
      return ["PEXPIRE", key, operation.ttlMs, ...id];
    default:
      return [operation.kind.toUpperCase(), key, ...id];
  }
};

export type Heard =
  | { readonly kind: "done"; readonly output: RecordedOutput }
  /** It certainly did not happen; `code` is the error's first word. */
  | { readonly kind: "no"; readonly code: string }
  | { readonly kind: "unknown" }
  /** No peer may say this. */
  | { readonly kind: "wrong"; readonly words: string };

/** What answers of these mean is in docs/STRONG.md and docs/ERRORS.md. LOADING: a peer that has not caught up. */
const certainlyNot: ReadonlySet<string> = new Set(["NOQUORUM", "BUSY", "LOADING", "not"]);

const operationErrors: readonly (readonly [begins: string, error: RegisterError])[] = [
  ["ERR value is not an integer", "not-an-integer"],
  ["ERR increment or decrement would overflow", "overflow"],
  ["FENCED", "fenced"],
];

export const heardOf = (call: Call, outcome: Outcome): Heard => {
  if (outcome.state === "unknown") return { kind: "unknown" };
  if (outcome.state === "acked") {
    const output = outputOfReply(call, outcome.reply);
    return output === undefined
      ? { kind: "wrong", words: `${wordsOf(call).join(" ")}: ${JSON.stringify(outcome.reply)}` }
      : { kind: "done", output };
  }
  const code = outcome.error.split(/[ :]/)[0] ?? "";
  if (code === "UNKNOWN") return { kind: "unknown" };
  if (code === "NOTKEPT") return { kind: "done", output: { kind: "not-kept", bytes: 0 } };
  const known = operationErrors.find(([begins]) => outcome.error.startsWith(begins));
  if (known !== undefined) return { kind: "done", output: { kind: "error", error: known[1] } };
  if (certainlyNot.has(code)) return { kind: "no", code };
  return { kind: "wrong", words: `${wordsOf(call).join(" ")}: ${outcome.error}` };
};

const outputOfReply = ({ operation, asksVersion }: Call, reply: Reply): RecordedOutput | undefined => {
  if (reply === null) return { kind: "nil" };
  if (typeof reply === "number") return { kind: "integer", value: reply };
  if (Array.isArray(reply)) {
    const [version, text] = reply as readonly Reply[];
    if (operation.kind !== "get" || typeof version !== "string" || typeof text !== "string") return undefined;
    return { kind: "text", text, version: Number(version) };
  }
  if (typeof reply !== "string") return undefined;
  if (operation.kind !== "set" || operation.returnsOld) return { kind: "text", text: reply };
  if (asksVersion) return { kind: "ok", version: Number(reply) };
  return reply === "OK" ? { kind: "ok" } : undefined;
};
