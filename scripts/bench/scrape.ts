/**
 * How long a scrape of `/metrics` takes at a peer that holds every key and has served all kinds of commands, with two
 * other peers linked: from the request until the last byte, on a connection kept open, as Prometheus does.
 */
import { Agent, get } from "node:http";
import { type BenchRun, finallyStop, type Runner, Samples } from "./bench-run.ts";
import { type ChorusServer, ChorusSystem } from "./chorus-system.ts";
import { writeKeys } from "./dataset.ts";
import { RespConnection } from "./resp-connection.ts";
import { settled } from "./servers.ts";
import { say } from "./wait.ts";

const scrapes = 50;

/** Of as many groups as it takes to fill the histograms of commands. */
const commands: readonly (readonly string[])[] = [
  ["GET", "key:000000000001"],
  ["INCR", "bench:counter"],
  ["MGET", "key:000000000001", "key:000000000002"],
  ["SCAN", "0", "COUNT", "100"],
  ["EXPIRE", "bench:counter", "1000"],
  ["PEERS"],
  ["DIGEST"],
  ["INFO"],
];

export const measureScrape: Runner = async (run) => {
  const samples = new Samples();
  let bytes = 0;
  for (let round = 1; round <= run.options.heavyRounds; round++) {
    const chorus = await ChorusSystem.start(run.stage, { count: 3 });
    await finallyStop([chorus], async () => {
      const measured = await scrapeOf(run, chorus);
      bytes = measured.bytes;
      samples.add(chorus, measured.medianMs);
      say(
        `scrape ${round}/${run.options.heavyRounds}: median ${measured.medianMs.toFixed(2)} ms, max ${measured.maxMs.toFixed(2)} ms`,
      );
    });
  }
  const notes = [
    `${run.options.keys.toLocaleString("en")} keys, three peers at rest; median of ${scrapes} scrapes of ${bytes} bytes`,
  ];
  return [{ name: "scrape", ...samples, notes }];
};

const scrapeOf = async (
  { options }: BenchRun,
  chorus: ChorusSystem,
): Promise<{ readonly medianMs: number; readonly maxMs: number; readonly bytes: number }> => {
  const server = chorus.servers[0];
  if (server === undefined) throw new Error("there is no peer");
  await writeKeys(server.tcpPort, { count: options.keys, generation: 0, what: "chorus" });
  const connection = await RespConnection.open(server.tcpPort);
  for (const command of commands) await connection.call(...command);
  connection.close();
  await settled(chorus);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const tookMs: number[] = [];
  let bytes = 0;
  try {
    for (let count = 0; count < scrapes; count++) {
      const startedMs = performance.now();
      bytes = await scrape(server, agent);
      tookMs.push(performance.now() - startedMs);
    }
  } finally {
    agent.destroy();
  }
  tookMs.sort((a, b) => a - b);
  return { medianMs: tookMs[tookMs.length >> 1] ?? 0, maxMs: tookMs.at(-1) ?? 0, bytes };
};

const scrape = ({ httpPort }: ChorusServer, agent: Agent): Promise<number> =>
  new Promise((resolve, reject) => {
    const request = get({ host: "127.0.0.1", port: httpPort, path: "/metrics", agent }, (response) => {
      let bytes = 0;
      response.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
      });
      response.on("error", reject);
      response.on("end", () =>
        response.statusCode === 200 ? resolve(bytes) : reject(new Error(`/metrics answered ${response.statusCode}`)),
      );
    });
    request.on("error", reject);
  });
