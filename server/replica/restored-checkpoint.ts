/**
 * From a cut (backup-scan.ts) to what a peer recovers from: the cut's cells as a checkpoint of vv0, its frames as the log
 * behind it. Nothing is merged here and no map is built, so a cut of any size passes through in pieces; the peer's start
 * does the merging, as after any crash.
 *
 * Whose cut it was does not matter: cells, vectors and frames name their origins themselves. The peer that starts on it
 * begins a run of its own, above the cut's ceiling.
 *
 * What does not hold together is a DecodeFault: a key that cannot be read, frames that leave a gap, come before their
 * causes, or do not end at the cut's vector.
 */
import { ByteReader, ByteWriter, DecodeFault } from "../../protocol/bytes.ts";
import { checkFrameOps, readFrame } from "../../protocol/frames.ts";
import { checkpointSliceBytes } from "../../protocol/limits.ts";
import type { Lsn, PeerName } from "../../protocol/words.ts";
import type { Cut, CutStart } from "./backup-scan.ts";
import { writeCell } from "./cell.ts";
import { BlockLedger } from "./cell-blocks.ts";
import { readCellBundle } from "./cell-bundle.ts";
import { shardOf } from "./cell-map.ts";
import { conflictEntry, type Entry, encodeMeta, floorEntry, metaKey, originEntry } from "./checkpoint.ts";
import { decodeConflict } from "./conflicts.ts";
import { OriginTable } from "./origins.ts";
import { recordType } from "./state.ts";
import { at, equal, setAt, type VersionVector, writeVersionVector } from "./version-vector.ts";

export interface RestoredRecord {
  readonly type: number;
  readonly bytes: Uint8Array;
}

const sameNumber = (origin: number): number => origin;

export class RestoredCheckpoint {
  readonly #origins = new OriginTable();
  readonly #blocks = new BlockLedger();
  readonly name: PeerName;
  readonly #gated: boolean;
  readonly #vv0: VersionVector;
  readonly #contexts: readonly (readonly [number, VersionVector])[];
  /** Of all frames so far. */
  readonly #vv: VersionVector;
  /** The block being filled: cells of one shard. */
  readonly #cells = new ByteWriter(2 * checkpointSliceBytes);
  #shard = 0;

  /** `gated`: the peer takes no clients before it has caught up with another. */
  constructor(name: PeerName, gated: boolean, start: CutStart) {
    this.name = name;
    this.#gated = gated;
    this.#vv0 = this.#vector(start.vv0);
    this.#contexts = start.contexts.map(
      ([origin, context]) => [this.#origins.number(origin), this.#vector(context)] as const,
    );
    this.#vv = [...this.#vv0];
  }

  #vector(wire: CutStart["vv0"]): VersionVector {
    const vv: VersionVector = [];
    for (const [origin, seq] of wire) setAt(vv, this.#origins.number(origin), seq);
    return vv;
  }

  /** The log's first record: that it has one shows that this is no new disk, whatever the map holds. */
  firstRecord(): RestoredRecord {
    return { type: recordType.gate, bytes: Uint8Array.of(this.#gated ? 1 : 0) };
  }

  /** A bundle of cells. Entries to write, in order: blocks that got full. */
  addCells(bytes: Uint8Array): { readonly entries: readonly Entry[]; readonly count: number } {
    const entries: Entry[] = [];
    let count = 0;
    readCellBundle(bytes, this.#origins, (key, cell) => {
      const shard = shardOf(key);
      // A walk goes shard by shard, so a shard's cells make few blocks. Any other order is right too, and slower.
      if (shard !== this.#shard || this.#cells.length >= checkpointSliceBytes) this.#endBlock(entries);
      this.#shard = shard;
      this.#cells.string(key);
      writeCell(this.#cells, cell, sameNumber);
      count++;
    });
    return { entries, count };
  }

  #endBlock(entries: Entry[]): void {
    if (this.#cells.length === 0) return;
    entries.push([this.#blocks.add(this.#shard, this.#cells.length), this.#cells.take()]);
  }

  /** Whole frames, one after the other: the log's records, in order. */
  *addFrames(bytes: Uint8Array): Generator<RestoredRecord> {
    const input = new ByteReader(bytes);
    while (input.left > 0) {
      const frame = readFrame(input);
      checkFrameOps(frame);
      const origin = this.#origins.number(frame.origin);
      if (at(this.#vv, origin) !== frame.first - 1) {
        throw new DecodeFault(`frame ${frame.first} of ${frame.origin} behind ${at(this.#vv, origin)}`);
      }
      for (const [other, seq] of frame.contextDelta) {
        if (at(this.#vv, this.#origins.number(other)) < seq) throw new DecodeFault("a frame before its causes");
      }
      yield { type: recordType.frame, bytes: frame.bytes };
      setAt(this.#vv, origin, frame.last);
    }
  }

  /** What a log segment that begins now notes: the vector of all before it. */
  segmentNote(): Uint8Array {
    const out = new ByteWriter(128);
    writeVersionVector(out, this.#vv, this.#origins);
    return out.take();
  }

  addConflict(bytes: Uint8Array): Entry {
    const input = new ByteReader(bytes);
    const conflict = decodeConflict(input);
    input.expectEnd();
    return conflictEntry(conflict);
  }

  /** The last entries: with them on disk, and the log before them, the directory is one. `lsn`: of the first frame. */
  end(cut: Cut, lsn: Lsn): Entry[] {
    if (!equal(this.#vv, this.#vector(cut.vv))) throw new DecodeFault("the frames do not end at the cut's vector");
    const entries: Entry[] = [];
    this.#endBlock(entries);
    const floor = this.#vector(cut.floor);
    for (let number = 0; number < this.#origins.size; number++) entries.push(originEntry(this.#origins, number));
    const meta = encodeMeta(
      {
        name: this.name,
        gated: this.#gated,
        ceiling: cut.ceiling,
        lsn,
        streamStart: lsn,
        horizonMs: cut.horizonMs,
        vv: this.#vv0,
        // What was stable was so for the disks of then.
        purgeable: [],
        stableMs: 0,
        contexts: this.#contexts,
      },
      this.#origins,
    );
    entries.push(floorEntry(floor, this.#origins), [metaKey, meta]);
    return entries;
  }
}
