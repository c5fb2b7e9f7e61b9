/**
 * Replication lag: how long after a write has left for one server do the others show it?
 *
 * An open loop sends SETs at a fixed rate to server 0, whatever comes back. Among them go markers, each with a number
 * and the moment its bytes were given to the socket; on every other server one connection asks for the marker again and
 * again while one is out, and stops when it has seen it. A marker shows that all before it are there too, since writes
 * of one server are applied in order. Markers come at uneven intervals so as not to fall in step with timers.
 *
 * The method has a floor: sending, queueing behind the batch, one round trip of the asking, and this process's own
 * delays. It is measured in the same run by markers of another key that are read back at server 0 itself, where there is
 * nothing to replicate; the notes give it. Nothing is subtracted.
 */
import { setTimeout as delay } from "node:timers/promises";
import { type BenchRun, finallyStop, type Runner, Samples, startBoth } from "./bench-run.ts";
import { keyFor, valueFor, writeKeys } from "./dataset.ts";
import { Latencies, msText } from "./latencies.ts";
import { encodeCommand, RespConnection } from "./resp-connection.ts";
import { type System, serverAt, settled } from "./servers.ts";
import { say } from "./wait.ts";

const markerIntervalMs = { min: 5, max: 15 };
/** Every so many-th marker measures the floor. */
const floorEvery = 4;
/** Nothing is recorded in the first part of a run: compilers warm up. */
const warmUpMs = 1000;
/** More unanswered than this: the server does not keep up with the rate, and its lag means nothing. */
const outstandingMax = 200_000;
const markerMsMax = 10_000;

export const measureLag: Runner = async (run) => {
  const { options } = run;
  const { systems } = await startBoth(run, 3);
  return finallyStop(systems, async () => {
    for (const system of systems)
      await writeKeys(serverAt(system, 0).tcpPort, { count: options.keyspace, generation: 0, what: system.name });
    const p50 = new Samples();
    const p99 = new Samples();
    const notes: string[] = [];
    for (let round = 1; round <= options.rounds; round++) {
      const words: string[] = [];
      for (const system of systems) {
        for (const other of systems) await settled(other);
        const { lag, floor, sentPerSecond, lateMs } = await lagOf(run, system);
        p50.add(system, lag.percentile(50));
        p99.add(system, lag.percentile(99));
        words.push(`${system.name} p50 ${msText(lag.percentile(50))} p99 ${msText(lag.percentile(99))}`);
        notes.push(
          `${system.name}, round ${round}: max ${msText(lag.maxMs)}, ${lag.count} samples at ${Math.round(sentPerSecond).toLocaleString("en")} SET/s; floor p50 ${msText(floor.percentile(50))}, p99 ${msText(floor.percentile(99))}; client late by ${msText(lateMs)} at worst`,
        );
      }
      say(`lag ${round}/${options.rounds}: ${words.join("  ")}`);
    }
    return [
      { name: "lag-p50", ...p50, notes },
      { name: "lag-p99", ...p99, notes: [] },
    ];
  });
};

interface LagRun {
  readonly lag: Latencies;
  readonly floor: Latencies;
  readonly sentPerSecond: number;
  /** The longest this process was late to send. */
  readonly lateMs: number;
}

const lagOf = async ({ options }: BenchRun, system: System): Promise<LagRun> => {
  const lag = new Latencies();
  const floor = new Latencies();
  const startedMs = performance.now();
  const isWarm = (): boolean => performance.now() - startedMs >= warmUpMs;
  const opened: RespConnection[] = [];
  const open = async (index: number): Promise<RespConnection> => {
    const connection = await RespConnection.open(serverAt(system, index).tcpPort);
    opened.push(connection);
    return connection;
  };
  try {
    const writer = await open(0);
    const floorWatch = new MarkerWatch(await open(0), "bench:floor", floor);
    const watches: MarkerWatch[] = [];
    for (let index = 1; index < system.servers.length; index++)
      watches.push(new MarkerWatch(await open(index), "bench:lag", lag));

    let failure: Error | undefined;
    let sent = 0;
    let sentWarm = 0;
    let marker = 0;
    let nextMarkerMs = 0;
    let lateMs = 0;
    const beganMs = performance.now();
    const endMs = beganMs + warmUpMs + options.seconds * 1000;
    let warmFromMs = 0;
    for (let nowMs = beganMs; nowMs < endMs; nowMs = performance.now()) {
      if (isWarm() && warmFromMs === 0) warmFromMs = nowMs;
      const due = Math.floor(((nowMs - beganMs) / 1000) * options.lagRate) - sent;
      lateMs = Math.max(lateMs, isWarm() ? (due / options.lagRate) * 1000 : 0);
      let text = "";
      for (let i = 0; i < due; i++) {
        const index = Math.floor(Math.random() * options.keyspace);
        text += encodeCommand("SET", keyFor(index), valueFor(index, sent + i));
      }
      let commands = due;
      const watched = nowMs < nextMarkerMs ? [] : ++marker % floorEvery === 0 ? [floorWatch] : watches;
      const [first] = watched;
      if (first !== undefined) {
        text += encodeCommand("SET", first.key, String(marker));
        commands++;
        nextMarkerMs = nowMs + markerIntervalMs.min + Math.random() * (markerIntervalMs.max - markerIntervalMs.min);
      }
      if (commands > 0)
        writer.send(text, commands, (error) => {
          failure ??= error;
        });
      const writtenMs = performance.now();
      for (const watch of watched) watch.expect(marker, writtenMs, isWarm());
      sent += due;
      if (warmFromMs > 0) sentWarm += due;
      failure ??= [...watches, floorWatch].find((watch) => watch.failure !== undefined)?.failure;
      if (failure !== undefined) throw failure;
      if (writer.outstanding > outstandingMax)
        throw new Error(
          `${system.name} does not keep up with ${options.lagRate} SET/s: ${writer.outstanding} unanswered`,
        );
      await delay(1);
    }
    const sentPerSecond = sentWarm / ((performance.now() - warmFromMs) / 1000);
    for (const watch of [...watches, floorWatch]) await watch.finished();
    return { lag, floor, sentPerSecond, lateMs };
  } finally {
    for (const connection of opened) connection.close();
  }
};

/** Asks one server for one marker as long as one is out. */
class MarkerWatch {
  readonly key: string;
  failure: Error | undefined;
  readonly #connection: RespConnection;
  readonly #latencies: Latencies;
  #out: { readonly number: number; readonly writtenMs: number; readonly counts: boolean }[] = [];
  #asking = false;

  constructor(connection: RespConnection, key: string, latencies: Latencies) {
    this.#connection = connection;
    this.key = key;
    this.#latencies = latencies;
  }

  expect(number: number, writtenMs: number, counts: boolean): void {
    this.#out.push({ number, writtenMs, counts });
    if (!this.#asking) this.#ask();
  }

  #ask(): void {
    this.#asking = true;
    this.#connection.send(
      encodeCommand("GET", this.key),
      1,
      (error) => {
        this.failure ??= error;
      },
      (reply) => {
        const nowMs = performance.now();
        const seen = Number(reply ?? 0);
        for (const { number, writtenMs, counts } of this.#out)
          if (number <= seen && counts) this.#latencies.record(nowMs - writtenMs);
        this.#out = this.#out.filter(({ number }) => number > seen);
        const [oldest] = this.#out;
        if (oldest !== undefined && nowMs - oldest.writtenMs > markerMsMax)
          this.failure ??= new Error(`a marker was not seen within ${markerMsMax / 1000} s`);
        if (oldest === undefined || this.failure !== undefined) this.#asking = false;
        else this.#ask();
      },
    );
  }

  async finished(): Promise<void> {
    while (this.#out.length > 0 && this.failure === undefined) await delay(5);
    if (this.failure !== undefined) throw this.failure;
  }
}
