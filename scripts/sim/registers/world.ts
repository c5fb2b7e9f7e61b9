/** One simulated cluster of strong keys: its peers, network, clients, history, and what was seen to happen. */
import type { PeerName } from "../../../protocol/words.ts";
import type { HistoryEntry } from "../../lincheck/history.ts";
import { Random } from "../random.ts";
import type { Coverage, WorldOptions } from "../world.ts";
import { Checks } from "./checks.ts";
import { SimClient } from "./clients.ts";
import { RegisterNetwork } from "./network.ts";
import { drawRegisterParams, type RegisterParams } from "./params.ts";
import { SimRegisterPeer } from "./peer.ts";

export class RegisterWorld {
  readonly random: Random;
  readonly params: RegisterParams;
  readonly names: readonly PeerName[];
  readonly peers: readonly SimRegisterPeer[];
  readonly network: RegisterNetwork;
  readonly clients: readonly SimClient[];
  readonly checks = new Checks();
  readonly history: HistoryEntry[] = [];
  readonly coverage: Coverage = {};
  readonly trace: ((line: string) => void) | undefined;
  nowMs = 0;
  step = 0;
  /** No more faults; everything that waits must come to an end. */
  healing = false;
  #ids = 0;
  #moments = 0;
  #later: (() => void)[] = [];

  constructor(options: WorldOptions) {
    this.trace = options.trace;
    this.random = new Random(Math.imul(options.seed, 0x9e3779b1));
    this.params = drawRegisterParams(options.seed, this.random, options.peers);
    this.names = ["a", "b", "c", "d", "e"].slice(0, this.params.peers) as PeerName[];
    this.network = new RegisterNetwork(this.random, this.params);
    this.peers = this.names.map((_, index) => new SimRegisterPeer(this, index));
    this.clients = [
      ...Array.from({ length: this.params.clients }, (_, index) => new SimClient(this, `c${index}-`, false)),
      ...Array.from({ length: this.params.lockClients }, (_, index) => new SimClient(this, `l${index}-`, true)),
    ];
    this.cover(`peers ${this.params.peers}`);
  }

  cover(name: string, by = 1): void {
    this.coverage[name] = (this.coverage[name] ?? 0) + by;
  }

  /** For --verbose. The words are made only if somebody reads them. */
  say(words: () => string): void {
    this.trace?.(`${String(this.step).padStart(5)} ${this.nowMs.toFixed(1).padStart(8)} ${words()}`);
  }

  nextId(): number {
    return ++this.#ids;
  }

  /** Real time, and no moment twice. */
  nowNs(): number {
    return Math.floor(this.nowMs * 1e6) + ++this.#moments;
  }

  /** Not within the call that asks for it. */
  later(what: () => void): void {
    this.#later.push(what);
  }

  runLater(): void {
    const due = this.#later;
    this.#later = [];
    for (const what of due) what();
  }

  /** Counters of a run that ends. */
  gather(peer: SimRegisterPeer): void {
    const { registers } = peer;
    if (registers === undefined) return;
    for (const [name, count] of Object.entries(registers.counts)) this.cover(name, count);
    if (registers.acceptor.refusedAbsurd > 0) this.cover("refusedAbsurd", registers.acceptor.refusedAbsurd);
  }
}
