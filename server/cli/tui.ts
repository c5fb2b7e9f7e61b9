/**
 * `chorus tui`: the terminal UI, loaded only now. Without a terminal (a pipe, TERM=dumb) and with --json it prints one
 * status of all peers, as `chorus status` does, and exits.
 */
import { statusMsMax } from "../../protocol/limits.ts";
import { parseStatus } from "../../protocol/status.ts";
import { type HostPort, hostPortToText, loadPassword, parseHostPort } from "../settings.ts";
import { loadClusterRecord } from "./cluster/control.ts";
import { CommandFailure, failureText, usageFailure } from "./failure.ts";
import { httpGet } from "./http-get.ts";

export interface TuiCommandOptions {
  /** As typed: `host:port` of HTTP ports. Empty: the cluster that runs in `data`, else this machine's default ports. */
  readonly peers: readonly string[];
  readonly data: string;
  readonly readOnly: boolean;
  readonly json: boolean;
  readonly passwordFile: string | undefined;
}

/** Where `npm start` puts three peers. */
const defaultPorts = [6001, 6002, 6003];

/** Resolves with the exit code. */
export const tuiCommand = async (options: TuiCommandOptions): Promise<number> => {
  const peers = peersOf(options);
  const { stdin, stdout, env } = process;
  if (options.json || !stdin.isTTY || !stdout.isTTY || env["TERM"] === "dumb") {
    const { runStatus } = await import("./status.ts");
    return await runStatus({ peers: await allPeers(peers), json: options.json, watch: false });
  }
  const passwordFile = options.passwordFile ?? env["CHORUS_PASSWORD_FILE"];
  const password = passwordFile === undefined ? undefined : utf8(loadPassword(passwordFile));
  // Before React is loaded: its development build keeps a record of every render for ever.
  env["NODE_ENV"] = "production";
  const { runTui } = await import("../../client-tui/index.ts");
  try {
    await runTui({
      addresses: peers.map(hostPortToText),
      password,
      readOnly: options.readOnly,
      colors: (env["NO_COLOR"] ?? "") === "",
    });
  } catch (error) {
    throw new CommandFailure(failureText(error), 1, { cause: error });
  }
  return 0;
};

/** The file is read as bytes; a client says it as text. */
const utf8 = (latin1: string): string => Buffer.from(latin1, "latin1").toString("utf8");

const peersOf = ({ peers, data }: TuiCommandOptions): readonly HostPort[] => {
  if (peers.length > 0)
    return peers
      .flatMap((list) => list.split(","))
      .filter((entry) => entry.trim() !== "")
      .map((entry) => {
        const address = parseHostPort(entry.slice(entry.indexOf("=") + 1));
        if (address === undefined) throw usageFailure(`expected host:port, got "${entry.trim()}"`);
        return address;
      });
  const record = loadClusterRecord(data);
  if (record !== undefined) return record.peers.map(({ host, httpPort }) => ({ host, port: httpPort }));
  return defaultPorts.map((port) => ({ host: "127.0.0.1", port }));
};

/** Those given, and those the first that answers knows beside them. */
const allPeers = async (given: readonly HostPort[]): Promise<readonly HostPort[]> => {
  for (const peer of given)
    try {
      const { body } = await httpGet(peer, "/status", statusMsMax);
      const parsed = parseStatus(JSON.parse(body));
      if (!parsed.ok) continue;
      const { status } = parsed;
      const others = status.peers
        .filter(({ name }) => name !== status.peer.name)
        .map(({ address }) => parseHostPort(address))
        .filter((address) => address !== undefined);
      return [peer, ...others];
    } catch {
      // The next one may answer; if none does, the status says so of each.
    }
  return given;
};
