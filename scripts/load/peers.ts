/** The peers behind the targets, whatever the targets are: whom `--verify` asks. */
import { statusMsMax } from "../../protocol/limits.ts";
import { parseStatus, type StatusReport } from "../../protocol/status.ts";
import { CommandFailure, failureText } from "../../server/cli/failure.ts";
import { httpGet } from "../../server/cli/http-get.ts";
import { type HostPort, hostPortToText, parseHostPort } from "../../server/settings.ts";
import { type Reply, RespConnection } from "../bench/resp-connection.ts";
import type { Targets } from "./targets.ts";

/** Undefined while it does not answer. */
export const statusOf = async (http: HostPort): Promise<StatusReport | undefined> => {
  try {
    const parsed = parseStatus(JSON.parse((await httpGet(http, "/status", statusMsMax)).body));
    return parsed.ok ? parsed.status : undefined;
  } catch {
    return undefined;
  }
};

/** HTTP addresses of all peers of the cluster. Rejects when the targets do not tell. */
export const findPeers = async ({ protocol, addresses, password }: Targets): Promise<readonly HostPort[]> => {
  const asked: string[] = [];
  for (const address of addresses) {
    try {
      const near = protocol === "resp" ? await namedBy(address, password) : [address];
      for (const http of near) {
        const found = await listedBy(http);
        if (found.length > 0) return found;
      }
    } catch (error) {
      asked.push(`${hostPortToText(address)}: ${failureText(error)}`);
    }
  }
  const why = asked.length === 0 ? "" : ` (${asked.join("; ")})`;
  throw new CommandFailure(
    `the targets do not tell which peers there are; name their HTTP ports with --peers${why}`,
    2,
  );
};

/** A peer's /status lists all peers as they reach each other; a gateway's `peers` likewise. */
const listedBy = async (http: HostPort): Promise<HostPort[]> => {
  const answer = JSON.parse((await httpGet(http, "/status", statusMsMax)).body) as { readonly peers?: unknown };
  if (!Array.isArray(answer.peers)) return [];
  return answer.peers.flatMap((peer: unknown) => {
    const { address } = (peer ?? {}) as { readonly address?: unknown };
    return (typeof address === "string" ? parseHostPort(address) : undefined) ?? [];
  });
};

/** PEERS names the others. */
const namedBy = async ({ host, port }: HostPort, password: string | undefined): Promise<HostPort[]> => {
  const connection = await RespConnection.open(port, statusMsMax, host);
  try {
    if (password !== undefined) await connection.call("AUTH", password);
    const reply = await connection.call("PEERS");
    return (isList(reply) ? reply : []).flatMap((peer) => {
      if (!isList(peer)) return [];
      const address = peer[peer.indexOf("address") + 1];
      return (typeof address === "string" ? parseHostPort(address) : undefined) ?? [];
    });
  } finally {
    connection.close();
  }
};

const isList = (reply: Reply): reply is readonly Reply[] => Array.isArray(reply);
