/**
 * Failover under load, by real peers: one is killed as soon as the last one killed is ready again. Nothing that was
 * acknowledged is lost, no client reads its own writes late, none reads back in time.
 *
 * CHORUS_TEST_SCALE=20 makes a minute of it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ChorusError, type Client, connect } from "../../protocol/client.ts";
import { type RealCluster, sameEverywhere, seededRandom, testScale, withCluster } from "../support/real-cluster.ts";

const runMs = 3000 * testScale;
const killsWanted = Math.ceil(3 * testScale);
const clientsCount = 4;
/** Loops of one client, each with keys of its own. */
const loopsPerClient = 8;
const keysPerLoop = 5;
/** A peer needs a second or two to come back, and what it alone has is waited for. */
const callMsMax = 60_000;

interface Tally {
  writes: number;
  reads: number;
  increments: number;
  unknown: number;
  slowestMs: number;
}

/** What a client has seen of every key: values are serial numbers, so a smaller one lies back in time. */
class Loop {
  readonly acknowledged = new Map<string, number>();
  readonly #kv: Client;
  readonly #name: string;
  readonly #tally: Tally;
  readonly #seen: Map<string, number>;
  readonly #random: () => number;

  constructor(kv: Client, name: string, tally: Tally, seen: Map<string, number>, random: () => number) {
    this.#kv = kv;
    this.#name = name;
    this.#tally = tally;
    this.#seen = seen;
    this.#random = random;
  }

  async run(isOver: () => boolean): Promise<void> {
    for (let serial = 1; !isOver(); serial++) {
      const key = `${this.#name}:${serial % keysPerLoop}`;
      await this.#timed(() => this.#kv.set(key, String(serial)));
      this.acknowledged.set(key, serial);
      this.#tally.writes += 1;
      const own = Number(await this.#timed(() => this.#kv.get(key)));
      assert.equal(own, serial, `${key}: reads its own write`);
      await this.#readAnother();
      if (serial % 10 === 0) await this.#increment();
    }
  }

  async #readAnother(): Promise<void> {
    const client = Math.floor(this.#random() * clientsCount);
    const loop = Math.floor(this.#random() * loopsPerClient);
    const key = `${client}.${loop}:${Math.floor(this.#random() * keysPerLoop)}`;
    const before = this.#seen.get(key) ?? 0;
    const value = Number(await this.#timed(() => this.#kv.get(key)));
    this.#tally.reads += 1;
    assert(value >= before, `${key}: read ${value} after ${before} had been read`);
    this.#seen.set(key, Math.max(value, this.#seen.get(key) ?? 0));
  }

  async #increment(): Promise<void> {
    try {
      await this.#timed(() => this.#kv.incr("counter"));
      this.#tally.increments += 1;
    } catch (error) {
      assert(error instanceof ChorusError && error.outcome === "unknown", String(error));
      this.#tally.unknown += 1;
    }
  }

  async #timed<Result>(call: () => Promise<Result>): Promise<Result> {
    const startedAtMs = performance.now();
    const result = await call();
    this.#tally.slowestMs = Math.max(this.#tally.slowestMs, performance.now() - startedAtMs);
    return result;
  }
}

/** Kills one after another until told to end. */
const kill = async (cluster: RealCluster, random: () => number, isOver: () => boolean): Promise<number> => {
  let kills = 0;
  while (!isOver()) {
    const victim = cluster.peers[Math.floor(random() * cluster.peers.length)];
    assert(victim !== undefined);
    await delay(random() * 100);
    await victim.kill();
    kills += 1;
    await victim.start();
    await cluster.ready([victim]);
  }
  return kills;
};

test("no acknowledged write is lost, and none is read late, while peers are killed", async (t) => {
  await withCluster(t, { count: 3 }, async (cluster) => {
    const random = seededRandom(t);
    const addresses = cluster.peers.map(({ httpPort }) => `127.0.0.1:${httpPort}`);
    const tally: Tally = { writes: 0, reads: 0, increments: 0, unknown: 0, slowestMs: 0 };
    let failovers = 0;
    const clients = await Promise.all(
      Array.from({ length: clientsCount }, (_, index) =>
        connect([...addresses.slice(index % 3), ...addresses.slice(0, index % 3)], {
          timeoutMs: callMsMax,
          onState: ({ kind }) => {
            if (kind === "connected") failovers += 1;
          },
        }),
      ),
    );
    const loops: Loop[] = [];
    const endsAtMs = performance.now() + runMs;
    let kills = 0;
    let isOver = false;
    try {
      const chaos = kill(cluster, random, () => {
        kills += 1;
        isOver = performance.now() > endsAtMs && kills > killsWanted;
        return isOver;
      });
      for (const [index, kv] of clients.entries()) {
        const seen = new Map<string, number>();
        for (let loop = 0; loop < loopsPerClient; loop++)
          loops.push(new Loop(kv, `${index}.${loop}`, tally, seen, random));
      }
      const running = Promise.all(loops.map((loop) => loop.run(() => isOver)));
      const [killed] = await Promise.all([chaos, running]);
      t.diagnostic(`${killed} kills, ${failovers - clientsCount} failovers, ${JSON.stringify(tally)}`);
    } finally {
      isOver = true;
      await Promise.all(clients.map((kv) => kv.close()));
    }
    const held = await sameEverywhere(cluster);
    for (const loop of loops)
      for (const [key, serial] of loop.acknowledged) assert.equal(held.get(key), String(serial), `${key} is kept`);
    const counter = Number(held.get("counter") ?? 0);
    assert(counter >= tally.increments && counter <= tally.increments + tally.unknown, `counter ${counter}`);
  });
});
