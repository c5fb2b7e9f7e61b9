/**
 * `chorus peer`, with what only tests may set (PeerOptions, as JSON in PEER_OPTIONS): short times and small files, so that
 * what takes minutes in production takes seconds. Plain JavaScript over dist/, the code that runs.
 */
import { runPeerProcess } from "../../dist/server/cli/peer.js";
import { loadConfig, settingDescriptions } from "../../dist/server/config.js";
import { runPeer } from "../../dist/server/peer.js";

const options = JSON.parse(process.env.PEER_OPTIONS ?? "{}");
const flags = {};
for (let at = 3; at < process.argv.length; at++) {
  const { key, argument } = settingDescriptions.find(({ flag }) => `--${flag}` === process.argv[at]) ?? {};
  if (key === undefined) throw new Error(`unknown flag ${process.argv[at]}`);
  flags[key] = argument === undefined ? true : process.argv[++at];
}
await runPeerProcess(loadConfig({ flags, env: {} }), (config) => runPeer(config, options));
