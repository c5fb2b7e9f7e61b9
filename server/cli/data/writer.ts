/**
 * Many keys into a cluster, in order and with bounded memory: SETs on their way, a few of them joined to one MSET where
 * nothing forbids it. All of it says what shall be, so what is sent again after a failover, or by a second import, does no
 * harm; it takes a later stamp though, and wins against what was written in between, unless `nx`.
 */
import type { Client } from "../../../protocol/client.ts";
import {
  importBatchBytes,
  importBatchesInFlightMax,
  importBatchKeys,
  importInFlightBytesMax,
} from "../../../protocol/limits.ts";
import type { Entry } from "./entry-line.ts";

export interface WrittenCounts {
  readonly written: number;
  /** With `nx`: there already, and left as they were. */
  readonly present: number;
  /** Their time had passed. */
  readonly expired: number;
}

/** The first entry that could not be written, by its place; all before `done` are written. */
export class NotWritten extends Error {
  readonly place: number;
  readonly done: number;
  constructor(place: number, done: number, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.place = place;
    this.done = done;
  }
}

interface Batch {
  readonly first: number;
  readonly last: number;
  readonly bytes: number;
  isDone: boolean;
}

const bytesOf = ({ key, value }: Entry): number => key.length + value.length + 32;

export class EntryWriter {
  readonly #kv: Client;
  readonly #nx: boolean;
  readonly #counts = { written: 0, present: 0, expired: 0 };
  /** To be one MSET: without expiry, and next to each other. */
  #open: { readonly entries: Entry[]; readonly first: number; last: number; bytes: number } | undefined;
  /** On their way, in order. */
  readonly #flying: Batch[] = [];
  #flyingBytes = 0;
  #failure: { readonly place: number; readonly error: unknown } | undefined;
  #done = 0;
  #wake: () => void = () => {};

  constructor(kv: Client, { nx }: { readonly nx: boolean }) {
    this.#kv = kv;
    this.#nx = nx;
  }

  get counts(): WrittenCounts {
    return this.#counts;
  }

  /** `place` grows: a line, or how many there were. Resolves when there is room for more; rejects with NotWritten. */
  async add(entry: Entry, place: number): Promise<void> {
    const { expiresAtMs } = entry;
    const bytes = bytesOf(entry);
    const isStrong = this.#kv.isStrong(entry.key);
    const leftMs = expiresAtMs === undefined ? 0 : expiresAtMs - Date.now();
    if (expiresAtMs !== undefined && leftMs <= 0) {
      this.#counts.expired += 1;
      return;
    }
    // A long value goes alone: one MSET has a bound on its bytes. Strong keys always do, and take durations only.
    if (expiresAtMs === undefined && !isStrong && !this.#nx && bytes < importBatchBytes) {
      this.#open ??= { entries: [], first: place, last: place, bytes: 0 };
      this.#open.entries.push(entry);
      this.#open.last = place;
      this.#open.bytes += bytes;
      if (this.#open.entries.length >= importBatchKeys || this.#open.bytes >= importBatchBytes) this.#sendOpen();
    } else {
      this.#sendOpen();
      const expiry = expiresAtMs === undefined ? {} : isStrong ? { px: leftMs } : { pxAt: expiresAtMs };
      const options = { retry: true, ...expiry };
      const sent = this.#kv.set(entry.key, entry.value, this.#nx ? { ...options, nx: true } : options);
      this.#send({ first: place, last: place, bytes, isDone: false }, async () => {
        if (await sent) this.#counts.written += 1;
        else this.#counts.present += 1;
      });
    }
    await this.#room(importInFlightBytesMax, importBatchesInFlightMax);
  }

  #sendOpen(): void {
    const open = this.#open;
    if (open === undefined) return;
    this.#open = undefined;
    const { entries, first, last, bytes } = open;
    const sent = this.#kv.mset(
      entries.map(({ key, value }) => [key, value] as const),
      { retry: true },
    );
    this.#send({ first, last, bytes, isDone: false }, async () => {
      await sent;
      this.#counts.written += entries.length;
    });
  }

  #send(batch: Batch, finish: () => Promise<void>): void {
    this.#flying.push(batch);
    this.#flyingBytes += batch.bytes;
    finish().then(
      () => {
        batch.isDone = true;
        this.#settle(batch);
      },
      (error: unknown) => {
        if (this.#failure === undefined || batch.first < this.#failure.place)
          this.#failure = { place: batch.first, error };
        this.#settle(batch);
      },
    );
  }

  #settle(batch: Batch): void {
    this.#flyingBytes -= batch.bytes;
    for (let first = this.#flying[0]; first?.isDone === true; first = this.#flying[0]) {
      this.#done = first.last;
      this.#flying.shift();
    }
    this.#wake();
  }

  async #room(bytesMax: number, batchesMax: number): Promise<void> {
    while (this.#failure === undefined && (this.#flyingBytes > bytesMax || this.#flying.length > batchesMax)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failure !== undefined) {
      // What is on its way comes to its end first: the first failure, in order, is told.
      await this.#landed();
      throw new NotWritten(this.#failure.place, this.#done, this.#failure.error);
    }
  }

  async #landed(): Promise<void> {
    while (this.#flyingBytes > 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Resolves when all is written. */
  async finish(): Promise<WrittenCounts> {
    this.#sendOpen();
    await this.#room(0, 0);
    return this.#counts;
  }

  /** What was given is written as far as possible: the last place before which nothing is missing. */
  async abandon(): Promise<number> {
    if (this.#failure === undefined) this.#sendOpen();
    await this.#landed();
    return this.#done;
  }
}
