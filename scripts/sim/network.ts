/**
 * The simulated network: per link a FIFO queue in each direction, which dies with either side.
 *
 * A link has two ends, and each learns of everything in its own time: when the link is up, what was sent, that the other
 * end is gone. What a dead run had sent may still be read, much later. A queue that is long tells its sender to stop, as
 * a socket does.
 */
import { ByteReader } from "../../protocol/bytes.ts";
import { readFrame } from "../../protocol/frames.ts";
import { decodeLinkMessage, type WireVector } from "../../protocol/link-messages.ts";
import type { Incarnation } from "../../protocol/words.ts";
import type { SimPeer } from "./peer.ts";

export class End {
  readonly id: number;
  readonly owner: SimPeer;
  /** The owner's run. */
  readonly incarnation: Incarnation;
  /** Set right after construction. */
  other!: End;
  /** Sent by the other end, not yet read by this one. */
  inbox: Uint8Array[] = [];
  /** The replica was told that the link is up. */
  isUp = false;
  isDown = false;
  /** The other end is gone: once the inbox is read, so is this one. */
  isClosing = false;
  /** We were told that the other's inbox is full. */
  isBlocked = false;

  constructor(id: number, owner: SimPeer) {
    this.id = id;
    this.owner = owner;
    this.incarnation = owner.incarnation;
  }
}

const vectorText = (vv: WireVector): string => `[${vv.map(([origin, seq]) => `${origin}:${seq}`).join(" ")}]`;

const describeMessage = (bytes: Uint8Array): string => {
  const message = decodeLinkMessage(bytes);
  if (message.kind === "frames" || message.kind === "transfer-frames") {
    const input = new ByteReader(message.frames);
    const frames: string[] = [];
    while (input.left > 0) {
      const { origin, first, last } = readFrame(input);
      frames.push(`${origin}:${first}-${last}`);
    }
    return `${message.kind} ${frames.join(" ")}`;
  }
  if (message.kind === "transfer-begin")
    return `${message.kind} ${message.full ? "full " : ""}from ${vectorText(message.vv0)}`;
  if (message.kind === "transfer-end") return `${message.kind} at ${vectorText(message.vvEnd)}`;
  return "vv" in message ? `${message.kind} ${vectorText(message.vv)}` : message.kind;
};

export class Network {
  readonly #blockedAt: number;
  #lastId = 0;
  /** By peer index * 16 + other's index: this peer's end of the newest link to the other. */
  readonly #ends = new Map<number, End>();
  readonly #byId = new Map<number, End>();

  constructor(blockedAt: number) {
    this.#blockedAt = blockedAt;
  }

  end(owner: SimPeer, other: SimPeer): End | undefined {
    return this.#ends.get(owner.index * 16 + other.index);
  }

  byId(id: number): End | undefined {
    return this.#byId.get(id);
  }

  /** A new link; what is left of an older one goes first. One end, chosen by the caller, learns of it at once. */
  connect(a: SimPeer, b: SimPeer, firstIsA: boolean): void {
    for (const [owner, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const old = this.end(owner, other);
      if (old !== undefined) this.close(old);
    }
    const ends = [new End(++this.#lastId, a), new End(++this.#lastId, b)] as const;
    ends[0].other = ends[1];
    ends[1].other = ends[0];
    this.#ends.set(a.index * 16 + b.index, ends[0]);
    this.#ends.set(b.index * 16 + a.index, ends[1]);
    this.#byId.set(ends[0].id, ends[0]);
    this.#byId.set(ends[1].id, ends[1]);
    this.#up(firstIsA ? ends[0] : ends[1]);
  }

  #up(end: End): void {
    const { owner, other } = end;
    end.isUp = true;
    owner.world.say(() => `${owner.name} has a link to ${other.owner.name}`);
    owner.run((replica) => replica.linkUp(end.id, other.owner.name, other.incarnation));
  }

  send(id: number, bytes: Uint8Array): void {
    const end = this.#byId.get(id);
    if (end === undefined || end.isDown || end.other.isClosing) return;
    end.other.inbox.push(bytes);
    if (end.other.inbox.length >= this.#blockedAt && !end.isBlocked) {
      end.isBlocked = true;
      end.owner.replica?.linkBlocked(end.id, true);
      end.owner.world.cover("blocked");
    }
  }

  /** The next thing that `owner` learns from `from`. False: nothing there. */
  deliver(owner: SimPeer, from: SimPeer): boolean {
    const end = this.end(owner, from);
    if (end === undefined || end.isDown || owner.replica === undefined) return false;
    if (!end.isUp) {
      if (end.isClosing) {
        this.#forget(end);
        return true;
      }
      this.#up(end);
      return true;
    }
    const bytes = end.inbox.shift();
    if (bytes === undefined) {
      if (!end.isClosing) return false;
      this.close(end);
      return true;
    }
    if (end.isClosing) owner.world.cover("readAfterSenderLeft");
    owner.world.say(() => `${from.name} -> ${owner.name} ${describeMessage(bytes)}`);
    owner.receive(end, bytes);
    const sender = end.other;
    if (sender.isBlocked && end.inbox.length <= this.#blockedAt / 2 && !sender.isDown) {
      sender.isBlocked = false;
      sender.owner.run((replica) => replica.linkBlocked(sender.id, false));
    }
    return true;
  }

  /** This end goes down now; the other one learns of it when it has read what was sent. */
  close(end: End): void {
    if (end.isDown) return;
    end.owner.world.say(() => `${end.owner.name} loses its link to ${end.other.owner.name}`);
    end.other.isClosing = true;
    this.#forget(end);
    if (end.isUp) end.owner.run((replica) => replica.linkDown(end.id));
  }

  #forget(end: End): void {
    end.isDown = true;
    end.inbox = [];
    this.#byId.delete(end.id);
    const slot = end.owner.index * 16 + end.other.owner.index;
    if (this.#ends.get(slot) === end) this.#ends.delete(slot);
  }

  /** The owner's process died: nobody is told here. `keep`: how much of what it sent can still be read. */
  died(owner: SimPeer, peers: readonly SimPeer[], keep: (count: number) => number): void {
    for (const other of peers) {
      const end = this.end(owner, other);
      if (end === undefined) continue;
      end.other.isClosing = true;
      end.other.inbox.length = keep(end.other.inbox.length);
      this.#forget(end);
    }
  }

  /** Both directions break; each side may still read some of what was under way. */
  cut(a: SimPeer, b: SimPeer, keep: (count: number) => number): boolean {
    const end = this.end(a, b);
    if (end === undefined || end.isDown) return false;
    for (const side of [end, end.other]) {
      side.isClosing = true;
      side.inbox.length = keep(side.inbox.length);
    }
    return true;
  }
}
