/**
 * Cuts a link on purpose: messages of one direction vanish without a word, as on a network that drops packets. Sockets
 * stay open, so only silence tells, as it must. For tests, and for peers started with --fault-links.
 *
 * What vanished is not sent again by the link, as TCP would. So a link that lost something ends when the cut does, and
 * the next one begins with a hello, as after any loss.
 */
import type { PeerName } from "../../protocol/words.ts";

/** `in`: what it sends us vanishes; `out`: what we send it. */
export type FaultDirection = "in" | "out" | "both";

export class LinkFaults {
  readonly #cuts = new Map<PeerName, FaultDirection>();
  /** Called after every change, with the peer it is about. One listener: whoever has the links. */
  onChange: ((peer: PeerName) => void) | undefined;

  /** Besides what is cut already. */
  cut(peer: PeerName, direction: FaultDirection): void {
    const before = this.#cuts.get(peer);
    this.#cuts.set(peer, before === undefined || before === direction ? direction : "both");
    this.onChange?.(peer);
  }

  heal(peer: PeerName, direction: FaultDirection = "both"): void {
    const before = this.#cuts.get(peer);
    if (before === undefined) return;
    if (direction === "both" || before === direction) this.#cuts.delete(peer);
    else if (before === "both") this.#cuts.set(peer, direction === "in" ? "out" : "in");
    this.onChange?.(peer);
  }

  cutOf(peer: PeerName): FaultDirection | undefined {
    return this.#cuts.get(peer);
  }

  drops(peer: PeerName, direction: "in" | "out"): boolean {
    const cut = this.#cuts.get(peer);
    return cut !== undefined && (cut === "both" || cut === direction);
  }
}
