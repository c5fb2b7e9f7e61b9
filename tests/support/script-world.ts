/**
 * The world of the protocol scripts: real replicas on memory storage, a clock that moves only when told, and links whose
 * messages lie in queues until a script delivers them. Nothing is random and nothing waits, so a script's output is
 * always the same. It follows the shell's contract (server/replica/replica.ts): append, then send; a ceiling is on disk
 * before it counts.
 */
import { ByteReader, DecodeFault } from "../../protocol/bytes.ts";
import { readFrame } from "../../protocol/frames.ts";
import { decodeLinkMessage, type WireVector } from "../../protocol/link-messages.ts";
import { type Incarnation, type OriginId, type PeerName, parsePeerName } from "../../protocol/words.ts";
import {
  cellPrefix,
  conflictPrefix,
  InvariantError,
  metaKey,
  originPrefix,
  type Ready,
  Replica,
  type ReplicaEvent,
  readVersionVector,
} from "../../server/replica/index.ts";
import { type MemorySnapshot, MemoryStorage } from "../../server/storage/memory-storage.ts";
import { LogTrimmed } from "../../server/storage/storage.ts";

export const clockSkewMaxMs = 5000;
const startMs = Date.UTC(2030, 0, 1);
/** Deliveries of one `deliver all` before it is called endless. */
const deliveriesMax = 20_000;
const pumpRoundsMax = 2000;

export interface ScriptPeer {
  readonly name: PeerName;
  storage: MemoryStorage;
  /** undefined while it is down. */
  replica: Replica | undefined;
  skewMs: number;
  runs: number;
  backup: MemorySnapshot | undefined;
  /** Its disk was put back: the next start says so. */
  rolledBack: boolean;
}

export interface ScriptLink {
  readonly ends: readonly [ScriptPeer, ScriptPeer];
  /** Link id at each end; undefined once that end is closed. */
  readonly ids: [number | undefined, number | undefined];
  /** queues[0] holds what ends[0] sent to ends[1]. */
  readonly queues: [Uint8Array[], Uint8Array[]];
  /** Swallows what ends[0], ends[1] send. */
  readonly cut: [boolean, boolean];
  /** `deliver all` passes over it. */
  readonly held: [boolean, boolean];
}

export class ScriptWorld {
  readonly peers = new Map<string, ScriptPeer>();
  readonly links: ScriptLink[] = [];
  nowMs = startMs;
  elapsedMs = 1;
  /** What happened since the last look, a line each. */
  output: string[] = [];
  traced = false;
  /** Told of every ready() once its records are appended: what else a shell does with them. */
  onReady: (peer: ScriptPeer, ready: Ready) => void = () => {};
  #nextLinkId = 1;
  readonly #runs = new Map<string, string>();

  say(line: string): void {
    this.output.push(line);
  }

  peer(name: string | undefined): ScriptPeer {
    const peer = this.peers.get(name ?? "");
    if (peer === undefined) throw new Error(`no peer "${name}"`);
    return peer;
  }

  up(name: string | undefined): Replica {
    const { replica } = this.peer(name);
    if (replica === undefined) throw new Error(`${name} is down`);
    return replica;
  }

  // ---- words ----------------------------------------------------------------------------------------------------------

  /** Origins by their run: `a2` is the second start of a. */
  originText(id: OriginId): string {
    return this.#runs.get(id) ?? id;
  }

  /** The origin of a run: `a2`. */
  originOf(text: string): OriginId {
    for (const [id, run] of this.#runs) if (run === text) return id as OriginId;
    throw new Error(`no run "${text}"`);
  }

  dotText(dot: string): string {
    const [id, seq] = dot.split(":");
    return `${this.originText(id as OriginId)}:${seq}`;
  }

  vectorText(vv: WireVector): string {
    const parts = vv.map(([origin, seq]) => `${this.originText(origin)}:${seq}`);
    return `[${parts.sort().join(" ")}]`;
  }

  /** A vector of one replica, in its own numbers. */
  vvText(replica: Replica, vv: readonly number[]): string {
    return this.vectorText(replica.state.wire(vv));
  }

  // ---- peers ----------------------------------------------------------------------------------------------------------

  create(names: readonly string[]): void {
    for (const text of names) {
      const name = parsePeerName(text);
      if (name === undefined) throw new Error(`"${text}" is no name`);
      this.peers.set(name, {
        name,
        storage: new MemoryStorage(),
        replica: undefined,
        skewMs: 0,
        runs: 0,
        backup: undefined,
        rolledBack: false,
      });
    }
  }

  /** Recovery as server/recovery.ts does it, without the waiting; then a new run. */
  start(
    peer: ScriptPeer,
    options: { readonly bootstrap: boolean; readonly journalMax?: number; readonly tornAt?: number },
  ): void {
    const { storage } = peer;
    const replica = new Replica({
      name: peer.name,
      peers: [...this.peers.values()].map(({ name }) => name),
      clockSkewMaxMs,
      conflicts: { entriesMax: options.journalMax ?? 100, bytesMax: 1 << 20 },
      recentBytesMax: 0,
    });
    try {
      let cells = 0;
      for (const prefix of [originPrefix, Buffer.from("f"), metaKey, cellPrefix, conflictPrefix]) {
        const entries = storage.entriesNow(prefix);
        for (const [key, value] of entries) replica.restoreEntry(key, value);
        if (prefix === cellPrefix) cells = entries.length;
      }
      const from = replica.state.nextLsn;
      replica.restoreSegments(
        storage.log.segments
          .filter((segment) => segment.firstLsn < from)
          .map(({ firstLsn, note }) => ({
            lsn: firstLsn,
            vv: note.length === 0 ? [] : readVersionVector(new ByteReader(note), replica.state.origins),
          })),
      );
      for (const record of storage.replayNow(from)) replica.replay(record);
      const firstStart = replica.state.nextLsn === 1 && cells === 0;
      replica.recovered(storage.log.firstLsn);
      peer.runs++;
      replica.start({
        nowMs: this.nowMs + peer.skewMs,
        elapsedMs: this.elapsedMs,
        random: "0000",
        bootstrap: options.bootstrap,
        rolledBack: peer.rolledBack,
        firstStart,
      });
    } catch (error) {
      if (!(error instanceof InvariantError) && !(error instanceof DecodeFault)) throw error;
      this.say(`${peer.name} does not start: ${error.message}`);
      return;
    }
    if (options.tornAt !== undefined) {
      // The power went while the run's first records were being written: so many of them are left.
      const { append } = replica.ready();
      const draws = [(options.tornAt + 0.5) / (append.length + 1)];
      storage.log.append(append);
      storage.crash("power", () => draws.shift() ?? 0.9);
      return;
    }
    peer.rolledBack = false;
    peer.replica = replica;
    this.#runs.set(`${peer.name}.${replica.state.incarnation}`, `${peer.name}${peer.runs}`);
    this.pump();
  }

  crash(
    peer: ScriptPeer,
    kind: "kill" | "power" | "disk",
    options: { readonly keep: number; readonly lateReader: string | undefined },
  ): void {
    const { log } = peer.storage;
    const unsynced = log.nextLsn - log.syncedLsn;
    peer.replica = undefined;
    if (kind === "disk") peer.storage = new MemoryStorage();
    else {
      const draws = [(Math.min(options.keep, unsynced) + 0.5) / (unsynced + 1)];
      const lost = peer.storage.crash(kind, () => draws.shift() ?? 0.9);
      if (lost > 0) this.say(`${peer.name} lost ${lost} log record(s)`);
    }
    for (const link of this.links) {
      const side = link.ends.indexOf(peer);
      if (side < 0) continue;
      link.ids[side] = undefined;
      const other = link.ends[1 - side] as ScriptPeer;
      link.queues[1 - side] = [];
      // The late reader has not seen the end of the connection yet: what was sent to it is still to be read.
      if (other.name !== options.lateReader) this.#closeEnd(link, 1 - side);
    }
    this.#sweepLinks();
  }

  // ---- links ----------------------------------------------------------------------------------------------------------

  linkBetween(a: ScriptPeer, b: ScriptPeer): ScriptLink | undefined {
    return this.links.find((link) => link.ends.includes(a) && link.ends.includes(b));
  }

  connect(a: ScriptPeer, b: ScriptPeer): void {
    if (a.replica === undefined || b.replica === undefined) return;
    const old = this.linkBetween(a, b);
    if (old !== undefined) this.drop(old);
    const ids: [number, number] = [this.#nextLinkId++, this.#nextLinkId++];
    this.links.push({ ends: [a, b], ids: [...ids], queues: [[], []], cut: [false, false], held: [false, false] });
    this.touch(a);
    this.touch(b);
    a.replica.linkUp(ids[0], b.name, b.replica.state.incarnation);
    b.replica.linkUp(ids[1], a.name, a.replica.state.incarnation);
    this.pump();
  }

  #closeEnd(link: ScriptLink, side: number): void {
    const id = link.ids[side];
    link.ids[side] = undefined;
    link.queues[1 - side] = [];
    if (id !== undefined) link.ends[side]?.replica?.linkDown(id);
  }

  drop(link: ScriptLink): void {
    this.#closeEnd(link, 0);
    this.#closeEnd(link, 1);
    this.#sweepLinks();
    this.pump();
  }

  #sweepLinks(): void {
    for (let index = this.links.length - 1; index >= 0; index--) {
      const link = this.links[index] as ScriptLink;
      if (link.ids[0] === undefined && link.ids[1] === undefined) this.links.splice(index, 1);
    }
  }

  /** The side of `from` on its link to `to`. */
  side(from: string | undefined, to: string | undefined): readonly [ScriptLink, 0 | 1] {
    const link = this.linkBetween(this.peer(from), this.peer(to));
    if (link === undefined) throw new Error(`no link between ${from} and ${to}`);
    return [link, link.ends[0] === this.peer(from) ? 0 : 1];
  }

  /** Hands over what lies first in a queue; false when there is nothing. */
  deliverOne(link: ScriptLink, side: 0 | 1): boolean {
    const bytes = link.queues[side].shift();
    if (bytes === undefined) return false;
    const to = link.ends[1 - side] as ScriptPeer;
    const from = link.ends[side] as ScriptPeer;
    if (this.traced) this.say(`${from.name}->${to.name} ${this.messageText(bytes)}`);
    this.hand(to, link, 1 - side, bytes);
    return true;
  }

  hand(to: ScriptPeer, link: ScriptLink, side: number, bytes: Uint8Array): void {
    const id = link.ids[side];
    if (to.replica === undefined || id === undefined) return;
    this.touch(to);
    try {
      to.replica.receive(id, bytes);
    } catch (error) {
      if (!(error instanceof DecodeFault)) throw error;
      this.say(`${to.name} closes the link: ${error.message}`);
      this.drop(link);
    }
    this.pump();
  }

  /** Everything there is to read, scans included, until nothing moves. */
  deliverAll(): void {
    for (let count = 0; ; ) {
      let moved = false;
      for (const link of [...this.links]) {
        for (const side of [0, 1] as const) {
          if (link.held[side]) continue;
          while (this.deliverOne(link, side)) {
            moved = true;
            if (++count > deliveriesMax) throw new Error("deliver all: no end in sight");
          }
        }
      }
      for (const peer of this.peers.values()) if (this.scan(peer)) moved = true;
      if (!moved) return;
    }
  }

  /** One slice of every scan under way: `bytesMax` 1 is one cell. */
  scan(peer: ScriptPeer, bytesMax?: number): boolean {
    const { replica } = peer;
    if (replica === undefined) return false;
    const scanning = replica.scanning();
    this.touch(peer);
    for (const id of scanning) replica.scanSlice(id, bytesMax);
    this.pump();
    return scanning.length > 0;
  }

  // ---- the shell's loop -----------------------------------------------------------------------------------------------

  /** Tells the replica the time; the ceiling is raised first when the clock has run past it. */
  touch(peer: ScriptPeer): void {
    const { replica } = peer;
    if (replica === undefined) return;
    replica.setTime(this.nowMs + peer.skewMs, this.elapsedMs);
    if (!replica.hasHeadroom(0)) this.#raise(peer, replica, 0);
  }

  #raise(peer: ScriptPeer, replica: Replica, wanted: number): void {
    const ceiling = replica.raiseCeiling(wanted);
    this.#take(peer, replica.ready());
    peer.storage.syncNow();
    replica.ceilingDurable(ceiling);
  }

  /** Takes what every replica has to do, until none has any more. */
  pump(): void {
    for (let again = true, rounds = 0; again; rounds++) {
      again = false;
      if (rounds > pumpRoundsMax) throw new Error("a replica has work without end");
      for (const peer of this.peers.values()) {
        const { replica } = peer;
        if (replica?.hasWork !== true) continue;
        again = true;
        const ready = replica.ready();
        this.#take(peer, ready);
        if (ready.ceilingWanted > 0 || !replica.hasHeadroom(replica.ceilingMarginMs)) {
          this.#raise(peer, replica, ready.ceilingWanted);
        }
        if (ready.syncWanted) this.sync(peer);
      }
    }
  }

  sync(peer: ScriptPeer): void {
    const { replica } = peer;
    if (replica === undefined) return;
    this.touch(peer);
    this.#take(peer, replica.ready());
    const token = replica.syncBegin();
    peer.storage.syncNow();
    replica.syncEnd(token);
  }

  #take(peer: ScriptPeer, ready: Ready): void {
    const { replica, storage } = peer;
    if (ready.append.length > 0) storage.log.append(ready.append);
    this.onReady(peer, ready);
    for (const { link: id, bytes } of ready.send) {
      const link = this.links.find((candidate) => candidate.ids.includes(id));
      if (link === undefined) continue;
      const side = link.ids[0] === id ? 0 : 1;
      if (!link.cut[side] && link.ids[1 - side] !== undefined) link.queues[side].push(bytes);
    }
    for (const { link, from, bytesMax } of ready.reads) {
      let records: ReturnType<MemoryStorage["readNow"]> | undefined;
      try {
        records = storage.readNow(from, bytesMax);
      } catch (error) {
        if (!(error instanceof LogTrimmed)) throw error;
      }
      replica?.logRead(link, records);
    }
    for (const event of ready.events) this.#onEvent(peer, event);
    for (const { identical, differences } of ready.comparisons) {
      const keys = differences.map(
        ({ key, here, there }) => ` ${key}:${here === "" ? "-" : "+"}${there === "" ? "-" : "+"}`,
      );
      this.say(`${peer.name}: compared, ${identical ? "identical" : `differs at${keys.join("")}`}`);
    }
    for (const { link: id, reason } of ready.close) {
      const link = this.links.find((candidate) => candidate.ids.includes(id));
      if (link === undefined) continue;
      this.say(`${peer.name} closes a link to ${link.ends[link.ids[0] === id ? 1 : 0].name}: ${reason}`);
      this.drop(link);
    }
  }

  #onEvent(peer: ScriptPeer, event: ReplicaEvent): void {
    const { name } = peer;
    switch (event.type) {
      case "caught-up":
        return this.say(`${name}: sent ${event.peer} ${event.frames} frame(s), ${event.ops} op(s) from the log`);
      case "transfer-started":
        if (!event.outgoing) return undefined;
        return this.say(`${name}: ${event.full ? "full" : "incremental"} transfer to ${event.peer} begins`);
      case "transfer-installed":
        return this.say(
          `${name}: ${event.full ? "full" : "incremental"} transfer from ${event.peer} installed, ${event.cells} cell(s), ${event.dropped} dropped`,
        );
      case "gate-opened":
        return this.say(`${name}: gate opened, ${event.why}`);
      case "stream-paused":
        return this.say(
          `${name}: stream of ${this.originText(event.origin)} paused, ${Math.round(event.aheadMs)} ms ahead`,
        );
      case "digest-mismatch":
        return this.say(`${name}: ALARM digest differs from ${event.peer}'s`);
      case "repaired":
        return this.say(`${name}: repaired ${event.keys} key(s) from ${event.peer}`);
      case "fatal": {
        this.say(
          `${name}: FATAL ${event.reason.replace(/[a-z0-9_-]+\.[0-9a-z]{15}/g, (id) => this.originText(id as OriginId))}`,
        );
        this.crash(peer, "kill", { keep: 0, lateReader: undefined });
        return undefined;
      }
      default:
        return event satisfies never;
    }
  }

  // ---- messages in words ----------------------------------------------------------------------------------------------

  messageText(bytes: Uint8Array): string {
    const message = decodeLinkMessage(bytes);
    switch (message.kind) {
      case "hello":
        return `hello ${this.vectorText(message.vv)}${message.gated ? " gated" : ""}${message.empty ? " empty" : ""}`;
      case "frames":
      case "transfer-frames":
        return `${message.kind} ${framesText(this, message.frames)}`;
      case "heartbeat":
        return `heartbeat ${this.vectorText(message.vv)} facts ${message.facts.map((fact) => `${this.#runText(fact)}${this.vectorText(fact.vv)}`).join(" ")}`;
      case "fetch":
      case "caught-up":
      case "synced":
        return `${message.kind} ${this.vectorText(message.vv)}`;
      case "transfer-begin":
        return `transfer-begin ${message.full ? "full" : "incremental"} ${this.vectorText(message.vv0)}`;
      case "transfer-end":
        return `transfer-end ${this.vectorText(message.vvEnd)} floor ${this.vectorText(message.floor)}`;
      default:
        return message.kind;
    }
  }

  #runText({ peer, incarnation }: { readonly peer: PeerName; readonly incarnation: Incarnation }): string {
    return this.originText(`${peer}.${incarnation}` as OriginId);
  }
}

const framesText = (world: ScriptWorld, bytes: Uint8Array): string => {
  const input = new ByteReader(bytes);
  const parts: string[] = [];
  while (input.left > 0) {
    const frame = readFrame(input);
    const range = frame.count === 1 ? `${frame.first}` : `${frame.first}-${frame.last}`;
    const context = frame.contextDelta.length === 0 ? "" : `(${world.vectorText(frame.contextDelta)})`;
    parts.push(`${world.originText(frame.origin)}:${range}${context}`);
  }
  return parts.join(" ");
};
