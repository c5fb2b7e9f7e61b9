/**
 * PUBLISH to the other peers: what was published in a turn goes to each link as one message, behind the turn's frames, so
 * who reacts to a message normally finds the writes that came before it.
 *
 * At most once: a link whose queue is full, or that is down, misses it, and the misses are counted. Replication comes
 * first; messages never wait in memory of ours.
 */
import { framesMessageBytes, linkQueueHighBytes } from "../../protocol/limits.ts";
import { decodePublished, encodePublished, type Published } from "../../protocol/published.ts";

export interface RelayLink {
  readonly id: number;
  readonly queuedBytes: number;
}

export interface RelayOptions {
  readonly links: () => Iterable<RelayLink>;
  readonly send: (link: number, message: Uint8Array) => void;
  readonly deliver: (channel: string, message: string) => void;
}

export class PublishRelay {
  readonly #options: RelayOptions;
  #waiting: Published[] = [];
  #waitingBytes = 0;
  /** Links that a batch was not sent on, summed up. */
  missed = 0;

  constructor(options: RelayOptions) {
    this.#options = options;
  }

  add(channel: string, message: string): void {
    this.#waiting.push({ channel, message });
    this.#waitingBytes += channel.length + message.length;
    if (this.#waitingBytes >= framesMessageBytes) this.flush();
  }

  /** At the end of a turn. */
  flush(): void {
    if (this.#waiting.length === 0) return;
    const bytes = encodePublished(this.#waiting);
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (const { id, queuedBytes } of this.#options.links()) {
      if (queuedBytes > linkQueueHighBytes) this.missed += 1;
      else this.#options.send(id, bytes);
    }
  }

  /** Throws DecodeFault. */
  receive(bytes: Uint8Array): void {
    for (const { channel, message } of decodePublished(bytes)) this.#options.deliver(channel, message);
  }
}
