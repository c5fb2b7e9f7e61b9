/**
 * A peer that keeps nothing, for tests of its parent: the real process shell around a `runPeer` that only listens.
 * `CHORUS_FAKE` asks for trouble: `fail-b` (b does not start), `crash-b` (b dies once it serves), `stubborn-b` (b never
 * stops), `never-ready`. Plain JavaScript over dist/: it starts in a third of the time.
 */
import { createServer } from "node:http";
import { Command } from "commander";
import { runPeerProcess } from "../../dist/server/cli/peer.js";
import { addSettingOptions, typedSettings } from "../../dist/server/cli/setting-options.js";
import { loadConfig, settingDescriptions } from "../../dist/server/config.js";

const trouble = process.env.CHORUS_FAKE ?? "";

const runPeer = (config) =>
  new Promise((resolve, reject) => {
    const wanted = (kind) => trouble === `${kind}-${config.name}`;
    if (wanted("fail")) return reject(new Error("the log is damaged\nsee docs"));
    let end;
    const stopped = new Promise((done) => {
      end = done;
    });
    const server = createServer((request, response) => {
      if (request.url === "/end") end({ code: 1, reason: "the disk failed" });
      response.statusCode = trouble === "never-ready" ? 503 : 200;
      response.end(JSON.stringify({ args: process.argv.slice(2), heap: process.execArgv }));
    });
    server.on("error", reject);
    server.listen(config.httpPort, config.bind, () => {
      const address = server.address();
      const httpPort = typeof address === "object" && address !== null ? address.port : 0;
      const close = () => (wanted("stubborn") ? new Promise(() => undefined) : Promise.resolve());
      resolve({ tcpPort: config.tcpPort, httpPort, close, stopped });
      if (wanted("crash"))
        setImmediate(() => {
          throw new Error("a bug");
        });
    });
  });

const command = new Command("peer");
addSettingOptions(command, settingDescriptions, "CHORUS_CONFIG");
command.parse(process.argv.slice(process.argv[2] === "peer" ? 3 : 2), { from: "user" });
await runPeerProcess(loadConfig({ flags: typedSettings(command, settingDescriptions), env: process.env }), runPeer);
