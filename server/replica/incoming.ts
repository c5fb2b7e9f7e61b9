/**
 * What comes in on the links: frames in causal order, transfers, facts.
 *
 * A frame is applied when it is next of its origin and its context is covered. Gaps are never skipped. A frame that must
 * wait, waits in the bounded buffer of the link it came by and dies with it; a deliverable frame never passes through the
 * buffer, so a full buffer cannot block. Whoever sends a frame holds all it depends on: what waits too long, or is heard
 * of in heartbeats and does not come, is fetched from that sender.
 */
import { ByteReader, DecodeFault } from "../../protocol/bytes.ts";
import { checkFrameOps, type FrameHeader, readFrame } from "../../protocol/frames.ts";
import { waitingBytesMax, waitingFramesMax } from "../../protocol/limits.ts";
import type { LinkMessage } from "../../protocol/link-messages.ts";
import type { Incarnation, Lsn, Stamp } from "../../protocol/words.ts";
import { msToStamp, stampToMs } from "./hybrid-clock.ts";
import { install } from "./install.ts";
import { closeLink, type LinkState, type WaitingFrame } from "./link-state.ts";
import { applyFrame } from "./merge.ts";
import type { OutgoingStreams } from "./outgoing.ts";
import { Staging } from "./staging.ts";
import { type LinkId, type ReplicaState, recordType } from "./state.ts";
import { at, covers, isZero, setAt } from "./version-vector.ts";

/** A frame may wait this long for causes that are on their way by another link before its sender is asked. */
const waitBeforeFetchMs = 50;
/** What a heartbeat named may be this late before it is fetched. */
const heardBeforeFetchMs = 250;
/** A fetch without an answer is given up and made again. */
const fetchTimeoutMs = 10_000;
/** While gated, ask this often whether we have caught up. */
const gatedFetchMs = 1000;
/** Beyond the skew bound a stamp is let through by this much more: the sender warns itself before we stop it. */
const skewSlackMs = 3000;
const rememberedCrcs = 256;

export class IncomingStreams {
  readonly #state: ReplicaState;
  readonly #links: ReadonlyMap<LinkId, LinkState>;
  readonly #out: OutgoingStreams;
  readonly #waitingFramesMax: number;
  #transferNumber = 0;
  /** Where the gate opens once a sync has covered this LSN; 0: not opening. */
  gateLsn = 0;
  #gateWhy = "";
  #gatedFetchAtMs = 0;
  /** Origins whose stream is paused for a stamp too far ahead, and by how much. */
  readonly paused = new Map<number, number>();
  /** A running checkpoint has to begin anew. */
  onInstalled: () => void = () => {};
  /** Per origin, first seq to CRC of the newest frames: a dot with two contents must not pass for a duplicate. */
  readonly #crcs: Map<number, number>[] = [];

  constructor(state: ReplicaState, links: ReadonlyMap<LinkId, LinkState>, out: OutgoingStreams) {
    this.#state = state;
    this.#links = links;
    this.#out = out;
    this.#waitingFramesMax = state.options.waitingFramesMax ?? waitingFramesMax;
  }

  onHello(link: LinkState, message: LinkMessage & { kind: "hello" }): void {
    const state = this.#state;
    if (link.ready) throw new DecodeFault("a second hello on one link");
    if (message.incarnation !== link.incarnation)
      throw new DecodeFault("the hello's incarnation is not the handshake's");
    this.learnIncarnation(link.peerIndex, message.incarnation);
    this.#hear(message.clock);
    const have = state.vector(message.vv);
    if (this.#knowsMoreOfMe(have)) return;
    link.ready = true;
    link.theirGate = message.gated;
    link.theirEmpty = message.empty;
    link.told = have;
    this.#out.startStream(link, have);
    this.#openIfAllAreEmpty();
  }

  /** A peer that knows a higher seq of my current run than I made: my memory was put back (a VM restored while running). */
  #knowsMoreOfMe(vv: readonly number[]): boolean {
    const state = this.#state;
    if (at(vv, state.self) <= state.lastSeq) return false;
    state.fatal(
      `another peer holds seq ${at(vv, state.self)} of this very run, which has made only ${state.lastSeq}: this process was rolled back`,
    );
    return true;
  }

  /** A cluster is born when all its peers are empty. */
  #openIfAllAreEmpty(): void {
    const state = this.#state;
    if (!state.gated || this.gateLsn !== 0 || !isZero(state.sealedVv())) return;
    const answered = new Set<number>();
    for (const link of this.#links.values()) if (link.ready && link.theirEmpty) answered.add(link.peerIndex);
    if (answered.size === state.facts.peers.length - 1)
      this.openGate("every listed peer has answered and none has data");
  }

  /** Takes effect once the record is on disk. */
  openGate(why: string): void {
    const state = this.#state;
    state.seal();
    this.#gateWhy = why;
    this.gateLsn = state.appendRecord(recordType.gate, Uint8Array.of(0));
    state.gatedInLog = false;
    state.syncWanted = true;
  }

  onSynced(lsn: number): void {
    if (this.gateLsn === 0 || lsn <= this.gateLsn) return;
    this.gateLsn = 0;
    this.#state.gated = false;
    this.#state.events.push({ type: "gate-opened", why: this.#gateWhy });
  }

  learnIncarnation(peerIndex: number, incarnation: Incarnation | ""): void {
    const state = this.#state;
    if (peerIndex === state.selfIndex) return;
    if (!state.facts.learnIncarnation(peerIndex, incarnation)) return;
    state.count("viewChanges");
    // A newer run exists: the older one's link, and all that waits from it, is finished.
    for (const link of this.#links.values()) {
      if (link.peerIndex === peerIndex && link.incarnation < incarnation) {
        closeLink(state, link, "a newer run of that peer is known");
      }
    }
  }

  /** Merges a clock that was merely told, unless it is too far ahead or above the ceiling: nothing depends on it. */
  #hear(clock: Stamp): void {
    const state = this.#state;
    if (state.clock.canHear(clock) && clock <= this.#stampBound()) state.clock.hear(clock);
  }

  #stampBound(): Stamp {
    const state = this.#state;
    return msToStamp(state.nowMs + state.options.clockSkewMaxMs + skewSlackMs);
  }

  onHeartbeat(link: LinkState, message: LinkMessage & { kind: "heartbeat" }): void {
    const state = this.#state;
    link.theirGate = message.gated;
    const vv = state.vector(message.vv);
    if (this.#knowsMoreOfMe(vv)) return;
    link.told = vv;
    this.#hear(message.clock);
    for (const fact of message.facts) {
      fact.view.forEach((incarnation, index) => {
        this.learnIncarnation(index, incarnation);
      });
      const known = state.facts.learn({ ...fact, vv: state.vector(fact.vv) });
      if (known) this.#hear(fact.clock);
    }
    state.facts.recount(state.vv);
    for (const origin of vv.keys())
      if (at(vv, origin) > at(link.known, origin)) setAt(link.known, origin, at(vv, origin));
    if (covers(state.vv, link.heard)) {
      link.heard = vv;
      link.heardAtMs = state.elapsedMs;
    }
  }

  onFetch(link: LinkState, vv: readonly number[]): void {
    this.#state.count("fetches");
    link.told = [...vv];
    this.#out.startStream(link, vv);
  }

  onCaughtUp(link: LinkState, vv: readonly number[], gated: boolean): void {
    const state = this.#state;
    if (link.stagingEnd !== undefined) {
      link.caughtUpWaiting = { vv: [...vv], gated };
      return;
    }
    // A transfer without its end: the sender gave it up and took the log instead.
    link.staging = undefined;
    // While a stream is paused a fetch brings nothing new: it is then made only as often as one without an answer.
    if (this.paused.size === 0) link.fetchingSinceMs = 0;
    link.theirGate = gated;
    if (state.gated && this.gateLsn === 0 && !gated && covers(state.vv, vv))
      this.openGate(`caught up with ${link.peer}`);
  }

  // ---- frames -------------------------------------------------------------------------------------------------------

  onFrames(link: LinkState, bytes: Uint8Array): void {
    const input = new ByteReader(bytes);
    let applied = false;
    while (input.left > 0) if (this.#onFrame(link, readFrame(input))) applied = true;
    if (applied) this.drain();
  }

  #onFrame(link: LinkState, frame: FrameHeader): boolean {
    const state = this.#state;
    const origin = state.origins.number(frame.origin);
    const here = at(state.vv, origin);
    if (here >= frame.last) {
      this.#checkDuplicate(origin, frame);
      state.count("duplicates");
      return false;
    }
    if (here >= frame.first)
      throw new DecodeFault(`frame ${frame.first}..${frame.last} of ${frame.origin} overlaps ${here}`);
    if (origin === state.self) {
      state.fatal(`${link.peer} sent ops of this very run that it never made: two processes share one identity`);
      return false;
    }
    const waiting: WaitingFrame = { frame, origin, stampMax: checkFrameOps(frame), sinceMs: state.elapsedMs };
    setAt(link.known, origin, Math.max(at(link.known, origin), frame.last));
    if (this.#canApply(waiting)) {
      this.#apply(waiting);
      return true;
    }
    if (link.waiting.some((other) => other.origin === origin && other.frame.first === frame.first)) {
      state.count("duplicates");
      return false;
    }
    if (link.waiting.length >= this.#waitingFramesMax || link.waitingBytes + frame.bytes.length > waitingBytesMax) {
      state.count("bufferFull");
      return false;
    }
    link.waiting.push(waiting);
    link.waitingBytes += frame.bytes.length;
    state.count("waited");
    return false;
  }

  #checkDuplicate(origin: number, frame: FrameHeader): void {
    const crc = this.#crcs[origin]?.get(frame.first);
    if (crc !== undefined && crc !== frame.crc) {
      this.#state.fatal(`dot ${frame.origin}:${frame.first} has two contents: corruption or a cloned disk`);
    }
  }

  #rememberCrc(origin: number, frame: FrameHeader): void {
    while (this.#crcs.length <= origin) this.#crcs.push(new Map());
    const crcs = this.#crcs[origin] as Map<number, number>;
    crcs.set(frame.first, frame.crc);
    if (crcs.size > rememberedCrcs) crcs.delete(crcs.keys().next().value as number);
  }

  #canApply({ frame, origin, stampMax }: WaitingFrame): boolean {
    const state = this.#state;
    if (at(state.vv, origin) !== frame.first - 1) return false;
    for (const [other, seq] of frame.contextDelta) {
      const number = state.origins.find(other);
      if (number === undefined || at(state.vv, number) < seq) return false;
    }
    if (stampMax > this.#stampBound()) {
      const aheadMs = stampToMs(stampMax) - state.nowMs;
      if (!this.paused.has(origin)) state.events.push({ type: "stream-paused", origin: frame.origin, aheadMs });
      this.paused.set(origin, aheadMs);
      return false;
    }
    if (!state.clock.canHear(stampMax)) {
      state.ceilingWanted = Math.max(state.ceilingWanted, stampMax);
      return false;
    }
    return true;
  }

  #apply({ frame, origin, stampMax }: WaitingFrame): void {
    const state = this.#state;
    state.seal();
    const context = state.contextOf(origin);
    for (const [other, seq] of frame.contextDelta) setAt(context, state.origins.number(other), seq);
    state.clock.hear(stampMax);
    state.appendRecord(recordType.frame, frame.bytes);
    applyFrame(state, frame, origin, context);
    setAt(state.vv, origin, frame.last);
    this.#rememberCrc(origin, frame);
    if (this.paused.size > 0) this.paused.delete(origin);
    state.count("applied");
  }

  /** Applies what waited and can go now, on all links, until nothing more moves. */
  drain(): void {
    const state = this.#state;
    for (let again = true; again; ) {
      again = false;
      for (const link of this.#links.values()) {
        if (link.waiting.length === 0) continue;
        const still: WaitingFrame[] = [];
        for (const waiting of link.waiting) {
          if (at(state.vv, waiting.origin) >= waiting.frame.last) {
            link.waitingBytes -= waiting.frame.bytes.length;
          } else if (this.#canApply(waiting)) {
            this.#apply(waiting);
            link.waitingBytes -= waiting.frame.bytes.length;
            state.count("unbuffered");
            again = true;
          } else {
            still.push(waiting);
          }
        }
        link.waiting = still;
      }
    }
  }

  /** Time has passed, or the ceiling has risen: what was held for its stamp may go now. */
  retryHeld(): void {
    this.drain();
    for (const link of this.#links.values()) if (link.stagingEnd !== undefined) this.#installIfDue(link);
  }

  // ---- transfers ----------------------------------------------------------------------------------------------------

  #stagingElsewhere(link: LinkState): boolean {
    for (const other of this.#links.values()) if (other !== link && other.staging !== undefined) return true;
    return false;
  }

  /** Where the log has the beginning of the transfer being staged; 0 for none. */
  stagingLsn(): Lsn {
    for (const link of this.#links.values()) if (link.staging !== undefined) return link.staging.lsn;
    return 0;
  }

  onTransferBegin(link: LinkState, message: LinkMessage & { kind: "transfer-begin" }, bytes: Uint8Array): void {
    const state = this.#state;
    if (this.#stagingElsewhere(link)) {
      link.fetchLater = true;
      this.#out.send(link, { kind: "transfer-stop", number: message.number });
      return;
    }
    const transfer = ++this.#transferNumber;
    state.seal();
    const lsn = state.appendRecord(recordType.transferBegin, withNumber(transfer, bytes));
    link.staging = new Staging(state, transfer, message, lsn);
    // One that was whole and waited for its stamps makes room: its end must not install what has come of this one.
    link.stagingEnd = undefined;
    link.caughtUpWaiting = undefined;
    state.events.push({ type: "transfer-started", peer: link.peer, full: message.full, outgoing: false });
  }

  onTransferCells(link: LinkState, cells: Uint8Array, bytes: Uint8Array): void {
    const { staging } = link;
    if (staging === undefined) return;
    staging.addCells(cells);
    this.#state.seal();
    this.#state.appendRecord(recordType.transferCells, withNumber(staging.transfer, bytes));
  }

  onTransferFrames(link: LinkState, frames: Uint8Array, bytes: Uint8Array): void {
    const { staging } = link;
    if (staging === undefined) return;
    staging.addFrames(frames);
    this.#state.seal();
    this.#state.appendRecord(recordType.transferFrames, withNumber(staging.transfer, bytes));
  }

  onTransferEnd(link: LinkState, message: LinkMessage & { kind: "transfer-end" }, bytes: Uint8Array): void {
    if (link.staging === undefined) return;
    link.stagingEnd = { message, bytes, stampMax: link.staging.stampMax };
    this.#installIfDue(link);
  }

  /** Like a frame, a transfer waits while one of its stamps is above the durable ceiling or too far ahead of real time. */
  #installIfDue(link: LinkState): void {
    const state = this.#state;
    const { staging, stagingEnd } = link;
    if (staging === undefined || stagingEnd === undefined || stagingEnd.stampMax > this.#stampBound()) return;
    if (!state.clock.canHear(stagingEnd.stampMax)) {
      state.ceilingWanted = Math.max(state.ceilingWanted, stagingEnd.stampMax);
      return;
    }
    const { message, bytes } = stagingEnd;
    link.staging = undefined;
    link.stagingEnd = undefined;
    link.fetchingSinceMs = 0;
    state.seal();
    if (covers(state.vv, state.vector(message.vvEnd))) {
      state.count("transferOvertaken");
      this.#takeCaughtUp(link);
      return;
    }
    this.#hear(message.clock);
    let result: ReturnType<typeof install>;
    try {
      result = install(state, staging, message, () => {
        state.appendRecord(recordType.transferEnd, withNumber(staging.transfer, bytes));
      });
    } catch (error) {
      // Their fault, and nothing was changed: but it may be found long after the message came.
      if (!(error instanceof DecodeFault)) throw error;
      closeLink(state, link, `the transfer makes no sense: ${error.message}`);
      return;
    }
    this.onInstalled();
    state.events.push({ type: "transfer-installed", peer: link.peer, full: staging.full, ...result });
    // What we were sending lacks what was just installed; and the log has a gap here that no cursor may cross.
    for (const other of this.#links.values()) {
      const { out } = other;
      if (out.mode === "scan" || out.mode === "transfer-log" || (out.mode === "log" && out.cursor < state.nextLsn)) {
        closeLink(state, other, "a transfer was installed here: start anew");
      }
    }
    this.#takeCaughtUp(link);
    this.drain();
  }

  /** The caught-up that came behind a transfer which had to wait. */
  #takeCaughtUp(link: LinkState): void {
    const caughtUp = link.caughtUpWaiting;
    link.caughtUpWaiting = undefined;
    if (caughtUp !== undefined) this.onCaughtUp(link, caughtUp.vv, caughtUp.gated);
  }

  // ---- time ---------------------------------------------------------------------------------------------------------

  /** Fetches what does not come by itself. */
  tick(): void {
    const state = this.#state;
    this.retryHeld();
    const staging = [...this.#links.values()].some((link) => link.staging !== undefined);
    const gatedFetch = state.gated && state.elapsedMs - this.#gatedFetchAtMs >= gatedFetchMs;
    if (gatedFetch) this.#gatedFetchAtMs = state.elapsedMs;
    for (const link of this.#links.values()) {
      if (!link.ready || staging) continue;
      if (link.fetchingSinceMs > 0 && state.elapsedMs - link.fetchingSinceMs < fetchTimeoutMs) continue;
      const oldest = link.waiting[0];
      const waits = oldest !== undefined && state.elapsedMs - oldest.sinceMs >= waitBeforeFetchMs;
      const heard = !covers(state.vv, link.heard) && state.elapsedMs - link.heardAtMs >= heardBeforeFetchMs;
      if (!waits && !heard && !link.fetchLater && !gatedFetch) continue;
      link.fetchLater = false;
      link.fetchingSinceMs = Math.max(1, state.elapsedMs);
      this.#out.send(link, { kind: "fetch", vv: state.wire(state.sealedVv()) });
      state.count("pulls");
    }
  }
}

const withNumber = (transfer: number, bytes: Uint8Array): Buffer => {
  const out = Buffer.allocUnsafeSlow(4 + bytes.length);
  out.writeUInt32LE(transfer, 0);
  out.set(bytes, 4);
  return out;
};
