/**
 * The run of a peer and the links made in its name. A run is one incarnation: durable before anything else is done, told in
 * every handshake. When others know a newer run of this peer (its disk was lost, its clock is behind), the links are closed
 * and another run begins, above that one; but only while nothing was written, else the peer must end.
 */
import { randomInt } from "node:crypto";
import { performance } from "node:perf_hooks";
import type { Incarnation, PeerName } from "../protocol/words.ts";
import type { PeerConfig } from "./config.ts";
import { type LinkEvents, type LinkFaults, type LinkTiming, PeerLinks } from "./links/index.ts";
import type { Logger } from "./logger.ts";
import type { Replica } from "./replica/index.ts";
import { hostPortToText } from "./settings.ts";
import type { TurnLoop } from "./turn-loop.ts";

export interface PeerRunParts {
  readonly config: PeerConfig;
  readonly replica: Replica;
  readonly faults: LinkFaults;
  readonly linkTiming: Partial<LinkTiming>;
  readonly logger: Logger;
  readonly wallMs: () => number;
  readonly onFailure: (error: unknown) => void;
  /** Another process runs, or ran, under this name, and both have written. */
  readonly onSuperseded: (reason: string) => void;
}

export class PeerRun {
  readonly #parts: PeerRunParts;
  #links: PeerLinks | undefined;

  constructor(parts: PeerRunParts) {
    this.#parts = parts;
  }

  /** Undefined before they are opened, and while another run begins. */
  get links(): PeerLinks | undefined {
    return this.#links;
  }

  /** As above, for those who are asked only when there are links. */
  openedLinks(): PeerLinks {
    if (this.#links === undefined) throw new Error("links are asked for only once the peer is open");
    return this.#links;
  }

  /** The run is durable when it resolves. `above`: an incarnation known elsewhere, to be surpassed. */
  async begin(loop: TurnLoop, how: { readonly firstStart: boolean; readonly above?: Incarnation }): Promise<void> {
    const { config, replica, logger, wallMs } = this.#parts;
    const { firstStart, above } = how;
    replica.start({
      nowMs: wallMs(),
      elapsedMs: performance.now(),
      random: randomInt(36 ** 4)
        .toString(36)
        .padStart(4, "0"),
      above,
      bootstrap: config.bootstrap,
      firstStart,
      rolledBack: config.restored && above === undefined,
    });
    const incarnation = await loop.startRun();
    logger.info({ incarnation }, "run begins");
  }

  openLinks(loop: TurnLoop, events: LinkEvents): void {
    const { config, replica, faults, linkTiming } = this.#parts;
    this.#links = new PeerLinks({
      name: config.name,
      incarnation: replica.state.incarnation,
      clusterId: config.clusterId,
      strongPrefixes: config.strongPrefixes,
      peers: new Map(config.peers.map((peer) => [peer.name, hostPortToText(peer)])),
      secrets: config.secrets,
      events,
      faults,
      timing: linkTiming,
      onStaleIncarnation: (newest, from) => this.#onStaleIncarnation(loop, events, { newest, from }),
    });
    this.#links.open();
  }

  #onStaleIncarnation(
    loop: TurnLoop,
    events: LinkEvents,
    { newest, from }: { readonly newest: Incarnation; readonly from: PeerName },
  ): void {
    const { replica, logger, onFailure, onSuperseded } = this.#parts;
    const { state } = replica;
    if (state.lastSeq > 0) {
      onSuperseded(`${from} knows a newer run of ${state.name} (${newest}) than this one, which has already written`);
      return;
    }
    logger.warn({ newest, from }, "a newer run of this peer is known: beginning another, above it");
    const links = this.#links;
    this.#links = undefined;
    Promise.resolve(links?.close("a newer incarnation is taken"))
      .then(() => this.begin(loop, { firstStart: false, above: newest }))
      .then(() => this.openLinks(loop, events))
      .catch(onFailure);
  }

  /** What others told of newer runs: a connection of an older one is refused at its handshake. */
  tellLinksOfRuns(): void {
    const { config, replica } = this.#parts;
    const { peers, view } = replica.state.facts;
    peers.forEach((peer, index) => {
      const incarnation = view[index];
      if (peer !== config.name && incarnation) this.#links?.noteIncarnation(peer, incarnation);
    });
  }

  async closeLinks(): Promise<void> {
    await this.#links?.close();
  }
}
