/**
 * Cuts a link for tests: messages of one direction vanish without a word, as on a
 * network that drops packets. Sockets stay open, so only silence tells, as it must.
 */
import type { PeerName } from "../../protocol/words.ts";

export type FaultDirection = "in" | "out" | "both";

export class LinkFaults {
  readonly #cuts = new Map<PeerName, FaultDirection>();

  /** Replaces an earlier cut of the same peer. `in`: what it sends us vanishes; `out`: what we send it. */
  cut(peer: PeerName, direction: FaultDirection): void {
    this.#cuts.set(peer, direction);
  }

  heal(peer: PeerName): void {
    this.#cuts.delete(peer);
  }

  healAll(): void {
    this.#cuts.clear();
  }

  cutOf(peer: PeerName): FaultDirection | undefined {
    return this.#cuts.get(peer);
  }

  drops(peer: PeerName, direction: "in" | "out"): boolean {
    const cut = this.#cuts.get(peer);
    return cut !== undefined && (cut === "both" || cut === direction);
  }
}
