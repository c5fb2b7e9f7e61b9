/**
 * `chorus backup`: a running peer's data as one file. The peer streams it (server/backup); here each record is verified as
 * it comes and written, so a file that is there was whole when it was written.
 */
import { type IncomingMessage, request } from "node:http";
import {
  type BackupHeader,
  BackupReader,
  backupRecord,
  decodeCells,
  decodeCut,
  decodeEnd,
  decodeHeader,
} from "../backup/format.ts";
import { type HostPort, hostPortToText, loadPassword, parseHostPort } from "../settings.ts";
import { loadClusterRecord } from "./cluster/control.ts";
import { CommandFailure, failureText, usageFailure } from "./failure.ts";
import { Progress, percentOf } from "./progress.ts";
import { onStopSignals } from "./signals.ts";
import { bytesToText, countToText, durationToText } from "./sizes.ts";
import { openTarget } from "./target-file.ts";

export interface BackupOptions {
  readonly peer?: string;
  readonly data: string;
  readonly passwordFile?: string;
  readonly force: boolean;
}

/** To the first byte, and between two. More than the peer's own patience with us. */
const silenceMsMax = 60_000;
const errorBodyBytesMax = 64 * 1024;

export const runBackup = async (path: string, options: BackupOptions): Promise<number> => {
  if (path === "-" && process.stdout.isTTY) throw usageFailure("a backup is no text: send it to a file or a pipe");
  const stop = new AbortController();
  onStopSignals(
    () => stop.abort(),
    () => process.exit(1),
  );
  const authorization = authorizationOf(options.passwordFile);
  const target = await openTarget(path, options);
  const progress = new Progress();
  try {
    const { answer, address } = await firstAnswer(addressesOf(options), authorization, stop.signal);
    let header: BackupHeader | undefined;
    let cells = 0;
    let cut: ReturnType<typeof decodeCut> | undefined;
    let totals: ReturnType<typeof decodeEnd> | undefined;
    const reader = new BackupReader();
    try {
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        for (const { type, bytes } of reader.push(chunk)) {
          if (type === backupRecord.header) header = decodeHeader(bytes);
          if (type === backupRecord.cells) cells += decodeCells(bytes).count;
          if (type === backupRecord.cut) cut = decodeCut(bytes);
          if (type === backupRecord.end) totals = decodeEnd(bytes);
        }
        await target.write(chunk);
        progress.show(
          () =>
            `backup of ${address}: ${countToText(cells)} cells${percentOf(cells, header?.start.cells)}, ${bytesToText(reader.bytes)}`,
        );
      }
    } catch (error) {
      if (stop.signal.aborted) throw new CommandFailure("stopped", 1, { cause: error });
      if ((error as NodeJS.ErrnoException).code === "ECONNRESET")
        throw new CommandFailure(`peer ${address} broke off after ${bytesToText(reader.bytes)}`, 1, { cause: error });
      throw error;
    }
    reader.end();
    await target.finish();
    progress.end();
    if (header === undefined || cut === undefined || totals === undefined)
      throw new Error("a whole backup has all parts");
    process.stderr.write(
      `backup of peer ${header.peer} at ${address}: ${countToText(cut.keys)} keys, ` +
        `${bytesToText(reader.bytes)} in ${durationToText(progress.elapsedMs)}, sha256 of its content ${reader.sha256}\n`,
    );
    return 0;
  } finally {
    progress.end();
    await target.discard();
  }
};

const addressesOf = ({ peer, data }: BackupOptions): readonly HostPort[] => {
  if (peer !== undefined) {
    const address = parseHostPort(peer.slice(peer.indexOf("=") + 1));
    if (address === undefined) throw usageFailure(`flag --peer: expected host:port of an HTTP port, got "${peer}"`);
    return [address];
  }
  const record = loadClusterRecord(data);
  if (record === undefined) return [{ host: "127.0.0.1", port: 6001 }];
  return record.peers.map(({ host, httpPort }) => ({ host, port: httpPort }));
};

const authorizationOf = (file: string | undefined): Record<string, string> => {
  if (file === undefined || file === "") return {};
  return { authorization: `Basic ${Buffer.from(`default:${loadPassword(file)}`, "latin1").toString("base64")}` };
};

/** Of the first that gives one; the reasons of all when nobody does. */
const firstAnswer = async (
  addresses: readonly HostPort[],
  headers: Record<string, string>,
  signal: AbortSignal,
): Promise<{ readonly answer: IncomingMessage; readonly address: string }> => {
  const reasons: string[] = [];
  for (const where of addresses) {
    const address = hostPortToText(where);
    try {
      return { answer: await ask(where, headers, signal), address };
    } catch (error) {
      if (signal.aborted) throw new CommandFailure("stopped", 1, { cause: error });
      reasons.push(`peer ${address}: ${failureText(error)}`);
    }
  }
  throw new CommandFailure(reasons.join("; "));
};

const ask = (
  { host, port }: HostPort,
  headers: Record<string, string>,
  signal: AbortSignal,
): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const outgoing = request({ host, port, path: "/backup", agent: false, headers, signal }, (answer) => {
      if (answer.statusCode === 200) return resolve(answer);
      let body = "";
      answer.setEncoding("utf8").on("data", (text: string) => {
        if (body.length < errorBodyBytesMax) body += text;
      });
      answer.on("end", () => reject(new Error(refusalText(answer.statusCode ?? 0, body))));
      answer.on("error", reject);
      return undefined;
    });
    outgoing.setTimeout(silenceMsMax, () => outgoing.destroy(new Error(`silent for ${silenceMsMax / 1000} s`)));
    outgoing.on("error", (error: NodeJS.ErrnoException) => {
      reject(error.code === "ECONNREFUSED" ? new Error("nobody listens there", { cause: error }) : error);
    });
    outgoing.end();
  });

const refusalText = (status: number, body: string): string => {
  if (status === 404) return "it has no /backup: is it a peer's HTTP port, and of this version?";
  try {
    const { error } = JSON.parse(body) as { readonly error?: { readonly message?: unknown } };
    if (typeof error?.message === "string") return error.message;
  } catch {
    // Not ours.
  }
  return `HTTP ${status}`;
};
