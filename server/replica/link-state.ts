/**
 * What one link carries: what we know of the other side, what we are still sending it, what of its frames waits here.
 *
 * Everything in here dies with the link. A new link starts afresh, since a peer restored from a backup may hold less than
 * it once confirmed, and a frame that waited may never get its cause by another way (mutant `keep-buffer`).
 */
import type { FrameHeader } from "../../protocol/frames.ts";
import type { LinkMessage } from "../../protocol/link-messages.ts";
import type { Incarnation, Lsn, PeerName, Stamp } from "../../protocol/words.ts";
import type { Staging } from "./staging.ts";
import type { LinkId, ReplicaState } from "./state.ts";
import type { ReadonlyVersionVector, VersionVector } from "./version-vector.ts";

/** What we send: nothing yet; the log from a cursor; a scan of the map; the log behind a scan; each new frame. */
export type Outgoing =
  | { readonly mode: "idle" }
  | { readonly mode: "log"; cursor: Lsn; announce: boolean; frames: number; ops: number }
  | {
      readonly mode: "scan";
      readonly number: number;
      readonly full: boolean;
      readonly have: ReadonlyVersionVector;
      readonly fromLsn: Lsn;
      position: number;
      cells: number;
    }
  | { readonly mode: "transfer-log"; readonly number: number; cursor: Lsn; cells: number }
  | { readonly mode: "live" };

export interface WaitingFrame {
  readonly frame: FrameHeader;
  readonly origin: number;
  readonly stampMax: Stamp;
  readonly sinceMs: number;
}

export interface LinkState {
  readonly id: LinkId;
  readonly peer: PeerName;
  readonly peerIndex: number;
  readonly incarnation: Incarnation;
  /** Their hello came. */
  ready: boolean;
  /** We have asked for its end: nothing of it counts any more, whatever the socket still brings. */
  closed: boolean;
  theirGate: boolean;
  theirEmpty: boolean;
  /** The socket takes no more for now. */
  blocked: boolean;
  /** A read of the log is under way. */
  reading: boolean;
  out: Outgoing;
  /** What they have, as told or sent. Replaced, never joined, by what they tell. */
  known: VersionVector;
  /** What they have applied, as last told: `known` counts what was sent too, which may wait there, or be dropped. */
  told: VersionVector;
  /** Their synced vector, as told on this link. */
  synced: VersionVector;
  waiting: WaitingFrame[];
  waitingBytes: number;
  staging: Staging | undefined;
  /** The transfer is complete and waits for the ceiling, or for time to catch up with its stamps. */
  stagingEnd:
    | { readonly message: LinkMessage & { kind: "transfer-end" }; readonly bytes: Uint8Array; readonly stampMax: Stamp }
    | undefined;
  /** A caught-up that came behind such a transfer. */
  caughtUpWaiting: { readonly vv: VersionVector; readonly gated: boolean } | undefined;
  /** Monotonic ms of a fetch not yet answered by caught-up; 0 for none. */
  fetchingSinceMs: number;
  /** Their vector in the heartbeat before this one: still above ours by now, it must be fetched. */
  heard: VersionVector;
  heardAtMs: number;
  /** Fetch as soon as nothing is being installed. */
  fetchLater: boolean;
  digestMismatches: number;
  /** The last comparison at equal vectors and horizons found equal digests, and nothing moved since. */
  digestsAgree: boolean;
  /** They asked to be told of our next finished sync. */
  wantsSynced: boolean;
}

export const newLinkState = (id: LinkId, peer: PeerName, peerIndex: number, incarnation: Incarnation): LinkState => ({
  id,
  peer,
  peerIndex,
  incarnation,
  ready: false,
  closed: false,
  theirGate: false,
  theirEmpty: false,
  blocked: false,
  reading: false,
  out: { mode: "idle" },
  known: [],
  told: [],
  synced: [],
  waiting: [],
  waitingBytes: 0,
  staging: undefined,
  stagingEnd: undefined,
  caughtUpWaiting: undefined,
  fetchingSinceMs: 0,
  heard: [],
  heardAtMs: 0,
  fetchLater: false,
  digestMismatches: 0,
  digestsAgree: false,
  wantsSynced: false,
});

/** Ends a link from our side: what waits on it and what it is being sent is finished now, not when the socket is. */
export const closeLink = (state: ReplicaState, link: LinkState, reason: string): void => {
  if (link.closed) return;
  link.closed = true;
  link.ready = false;
  link.out = { mode: "idle" };
  link.waiting = [];
  link.waitingBytes = 0;
  link.staging = undefined;
  link.stagingEnd = undefined;
  link.caughtUpWaiting = undefined;
  state.close.push({ link: link.id, reason });
};
