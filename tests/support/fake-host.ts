/** A peer around a fake keyspace, and sessions that answer into memory: the commands run, without ports and peers. */
import { RespWriter } from "../../protocol/resp.ts";
import { PlainWriter, splitArguments } from "../../protocol/text.ts";
import { type Executor, makeExecutor } from "../../server/commands/execute.ts";
import type {
  CommandHost,
  ConflictReport,
  DiffReport,
  DigestReport,
  LinkFaultControl,
  PeerReport,
  Session,
  TraceReport,
} from "../../server/commands/session.ts";
import { LatencyEvents } from "../../server/metrics/latency-events.ts";
import { SlowLog } from "../../server/metrics/slow-log.ts";
import { PubSubHub, type Subscriber } from "../../server/pubsub/hub.ts";
import { Monitors } from "../../server/pubsub/monitors.ts";
import { parseNotifyFlags } from "../../server/pubsub/notify-flags.ts";
import type { PushTarget, PushText } from "../../server/pubsub/push.ts";
import { notifyParameter, slowCommandParameters } from "../../server/runtime-parameters.ts";
import { FakeKeyspace } from "./fake-keyspace.ts";
import { FakeStrongKeys } from "./fake-strong-keys.ts";

export class FakeHost implements CommandHost {
  readonly keyspace = new FakeKeyspace();
  readonly peerName = "a";
  readonly version = "0.1.0";
  checkPassword: ((user: string, password: string) => boolean) | undefined = undefined;
  readonly connected = new Map<number, Session>();
  readonly killed: Session[] = [];
  refusesWrites: string | undefined;
  refusesGrowth: string | undefined;
  refusesReads: string | undefined;
  refusesStrongWrites: string | undefined;
  conflictReports: readonly ConflictReport[] = [];
  traceReport: TraceReport | undefined;
  readonly strong = new FakeStrongKeys();
  readonly pubSub = new PubSubHub();
  readonly monitors = new Monitors();
  readonly slowLog = new SlowLog();
  readonly latencyEvents = new LatencyEvents();
  linkFaults: LinkFaultControl | undefined = undefined;
  diffResult: Promise<DiffReport> | undefined;
  /** What `waitForPeers` was asked for, and what it answers. */
  readonly waits: (readonly [seq: number, count: number, timeoutMs: number])[] = [];
  held = 2;
  shutdowns = 0;
  /** Undefined: the machine's clock. */
  clockMs: number | undefined;
  readonly config = new Map([
    ["save", ""],
    ["appendonly", "yes"],
    ["maxmemory", "0"],
    ["databases", "1"],
    ["port", "5001"],
  ]);
  readonly #notifyFlags = {
    flags: "",
    setFlags: (text: string) => {
      this.#notifyFlags.flags = parseNotifyFlags(text) ?? "";
      return true;
    },
  };
  readonly #settable = [notifyParameter(this.#notifyFlags), ...slowCommandParameters(this.slowLog, this.latencyEvents)];
  readonly infoSections = new Map<string, Map<string, string | number>>([
    [
      "Server",
      new Map<string, string | number>([
        ["redis_version", "7.4.0"],
        ["redis_mode", "standalone"],
        ["tcp_port", 5001],
      ]),
    ],
    [
      "Clients",
      new Map<string, string | number>([
        ["connected_clients", 1],
        ["blocked_clients", 0],
      ]),
    ],
    [
      "Memory",
      new Map<string, string | number>([
        ["used_memory", 1_048_576],
        ["used_memory_human", "1.00M"],
      ]),
    ],
    ["Persistence", new Map([["loading", 0]])],
    [
      "Stats",
      new Map([
        ["total_connections_received", 1],
        ["total_commands_processed", 1],
      ]),
    ],
    ["Replication", new Map([["role", "master"]])],
  ]);

  sessions(): Iterable<Session> {
    return this.connected.values();
  }

  session(id: number): Session | undefined {
    return this.connected.get(id);
  }

  kill(session: Session): void {
    this.killed.push(session);
    session.closing = true;
  }

  strongWriteRefusal(): string | undefined {
    return this.refusesStrongWrites;
  }

  writeRefusal(grows: boolean): string | undefined {
    return this.refusesWrites ?? (grows ? this.refusesGrowth : undefined);
  }

  readRefusal(): string | undefined {
    return this.refusesReads;
  }

  configuration(): ReadonlyMap<string, string> {
    return new Map([...this.config, ...this.#settable.map((each) => [each.name, each.value()] as const)]);
  }

  configurationRefusal(name: string, value: string): string | undefined {
    const parameter = this.#settable.find((each) => each.name === name);
    return parameter === undefined ? "can't set immutable config" : parameter.refusal(value);
  }

  configure(name: string, value: string): void {
    this.#settable.find((each) => each.name === name)?.set(value);
  }

  info(): ReadonlyMap<string, ReadonlyMap<string, string | number>> {
    const keys = this.keyspace.size;
    const keyspaceSection = new Map<string, string | number>(
      keys === 0 ? [] : [["db0", `keys=${keys},expires=${this.keyspace.sizeWithExpiry},avg_ttl=0`]],
    );
    return new Map([...this.infoSections, ["Keyspace", keyspaceSection]]);
  }

  random(): number {
    return Math.random();
  }

  wallMs(): number {
    return this.clockMs ?? Date.now();
  }

  get lastSeq(): number {
    return this.keyspace.writes;
  }

  waitForPeers(seq: number, count: number, timeoutMs: number): Promise<number> {
    this.waits.push([seq, count, timeoutMs]);
    return Promise.resolve(this.held);
  }

  heldByPeers(seq: number): number {
    return seq === this.lastSeq ? 0 : this.held;
  }

  flushAll(): Promise<void> {
    this.keyspace.clear();
    return Promise.resolve();
  }

  shutdown(): void {
    this.shutdowns += 1;
  }

  peers(): readonly PeerReport[] {
    return [fakePeer("a", true), fakePeer("b", false), fakePeer("c", false)];
  }

  conflicts(key: string | undefined): readonly ConflictReport[] {
    return this.conflictReports.filter((conflict) => key === undefined || conflict.key === key);
  }

  restoreConflict(id: string): boolean {
    const conflict = this.conflictReports.find((candidate) => candidate.id === id);
    if (conflict?.loser.value !== undefined) this.keyspace.set(conflict.key, conflict.loser.value, 0);
    return conflict !== undefined;
  }

  trace(key: string): TraceReport | undefined {
    return this.traceReport?.key === key ? this.traceReport : undefined;
  }

  digest(): DigestReport {
    return {
      digest: "00c0ffee00c0ffee",
      keys: this.keyspace.size,
      versionVector: new Map([["a.000000000000001", this.lastSeq]]),
      peers: [{ peer: "b", verdict: "identical" }],
    };
  }

  diff(peer: string): Promise<DiffReport> {
    return this.diffResult ?? Promise.reject(new Error(`ERR no peer '${peer}'`));
  }
}

const fakePeer = (name: string, self: boolean): PeerReport => ({
  name,
  self,
  incarnation: "000000000000001",
  state: "up",
  address: "127.0.0.1:6001",
  rttMs: self ? undefined : 0.25,
  clockOffsetMs: self ? undefined : -1,
  lagOps: 0,
  lagMs: 0,
  behindOps: 0,
  verdict: "identical",
  queuedBytes: 0,
  factCounts: true,
  tombstonesHeld: 0,
  tombstoneBytesHeld: 0,
  digest: "00c0ffee00c0ffee",
  fault: "none",
  gated: false,
  note: "",
});

let sessionsMade = 0;

export class FakeSession implements Session, PushTarget {
  readonly id: number;
  readonly address: string;
  readonly localAddress = "127.0.0.1:5001";
  readonly connectedAtMs = Date.now();
  name = "";
  libraryName = "";
  libraryVersion = "";
  noEvict = false;
  noTouch = false;
  authenticated = true;
  lastCommand = "";
  lastCommandAtMs = 0;
  queue: string[][] | undefined;
  queueBroken = false;
  watched: Map<string, string> | undefined;
  closing = false;
  lastWriteSeq = 0;
  reply: RespWriter | PlainWriter;
  readonly queuedInputBytes = 0;
  readonly pushTarget: PushTarget = this;
  subscriber: Subscriber | undefined;

  constructor(protocol: 0 | 2 | 3) {
    sessionsMade += 1;
    this.id = sessionsMade;
    this.address = `127.0.0.1:${40_000 + sessionsMade}`;
    this.reply = protocol === 0 ? new PlainWriter() : new RespWriter();
    if (protocol === 3) this.setProtocol(3);
  }

  setProtocol(protocol: 2 | 3): void {
    if (!(this.reply instanceof RespWriter)) this.reply = new RespWriter();
    this.reply.protocol = protocol;
  }

  /** Between two replies; a command of this very session is not told from others here. */
  push(text: PushText): void {
    this.reply.append(text.text(this.reply.protocol));
  }

  answer(text: PushText): void {
    this.push(text);
  }

  get queuedOutputBytes(): number {
    return this.reply.length;
  }
}

/** One client of a fake peer. */
export class FakeClient {
  readonly session: FakeSession;
  readonly #execute: Executor;

  constructor(host: FakeHost, execute: Executor, protocol: 0 | 2 | 3) {
    this.session = new FakeSession(protocol);
    this.session.authenticated = host.checkPassword === undefined;
    host.connected.set(this.session.id, this.session);
    this.#execute = execute;
  }

  /** Runs one command and gives the raw reply. */
  async send(words: readonly string[]): Promise<string> {
    await this.#execute(this.session, words);
    return this.session.reply.take();
  }

  /** The same, of a line with redis-cli's quoting. */
  async line(text: string): Promise<string> {
    const words = splitArguments(text);
    if (words === undefined) throw new Error(`quotes do not balance: ${text}`);
    return await this.send(words);
  }
}

export interface FakePeer {
  readonly host: FakeHost;
  readonly execute: Executor;
  client(protocol?: 0 | 2 | 3): FakeClient;
}

export const fakePeerWithCommands = (): FakePeer => {
  const host = new FakeHost();
  const execute = makeExecutor(host);
  return { host, execute, client: (protocol = 2) => new FakeClient(host, execute, protocol) };
};
