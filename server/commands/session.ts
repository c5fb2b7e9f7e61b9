/**
 * What a command handler sees: the connection it runs for, the map it works on, and the peer it runs in.
 *
 * These interfaces are the seam between the ports (bytes), the commands (semantics) and the peer (replication): each
 * side can be built and tested with a small fake of the others. All keys and values are latin1 strings, one character a
 * byte.
 */
import type { ReplyWriter } from "../../protocol/reply.ts";
import type { LinkFault, LinkVerdict } from "../../protocol/status.ts";
import type { LatencyEvents } from "../metrics/latency-events.ts";
import type { SlowLog } from "../metrics/slow-log.ts";
import type { PubSubHub, Subscriber } from "../pubsub/hub.ts";
import type { Monitors } from "../pubsub/monitors.ts";
import type { PushTarget } from "../pubsub/push.ts";
import type { Holding, Operation, Outcome } from "../registers/index.ts";

/** The replicated map as one command sees it. Synchronous; the core implements it. */
export interface Keyspace {
  /**
   * Starts a command (or a whole EXEC): `nowMs` is the wall clock its reads filter expiry by, and the writes that
   * follow share one stamp.
   */
  begin(nowMs: number): void;
  readonly nowMs: number;
  /** The value a client sees; undefined when absent, deleted or expired. A counter's value is its decimal text. */
  get(key: string): string | undefined;
  has(key: string): boolean;
  /** Absolute unix ms; 0 when the key has no expiry; undefined when there is no such key. */
  expiresAt(key: string): number | undefined;
  /** Writes the whole value. `expiresAtMs` absolute unix ms, 0 for none. */
  set(key: string, value: string, expiresAtMs: number): void;
  /** True when the key was visible. Writes nothing for a key that is not there. */
  delete(key: string): boolean;
  /** Adds to a counter; the result is the local value after it. A new key counts from 0. Keeps the key's expiry. */
  increment(
    key: string,
    delta: number | bigint,
  ):
    | { readonly ok: true; readonly value: number | bigint }
    | { readonly ok: false; readonly error: "not-an-integer" | "overflow" };
  /** Keys in the map that are not deleted (an expired one may be counted until it is purged, as in Redis). */
  readonly size: number;
  readonly sizeWithExpiry: number;
  /**
   * Visits about `count` keys that are there, from `cursor` on (0 starts), and returns the next cursor, 0 at the end. Every
   * key that stays in the map during the whole pass is visited at least once. Cursors are safe integers.
   */
  scan(cursor: number, count: number, visit: (key: string) => void): number;
  /** `random` in [0, 1). Undefined when the map is empty. */
  randomKey(random: number): string | undefined;
  /** Equal tokens mean that the key was not written in between: what WATCH compares. */
  watchToken(key: string): string;
  /** Changes with what the key shows, and is equal at every peer that shows it so; undefined when absent. */
  version(key: string): string | undefined;
  /** Estimated bytes of memory the key and its value hold; undefined when absent. */
  memoryUsage(key: string): number | undefined;
}

/** One client connection, of any port. */
export interface Session {
  readonly id: number;
  /** `ip:port` of the client and of this peer's end. */
  readonly address: string;
  readonly localAddress: string;
  readonly connectedAtMs: number;
  name: string;
  libraryName: string;
  libraryVersion: string;
  noEvict: boolean;
  noTouch: boolean;
  authenticated: boolean;
  lastCommand: string;
  lastCommandAtMs: number;
  /** MULTI state: commands queued so far; undefined outside MULTI. */
  queue: string[][] | undefined;
  /** A queued command was bad: EXEC answers EXECABORT. */
  queueBroken: boolean;
  /** WATCH: key to token. */
  watched: Map<string, string> | undefined;
  /** Set by QUIT, CLIENT KILL and the like: close once what was answered is out. */
  closing: boolean;
  /** The seq at this peer after this session's last write: what WAIT waits for. */
  lastWriteSeq: number;
  readonly reply: ReplyWriter;
  /** Changes the dialect of all replies that follow (HELLO, RESET). */
  setProtocol(protocol: 2 | 3): void;
  /** Undefined: this kind of connection is sent nothing that it did not ask for, so it cannot SUBSCRIBE. */
  readonly pushTarget?: PushTarget | undefined;
  /** What it listens to; undefined: nothing. The hub's. */
  subscriber?: Subscriber | undefined;
  /** Bytes of commands not yet run and of replies not yet taken by the client: CLIENT LIST shows them. */
  readonly queuedInputBytes: number;
  readonly queuedOutputBytes: number;
}

/** Strong keys, as commands see them. */
export interface StrongKeyHost {
  /** Keys that begin with one of these are strong. */
  readonly prefixes: readonly string[];
  isStrong(key: string): boolean;
  /** Resolves within the timeout, whatever happens. */
  operate(key: string, operation: Operation, operationId?: string): Promise<Outcome>;
  trace(key: string): Promise<readonly Holding[]>;
  /** The error line of an operation that no majority answered. */
  whyNoQuorum(): string;
  /** Live keys at this peer's acceptor; may be stale. */
  readonly keyCount: number;
  /** Where a scan of them begins. */
  readonly scanStart: number;
  /** Visits about `count` of them from `cursor` on and returns where to go on, 0 at the end. No key that stays is missed. */
  scan(cursor: number, count: number, visit: (key: string) => void): number;
}

/** The peer a command runs in. */
export interface CommandHost {
  readonly keyspace: Keyspace;
  readonly strong: StrongKeyHost;
  readonly peerName: string;
  readonly version: string;
  /** undefined: no password, everybody is authenticated. Compared in constant time. */
  readonly checkPassword: ((user: string, password: string) => boolean) | undefined;
  sessions(): Iterable<Session>;
  session(id: number): Session | undefined;
  /** Closes another session's connection. */
  kill(session: Session): void;
  /** Undefined when writes are taken; else the whole error line, such as `CLOCKSKEW ...`. `grows`: flagged denyoom. */
  writeRefusal(grows: boolean): string | undefined;
  /** The same for writes of strong keys, which need neither clocks nor `--acks`. */
  strongWriteRefusal(grows: boolean): string | undefined;
  /** Undefined when reads are answered; else the error line (`LOADING ...`). */
  readRefusal(): string | undefined;
  readonly pubSub: PubSubHub;
  readonly monitors: Monitors;
  readonly slowLog: SlowLog;
  readonly latencyEvents: LatencyEvents;
  /** Why CONFIG SET may not set this, in Redis's words; undefined: it may. Names are lower case and known. */
  configurationRefusal(name: string, value: string): string | undefined;
  /** Only what is not refused. */
  configure(name: string, value: string): void;
  /** Every configuration value, for CONFIG GET: Redis's own names where there is one. */
  configuration(): ReadonlyMap<string, string>;
  /** Sections of INFO in order: heading to fields in order. */
  info(): ReadonlyMap<string, ReadonlyMap<string, string | number>>;
  /** Random in [0, 1): RANDOMKEY. */
  random(): number;
  wallMs(): number;
  /** The seq of this peer's latest write. */
  readonly lastSeq: number;
  /** Resolves with how many other peers hold (on disk) all up to `seq`, once `count` do, `timeoutMs` (0: for ever) passed, or the client is gone. */
  waitForPeers(seq: number, count: number, timeoutMs: number, isGone: () => boolean): Promise<number>;
  /** How many other peers hold (on disk) all up to `seq` now: WAIT inside MULTI, which may not wait. */
  heldByPeers(seq: number): number;
  flushAll(): Promise<void>;
  shutdown(): void;
  peers(): readonly PeerReport[];
  conflicts(key: string | undefined): readonly ConflictReport[];
  /** Writes the loser back as a new write. False: no such conflict in this peer's journal. */
  restoreConflict(id: string): boolean;
  trace(key: string): TraceReport | undefined;
  digest(): DigestReport;
  /** Compares this peer's map with another's, key by key where they differ. Rejects with an Error whose message is a Redis error line. */
  diff(peer: string): Promise<DiffReport>;
  /** Undefined unless the peer was started with --fault-links. */
  readonly linkFaults: LinkFaultControl | undefined;
}

export interface PeerReport {
  readonly name: string;
  readonly self: boolean;
  readonly incarnation: string;
  /** `up`, `connecting`, `catching-up`, `transfer`, `down`. */
  readonly state: string;
  readonly address: string;
  readonly rttMs: number | undefined;
  readonly clockOffsetMs: number | undefined;
  /** Ops this peer has that the other is not known to have. */
  readonly lagOps: number;
  /** How long it has lacked the oldest of this peer's own writes that it lacks. Undefined: it lacks others only. */
  readonly lagMs: number | undefined;
  /** Ops it told of that this peer has yet to get. */
  readonly behindOps: number;
  readonly verdict: LinkVerdict;
  readonly queuedBytes: number;
  /** Whether this peer's fact counts now: see purge. Otherwise tombstones are held back by it. */
  readonly factCounts: boolean;
  readonly tombstonesHeld: number;
  readonly tombstoneBytesHeld: number;
  readonly digest: string | undefined;
  readonly gated: boolean;
  readonly fault: LinkFault;
  readonly note: string;
}

/** Cuts links on purpose: FAULT LINK. */
export interface LinkFaultControl {
  /** In addition to what is cut. False: no other peer has this name. */
  cut(peer: string, what: Exclude<LinkFault, "none">): boolean;
  heal(peer: string, what: Exclude<LinkFault, "none">): boolean;
  /** Every other peer. */
  list(): ReadonlyMap<string, LinkFault>;
}

export interface ConflictReport {
  readonly id: string;
  readonly key: string;
  readonly atMs: number;
  /** undefined: the write was a delete. */
  readonly winner: {
    readonly value: string | undefined;
    readonly dot: string;
    readonly stampMs: number;
    readonly origin: string;
  };
  readonly loser: {
    readonly value: string | undefined;
    readonly dot: string;
    readonly stampMs: number;
    readonly origin: string;
  };
  readonly why: string;
  readonly restored: boolean;
}

export interface TraceReport {
  readonly key: string;
  readonly state: "live" | "deleted" | "expired";
  readonly origin: string;
  readonly dot: string;
  readonly stampMs: number;
  readonly ageMs: number;
  readonly expiresAtMs: number;
  readonly holders: readonly { readonly peer: string; readonly holds: "durable" | "memory" | "not-yet" | "unknown" }[];
}

export interface DigestReport {
  readonly digest: string;
  readonly keys: number;
  readonly versionVector: ReadonlyMap<string, number>;
  readonly peers: readonly { readonly peer: string; readonly verdict: string }[];
}

export interface DiffReport {
  readonly identical: boolean;
  readonly keys: readonly { readonly key: string; readonly here: string; readonly there: string }[];
  readonly truncated: boolean;
}
