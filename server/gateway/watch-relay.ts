/**
 * `GET /watch` at a gateway: a peer's stream of changes, handed on. When that peer goes, the stream goes on at another one
 * behind the last event its reader was given (the id is a position that all peers understand), so the reader sees nothing
 * of it. PROTOCOL.md has the stream itself; what a peer refuses is handed on too.
 *
 * Only whole events are handed on: one that broke off with its peer comes again from the next. A slow reader stops the
 * peer's stream, which then goes on from its log; one that takes nothing for long is cut.
 */
import { type ClientRequest, request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { performance } from "node:perf_hooks";
import { gatewayWatchGapMs, watchBeatMs, watchStallMs, watchStreamsMax } from "../../protocol/limits.ts";
import { authorizationChallenge, authorizationWanted, isAuthorized } from "../ports/authorization.ts";
import { parseWatchQuery } from "../ports/watch-query.ts";
import type { HostPort } from "../settings.ts";
import { answerFailure } from "../web/answers.ts";
import { KvFailure } from "../web/kv-backend.ts";

export interface WatchedPeer {
  readonly name: string;
  readonly address: HostPort;
}

export interface WatchRelayOptions<Peer extends WatchedPeer> {
  /** A peer that may be asked, none of `avoid`; undefined: there is none. */
  readonly choose: (avoid: ReadonlySet<Peer>) => Peer | undefined;
  /** The peers'. */
  readonly password: string | undefined;
  /** Of those who ask here; undefined: no password is set. */
  readonly checkPassword: ((user: string, password: string) => boolean) | undefined;
  readonly limits?: Partial<WatchRelayLimits>;
}

const defaultLimits = {
  streamsMax: watchStreamsMax,
  stallMs: watchStallMs,
  beatMs: watchBeatMs,
  gapMs: gatewayWatchGapMs,
} as const satisfies Readonly<Record<string, number>>;

export type WatchRelayLimits = { readonly [Name in keyof typeof defaultLimits]: number };

/** Between two rounds over all peers. */
const pauseMs = 100;
/** Longest refusal of a peer that is handed on. */
const refusalBytesMax = 16 * 1024;

export class WatchRelay<Peer extends WatchedPeer> {
  /** Plain numbers, only ever added to. `moved`: streams that went on at another peer. */
  readonly counters = { opened: 0, refused: 0, moved: 0, stalled: 0 };
  readonly #options: WatchRelayOptions<Peer>;
  readonly #limits: WatchRelayLimits;
  readonly #streams = new Set<RelayedStream<Peer>>();
  readonly #beat: NodeJS.Timeout;
  #closed = false;

  constructor(options: WatchRelayOptions<Peer>) {
    this.#options = options;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#beat = setInterval(() => {
      for (const stream of this.#streams) if (stream.cutIfStalled()) this.counters.stalled += 1;
    }, this.#limits.beatMs);
    this.#beat.unref();
  }

  get count(): number {
    return this.#streams.size;
  }

  /** A GET or HEAD of /watch. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    const { password, checkPassword, choose } = this.#options;
    const refuse = (code: string, message: string, headers: Readonly<Record<string, string>> = {}): void => {
      this.counters.refused += 1;
      answerFailure(request, response, new KvFailure(code, message), headers);
    };
    if (checkPassword !== undefined && !isAuthorized(request.headers.authorization, checkPassword))
      return refuse("NOAUTH", authorizationWanted, authorizationChallenge);
    if (this.#closed) return refuse("LOADING", "this gateway is stopping");
    const url = request.url ?? "";
    const given = request.headers["last-event-id"];
    const parsed = parseWatchQuery(url, typeof given === "string" ? given : undefined);
    if (!parsed.ok) return refuse("BAD_ARGUMENT", parsed.why);
    if (this.#streams.size >= this.#limits.streamsMax)
      return refuse("TOO_MANY", `too many watches, limit ${this.#limits.streamsMax}`);
    const stream = new RelayedStream<Peer>({
      request,
      response,
      token: parsed.query.from?.token,
      choose,
      // Not Bearer: a password may have spaces.
      authorization:
        password === undefined ? undefined : `Basic ${Buffer.from(`default:${password}`, "latin1").toString("base64")}`,
      limits: this.#limits,
      onMoved: () => {
        this.counters.moved += 1;
      },
    });
    this.counters.opened += 1;
    this.#streams.add(stream);
    response.once("close", () => {
      stream.end();
      this.#streams.delete(stream);
    });
    stream.begin();
  }

  /** A peer is gone, or hangs: what it streamed goes on elsewhere. */
  leave(peer: Peer): void {
    for (const stream of this.#streams) stream.leave(peer);
  }

  /** Ends all streams; whoever reads them comes back, here or elsewhere. Twice is fine. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#beat);
    for (const stream of this.#streams) stream.end();
  }
}

interface RelayedStreamOptions<Peer extends WatchedPeer> {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Where its reader wants to go on; undefined: from now on. */
  readonly token: string | undefined;
  readonly choose: (avoid: ReadonlySet<Peer>) => Peer | undefined;
  readonly authorization: string | undefined;
  readonly limits: WatchRelayLimits;
  readonly onMoved: () => void;
}

interface Refusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

class RelayedStream<Peer extends WatchedPeer> {
  readonly #options: RelayedStreamOptions<Peer>;
  readonly #path: string;
  /** Of the last event handed on. */
  #token: string | undefined;
  #peer: Peer | undefined;
  #asked: ClientRequest | undefined;
  /** Refused or failed since the last event: they are asked again after a pause. */
  readonly #avoid = new Set<Peer>();
  #refusal: Refusal | undefined;
  #lostAtMs: number | undefined;
  #pause: NodeJS.Timeout | undefined;
  /** The beginning of an event whose end has not come. */
  #rest: Buffer[] = [];
  #waitsSinceMs: number | undefined;
  #ended = false;

  constructor(options: RelayedStreamOptions<Peer>) {
    this.#options = options;
    this.#token = options.token;
    this.#path = withoutToken(options.request.url ?? "");
    options.response.on("drain", () => {
      this.#waitsSinceMs = undefined;
      this.#source?.resume();
    });
  }

  #source: IncomingMessage | undefined;

  begin(): void {
    this.#lostAtMs = performance.now();
    this.#ask();
  }

  leave(peer: Peer): void {
    if (this.#peer === peer) this.#onLost(peer);
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#pause);
    this.#asked?.destroy();
    const { request, response } = this.#options;
    if (response.headersSent) response.end();
    else if (!response.destroyed)
      answerFailure(request, response, new KvFailure("LOADING", "this gateway is stopping"));
  }

  /** True: its reader took nothing for too long. */
  cutIfStalled(): boolean {
    if (this.#waitsSinceMs === undefined || performance.now() - this.#waitsSinceMs < this.#options.limits.stallMs)
      return false;
    this.#options.response.destroy();
    return true;
  }

  #ask(): void {
    if (this.#ended) return;
    const { choose, authorization, request } = this.#options;
    const peer = choose(this.#avoid);
    if (peer === undefined) return this.#onNobody();
    this.#peer = peer;
    this.#rest = [];
    const { host, port } = peer.address;
    const asked = httpRequest({
      host,
      port,
      path: this.#path,
      method: request.method === "HEAD" ? "HEAD" : "GET",
      agent: false,
      headers: {
        ...(authorization === undefined ? {} : { Authorization: authorization }),
        ...(this.#token === undefined ? {} : { "Last-Event-ID": this.#token }),
      },
    });
    this.#asked = asked;
    asked.on("error", () => {
      if (this.#asked === asked) this.#onLost(peer);
    });
    asked.on("response", (answer) => {
      if (this.#asked === asked) this.#onAnswer(peer, answer);
      else answer.destroy();
    });
    asked.end();
  }

  #onAnswer(peer: Peer, answer: IncomingMessage): void {
    const { response } = this.#options;
    if (answer.statusCode !== 200) return this.#onRefused(peer, answer);
    this.#source = answer;
    this.#lostAtMs = undefined;
    if (!response.headersSent) {
      const headers = handedOn(answer);
      response.writeHead(200, headers);
      response.flushHeaders();
    }
    const isOurs = (): boolean => this.#source === answer && !this.#ended;
    answer.on("data", (chunk: Buffer) => {
      if (isOurs()) this.#onData(chunk);
    });
    answer.on("error", () => undefined);
    answer.on("close", () => {
      if (!isOurs()) return;
      if (this.#options.request.method === "HEAD") this.end();
      else this.#onLost(peer);
    });
  }

  #onData(chunk: Buffer): void {
    const end = endOfWholeEvents(this.#rest.at(-1), chunk);
    if (end === 0) return void this.#rest.push(chunk);
    const whole = Buffer.concat([...this.#rest, chunk.subarray(0, end)]);
    this.#rest = end === chunk.length ? [] : [chunk.subarray(end)];
    this.#token = lastIdIn(whole) ?? this.#token;
    this.#avoid.clear();
    if (this.#options.response.write(whole)) return;
    this.#waitsSinceMs ??= performance.now();
    this.#source?.pause();
  }

  /** A refusal that is about the request goes to who made it; one that is about the peer lets another be asked. */
  #onRefused(peer: Peer, answer: IncomingMessage): void {
    const chunks: Buffer[] = [];
    let bytes = 0;
    answer.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= refusalBytesMax) chunks.push(chunk);
      else answer.destroy();
    });
    answer.on("error", () => undefined);
    answer.on("close", () => {
      if (this.#ended || this.#peer !== peer) return;
      const status = answer.statusCode ?? 502;
      this.#refusal = { status, headers: handedOn(answer), body: Buffer.concat(chunks) };
      if (status === 503) this.#onLost(peer);
      else this.#giveUp();
    });
  }

  #onLost(peer: Peer): void {
    if (this.#ended || this.#peer !== peer) return;
    this.#peer = undefined;
    this.#source = undefined;
    const asked = this.#asked;
    this.#asked = undefined;
    asked?.destroy();
    this.#avoid.add(peer);
    if (this.#options.response.headersSent && this.#lostAtMs === undefined) this.#options.onMoved();
    this.#lostAtMs ??= performance.now();
    // Not from within the peer's own event: `leave` goes through all streams.
    setImmediate(() => this.#ask());
  }

  /** All have been asked, or none is there. */
  #onNobody(): void {
    const { limits } = this.#options;
    if (performance.now() - (this.#lostAtMs ?? 0) > limits.gapMs) return this.#giveUp();
    this.#avoid.clear();
    this.#pause = setTimeout(() => this.#ask(), pauseMs);
  }

  /** Whoever has a stream comes back with its last id; else the refusal is the answer. */
  #giveUp(): void {
    const { request, response } = this.#options;
    this.#ended = true;
    this.#asked?.destroy();
    if (response.headersSent) return void response.end();
    if (response.destroyed) return;
    if (this.#refusal === undefined)
      return answerFailure(request, response, new KvFailure("UNREACHABLE", "no peer is there to be watched"));
    const { status, headers, body } = this.#refusal;
    response.writeHead(status, headers).end(body);
  }
}

/** The header goes before it, and says where the reader is by now. */
const withoutToken = (url: string): string => {
  const queryAt = url.indexOf("?");
  if (queryAt < 0) return url;
  const kept = url
    .slice(queryAt + 1)
    .split("&")
    .filter((part) => !/^token(=|$)/.test(part));
  return kept.length === 0 ? url.slice(0, queryAt) : `${url.slice(0, queryAt)}?${kept.join("&")}`;
};

const names = ["content-type", "cache-control", "x-content-type-options", "x-accel-buffering", "retry-after"] as const;

/** What a peer's answer says of itself; the rest (CORS, connection, length) is this port's own business. */
const handedOn = ({ headers }: IncomingMessage): Record<string, string> =>
  Object.fromEntries(
    names.flatMap((name) => {
      const value = headers[name];
      return typeof value === "string" ? [[name, value]] : [];
    }),
  );

const newline = 10;

/** Where the last event that ends in the chunk ends, an empty line behind it; 0 when none does. */
const endOfWholeEvents = (before: Buffer | undefined, chunk: Buffer): number => {
  const at = chunk.lastIndexOf("\n\n");
  if (at >= 0) return at + 2;
  // The two may have come apart.
  return chunk[0] === newline && before?.at(-1) === newline ? 1 : 0;
};

/** Values are JSON, so a line that begins so is one. */
const lastIdIn = (events: Buffer): string | undefined => {
  const at = events.lastIndexOf("\nid: ");
  const from = at >= 0 ? at + 5 : events.indexOf("id: ") === 0 ? 4 : -1;
  return from < 0 ? undefined : events.latin1Slice(from, events.indexOf(newline, from));
};
