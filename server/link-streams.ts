/**
 * The replica's streams over links: messages of links go into it, and what it wants of links is done, be it to send, to
 * close, to read the log for one that lacks it, or to scan the map for a transfer.
 *
 * Two things are never done: to push more into a link whose queue is above the high-water mark (the replica is told, and
 * leaves it where it stands until it is writable), and to scan more than a slice in a round of the event loop.
 */
import { DecodeFault } from "../protocol/bytes.ts";
import { linkQueueHighBytes, linkTurnMs } from "../protocol/limits.ts";
import { publishedKind } from "../protocol/published.ts";
import { registersKind } from "../protocol/register-messages.ts";
import type { PeerName } from "../protocol/words.ts";
import { LinkOutbox } from "./link-outbox.ts";
import type { Link, LinkEvents } from "./links/index.ts";
import type { Logger } from "./logger.ts";
import type { PubSubHub } from "./pubsub/hub.ts";
import { PublishRelay } from "./pubsub/relay.ts";
import type { Ready, Replica } from "./replica/index.ts";
import type { SliceGate } from "./slice-gate.ts";
import { type Log, LogTrimmed } from "./storage/storage.ts";
import type { StrongKeys } from "./strong/strong-keys.ts";
import type { TurnLoop } from "./turn-loop.ts";

/** A transfer takes at most about a third of the loop: slices of some 0.7 ms, with this pause between. 25 MB/s. */
const scanSliceBytes = 64 * 1024;
const scanPauseMs = 2;

export interface LinkStreamsParts {
  readonly replica: Replica;
  readonly loop: TurnLoop;
  readonly log: Log;
  readonly gate: SliceGate;
  readonly pubSub: PubSubHub;
  readonly strong: StrongKeys;
  readonly logger: Logger;
  /** The log cannot be read, or a bug: the peer stops. */
  readonly onFailure: (error: unknown) => void;
}

export class LinkStreams implements LinkEvents {
  readonly #parts: LinkStreamsParts;
  readonly #linksById = new Map<number, Link>();
  readonly #linksByPeer = new Map<PeerName, Link>();
  readonly #outbox = new LinkOutbox();
  readonly #relay: PublishRelay;
  /** Links whose queue is above the high-water mark. */
  readonly #full = new Set<number>();
  #isScanScheduled = false;
  #scanSlices = 0;
  #isStopping = false;

  constructor(parts: LinkStreamsParts) {
    this.#parts = parts;
    const { pubSub } = parts;
    this.#relay = new PublishRelay({
      links: () => this.#linksById.values(),
      send: (link, message) => this.#outbox.send(link, message),
      deliver: (channel, message) => pubSub.deliver(channel, message),
    });
    pubSub.onPublish = (channel, message) => this.#relay.add(channel, message);
  }

  /** Published messages that a link was not sent, see PublishRelay. */
  get publishMissed(): number {
    return this.#relay.missed;
  }

  /** The peer stops: no scan goes on, and links that end are no news. Frames still leave, until close(). */
  stop(): void {
    this.#isStopping = true;
  }

  /** Lets go what is held back. */
  close(): void {
    this.#outbox.close();
  }

  /** Of strong keys: in no order with frames, so past the outbox. Dropped where there is no link. */
  sendRegisters(to: PeerName, message: Uint8Array): void {
    this.#linksByPeer.get(to)?.send(message);
  }

  // ---- what the replica wants -----------------------------------------------------------------------------------------

  /** Behind the append. */
  onReady(ready: Ready): void {
    for (const { link, bytes } of ready.send) this.#outbox.send(link, bytes);
    // Behind the turn's frames.
    this.#relay.flush();
    this.#outbox.endTurn();
    for (const { link, reason } of ready.close) this.#linksById.get(link)?.close(reason);
    for (const { link, from, bytesMax } of ready.reads) this.#readLog(link, from, bytesMax);
    if (ready.send.length > 0) this.#watchQueues();
    this.scan();
  }

  /** A link whose queue is above the high-water mark is left where it stands; onLinkWritable goes on. */
  #watchQueues(): void {
    for (const link of this.#linksById.values()) {
      if (link.queuedBytes > linkQueueHighBytes && !this.#full.has(link.id)) {
        this.#full.add(link.id);
        this.#parts.replica.linkBlocked(link.id, true);
      }
    }
  }

  #readLog(linkId: number, from: number, bytesMax: number): void {
    this.#parts.log.read(from, bytesMax).then(
      (records) => this.#onLogRead(linkId, records),
      (error: unknown) => {
        if (error instanceof LogTrimmed) this.#onLogRead(linkId, undefined);
        else if (!this.#isStopping) this.#parts.onFailure(error);
      },
    );
  }

  #onLogRead(linkId: number, records: Parameters<Replica["logRead"]>[1]): void {
    try {
      this.#parts.loop.begin();
      this.#parts.replica.logRead(linkId, records);
    } catch (error) {
      this.#parts.onFailure(error);
    }
  }

  /** Scans for transfers, where any are wanted: a slice at a time, of one link after the other, clients between. */
  scan(): void {
    if (this.#isScanScheduled || this.#isStopping || this.#parts.replica.scanning().length === 0) return;
    this.#isScanScheduled = true;
    setTimeout(() => this.#scanSlice(0), scanPauseMs);
  }

  #scanSlice(refusals: number): void {
    const { gate, loop, replica, onFailure } = this.#parts;
    if (!gate.tryTake(refusals)) {
      setImmediate(() => this.#scanSlice(refusals + 1));
      return;
    }
    this.#isScanScheduled = false;
    try {
      loop.begin();
      const links = replica.scanning();
      const link = links[this.#scanSlices++ % links.length];
      if (link !== undefined) replica.scanSlice(link, scanSliceBytes);
      this.scan();
    } catch (error) {
      onFailure(error);
    }
  }

  // ---- what links tell ------------------------------------------------------------------------------------------------

  onLinkUp(link: Link): void {
    const { logger, loop, replica, strong } = this.#parts;
    this.#linksById.set(link.id, link);
    this.#linksByPeer.set(link.peer, link);
    this.#outbox.add(link.id, link);
    logger.info({ address: link.remoteAddress, incarnation: link.incarnation }, `link to ${link.peer} up`);
    loop.begin();
    replica.linkUp(link.id, link.peer, link.incarnation);
    strong.linkUp(link.peer);
  }

  onLinkMessage(link: Link, message: Uint8Array): void {
    const { logger, loop, replica, strong, onFailure } = this.#parts;
    try {
      loop.begin();
      if (message[0] === registersKind) strong.receive(link.peer, message);
      else if (message[0] === publishedKind) this.#relay.receive(message);
      else replica.receive(link.id, message);
      if (loop.turnMs > linkTurnMs) link.rest();
    } catch (error) {
      if (!(error instanceof DecodeFault)) return onFailure(error);
      logger.error({ peer: link.peer }, `a message of ${link.peer} makes no sense: ${error.message}`);
      link.close(`bad message: ${error.message}`);
    }
  }

  onLinkDown(link: Link, reason: string): void {
    const { logger, loop, replica, strong } = this.#parts;
    this.#linksById.delete(link.id);
    if (this.#linksByPeer.get(link.peer) === link) {
      this.#linksByPeer.delete(link.peer);
      strong.linkDown(link.peer);
    }
    this.#outbox.remove(link.id);
    this.#full.delete(link.id);
    loop.begin();
    replica.linkDown(link.id);
    if (!this.#isStopping) logger.warn(`link to ${link.peer} down: ${reason}`);
  }

  onLinkWritable(link: Link): void {
    this.#full.delete(link.id);
    this.#parts.loop.begin();
    this.#parts.replica.linkBlocked(link.id, false);
  }

  onLinkRefused(peer: string, code: string, message: string): void {
    this.#parts.logger.warn({ code }, `link with ${peer} refused: ${message}`);
  }
}
