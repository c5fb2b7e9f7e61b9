/**
 * What a peer does beside serving: checkpoints, purging, trimming the log, scans for transfers. All in slices of a few
 * milliseconds with the event loop between, one thing at a time, so that no client waits for it.
 */
import { performance } from "node:perf_hooks";
import { checkpointWriteBytes } from "../protocol/limits.ts";
import type { Replica } from "./replica/index.ts";
import type { SliceGate } from "./slice-gate.ts";
import type { CheckpointEntry, Storage } from "./storage/storage.ts";
import type { CheckpointPart } from "./strong/strong-store.ts";
import type { TurnLoop } from "./turn-loop.ts";

export interface MaintenanceOptions {
  readonly replica: Replica;
  readonly storage: Storage;
  readonly loop: TurnLoop;
  readonly gate: SliceGate;
  /** Stored with the replica's entries, behind them. */
  readonly strong: CheckpointPart;
  readonly logRetentionBytes: number;
  readonly onFailure: (error: unknown) => void;
  /** `slowestSliceMs`: what of it kept clients waiting at once. */
  readonly onCheckpoint: (report: {
    readonly cells: number;
    readonly tookMs: number;
    readonly slowestSliceMs: number;
  }) => void;
  readonly timing?: Partial<MaintenanceTiming>;
}

export interface MaintenanceTiming {
  /** A checkpoint begins when so much was appended since the last began. More: longer restarts. Less: more writing. */
  readonly checkpointLogBytes: number;
  /** Or when so long has passed and anything changed. */
  readonly checkpointIntervalMs: number;
  /** Or, when deletes wait to be purged, or what was purged is still in the store, already after this. */
  readonly checkpointForPurgeMs: number;
}

export const maintenanceTiming: MaintenanceTiming = {
  checkpointLogBytes: 128 * 1024 * 1024,
  checkpointIntervalMs: 60_000,
  checkpointForPurgeMs: 15_000,
};

const intervalMs = 250;
const purgePerSlice = 512;
/** Pause between slices, of about 1 ms each: this writes at most about 35 MB/s and leaves the loop to clients. */
const betweenSlicesMs = 2;
const betweenSlicesInTransferMs = 12;

export class Maintenance {
  readonly #options: MaintenanceOptions;
  readonly #timing: MaintenanceTiming;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;
  #lastAppendedBytes = 0;
  /** Monotonic ms; undefined before the first of this run. */
  checkpointFinishedAtMs: number | undefined;
  #checkpointBeganAtMs = performance.now();
  #lastLsn = 0;
  #wanted = false;
  #slowestSliceMs = 0;
  /** Peers see the same bytes and often start together: each keeps its own pace, so that not all checkpoint at once. */
  readonly #pace = 0.75 + Math.random() * 0.5;

  constructor(options: MaintenanceOptions) {
    this.#options = options;
    this.#timing = { ...maintenanceTiming, ...options.timing };
  }

  start(): void {
    this.#timer = setInterval(() => this.#tick(), intervalMs);
    this.#timer.unref();
  }

  /** A checkpoint soon, whatever the sizes: after a transfer. */
  requestCheckpoint(): void {
    this.#wanted = true;
  }

  #tick(): void {
    if (this.#running !== undefined || this.#stopped) return;
    this.#running = this.#round()
      .catch((error: unknown) => this.#options.onFailure(error))
      .finally(() => {
        this.#running = undefined;
      });
  }

  async #round(): Promise<void> {
    if (this.#checkpointDue()) await this.checkpoint();
    await this.#purge();
    await this.#trim();
  }

  #checkpointDue(): boolean {
    const { loop, storage, replica } = this.#options;
    if (this.#wanted) return true;
    const { candidateCount, droppedCount } = replica.state.map;
    const forPurge = candidateCount > 0 || droppedCount > 0;
    if (storage.log.nextLsn === this.#lastLsn && !forPurge) return false;
    const sinceMs = (performance.now() - this.#checkpointBeganAtMs) * this.#pace;
    const appendedBytes = loop.counters.appendedBytes - this.#lastAppendedBytes;
    if (appendedBytes * this.#pace >= this.#timing.checkpointLogBytes) return true;
    if (forPurge && sinceMs >= this.#timing.checkpointForPurgeMs) return true;
    return sinceMs >= this.#timing.checkpointIntervalMs;
  }

  /** One whole checkpoint, in slices. */
  async checkpoint(): Promise<void> {
    const { replica, storage, loop, strong, onCheckpoint } = this.#options;
    const { checkpointer } = replica;
    const startedMs = performance.now();
    this.#wanted = false;
    this.#checkpointBeganAtMs = startedMs;
    this.#lastAppendedBytes = loop.counters.appendedBytes;
    loop.flush();
    checkpointer.begin();
    strong.begin();
    this.#slowestSliceMs = 0;
    this.#lastLsn = storage.log.nextLsn;
    for (const slice of [() => checkpointer.slice(), () => strong.slice()]) {
      for (;;) {
        const entries = await this.#slices(slice);
        if (this.#stopped) return;
        if (entries.length === 0) break;
        // A cell may show ops that are only in the log's unsynced tail.
        await loop.flushAndSync();
        await storage.checkpoint.write(entries);
        if (this.#stopped) return;
      }
    }
    await loop.flushAndSync();
    // An install meanwhile gave the sweep up: begin again next time.
    if (!checkpointer.running) return;
    const end = [...checkpointer.end(), ...strong.end()];
    await storage.checkpoint.write(end);
    if (!checkpointer.running) return;
    const { cells } = checkpointer.finished();
    this.checkpointFinishedAtMs = performance.now();
    const tookMs = this.checkpointFinishedAtMs - startedMs;
    onCheckpoint({ cells, tookMs, slowestSliceMs: this.#slowestSliceMs });
  }

  /** As many slices as are worth a sync, each in its own turn of the loop. Empty when there are no more. */
  async #slices(next: () => readonly CheckpointEntry[]): Promise<readonly CheckpointEntry[]> {
    const { replica, gate } = this.#options;
    const entries: CheckpointEntry[] = [];
    for (let bytes = 0; bytes < checkpointWriteBytes; ) {
      // A transfer comes first: somebody waits for it, and for a checkpoint nobody does.
      await gate.pass(replica.scanning().length > 0 ? betweenSlicesInTransferMs : betweenSlicesMs);
      if (this.#stopped) break;
      const beganMs = performance.now();
      const slice = next();
      this.#slowestSliceMs = Math.max(this.#slowestSliceMs, performance.now() - beganMs);
      if (slice.length === 0) break;
      for (const entry of slice) {
        entries.push(entry);
        bytes += entry[1]?.length ?? 0;
      }
    }
    return entries;
  }

  async #purge(): Promise<void> {
    const { replica, gate } = this.#options;
    if (!replica.purger.begin()) return;
    for (;;) {
      await gate.pass(0);
      if (replica.purger.pending === 0 || this.#stopped) return;
      replica.purger.slice(purgePerSlice);
    }
  }

  async #trim(): Promise<void> {
    const { replica, storage, logRetentionBytes } = this.#options;
    const { log } = storage;
    if (log.segments.length < 2) return;
    let lsn = replica.trimLsn(false);
    if (log.bytes > logRetentionBytes) {
      // Those who are still away then get a transfer. Never past the last finished checkpoint.
      lsn = Math.max(lsn, this.#retentionLsn());
    }
    const before = log.firstLsn;
    await log.trim(lsn);
    if (log.firstLsn !== before) replica.logTrimmed(log.firstLsn);
  }

  /** The LSN from which the newest segments fit the retention. */
  #retentionLsn(): number {
    const { replica, storage, logRetentionBytes } = this.#options;
    const { segments, bytes } = storage.log;
    const excess = Math.max(1, Math.ceil(((bytes - logRetentionBytes) / bytes) * segments.length));
    const first = segments[Math.min(excess, segments.length - 1)]?.firstLsn ?? 1;
    return Math.min(first, replica.trimLsn(true));
  }

  /** Ends after the slice under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#running;
  }
}
