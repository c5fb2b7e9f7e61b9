/**
 * Comparing two maps by digest, and mending them when equal vectors do not mean equal maps.
 *
 * Heartbeats carry the vector and the digest. At equal vectors and an equal expiry horizon the digests must be equal; two
 * mismatches in a row raise an alarm, and both sides then ask for the other's buckets, the keys of those that differ, and
 * the cells of the keys that differ. The same round without the last step answers DIFF.
 */
import { DecodeFault } from "../../protocol/bytes.ts";
import { diffKeysMax, sliceBytes } from "../../protocol/limits.ts";
import type { KeyLanes, LinkMessage } from "../../protocol/link-messages.ts";
import { CellBundleWriter, readCellBundle } from "./cell-bundle.ts";
import { bucketCount, bucketOf, digestText } from "./digest.ts";
import type { LinkState } from "./link-state.ts";
import { repairCell } from "./merge.ts";
import type { OutgoingStreams } from "./outgoing.ts";
import type { ReplicaState } from "./state.ts";
import { equal } from "./version-vector.ts";

export interface KeyDifference {
  readonly key: string;
  /** Digest of the cell here and there; "" where it is absent. */
  readonly here: string;
  readonly there: string;
}

export interface Comparison {
  readonly id: number;
  readonly identical: boolean;
  readonly differences: readonly KeyDifference[];
  readonly truncated: boolean;
}

interface Round {
  readonly link: LinkState;
  readonly repair: boolean;
  readonly differences: KeyDifference[];
  buckets: number[];
  truncated: boolean;
}

const mismatchesBeforeRepair = 2;
const bucketsPerRequest = 512;

export class Repairer {
  readonly #state: ReplicaState;
  readonly #out: OutgoingStreams;
  readonly #rounds = new Map<number, Round>();
  #lastId = 0;
  /** Finished comparisons that were asked for. */
  finished: Comparison[] = [];

  constructor(state: ReplicaState, out: OutgoingStreams) {
    this.#state = state;
    this.#out = out;
  }

  /** What a heartbeat says of the digest, judged against ours. */
  onDigest(
    link: LinkState,
    vv: readonly number[],
    digest: { horizonMs: number; first: number; second: number } | undefined,
  ): void {
    const state = this.#state;
    const { map } = state;
    link.digestsAgree = false;
    if (digest === undefined || !map.horizonSettled || digest.horizonMs !== map.horizonMs) return;
    if (!equal(state.sealedVv(), vv)) return;
    state.count("digestsCompared");
    if (digest.first === map.digest.root1 && digest.second === map.digest.root2) {
      link.digestMismatches = 0;
      link.digestsAgree = true;
      return;
    }
    link.digestMismatches++;
    if (link.digestMismatches !== mismatchesBeforeRepair) {
      if (link.digestMismatches > mismatchesBeforeRepair * 4) link.digestMismatches = 0;
      return;
    }
    state.count("digestMismatches");
    state.events.push({ type: "digest-mismatch", peer: link.peer });
    this.#start(link, true);
  }

  /** Asks `link` for a key-by-key comparison; the id turns up in `finished`. */
  compare(link: LinkState): number {
    return this.#start(link, false);
  }

  #start(link: LinkState, repair: boolean): number {
    const id = ++this.#lastId;
    this.#rounds.set(id, { link, repair, differences: [], buckets: [], truncated: false });
    this.#out.send(link, { kind: "digest-request", id });
    return id;
  }

  linkDown(link: LinkState): void {
    for (const [id, round] of this.#rounds) {
      if (round.link !== link) continue;
      this.#rounds.delete(id);
      this.finished.push({ id, identical: false, differences: [], truncated: true });
    }
  }

  onDigestRequest(link: LinkState, id: number): void {
    const state = this.#state;
    this.#settle();
    const { digest } = state.map;
    const sums = Buffer.allocUnsafeSlow(bucketCount * 8);
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      sums.writeUInt32LE(digest.first(bucket), bucket * 8);
      sums.writeUInt32LE(digest.second(bucket), bucket * 8 + 4);
    }
    this.#out.send(link, {
      kind: "digest-reply",
      id,
      vv: state.wire(state.sealedVv()),
      horizonMs: state.map.horizonMs,
      sums,
    });
  }

  onDigestReply(link: LinkState, message: LinkMessage & { kind: "digest-reply" }): void {
    const round = this.#rounds.get(message.id);
    if (round === undefined || round.link !== link) return;
    if (message.sums.length !== bucketCount * 8) throw new DecodeFault("a digest has 65,536 buckets");
    const sums = Buffer.from(message.sums.buffer, message.sums.byteOffset, message.sums.length);
    this.#settle();
    const { digest } = this.#state.map;
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      if (
        sums.readUInt32LE(bucket * 8) !== digest.first(bucket) ||
        sums.readUInt32LE(bucket * 8 + 4) !== digest.second(bucket)
      ) {
        round.buckets.push(bucket);
      }
    }
    this.#askKeys(message.id, round);
  }

  /** Else cells that have expired for both would be listed as different, until their turn has come here. */
  #settle(): void {
    this.#state.map.settleHorizon(Number.POSITIVE_INFINITY);
  }

  #askKeys(id: number, round: Round): void {
    if (round.buckets.length === 0 || round.differences.length >= diffKeysMax) {
      round.truncated ||= round.buckets.length > 0;
      this.#finish(id, round);
      return;
    }
    this.#out.send(round.link, { kind: "keys-request", id, buckets: round.buckets.slice(0, bucketsPerRequest) });
  }

  /** Live keys of the buckets asked for, by bucket. One pass over the map: rare, and bounded by the map. */
  #keysOf(buckets: readonly number[]): KeyLanes[] {
    const wanted = new Set(buckets);
    const keys: KeyLanes[] = [];
    const { map } = this.#state;
    map.walk(0, Number.POSITIVE_INFINITY, (ref) => {
      const key = map.keyAt(ref);
      const cellLanes = map.lanesAt(ref);
      if (cellLanes !== undefined && wanted.has(bucketOf(map.keyHash(key)))) keys.push({ key, ...cellLanes });
      return false;
    });
    return keys;
  }

  onKeysRequest(link: LinkState, id: number, buckets: readonly number[]): void {
    const all = this.#keysOf(buckets.slice(0, bucketsPerRequest));
    const keys: KeyLanes[] = [];
    let bytes = 0;
    for (const entry of all) {
      if (bytes > sliceBytes * 16) break;
      bytes += entry.key.length + 10;
      keys.push(entry);
    }
    this.#out.send(link, { kind: "keys-reply", id, keys, more: keys.length < all.length });
  }

  onKeysReply(link: LinkState, message: LinkMessage & { kind: "keys-reply" }): void {
    const round = this.#rounds.get(message.id);
    if (round === undefined || round.link !== link) return;
    const asked = round.buckets.splice(0, bucketsPerRequest);
    const theirs = new Map(message.keys.map((entry) => [entry.key, entry]));
    const mine = new Map(this.#keysOf(asked).map((entry) => [entry.key, entry]));
    for (const key of new Set([...mine.keys(), ...theirs.keys()])) {
      const here = mine.get(key);
      const there = theirs.get(key);
      if (here !== undefined && there !== undefined && here.first === there.first && here.second === there.second)
        continue;
      if (there === undefined && message.more) continue;
      round.differences.push({
        key,
        here: here === undefined ? "" : digestText(here.first, here.second),
        there: there === undefined ? "" : digestText(there.first, there.second),
      });
    }
    this.#askKeys(message.id, round);
  }

  #finish(id: number, round: Round): void {
    this.#rounds.delete(id);
    const differences = round.differences.slice(0, diffKeysMax);
    if (round.repair) {
      // Those that are not live there too: a tombstone there may be what is missing here.
      const keys = differences.map((difference) => difference.key);
      if (keys.length > 0) this.#out.send(round.link, { kind: "cells-request", keys });
    }
    this.finished.push({
      id,
      identical: differences.length === 0,
      differences,
      truncated: round.truncated || round.differences.length > diffKeysMax,
    });
  }

  onCellsRequest(link: LinkState, keys: readonly string[]): void {
    const { map, origins } = this.#state;
    const bundle = new CellBundleWriter(origins);
    for (const key of keys) {
      const ref = map.locate(key);
      if (ref >= 0) bundle.add(key, map.cellAt(ref));
      if (bundle.byteLength > sliceBytes) this.#out.send(link, { kind: "repair-cells", cells: bundle.take() });
    }
    if (bundle.count > 0) this.#out.send(link, { kind: "repair-cells", cells: bundle.take() });
  }

  onRepairCells(link: LinkState, cells: Uint8Array): void {
    const state = this.#state;
    state.seal();
    let keys = 0;
    readCellBundle(cells, state.origins, (key, cell) => {
      if (repairCell(state, key, cell)) keys++;
    });
    if (keys > 0) state.leaps++;
    link.digestMismatches = 0;
    state.events.push({ type: "repaired", peer: link.peer, keys });
  }
}
