/**
 * The conflict journal, told as it grows: who listens hears of each conflict when it was recorded or restored.
 *
 * The journal notes ids only while somebody listens, and they are looked up at the end of the turn; so it costs nothing
 * otherwise, and a listener that cannot take more simply reads the journal again, which is bounded.
 */
import type { Conflict, ConflictJournal } from "../replica/conflicts.ts";

export type ConflictListener = (conflicts: readonly Conflict[]) => void;

export class ConflictFeed {
  readonly #journal: ConflictJournal;
  readonly #listeners = new Set<ConflictListener>();

  constructor(journal: ConflictJournal) {
    this.#journal = journal;
  }

  /** Oldest first. */
  list(): readonly Conflict[] {
    return this.#journal.list();
  }

  get count(): number {
    return this.#journal.count;
  }

  /** Let go by the journal's bounds so far. */
  get dropped(): number {
    return this.#journal.dropped;
  }

  /** The result ends it. */
  subscribe(listener: ConflictListener): () => void {
    this.#listeners.add(listener);
    this.#journal.news ??= [];
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#journal.news = undefined;
    };
  }

  /** At the end of each turn. */
  onTurn(): void {
    const { news } = this.#journal;
    if (news === undefined || news.length === 0) return;
    this.#journal.news = [];
    const conflicts = [...new Set(news)].flatMap((id) => this.#journal.get(id) ?? []);
    if (conflicts.length > 0) for (const listener of this.#listeners) listener(conflicts);
  }
}
