/** `npm start` with fake peers: `fake-cluster.js DIR COUNT TCP HTTP`; CHORUS_FAKE as in fake-peer.js. */
import { fileURLToPath } from "node:url";
import { runCluster } from "../../dist/server/cli/cluster/supervisor.js";
import { failureText } from "../../dist/server/cli/failure.js";

const [directory = "", count = "3", tcp = "0", http = "0"] = process.argv.slice(2);
try {
  process.exitCode = await runCluster({
    count: Number(count),
    directory,
    tcpPort: Number(tcp),
    httpPort: Number(http),
    flags: { fsync: "always" },
    env: process.env,
    gateway: undefined,
    gatewayCommand: [],
    peerCommand: [fileURLToPath(new URL("fake-peer.js", import.meta.url)), "peer"],
    clusterCommand: "chorus cluster",
    statusCommand: "chorus status",
    tuiCommand: "chorus tui",
  });
} catch (error) {
  process.stderr.write(`chorus: ${failureText(error)}\n`);
  process.exitCode = 1;
}
