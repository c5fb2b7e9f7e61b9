/**
 * The peer as a backend of the HTTP routes: a request is a connection with one command.
 *
 * It runs through the executor and the turn loop as the commands of ports/client-socket.ts do, so it is refused for the
 * same reasons, shares its turn's append, and is answered only when that is as durable as --fsync and --acks ask.
 */
import { performance } from "node:perf_hooks";
import { httpAnswerMs, httpCallsMax, httpStaleAfterMs } from "../../protocol/limits.ts";
import { parsePosition } from "../../protocol/position.ts";
import type { Executor } from "../commands/execute.ts";
import type { Session } from "../commands/session.ts";
import type { Feed } from "../feed/change.ts";
import type { Releasable, Turn } from "../turn.ts";
import { type KvAnswer, type KvBackend, type KvCall, KvFailure } from "./kv-backend.ts";
import { ValueReplyWriter } from "./value-reply.ts";

export interface PeerBackendOptions {
  readonly execute: Executor;
  readonly turn: Turn;
  readonly feed: Feed;
  /** `name.incarnation` of the run that takes writes now: an origin. */
  readonly run: () => string;
  readonly nextSessionId: () => number;
  readonly limits?: { readonly staleAfterMs?: number; readonly callsMax?: number; readonly answerMs?: number };
}

export class PeerBackend implements KvBackend {
  /** Plain numbers, only ever added to. */
  readonly counters = { calls: 0, stale: 0, refused: 0 };
  readonly #options: PeerBackendOptions;
  readonly #staleAfterMs: number;
  readonly #callsMax: number;
  readonly #answerMs: number;
  readonly #sweeper: NodeJS.Timeout;
  /** Commands that run or whose answer is held back, oldest first. */
  readonly #running = new Set<HttpSession>();
  #waiting = 0;
  #closed = false;
  #onIdle: (() => void) | undefined;

  constructor(options: PeerBackendOptions) {
    this.#options = options;
    this.#staleAfterMs = options.limits?.staleAfterMs ?? httpStaleAfterMs;
    this.#callsMax = options.limits?.callsMax ?? httpCallsMax;
    this.#answerMs = options.limits?.answerMs ?? httpAnswerMs;
    this.#sweeper = setInterval(() => this.#giveUpLate(), Math.min(1000, this.#answerMs));
    this.#sweeper.unref();
  }

  /** Calls that wait for an answer. */
  get waiting(): number {
    return this.#waiting;
  }

  async call(call: KvCall): Promise<KvAnswer> {
    if (this.#closed) throw stopping;
    if (this.#waiting >= this.#callsMax) {
      this.counters.refused += 1;
      throw new KvFailure("TOO_MANY", `${this.#waiting} requests wait already`);
    }
    this.counters.calls += 1;
    this.#waiting += 1;
    try {
      await this.#admit(call);
      return await this.#run(call);
    } finally {
      this.#waiting -= 1;
      if (this.#waiting === 0) this.#onIdle?.();
    }
  }

  /** New calls are refused; resolves when those that run are answered, at the latest after `graceMs`. */
  close(graceMs: number): Promise<void> {
    this.#closed = true;
    clearInterval(this.#sweeper);
    if (this.#waiting === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const late = setTimeout(resolve, graceMs);
      this.#onIdle = () => {
        clearTimeout(late);
        resolve();
      };
    });
  }

  async #admit({ position, run, isGone }: KvCall): Promise<void> {
    const { feed, turn } = this.#options;
    if (run !== undefined && run !== this.#options.run()) {
      throw new KvFailure("CURSOR_GONE", "the cursor is of another peer, or of one that was restarted: begin anew");
    }
    if (position !== "") {
      const vector = parsePosition(position);
      if (vector === undefined) throw new KvFailure("BAD_POSITION", "not a position");
      if (!(await feed.reached(vector, this.#staleAfterMs))) {
        this.counters.stale += 1;
        throw new KvFailure("STALE", "this peer has not reached what the session saw yet");
      }
    }
    // Somebody else may have taken it again by the time we come round.
    while (turn.blocked !== undefined) await turn.blocked;
    if (this.#closed) throw stopping;
    if (isGone?.() === true) throw new KvFailure("ABORTED", "nobody waits for it any more");
  }

  #run(call: KvCall): Promise<KvAnswer> {
    const { execute, turn, feed, run, nextSessionId } = this.#options;
    return new Promise((resolve, reject) => {
      const session = new HttpSession(nextSessionId(), call.from ?? "?:0", turn.nowMs());
      this.#running.add(session);
      session.giveUp = reject;
      const finish = (): void => {
        session.takePosition = () => feed.position();
        session.onReleased = (position) => {
          this.#running.delete(session);
          const reply = session.reply.take();
          if (reply instanceof KvFailure) reject(reply);
          else resolve({ reply, position, run: run() });
        };
        turn.finish(session);
      };
      const pending = execute(session, call.command);
      // A rejection is the executor's bug: left unhandled on purpose, so that it stops the process.
      if (pending === undefined) finish();
      else void pending.then(finish);
    });
  }

  /** Its write is here and on its way; only what was to be waited for (--acks) does not come. */
  #giveUpLate(): void {
    for (const session of this.#running) {
      if (performance.now() - session.begunAtMs < this.#answerMs) return;
      this.#running.delete(session);
      session.giveUp(new KvFailure("TIMEOUT", `no answer within ${this.#answerMs} ms`, "unknown"));
    }
  }
}

const stopping = new KvFailure("LOADING", "this peer is stopping");

/** As long as its one command. Who may ask was looked at by the routes. */
class HttpSession implements Session, Releasable {
  readonly id: number;
  readonly address: string;
  readonly localAddress = "?:0";
  readonly connectedAtMs: number;
  name = "";
  libraryName = "";
  libraryVersion = "";
  noEvict = false;
  noTouch = false;
  authenticated = true;
  lastCommand = "";
  lastCommandAtMs: number;
  queue: string[][] | undefined;
  queueBroken = false;
  watched: Map<string, string> | undefined;
  closing = false;
  lastWriteSeq = 0;
  readonly reply = new ValueReplyWriter();
  readonly queuedInputBytes = 0;
  readonly begunAtMs = performance.now();
  giveUp: (failure: KvFailure) => void = () => {};
  takePosition: () => string = () => "";
  onReleased: (position: string) => void = () => {};

  constructor(id: number, address: string, nowMs: number) {
    this.id = id;
    this.address = address;
    this.connectedAtMs = nowMs;
    this.lastCommandAtMs = nowMs;
  }

  setProtocol(): void {}

  get queuedOutputBytes(): number {
    return this.reply.length;
  }

  /** At the end of the turn: what the command wrote is in the log, and the position says so. */
  takeOutput(): string {
    return this.takePosition();
  }

  release(position: string): void {
    this.onReleased(position);
  }
}
