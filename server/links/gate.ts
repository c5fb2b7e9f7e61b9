/**
 * How many strangers may stand at the door: sockets that have not proved anything yet, in all and per address, and
 * addresses that failed to prove something too often. It keeps a flood of bad handshakes from costing memory, signatures
 * or log lines; it is no wall against guessing, which the length of a secret is.
 *
 * Peers behind one address share its fate. So an address may fail a few times before it waits, waits at most two
 * seconds, and is forgiven by the first success.
 */
import { Backoff } from "./backoff.ts";

export interface GateOptions {
  readonly unauthenticatedMax: number;
  readonly unauthenticatedPerAddressMax: number;
  readonly failuresFree: number;
  readonly addressesMax: number;
  readonly backoffBaseMs: number;
  readonly backoffCapMs: number;
}

interface Failures {
  count: number;
  readonly backoff: Backoff;
  untilMs: number;
}

export class Gate {
  readonly #options: GateOptions;
  readonly #waiting = new Map<string, number>();
  readonly #failures = new Map<string, Failures>();
  #waitingAll = 0;

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /** Sockets between enter() and leave(). */
  get waiting(): number {
    return this.#waitingAll;
  }

  /** `enter` only after `undefined`; the status is what HTTP says to the one refused. */
  refusal(address: string, nowMs: number): { readonly status: 429 | 503; readonly message: string } | undefined {
    const failures = this.#failures.get(address);
    if (failures !== undefined && nowMs < failures.untilMs) {
      return { status: 429, message: "too many failed handshakes from this address" };
    }
    const waitingHere = this.#waiting.get(address) ?? 0;
    if (
      this.#waitingAll >= this.#options.unauthenticatedMax ||
      waitingHere >= this.#options.unauthenticatedPerAddressMax
    ) {
      return { status: 503, message: "too many connections wait to authenticate" };
    }
    return undefined;
  }

  enter(address: string): void {
    this.#waitingAll += 1;
    this.#waiting.set(address, (this.#waiting.get(address) ?? 0) + 1);
  }

  /** Authenticated or gone; once per enter(). */
  leave(address: string): void {
    this.#waitingAll -= 1;
    const waitingHere = (this.#waiting.get(address) ?? 0) - 1;
    if (waitingHere > 0) this.#waiting.set(address, waitingHere);
    else this.#waiting.delete(address);
  }

  failed(address: string, nowMs: number): void {
    let failures = this.#failures.get(address);
    if (failures === undefined) {
      // The full wait, without jitter: who knocks here has no claim to an early turn.
      const { backoffBaseMs: baseMs, backoffCapMs: capMs } = this.#options;
      failures = { count: 0, untilMs: 0, backoff: new Backoff({ baseMs, capMs, random: () => 1 }) };
      this.#failures.set(address, failures);
      for (const oldest of this.#failures.keys()) {
        if (this.#failures.size <= this.#options.addressesMax) break;
        this.#failures.delete(oldest);
      }
    }
    failures.count += 1;
    if (failures.count > this.#options.failuresFree) failures.untilMs = nowMs + failures.backoff.nextMs();
  }

  succeeded(address: string): void {
    this.#failures.delete(address);
  }
}
