/**
 * A transfer on its way in: staged as it comes, installed at once when its end has come, or never.
 *
 * Its cells are put into a map of their own, one message after the other, so that a peer with nothing of its own need only
 * take that map over (install.ts) and no peer holds them as a million objects. That map is what a merge into an empty one
 * would give: a base newer than the beginning of the scan is left out of it, since its frame follows.
 */
import { ByteReader } from "../../protocol/bytes.ts";
import { checkFrameOps, type FrameHeader, readFrame } from "../../protocol/frames.ts";
import type { LinkMessage } from "../../protocol/link-messages.ts";
import type { Lsn, Stamp } from "../../protocol/words.ts";
import type { Cell } from "./cell.ts";
import { readCellBundle } from "./cell-bundle.ts";
import { CellMap } from "./cell-map.ts";
import type { ReplicaState } from "./state.ts";
import { at, type ReadonlyVersionVector } from "./version-vector.ts";

export class Staging {
  readonly transfer: number;
  /** Of its first record in the log. */
  readonly lsn: Lsn;
  readonly full: boolean;
  readonly vv0: ReadonlyVersionVector;
  readonly contexts: readonly (readonly [number, ReadonlyVersionVector])[];
  readonly map: CellMap;
  /** Cells with a base newer than `vv0`, whole: what was written while the scan went on. */
  readonly #late = new Map<string, Cell>();
  readonly #frames: FrameHeader[] = [];
  readonly #state: ReplicaState;
  #stampMax: Stamp = 0;

  constructor(
    state: ReplicaState,
    transfer: number,
    message: LinkMessage & { readonly kind: "transfer-begin" },
    lsn: Lsn,
  ) {
    this.#state = state;
    this.transfer = transfer;
    this.lsn = lsn;
    this.full = message.full;
    this.vv0 = state.vector(message.vv0);
    this.contexts = message.contexts.map(
      ([origin, context]) => [state.origins.number(origin), state.vector(context)] as const,
    );
    this.map = new CellMap(state.origins);
    this.map.advanceHorizon(state.map.horizonMs);
  }

  get frames(): readonly FrameHeader[] {
    return this.#frames;
  }

  /** The highest stamp it holds: the ceiling must reach it before it is installed. */
  get stampMax(): Stamp {
    return this.#stampMax;
  }

  get cellCount(): number {
    let count = this.map.cellCount;
    for (const cell of this.#late.values()) if (cell.totals.length === 0) count++;
    return count;
  }

  addCells(bundle: Uint8Array): void {
    readCellBundle(bundle, this.#state.origins, (key, cell) => this.#addCell(key, cell));
  }

  /** A key may come twice, when its cell left and came anew during the scan: the later word counts. */
  #addCell(key: string, cell: Cell): void {
    const { map } = this;
    this.#stampMax = Math.max(this.#stampMax, cell.stamp);
    if (cell.value === undefined || cell.seq <= at(this.vv0, cell.origin)) {
      if (this.#late.size > 0) this.#late.delete(key);
      map.load(key, cell, "dirty");
      return;
    }
    this.#late.set(key, cell);
    if (cell.totals.length > 0) {
      map.load(key, { ...cell, value: undefined, stamp: 0, origin: 0, seq: 0, expiresAtMs: 0, observed: [] }, "dirty");
      return;
    }
    const before = map.locate(key);
    if (before >= 0) map.unload(before);
  }

  addFrames(frames: Uint8Array): void {
    const input = new ByteReader(frames);
    while (input.left > 0) {
      const frame = readFrame(input);
      this.#stampMax = Math.max(this.#stampMax, checkFrameOps(frame));
      this.#frames.push(frame);
    }
  }

  /** The cell as it was sent; undefined: none was. */
  cell(key: string): Cell | undefined {
    const late = this.#late.get(key);
    if (late !== undefined) return late;
    const ref = this.map.locate(key);
    return ref < 0 ? undefined : this.map.cellAt(ref);
  }

  forEachCell(visit: (key: string, cell: Cell) => void): void {
    const { map } = this;
    map.walk(0, Number.POSITIVE_INFINITY, (ref) => {
      const key = map.keyAt(ref);
      if (!this.#late.has(key)) visit(key, map.cellAt(ref));
      return false;
    });
    for (const [key, cell] of this.#late) visit(key, cell);
  }
}
