/**
 * What a RESP request stream means, written as slowly and plainly as possible: the whole input at once, regular
 * expressions, no state. The production parser must agree on every input, however it is cut.
 */
import * as limits from "../../protocol/limits.ts";
import { type ProtocolFault, RequestParser } from "../../protocol/resp.ts";
import { isHttp, splitArguments } from "../../protocol/text.ts";

export interface Parsed {
  readonly commands: readonly { readonly args: readonly string[]; readonly plain: boolean }[];
  readonly fault: string | undefined;
}

export const parseSlowly = (input: string, authenticated = true): Parsed => {
  const commands: { args: string[]; plain: boolean }[] = [];
  const fault = (text: string): Parsed => ({ commands, fault: `ERR Protocol error: ${text}` });
  let rest = input;
  while (rest !== "") {
    if (!rest.startsWith("*")) {
      const lineBytesMax = authenticated ? limits.inlineBytesMax : limits.unauthenticatedInlineBytesMax;
      const end = rest.indexOf("\n");
      if ((end === -1 ? rest.length : end) > lineBytesMax) return fault("too big inline request");
      if (end === -1) break;
      const line = rest.slice(0, end);
      rest = rest.slice(end + 1);
      const args = splitArguments(line.replace(/\r$/, ""));
      if (args === undefined) return fault("unbalanced quotes in request");
      if (!authenticated && args.length > 10) return fault("unauthenticated multibulk length");
      if (isHttp(args)) return { commands, fault: "HTTP" };
      if (args.length > 0) commands.push({ args, plain: !line.endsWith("\r") });
      continue;
    }
    const count = integer(rest.slice(1));
    if (count === "incomplete") break;
    if (count === "invalid" || count.value > 1024 * 1024) return fault("invalid multibulk length");
    if (!authenticated && count.value > 10) return fault("unauthenticated multibulk length");
    rest = rest.slice(1 + count.length);
    const args: string[] = [];
    let bytes = 0;
    while (args.length < count.value) {
      if (rest === "") return { commands, fault: undefined };
      if (!rest.startsWith("$")) return fault(`expected '$', got '${rest[0]}'`);
      const size = integer(rest.slice(1));
      if (size === "incomplete") return { commands, fault: undefined };
      if (size === "invalid" || size.value < 0 || size.value > 16 * 1024 * 1024) return fault("invalid bulk length");
      if (!authenticated && size.value > 16 * 1024) return fault("unauthenticated bulk length");
      bytes += size.value + 16;
      if (bytes > limits.commandBytesMax) return fault("too big mbulk request");
      rest = rest.slice(1 + size.length);
      if (rest.length < size.value + 2) return { commands, fault: undefined };
      if (rest.slice(size.value, size.value + 2) !== "\r\n") return fault("expected CRLF after a bulk string");
      args.push(rest.slice(0, size.value));
      rest = rest.slice(size.value + 2);
    }
    if (count.value > 0) commands.push({ args, plain: false });
  }
  return { commands, fault: undefined };
};

const integer = (text: string): { readonly value: number; readonly length: number } | "incomplete" | "invalid" => {
  const whole = /^(0|[1-9]\d{0,9}|-1)\r\n/.exec(text);
  if (whole !== null) return { value: Number(whole[1]), length: whole[0].length };
  return /^(|-|-1\r?|(0|[1-9]\d{0,9})\r?)$/.test(text) ? "incomplete" : "invalid";
};

/** The production parser, fed these chunks; commands are taken after each. */
export const parseChunks = (chunks: Iterable<Buffer>, authenticated = true): Parsed => {
  const parser = new RequestParser();
  parser.authenticated = authenticated;
  const commands: { args: string[]; plain: boolean }[] = [];
  for (const chunk of chunks) {
    // As from a socket whose read buffer is used again: what the parser keeps must be its own.
    const lent = Buffer.from(chunk);
    parser.push(lent);
    for (let args = parser.next(); args !== undefined; args = parser.next())
      commands.push({ args, plain: parser.plain });
    lent.fill(0x58);
  }
  return { commands, fault: faultText(parser.fault) };
};

const faultText = (fault: ProtocolFault | undefined): string | undefined =>
  fault?.code === "HTTP" ? "HTTP" : fault?.reply;

export const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");

export const eachByte = (input: Buffer): Buffer[] => Array.from(input, (byte) => Buffer.of(byte));

/** A command as every Redis client sends it. */
export const encode = (...args: string[]): string =>
  `*${args.length}\r\n${args.map((arg) => `$${arg.length}\r\n${arg}\r\n`).join("")}`;
