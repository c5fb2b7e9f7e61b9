/**
 * `GET /watch`: changes as server-sent events, for curl and for browsers' EventSource.
 *
 *     event: set
 *     id: a.0abc…:12,b.0abd…:7
 *     data: {"type":"set","key":"city","value":"Oslo",...}
 *
 * The id is the position behind the event, so whoever comes back with the last one (Last-Event-ID, or `?token=`), to this
 * peer or another, misses nothing and is told nothing twice. In a cluster of many origins only the last event of a burst
 * has one, since each would be longer than what it tells; a stream that breaks inside a burst is then told some again.
 *
 * A reader that is slow is not waited for: the feed stops handing out, and goes on from the log when it has read. What is
 * unsent of a stream is bounded, and a stream that takes nothing for long is cut.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { performance } from "node:perf_hooks";
import {
  staleAfterMsDefault,
  watchBeatMs,
  watchStallMs,
  watchStreamBytesMax,
  watchStreamsMax,
} from "../../protocol/limits.ts";
import { formatPosition, parsePosition } from "../../protocol/position.ts";
import type { OriginId } from "../../protocol/words.ts";
import type { Change, Feed, FeedSubscriber, Subscription } from "../feed/change.ts";
import { answerFailure } from "../web/answers.ts";
import { KvFailure } from "../web/kv-backend.ts";
import { changeToJson } from "./change-json.ts";
import { type StreamAdmission, type StreamRefusal, streamRefusal } from "./stream-admission.ts";
import { parseWatchQuery, type WatchQuery } from "./watch-query.ts";

export interface WatchStreamsOptions extends StreamAdmission {
  readonly feed: Feed;
  readonly limits?: Partial<WatchLimits>;
}

const watchLimits = {
  streamsMax: watchStreamsMax,
  bytesMax: watchStreamBytesMax,
  stallMs: watchStallMs,
  beatMs: watchBeatMs,
  staleAfterMs: staleAfterMsDefault,
} as const satisfies Readonly<Record<string, number>>;

export type WatchLimits = { readonly [Name in keyof typeof watchLimits]: number };

export class WatchStreams {
  /** Plain numbers, only ever added to. */
  readonly counters = { opened: 0, refused: 0, stalled: 0 };
  readonly #options: WatchStreamsOptions;
  readonly #limits: WatchLimits;
  readonly #streams = new Set<WatchStream>();
  readonly #beat: NodeJS.Timeout;
  #closed = false;

  constructor(options: WatchStreamsOptions) {
    this.#options = options;
    this.#limits = { ...watchLimits, ...options.limits };
    this.#beat = setInterval(() => {
      for (const stream of this.#streams) if (stream.beat()) this.counters.stalled += 1;
    }, this.#limits.beatMs);
    this.#beat.unref();
  }

  get count(): number {
    return this.#streams.size;
  }

  /** A GET or HEAD of /watch. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    const { feed } = this.#options;
    const refuse = ({ code, message, headers }: StreamRefusal): void => {
      this.counters.refused += 1;
      answerFailure(request, response, new KvFailure(code, message), headers);
    };
    const refusal = streamRefusal(request, this.#options, this.#closed);
    if (refusal !== undefined) return refuse(refusal);
    const lastEventId = request.headers["last-event-id"];
    const parsed = parseWatchQuery(request.url ?? "", typeof lastEventId === "string" ? lastEventId : undefined);
    if (!parsed.ok) return refuse({ code: "BAD_ARGUMENT", message: parsed.why });
    if (this.#streams.size >= this.#limits.streamsMax) {
      return refuse({ code: "TOO_MANY", message: `too many watches, limit ${this.#limits.streamsMax}` });
    }
    if (request.method === "HEAD") {
      response.writeHead(200, streamHeaders).end();
      return;
    }
    const stream = new WatchStream(response, parsed.query, this.#limits);
    this.#streams.add(stream);
    response.on("close", () => {
      stream.end();
      this.#streams.delete(stream);
    });
    this.counters.opened += 1;
    const { from } = parsed.query;
    if (from === undefined) return stream.begin(feed);
    // Never rejects.
    void feed.reached(from.vector, this.#limits.staleAfterMs).then((isReached) => {
      if (isReached) stream.begin(feed);
      else if (!response.destroyed) refuse({ code: "STALE", message: "this peer has not reached the token yet" });
    });
  }

  /** Ends all streams; whoever reads them comes back, here or elsewhere. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#beat);
    for (const stream of this.#streams) stream.end();
  }
}

const streamHeaders = {
  "Content-Type": "text/event-stream; charset=utf-8",
  "Cache-Control": "no-store",
  "X-Content-Type-Options": "nosniff",
  // nginx would collect what is meant to flow.
  "X-Accel-Buffering": "no",
};

/** Up to so many origins every event has an id. */
const idOriginsMax = 32;

class WatchStream implements FeedSubscriber {
  readonly #response: ServerResponse;
  readonly #query: WatchQuery;
  readonly #limits: WatchLimits;
  #subscription: Subscription | undefined;
  #ended = false;
  /** The last id written. */
  #toldPosition = "";
  /** Known, and not written yet: the next beat does. */
  #position = "";
  /** Monotonic; undefined while the reader takes what is sent. */
  #waitsSinceMs: number | undefined;

  constructor(response: ServerResponse, query: WatchQuery, limits: WatchLimits) {
    this.#response = response;
    this.#query = query;
    this.#limits = limits;
    response.on("drain", () => {
      this.#waitsSinceMs = undefined;
      this.#subscription?.resume();
    });
  }

  begin(feed: Feed): void {
    if (this.#ended || this.#response.destroyed) return;
    const { from } = this.#query;
    const token = from?.token ?? feed.position();
    this.#response.writeHead(200, streamHeaders);
    // At once, so that a stream that breaks before its first event is gone on with from here.
    this.#write(`: watching\nretry: 1000\nid: ${token}\n\n`);
    this.#toldPosition = token;
    this.#position = token;
    this.#subscription = from === undefined ? feed.subscribe(this) : feed.subscribe(this, from.vector);
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#subscription?.cancel();
    // Not begun: its answer is still to come, a refusal.
    if (this.#subscription !== undefined) this.#response.end();
  }

  /** True: it took nothing for too long and was cut. */
  beat(): boolean {
    if (this.#ended || this.#subscription === undefined) return false;
    if (this.#waitsSinceMs !== undefined) {
      if (performance.now() - this.#waitsSinceMs < this.#limits.stallMs) return false;
      this.#response.destroy();
      return true;
    }
    const moved = this.#position !== this.#toldPosition;
    this.#toldPosition = this.#position;
    // An id without data moves a reader's position and is no event.
    this.#write(moved ? `:\nid: ${this.#position}\n\n` : ":\n\n");
    return false;
  }

  #write(text: string): void {
    if (!this.#response.write(text)) this.#waitsSinceMs ??= performance.now();
  }

  // ---- From the feed --------------------------------------------------------------------------------------------------

  wants(key: string): boolean {
    const { key: only, prefix } = this.#query;
    return only === undefined ? key.startsWith(prefix) : key === only;
  }

  isFull(): boolean {
    return this.#response.writableLength > this.#limits.bytesMax;
  }

  onChanges(changes: readonly Change[], position: () => string): void {
    if (this.#ended) return;
    const after = position();
    if (changes.length > 0) {
      const ids = changes.length > 1 ? idsOf(this.#position, changes) : undefined;
      let text = "";
      for (const [index, change] of changes.entries()) {
        const id = index === changes.length - 1 ? after : ids?.[index];
        text += `event: ${change.type}\n${id === undefined ? "" : `id: ${id}\n`}`;
        text += `data: ${changeToJson(change, this.#query.values)}\n\n`;
      }
      this.#write(text);
      this.#toldPosition = after;
    }
    this.#position = after;
  }

  onReset(why: string, position: string): void {
    if (this.#ended) return;
    this.#position = position;
    this.#toldPosition = position;
    this.#write(`event: reset\nid: ${position}\ndata: ${JSON.stringify({ type: "reset", why, token: position })}\n\n`);
  }

  onLagging(): void {
    if (!this.#ended) this.#write('event: lagging\ndata: {"type":"lagging"}\n\n');
  }
}

/**
 * The position behind each change, from the one before them all. Of one origin changes come in the order of their seqs, so
 * having seen one means having seen all before it. Undefined where there are too many origins.
 */
const idsOf = (before: string, changes: readonly Change[]): readonly string[] | undefined => {
  const vector = new Map<OriginId, number>(parsePosition(before) ?? []);
  if (vector.size > idOriginsMax) return undefined;
  return changes.map(({ type, origin, seq }) => {
    // An expiry names the write that expired, which was seen long ago.
    if (type !== "expired") vector.set(origin, Math.max(seq, vector.get(origin) ?? 0));
    return formatPosition([...vector]);
  });
};
