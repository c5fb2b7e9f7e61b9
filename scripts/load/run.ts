/**
 * One run: clients, clock and ticker, slots of time, perhaps blows; then what was seen. Checking it afterwards and printing
 * it are others' (verify.ts, report-*.ts).
 */
import { setTimeout as delay } from "node:timers/promises";
import { CommandFailure } from "../../server/cli/failure.ts";
import type { ChaosEvent } from "./chaos.ts";
import type { Driver, DriverEvents, DriverOptions } from "./driver.ts";
import { HttpDriver } from "./http-driver.ts";
import type { KeySpace } from "./keys.ts";
import { type ClientPlan, type Clock, LoadClient } from "./load-client.ts";
import type { Options } from "./options.ts";
import { Oracle } from "./oracle.ts";
import { RespDriver } from "./resp-driver.ts";
import { SocketDriver } from "./socket-driver.ts";
import { type Slot, Statistics } from "./statistics.ts";
import type { Targets } from "./targets.ts";
import { startTicker } from "./ticker.ts";

export interface RunOptions {
  readonly options: Options;
  readonly targets: Targets;
  readonly space: KeySpace;
  /** Aborting it ends the load; what there is, is reported. */
  readonly stop: AbortSignal;
  /** Called when the clock starts, with its end. */
  readonly onStart?: (endMs: number) => void;
  /** Each second. */
  readonly onSecond: (second: Second) => void;
}

export interface Second {
  /** Since the start. */
  readonly atSeconds: number;
  readonly slot: Slot;
  /** Due and not ended, of all clients. */
  readonly waiting: number;
  readonly failed: number;
  /** Why clients are not connected; empty when all are. */
  readonly troubles: readonly string[];
}

export interface RunResult {
  readonly statistics: Statistics;
  readonly oracle: Oracle | undefined;
  /** `performance.now()` of the first op; slots and events count from it. */
  readonly startMs: number;
  readonly startedAt: Date;
  readonly seconds: number;
  /** The longest a client was without an answer, and when that ended. */
  readonly longestGapMs: number;
  readonly longestGapAtMs: number;
  /** Cores this process used, all its threads. */
  readonly toolCores: number;
  readonly events: readonly ChaosEvent[];
}

const connectMsMin = 1000;
const housekeepingMs = 20;
/** So that slots are filled evenly, and the first op is not late. */
const startInMs = 100;
/** Slots of a run: beyond, they would be more than a picture has points. */
const slotsMax = 90_000;

export const slotMsOf = (seconds: number): number =>
  [100, 250, 500, 1000].find((ms) => seconds * 1000 <= ms * 600) ?? Math.max(1000, (seconds * 1000) / slotsMax);

const openDriver = (options: DriverOptions, events: DriverEvents): Driver => {
  switch (options.targets.protocol) {
    case "resp":
      return new RespDriver(options, events);
    case "ws":
      return new SocketDriver(options, events);
    case "http":
      return new HttpDriver(options, events);
  }
};

export const runLoad = async (run: RunOptions): Promise<RunResult> => {
  const { options, targets, space, stop, onSecond } = run;
  const { clients: clientsCount, pipeline, timeoutMs, session, seconds, slowMs } = options;
  const statistics = new Statistics({ slotMs: slotMsOf(seconds), slowMs });
  const oracle = options.verify ? new Oracle(options.keys) : undefined;
  const clock: Clock = { startMs: Number.POSITIVE_INFINITY, endMs: Number.POSITIVE_INFINITY };
  const plan: ClientPlan = { ...options, clients: clientsCount, space };
  const clients = Array.from(
    { length: clientsCount },
    (_, number) =>
      new LoadClient(number, plan, {
        clock,
        statistics,
        oracle,
        open: (events, random) =>
          openDriver({ targets, startAt: number, pipeline, timeoutMs, session, random }, events),
      }),
  );
  try {
    await allConnected(clients, Math.max(connectMsMin, timeoutMs), stop);
    clock.startMs = performance.now() + startInMs;
    clock.endMs = clock.startMs + seconds * 1000;
    const startedAt = new Date(Date.now() + startInMs);
    run.onStart?.(clock.endMs);
    const cpuBefore = process.cpuUsage();
    const pumpAll = (): void => {
      const nowMs = performance.now();
      for (const client of clients) client.pump(nowMs);
    };
    const ticker =
      options.rate === undefined
        ? undefined
        : startTicker({ startMs: clock.startMs, stepMs: 1000 / options.rate }, pumpAll);
    try {
      await keepHouse({ clients, clock, statistics, stop, timeoutMs, onSecond });
    } finally {
      await ticker?.stop();
    }
    const endMs = Math.min(performance.now(), clock.endMs);
    const cpu = process.cpuUsage(cpuBefore);
    for (const client of clients) client.close();
    const worst = clients.reduce((most, client) => (client.longestGapMs > most.longestGapMs ? client : most));
    return {
      statistics,
      oracle,
      startMs: clock.startMs,
      startedAt,
      seconds: Math.max(0.001, (endMs - clock.startMs) / 1000),
      longestGapMs: worst.longestGapMs,
      longestGapAtMs: worst.longestGapAtMs - clock.startMs,
      toolCores: (cpu.user + cpu.system) / 1000 / Math.max(1, performance.now() - clock.startMs),
      events: [],
    };
  } finally {
    for (const client of clients) client.close();
  }
};

const allConnected = async (clients: readonly LoadClient[], connectMsMax: number, stop: AbortSignal): Promise<void> => {
  const deadlineMs = performance.now() + connectMsMax;
  for (;;) {
    const troubles = clients.flatMap(({ trouble }) => trouble ?? []);
    if (troubles.length === 0 || stop.aborted) return;
    if (performance.now() > deadlineMs) {
      const who = troubles.length === clients.length ? "no client" : `${clients.length - troubles.length} clients`;
      throw new CommandFailure(`${who} connected within ${connectMsMax / 1000} s: ${troubles[0]}`);
    }
    await delay(10);
  }
};

/** Ticks, slots and lines, until the time is over and what was sent has ended. */
const keepHouse = async ({
  clients,
  clock,
  statistics,
  stop,
  timeoutMs,
  onSecond,
}: {
  readonly clients: readonly LoadClient[];
  readonly clock: Clock;
  readonly statistics: Statistics;
  readonly stop: AbortSignal;
  readonly timeoutMs: number;
  readonly onSecond: (second: Second) => void;
}): Promise<void> => {
  let slotEndMs = clock.startMs + statistics.slotMs;
  let lineAtMs = clock.startMs + 1000;
  for (;;) {
    const nowMs = performance.now();
    if (stop.aborted && clock.endMs > nowMs) clock.endMs = nowMs;
    for (const client of clients) client.tick(nowMs);
    while (nowMs >= slotEndMs) {
      statistics.closeSlot(slotEndMs - clock.startMs);
      slotEndMs += statistics.slotMs;
    }
    const waiting = clients.reduce((sum, client) => sum + client.outstanding + client.behind(nowMs), 0);
    if (nowMs >= lineAtMs) {
      onSecond({
        atSeconds: Math.round((nowMs - clock.startMs) / 1000),
        slot: statistics.takeLine(),
        waiting,
        failed: statistics.failed,
        troubles: clients.flatMap(({ trouble }) => trouble ?? []),
      });
      lineAtMs += 1000 * Math.ceil((nowMs - lineAtMs + 1) / 1000);
    }
    const isOver = nowMs >= clock.endMs;
    if (isOver && (waiting === 0 || nowMs > clock.endMs + timeoutMs + 1000)) {
      statistics.closeSlot(nowMs - clock.startMs);
      return;
    }
    await delay(isOver ? 5 : housekeepingMs);
  }
};
