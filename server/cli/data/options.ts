/** What all data commands understand: whom to ask, with which password, and what a failure means for a script. */
import { ChorusError, type Client, type ClientState, connect } from "../../../protocol/client.ts";
import { loadPassword } from "../../settings.ts";
import { loadClusterRecord } from "../cluster/control.ts";
import { CommandFailure, usageFailure } from "../failure.ts";

export interface DataOptions {
  readonly peers?: string;
  readonly data: string;
  readonly passwordFile?: string;
  readonly timeout: number;
  readonly json: boolean;
  readonly ex?: number;
  readonly px?: number;
  readonly keepTtl?: true;
  readonly nx?: true;
  readonly xx?: true;
}

export const exitCodes = { done: 0, absent: 1, usage: 2, notDone: 3, unknown: 4 } as const;

const peersDefault = ["127.0.0.1:6001", "127.0.0.1:6002", "127.0.0.1:6003"];

const peersOf = ({ peers, data }: DataOptions): readonly string[] => {
  if (peers === undefined) {
    const record = loadClusterRecord(data);
    return record === undefined ? peersDefault : record.peers.map(({ host, httpPort }) => `${host}:${httpPort}`);
  }
  const list = peers.split(",").filter((entry) => entry.trim() !== "");
  if (list.length === 0) throw usageFailure("flag --peers: expected host:port,...");
  // `name=host:port` too, as `chorus status` takes it.
  return list.map((entry) => entry.trim().replace(/^[A-Za-z0-9_-]+=/, ""));
};

/** Runs with a client; what it throws becomes a message and an exit code. */
export const withClient = async (
  options: DataOptions,
  body: (kv: Client) => Promise<number>,
  onState?: (state: ClientState) => void,
): Promise<number> => {
  try {
    // An empty variable counts as unset.
    const password = options.passwordFile ? loadPassword(options.passwordFile) : undefined;
    const kv = await connect(peersOf(options), {
      timeoutMs: options.timeout,
      name: "chorus-cli",
      failFast: true,
      // The file holds bytes, the wire takes text.
      ...(password === undefined ? {} : { password: Buffer.from(password, "latin1").toString() }),
      ...(onState === undefined ? {} : { onState }),
    });
    try {
      return await body(kv);
    } finally {
      await kv.close();
    }
  } catch (error) {
    if (!(error instanceof ChorusError)) throw error;
    const { code, message, outcome } = error;
    if (code === "BAD_ARGUMENT") throw usageFailure(message);
    const words = `${code}: ${message}`;
    if (outcome === "unknown") {
      throw new CommandFailure(`${words}; it is not known whether it was done`, exitCodes.unknown, { cause: error });
    }
    throw new CommandFailure(words, exitCodes.notDone, { cause: error });
  }
};
