/**
 * GET latency of a peer that works hard: all its cells are being checkpointed, a client scans it, and it sends the whole
 * map to a peer that came back with an empty directory.
 *
 * An open loop sends GETs at a fixed rate, so a stall of the peer delays, and is counted by, every request that falls
 * into it. Both peers that stay up are measured, since the empty one chooses whom it takes the map from; the row is of
 * the one that gave it. From the peers' logs we know when each checkpoint and each transfer ran; only samples within
 * those times count, so that quiet seconds around them cannot dilute the percentile.
 */
import { setTimeout as delay } from "node:timers/promises";
import { finallyStop, type Runner, Samples } from "./bench-run.ts";
import { type ChorusServer, ChorusSystem } from "./chorus-system.ts";
import { keyFor, writeBallast, writeKeys } from "./dataset.ts";
import { Latencies, msText } from "./latencies.ts";
import { ErrorReply, encodeCommand, type Reply, RespConnection } from "./resp-connection.ts";
import { checkServers, emptyDirectory, settled } from "./servers.ts";
import { say, until } from "./wait.ts";

const getsPerSecond = 2000;
const getConnections = 4;
const scanPauseMs = 10;
const quietMs = 1000;
/** A checkpoint begins when 128 MiB were logged since the last one began. */
const ballastBytesMax = 200 * 1024 * 1024;
const backMsMax = 180_000;

export const measureBusyReads: Runner = async ({ stage, options }) => {
  const { keys, heavyRounds } = options;
  say("starting 3 peers that keep little of their log");
  // So little log is kept that whoever lost its directory needs the map itself.
  const flags = { logRetention: "64kb", logLevel: "debug" };
  const chorus = await ChorusSystem.start(stage, { count: 3, flags });
  return finallyStop([chorus], async () => {
    const [a, b, c] = chorus.servers;
    if (a === undefined || b === undefined || c === undefined) throw new Error("three peers were asked for");
    await writeKeys(a.tcpPort, { count: keys, generation: 0, what: "chorus" });
    await writeBallast(a.tcpPort, 160 * 1024 * 1024);
    await settled(chorus);
    await until("the log trimmed behind a checkpoint", async () => (await trimmed(a)) && (await trimmed(b)), {
      timeoutMs: 150_000,
      intervalMs: 200,
      check: () => checkServers(chorus),
    });
    const samples = new Samples();
    const notes: string[] = [];
    for (let round = 1; round <= heavyRounds; round++) {
      await settled(chorus);
      await c.end("SIGKILL");
      emptyDirectory(c);
      // Every cell changes, so that the checkpoint has every cell to write.
      await writeKeys(a.tcpPort, { count: keys, generation: round, what: "chorus" });
      const { row, words } = await busyRound(chorus, { a, b, c, keys });
      samples.add(chorus, row);
      notes.push(`round ${round}: ${words}`);
      say(`busy-get ${round}/${heavyRounds}: ${words}`);
    }
    return [{ name: "busy-get", ...samples, notes }];
  });
};

const trimmed = async (server: ChorusServer): Promise<boolean> => ((await server.status())?.log.firstLsn ?? 1) > 1;

const busyRound = async (
  chorus: ChorusSystem,
  {
    a,
    b,
    c,
    keys,
  }: { readonly a: ChorusServer; readonly b: ChorusServer; readonly c: ChorusServer; readonly keys: number },
): Promise<{ readonly row: number; readonly words: string }> => {
  const clients = [await GetClient.open(a, keys), await GetClient.open(b, keys)];
  const scans = [await ScanClient.open(a), await ScanClient.open(b)];
  const beganUnixMs = Date.now();
  const pacer = setInterval(() => {
    for (const client of clients) client.sendDue();
  }, 1);
  try {
    await delay(quietMs);
    const busyUnixMs = Date.now();
    // Either may be the one that gives the map, and each has a pace of its own.
    const pair = [a, b];
    const lsns = await Promise.all(pair.map(async (server) => (await server.status())?.checkpoint.lsn ?? 0));
    const begun = async (server: ChorusServer, lsn: number): Promise<boolean> => {
      const checkpoint = (await server.status())?.checkpoint;
      return checkpoint !== undefined && (checkpoint.running || checkpoint.lsn > lsn);
    };
    const allBegun = async (): Promise<boolean> =>
      (await Promise.all(pair.map((server, index) => begun(server, lsns[index] ?? 0)))).every(Boolean);
    await writeBallast(a.tcpPort, ballastBytesMax, allBegun);
    const spawnedMs = performance.now();
    c.spawn();
    await until("the emptied peer identical, no checkpoint running", () => chorus.isSettled(), {
      timeoutMs: backMsMax,
      intervalMs: 100,
      check: () => checkServers(chorus),
    });
    const backSeconds = (performance.now() - spawnedMs) / 1000;
    clearInterval(pacer);
    for (const client of clients) await client.finished();
    for (const scan of scans) scan.check();

    const giver = c
      .loggedSince(beganUnixMs)
      .map(({ message }) => /^state transfer from (\S+) installed$/.exec(message)?.[1])
      .find((name) => name !== undefined);
    const client = clients.find(({ server }) => server.name === giver);
    if (client === undefined) throw new Error("the emptied peer came back without a state transfer");
    const windows = busyWindows(client.server, c, beganUnixMs);
    const busy = client.latencies((atMs) => windows.some(({ fromMs, toMs }) => atMs >= fromMs && atMs <= toMs));
    const quiet = client.latencies((atMs) => atMs < busyUnixMs);
    const all = client.latencies(() => true);
    const busyMs = windows.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0);
    return {
      row: busy.percentile(99.9),
      words: `peer ${client.server.name}, ${busy.count} GETs within ${(busyMs / 1000).toFixed(1)} s of ${windows.map(({ what }) => what).join(" and ")}: p50 ${msText(busy.percentile(50))}, p99 ${msText(busy.percentile(99))}, p99.9 ${msText(busy.percentile(99.9))}, max ${msText(busy.maxMs)}; whole run p99.9 ${msText(all.percentile(99.9))}, max ${msText(all.maxMs)}; before it p99.9 ${msText(quiet.percentile(99.9))}; client late by ${msText(client.lateMs)} at worst; the emptied peer was identical after ${backSeconds.toFixed(1)} s`,
    };
  } finally {
    clearInterval(pacer);
    for (const client of [...clients, ...scans]) client.close();
  }
};

interface Window {
  readonly what: string;
  readonly fromMs: number;
  readonly toMs: number;
}

const busyWindows = (giver: ChorusServer, taker: ChorusServer, sinceUnixMs: number): readonly Window[] => {
  const windows: Window[] = [];
  for (const { message, atMs, tookMs = 0 } of giver.loggedSince(sinceUnixMs))
    if (message === "checkpoint finished") windows.push({ what: "checkpoint", fromMs: atMs - tookMs, toMs: atMs });
  if (windows.length === 0) throw new Error(`peer ${giver.name} finished no checkpoint in the run`);
  const begins = giver
    .loggedSince(sinceUnixMs)
    .find(({ message }) => message === `state transfer to ${taker.name} begins`);
  const installed = taker
    .loggedSince(sinceUnixMs)
    .find(({ message }) => message === `state transfer from ${giver.name} installed`);
  if (begins === undefined || installed === undefined) throw new Error("the logs do not tell when the transfer ran");
  return [...windows, { what: "transfer", fromMs: begins.atMs, toMs: installed.atMs }];
};

/** GETs of random keys at a fixed rate, and when each was sent and answered. */
class GetClient {
  readonly server: ChorusServer;
  readonly #connections: readonly RespConnection[];
  readonly #keys: number;
  readonly #startedMs = performance.now();
  readonly #samples: { readonly sentUnixMs: number; readonly tookMs: number }[] = [];
  #sent = 0;
  #failure: Error | undefined;
  lateMs = 0;

  private constructor(server: ChorusServer, connections: readonly RespConnection[], keys: number) {
    this.server = server;
    this.#connections = connections;
    this.#keys = keys;
  }

  static async open(server: ChorusServer, keys: number): Promise<GetClient> {
    const connections: RespConnection[] = [];
    for (let i = 0; i < getConnections; i++) connections.push(await RespConnection.open(server.tcpPort));
    return new GetClient(server, connections, keys);
  }

  /** Sends what is due by now, a burst if we are late. */
  sendDue(): void {
    const due = Math.floor(((performance.now() - this.#startedMs) / 1000) * getsPerSecond) - this.#sent;
    this.lateMs = Math.max(this.lateMs, (due / getsPerSecond) * 1000);
    for (let i = 0; i < due; i++) {
      const connection = this.#connections[this.#sent++ % getConnections];
      const command = encodeCommand("GET", keyFor(Math.floor(Math.random() * this.#keys)));
      const sentUnixMs = Date.now();
      const sentMs = performance.now();
      const onReply = (reply: Reply): void => {
        this.#samples.push({ sentUnixMs, tookMs: performance.now() - sentMs });
        if (typeof reply !== "string") this.#failure ??= new Error(`a GET was answered ${replyText(reply)}`);
      };
      const onDone = (failure?: Error): void => {
        this.#failure ??= failure;
      };
      connection?.send(command, 1, onDone, onReply);
    }
  }

  async finished(): Promise<void> {
    await until("all GETs answered", () => this.#samples.length >= this.#sent || this.#failure !== undefined, {
      timeoutMs: 30_000,
    });
    if (this.#failure !== undefined) throw new Error(`peer ${this.server.name}: ${this.#failure.message}`);
  }

  latencies(counts: (sentUnixMs: number) => boolean): Latencies {
    const latencies = new Latencies();
    for (const { sentUnixMs, tookMs } of this.#samples) if (counts(sentUnixMs)) latencies.record(tookMs);
    return latencies;
  }

  close(): void {
    for (const connection of this.#connections) connection.close();
  }
}

/** One client that goes over all keys, again and again: SCAN with COUNT 1000, a short pause between. */
class ScanClient {
  readonly #server: ChorusServer;
  readonly #connection: RespConnection;
  #closed = false;
  #failure: string | undefined;

  private constructor(server: ChorusServer, connection: RespConnection) {
    this.#server = server;
    this.#connection = connection;
    this.#scan("0");
  }

  static async open(server: ChorusServer): Promise<ScanClient> {
    return new ScanClient(server, await RespConnection.open(server.tcpPort));
  }

  #scan(cursor: string): void {
    if (this.#closed) return;
    this.#connection.call("SCAN", cursor, "COUNT", "1000").then(
      (reply) => {
        const next = Array.isArray(reply) ? (reply as readonly Reply[])[0] : undefined;
        if (typeof next === "string") setTimeout(() => this.#scan(next), scanPauseMs);
        else this.#failure = `a SCAN was answered ${replyText(reply)}`;
      },
      (error: unknown) => {
        this.#failure = String(error);
      },
    );
  }

  check(): void {
    if (this.#failure !== undefined) throw new Error(`peer ${this.#server.name}: ${this.#failure}`);
  }

  close(): void {
    this.#closed = true;
    this.#connection.close();
  }
}

const replyText = (reply: Reply): string => (reply instanceof ErrorReply ? `-${reply.text}` : JSON.stringify(reply));
