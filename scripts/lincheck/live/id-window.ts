/**
 * How many operation ids may be used on a key, so that none is forgotten while a try of it may still come to an end.
 *
 * A register remembers its last 32 operations with ids. A client whose peer stands still asks another one with the same id;
 * the first try is carried out when that peer wakes, seconds later, and does nothing only as long as the id is remembered.
 * Here ids are given out such that this always holds: what is then done twice is a fault of the store.
 */
import { operationIdsKept } from "../../../protocol/limits.ts";

interface Use {
  /** Others that may come into the register after this one. */
  others: number;
}

export class IdWindow {
  readonly #open = new Set<Use>();

  /** undefined: not now. Call the function when every try of it has ended. */
  take(): (() => void) | undefined {
    for (const use of this.#open) if (use.others >= operationIdsKept - 1) return undefined;
    if (this.#open.size >= operationIdsKept - 1) return undefined;
    for (const use of this.#open) use.others++;
    const own: Use = { others: this.#open.size };
    this.#open.add(own);
    return () => this.#open.delete(own);
  }
}
