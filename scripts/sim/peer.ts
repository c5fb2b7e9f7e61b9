/**
 * One simulated peer: the production Replica, a disk in memory, a clock of its own, and the shell's contract around them.
 *
 * Every step of the contract (replica.ts) is a method here, called at its own random moment: what was taken from ready()
 * leaves for the other peers at once, is appended later, synced later still; a checkpoint slice is taken, and written
 * after other things happened. A crash may come between any two.
 */
import { ByteReader } from "../../protocol/bytes.ts";
import type { Incarnation, PeerName } from "../../protocol/words.ts";
import type { Entry } from "../../server/replica/checkpoint.ts";
import type { LogRead } from "../../server/replica/outgoing.ts";
import { Replica, type SyncToken } from "../../server/replica/replica.ts";
import type { AppendedRecord } from "../../server/replica/state.ts";
import { readVersionVector } from "../../server/replica/version-vector.ts";
import { type CrashKind, type MemorySnapshot, MemoryStorage } from "../../server/storage/memory-storage.ts";
import { LogTrimmed } from "../../server/storage/storage.ts";
import { checkAll, checkStored, observe } from "./checks.ts";
import type { End } from "./network.ts";
import { coversAll, violate } from "./oracle.ts";
import type { World } from "./world.ts";

/** A write to the checkpoint store that was handed over and is not done yet. In order. */
interface PendingWrite {
  readonly entries: readonly Entry[];
  /** The sweep's last: with it on disk the checkpoint counts. */
  readonly endsSweep: boolean;
  /** The log must be on disk up to here first. */
  readonly nextLsn: number;
}

export interface Backup {
  readonly disk: MemorySnapshot;
  readonly vv: readonly number[];
  readonly installedVv: readonly number[];
}
const base36 = "0123456789abcdefghijklmnopqrstuvwxyz";

export class SimPeer {
  readonly world: World;
  readonly index: number;
  readonly name: PeerName;
  disk: MemoryStorage;
  /** Undefined while the process is down. */
  replica: Replica | undefined;
  incarnation = "" as Incarnation;
  /** This run's number in the history. */
  origin = -1;
  skewMs: number;
  #startedMs = 0;

  // ---- what the shell holds
  unappended: AppendedRecord[] = [];
  reads: LogRead[] = [];
  pendingWrites: PendingWrite[] = [];
  syncToken: SyncToken | undefined;
  syncWanted = false;
  ceilingWanted = 0;
  #raising = 0;
  /** An incarnation of this name that others know and this disk does not. */
  #above: Incarnation | undefined;

  // ---- what the simulator knows of it
  /** Disk lost or rolled back since the last start. */
  isLost = false;
  isRolledBack = false;
  /** The gate must stay shut, over restarts, until the replica writes that it opens; then until that is on disk. */
  #gate: "open" | "shut" | { readonly opensAtLsn: number } = "open";
  everLostPower = false;
  everLostDisk = false;
  backup: Backup | undefined;
  /** By the replica's own numbers, as last looked at. */
  seen: number[] = [];
  /** The same by global numbers. */
  vv: number[] = [];
  toGlobal: number[] = [];
  takenVv: readonly number[] = [];
  appendedVv: readonly number[] = [];
  syncedVv: readonly number[] = [];
  /** All that was ever used as stable here, by global numbers. */
  purgedVv: number[] = [];
  /** The vector right after the newest transfer this disk knows: what came by it was not applied op by op. */
  installedVv: readonly number[] = [];
  lastStamp = 0;

  constructor(world: World, index: number) {
    this.world = world;
    this.index = index;
    this.name = world.names[index] as PeerName;
    this.skewMs = world.random.int(world.params.skewJumpMs) - world.params.skewJumpMs / 2;
    this.disk = this.#newDisk();
  }

  #newDisk(): MemoryStorage {
    return new MemoryStorage({ segmentBytes: this.world.params.segmentBytes });
  }

  get wallMs(): number {
    return Math.floor(this.world.nowMs + this.skewMs);
  }

  get hasUnsynced(): boolean {
    return this.disk.log.nextLsn > this.disk.log.syncedLsn;
  }

  get isGated(): boolean {
    return this.replica?.state.gated === true;
  }

  /** One call into the replica; what it changed is looked at, and what there is to do is taken (unless the turn goes on). */
  run(work: (replica: Replica) => void): void {
    const { replica, world } = this;
    if (replica === undefined) return;
    replica.setTime(this.wallMs, world.nowMs - this.#startedMs);
    work(replica);
    observe(this, "a step");
    if (world.healing || !world.random.chance(world.params.longTurnRate)) this.take();
  }

  receive(end: End, bytes: Uint8Array): void {
    this.runAndInstall((replica) => replica.receive(end.id, bytes));
  }

  /** As run(); a transfer may be installed on the way, which changes what is expected of the journal, and any key. */
  runAndInstall(work: (replica: Replica) => void): void {
    this.run((replica) => {
      const before = replica.state.counts["installs"] ?? 0;
      work(replica);
      if ((replica.state.counts["installs"] ?? 0) === before) return;
      observe(this, "install");
      this.installedVv = [...this.vv];
      checkAll(this, "install");
    });
  }

  /** Takes ready(): sends leave now, records wait to be appended. */
  take(): void {
    const { replica, world } = this;
    if (replica === undefined) return;
    const ready = replica.ready();
    this.#watchGate();
    if (ready.append.length > 0) {
      for (const record of ready.append) this.unappended.push(record);
      this.takenVv = [...this.vv];
    }
    for (const { link, bytes } of ready.send) world.network.send(link, bytes);
    for (const read of ready.reads) this.reads.push(read);
    if (ready.syncWanted) this.syncWanted = true;
    this.ceilingWanted = Math.max(this.ceilingWanted, ready.ceilingWanted);
    for (const event of ready.events) {
      world.say(() => `${this.name} reports ${JSON.stringify(event)}`);
      world.cover(`event ${event.type}`);
      if (event.type === "fatal") violate(`${this.name} stops: ${event.reason}`);
      if (event.type === "digest-mismatch")
        violate(`${this.name} finds that its digest differs from that of ${event.peer}`);
    }
    for (const comparison of ready.comparisons) world.comparisons.push(comparison);
    for (const { link } of ready.close) {
      const end = world.network.byId(link);
      if (end !== undefined) world.network.close(end);
    }
  }

  #watchGate(): void {
    const state = this.replica?.state;
    if (state === undefined) return;
    if (this.#gate === "shut" && !state.gatedInLog) this.#gate = { opensAtLsn: state.nextLsn };
    if (state.gated) return;
    if (this.#gate === "shut") return violate(`${this.name} opens a gate that it has not written open`);
    if (this.#gate !== "open" && this.disk.log.syncedLsn < this.#gate.opensAtLsn) {
      violate(`${this.name} opens its gate before what it caught up with is on disk`);
    }
    this.#gate = "open";
  }

  append(): void {
    this.take();
    const { replica, disk, unappended } = this;
    if (replica === undefined || unappended.length === 0) return;
    if (disk.log.nextLsn !== (unappended[0] as AppendedRecord).lsn) violate(`${this.name} appends out of order`);
    disk.log.append(unappended);
    disk.log.rollIfFull(() => replica.segmentNote());
    this.unappended = [];
    this.appendedVv = this.takenVv;
    this.world.noteAcked(this);
  }

  /** Durable now; nobody is told. */
  syncQuietly(): void {
    this.append();
    this.disk.syncNow();
    this.syncedVv = this.appendedVv;
  }

  syncBegin(): void {
    if (this.syncToken !== undefined || this.replica === undefined) return;
    this.needHeadroom();
    this.append();
    this.syncToken = this.replica.syncBegin();
    this.syncWanted = false;
    this.disk.syncNow();
    this.syncedVv = this.appendedVv;
  }

  syncEnd(): void {
    const { syncToken } = this;
    if (syncToken === undefined) return;
    this.syncToken = undefined;
    this.world.say(() => `${this.name} has synced its log to ${syncToken.nextLsn}`);
    this.run((replica) => replica.syncEnd(syncToken));
  }

  /** No stamp may be used before the next ceiling is on disk. */
  needHeadroom(): void {
    const { replica } = this;
    if (replica === undefined) return;
    replica.setTime(this.wallMs, this.world.nowMs - this.#startedMs);
    if (replica.hasHeadroom(0)) return;
    this.beginCeiling();
    this.endCeiling();
  }

  beginCeiling(): void {
    const { replica } = this;
    if (replica === undefined) return;
    this.world.cover("ceilings");
    this.#raising = Math.max(this.#raising, replica.raiseCeiling(this.ceilingWanted));
    this.ceilingWanted = 0;
    this.take();
  }

  endCeiling(): void {
    const ceiling = this.#raising;
    if (ceiling === 0) return;
    this.#raising = 0;
    this.syncQuietly();
    this.runAndInstall((replica) => replica.ceilingDurable(ceiling));
  }

  /** The clock comes near its ceiling, or something waits for a higher one. */
  ceilingStep(): void {
    const { replica } = this;
    if (this.#raising > 0) this.endCeiling();
    else if (replica !== undefined && (this.ceilingWanted > 0 || !replica.hasHeadroom(replica.ceilingMarginMs)))
      this.beginCeiling();
  }

  tick(): void {
    this.runAndInstall((replica) => replica.tick());
  }

  /** Answers the oldest read of the log. */
  readLog(): boolean {
    const read = this.reads.shift();
    if (read === undefined) return false;
    this.append();
    let records: ReturnType<MemoryStorage["readNow"]> | undefined;
    try {
      records = this.disk.readNow(read.from, Math.min(read.bytesMax, this.world.params.readBytes));
    } catch (error) {
      if (!(error instanceof LogTrimmed)) throw error;
      this.world.cover("readOfTrimmed");
    }
    this.run((replica) => replica.logRead(read.link, records));
    return true;
  }

  // ---- checkpoint, purge, trim

  checkpointStep(): void {
    const { replica, world } = this;
    if (replica === undefined) return;
    if (this.pendingWrites.length > 0) return this.writePending();
    const { checkpointer } = replica;
    if (!checkpointer.running) {
      this.run(() => checkpointer.begin());
      return;
    }
    this.take();
    const slice = checkpointer.slice(world.params.sliceBytes);
    this.#store(slice.length > 0 ? slice : checkpointer.end(), slice.length === 0);
  }

  #store(entries: readonly Entry[], endsSweep: boolean): void {
    if (this.replica === undefined || entries.length === 0) return;
    this.pendingWrites.push({ entries, endsSweep, nextLsn: this.replica.state.nextLsn });
  }

  /** A cell may show ops that are only in memory: the log is synced before the cell is written. */
  writePending(): void {
    const pending = this.pendingWrites.shift();
    if (pending === undefined) return;
    this.syncQuietly();
    this.disk.writeNow(pending.entries);
    this.world.say(
      () =>
        `${this.name} stores ${pending.entries.length} entries${pending.endsSweep ? ", the checkpoint counts" : ""}`,
    );
    if (pending.endsSweep) this.run((replica) => replica.checkpointer.finished());
    if (this.pendingWrites.length === 0) checkStored(this, "a written slice");
  }

  wholeCheckpoint(): void {
    const { replica } = this;
    if (replica === undefined) return;
    while (this.pendingWrites.length > 0) this.writePending();
    const done = replica.state.counts["checkpoints"] ?? 0;
    for (let step = 0; (replica.state.counts["checkpoints"] ?? 0) === done; step++) {
      if (step > 10_000) violate(`a checkpoint of ${this.name} never ends`);
      this.checkpointStep();
    }
  }

  purgeStep(): void {
    this.run((replica) => {
      if (replica.purger.pending === 0 && !replica.purger.begin()) return;
      this.#notePurgeable(replica.state.purgeable);
      replica.purger.slice(this.world.params.purgeCount);
      checkAll(this, "purge");
    });
  }

  #notePurgeable(purgeable: readonly number[]): void {
    purgeable.forEach((seq, number) => {
      const origin = this.toGlobal[number] as number;
      while (this.purgedVv.length <= origin) this.purgedVv.push(0);
      this.purgedVv[origin] = Math.max(seq, this.purgedVv[origin] as number);
    });
  }

  trim(whole: boolean): void {
    const { replica, disk, world } = this;
    if (replica === undefined) return;
    const limit = replica.trimLsn(whole || world.params.trimsAll || world.random.chance(0.3));
    const first = disk.log.firstLsn;
    disk.trimNow(whole || world.params.trimsAll ? limit : first + world.random.int(Math.max(0, limit - first) + 1));
    if (disk.log.firstLsn > first) world.say(() => `${this.name} trims its log to ${disk.log.firstLsn}`);
    if (disk.log.firstLsn > first) this.run(() => replica.logTrimmed(disk.log.firstLsn));
  }

  takeBackup(): void {
    this.syncQuietly();
    this.backup = { disk: this.disk.snapshot(), vv: [...this.appendedVv], installedVv: this.installedVv };
  }

  // ---- start and crash

  /** A new replica with what the store has under these prefixes. */
  loadStored(...prefixes: readonly string[]): Replica {
    const { params, names } = this.world;
    const replica = new Replica({
      name: this.name,
      peers: names,
      clockSkewMaxMs: params.clockSkewMaxMs,
      conflicts: { entriesMax: params.journalMax, bytesMax: 1 << 20 },
      recentBytesMax: params.recentBytesMax,
      waitingFramesMax: params.waitingFramesMax,
    });
    for (const prefix of prefixes) {
      for (const [key, value] of this.disk.entriesNow(Buffer.from(prefix))) replica.restoreEntry(key, value);
    }
    return replica;
  }

  start(): void {
    const { world, disk } = this;
    const { random, params } = world;
    const replica = this.loadStored("o", "f", "m", "c", "j");
    replica.restoreSegments(
      disk.log.segments.map((segment) => ({
        lsn: segment.firstLsn,
        vv: segment.note.length === 0 ? [] : readVersionVector(new ByteReader(segment.note), replica.state.origins),
      })),
    );
    for (const record of disk.replayNow(replica.checkpointer.lsn)) replica.replay(record);
    replica.recovered(disk.log.firstLsn);
    this.replica = replica;
    this.#startedMs = world.nowMs - 1;
    this.seen = [];
    this.vv = [];
    this.toGlobal = [];
    observe(this, "recovery");
    checkAll(this, "recovery");
    if (!this.isLost && !coversAll(this.vv, this.appendedVv))
      violate(`the recovered state of ${this.name} lacks what its disk held`);
    const firstStart = disk.log.nextLsn === 1;
    let suffix = "";
    for (let digit = 0; digit < 4; digit++) suffix += base36[random.int(36)];
    replica.start({
      nowMs: this.wallMs,
      elapsedMs: 1,
      random: suffix,
      above: this.#above,
      bootstrap: params.bootstrap && world.step === 0,
      rolledBack: this.isRolledBack,
      firstStart,
    });
    this.#above = undefined;
    this.incarnation = replica.state.incarnation;
    this.origin = world.history.begin(`${this.name}.${this.incarnation}`, this.index);
    if (this.isLost) {
      this.lastStamp = 0;
      world.cover("gated");
      if (!replica.state.gated && world.params.peers > 1)
        violate(`${this.name} lost its disk and starts without the gate`);
    }
    // What was recovered is on disk, the record that opened the gate too.
    if (replica.state.gated) this.#gate = "shut";
    else if (this.#gate !== "shut") this.#gate = "open";
    world.say(
      () =>
        `${this.name} starts as ${this.incarnation}${replica.state.gated ? ", gated" : ""} with [${this.vv.join(" ")}]`,
    );
    this.unappended = [];
    this.takenVv = [...this.vv];
    this.appendedVv = [...this.vv];
    this.take();
    this.syncQuietly();
    this.isLost = false;
    this.isRolledBack = false;
  }

  /** kill: all that was appended survives. power: what was synced, and some of the rest. disk, backup: worse. */
  crash(kind: CrashKind | "disk" | "backup"): void {
    const { world, disk } = this;
    const { random } = world;
    world.cover(`crash ${kind}`);
    world.say(() => `${this.name} ends: ${kind}`);
    this.replica = undefined;
    this.unappended = [];
    this.reads = [];
    this.syncToken = undefined;
    this.syncWanted = false;
    this.ceilingWanted = 0;
    this.#raising = 0;
    // The write under way may have come through.
    const [first] = this.pendingWrites;
    if (first !== undefined && disk.log.syncedLsn >= first.nextLsn && random.chance(0.5)) {
      disk.writeNow(first.entries);
    }
    this.pendingWrites = [];
    if (kind === "kill" || kind === "power") {
      const lost = disk.crash(kind, random.next);
      if (lost > 0) world.cover("lostTails");
      if (kind === "power") {
        this.everLostPower = true;
        this.appendedVv = this.syncedVv;
      }
    } else {
      this.everLostDisk = true;
      this.purgedVv = [];
      this.#gate = "open";
      this.isLost = true;
      this.appendedVv = [];
      this.syncedVv = [];
      this.installedVv = [];
      if (kind === "backup" && this.backup !== undefined) {
        disk.restore(this.backup.disk);
        this.isRolledBack = true;
        this.installedVv = this.backup.installedVv;
      } else {
        this.disk = this.#newDisk();
        this.backup = undefined;
      }
    }
  }

  /** Others know a newer run of this name than this one: the shell stops, and starts above it. */
  restartAbove(newest: Incarnation): void {
    this.#above = newest;
    this.world.cover("staleIncarnation");
  }
}
