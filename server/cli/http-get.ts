/** One GET with a deadline and a bound on the answer: what the command line asks of peers. */
import { request } from "node:http";
import { statusBytesMax } from "../../protocol/limits.ts";

export interface HttpAnswer {
  readonly statusCode: number;
  readonly body: string;
}

/** Rejects with an Error whose message is a phrase such as `no answer within 2 s`. */
export const httpGet = (
  { host, port }: { readonly host: string; readonly port: number },
  path: string,
  timeoutMs: number,
): Promise<HttpAnswer> =>
  new Promise((resolve, reject) => {
    const outgoing = request({ host, port, path, agent: false, headers: { accept: "application/json" } }, (answer) => {
      let body = "";
      answer.setEncoding("utf8");
      answer.on("data", (chunk: string) => {
        body += chunk;
        if (body.length > statusBytesMax) outgoing.destroy(new Error(`answer longer than ${statusBytesMax} bytes`));
      });
      answer.on("end", () => resolve({ statusCode: answer.statusCode ?? 0, body }));
      answer.on("error", reject);
    });
    // Of the whole exchange: a socket timeout would start anew with every byte.
    const deadline = setTimeout(() => outgoing.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)), timeoutMs);
    outgoing.on("close", () => clearTimeout(deadline));
    outgoing.on("error", (error: NodeJS.ErrnoException) => {
      const known: Record<string, string> = {
        ECONNREFUSED: "nobody listens there",
        ECONNRESET: "connection reset",
        ENOTFOUND: "no such host",
        EAI_AGAIN: "the host's name cannot be looked up",
        EHOSTUNREACH: "no route to the host",
      };
      reject(new Error(known[error.code ?? ""] ?? error.message, { cause: error }));
    });
    outgoing.end();
  });
