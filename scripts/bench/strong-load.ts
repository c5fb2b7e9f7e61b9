/** Loads of the strong figures: as fast as the clients get answers (closed loop), or at a rate (open loop). */
import { setTimeout as delay } from "node:timers/promises";
import { cpuSecondsOf, ownCpuSeconds } from "./cpu-time.ts";
import { keyFor, valueFor } from "./dataset.ts";
import { Latencies } from "./latencies.ts";
import { checkServers, type System } from "./servers.ts";
import type { StrongClient } from "./strong-clients.ts";

export type StrongOp = "set" | "get";

export const strongKeyFor = (index: number): string => `strong:${keyFor(index)}`;

/** No answer for so long while all clients wait: stuck, and no figure. */
const silenceMsMax = 20_000;

export interface LoopResult {
  readonly perSecond: number;
  readonly latencies: Latencies;
  readonly failures: number;
  /** Processor time per operation, in microseconds, of all servers; undefined where it cannot be asked. */
  readonly serverCpuUs: number | undefined;
  /** And of this process. */
  readonly driverCpuUs: number;
}

/** Each client has one operation under way, on a random key. Counted: what is answered in the window after the warm-up. */
export const closedLoop = async (
  system: System,
  clients: readonly StrongClient[],
  given: { readonly op: StrongOp; readonly keyspace: number; readonly warmUpMs: number; readonly seconds: number },
): Promise<LoopResult> => {
  const { op, keyspace } = given;
  const keys = Array.from({ length: keyspace }, (_, index) => strongKeyFor(index));
  let latencies = new Latencies();
  let answered = 0;
  let failures = 0;
  let generation = 0;
  let underWay = 0;
  let isStopping = false;
  let broken: Error | undefined;
  const next = (client: StrongClient): void => {
    const index = Math.floor(Math.random() * keyspace);
    const key = keys[index] ?? "";
    const sentMs = performance.now();
    const onDone = (failure?: Error): void => {
      underWay--;
      if (failure === undefined) {
        answered++;
        latencies.record(performance.now() - sentMs);
      } else {
        failures++;
        broken = failure;
      }
      if (!isStopping) next(client);
    };
    underWay++;
    if (op === "set") client.set(key, valueFor(index, generation++), onDone);
    else client.get(key, onDone);
  };
  // Refusals are counted, since a busy machine may bring a timeout; but not endless ones.
  const check = (): void => {
    checkServers(system);
    if (failures > 100 && failures > answered / 100) throw broken ?? new Error("too many failures");
  };

  for (const client of clients) next(client);
  await checked(given.warmUpMs, check);
  latencies = new Latencies();
  answered = 0;
  failures = 0;
  const serversBefore = cpuSecondsOf(system.servers);
  const ownBefore = ownCpuSeconds();
  const beganMs = performance.now();
  await checked(given.seconds * 1000, check);
  const tookSeconds = (performance.now() - beganMs) / 1000;
  const serversAfter = cpuSecondsOf(system.servers);
  const ownAfter = ownCpuSeconds();
  const result = { perSecond: answered / tookSeconds, latencies, failures };
  const count = Math.max(1, answered);
  // What is answered from here on is not the window's.
  latencies = new Latencies();
  isStopping = true;
  await drained(() => underWay);
  if (result.perSecond === 0) throw broken ?? new Error(`${system.name} answered nothing`);
  return {
    ...result,
    serverCpuUs:
      serversBefore === undefined || serversAfter === undefined
        ? undefined
        : ((serversAfter - serversBefore) / count) * 1e6,
    driverCpuUs: ((ownAfter - ownBefore) / count) * 1e6,
  };
};

/** Sets each key once. */
export const fill = (clients: readonly StrongClient[], keyspace: number): Promise<void> =>
  new Promise((resolve, reject) => {
    let sent = 0;
    let answered = 0;
    const next = (client: StrongClient): void => {
      const index = sent++;
      if (index >= keyspace) return;
      client.set(strongKeyFor(index), valueFor(index, 0), (failure) => {
        if (failure !== undefined) reject(failure);
        else if (++answered === keyspace) resolve();
        else next(client);
      });
    };
    for (const client of clients) next(client);
  });

interface OpenLoad {
  /** SETs a second. */
  readonly rate: number;
  readonly keyspace: number;
  readonly underWayMax: number;
  /** Index of the server, and when. */
  readonly onAnswer?: (server: number, nowMs: number) => void;
}

/**
 * SETs at a rate, whatever comes back. Clients get them in turn, but one that waits for an answer is passed over while
 * another does not: a connection that is held up holds up only what was sent on it.
 */
export class OpenLoop {
  readonly latencies = new Latencies();
  answered = 0;
  failures = 0;
  #underWay = 0;
  #isStopping = false;
  readonly #clients: readonly StrongClient[];
  readonly #load: OpenLoad;
  /** Operations each client waits for. */
  readonly #waiting: number[];
  #turn = 0;
  readonly #running: Promise<void>;

  constructor(clients: readonly StrongClient[], load: OpenLoad) {
    this.#clients = clients;
    this.#load = load;
    this.#waiting = clients.map(() => 0);
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    const { rate, underWayMax } = this.#load;
    const beganMs = performance.now();
    let sent = 0;
    while (!this.#isStopping) {
      const due = Math.floor(((performance.now() - beganMs) / 1000) * rate) - sent;
      sent += due;
      // What would go beyond the limit is left out, not made up for later.
      const room = Math.min(due, underWayMax - this.#underWay);
      for (let i = 0; i < room; i++) this.#send();
      await delay(1);
    }
    await drained(() => this.#underWay);
  }

  #nextClient(): number {
    const count = this.#clients.length;
    const first = this.#turn++ % count;
    for (let i = 0; i < count; i++) if (this.#waiting[(first + i) % count] === 0) return (first + i) % count;
    return first;
  }

  #send(): void {
    const chosen = this.#nextClient();
    const client = this.#clients[chosen];
    if (client === undefined) return;
    const { keyspace, onAnswer } = this.#load;
    const index = Math.floor(Math.random() * keyspace);
    const sentMs = performance.now();
    this.#underWay++;
    this.#waiting[chosen] = (this.#waiting[chosen] ?? 0) + 1;
    client.set(strongKeyFor(index), valueFor(index, this.answered), (failure) => {
      this.#underWay--;
      this.#waiting[chosen] = (this.#waiting[chosen] ?? 1) - 1;
      if (failure !== undefined) {
        this.failures++;
        return;
      }
      const nowMs = performance.now();
      this.answered++;
      this.latencies.record(nowMs - sentMs);
      onAnswer?.(client.server, nowMs);
    });
  }

  /** Resolves when all is answered. */
  stop(): Promise<void> {
    this.#isStopping = true;
    return this.#running;
  }
}

const checked = async (ms: number, check: () => void): Promise<void> => {
  const endMs = performance.now() + ms;
  for (let leftMs = ms; leftMs > 0; leftMs = endMs - performance.now()) {
    await delay(Math.min(100, leftMs));
    check();
  }
};

const drained = async (underWay: () => number): Promise<void> => {
  const endMs = performance.now() + silenceMsMax;
  while (underWay() > 0) {
    if (performance.now() > endMs)
      throw new Error(`${underWay()} operations unanswered after ${silenceMsMax / 1000} s`);
    await delay(5);
  }
};
