/**
 * A cell taken out of the map: how it travels in a transfer and lies in the checkpoint.
 *
 *     cell  u8 flags | [base: f64 stamp, varint origin, varint seq, (value), (f64 expiry), (observed)] | [totals]
 *
 * Origins are small integers: in a checkpoint those of this peer's origin table, in a transfer those of the message's
 * own dictionary.
 */
import { type ByteReader, type ByteWriter, DecodeFault } from "../../protocol/bytes.ts";
import { readSum, sumBytesMin, writeSum } from "../../protocol/frames.ts";
import { valueBytesMax } from "../../protocol/limits.ts";
import type { Stamp } from "../../protocol/words.ts";
import type { CellMap, CellRef } from "./cell-map.ts";
import type { Observed, Total } from "./counter.ts";

export interface Cell {
  /** undefined: no base (only totals); null: a dead one, a tombstone. */
  value: string | null | undefined;
  stamp: Stamp;
  origin: number;
  seq: number;
  /** Unix ms, 0 for none. */
  expiresAtMs: number;
  observed: readonly Observed[];
  totals: Total[];
}

const baseFlag = 1;
const liveFlag = 2;
const expiryFlag = 4;
const observedFlag = 8;
const totalsFlag = 16;
const flagsKnown = 31;
/** No cell has these flags: where one could stand, this says that there is none. */
export const emptyCellFlags = 0;

export const writeCell = (out: ByteWriter, cell: Cell, originRef: (origin: number) => number): void => {
  const hasBase = cell.value !== undefined;
  out.u8(
    (hasBase ? baseFlag : 0) |
      (typeof cell.value === "string" ? liveFlag : 0) |
      (hasBase && cell.expiresAtMs !== 0 ? expiryFlag : 0) |
      (hasBase && cell.observed.length > 0 ? observedFlag : 0) |
      (cell.totals.length > 0 ? totalsFlag : 0),
  );
  if (hasBase) {
    out.f64(cell.stamp);
    out.varint(originRef(cell.origin));
    out.varint(cell.seq);
    if (typeof cell.value === "string") out.string(cell.value);
    if (cell.expiresAtMs !== 0) out.f64(cell.expiresAtMs);
    if (cell.observed.length > 0) {
      out.varint(cell.observed.length);
      for (const seen of cell.observed) {
        out.varint(originRef(seen.origin));
        out.varint(seen.first);
        out.varint(seen.seq);
        writeSum(out, seen.sum);
      }
    }
  }
  if (cell.totals.length > 0) {
    out.varint(cell.totals.length);
    for (const total of cell.totals) {
      out.varint(originRef(total.origin));
      out.varint(total.first);
      out.varint(total.seq);
      writeSum(out, total.sum);
      out.f64(total.expiresAtMs);
    }
  }
};

/** The cell at `ref`, as writeCell() would write it: nearly all are plain ones, and a million objects are garbage. */
export const writeCellAt = (
  out: ByteWriter,
  map: CellMap,
  ref: CellRef,
  originRef: (origin: number) => number,
): void => {
  if (map.isCounter(ref)) return writeCell(out, map.cellAt(ref), originRef);
  const value = map.heldAt(ref) as string | null;
  const expiresAtMs = map.expiryAt(ref);
  out.u8(baseFlag | (value === null ? 0 : liveFlag) | (expiresAtMs === 0 ? 0 : expiryFlag));
  out.f64(map.stampAt(ref));
  out.varint(originRef(map.originAt(ref)));
  out.varint(map.seqAt(ref));
  if (value !== null) out.string(value);
  if (expiresAtMs !== 0) out.f64(expiresAtMs);
};

export const readCell = (input: ByteReader, originOf: (reference: number) => number): Cell => {
  const flags = input.u8();
  if ((flags & ~flagsKnown) !== 0) throw new DecodeFault(`unknown cell flags ${flags}`);
  const isEmpty = (flags & (baseFlag | totalsFlag)) === 0;
  if (isEmpty || ((flags & baseFlag) === 0 && (flags & ~totalsFlag) !== 0))
    throw new DecodeFault(`cell flags ${flags}`);
  const cell: Cell = { value: undefined, stamp: 0, origin: 0, seq: 0, expiresAtMs: 0, observed: [], totals: [] };
  if ((flags & baseFlag) !== 0) {
    cell.stamp = input.whole();
    if (!Number.isSafeInteger(cell.stamp)) throw new DecodeFault("stamp beyond 2^53");
    cell.origin = originOf(input.varint());
    cell.seq = input.varint();
    if (cell.seq < 1) throw new DecodeFault("a base has a dot");
    cell.value = (flags & liveFlag) !== 0 ? input.string(valueBytesMax) : null;
    if ((flags & expiryFlag) !== 0) cell.expiresAtMs = input.whole();
    if ((flags & observedFlag) !== 0) {
      const count = input.count(3 + sumBytesMin);
      const observed: Observed[] = [];
      for (let index = 0; index < count; index++) {
        observed.push({
          origin: originOf(input.varint()),
          first: input.varint(),
          seq: input.varint(),
          sum: readSum(input),
        });
      }
      cell.observed = observed;
    }
  }
  if ((flags & totalsFlag) !== 0) {
    const count = input.count(3 + sumBytesMin + 8);
    for (let index = 0; index < count; index++) {
      cell.totals.push({
        origin: originOf(input.varint()),
        first: input.varint(),
        seq: input.varint(),
        sum: readSum(input),
        expiresAtMs: input.whole(),
        onOrigin: -1,
        onSeq: 0,
      });
    }
  }
  return cell;
};
