/**
 * Which acceptors hold which ballot of a key: asked of all, answered with whatever came in time. Decides nothing, and is no
 * read: what it shows may be a value that was never chosen.
 */
import type { RegisterRequest, RegisterResponse } from "../../protocol/register-messages.ts";
import type { PeerName } from "../../protocol/words.ts";
import type { Ballot } from "./ballot.ts";

/** On its disk. `ballot`: the latest it accepted, counter 0 for none; undefined: it did not answer in time. */
export interface Holding {
  readonly peer: PeerName;
  readonly ballot: Ballot | undefined;
}

interface Trace {
  readonly deadlineMs: number;
  readonly holdings: Map<PeerName, Ballot>;
  readonly onAnswer: (holdings: readonly Holding[]) => void;
}

export class Traces {
  readonly #peers: readonly PeerName[];
  readonly #byRound = new Map<number, Trace>();

  constructor(peers: readonly PeerName[]) {
    this.#peers = peers;
  }

  begin(round: number, request: RegisterRequest, how: Omit<Trace, "holdings">, send: Send): void {
    this.#byRound.set(round, { ...how, holdings: new Map() });
    for (const peer of this.#peers) send(peer, request);
  }

  onResponse(from: PeerName, response: RegisterResponse): void {
    const trace = this.#byRound.get(response.round);
    if (trace === undefined || response.kind !== "state") return;
    trace.holdings.set(from, response.accepted);
    if (trace.holdings.size === this.#peers.length) this.#end(response.round, trace);
  }

  tick(nowMs: number): void {
    for (const [round, trace] of this.#byRound) if (trace.deadlineMs <= nowMs) this.#end(round, trace);
  }

  get wakeMs(): number {
    let wakeMs = Number.POSITIVE_INFINITY;
    for (const { deadlineMs } of this.#byRound.values()) wakeMs = Math.min(wakeMs, deadlineMs);
    return wakeMs;
  }

  #end(round: number, { holdings, onAnswer }: Trace): void {
    this.#byRound.delete(round);
    onAnswer(this.#peers.map((peer) => ({ peer, ballot: holdings.get(peer) })));
  }
}

type Send = (to: PeerName, request: RegisterRequest) => void;
