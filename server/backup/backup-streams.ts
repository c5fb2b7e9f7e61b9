/**
 * `GET /backup`: a consistent cut of this peer's data, as a file (format.ts), while it serves.
 *
 * The map is walked in slices with pauses between, so clients wait for a slice at most; what was written meanwhile follows
 * from the log. A reader that is slow is waited for: the walk stops while `backupQueueBytesMax` are unsent. Until it ends, a
 * backup holds the log back as a slow link does: to the log's retention and not beyond; and as long as it walks, what is
 * deleted is not purged. Then it is given up, and so it is
 * when the cells were changed past the log. A file that was given up says why where its end should be, and no reader takes
 * it for whole.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { performance } from "node:perf_hooks";
import { ByteWriter, batchesOf } from "../../protocol/bytes.ts";
import {
  backupQueueBytesMax,
  backupSliceBytes,
  backupStallMs,
  backupsMax,
  catchUpBatchBytes,
  framesMessageBytes,
} from "../../protocol/limits.ts";
import { type StreamAdmission, type StreamRefusal, streamRefusal } from "../ports/stream-admission.ts";
import { type BackupScan, type Conflict, encodeConflict, type Replica, recordType } from "../replica/index.ts";
import { type Log, LogTrimmed } from "../storage/storage.ts";
import { answerFailure } from "../web/answers.ts";
import { KvFailure } from "../web/kv-backend.ts";
import {
  type BackupTotals,
  BackupWriter,
  backupRecord,
  encodeCellCount,
  encodeConflicts,
  encodeCut,
  encodeHeader,
} from "./format.ts";

/** Between two slices: a backup takes at most about a third of the loop. 25 MB/s. */
const slicePauseMs = 2;

export interface BackupStreamsOptions extends StreamAdmission {
  readonly replica: Replica;
  readonly log: Log;
  /** Begins a turn: what a slice does to the replica is part of it. */
  readonly begin: () => void;
  /** Appends what is pending: all that a cut covers is in the log then. */
  readonly flush: () => void;
  /** Resolves after so many ms or a little later, when a slice may be taken. */
  readonly pass: (pauseMs: number) => Promise<void>;
  readonly wallMs: () => number;
  readonly header: () => { readonly cluster: string; readonly peer: string; readonly version: string };
  readonly onEvent: (words: string, facts: Readonly<Record<string, unknown>>) => void;
  /** The log cannot be read, or a bug: the peer stops. */
  readonly onFailure: (error: unknown) => void;
  readonly limits?: Partial<BackupLimits>;
}

const backupLimits = {
  backupsMax,
  sliceBytes: backupSliceBytes,
  queueBytesMax: backupQueueBytesMax,
  stallMs: backupStallMs,
  pauseMs: slicePauseMs,
} as const satisfies Readonly<Record<string, number>>;

export type BackupLimits = { readonly [Name in keyof typeof backupLimits]: number };

const tooSlow = "it was read too slowly: the log no longer has what was written meanwhile; see --log-retention";

/** Nobody's fault: what was streamed so far is no backup. */
class GivenUp extends Error {}

/** Plain numbers, only ever added to. */
export interface BackupCounters {
  begun: number;
  /** Sent whole. */
  finished: number;
  refused: number;
  /** The reader left, or was too slow. */
  givenUp: number;
  /** By a fault of ours. */
  failed: number;
  /** Of those that ended. */
  bytes: number;
}

export class BackupStreams {
  readonly counters: BackupCounters = { begun: 0, finished: 0, refused: 0, givenUp: 0, failed: 0, bytes: 0 };
  readonly #options: BackupStreamsOptions;
  readonly #limits: BackupLimits;
  readonly #running = new Map<ServerResponse, Promise<void>>();
  #closed = false;

  constructor(options: BackupStreamsOptions) {
    this.#options = options;
    this.#limits = { ...backupLimits, ...options.limits };
  }

  get count(): number {
    return this.#running.size;
  }

  /** A GET or HEAD of /backup. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    const refuse = ({ code, message, headers }: StreamRefusal): void => {
      this.counters.refused += 1;
      answerFailure(request, response, new KvFailure(code, message), headers);
    };
    const refusal = streamRefusal(request, this.#options, this.#closed);
    if (refusal !== undefined) return refuse(refusal);
    if (this.#running.size >= this.#limits.backupsMax) {
      const message = `${this.#running.size} backups are being taken, limit ${this.#limits.backupsMax}`;
      return refuse({ code: "TOO_MANY", message });
    }
    response.writeHead(200, {
      "Content-Type": "application/octet-stream",
      "Cache-Control": "no-store",
      "X-Content-Type-Options": "nosniff",
      // The connection ends with it: a stream that was cut must not look whole.
      Connection: "close",
    });
    if (request.method === "HEAD") {
      response.end();
      return;
    }
    this.counters.begun += 1;
    const from = request.socket.remoteAddress;
    const stream = new BackupStream(this.#options, this.#limits, response);
    const ended = stream.run(from).then(
      (isWhole) => {
        this.counters.bytes += stream.bytes;
        if (isWhole) this.counters.finished += 1;
        else this.counters.givenUp += 1;
      },
      (error: unknown) => {
        this.counters.bytes += stream.bytes;
        this.counters.failed += 1;
        response.destroy();
        if (!this.#closed) this.#options.onFailure(error);
      },
    );
    this.#running.set(
      response,
      ended.finally(() => this.#running.delete(response)),
    );
  }

  /** Cuts what is being read. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const response of this.#running.keys()) response.destroy();
    await Promise.all(this.#running.values());
  }
}

class BackupStream {
  readonly #options: BackupStreamsOptions;
  readonly #limits: BackupLimits;
  readonly #response: ServerResponse;
  readonly #writer = new BackupWriter();
  readonly #totals = { cells: 0, frames: 0, conflicts: 0 } satisfies BackupTotals;
  /** Called when the reader has read, or is gone. */
  #wake: () => void = () => {};

  constructor(options: BackupStreamsOptions, limits: BackupLimits, response: ServerResponse) {
    this.#options = options;
    this.#limits = limits;
    this.#response = response;
    response.on("drain", () => this.#wake());
    response.on("close", () => this.#wake());
    response.on("error", () => this.#wake());
  }

  get bytes(): number {
    return this.#writer.bytes;
  }

  /** True: the reader was sent all of it. */
  async run(from: string | undefined): Promise<boolean> {
    const { replica, begin, onEvent } = this.#options;
    const startedMs = performance.now();
    begin();
    const scan = replica.beginBackup();
    onEvent("backup begins", { from, cells: scan.start.cells });
    const facts = (): Readonly<Record<string, unknown>> => ({
      from,
      ...this.#totals,
      bytes: this.bytes,
      ms: Math.round(performance.now() - startedMs),
    });
    try {
      await this.#stream(scan);
      onEvent("backup sent", facts());
      return true;
    } catch (error) {
      if (!(error instanceof GivenUp)) throw error;
      onEvent(`backup given up: ${error.message}`, facts());
      this.#sayWhy(error.message);
      return false;
    } finally {
      replica.endBackup(scan);
    }
  }

  #sayWhy(why: string): void {
    if (this.#response.destroyed) return;
    const out = new ByteWriter();
    out.string(why.slice(0, 1000));
    this.#send(this.#writer.record(backupRecord.failed, out.take()));
    this.#response.end();
  }

  async #stream(scan: BackupScan): Promise<void> {
    const { replica, wallMs, header } = this.#options;
    const { incarnation } = replica.state;
    this.#send([this.#writer.head()]);
    this.#record(
      backupRecord.header,
      encodeHeader({ ...header(), incarnation, begunAtMs: Math.floor(wallMs()), start: scan.start }),
    );
    const { cut, lsn, conflicts } = await this.#cells(scan);
    await this.#frames(scan, lsn);
    await this.#conflicts(conflicts);
    this.#record(backupRecord.cut, encodeCut(cut));
    this.#send(this.#writer.end(this.#totals, Math.floor(wallMs())));
    this.#response.end();
  }

  async #cells(scan: BackupScan): Promise<NonNullable<BackupScan["end"]>> {
    const { begin, flush } = this.#options;
    while (scan.end === undefined) {
      await this.#room();
      if (scan.isVoid) {
        throw new GivenUp("cells were changed past the log meanwhile (a state transfer or a repair); begin it anew");
      }
      if (this.#options.log.firstLsn > scan.logCursor) throw new GivenUp(tooSlow);
      begin();
      const { bytes, count } = scan.slice(this.#limits.sliceBytes);
      if (count > 0) this.#record(backupRecord.cells, encodeCellCount(count), bytes);
      this.#totals.cells += count;
    }
    flush();
    return scan.end;
  }

  async #frames(scan: BackupScan, endLsn: number): Promise<void> {
    const { log } = this.#options;
    while (scan.logCursor < endLsn) {
      await this.#room();
      const records = await log.read(scan.logCursor, catchUpBatchBytes).catch((error: unknown) => {
        if (!(error instanceof LogTrimmed)) throw error;
        throw new GivenUp(
          "it was read too slowly: the log no longer has what was written meanwhile; see --log-retention",
        );
      });
      const frames: Uint8Array[] = [];
      for (const record of records) {
        if (record.lsn >= endLsn) break;
        scan.logCursor = record.lsn + 1;
        if (record.type === recordType.frame) frames.push(record.bytes);
      }
      this.#totals.frames += frames.length;
      for (const batch of batchesOf(frames, framesMessageBytes))
        this.#record(backupRecord.frames, Buffer.concat(batch));
    }
  }

  async #conflicts(conflicts: readonly Conflict[]): Promise<void> {
    let batch: Buffer[] = [];
    let bytes = 0;
    for (const [index, conflict] of conflicts.entries()) {
      const encoded = encodeConflict(conflict);
      batch.push(encoded);
      bytes += encoded.length;
      if (bytes < this.#limits.sliceBytes && index < conflicts.length - 1) continue;
      await this.#room();
      this.#record(backupRecord.conflicts, encodeConflicts(batch));
      batch = [];
      bytes = 0;
    }
    this.#totals.conflicts = conflicts.length;
  }

  #record(type: number, ...bytes: readonly Uint8Array[]): void {
    this.#send(this.#writer.record(type, ...bytes));
  }

  #send(parts: readonly Uint8Array[]): void {
    const response = this.#response;
    response.cork();
    for (const part of parts) response.write(part);
    response.uncork();
  }

  /** Waits until the reader has read, and then for our turn: what follows may be a slice. */
  async #room(): Promise<void> {
    const response = this.#response;
    const isFull = (): boolean => !response.destroyed && response.writableLength > this.#limits.queueBytesMax;
    while (isFull()) {
      const stall = setTimeout(() => {
        response.destroy(new Error("a backup's reader took nothing for too long"));
      }, this.#limits.stallMs);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      clearTimeout(stall);
    }
    await this.#options.pass(this.#limits.pauseMs);
    if (response.destroyed) throw new GivenUp("its reader is gone");
  }
}
