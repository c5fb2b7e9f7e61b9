/**
 * One file of the log: where its records begin and end, and a sparse index into them.
 *
 * The index has one entry per `indexStrideBytes`, so a read looks through at most that much before its first record, and
 * an index of 1 GiB of log costs about a megabyte. It is filled by whoever passes by: appends, recovery, the first read.
 */
import type { Lsn } from "../../protocol/words.ts";
import type { ReadableFile } from "./file-system.ts";
import type { DecodedHeader, SegmentHeader } from "./log-format.ts";
import { RecordReader, storageSalt } from "./log-format.ts";
import type { LogSegment } from "./storage.ts";

const indexStrideBytes = 16 * 1024;

/** A place between two records. */
export interface LogPlace {
  readonly offset: number;
  /** LSN of the record that begins here. */
  readonly lsn: Lsn;
  /** CRC of the record that ends here. */
  readonly chain: number;
}

export const segmentFileName = (number: number): string => `${String(number).padStart(8, "0")}.segment`;

export const segmentNumber = (fileName: string): number | undefined =>
  /^\d{8,10}\.segment$/.test(fileName) ? Number.parseInt(fileName, 10) : undefined;

export class Segment implements LogSegment {
  readonly path: string;
  readonly header: SegmentHeader;
  readonly salt: number;
  /** Just behind the last record. Moves on in the last segment only. */
  end: LogPlace;
  /** Parallel, ascending; the first entry is the place behind the header. */
  readonly #lsns: Lsn[];
  readonly #offsets: number[];
  readonly #chains: number[];
  #indexedTo: number;

  constructor(path: string, decoded: Extract<DecodedHeader, { kind: "header" }>) {
    this.path = path;
    this.header = decoded.header;
    this.salt = storageSalt(decoded.header.storageId);
    this.end = { offset: decoded.endOffset, lsn: decoded.header.firstLsn, chain: decoded.chain };
    this.#lsns = [this.end.lsn];
    this.#offsets = [this.end.offset];
    this.#chains = [this.end.chain];
    this.#indexedTo = this.end.offset;
  }

  get firstLsn(): Lsn {
    return this.header.firstLsn;
  }

  get note(): Uint8Array {
    return this.header.note;
  }

  /** A record begins at this place. Called in ascending order; what is already known is ignored. */
  index(lsn: Lsn, offset: number, chain: number): void {
    if (offset < this.#indexedTo + indexStrideBytes) return;
    this.#lsns.push(lsn);
    this.#offsets.push(offset);
    this.#chains.push(chain);
    this.#indexedTo = offset;
  }

  /** The nearest known place at or before a record of this segment. */
  placeBefore(lsn: Lsn): LogPlace {
    const at = lastAtMost(this.#lsns, lsn);
    return { offset: this.#offsets[at] ?? 0, lsn: this.#lsns[at] ?? 0, chain: this.#chains[at] ?? 0 };
  }

  get begin(): LogPlace {
    return this.placeBefore(this.firstLsn);
  }
}

/** Index of the last number that is not above `bound`; 0 if all are. */
export const lastAtMost = (ascending: readonly number[], bound: number): number => {
  let low = 0;
  let high = ascending.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((ascending[middle] ?? 0) <= bound) low = middle;
    else high = middle - 1;
  }
  return low;
};

export interface ScanStop extends LogPlace {
  /**
   * `end`: all up to the given end is whole. `zeros`: a length of 0. `cut`: a record goes on beyond the end. `bad`: a
   * record that does not verify. `stopped`: the visitor had enough.
   */
  readonly kind: "end" | "zeros" | "cut" | "bad" | "stopped";
}

/** Sees each record in place: its bytes are `buffer` from `bytesStart` to `bytesEnd`. True: enough. */
export type RecordVisitor = (reader: RecordReader, buffer: Buffer) => boolean;

/** Walks a segment's records from a known place to `endOffset`, checking each, a chunk at a time. */
export const scanSegment = async (
  file: ReadableFile,
  segment: Segment,
  range: { readonly from: LogPlace; readonly endOffset: number; readonly chunkBytes: number },
  visit: RecordVisitor,
): Promise<ScanStop> => {
  const { endOffset, chunkBytes } = range;
  const reader = new RecordReader(segment.salt);
  let { offset, lsn, chain } = range.from;
  let wantedBytes = chunkBytes;
  while (offset < endOffset) {
    const base = offset;
    const buffer = await file.read(base, Math.min(wantedBytes, endOffset - base));
    reader.begin(buffer, 0, { chain, nextLsn: lsn });
    for (;;) {
      const recordOffset = base + reader.offset;
      const chainBefore = reader.chain;
      const step = reader.next();
      if (step === "record") {
        segment.index(reader.lsn, recordOffset, chainBefore);
        if (visit(reader, buffer)) {
          return { kind: "stopped", offset: base + reader.offset, lsn: reader.nextLsn, chain: reader.chain };
        }
        continue;
      }
      ({ nextLsn: lsn, chain } = reader);
      offset = recordOffset;
      if (step === "end") return { kind: "zeros", offset, lsn, chain };
      if (step === "bad") return { kind: "bad", offset, lsn, chain };
      // Short: the chunk ended within a record. No progress is possible if the file ends there too.
      wantedBytes = Math.max(chunkBytes, reader.lengthNeeded);
      const bytesLeft = endOffset - offset;
      if (bytesLeft > 0 && bytesLeft < reader.lengthNeeded) return { kind: "cut", offset, lsn, chain };
      if (buffer.length === 0) return { kind: "cut", offset, lsn, chain };
      break;
    }
  }
  return { kind: "end", offset, lsn, chain };
};
