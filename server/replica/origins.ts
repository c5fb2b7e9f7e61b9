/**
 * The origins a replica has met, numbered in the order it met them.
 *
 * Inside the replica an origin is its number: version vectors are arrays, cells hold small integers. The numbers are
 * local to one peer's disk (the checkpoint stores the table); on the wire origins travel by their text.
 */
import { type Incarnation, type OriginId, type PeerName, parseOriginId } from "../../protocol/words.ts";
import { hashText } from "./hash.ts";
import { invariant } from "./invariant.ts";

export class OriginTable {
  readonly #numbers = new Map<string, number>();
  readonly ids: OriginId[] = [];
  readonly names: PeerName[] = [];
  readonly incarnations: Incarnation[] = [];
  /** Two hash lanes of the id, equal at every peer: what the digest puts in place of the local number. */
  readonly lanes1: number[] = [];
  readonly lanes2: number[] = [];

  get size(): number {
    return this.ids.length;
  }

  /** The origin's number, giving it one if it is new. */
  number(id: OriginId): number {
    const known = this.#numbers.get(id);
    if (known !== undefined) return known;
    const parsed = parseOriginId(id);
    invariant(parsed !== undefined, "origin ids are parsed at the edge");
    const number = this.ids.length;
    this.#numbers.set(id, number);
    this.ids.push(id);
    this.names.push(parsed.name);
    this.incarnations.push(parsed.incarnation);
    this.lanes1.push(hashText(id, 0x811c9dc5));
    this.lanes2.push(hashText(id, 0x2f0b4a27));
    return number;
  }

  find(id: OriginId): number | undefined {
    return this.#numbers.get(id);
  }

  id(number: number): OriginId {
    const id = this.ids[number];
    invariant(id !== undefined, "origin numbers come from this table");
    return id;
  }
}
