/** `npm start` with fake peers: `fake-cluster.ts DIR COUNT TCP HTTP [CHORUS_FAKE]`. */
import { fileURLToPath } from "node:url";
import { runCluster } from "../../server/cli/cluster/supervisor.ts";
import { failureText } from "../../server/cli/failure.ts";

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
    peerCommand: [
      "--import",
      import.meta.resolve("tsx"),
      fileURLToPath(new URL("fake-peer.ts", import.meta.url)),
      "peer",
    ],
    clusterCommand: "chorus cluster",
    statusCommand: "chorus status",
    tuiCommand: "chorus tui",
  });
} catch (error) {
  process.stderr.write(`chorus: ${failureText(error)}\n`);
  process.exitCode = 1;
}
