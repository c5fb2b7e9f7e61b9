/** A run: peers, clients and blows for so long, then everything is mended, read once more at every peer, and written down. */
import { setTimeout as delay } from "node:timers/promises";
import { openCluster, type RealCluster, type RealPeer } from "../../../tests/support/real-cluster.ts";
import { Random } from "../../sim/random.ts";
import { Blows } from "./blows.ts";
import { StrongClient } from "./client.ts";
import { IdWindow } from "./id-window.ts";
import type { Options } from "./options.ts";
import { Recorder } from "./recorder.ts";
import { fight, guardedKey, keysOf, lockKey, work } from "./workers.ts";

const strongTimeoutMs = 1000;
const lockersCount = 3;
const progressMs = 5000;
/** Below this there is no time for a disk to be lost and readmitted. */
const lostDiskSecondsMin = 40;
const answersMsMax = 15_000;
const returnMsMax = 60_000;

export interface RunResult {
  readonly recorder: Recorder;
  readonly dealt: ReadonlyMap<string, number>;
  readonly seconds: number;
  readonly cluster: RealCluster;
}

export const runLive = async (
  options: Options,
  stop: AbortSignal,
  say: (words: string) => void,
): Promise<RunResult> => {
  const recorder = new Recorder(options.historyFile);
  const cluster = await openCluster({
    count: options.peers,
    flags: ["--fault-links", "--strong-timeout", String(strongTimeoutMs)],
  });
  try {
    await Promise.all(cluster.peers.map((peer) => peer.start()));
    await cluster.ready();
    await cluster.linked();
    const startedMs = performance.now();
    const dealt = await load(options, cluster, recorder, stop, say);
    const seconds = (performance.now() - startedMs) / 1000;
    return { recorder, dealt, seconds, cluster };
  } catch (error) {
    await cluster.end({ keep: true });
    say(`logs are kept in ${cluster.directory}`);
    throw error;
  } finally {
    recorder.close();
  }
};

const load = async (
  options: Options,
  cluster: RealCluster,
  recorder: Recorder,
  stop: AbortSignal,
  say: (words: string) => void,
): Promise<ReadonlyMap<string, number>> => {
  const keys = keysOf(options.keys);
  const everyKey = [...keys, lockKey, guardedKey];
  const windows = new Map(everyKey.map((key) => [key, new IdWindow()]));
  const clientOf = (name: string, peer: RealPeer, random: Random): StrongClient =>
    new StrongClient({ name, cluster, recorder, random, windows, peer });
  const peerOf = (index: number): RealPeer => cluster.peers[index % cluster.peers.length] as RealPeer;
  const randomOf = (index: number): Random => new Random(options.seed * 7919 + index);

  const over = new AbortController();
  const running: Promise<void>[] = [];
  const clients: StrongClient[] = [];
  for (let index = 0; index < options.clients + lockersCount; index++) {
    const isLocker = index >= options.clients;
    const random = randomOf(index + 1);
    const name = isLocker ? `lock${index - options.clients}` : `c${index}`;
    const client = clientOf(name, peerOf(index), random);
    clients.push(client);
    const worker = { client, random, recorder, stop: over.signal };
    running.push(isLocker ? fight(worker) : work(worker, keys));
  }
  const failure = Promise.race(running.map((promise) => promise.then(() => new Promise<never>(() => undefined))));

  let probes = 0;
  const startedMs = performance.now();
  const endMs = startedMs + options.seconds * 1000;
  const elapsed = (): string => ((performance.now() - startedMs) / 1000).toFixed(1).padStart(6);
  const blows = new Blows({
    cluster,
    recorder,
    random: randomOf(0),
    keys,
    strongTimeoutMs,
    probe: (peer) => {
      const probe = clientOf(`probe${++probes}`, peer, randomOf(1000 + probes));
      clients.push(probe);
      return probe;
    },
    say: (words) => say(`${elapsed()} s  ${words}`),
  });
  const strike = async (): Promise<void> => {
    let diskIsDue = options.seconds >= lostDiskSecondsMin;
    const random = randomOf(999);
    for (;;) {
      await delay(400 + random.int(1200));
      if (performance.now() > endMs - 1000 || stop.aborted || recorder.problems.length > 0) return;
      if (diskIsDue && performance.now() > startedMs + options.seconds * 400) {
        diskIsDue = false;
        await blows.loseDisk();
      } else await blows.next();
    }
  };
  const progress = setInterval(() => {
    recorder.flush();
    const { ok, fail, unknown } = recorder.counts;
    say(`${elapsed()} s  ${ok} done, ${fail} not, ${unknown} unknown`);
  }, progressMs);
  try {
    const striking = strike();
    await Promise.race([striking, failure]);
    while (performance.now() < endMs && !stop.aborted && recorder.problems.length === 0)
      await Promise.race([delay(50), failure]);
    over.abort();
    await Promise.all(running);
    await cluster.ready(cluster.peers, returnMsMax);
    for (const peer of cluster.peers)
      for (const key of everyKey) {
        const reader = clientOf(`end-${peer.name}`, peer, randomOf(998));
        clients.push(reader);
        await reader.perform({ key, operation: { kind: "get" }, asksVersion: true });
      }
    await Promise.all(clients.map((client) => client.end(answersMsMax)));
  } finally {
    over.abort();
    clearInterval(progress);
  }
  checkPeers(cluster, recorder);
  return blows.dealt;
};

/** pino's 60 is fatal. */
const checkPeers = (cluster: RealCluster, recorder: Recorder): void => {
  for (const peer of cluster.peers) {
    for (const surprise of peer.surprises) recorder.problem(surprise);
    for (const line of peer.log().split("\n"))
      if (line.includes('"level":60') || /uncaught|Unhandled|InvariantError/.test(line))
        recorder.problem(`${peer.name}: ${line}`);
  }
};
