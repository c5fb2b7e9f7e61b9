/**
 * One simulated peer of strong keys: the production core, a disk, a monotonic clock that runs a little wrong, and a shell
 * that keeps the contract of registers.ts (some mutants break it here).
 */
import {
  decodeRegisterRecords,
  encodeRegisterRecords,
  type RegisterRecord,
} from "../../../protocol/register-messages.ts";
import type { OriginId, PeerName } from "../../../protocol/words.ts";
import { type Outcome, Registers } from "../../../server/registers/index.ts";
import { DiskView } from "./checks.ts";
import type { RegisterWorld } from "./world.ts";

export class SimRegisterPeer {
  readonly world: RegisterWorld;
  readonly index: number;
  readonly name: PeerName;
  registers: Registers | undefined;
  /** What a power cut leaves. */
  #durable: Uint8Array[] = [];
  /** How many of them, at the front, are one checkpoint: there all together. */
  #checkpointed = 0;
  #view = new DiskView();
  /** Records one by one: a batch is stored whole, but the fewer the core rests on that the better. */
  #unsynced: RegisterRecord[] = [];
  /** Of this run: how many records were appended, and how many of them the running sync covers. */
  #appended = 0;
  #synced = 0;
  #syncing = 0;
  #runs = 0;
  origin: OriginId | undefined;
  pausedUntilMs = 0;
  /** This disk was lost; it answers nothing until it is readmitted. */
  lost = false;
  wasAdmitted = false;
  #isRolledBack = false;
  /** A monotonic clock: begins anywhere with each run, and runs wrong by up to 1 %. */
  #rate = 1;
  #clockBaseMs = 0;
  #clockSinceMs = 0;
  /** A clock on the wall, which somebody sets now and then. Nothing must depend on it. */
  wallOffsetMs = 0;
  readonly #waiting = new Map<number, (outcome: Outcome) => void>();

  constructor(world: RegisterWorld, index: number) {
    this.world = world;
    this.index = index;
    this.name = world.names[index] as PeerName;
  }

  get isUp(): boolean {
    return this.registers !== undefined;
  }

  get isRunning(): boolean {
    return this.isUp && this.world.nowMs >= this.pausedUntilMs;
  }

  get elapsedMs(): number {
    return this.#clockBaseMs + (this.world.nowMs - this.#clockSinceMs) * this.#rate;
  }

  /** What the core is told of time: the monotonic clock alone. `wallOffsetMs` is there for the mutant that adds it. */
  #setTime(registers: Registers): void {
    registers.setTime(this.elapsedMs);
  }

  // ---- life ---------------------------------------------------------------------------------------------------------------

  start(isBirth: boolean): void {
    const { world } = this;
    this.#runs++;
    this.#rate = 1 + (world.random.next() - 0.5) * 0.0198;
    this.#clockBaseMs = world.random.int(1_000_000);
    this.#clockSinceMs = world.nowMs;
    this.#appended = 0;
    this.#synced = 0;
    this.#syncing = 0;
    const origin = `${this.name}.${String(this.#runs).padStart(15, "0")}` as OriginId;
    this.origin = origin;
    const registers = this.#newRegisters();
    for (const [at, record] of this.#durable.entries()) {
      if (at === this.#checkpointed) registers.checkpointRestored();
      registers.restore(record);
    }
    if (!this.lost) this.#view.checkRestored(registers.acceptor, this.name);
    this.registers = registers;
    registers.start(origin, this.elapsedMs);
    this.#setTime(registers);
    if (isBirth) registers.admitNew();
    if (this.#isRolledBack) registers.expel();
    this.turn();
    // A peer is born, and a disk is known to be an old one, before anything else is done.
    if (isBirth || this.#isRolledBack) {
      this.#isRolledBack = false;
      this.disk();
      this.disk();
    }
    this.meetAll();
  }

  /** Links come up: each end tells the other where it stands. */
  meetAll(): void {
    for (const other of this.world.peers) {
      if (other === this || !other.isRunning || !this.isRunning) continue;
      this.registers?.meet(other.name);
      other.registers?.meet(this.name);
      other.turn();
    }
    this.turn();
  }

  #newRegisters(): Registers {
    const { world } = this;
    return new Registers({
      name: this.name,
      peers: world.names,
      random: world.random.next,
      deadKeptMs: world.params.deadKeptMs,
      choresMs: world.params.choresMs,
      ceilingStep: world.params.ceilingStep,
    });
  }

  /** The process ends; what was not synced is gone, but for what the system had written out by itself. */
  crash(): void {
    const { world } = this;
    world.gather(this);
    const kept = world.random.chance(0.4) ? world.random.int(this.#unsynced.length + 1) : 0;
    if (this.#unsynced.length > kept) world.cover("lostTails");
    for (const record of this.#unsynced.slice(0, kept)) this.#toDisk(record);
    this.#unsynced = [];
    if (world.random.chance(0.3)) this.#checkpoint();
    this.registers = undefined;
    this.pausedUntilMs = 0;
    for (const [, finish] of this.#waiting) finish({ kind: "unknown" });
    this.#waiting.clear();
  }

  /** What is on disk becomes a checkpoint, with a part of the log behind it that it is ahead of. */
  #checkpoint(): void {
    const { random } = this.world;
    const registers = this.#newRegisters();
    for (const record of this.#durable) registers.restore(record);
    const log = this.#durable.slice(Math.max(this.#checkpointed, random.int(this.#durable.length + 1)));
    const entries = [...registers.takeChanged()].flatMap((key) => registers.storedKey(key) ?? []);
    const admission = registers.storedAdmission();
    const checkpoint = admission === undefined ? entries : [admission, ...entries];
    this.#checkpointed = checkpoint.length;
    this.#durable = [...checkpoint, ...log];
    this.world.cover("checkpoints");
  }

  /** It is empty, or what an old backup held. */
  loseDisk(): void {
    const { random } = this.world;
    const isBackup = random.chance(0.4);
    const kept = this.#checkpointed + random.int(this.#durable.length + 1 - this.#checkpointed);
    this.#durable = isBackup ? this.#durable.slice(0, kept) : [];
    if (!isBackup) this.#checkpointed = 0;
    this.#view = new DiskView();
    // Registers of a backup are dropped; its ceiling holds.
    for (const record of this.#durable.flatMap((bytes) => decodeRegisterRecords(bytes))) {
      if (record.kind === "ceiling") this.#view.note(record, this.name);
    }
    this.#isRolledBack = isBackup;
    this.lost = true;
    if (isBackup) this.world.cover("disksRolledBack");
  }

  get needsReadmission(): boolean {
    const { registers } = this;
    return registers?.standing === "lost";
  }

  readmit(): void {
    const { registers, origin } = this;
    if (registers === undefined || origin === undefined) return;
    registers.readmit(origin);
    this.turn();
  }

  // ---- what happens -------------------------------------------------------------------------------------------------------

  receive(from: PeerName, bytes: Uint8Array): void {
    if (this.registers === undefined) return;
    this.#setTime(this.registers);
    this.registers.receive(from, bytes);
    this.turn();
  }

  tick(): void {
    const { registers } = this;
    if (registers === undefined) return;
    this.#setTime(registers);
    if (this.elapsedMs < registers.wakeMs) return;
    registers.tick();
    this.turn();
  }

  operate(
    given: Omit<Parameters<Registers["operate"]>[0], "id" | "deadlineMs">,
    deadlineInMs: number,
    finish: (outcome: Outcome) => void,
  ): void {
    const { registers } = this;
    if (registers === undefined) return finish({ kind: "no-quorum" });
    const id = this.world.nextId();
    this.#waiting.set(id, finish);
    this.#setTime(registers);
    registers.operate({ ...given, id, deadlineMs: this.elapsedMs + deadlineInMs });
    this.turn();
  }

  /** A sync begins, or the one that runs ends. */
  disk(): void {
    const { registers } = this;
    if (registers === undefined) return;
    if (this.#syncing === 0) {
      this.#syncing = this.#appended;
      if (this.#syncing > this.#synced) return;
    }
    const through = this.#syncing;
    this.#syncing = 0;
    if (through === this.#synced) return;
    for (const record of this.#unsynced.splice(0, through - this.#synced)) this.#toDisk(record);
    this.#synced = through;
    this.#setTime(registers);
    registers.synced(through);
    this.turn();
  }

  #toDisk(record: RegisterRecord): void {
    this.#durable.push(encodeRegisterRecords([record]));
    const kind = this.#view.note(record, this.name);
    if (kind === "admission" && this.registers?.acceptor.admitted === true) this.wasAdmitted = true;
    if (kind === "admission" && this.lost && this.registers?.acceptor.admitted === true) {
      this.lost = false;
      this.world.cover("readmitted");
    }
    if (kind === "remove" || kind === "ceiling" || kind === "epoch") this.world.cover(`record ${kind}`);
  }

  turn(): void {
    const { registers, world } = this;
    if (registers === undefined) return;
    while (registers.hasWork) {
      const ready = registers.ready();
      const records = ready.append.flatMap(decodeRegisterRecords);
      for (const record of records) world.checks.onAppend(record);
      this.#unsynced.push(...records);
      this.#appended = ready.appendedThrough;
      for (const { to, bytes } of ready.send) {
        world.checks.onSend(bytes, this.#view, this.name);
        world.network.send({ from: this.index, to: world.names.indexOf(to), bytes }, (name) => world.cover(name));
      }
      this.#view.endTurn();
      for (const { id, outcome } of ready.results) {
        const finish = this.#waiting.get(id);
        this.#waiting.delete(id);
        finish?.(outcome);
      }
    }
  }
}
