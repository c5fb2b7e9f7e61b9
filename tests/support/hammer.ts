/** Load on healthy peers while others are in trouble: no error, no slow reply, nothing lost. */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { type RealCluster, type RealPeer, sameEverywhere } from "./real-cluster.ts";

/** A client of a healthy peer waits no longer, on a loaded machine. */
const replyMsMax = 2000;

const pauseMs = 2;

/** One client that writes and reads some hundred times a second: it is to notice trouble, not to make any. */
class Hammer {
  acked = 0;
  slowestMs = 0;
  readonly values = new Map<string, string>();
  readonly #peer: RealPeer;
  #isOver = false;
  #running: Promise<void>;

  constructor(peer: RealPeer) {
    this.#peer = peer;
    this.#running = this.#run();
    // Seen when end() waits for it.
    this.#running.catch(() => undefined);
  }

  async #run(): Promise<void> {
    const client = await this.#peer.connect();
    for (let serial = 0; !this.#isOver; serial++) {
      const key = `hammer:${this.#peer.name}:${serial % 500}`;
      const sentMs = performance.now();
      const [set, get] = await client.pipeline([
        ["SET", key, `${serial}`],
        ["GET", key],
      ]);
      const tookMs = performance.now() - sentMs;
      this.slowestMs = Math.max(this.slowestMs, tookMs);
      assert.deepEqual(set, { state: "acked", reply: "OK" }, `a client of ${this.#peer.name}`);
      assert.deepEqual(get, { state: "acked", reply: `${serial}` }, `a client of ${this.#peer.name}`);
      assert(tookMs <= replyMsMax, `a reply of ${this.#peer.name} took ${Math.round(tookMs)} ms`);
      this.values.set(key, `${serial}`);
      this.acked++;
      await delay(pauseMs);
    }
    client.close();
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }
}

/** Runs `trouble` while a hammer works at each of `healthy`; then all must be identical and hold what was acknowledged. */
export const unnoticed = async (
  cluster: RealCluster,
  healthy: readonly RealPeer[],
  trouble: () => Promise<void>,
): Promise<string> => {
  const hammers = healthy.map((peer) => new Hammer(peer));
  try {
    await trouble();
  } finally {
    for (const hammer of hammers) await hammer.end();
  }
  const all = await sameEverywhere(cluster);
  for (const hammer of hammers) {
    assert(hammer.acked > 0);
    for (const [key, value] of hammer.values) assert.equal(all.get(key), value, key);
  }
  return hammers.map(({ acked, slowestMs }) => `${acked} writes, slowest ${slowestMs.toFixed(0)} ms`).join("; ");
};

/** `count` keys `prefix:0`..., in pipelines; every SET must be acknowledged. */
export const fill = async (peer: RealPeer, count: number, prefix: string, size = 100): Promise<void> => {
  const client = await peer.connect();
  const value = "v".repeat(size);
  for (let from = 0; from < count; from += 500) {
    const outcomes = await client.pipeline(
      Array.from({ length: Math.min(500, count - from) }, (_, index) => ["SET", `${prefix}:${from + index}`, value]),
    );
    for (const outcome of outcomes) assert.equal(outcome.state, "acked", JSON.stringify(outcome));
  }
  client.close();
};
