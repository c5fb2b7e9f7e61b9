/**
 * The seam between the links (sockets) and the peer (replication). A link is one authenticated WebSocket to one run of
 * another peer. Of two peers the one with the byte-wise smaller name dials, so there is one link per pair.
 */
import type { Incarnation, PeerName } from "../../protocol/words.ts";

export interface Link {
  /** Unique within this process. */
  readonly id: number;
  readonly peer: PeerName;
  readonly incarnation: Incarnation;
  readonly remoteAddress: string;
  /** Sends one binary message. FIFO. Never throws; a dead link swallows it. */
  send(message: Uint8Array): void;
  /** Bytes accepted by send() that the socket has not yet taken. */
  readonly queuedBytes: number;
  /** Reads no more in this turn of the event loop: who else waits there comes first. */
  rest(): void;
  close(reason: string): void;
  /** Smoothed, by ping on this link; undefined until measured. */
  readonly rttMs: number | undefined;
  /** Their wall clock minus ours, midpoint; undefined until measured. */
  readonly clockOffsetMs: number | undefined;
}

/** What the peer does with links. Calls for one link come in order: up, messages..., down. */
export interface LinkEvents {
  onLinkUp(link: Link): void;
  /** The bytes are the callee's to keep. Two calls for one link never overlap. */
  onLinkMessage(link: Link, message: Uint8Array): void;
  onLinkDown(link: Link, reason: string): void;
  /** queuedBytes fell below the low-water mark after having been above the high-water mark. */
  onLinkWritable(link: Link): void;
  /** Somebody else claims our own name with this incarnation, or an unknown cluster: for the log and STATUS. */
  onLinkRefused(peer: string, code: string, message: string): void;
}
