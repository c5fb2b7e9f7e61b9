/** A second state machine that keeps its records in the replica's log: what the turn loop asks of it. */
export interface LogTenant {
  /** Before each append: hands its records to the replica's log. True: they are to be synced at once. */
  collect(): boolean;
  /** Right behind that append. */
  letGo(): void;
  /** Counts the records it has handed over. */
  readonly appendedThrough: number;
  /** Records up to this count are on disk. Called within a turn. */
  synced(through: number): void;
}
