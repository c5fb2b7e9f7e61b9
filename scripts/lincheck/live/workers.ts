/** What clients do all day: some work on keys, some fight for a lock and write what it guards. */
import { setTimeout as delay } from "node:timers/promises";
import type { Random } from "../../sim/random.ts";
import { reads } from "../linearizability.ts";
import type { StrongClient } from "./client.ts";
import { chooseOperation } from "./mix.ts";
import type { Recorder } from "./recorder.ts";

export const lockKey = "strong:lock";
export const guardedKey = "strong:guarded";
export const keysOf = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, index) => `strong:${index === 0 ? "counter" : `k${index}`}`);

interface Worker {
  readonly client: StrongClient;
  readonly random: Random;
  readonly recorder: Recorder;
  readonly stop: AbortSignal;
}

/** Between two operations, so that the history of a key stays one that can be decided. */
const thinkMsMax = 12;
const moveChance = 0.01;

export const work = async ({ client, random, stop }: Worker, keys: readonly string[]): Promise<void> => {
  const seen = new Map<string, string>();
  while (!stop.aborted) {
    const key = random.pick(keys);
    const isCounter = key === keys[0];
    const fresh = client.fresh();
    const { operation, asksVersion } = chooseOperation(random, { isCounter, fresh, seen: seen.get(key) ?? "?" });
    if (random.chance(moveChance)) client.move();
    const isWrite = !reads.has(operation.kind);
    const told = await client.perform(
      { key, operation, asksVersion },
      isWrite && random.chance(0.6) ? fresh : undefined,
    );
    if (told.kind === "done") {
      if (told.output.kind === "text") seen.set(key, told.output.text);
      else if (operation.kind === "set" && told.output.kind === "ok") seen.set(key, operation.value);
    }
    await delay(random.int(thinkMsMax));
  }
};

// ---- locks --------------------------------------------------------------------------------------------------------------

const ttlsMs = [250, 500, 1200] as const;
/** docs/STRONG.md: how long a holder may believe. */
const believedShare = 0.99;

/** Takes the lock, holds it for a while, and renews, releases or simply forgets it. Some wake up too late. */
export const fight = async (worker: Worker): Promise<void> => {
  const { client, random, recorder, stop } = worker;
  while (!stop.aborted) {
    const owner = client.fresh();
    const ttlMs = random.pick(ttlsMs);
    const lease = { kind: "set", value: owner, returnsOld: false, ttlMs } as const;
    const told = await client.perform(
      { key: lockKey, operation: { ...lease, condition: "absent" }, asksVersion: true },
      random.chance(0.5) ? owner : undefined,
    );
    if (told.kind !== "done" || told.output.kind !== "ok") {
      await delay(10 + random.int(60));
      continue;
    }
    const token = told.output.version ?? 0;
    let untilNs = told.startNs + ttlMs * 1e6 * believedShare;
    const write = () =>
      client.perform({
        key: guardedKey,
        operation: {
          kind: "set",
          value: client.fresh(),
          condition: "none",
          returnsOld: false,
          ttlMs: 0,
          fence: { lock: "lock", token },
        },
        asksVersion: random.chance(0.5),
      });
    while (!stop.aborted && recorder.nowNs() < untilNs && random.chance(0.7)) {
      await delay(random.int(ttlMs / 3));
      if (random.chance(0.5)) await write();
      else {
        const renewed = await client.perform({
          key: lockKey,
          operation: { ...lease, condition: { equals: owner } },
          asksVersion: true,
        });
        if (renewed.kind !== "done" || renewed.output.kind !== "ok") break;
        untilNs = Math.max(untilNs, renewed.startNs + ttlMs * 1e6 * believedShare);
      }
    }
    const ending = random.pick(["releases", "releases", "forgets", "oversleeps"] as const);
    if (ending === "releases") {
      await client.perform({
        key: lockKey,
        operation: { kind: "del", only: { equals: owner } },
        asksVersion: false,
      });
    } else if (ending === "oversleeps") {
      // It writes as if it held the lock still: the fence must keep that out once another has written.
      await delay(random.int(2 * ttlMs));
      await write();
    }
    await delay(random.int(30));
  }
};
