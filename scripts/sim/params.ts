/**
 * What varies from run to run ("swarm testing": each seed draws its own rates and sizes, so that rare mixtures come up).
 */
import { shardCount } from "../../server/replica/cell-map.ts";
import { hashText } from "../../server/replica/hash.ts";
import type { Random } from "./random.ts";

export interface Params {
  readonly peers: number;
  readonly keys: readonly string[];
  readonly steps: number;
  /** Mean length of a step, ms. */
  readonly stepMs: number;
  readonly hasExpiry: boolean;
  readonly expiryMs: number;
  readonly hasText: boolean;
  readonly hasBigSums: boolean;
  readonly setsOnly: boolean;
  readonly bootstrap: boolean;
  readonly losesDisks: boolean;
  readonly losesPower: boolean;
  readonly writeRate: number;
  readonly lull: number;
  readonly cutRate: number;
  readonly faultRate: number;
  readonly connectRate: number;
  readonly restartRate: number;
  readonly purgeRate: number;
  readonly trimRate: number;
  readonly stallRate: number;
  readonly calmRate: number;
  /** Power fails just when something is not on disk yet. */
  readonly strikeRate: number;
  readonly burst: number;
  /** Turns in which more than one thing happens before ready() is taken. */
  readonly longTurnRate: number;
  readonly skewJumpMs: number;
  readonly clockSkewMaxMs: number;
  /** One direction that is read slowly: from, to. */
  readonly slow: readonly [number, number] | undefined;
  readonly slowRate: number;
  /** A peer that seldom syncs and checkpoints. */
  readonly lazy: number;
  /** Peers 0 and 1 can never talk directly. */
  readonly hasDeadLink: boolean;
  readonly trimsAll: boolean;
  readonly segmentBytes: number;
  readonly recentBytesMax: number;
  readonly readBytes: number;
  readonly scanBytes: number;
  readonly sliceBytes: number;
  readonly purgeCount: number;
  readonly blockedAt: number;
  readonly waitingFramesMax: number;
  readonly journalMax: number;
}

/** Names that fall into one shard of the map, so that slots are reused and walked together. */
const oneShard: readonly string[] = (() => {
  const names: string[] = [];
  const shard = hashText("k0", 0x811c9dc5) % shardCount;
  for (let number = 0; names.length < 12; number++) {
    if (hashText(`k${number}`, 0x811c9dc5) % shardCount === shard) names.push(`k${number}`);
  }
  return names;
})();

const spread = ["k1", "k2", "", "\xff\x00\r\n", "k5", "k6", "k7", "k8", "k9", "k10", "k11", "k12"];

export const drawParams = (seed: number, random: Random, peersGiven: number): Params => {
  const peers = peersGiven > 0 ? peersGiven : seed % 29 === 0 ? 5 : seed % 4 === 0 ? 4 : 3;
  const keyCount = random.pick([1, 1, 2, 3, 6, 12]);
  return {
    peers,
    keys: (random.chance(0.4) ? oneShard : spread).slice(0, keyCount),
    steps: 400 + random.int(900),
    stepMs: random.pick([2, 20, 150]),
    hasExpiry: seed % 3 === 0,
    expiryMs: random.pick([100, 3000, 15_000]),
    hasText: random.chance(0.2),
    hasBigSums: seed % 11 === 0,
    setsOnly: seed % 7 === 0,
    bootstrap: random.chance(0.7),
    losesDisks: seed % 2 === 0,
    losesPower: seed % 5 !== 1,
    writeRate: random.pick([0.08, 0.16, 0.26]),
    lull: random.pick([100, 160, 260]),
    cutRate: random.pick([0.002, 0.006, 0.012]),
    faultRate: random.pick([0.001, 0.003, 0.006]),
    connectRate: random.pick([0.2, 0.8]),
    restartRate: random.pick([0.03, 0.1, 0.4]),
    purgeRate: random.pick([0.04, 0.1]),
    trimRate: random.pick([0.03, 0.03, 0.003]),
    stallRate: random.pick([0, 0, 0.004]),
    strikeRate: seed % 5 !== 1 ? random.pick([0, 0.003, 0.01]) : 0,
    calmRate: random.pick([0, 0.002, 0.006]),
    burst: random.pick([8, 25, 60]),
    longTurnRate: random.pick([0, 0.3, 0.7]),
    skewJumpMs: random.pick([30, 2000, 2000, 15_000]),
    clockSkewMaxMs: random.pick([500, 5000, 5000]),
    slow: random.chance(0.5) ? [random.int(peers), random.int(peers)] : undefined,
    slowRate: random.pick([0, 0.02, 0.1]),
    lazy: random.chance(0.4) ? random.int(peers) : -1,
    hasDeadLink: seed % 6 === 0,
    trimsAll: random.chance(0.5),
    segmentBytes: random.pick([150, 600, 4000]),
    recentBytesMax: random.pick([0, 300, 1 << 20]),
    readBytes: random.pick([1, 400, 1 << 18]),
    scanBytes: random.pick([1, 60, 4096]),
    sliceBytes: random.pick([1, 100, 4096]),
    purgeCount: random.pick([1, 3, 1000]),
    blockedAt: random.pick([2, 6, 1000, 1000]),
    waitingFramesMax: random.pick([2, 6, 4096]),
    journalMax: random.chance(0.1) ? 2 : 10_000,
  };
};
