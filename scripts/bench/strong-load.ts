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

/** SETs at a rate, whatever comes back, dealt out to the clients in turn. */
export class OpenLoop {
  readonly latencies = new Latencies();
  answered = 0;
  failures = 0;
  #underWay = 0;
  #isStopping = false;
  readonly #running: Promise<void>;

  /** `onAnswer`: index of the server, and when. */
  constructor(
    clients: readonly StrongClient[],
    given: {
      readonly rate: number;
      readonly keyspace: number;
      readonly underWayMax: number;
      readonly onAnswer?: (server: number, nowMs: number) => void;
    },
  ) {
    this.#running = this.#run(clients, given);
  }

  async #run(
    clients: readonly StrongClient[],
    given: {
      readonly rate: number;
      readonly keyspace: number;
      readonly underWayMax: number;
      readonly onAnswer?: (server: number, nowMs: number) => void;
    },
  ): Promise<void> {
    const beganMs = performance.now();
    let sent = 0;
    while (!this.#isStopping) {
      const due = Math.floor(((performance.now() - beganMs) / 1000) * given.rate) - sent;
      sent += due;
      // What would go beyond the limit is left out, not made up for later.
      const room = Math.min(due, given.underWayMax - this.#underWay);
      for (let i = 0; i < room; i++) this.#send(clients[(sent - i) % clients.length], given);
      await delay(1);
    }
    await drained(() => this.#underWay);
  }

  #send(
    client: StrongClient | undefined,
    given: { readonly keyspace: number; readonly onAnswer?: (server: number, nowMs: number) => void },
  ): void {
    if (client === undefined) return;
    const index = Math.floor(Math.random() * given.keyspace);
    const sentMs = performance.now();
    this.#underWay++;
    client.set(strongKeyFor(index), valueFor(index, this.answered), (failure) => {
      this.#underWay--;
      if (failure !== undefined) {
        this.failures++;
        return;
      }
      const nowMs = performance.now();
      this.answered++;
      this.latencies.record(nowMs - sentMs);
      given.onAnswer?.(client.server, nowMs);
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
