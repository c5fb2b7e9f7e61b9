/**
 * etcd with three members, all settings its defaults: it syncs its log before it answers, as strong keys do. The first
 * kill of the leader, an election and the member's return are its own business; we only ask who leads.
 */
import { ProgramServer } from "./program-server.ts";
import { ProgramSystem } from "./program-system.ts";
import { freePort, withFreePorts } from "./servers.ts";
import type { Stage } from "./stage.ts";

const statusMsMax = 2000;

interface EtcdStatus {
  readonly memberId: string;
  /** "0" while there is none. */
  readonly leaderId: string;
  readonly appliedIndex: string;
}

class EtcdServer extends ProgramServer {
  /** Undefined while it does not answer. By its JSON gateway: nothing measured goes this way. */
  async status(): Promise<EtcdStatus | undefined> {
    try {
      const answer = await fetch(`http://127.0.0.1:${this.tcpPort}/v3/maintenance/status`, {
        method: "POST",
        body: "{}",
        signal: AbortSignal.timeout(statusMsMax),
      });
      const { header, leader, raftAppliedIndex } = (await answer.json()) as {
        readonly header?: { readonly member_id?: string };
        readonly leader?: string;
        readonly raftAppliedIndex?: string;
      };
      if (header?.member_id === undefined) return undefined;
      // Fields that are zero are left out.
      return { memberId: header.member_id, leaderId: leader ?? "0", appliedIndex: raftAppliedIndex ?? "0" };
    } catch {
      return undefined;
    }
  }
}

export class EtcdSystem extends ProgramSystem<EtcdServer> {
  readonly name = "etcd";

  /** Resolves when all know the same leader. */
  static start(stage: Stage, { count }: { readonly count: number }): Promise<EtcdSystem> {
    return withFreePorts(async () => {
      const directory = stage.makeDirectory("etcd");
      // A caller's settings are not the bench's. Without the last one etcd 3.4 refuses to run on anything but amd64.
      const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("ETCD")));
      env["ETCD_UNSUPPORTED_ARCH"] = process.arch;
      const planned: { readonly name: string; readonly clientPort: number; readonly peerUrl: string }[] = [];
      for (let i = 0; i < count; i++)
        planned.push({
          name: `etcd${i}`,
          clientPort: await freePort(),
          peerUrl: `http://127.0.0.1:${await freePort()}`,
        });
      const initialCluster = planned.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(",");
      const servers = planned.map(({ name, clientPort, peerUrl }) => {
        const clientUrl = `http://127.0.0.1:${clientPort}`;
        return new EtcdServer(stage, {
          program: "etcd",
          arguments: (dataDirectory) => [
            ...["--name", name, "--data-dir", dataDirectory, "--initial-cluster", initialCluster],
            ...["--listen-client-urls", clientUrl, "--advertise-client-urls", clientUrl],
            ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
          ],
          env,
          name,
          tcpPort: clientPort,
          directory,
        });
      });
      return new EtcdSystem(servers).started("etcd up, with a leader");
    });
  }

  /** Index of the server that leads; throws when they do not agree on one. */
  async leader(): Promise<number> {
    const statuses = await Promise.all(this.servers.map((server) => server.status()));
    const index = statuses.findIndex((status) => status !== undefined && status.memberId === status.leaderId);
    if (index < 0 || !haveOneLeader(statuses)) throw new Error("etcd has no leader");
    return index;
  }

  async isSettled(): Promise<boolean> {
    return haveOneLeader(await Promise.all(this.servers.map((server) => server.status())));
  }

  async isIdentical(): Promise<boolean> {
    const statuses = await Promise.all(this.servers.map((server) => server.status()));
    return haveOneLeader(statuses) && new Set(statuses.map((status) => status?.appliedIndex)).size === 1;
  }
}

const haveOneLeader = (statuses: readonly (EtcdStatus | undefined)[]): boolean => {
  const leaders = new Set(statuses.map((status) => status?.leaderId));
  return leaders.size === 1 && !leaders.has(undefined) && !leaders.has("0");
};
