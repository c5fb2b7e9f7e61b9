/**
 * The feed of one replica: each applied write that showed, once, in the order it was applied here, to whoever asks.
 *
 * A subscriber is live (it is handed what each turn appended) or reads the log, from its cursor to the log's end, where it
 * becomes live; like a link (server/replica/outgoing.ts). One that is full stops where it stands and reads the log
 * later, so nobody's slowness costs memory. Frames are decoded once per turn for all, and not at all without subscribers.
 *
 * A position names what a subscriber has seen by origin, so it means the same at every peer, and a reader may go on
 * elsewhere. Where history has a gap (the log was trimmed; a state transfer brought cells without their history) it is told
 * to start anew.
 */
import type { FrameHeader } from "../../protocol/frames.ts";
import { parseFrame } from "../../protocol/frames.ts";
import { feedBatchBytes } from "../../protocol/limits.ts";
import type { WireVector } from "../../protocol/link-messages.ts";
import { formatPosition } from "../../protocol/position.ts";
import type { Lsn } from "../../protocol/words.ts";
import { at, type Replica, recordType, setAt } from "../replica/index.ts";
import type { Log } from "../storage/storage.ts";
import { LogTrimmed } from "../storage/storage.ts";
import type { Change, Feed, FeedSubscriber, Subscription } from "./change.ts";
import { Expiries } from "./expiries.ts";
import { type Progress, takeFrame } from "./frame-changes.ts";

/** A subscriber that wants none of what happens is told the position this often. */
const progressIntervalMs = 1000;

interface FeedRecord {
  readonly lsn: Lsn;
  readonly type: number;
  readonly bytes: Uint8Array;
}

export interface ReplicaFeedOptions {
  readonly replica: Replica;
  readonly log: Log;
  readonly wallMs: () => number;
  readonly onFailure: (error: unknown) => void;
}

class Reader implements Subscription {
  readonly subscriber: FeedSubscriber;
  readonly #feed: ReplicaFeed;
  /** Everything below this record was handed out. */
  cursor: Lsn;
  /**
   * What it has seen, as long as that is not simply all up to the cursor: while it reads the log, or when it knows
   * writes that this peer has yet to get.
   */
  progress: Progress | undefined;
  live = false;
  lagging = false;
  cancelled = false;
  reading = false;
  /** The position it was last told. */
  told = "";
  resetWhy: string | undefined;

  constructor(feed: ReplicaFeed, subscriber: FeedSubscriber, cursor: Lsn) {
    this.#feed = feed;
    this.subscriber = subscriber;
    this.cursor = cursor;
  }

  cancel(): void {
    this.cancelled = true;
    this.#feed.remove(this);
  }

  resume(): void {
    this.#feed.advance(this);
  }
}

interface Waiter {
  readonly vector: WireVector;
  readonly finish: (reached: boolean) => void;
}

export class ReplicaFeed implements Feed {
  readonly #options: ReplicaFeedOptions;
  readonly #replica: Replica;
  readonly #readers = new Set<Reader>();
  readonly #waiters = new Set<Waiter>();
  /** What live readers have seen; up to date only while there are readers. */
  #progress: Progress = new Map();
  #expiries: Expiries | undefined;
  /**
   * All below this record is in the log, and what of history that is. The replica's own vector may be ahead of it, by ops
   * that a killed process would lose: whoever was told those would wait for them for ever.
   */
  #appended: { readonly lsn: Lsn; readonly vv: readonly number[]; text: string | undefined };
  #progressToldAtMs = 0;
  #closed = false;

  constructor(options: ReplicaFeedOptions) {
    this.#options = options;
    this.#replica = options.replica;
    const { state } = this.#replica;
    this.#appended = { lsn: state.nextLsn, vv: [...state.vv], text: undefined };
  }

  get subscriberCount(): number {
    return this.#readers.size;
  }

  // ---- what ports ask -------------------------------------------------------------------------------------------------

  subscribe(subscriber: FeedSubscriber, from?: WireVector): Subscription {
    const { state } = this.#replica;
    if (this.#readers.size === 0) {
      this.#progress = this.#inLog();
      this.#expiries = new Expiries(this.#replica, this.#options.wallMs());
    }
    const reader = new Reader(this, subscriber, this.#appended.lsn);
    this.#readers.add(reader);
    if (from === undefined) {
      reader.progress = this.#inLog();
    } else {
      reader.progress = new Map(from);
      const known: number[] = [];
      for (const [origin, seq] of from) {
        const number = state.origins.find(origin);
        if (number !== undefined) setAt(known, number, seq);
      }
      const start = state.logIndex.startFor(known);
      if (start === undefined) reader.resetWhy = "the log no longer reaches back so far";
      else reader.cursor = start;
    }
    setImmediate(() => this.advance(reader));
    return reader;
  }

  position(): string {
    this.#appended.text ??= formatPosition(this.#replica.state.wire(this.#appended.vv));
    return this.#appended.text;
  }

  reached(vector: WireVector, timeoutMs: number): Promise<boolean> {
    if (this.covers(vector)) return Promise.resolve(true);
    if (timeoutMs <= 0 || this.#closed) return Promise.resolve(false);
    return new Promise((resolve) => {
      const waiter: Waiter = {
        vector,
        finish: (reached) => {
          clearTimeout(timer);
          this.#waiters.delete(waiter);
          resolve(reached);
        },
      };
      const timer = setTimeout(() => waiter.finish(false), timeoutMs);
      this.#waiters.add(waiter);
    });
  }

  covers(vector: WireVector): boolean {
    const { state } = this.#replica;
    return vector.every(([origin, seq]) => {
      const number = state.origins.find(origin);
      return number !== undefined && at(state.vv, number) >= seq;
    });
  }

  #inLog(): Progress {
    return new Map(this.#replica.state.wire(this.#appended.vv));
  }

  // ---- what the peer tells --------------------------------------------------------------------------------------------

  /** Records of the turn, appended and applied: all that the replica has applied is in the log now. */
  onAppended(records: readonly FeedRecord[]): void {
    const { state } = this.#replica;
    this.#appended = { lsn: state.nextLsn, vv: [...state.vv], text: undefined };
    if (this.#readers.size > 0) this.#handOut(records);
    for (const waiter of this.#waiters) if (this.covers(waiter.vector)) waiter.finish(true);
  }

  #handOut(records: readonly FeedRecord[]): void {
    const live = [...this.#readers].filter((reader) => reader.live);
    for (const { lsn, type, bytes } of records) {
      if (type !== recordType.frame) continue;
      const frame = parseFrame(bytes);
      const changes: Change[] = [];
      takeFrame(this.#replica, frame, this.#progress, changes, () => true, this.#options.wallMs());
      for (const { key, expiresAtMs } of changes) if (expiresAtMs > 0) this.#expiries?.note(key, expiresAtMs);
      for (const reader of live) {
        // It may have read as far as the log goes, and the log was ahead of us.
        if (reader.live && lsn >= reader.cursor) this.#handFrame(reader, lsn, frame, changes);
      }
    }
  }

  #handFrame(reader: Reader, lsn: Lsn, frame: FrameHeader, changes: readonly Change[]): void {
    const { subscriber } = reader;
    if (subscriber.isFull()) {
      reader.live = false;
      // Where it stands: all before this frame.
      reader.progress ??= this.#before(frame);
      reader.cursor = lsn;
      this.#tellLagging(reader);
      return;
    }
    reader.cursor = lsn + 1;
    const seenSeq = reader.progress?.get(frame.origin) ?? 0;
    reader.progress?.set(frame.origin, Math.max(seenSeq, frame.last));
    const wanted = changes.filter((change) => change.seq > seenSeq && subscriber.wants(change.key));
    if (wanted.length === 0) return;
    this.#hand(reader, wanted);
  }

  /** What live readers had seen before this frame, which `#progress` already names. */
  #before(frame: FrameHeader): Progress {
    const before = new Map(this.#progress);
    if (frame.first > 1) before.set(frame.origin, frame.first - 1);
    else before.delete(frame.origin);
    return before;
  }

  #hand(reader: Reader, changes: readonly Change[]): void {
    // Asked for within the call: later the vector may have moved on.
    const position = (): string => {
      reader.told =
        reader.progress === undefined ? this.#positionOf(this.#progress) : this.#positionOf(reader.progress);
      return reader.told;
    };
    reader.subscriber.onChanges(changes, position);
  }

  #positionOf(progress: Progress): string {
    return formatPosition([...progress]);
  }

  #tellLagging(reader: Reader): void {
    if (reader.lagging) return;
    reader.lagging = true;
    reader.subscriber.onLagging();
  }

  /** Cells came without their history: an installed transfer, a repair. */
  onCells(why: string): void {
    if (this.#readers.size === 0) return;
    this.#progress = this.#inLog();
    for (const reader of this.#readers) {
      reader.live = false;
      reader.resetWhy = why;
      this.advance(reader);
    }
    for (const waiter of this.#waiters) if (this.covers(waiter.vector)) waiter.finish(true);
  }

  /** Regularly: expiries, and positions for those who wanted nothing of what happened. */
  tick(nowMs: number): void {
    if (this.#readers.size === 0) return;
    const expired = this.#expiries?.due(nowMs) ?? [];
    if (expired.length > 0) {
      for (const reader of this.#readers) {
        if (!reader.live || reader.subscriber.isFull()) continue;
        const wanted = expired.filter((change) => reader.subscriber.wants(change.key));
        if (wanted.length > 0) this.#hand(reader, wanted);
      }
    }
    if (Math.abs(nowMs - this.#progressToldAtMs) < progressIntervalMs) return;
    this.#progressToldAtMs = nowMs;
    for (const reader of this.#readers) {
      if (!reader.live || reader.subscriber.isFull()) continue;
      this.#forgetProgress(reader);
      const position = this.#positionOf(reader.progress ?? this.#progress);
      if (position !== reader.told) this.#hand(reader, []);
    }
  }

  /** Once this peer has all the reader knew, the reader is like all others. */
  #forgetProgress(reader: Reader): void {
    if (reader.progress === undefined) return;
    for (const [origin, seq] of reader.progress) if ((this.#progress.get(origin) ?? 0) < seq) return;
    reader.progress = undefined;
  }

  remove(reader: Reader): void {
    this.#readers.delete(reader);
    if (this.#readers.size === 0) this.#expiries = undefined;
  }

  close(): void {
    this.#closed = true;
    for (const waiter of this.#waiters) waiter.finish(false);
    for (const reader of this.#readers) reader.cancelled = true;
    this.#readers.clear();
  }

  // ---- reading the log ------------------------------------------------------------------------------------------------

  /** Goes on with a reader that is not live: until it is, or full. */
  advance(reader: Reader): void {
    if (reader.reading || reader.live || reader.cancelled) return;
    reader.reading = true;
    this.#read(reader)
      .catch((error: unknown) => this.#options.onFailure(error))
      .finally(() => {
        reader.reading = false;
        // It may have read on, and said so, while the last step ended.
        if (!reader.live && !reader.cancelled && !this.#closed && !reader.subscriber.isFull()) this.advance(reader);
      });
  }

  async #read(reader: Reader): Promise<void> {
    while (!reader.cancelled && !reader.subscriber.isFull()) {
      if (reader.resetWhy !== undefined) {
        this.#reset(reader, reader.resetWhy);
      } else if (reader.cursor >= this.#appended.lsn) {
        reader.live = true;
        reader.lagging = false;
        this.#forgetProgress(reader);
        return;
      } else {
        const records = await this.#records(reader.cursor);
        if (records === undefined) reader.resetWhy ??= "the log no longer reaches back so far";
        else if (reader.resetWhy === undefined && !reader.cancelled) this.#handRecords(reader, records);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (!reader.cancelled) this.#tellLagging(reader);
  }

  #reset(reader: Reader, why: string): void {
    reader.resetWhy = undefined;
    reader.cursor = this.#appended.lsn;
    reader.progress = this.#inLog();
    reader.told = this.#positionOf(reader.progress);
    reader.subscriber.onReset(why, reader.told);
  }

  async #records(from: Lsn): Promise<readonly FeedRecord[] | undefined> {
    const recent = this.#replica.state.recent.from(from);
    if (recent !== undefined) {
      let bytes = 0;
      const cut = recent.findIndex(({ lsn, bytes: { length } }, index) => {
        bytes += length;
        return lsn >= this.#appended.lsn || (index > 0 && bytes > feedBatchBytes);
      });
      return cut < 0 ? recent : recent.slice(0, cut);
    }
    try {
      return await this.#options.log.read(from, feedBatchBytes);
    } catch (error) {
      if (error instanceof LogTrimmed) return undefined;
      throw error;
    }
  }

  #handRecords(reader: Reader, records: readonly FeedRecord[]): void {
    const { subscriber } = reader;
    const progress = (reader.progress ??= new Map(this.#progress));
    const changes: Change[] = [];
    for (const { lsn, type, bytes } of records) {
      if (lsn < reader.cursor) continue;
      reader.cursor = lsn + 1;
      if (type !== recordType.frame) continue;
      const wants = (key: string): boolean => subscriber.wants(key);
      takeFrame(this.#replica, parseFrame(bytes), progress, changes, wants, this.#options.wallMs());
    }
    if (changes.length > 0) this.#hand(reader, changes);
  }
}
