/**
 * What was acknowledged stays, whatever is killed: the first promise, kept by real processes.
 *
 * The oracle is what each client saw. A key of its own tells exactly what it must be now. A key that all write has a set
 * of allowed ends: of every session the last acknowledged write, or one after it whose answer never came; an earlier one
 * was overwritten by someone who had seen it, so it must not be what stands.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import {
  type RealCluster,
  type RealPeer,
  sameEverywhere,
  seededRandom,
  testScale,
  withCluster,
} from "../support/real-cluster.ts";
import type { Outcome, RespClient } from "../support/resp-client.ts";

const writesTotal = Math.ceil(100_000 * testScale);
/** Writing goes on until this many peers were killed. */
const killsWanted = 10;
const writersPerPeer = 3;
const sharedKeysCount = 40;
/** Written in one go, at the most: on average half as many. */
const batchMax = 100;
/** Of a writer that is ahead of the kills: so that they all find writes under way, and a fast machine does not do ten times the work. */
const aheadBatchMax = 10;
const aheadPauseMs = 30;

/** What may stand at a key of one's own: undefined for none. */
type Allowed = Set<string | undefined>;

interface Tally {
  acked: number;
  failed: number;
  unknown: number;
}

/** Writes at one peer, dialing again whenever it was killed. */
class Writer {
  readonly own = new Map<string, Allowed>();
  /** Of each shared key: what this session's writes allow as its last word, oldest first. */
  readonly shared = new Map<string, Allowed>();
  readonly tally: Tally = { acked: 0, failed: 0, unknown: 0 };
  readonly #peer: RealPeer;
  readonly #id: string;
  readonly #random: () => number;
  /** Own keys whose SET was acknowledged and whose DEL was not sent. */
  readonly #deletable: string[] = [];
  #next = 0;

  constructor(peer: RealPeer, id: string, random: () => number) {
    this.#peer = peer;
    this.#id = id;
    this.#random = random;
  }

  /** Until that many writes are acknowledged and `progress` is 1; with more than its share of them it is slow. */
  async run(ackedWanted: number, progress: () => number): Promise<void> {
    let client: RespClient | undefined;
    while (this.tally.acked < ackedWanted || progress() < 1) {
      if (client === undefined || !client.isOpen) client = await this.#peer.connect();
      const failedBefore = this.tally.failed;
      const isAhead = this.tally.acked > ackedWanted * progress();
      const batch = 1 + Math.floor(this.#random() * (isAhead ? aheadBatchMax : batchMax));
      await Promise.all(Array.from({ length: batch }, () => this.#step(client as RespClient)));
      // Refused (it is just loading): not in a tight loop.
      if (this.tally.failed > failedBefore) await delay(20);
      else if (isAhead) await delay(aheadPauseMs);
    }
    client?.close();
  }

  /** One write, in the order of the pipeline. */
  #step(client: RespClient): Promise<void> {
    const serial = this.#next++;
    const value = `${this.#id}:${serial}`;
    const choice = this.#random();
    if (choice < 0.25) {
      // DEL of a key that is not there writes nothing, so it forbids nothing either: see #write.
      const key = `shared:${Math.floor(this.#random() * sharedKeysCount)}`;
      return choice < 0.05
        ? this.#write(this.shared, key, undefined, client.send("DEL", key))
        : this.#write(this.shared, key, value, client.send("SET", key, value));
    }
    if (choice < 0.45) return this.#deleteOwn(client);
    return this.#setOwn(`own:${this.#id}:${serial}`, value, client);
  }

  async #setOwn(key: string, value: string, client: RespClient): Promise<void> {
    await this.#write(this.own, key, value, client.send("SET", key, value));
    if (this.own.get(key)?.size === 1) this.#deletable.push(key);
  }

  /** A key whose SET was acknowledged is deleted at the same peer; it was there, so the reply is 1. */
  async #deleteOwn(client: RespClient): Promise<void> {
    const index = Math.floor(this.#random() * this.#deletable.length);
    const key = this.#deletable[index];
    if (key === undefined) return;
    const last = this.#deletable.pop() as string;
    if (last !== key) this.#deletable[index] = last;
    const allowed = this.own.get(key) as Allowed;
    const written = [...allowed];
    allowed.add(undefined);
    const outcome = await client.send("DEL", key);
    this.#count(outcome);
    if (outcome.state === "failed") this.own.set(key, new Set(written));
    if (outcome.state === "acked") {
      assert.equal(outcome.reply, 1, `DEL ${key}: its SET was acknowledged by this peer`);
      this.own.set(key, new Set([undefined]));
    }
  }

  async #write(
    map: Map<string, Allowed>,
    key: string,
    value: string | undefined,
    sent: Promise<Outcome>,
  ): Promise<void> {
    const outcome = await sent;
    this.#count(outcome);
    const allowed = map.get(key);
    if (outcome.state === "acked" && outcome.reply !== 0) map.set(key, new Set([value]));
    else if (outcome.state === "unknown") {
      if (allowed === undefined) map.set(key, new Set([undefined, value]));
      else allowed.add(value);
    }
  }

  #count(outcome: Outcome): void {
    this.tally[outcome.state]++;
  }
}

/** Kills and restarts peers at random, often one, sometimes two, now and then all, until told to end. */
class Chaos {
  killsCount = 0;
  readonly #cluster: RealCluster;
  readonly #random: () => number;

  constructor(cluster: RealCluster, random: () => number) {
    this.#cluster = cluster;
    this.#random = random;
  }

  async run(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      await delay(100 + this.#random() * 300);
      const dice = this.#random();
      const count = dice < 0.7 ? 1 : dice < 0.9 ? 2 : this.#cluster.peers.length;
      const victims = [...this.#cluster.peers].sort(() => this.#random() - 0.5).slice(0, count);
      await Promise.all(victims.map((peer) => peer.kill()));
      this.killsCount += victims.length;
      await delay(this.#random() * 300);
      await Promise.all(victims.map((peer) => peer.start()));
    }
  }
}

test("no acknowledged write is lost and none comes back while peers are killed with -9 at random", async (t) => {
  const random = seededRandom(t);
  await withCluster(t, {}, async (cluster) => {
    const writers = cluster.peers.flatMap((peer) =>
      Array.from({ length: writersPerPeer }, (_, index) => new Writer(peer, `${peer.name}${index}`, random)),
    );
    let isOver = false;
    const chaos = new Chaos(cluster, random);
    const killing = chaos.run(() => isOver);
    const share = Math.ceil(writesTotal / writers.length);
    const startedMs = performance.now();
    try {
      const progress = (): number => Math.min(1, (chaos.killsCount + 1) / (killsWanted + 1));
      await Promise.all(writers.map((writer) => writer.run(share, progress)));
    } finally {
      isOver = true;
      await killing;
    }
    const writingMs = performance.now() - startedMs;
    await cluster.ready();
    const all = await sameEverywhere(cluster);

    const sum = (of: keyof Tally): number => writers.reduce((total, { tally }) => total + tally[of], 0);
    t.diagnostic(
      `${sum("acked")} writes acknowledged, ${sum("failed")} refused, ${sum("unknown")} unanswered, ` +
        `${chaos.killsCount} kills, ${(writingMs / 1000).toFixed(1)} s`,
    );
    for (const { own } of writers) {
      for (const [key, allowed] of own) {
        if (!allowed.has(all.get(key))) assert.fail(`${key} is ${all.get(key)}, allowed: ${[...allowed].join(" or ")}`);
      }
    }
    for (let index = 0; index < sharedKeysCount; index++) {
      const key = `shared:${index}`;
      const allowed = new Set(writers.flatMap(({ shared }) => [...(shared.get(key) ?? [])]));
      assert(
        allowed.has(all.get(key)) || (allowed.size === 0 && !all.has(key)),
        `${key} is ${all.get(key)}, allowed: ${[...allowed].join(" or ")}`,
      );
    }
    // Nothing is there that nobody wrote.
    const known = new Set(writers.flatMap(({ own }) => [...own.keys()]));
    for (const key of all.keys()) assert(key.startsWith("shared:") || known.has(key), `${key} was written`);
  });
});
