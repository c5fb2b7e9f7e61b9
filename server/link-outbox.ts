/**
 * Messages on their way to the links: frames of turns that follow one another closely go as one message.
 *
 * With one command per turn every turn would cost a system call per link here and a wake-up at each receiver, which on a
 * busy machine is more than the commands themselves. So a frame that follows the last send within `coalesceMs` is held
 * until a later turn, or a timer of 1 ms; a first frame after quiet goes at once. Order per link is kept: any other message first lets go what is held.
 */
import { performance } from "node:perf_hooks";
import { batchesOf } from "../protocol/bytes.ts";
import { framesMessageBytes } from "../protocol/limits.ts";
import { framesKind } from "../protocol/link-messages.ts";

export interface OutboxLink {
  send(message: Uint8Array): void;
}

/** More: fewer, larger sends. Less: less lag. */
const coalesceMs = 0.5;

interface Held {
  readonly link: OutboxLink;
  readonly frames: Uint8Array[];
  bytes: number;
}

interface Joined {
  readonly frames: readonly Uint8Array[];
  readonly messages: readonly Uint8Array[];
}

/** Each and every one: links that were blocked for a while hold other frames with the same end. */
const sameFrames = (a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean =>
  a.length === b.length && a.every((frame, index) => frame === b[index]);

export class LinkOutbox {
  readonly #held = new Map<number, Held>();
  #lastSendMs = 0;
  #heldBytes = 0;
  #timer: NodeJS.Timeout | undefined;

  add(id: number, link: OutboxLink): void {
    this.#held.set(id, { link, frames: [], bytes: 0 });
  }

  remove(id: number): void {
    this.#held.delete(id);
  }

  send(id: number, message: Uint8Array): void {
    const held = this.#held.get(id);
    if (held === undefined) return;
    if (message[0] === framesKind) {
      held.frames.push(message);
      held.bytes += message.length;
      this.#heldBytes += message.length;
      return;
    }
    this.#letGo(held, []);
    held.link.send(message);
  }

  /** At the end of a turn: sends what is held unless the last send was just now. */
  endTurn(): void {
    if (this.#heldBytes === 0) return;
    const nowMs = performance.now();
    if (nowMs - this.#lastSendMs >= coalesceMs || this.#heldBytes >= framesMessageBytes) {
      this.flush();
    } else {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.flush();
      }, 1);
    }
  }

  flush(): void {
    if (this.#heldBytes === 0) return;
    // Live links hold the same frames: joined once, sent to all.
    const joined: Joined[] = [];
    for (const held of this.#held.values()) this.#letGo(held, joined);
    this.#heldBytes = 0;
    this.#lastSendMs = performance.now();
  }

  #letGo(held: Held, joined: Joined[]): void {
    const { frames } = held;
    const [first] = frames;
    if (first === undefined) return;
    if (frames.length === 1) {
      held.link.send(first);
    } else {
      let known = joined.find((other) => sameFrames(other.frames, frames));
      if (known === undefined) {
        known = { frames: [...frames], messages: batchesOf(frames, framesMessageBytes).map(joinFrames) };
        joined.push(known);
      }
      for (const message of known.messages) held.link.send(message);
    }
    this.#heldBytes -= held.bytes;
    frames.length = 0;
    held.bytes = 0;
  }

  close(): void {
    this.flush();
    clearTimeout(this.#timer);
  }
}

/** One message of all the frames: each brings its own kind byte, and one is enough. */
const joinFrames = (messages: readonly Uint8Array[]): Uint8Array => {
  const [first] = messages;
  if (first !== undefined && messages.length === 1) return first;
  const bytes = messages.reduce((sum, message) => sum + message.length, 0);
  const out = Buffer.allocUnsafeSlow(bytes - messages.length + 1);
  out[0] = framesKind;
  let at = 1;
  for (const message of messages) {
    out.set(message.subarray(1), at);
    at += message.length - 1;
  }
  return out;
};
