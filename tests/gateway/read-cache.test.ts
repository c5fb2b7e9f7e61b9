import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { formatPosition } from "../../protocol/position.ts";
import type { OriginId } from "../../protocol/words.ts";
import { Random } from "../../scripts/sim/random.ts";
import { counterMsMax, expiryMarginMs, generationMs, ReadCache } from "../../server/gateway/read-cache.ts";
import { covers, emptyVector, joinVectors, type Vector } from "../../server/gateway/vector.ts";

const originA = "a.000000000000001" as OriginId;
const positionOf = (vector: Vector): string => formatPosition([...vector] as [OriginId, number][]);
const never = (): number => 0;

const opened = (bytesMax = 1_000_000): ReadCache => {
  const cache = new ReadCache(bytesMax);
  cache.begin("", 0);
  cache.trusted = true;
  return cache;
};

const fill = (cache: ReadCache, key: string, value: string | undefined, known: Vector = emptyVector): void =>
  cache.fill(
    key,
    { value: value === undefined ? undefined : Buffer.from(value), version: "v", expiresAtMs: 0 },
    known,
    emptyVector,
    0,
  );
const shown = (cache: ReadCache, key: string): string | undefined => cache.get(key, never)?.value?.toString();

describe("what is kept, and for how long", () => {
  test("a change drops the key's entry, and no other", () => {
    const cache = opened();
    fill(cache, "x", "1");
    fill(cache, "y", "2");
    cache.onChanges([{ key: "x", origin: originA, seq: 1 }], `${originA}:1`, 1);
    assert.equal(shown(cache, "x"), undefined);
    assert.equal(shown(cache, "y"), "2");
  });

  test("that a key is not there is kept too", () => {
    const cache = opened();
    fill(cache, "x", undefined);
    const entry = cache.get("x", never);
    assert(entry !== undefined && entry.value === undefined);
  });

  test("an answer from before a change that was told is not kept, however late it comes", () => {
    const cache = opened();
    cache.onChanges([{ key: "x", origin: originA, seq: 1 }], `${originA}:1`, 1);
    fill(cache, "x", "old");
    assert.equal(shown(cache, "x"), undefined);
    fill(cache, "x", "new", new Map([[originA, 1]]));
    assert.equal(shown(cache, "x"), "new");
  });

  test("what was sent along counts as seen; a key that nothing changed is kept from any peer that is not far behind", () => {
    const cache = opened();
    cache.onChanges([{ key: "x", origin: originA, seq: 1 }], `${originA}:1`, 1);
    assert.deepEqual(cache.dotsOf("x"), new Map([[originA, 1]]));
    assert.equal(cache.dotsOf("y"), undefined);
    cache.fill("x", { value: Buffer.from("1"), version: "v", expiresAtMs: 0 }, emptyVector, new Map([[originA, 1]]), 0);
    assert.equal(shown(cache, "x"), "1");
    fill(cache, "y", "2");
    assert.equal(shown(cache, "y"), "2");
  });

  test("dots are forgotten by age; from then on a state must have all up to there", () => {
    const cache = opened();
    cache.onChanges([{ key: "x", origin: originA, seq: 1 }], `${originA}:1`, 0);
    cache.onChanges([{ key: "z", origin: originA, seq: 2 }], `${originA}:2`, generationMs);
    cache.onChanges([{ key: "z", origin: originA, seq: 3 }], `${originA}:3`, 2 * generationMs);
    assert.equal(cache.dotsOf("x"), undefined);
    fill(cache, "y", "old");
    assert.equal(shown(cache, "y"), undefined, "a peer that far behind may lack a change of y that is forgotten");
    fill(cache, "y", "new", new Map([[originA, 2]]));
    assert.equal(shown(cache, "y"), "new");
  });

  test("expiry is respected, a little early; a counter that expires is not kept, another not for long", () => {
    const cache = opened();
    const at = (value: string, expiresAtMs: number): void =>
      cache.fill("x", { value: Buffer.from(value), version: "v", expiresAtMs }, emptyVector, emptyVector, 1000);
    at("text", 5000);
    assert.equal(cache.get("x", () => 5000 - expiryMarginMs - 1)?.expiresAtMs, 5000);
    assert.equal(
      cache.get("x", () => 5000 - expiryMarginMs),
      undefined,
    );
    at("17", 5000);
    assert.equal(
      cache.get("x", () => 1000),
      undefined,
    );
    at("17", 0);
    assert.equal(cache.get("x", () => 1000 + counterMsMax - 1)?.value?.toString(), "17");
    assert.equal(
      cache.get("x", () => 1000 + counterMsMax),
      undefined,
    );
  });

  test("untrusted it hands out nothing and keeps all; begun anew it is empty", () => {
    const cache = opened();
    fill(cache, "x", "1");
    cache.trusted = false;
    assert.equal(shown(cache, "x"), undefined);
    cache.trusted = true;
    assert.equal(shown(cache, "x"), "1");
    cache.begin(`${originA}:5`, 1);
    assert.deepEqual([shown(cache, "x"), cache.size, cache.position], [undefined, 0, `${originA}:5`]);
    assert(cache.covers(new Map([[originA, 5]])) && !cache.covers(new Map([[originA, 6]])));
  });

  test("its bytes are bounded: what was not read for longest goes", () => {
    const cache = opened(10_000);
    for (let at = 0; at < 100; at++) {
      fill(cache, `k${at}`, "v".repeat(400));
      assert(shown(cache, "k0") !== undefined, "read all the time");
    }
    assert(cache.bytes <= 10_000 && cache.size < 12);
    assert(cache.counters.evictions > 80);
    assert.equal(shown(cache, "k50"), undefined);
  });
});

// ---- The law ------------------------------------------------------------------------------------------------------------

interface Op {
  readonly origin: OriginId;
  readonly seq: number;
  readonly key: string;
  readonly context: Vector;
  readonly stamp: number;
}

/** A peer that applies ops causally, and shows of a key the dots it has. */
class ModelPeer {
  readonly origin: OriginId;
  vector: Vector = emptyVector;
  readonly applied: Op[] = [];
  readonly winners = new Map<string, number>();

  constructor(name: string) {
    this.origin = `${name}.000000000000001` as OriginId;
  }

  apply(op: Op): void {
    this.vector = new Map(this.vector).set(op.origin, op.seq);
    this.applied.push(op);
    this.winners.set(op.key, Math.max(op.stamp, this.winners.get(op.key) ?? 0));
  }

  shows(key: string): string {
    return this.applied
      .filter((op) => op.key === key)
      .map(({ origin, seq }) => `${origin}:${seq}`)
      .join(",");
  }
}

interface Read {
  readonly key: string;
  readonly peer: ModelPeer;
  readonly known: Vector;
  readonly sent: Vector;
}

/**
 * Three peers, replication in any causal order; a feed at one of them, by turns, with messages under way; reads at any
 * peer, executed and answered late. Whenever the cache is trusted, what it hands out has every change the feed has told.
 */
const simulate = (seed: number): { readonly served: number; readonly refused: number } => {
  const random = new Random(seed).next;
  const below = (count: number): number => Math.floor(random() * count);
  const pick = <Item>(items: readonly Item[]): Item => items[below(items.length)] as Item;
  const peers = ["a", "b", "c"].map((name) => new ModelPeer(name));
  const keys = ["x", "y", "z"];
  const cache = new ReadCache(1_000_000);
  const known = new Map<ModelPeer, Vector>(peers.map((peer) => [peer, emptyVector]));
  let nowMs = 0;
  let stamp = 0;
  let served = 0;

  // The feed: its peer, how far it has read, and what is under way. Undefined: down.
  let feed: { peer: ModelPeer; cursor: number; progress: Vector; target: Vector | undefined } | undefined;
  let wire: { readonly changes: readonly Op[]; readonly position: Vector }[] = [];
  let told = new Map<string, Set<string>>();
  let lastTold: Vector = emptyVector;
  let hasBegun = false;
  const unsent: Read[] = [];
  const answers = new Map<ModelPeer, { readonly read: Read; readonly value: string; readonly position: Vector }[]>(
    peers.map((peer) => [peer, []]),
  );

  const begin = (): void => {
    const peer = pick(peers);
    feed = { peer, cursor: peer.applied.length, progress: peer.vector, target: undefined };
    wire = [];
    // What its peer had then counts as told.
    told = new Map();
    for (const { key, origin, seq } of peer.applied)
      told.set(key, (told.get(key) ?? new Set()).add(`${origin}:${seq}`));
    lastTold = peer.vector;
    cache.begin(positionOf(peer.vector), nowMs);
    cache.trusted = true;
    hasBegun = true;
  };

  const steps: readonly (() => void)[] = [
    function write() {
      const peer = pick(peers);
      const seq = (peer.vector.get(peer.origin) ?? 0) + 1;
      peer.apply({ origin: peer.origin, seq, key: pick(keys), context: peer.vector, stamp: ++stamp });
    },
    function replicate() {
      const [from, to] = [pick(peers), pick(peers)];
      const op = from.applied.find(
        ({ origin, seq, context }) => (to.vector.get(origin) ?? 0) === seq - 1 && covers(to.vector, context),
      );
      if (op !== undefined) to.apply(op);
    },
    function read() {
      const key = pick(keys);
      const peer = pick(peers);
      const dots = random() < 0.5 ? cache.dotsOf(key) : undefined;
      const sent = dots !== undefined && !covers(known.get(peer) ?? emptyVector, dots) ? dots : emptyVector;
      unsent.push({ key, peer, known: known.get(peer) ?? emptyVector, sent });
    },
    function execute() {
      const at = below(unsent.length);
      const read = unsent[at];
      if (read === undefined || !covers(read.peer.vector, read.sent)) return;
      unsent.splice(at, 1);
      const value = read.peer.shows(read.key);
      // The position is the one at the end of the turn, which may have seen more.
      if (random() < 0.3) steps[1]?.();
      answers.get(read.peer)?.push({ read, value, position: read.peer.vector });
    },
    function answer() {
      const peer = pick(peers);
      const first = answers.get(peer)?.shift();
      if (first === undefined) return;
      known.set(peer, first.position);
      const { key, known: sure, sent } = first.read;
      const value = first.value === "" ? undefined : Buffer.from(first.value);
      cache.fill(key, { value, version: "v", expiresAtMs: 0 }, sure, sent, 0);
    },
    function status() {
      const peer = pick(peers);
      if (answers.get(peer)?.length === 0) known.set(peer, peer.vector);
    },
    function feedReads() {
      if (feed === undefined) return;
      const { peer, cursor, progress } = feed;
      const ops = peer.applied.slice(cursor, cursor + 1 + below(3));
      if (ops.length === 0) return;
      // What lost to something told before, or was told elsewhere, is not told.
      const changes = ops.filter(
        ({ origin, seq, key, stamp: own }) =>
          seq > (progress.get(origin) ?? 0) && (own >= (peer.winners.get(key) ?? 0) || random() < 0.5),
      );
      const position = ops.reduce((vector, { origin, seq }) => joinVectors(vector, new Map([[origin, seq]])), progress);
      feed.cursor += ops.length;
      feed.progress = position;
      wire.push({ changes, position });
    },
    function feedTells() {
      const message = wire.shift();
      if (message === undefined || feed === undefined) return;
      const { changes, position } = message;
      for (const { key, origin, seq } of changes) {
        const dots = told.get(key) ?? new Set();
        told.set(key, dots.add(`${origin}:${seq}`));
      }
      lastTold = position;
      cache.onChanges(changes, positionOf(position), nowMs);
      if (!cache.trusted && feed.target !== undefined && cache.covers(feed.target)) cache.trusted = true;
    },
    function feedFails() {
      if (random() > 0.15) return;
      feed = undefined;
      wire = [];
      cache.trusted = false;
    },
    function feedResumes() {
      if (feed !== undefined || !hasBegun) return;
      const peer = peers.find(({ vector }) => covers(vector, lastTold));
      if (peer === undefined || random() < 0.2) return begin();
      // From where the log first has something that the token lacks.
      const cursor = peer.applied.findIndex(({ origin, seq }) => seq > (lastTold.get(origin) ?? 0));
      feed = {
        peer,
        cursor: cursor < 0 ? peer.applied.length : cursor,
        progress: lastTold,
        target: peer.vector,
      };
      if (cache.covers(peer.vector)) cache.trusted = true;
    },
    function time() {
      nowMs += below(generationMs);
    },
  ];

  begin();
  for (let step = 0; step < 250; step++) {
    pick(steps)();
    const key = pick(keys);
    const entry = cache.get(key, () => 0);
    if (entry === undefined) continue;
    served += 1;
    const dots = new Set(entry.value?.toString().split(",") ?? []);
    for (const dot of told.get(key) ?? [])
      assert(dots.has(dot), `seed ${seed}, step ${step}: ${key} is served without ${dot}, which the feed has told`);
  }
  return { served, refused: cache.counters.fillsRefused };
};

test("whatever is read where and comes home when: what is handed out has every change that the feed has told", () => {
  const runs = 1500 * Number(process.env["CHORUS_TEST_SCALE"] ?? "1");
  let served = 0;
  let refused = 0;
  for (let seed = 1; seed <= runs; seed++) {
    const run = simulate(seed);
    served += run.served;
    refused += run.refused;
  }
  assert(served > runs, "the cache was of use");
  assert(refused > runs / 10, "some answers came too late");
});
