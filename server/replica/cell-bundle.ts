/**
 * Cells in one message, with the dictionary of origins they name:
 *
 *     varint n, n x origin | varint bytes of what follows is implied by the message | k x (key, cell)
 *
 * Written cell by cell until it is full; read whole.
 */
import { ByteReader, ByteWriter, DecodeFault } from "../../protocol/bytes.ts";
import { originBytesMin, readOrigin, writeOrigin } from "../../protocol/frames.ts";
import { keyBytesMax } from "../../protocol/limits.ts";
import { type Cell, readCell, writeCell, writeCellAt } from "./cell.ts";
import type { CellMap, CellRef } from "./cell-map.ts";
import type { OriginTable } from "./origins.ts";

const bufferBytes = 64 * 1024;
const bufferBytesMax = 8 * bufferBytes;

export class CellBundleWriter {
  readonly #origins: OriginTable;
  #cells = new ByteWriter(bufferBytes);
  readonly #references = new Map<number, number>();
  count = 0;

  constructor(origins: OriginTable) {
    this.#origins = origins;
  }

  get byteLength(): number {
    return this.#cells.length;
  }

  readonly #referenceOf = (origin: number): number => {
    const known = this.#references.get(origin);
    if (known !== undefined) return known;
    const reference = this.#references.size;
    this.#references.set(origin, reference);
    return reference;
  };

  add(key: string, cell: Cell): void {
    this.#cells.string(key);
    writeCell(this.#cells, cell, this.#referenceOf);
    this.count++;
  }

  addAt(map: CellMap, ref: CellRef): void {
    this.#cells.string(map.keyAt(ref));
    writeCellAt(this.#cells, map, ref, this.#referenceOf);
    this.count++;
  }

  take(): Buffer {
    const out = new ByteWriter(this.#cells.length + 64);
    out.varint(this.#references.size);
    for (const origin of this.#references.keys()) writeOrigin(out, this.#origins.id(origin));
    out.raw(this.#cells.bytes.subarray(0, this.#cells.length));
    // One long value must not be paid for ever after.
    if (this.#cells.bytes.length > bufferBytesMax) this.#cells = new ByteWriter(bufferBytes);
    this.#cells.length = 0;
    this.#references.clear();
    this.count = 0;
    return out.take();
  }
}

export const readCellBundle = (
  bytes: Uint8Array,
  origins: OriginTable,
  visit: (key: string, cell: Cell) => void,
): void => {
  const input = new ByteReader(bytes);
  const count = input.count(originBytesMin);
  const dictionary: number[] = [];
  for (let index = 0; index < count; index++) dictionary.push(origins.number(readOrigin(input)));
  const originOf = (reference: number): number => {
    const origin = dictionary[reference];
    if (origin === undefined) throw new DecodeFault(`origin reference ${reference} of ${dictionary.length}`);
    return origin;
  };
  while (input.left > 0) visit(input.string(keyBytesMax), readCell(input, originOf));
};
