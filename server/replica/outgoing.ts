/**
 * What goes out on the links: catch-up from the log, transfer of the map when the log was trimmed, then each new frame.
 *
 * One cursor per link. Live streaming is only the case where the cursor is at the log's end: a link that takes no more is
 * left where it stands and goes on from the log later, so memory is bounded and nothing is lost. Own frames are pushed;
 * frames of others are sent only to a peer that asks (hello, fetch), which is how peers relay for one another.
 *
 * Transfer: the map is scanned in slices from vv0; then every frame applied since the scan began follows from the log, so
 * that what the cells already show is named by the vector at the end.
 */
import { batchesOf } from "../../protocol/bytes.ts";
import { parseFrame, type SealedFrame } from "../../protocol/frames.ts";
import { catchUpBatchBytes, framesMessageBytes, sliceBytes } from "../../protocol/limits.ts";
import { encodeLinkMessage, type LinkMessage, type WireVector } from "../../protocol/link-messages.ts";
import type { Lsn } from "../../protocol/words.ts";
import { CellBundleWriter } from "./cell-bundle.ts";
import type { CellMap, CellRef } from "./cell-map.ts";
import { CounterCell } from "./counter.ts";
import type { LinkState } from "./link-state.ts";
import { type LinkId, type ReplicaState, recordType } from "./state.ts";
import { at, covers, type ReadonlyVersionVector, setAt } from "./version-vector.ts";

export interface LogRead {
  readonly link: LinkId;
  readonly from: Lsn;
  readonly bytesMax: number;
}

export interface ReadRecord {
  readonly lsn: Lsn;
  readonly type: number;
  readonly bytes: Uint8Array;
}

export class OutgoingStreams {
  readonly #state: ReplicaState;
  readonly #links: ReadonlyMap<LinkId, LinkState>;
  reads: LogRead[] = [];
  #transfers = 0;
  /** Empty between slices. */
  readonly #bundle: CellBundleWriter;

  constructor(state: ReplicaState, links: ReadonlyMap<LinkId, LinkState>) {
    this.#state = state;
    this.#links = links;
    this.#bundle = new CellBundleWriter(state.origins);
    state.onSealed = (sealed, lsn, last) => this.#onSealed(sealed, lsn, last);
  }

  send(link: LinkState, message: LinkMessage): void {
    this.#state.send.push({ link: link.id, bytes: encodeLinkMessage(message) });
  }

  /** The same bytes to every live link: frames leave in parallel with the append; a new incarnation per start makes that safe. */
  #onSealed(sealed: SealedFrame, lsn: Lsn, last: number): void {
    const { self } = this.#state;
    for (const link of this.#links.values()) {
      if (link.out.mode !== "live") continue;
      if (link.blocked) {
        link.out = { mode: "log", cursor: lsn, announce: false, frames: 0, ops: 0 };
        continue;
      }
      this.#state.send.push({ link: link.id, bytes: sealed.message });
      setAt(link.known, self, last);
    }
  }

  /** Sends all that a peer which holds `have` lacks. */
  startStream(link: LinkState, have: ReadonlyVersionVector): void {
    const state = this.#state;
    if (link.out.mode === "scan" || link.out.mode === "transfer-log") return;
    state.seal();
    link.known = [...have];
    const from = state.logIndex.startFor(have);
    if (from !== undefined) {
      link.out = { mode: "log", cursor: from, announce: true, frames: 0, ops: 0 };
      this.#advance(link);
      return;
    }
    const full = !covers(have, state.floor);
    const number = ++this.#transfers;
    link.out = { mode: "scan", number, full, have: [...have], fromLsn: state.nextLsn, position: 0, cells: 0 };
    state.count(full ? "transfersFull" : "transfersIncremental");
    state.events.push({ type: "transfer-started", peer: link.peer, full, outgoing: true });
    const contexts: [ReturnType<typeof state.origins.id>, WireVector][] = [];
    for (let origin = 0; origin < state.contexts.length; origin++) {
      if (at(state.vv, origin) > 0) contexts.push([state.origins.id(origin), state.wire(state.contextOf(origin))]);
    }
    this.send(link, { kind: "transfer-begin", number, full, vv0: state.wire(state.vv), contexts });
  }

  /**
   * The receiver installs another's transfer first; it will fetch. It may speak of an earlier transfer than the one under
   * way, which it takes: stopped, that one would be waited for, and nothing fetched, for ever.
   */
  stopTransfer(link: LinkState, number: number): void {
    const { out } = link;
    if ((out.mode === "scan" || out.mode === "transfer-log") && out.number === number) link.out = { mode: "idle" };
  }

  setBlocked(link: LinkState, blocked: boolean): void {
    link.blocked = blocked;
    if (!blocked) this.#advance(link);
  }

  /** Links whose scan has more to give and whose socket takes it. */
  scanning(): LinkState[] {
    return [...this.#links.values()].filter((link) => link.out.mode === "scan" && !link.blocked);
  }

  /** One slice of a scan: at most about `bytesMax` bytes of cells. */
  scanSlice(link: LinkState, bytesMax = sliceBytes): void {
    const { out } = link;
    if (out.mode !== "scan" || link.blocked) return;
    const state = this.#state;
    state.seal();
    if (!out.full && !covers(out.have, state.floor)) {
      // Something the receiver does not know of was purged since the scan began, and perhaps before the scan came to it:
      // only a full transfer tells that it is gone. The new beginning replaces the old one over there.
      state.count("transfersBegunAnew");
      link.out = { mode: "idle" };
      return this.startStream(link, link.told);
    }
    const { map } = state;
    const bundle = this.#bundle;
    const next = map.walk(out.position, 4096, (ref) => {
      if (out.full || isNewTo(map, ref, out.have)) bundle.addAt(map, ref);
      return bundle.byteLength >= bytesMax;
    });
    if (bundle.count > 0) {
      out.cells += bundle.count;
      this.send(link, { kind: "transfer-cells", cells: bundle.take() });
    }
    if (next >= 0) {
      out.position = next;
      return;
    }
    link.out = { mode: "transfer-log", number: out.number, cursor: out.fromLsn, cells: out.cells };
    this.#advance(link);
  }

  /** Asks for more of the log, or ends the stage if the cursor stands at the log's end. */
  #advance(link: LinkState): void {
    const { out } = link;
    if ((out.mode !== "log" && out.mode !== "transfer-log") || link.blocked || link.reading) return;
    const state = this.#state;
    if (out.cursor < state.nextLsn) {
      const recent = state.recent.from(out.cursor);
      if (recent !== undefined) {
        // No wait: the stream takes all there is in one go, so a busy log cannot keep it from ever being live.
        this.logRead(link, recent);
        return;
      }
      link.reading = true;
      this.reads.push({ link: link.id, from: out.cursor, bytesMax: catchUpBatchBytes });
      return;
    }
    // An open frame would be sent live after this: the vector told here must not name it yet.
    state.seal();
    if (out.cursor < state.nextLsn) {
      this.#advance(link);
      return;
    }
    const vv = state.wire(state.vv);
    if (out.mode === "transfer-log") {
      this.send(link, {
        kind: "transfer-end",
        vvEnd: vv,
        horizonMs: state.map.horizonMs,
        floor: state.wire(state.floor),
        clock: state.clock.last,
      });
      link.known = [...state.vv];
      this.send(link, { kind: "caught-up", vv, gated: state.gated });
    } else if (out.announce) {
      this.send(link, { kind: "caught-up", vv, gated: state.gated });
      if (out.frames > 0) state.events.push({ type: "caught-up", peer: link.peer, frames: out.frames, ops: out.ops });
    }
    link.out = { mode: "live" };
  }

  /** The answer to a LogRead. Undefined: those records were trimmed meanwhile. */
  logRead(link: LinkState, records: readonly ReadRecord[] | undefined): void {
    link.reading = false;
    const { out } = link;
    if (out.mode !== "log" && out.mode !== "transfer-log") return;
    const state = this.#state;
    if (records === undefined) {
      // Too slow for the retention: what is left of the need is met by a transfer.
      link.out = { mode: "idle" };
      this.startStream(link, link.told);
      return;
    }
    if (records[0] !== undefined && records[0].lsn !== out.cursor) return this.#advance(link);
    const parts: Uint8Array[] = [];
    for (const record of records) {
      out.cursor = record.lsn + 1;
      if (record.type !== recordType.frame) continue;
      const frame = parseFrame(record.bytes);
      const origin = state.origins.number(frame.origin);
      if (out.mode === "log") {
        if (frame.last <= at(link.known, origin)) continue;
        out.frames++;
        out.ops += frame.count;
        setAt(link.known, origin, frame.last);
        state.count(origin === state.self ? "catchup" : "relayed");
      }
      parts.push(record.bytes);
    }
    const kind = out.mode === "log" ? "frames" : "transfer-frames";
    for (const batch of batchesOf(parts, framesMessageBytes)) this.send(link, { kind, frames: Buffer.concat(batch) });
    this.#advance(link);
  }

  /** Below this LSN no stream of ours reads any more. */
  pinnedLsn(): Lsn {
    let pinned = this.#state.nextLsn;
    for (const { out } of this.#links.values()) {
      if (out.mode === "log" || out.mode === "transfer-log") pinned = Math.min(pinned, out.cursor);
      if (out.mode === "scan") pinned = Math.min(pinned, out.fromLsn);
    }
    return pinned;
  }
}

/** Has the cell a dot, of its base or of a total, that the vector does not cover? */
const isNewTo = (map: CellMap, ref: CellRef, have: ReadonlyVersionVector): boolean => {
  // A plain cell is told from its numbers: what it holds lies in memory long unused.
  if (!map.isCounter(ref)) return map.seqAt(ref) > at(have, map.originAt(ref));
  if (map.baseAt(ref) !== undefined && map.seqAt(ref) > at(have, map.originAt(ref))) return true;
  const held = map.heldAt(ref);
  return held instanceof CounterCell && held.totals.some((total) => total.seq > at(have, total.origin));
};
