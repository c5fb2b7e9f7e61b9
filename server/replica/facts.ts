/**
 * Facts: what each peer says it holds on disk, and what therefore is stable.
 *
 * A fact is `{ peer, view, vv, clock }`: `vv` is the version vector of a finished log sync, `view` every peer's
 * incarnation as known when that sync began, `clock` a stamp no later write of that peer stays below. Facts ride on
 * heartbeats and are relayed. A fact *counts* at me while its view equals mine and my vector covers its vv. *Stable* is
 * the pointwise minimum of the counted facts over all peers. Why each clause is needed: models `no-view`, `ack-naive`,
 * `hb-volatile`, `no-relay` of ap_check.js each resurrect a key or stop purging without it.
 */
import { factsPerPeerMax } from "../../protocol/limits.ts";
import type { Incarnation, PeerName, Stamp } from "../../protocol/words.ts";
import { stampToMs } from "./hybrid-clock.ts";
import { covers, meet, type ReadonlyVersionVector, type VersionVector } from "./version-vector.ts";

export interface Fact {
  readonly peer: PeerName;
  readonly incarnation: Incarnation;
  readonly number: number;
  readonly view: readonly (Incarnation | "")[];
  readonly vv: ReadonlyVersionVector;
  readonly clock: Stamp;
}

const sameView = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((incarnation, index) => incarnation === b[index]);

export class FactBook {
  readonly peers: readonly PeerName[];
  /** The newest incarnation known of each peer, in the order of `peers`; "" before it was heard of. */
  readonly view: (Incarnation | "")[];
  readonly #newest: (Fact | undefined)[];
  /** Not yet counting, oldest first. The oldest is kept: replacing it for ever would starve the count. */
  readonly #pending: Fact[][];
  readonly #counted: (Fact | undefined)[];

  constructor(peers: readonly PeerName[]) {
    this.peers = peers;
    this.view = peers.map(() => "");
    this.#newest = peers.map(() => undefined);
    this.#pending = peers.map(() => []);
    this.#counted = peers.map(() => undefined);
  }

  indexOf(peer: PeerName): number {
    return this.peers.indexOf(peer);
  }

  /** True when this is news: a newer run of that peer exists. */
  learnIncarnation(index: number, incarnation: Incarnation | ""): boolean {
    const known = this.view[index];
    if (known === undefined || incarnation <= known) return false;
    this.view[index] = incarnation;
    return true;
  }

  /** False when an equal or newer fact of that peer was known. The caller has already learned the view's incarnations. */
  learn(fact: Fact): boolean {
    const index = this.indexOf(fact.peer);
    if (index < 0) return false;
    const newest = this.#newest[index];
    if (
      newest !== undefined &&
      (newest.incarnation > fact.incarnation ||
        (newest.incarnation === fact.incarnation && newest.number >= fact.number))
    ) {
      return false;
    }
    this.#newest[index] = fact;
    const pending = this.#pending[index] as Fact[];
    pending.push(fact);
    if (pending.length > factsPerPeerMax) pending.splice(1, 1);
    return true;
  }

  /** Promotes facts that count now that my vector is `vv`. */
  recount(vv: ReadonlyVersionVector): void {
    for (let index = 0; index < this.peers.length; index++) {
      const pending = this.#pending[index] as Fact[];
      for (let position = pending.length - 1; position >= 0; position--) {
        const fact = pending[position] as Fact;
        if (!covers(vv, fact.vv)) continue;
        if (sameView(fact.view, this.view)) this.#counted[index] = fact;
        pending.splice(0, position + 1);
        break;
      }
    }
  }

  counts(index: number): boolean {
    const fact = this.#counted[index];
    return fact !== undefined && sameView(fact.view, this.view);
  }

  /** Nothing is stable while any peer's fact does not count. */
  stable(vv: ReadonlyVersionVector): VersionVector {
    let stable: VersionVector = [...vv];
    for (let index = 0; index < this.peers.length; index++) {
      if (!this.counts(index)) return [];
      stable = meet(stable, (this.#counted[index] as Fact).vv);
    }
    return stable;
  }

  /** Unix ms that every peer's clock has passed, by their counted facts; 0 while one does not count. */
  stableMs(): number {
    let ms = Number.POSITIVE_INFINITY;
    for (let index = 0; index < this.peers.length; index++) {
      if (!this.counts(index)) return 0;
      ms = Math.min(ms, stampToMs((this.#counted[index] as Fact).clock));
    }
    return ms - 1;
  }

  /** The newest fact of each peer: what a heartbeat carries. */
  newest(): readonly Fact[] {
    return this.#newest.filter((fact) => fact !== undefined);
  }

  newestOf(index: number): Fact | undefined {
    return this.#newest[index];
  }
}
