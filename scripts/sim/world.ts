/** One simulated cluster: its peers, network, clock, history, and what was seen to happen. */
import type { PeerName } from "../../protocol/words.ts";
import type { Comparison } from "../../server/replica/repair.ts";
import { Network } from "./network.ts";
import { History, seqAt } from "./oracle.ts";
import { drawParams, type Params } from "./params.ts";
import { SimPeer } from "./peer.ts";
import { Random } from "./random.ts";

export type Coverage = Record<string, number>;

export interface WorldOptions {
  readonly seed: number;
  /** 0: as the seed has it. */
  readonly peers: number;
  readonly trace?: ((line: string) => void) | undefined;
}

const startMs = Date.UTC(2026, 0, 1);

export class World {
  readonly seed: number;
  readonly random: Random;
  readonly params: Params;
  readonly names: readonly PeerName[];
  readonly peers: readonly SimPeer[];
  readonly network: Network;
  readonly history = new History();
  readonly coverage: Coverage = {};
  readonly comparisons: Comparison[] = [];
  /** What a version of a key showed, wherever it was seen first. */
  readonly shownByVersion = new Map<string, string>();
  readonly trace: ((line: string) => void) | undefined;
  nowMs = startMs;
  step = 0;
  /** No more faults; all must become equal. */
  healing = false;
  valueNumber = 0;
  /** Per origin: own ops whose frame was appended, so that a client has its reply. */
  readonly acked: number[] = [];
  /** By from * 16 + to: not read before this step. */
  readonly stalled = new Map<number, number>();

  constructor(options: WorldOptions) {
    this.seed = options.seed;
    this.trace = options.trace;
    this.random = new Random(options.seed);
    this.params = drawParams(options.seed, this.random, options.peers);
    this.names = ["a", "b", "c", "d", "e"].slice(0, this.params.peers) as PeerName[];
    this.network = new Network(this.params.blockedAt);
    this.peers = this.names.map((_, index) => new SimPeer(this, index));
  }

  cover(name: string, by = 1): void {
    this.coverage[name] = (this.coverage[name] ?? 0) + by;
  }

  /** For --verbose. The words are made only if somebody reads them. */
  say(words: () => string): void {
    this.trace?.(`${String(this.step).padStart(5)} ${words()}`);
  }

  /** Counters of a replica that ends. */
  gather(peer: SimPeer): void {
    const counts = peer.replica?.state.counts;
    if (counts !== undefined) for (const name in counts) this.cover(name, counts[name]);
  }

  noteAcked(peer: SimPeer): void {
    this.acked[peer.origin] = seqAt(peer.appendedVv, peer.origin);
  }

  isStalled(from: SimPeer, to: SimPeer): boolean {
    return this.step < (this.stalled.get(from.index * 16 + to.index) ?? 0);
  }

  stall(from: SimPeer, to: SimPeer, steps: number): void {
    this.stalled.set(from.index * 16 + to.index, this.step + steps);
  }
}
