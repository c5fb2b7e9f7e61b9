/**
 * Who wants to be looked at, and when: a binary heap with one valid entry per item.
 *
 * An item may be asked for earlier at any time: the later entry stays behind and is dropped when it comes up. So a wake
 * costs the logarithm of what waits, however many items there are.
 */
export interface Wakeable {
  /** Of its valid entry; Infinity: it has none. The queue's. */
  wakeAtMs: number;
}

interface Entry<Item> {
  readonly atMs: number;
  readonly item: Item;
}

export class WakeQueue<Item extends Wakeable> {
  readonly #heap: Entry<Item>[] = [];

  /** No later than the next moment at which take() has something. */
  get nextMs(): number {
    return this.#heap[0]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  by(item: Item, atMs: number): void {
    if (atMs >= item.wakeAtMs) return;
    item.wakeAtMs = atMs;
    const heap = this.#heap;
    const entry = { atMs, item };
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as Entry<Item>;
      if (above.atMs <= atMs) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = entry;
  }

  /** The next item that is due, without its entry; undefined: none. */
  take(nowMs: number): Item | undefined {
    for (let top = this.#heap[0]; top !== undefined && top.atMs <= nowMs; top = this.#heap[0]) {
      this.#dropTop();
      if (top.item.wakeAtMs !== top.atMs) continue;
      top.item.wakeAtMs = Number.POSITIVE_INFINITY;
      return top.item;
    }
    return undefined;
  }

  #dropTop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Entry<Item>;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && (heap[child + 1] as Entry<Item>).atMs < (heap[child] as Entry<Item>).atMs) child++;
      const below = heap[child] as Entry<Item>;
      if (below.atMs >= last.atMs) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
  }
}
