/**
 * A client of strong keys that writes down what it did and what it was told.
 *
 * One operation at a time. Where an answer stays away it asks another peer with the same operation id, or, without one,
 * goes on as somebody else (a new client name, as Jepsen does) and leaves the connection open: an answer that comes late is
 * still one, and says more than "unknown".
 */
import { setTimeout as delay } from "node:timers/promises";
import type { RealCluster, RealPeer } from "../../../tests/support/real-cluster.ts";
import { RespClient } from "../../../tests/support/resp-client.ts";
import type { Random } from "../../sim/random.ts";
import { inputOf, type RecordedOutput } from "../history.ts";
import type { IdWindow } from "./id-window.ts";
import type { Recorder } from "./recorder.ts";
import { type Call, type Heard, heardOf, wordsOf } from "./wire.ts";

const triesMax = 4;
/** With an operation id a client may be impatient. */
const patienceWithIdMs = [200, 700, 2000] as const;
const patienceMs = 4000;
const dialMsMax = 1000;
/** Nobody listens: peers are being restarted. */
const restMs = 30;

/** One operation, from its first try until all tries have ended. */
interface Open {
  readonly call: Call;
  readonly client: string;
  readonly startNs: number;
  /** Tries without an end. */
  running: number;
  /** A try ended, or was left, without a word on whether it took place. */
  mayHave: boolean;
  /** The client will not try again. */
  isLast: boolean;
  isRecorded: boolean;
  output: RecordedOutput | undefined;
  /** Some try of it was answered. */
  onDone: () => void;
  readonly letGo: () => void;
}

export type Told =
  | { readonly kind: "done"; readonly output: RecordedOutput; readonly startNs: number }
  | { readonly kind: "not" | "unknown" };

export interface ClientOptions {
  readonly name: string;
  readonly cluster: RealCluster;
  readonly recorder: Recorder;
  readonly random: Random;
  readonly windows: ReadonlyMap<string, IdWindow>;
  /** Where it begins. */
  readonly peer: RealPeer;
}

interface Connection {
  readonly peer: RealPeer;
  readonly resp: RespClient;
}

export class StrongClient {
  readonly #options: ClientOptions;
  #peer: RealPeer;
  #connection: Connection | undefined;
  /** Those that still owe an answer. */
  readonly #left = new Set<Connection>();
  #lives = 0;
  #operations = 0;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#peer = options.peer;
  }

  /** How it is called in the history. */
  get name(): string {
    return this.#lives === 0 ? this.#options.name : `${this.#options.name}/${this.#lives}`;
  }

  /** Never used before, by anybody. */
  fresh(): string {
    return `${this.#options.name}.${++this.#operations}`;
  }

  move(): void {
    this.#peer = this.#options.random.pick(this.#options.cluster.peers);
  }

  /** `operationId`: wanted; it goes without where the register might forget it. */
  async perform(given: Omit<Call, "operationId">, operationId?: string): Promise<Told> {
    const { recorder, random, windows } = this.#options;
    const letGo = operationId === undefined ? undefined : windows.get(given.key)?.take();
    const call: Call = { ...given, operationId: letGo === undefined ? undefined : operationId };
    const words = wordsOf(call);
    let open: Open | undefined;
    for (let tries = 1; ; tries++) {
      const connection = await this.#connect();
      const isLast = call.operationId === undefined || tries === triesMax;
      if (connection === undefined) {
        // Nothing was sent to anybody in this try.
        if (open === undefined && isLast) {
          letGo?.();
          return { kind: "not" };
        }
        if (open === undefined || !isLast) continue;
        return this.#leave(open);
      }
      open ??= {
        call,
        client: this.name,
        startNs: recorder.nowNs(),
        running: 0,
        mayHave: false,
        isLast,
        isRecorded: false,
        output: undefined,
        onDone: () => undefined,
        letGo: letGo ?? (() => undefined),
      };
      open.isLast = isLast;
      open.running++;
      if (tries > 1) recorder.retries++;
      const own = open;
      const heard = await this.#try(own, connection, words);
      if (heard === undefined && connection.resp.unanswered > 0) this.#desert(connection);
      if (own.output !== undefined) return { kind: "done", output: own.output, startNs: own.startNs };
      const isUndone = heard?.kind === "no" && own.running === 0 && !own.mayHave;
      if (isLast || (isUndone && random.chance(0.5))) return this.#leave(own);
      this.move();
    }
  }

  /** undefined: no answer while the client's patience lasts, or another try was answered meanwhile. */
  async #try(open: Open, connection: Connection, words: readonly (string | number)[]): Promise<Heard | undefined> {
    const { call } = open;
    const done = new Promise<void>((resolve) => {
      open.onDone = resolve;
    });
    const answer = connection.resp
      .send(...words)
      .then((outcome) => this.#heard(open, connection, heardOf(call, outcome)));
    const waitMs = call.operationId === undefined ? patienceMs : this.#options.random.pick(patienceWithIdMs);
    const timer = new AbortController();
    const patience = delay(waitMs, undefined, { signal: timer.signal }).catch(() => undefined);
    const heard = await Promise.race([answer, patience, done]);
    timer.abort();
    return heard ?? undefined;
  }

  /** No more tries. What is still under way is written down when it ends. */
  #leave(open: Open): Told {
    open.isLast = true;
    this.#settle(open);
    if (open.running > 0 || open.mayHave) this.#lives++;
    return { kind: open.mayHave || open.running > 0 ? "unknown" : "not" };
  }

  #heard(open: Open, connection: Connection, heard: Heard): Heard {
    const { recorder } = this.#options;
    open.running--;
    const wasLeft = this.#left.delete(connection);
    if (wasLeft) connection.resp.close();
    if (heard.kind === "no") recorder.refused(heard.code);
    else if (heard.kind === "unknown") open.mayHave = true;
    else if (heard.kind === "wrong") {
      recorder.problem(`${connection.peer.name} answered what no peer may: ${heard.words}`);
      open.mayHave = true;
    } else if (!open.isRecorded) {
      open.isRecorded = true;
      open.output = heard.output;
      if (wasLeft && open.isLast) recorder.late++;
      const endNs = recorder.nowNs();
      recorder.answered(endNs, connection.peer.name);
      this.#record(open, heard.output, endNs);
      open.onDone();
    }
    this.#settle(open);
    return heard;
  }

  #settle(open: Open): void {
    if (open.running > 0 || (!open.isLast && !open.isRecorded)) return;
    open.letGo();
    if (open.isRecorded) return;
    open.isRecorded = true;
    this.#record(open, undefined, undefined);
  }

  #record(open: Open, output: RecordedOutput | undefined, endNs: number | undefined): void {
    const { key, operation, operationId } = open.call;
    this.#options.recorder.record({
      client: open.client,
      key,
      op: operation.kind,
      input: operationId === undefined ? inputOf(operation) : { ...inputOf(operation), opid: operationId },
      output: output ?? null,
      start_ns: open.startNs,
      end_ns: endNs ?? null,
      outcome: output !== undefined ? "ok" : open.mayHave ? "unknown" : "fail",
    });
  }

  // ---- connections --------------------------------------------------------------------------------------------------------

  /** undefined: the peer does not listen; the next one is asked next time. */
  async #connect(): Promise<Connection | undefined> {
    const peer = this.#peer;
    if (this.#connection?.peer === peer && this.#connection.resp.isOpen) return this.#connection;
    this.#connection?.resp.close();
    this.#connection = undefined;
    try {
      const resp = await RespClient.connect({ port: peer.tcpPort, timeoutMs: dialMsMax });
      this.#connection = { peer, resp };
      return this.#connection;
    } catch {
      const { peers } = this.#options.cluster;
      this.#peer = peers[(peers.indexOf(peer) + 1) % peers.length] ?? peer;
      await delay(restMs);
      return undefined;
    }
  }

  #desert(connection: Connection): void {
    this.#left.add(connection);
    if (this.#connection === connection) this.#connection = undefined;
    this.move();
  }

  /** Until everything has an answer, or the time is up; then what is left is unknown. */
  async end(withinMs: number): Promise<void> {
    const deadlineMs = performance.now() + withinMs;
    while (this.#left.size > 0 && performance.now() < deadlineMs) await delay(20);
    for (const { resp } of this.#left) resp.close();
    this.#connection?.resp.close();
    // Closing settles what waits, a turn later.
    while (this.#left.size > 0) await delay(5);
  }
}
