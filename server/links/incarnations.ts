/**
 * Which run of each peer is the newest one known, and whether two live processes claim one name.
 *
 * A restart shows as a greater incarnation, and the smaller one is never heard again. So when a smaller one does speak
 * while the greater is alive, there are two of them; then neither is let in until one has been quiet for a while. A
 * smaller one that speaks while the greater is silent is a restart with a lost disk and a slow clock: it is told the
 * newest known, so that it can take a greater one.
 *
 * Only authenticated claims come here. Times are monotonic milliseconds.
 */
import type { RefusalCode } from "../../protocol/messages.ts";
import type { Incarnation, PeerName } from "../../protocol/words.ts";

export interface Refusal {
  readonly code: RefusalCode;
  /** Printable ASCII. */
  readonly message: string;
  readonly newest?: Incarnation;
}

export interface IncarnationsOptions {
  /** Heard within this time: alive. At least the time after which a silent link is closed. */
  readonly aliveMs: number;
  /** For so long after the last sign of two claimants, none is let in. Longer than a dialer's longest wait. */
  readonly disputeMs: number;
}

interface Known {
  newest: Incarnation;
  /** When the newest was heard directly; undefined when only others told of it, or when it left. */
  aliveAtMs: number | undefined;
  disputedAtMs: number | undefined;
}

export class Incarnations {
  readonly #options: IncarnationsOptions;
  readonly #known = new Map<PeerName, Known>();

  constructor(options: IncarnationsOptions) {
    this.#options = options;
  }

  newest(name: PeerName): Incarnation | undefined {
    return this.#known.get(name)?.newest;
  }

  /** Hearsay, or our own. True when it is newer than all known. */
  note(name: PeerName, incarnation: Incarnation): boolean {
    const known = this.#known.get(name);
    if (known === undefined) {
      this.#known.set(name, { newest: incarnation, aliveAtMs: undefined, disputedAtMs: undefined });
      return true;
    }
    if (incarnation <= known.newest) return false;
    known.newest = incarnation;
    known.aliveAtMs = undefined;
    return true;
  }

  /** An authenticated process says that it is this one: undefined lets it in. */
  claim(name: PeerName, incarnation: Incarnation, nowMs: number): Refusal | undefined {
    this.note(name, incarnation);
    const known = this.#known.get(name);
    if (known === undefined) return undefined;
    if (incarnation === known.newest) {
      known.aliveAtMs = nowMs;
      return this.#isDisputed(known, nowMs) ? nameTaken(name, incarnation) : undefined;
    }
    if (known.aliveAtMs !== undefined && nowMs - known.aliveAtMs <= this.#options.aliveMs) {
      known.disputedAtMs = nowMs;
      return nameTaken(name, incarnation);
    }
    const message = `a newer run of ${name} is known (${known.newest}); ${incarnation} must take a greater incarnation`;
    return { code: "STALE_INCARNATION", message, newest: known.newest };
  }

  /** Something came from it just now. */
  heard(name: PeerName, incarnation: Incarnation, nowMs: number): void {
    const known = this.#known.get(name);
    if (known?.newest === incarnation) known.aliveAtMs = nowMs;
  }

  /** Its process closed the link: an older run that speaks now is no second claimant. */
  left(name: PeerName, incarnation: Incarnation): void {
    const known = this.#known.get(name);
    if (known?.newest === incarnation) known.aliveAtMs = undefined;
  }

  #isDisputed(known: Known, nowMs: number): boolean {
    return known.disputedAtMs !== undefined && nowMs - known.disputedAtMs <= this.#options.disputeMs;
  }
}

const nameTaken = (name: PeerName, incarnation: Incarnation): Refusal => ({
  code: "NAME_TAKEN",
  message: `two live processes claim the name ${name} (one is ${incarnation}): stop one of them`,
});
