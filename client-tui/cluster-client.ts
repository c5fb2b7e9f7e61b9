/**
 * The cluster over protocol/client.ts.
 *
 * One client follows the cluster: it runs commands, watches changes and conflicts, and goes to another peer when its own
 * dies. Beside it each peer has a client of its own that goes nowhere else and listens to that peer's status; orders to a
 * certain peer (cut a link) go over it. A peer is known by its name, whatever addresses lead to it.
 */

import { pause } from "../protocol/client/pause.ts";
import { ChorusError, type Client, type ClientState, type Conflict, connect, type Reply } from "../protocol/client.ts";
import type { WireReply } from "../protocol/client-messages.ts";
import { tuiConflictValueBytesMax, tuiFeedPerSecondMax } from "../protocol/limits.ts";
import { bytesToWire } from "../protocol/wire-text.ts";
import type {
  Cluster,
  ClusterChange,
  ClusterConflict,
  ClusterListener,
  CommandResult,
  ConflictSide,
  Latin1,
} from "./cluster.ts";
import { latin1ToBytes } from "./text/visible.ts";

export interface ClusterOptions {
  /** `host:port` of HTTP ports, or ws:// URLs; at least one. */
  readonly addresses: readonly string[];
  readonly password: string | undefined;
}

/** Changes are handed over together, a few times a second. */
const feedBatchMs = 60;
const commandMsMax = 15_000;
const connectMsMax = 2000;
const retryMs = 700;
/** Refusals that trying again does not cure. */
const hopeless: ReadonlySet<string> = new Set(["WRONGPASS", "NOAUTH", "NOPERM", "UNKNOWN_VERSION", "BAD_ARGUMENT"]);

export const openCluster =
  (options: ClusterOptions) =>
  (listener: ClusterListener): Cluster =>
    new ClientCluster(options, listener);

class ClientCluster implements Cluster {
  readonly #options: ClusterOptions;
  readonly #listener: ClusterListener;
  readonly #end = new AbortController();
  readonly #monitors = new Map<string, PeerMonitor>();
  #client: Client | undefined;
  #changes: ClusterChange[] = [];
  #left = 0;
  #flushing: NodeJS.Timeout | undefined;

  constructor(options: ClusterOptions, listener: ClusterListener) {
    this.#options = options;
    this.#listener = listener;
    void this.#follow();
  }

  async command(words: readonly Latin1[], address?: string): Promise<CommandResult> {
    const client =
      address === undefined
        ? this.#client
        : [...this.#monitors.values()].find((monitor) => monitor.address === address)?.client;
    if (client === undefined) return notConnected;
    return await ask(client, words);
  }

  close(): void {
    this.#end.abort();
    clearTimeout(this.#flushing);
    void this.#client?.close();
    for (const monitor of this.#monitors.values()) monitor.close();
    this.#monitors.clear();
  }

  get #isClosed(): boolean {
    return this.#end.signal.aborted;
  }

  async #follow(): Promise<void> {
    const { addresses, password } = this.#options;
    while (!this.#isClosed) {
      const attempt = attemptOf(this.#end.signal);
      try {
        const client = await connect(addresses, {
          ...(password === undefined ? {} : { password }),
          name: "chorus-tui",
          timeoutMs: connectMsMax,
          failFast: true,
          signal: attempt.signal,
          onState: (state) => this.#onState(state),
        });
        this.#client = client;
        this.#onState(client.state);
        await Promise.all([this.#watch(client), this.#watchConflicts(client)]);
        await client.close();
        this.#client = undefined;
      } catch (error) {
        if (this.#isClosed) return;
        if (error instanceof ChorusError && hopeless.has(error.code)) {
          this.#listener.onHopeless(error.message);
          return;
        }
        this.#listener.onDisconnected(messageOf(error));
      } finally {
        attempt.over();
      }
      await pause(retryMs, this.#end.signal);
    }
  }

  #onState(state: ClientState): void {
    if (this.#isClosed) return;
    if (state.kind === "connecting") this.#listener.onDisconnected(state.why);
    // At first it is connected before `connect` has handed out the client, and commands need that.
    if (state.kind !== "connected" || this.#client === undefined) return;
    const address = addressOf(state.url);
    for (const peer of state.peers) {
      // How peers reach each other may lead nowhere from here; to the one we are at we know a way.
      this.#monitor(peer.name, peer.name === state.peer ? address : peer.address, peer.name === state.peer);
    }
    this.#listener.onConnected({ name: state.peer, address, cluster: state.cluster, version: state.version });
  }

  #monitor(name: string, address: string, isCertain: boolean): void {
    const known = this.#monitors.get(name);
    if (known !== undefined) {
      if (!isCertain || known.isAnswering || known.address === address) return;
      known.close();
    }
    this.#monitors.set(name, new PeerMonitor(name, address, this.#options.password, this.#listener));
  }

  /** Ends, or rejects, with the client. */
  async #watch(client: Client): Promise<void> {
    const items = client.watch("", {
      as: "bytes",
      values: false,
      perSecondMax: tuiFeedPerSecondMax,
      signal: this.#end.signal,
    });
    for await (const item of items) {
      if (item.type === "reset") this.#listener.onFeedNote("some changes were missed");
      else if (item.type === "left") this.#left += item.count;
      else
        this.#changes.push({
          type: item.type,
          key: latin1Of(item.key),
          expiresAtMs: item.expiresAtMs,
          origin: item.origin,
          stampMs: item.at,
          receivedAtMs: Date.now(),
        });
      this.#flushing ??= setTimeout(() => this.#flush(), feedBatchMs);
    }
  }

  #flush(): void {
    this.#flushing = undefined;
    if (this.#isClosed) return;
    const changes = this.#changes;
    const left = this.#left;
    this.#changes = [];
    this.#left = 0;
    if (changes.length > 0 || left > 0) this.#listener.onChanges(changes, left);
  }

  async #watchConflicts(client: Client): Promise<void> {
    let batch: ClusterConflict[] = [];
    // The journal comes as one conflict after the other, ten thousand of them perhaps.
    const flush = (): void => {
      if (!this.#isClosed) this.#listener.onConflicts(batch);
      batch = [];
    };
    for await (const conflict of client.watchConflicts({ as: "bytes", signal: this.#end.signal })) {
      if (batch.push(conflictOf(conflict)) === 1) setTimeout(flush, feedBatchMs);
    }
  }
}

/** A client that stays at one peer and listens to its status. */
class PeerMonitor {
  readonly name: string;
  readonly address: string;
  readonly #listener: ClusterListener;
  readonly #end = new AbortController();
  client: Client | undefined;
  isAnswering = false;

  constructor(name: string, address: string, password: string | undefined, listener: ClusterListener) {
    this.name = name;
    this.address = address;
    this.#listener = listener;
    void this.#follow(password);
  }

  close(): void {
    this.#end.abort();
    void this.client?.close();
  }

  async #follow(password: string | undefined): Promise<void> {
    const { signal } = this.#end;
    while (!signal.aborted) {
      const attempt = attemptOf(signal);
      try {
        const client = await connect(this.address, {
          ...(password === undefined ? {} : { password }),
          name: "chorus-tui",
          timeoutMs: connectMsMax,
          failFast: true,
          discover: false,
          signal: attempt.signal,
          onState: (state) => {
            if (state.kind === "connecting") this.#silent(state.why);
          },
        });
        this.client = client;
        for await (const report of client.watchStatus({ signal })) {
          this.isAnswering = true;
          if (!signal.aborted) this.#listener.onStatus(this.address, report);
        }
        await client.close();
      } catch (error) {
        this.#silent(messageOf(error));
      } finally {
        attempt.over();
      }
      await pause(retryMs, signal);
    }
  }

  #silent(why: string): void {
    this.isAnswering = false;
    if (!this.#end.signal.aborted) this.#listener.onSilent(this.name, this.address, why);
  }
}

// ---- Helpers ------------------------------------------------------------------------------------------------------------

const notConnected: CommandResult = {
  ok: false,
  error: { code: "UNREACHABLE", message: "not connected to that peer", outcome: "not-applied" },
};

const ask = async (client: Client, words: readonly Latin1[]): Promise<CommandResult> => {
  try {
    const reply = await client.command(words.map(latin1ToBytes), { as: "bytes", timeoutMs: commandMsMax });
    return { ok: true, reply: wireReplyOf(reply, linesOf.has((words[0] ?? "").toLowerCase())) };
  } catch (error) {
    if (error instanceof ChorusError) {
      const { code, message, outcome } = error;
      return { ok: false, error: { code, message, outcome } };
    }
    return { ok: false, error: { code: "ERR", message: messageOf(error), outcome: "unknown" } };
  }
};

/** Commands that answer with lines for people; the client does not tell their replies from other bytes. */
const linesOf: ReadonlySet<string> = new Set(["info", "help", "client", "memory"]);

/** Bytes were asked for, so what is a string is a status. */
const wireReplyOf = (reply: Reply, isLines: boolean): WireReply => {
  if (reply === null || typeof reply === "boolean") return reply;
  if (typeof reply === "number") return Number.isSafeInteger(reply) ? reply : { double: doubleOf(reply) };
  if (typeof reply === "bigint") return { integer: String(reply) };
  if (typeof reply === "string") return { status: reply };
  if (reply instanceof Uint8Array) return isLines ? { verbatim: bytesToWire(reply) } : bytesToWire(reply);
  if (reply instanceof ChorusError) return { error: { code: reply.code, message: reply.message } };
  if (reply instanceof Map)
    return { map: [...reply].map(([key, value]) => [wireReplyOf(key, false), wireReplyOf(value, false)] as const) };
  if (reply instanceof Set) return { set: [...reply].map((item) => wireReplyOf(item, false)) };
  // What is left is a list; Array.isArray does not narrow a readonly one.
  return (reply as readonly Reply[]).map((item) => wireReplyOf(item, isLines));
};

const doubleOf = (value: number): number | "inf" | "-inf" | "nan" => {
  if (Number.isNaN(value)) return "nan";
  return Number.isFinite(value) ? value : value > 0 ? "inf" : "-inf";
};

const latin1Of = (bytes: Uint8Array): Latin1 =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");

const conflictOf = ({ id, key, at, winner, loser, why, restored }: Conflict<"bytes">): ClusterConflict => ({
  id,
  key: latin1Of(key),
  atMs: at,
  winner: sideOf(winner),
  loser: sideOf(loser),
  why,
  restored,
});

const sideOf = ({ value, origin, dot, at }: Conflict<"bytes">["winner"]): ConflictSide => ({
  value: value === null ? null : latin1Of(value.subarray(0, tuiConflictValueBytesMax)),
  valueBytes: value?.length ?? 0,
  origin,
  dot,
  stampMs: at,
});

/** A signal of its own for each attempt: a client listens to its signal for as long as that lives, and there are many. */
const attemptOf = (whole: AbortSignal): { readonly signal: AbortSignal; over(): void } => {
  const controller = new AbortController();
  const onAbort = (): void => controller.abort();
  whole.addEventListener("abort", onAbort, { once: true });
  return {
    signal: controller.signal,
    over: () => {
      whole.removeEventListener("abort", onAbort);
      controller.abort();
    },
  };
};

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const addressOf = (url: string): string => {
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
};
