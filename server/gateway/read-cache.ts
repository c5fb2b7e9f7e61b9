/**
 * The gateway's read cache: values as some peer showed them, kept coherent by the feed of changes of one peer. Pure: no
 * clock, no I/O; `cache-feed.ts` feeds it, `gateway-backend.ts` fills it and reads it.
 *
 * What it promises: while it is trusted, a value it hands out reflects every change of that key which the feed has told.
 * So it is no older than that peer's own map, that is, than the replication lag.
 *
 * A change drops the key's entry. The difficulty is the other order: a read that was answered *before* the change by a
 * peer that did not have it yet, and comes home *after* the feed told it. Such an answer must not be kept, for nobody
 * would drop it any more. So fills are ordered against the feed:
 *
 *   - of each key changed lately the dots are remembered (`recents`), in two generations by age;
 *   - `horizon` is the feed's position at the begin of the older one: changes up to it are forgotten;
 *   - an answer is kept only if the state it came from is sure to have all of the horizon and all remembered dots of its
 *     key. What a peer had told of its position when the call was sent, and the position sent along with it, are sure.
 *
 * A state that has a change shows it or what displaced it, whatever else it has or lacks; and what it lacks the feed has yet
 * to tell, which then drops the entry.
 *
 * Not trusted (the feed is down, or behind): nothing is handed out, all is kept. The feed may go on from its token, and
 * then tells all that was missed. When it cannot, everything goes.
 */
import { LRUCache } from "lru-cache";
import { cachedValueBytesMax, cacheEntryOverheadBytes, recentChangesMax } from "../../protocol/limits.ts";
import type { KvCached } from "../web/kv-backend.ts";
import { emptyVector, parseVector, type Vector } from "./vector.ts";

/** A generation of remembered changes is at least this old when it is the older one's turn to be forgotten. */
export const generationMs = 3000;
/** What expires is not handed out in the last of its time: this clock may be behind the peers'. */
export const expiryMarginMs = 250;
/**
 * Increments made on bases that expired at different times leave a counter one by one, and no change tells of it. What
 * looks like a counter is not kept when it expires, and else for no longer than this.
 */
export const counterMsMax = 10_000;
const counterLike = /^-?\d{1,19}$/;
/** Entries at most, whatever their bytes: its lists are made once, as long as this. */
const entriesMax = 1_000_000;

/** One change as the feed tells it. Key latin1. */
export interface CacheChange {
  readonly key: string;
  /** Of `expired`, which has no dot of its own: "". */
  readonly origin: string;
  readonly seq: number;
}

/** Plain numbers, only ever added to. */
export interface CacheCounters {
  hits: number;
  misses: number;
  bypasses: number;
  /** Answers kept, and answers that could not be: their state was not sure to have what the feed had told. */
  fills: number;
  fillsRefused: number;
  /** Entries dropped by a change. */
  invalidations: number;
  /** Entries that went for want of room. */
  evictions: number;
  /** Times that all was thrown away: the feed could not go on where it was. */
  clears: number;
}

class Entry implements KvCached {
  readonly value: Buffer | undefined;
  readonly version: string;
  readonly expiresAtMs: number;
  /** Not handed out from then on, unix ms; 0: as long as it is here. */
  readonly untilMs: number;
  /** Declared, so that setting it does not change the object's shape. */
  prepared: unknown = undefined;

  constructor(value: Buffer | undefined, version: string, expiresAtMs: number, untilMs: number) {
    this.value = value;
    this.version = version;
    this.expiresAtMs = expiresAtMs;
    this.untilMs = untilMs;
  }
}

/** The dots of a key, a few: [origin, seq, origin, seq, ...], one seq per origin. */
type Dots = (string | number)[];

export class ReadCache {
  readonly counters: CacheCounters = {
    hits: 0,
    misses: 0,
    bypasses: 0,
    fills: 0,
    fillsRefused: 0,
    invalidations: 0,
    evictions: 0,
    clears: 0,
  };

  /** The feed is up and has told all there was. */
  trusted = false;
  readonly bytesMax: number;
  readonly #entries: LRUCache<string, Entry>;
  #positionText = "";
  #position: Vector | undefined = emptyVector;
  #horizon: Vector = emptyVector;
  #older = new Map<string, Dots>();
  #younger = new Map<string, Dots>();
  /** The feed's position when the younger generation began. */
  #youngerFrom = "";
  #youngerSinceMs = 0;
  /** The same few origins again and again, each time as another string. */
  readonly #origins = new Map<string, string>();

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
    this.#entries = new LRUCache<string, Entry>({
      maxSize: bytesMax,
      // Called for every removal, so no closure that is made anew.
      dispose: (_entry, _key, reason) => {
        if (reason === "evict") this.counters.evictions += 1;
      },
      max: Math.max(1, Math.min(entriesMax, Math.floor(bytesMax / cacheEntryOverheadBytes))),
    });
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#entries.calculatedSize;
  }

  /** Behind all the feed has told; where it may go on. */
  get position(): string {
    return this.#positionText;
  }

  // ---- Reading --------------------------------------------------------------------------------------------------------

  /** `wallMs` is asked for only where it matters. */
  get(key: string, wallMs: () => number): KvCached | undefined {
    if (!this.trusted) return undefined;
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.untilMs > 0 && wallMs() >= entry.untilMs) {
      this.#entries.delete(key);
      return undefined;
    }
    this.counters.hits += 1;
    return entry;
  }

  /** The feed has told all of `wanted`, so nothing here is older than that. */
  covers(wanted: Vector): boolean {
    const position = this.#vector();
    for (const [origin, seq] of wanted) if ((position.get(origin) ?? 0) < seq) return false;
    return true;
  }

  #vector(): Vector {
    this.#position ??= parseVector(this.#positionText) ?? emptyVector;
    return this.#position;
  }

  // ---- Filling --------------------------------------------------------------------------------------------------------

  /** What a state must have for its answer to be kept, of this key's changes: to be sent along where it is not sure. */
  dotsOf(key: string): Vector | undefined {
    const younger = this.#younger.get(key);
    const older = this.#older.get(key);
    if (younger === undefined && older === undefined) return undefined;
    const dots = new Map<string, number>();
    for (const list of [older, younger]) {
      if (list === undefined) continue;
      for (let at = 0; at < list.length; at += 2) dots.set(list[at] as string, list[at + 1] as number);
    }
    return dots;
  }

  /**
   * Keeps an answer, if it may be kept. `known` and `sent`: the state it came from has all of both. `value` undefined:
   * there is no such key.
   */
  fill(
    key: string,
    answer: { readonly value: Buffer | undefined; readonly version: string; readonly expiresAtMs: number },
    known: Vector,
    sent: Vector,
    wallMs: number,
  ): void {
    const { value, version, expiresAtMs } = answer;
    const length = value?.length ?? 0;
    if (length > cachedValueBytesMax) return;
    const isCounter = value !== undefined && length <= 20 && counterLike.test(value.toString("latin1"));
    if (isCounter && expiresAtMs > 0) return;
    const untilMs = expiresAtMs > 0 ? expiresAtMs - expiryMarginMs : isCounter ? wallMs + counterMsMax : 0;
    if (!this.#isSure(key, known, sent)) {
      this.counters.fillsRefused += 1;
      return;
    }
    this.counters.fills += 1;
    const size = key.length + length + version.length + cacheEntryOverheadBytes;
    this.#entries.set(flat(key), new Entry(value, version, expiresAtMs, untilMs), { size });
  }

  #isSure(key: string, known: Vector, sent: Vector): boolean {
    const has = (origin: string, seq: number): boolean =>
      (known.get(origin) ?? 0) >= seq || (sent.get(origin) ?? 0) >= seq;
    for (const [origin, seq] of this.#horizon) if (!has(origin, seq)) return false;
    for (const list of [this.#older.get(key), this.#younger.get(key)]) {
      if (list === undefined) continue;
      for (let at = 0; at < list.length; at += 2) if (!has(list[at] as string, list[at + 1] as number)) return false;
    }
    return true;
  }

  // ---- The feed -------------------------------------------------------------------------------------------------------

  /** The feed begins anew, behind `position`: what is here is of no use. Also for a reset. */
  begin(position: string, nowMs: number): void {
    if (this.#entries.size > 0) this.counters.clears += 1;
    this.#entries.clear();
    this.#moveTo(position);
    this.#older = new Map();
    this.#younger = new Map();
    this.#horizon = this.#vector();
    this.#youngerFrom = position;
    this.#youngerSinceMs = nowMs;
  }

  /** Changes, each once and in the feed's order, and the position behind them. */
  onChanges(changes: readonly CacheChange[], position: string, nowMs: number): void {
    for (const { key, origin, seq } of changes) {
      if (this.#entries.delete(key)) this.counters.invalidations += 1;
      if (origin !== "") this.#remember(key, origin, seq);
    }
    this.#moveTo(position);
    const isFull = this.#younger.size >= recentChangesMax / 2;
    if (isFull || nowMs - this.#youngerSinceMs >= generationMs) this.#age(nowMs);
  }

  #remember(key: string, given: string, seq: number): void {
    let origin = this.#origins.get(given);
    if (origin === undefined) {
      if (this.#origins.size > 1000) this.#origins.clear();
      this.#origins.set(given, given);
      origin = given;
    }
    const dots = this.#younger.get(key);
    if (dots === undefined) {
      this.#younger.set(key, [origin, seq]);
      return;
    }
    for (let at = 0; at < dots.length; at += 2) {
      if (dots[at] !== origin) continue;
      dots[at + 1] = seq;
      return;
    }
    dots.push(origin, seq);
  }

  #age(nowMs: number): void {
    this.#horizon = parseVector(this.#youngerFrom) ?? emptyVector;
    this.#older = this.#younger;
    this.#younger = new Map();
    this.#youngerFrom = this.#positionText;
    this.#youngerSinceMs = nowMs;
  }

  #moveTo(position: string): void {
    if (position === this.#positionText) return;
    this.#positionText = position;
    this.#position = undefined;
  }
}

/** A part of a longer string keeps all of it in memory; a copy does not. */
const flat = (text: string): string => Buffer.from(text, "latin1").toString("latin1");
