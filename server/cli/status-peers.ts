/** Whom `chorus status` asks: those named, else those of the cluster that runs on this machine. */
import { type HostPort, parseHostPort } from "../settings.ts";
import { loadClusterRecord } from "./cluster/control.ts";
import { usageFailure } from "./failure.ts";

export const statusPeers = (list: string | undefined, directory: string): readonly HostPort[] => {
  if (list === undefined) {
    const record = loadClusterRecord(directory);
    if (record !== undefined) return record.peers.map(({ host, httpPort }) => ({ host, port: httpPort }));
    throw usageFailure(`no cluster runs in ${directory}; say whom to ask with --peers host:port,...`);
  }
  return list
    .split(",")
    .filter((entry) => entry.trim() !== "")
    .map((entry) => {
      const address = parseHostPort(entry.slice(entry.indexOf("=") + 1));
      if (address === undefined) throw usageFailure(`flag --peers: expected host:port, got "${entry.trim()}"`);
      return address;
    });
};
