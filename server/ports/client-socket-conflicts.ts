/**
 * The conflicts of a client WebSocket: first the journal, then what comes, as fast as the client reads.
 *
 * What it has yet to be sent is a list of conflicts the journal holds anyway. Should too many come while it does not
 * read, the journal is sent once more, so it may see one again, by its id.
 */
import { conflictsMessageBytes, pendingConflictsMax } from "../../protocol/limits.ts";
import { conflictReport } from "../conflict-report.ts";
import type { ConflictFeed } from "../feed/conflict-feed.ts";
import type { Conflict } from "../replica/index.ts";
import { latin1ToJson } from "./client-socket-bytes.ts";
import type { ActiveSubscription, Outlet } from "./client-socket-subscriptions.ts";

export class ConflictSubscription implements ActiveSubscription {
  readonly #id: number;
  readonly #outlet: Outlet;
  readonly #source: ConflictFeed;
  readonly #unsubscribe: () => void;
  #toSend: Conflict[];
  #nextAt = 0;

  constructor(id: number, outlet: Outlet, source: ConflictFeed) {
    this.#id = id;
    this.#outlet = outlet;
    this.#source = source;
    this.#toSend = [...source.list()];
    this.#unsubscribe = source.subscribe((conflicts) => this.#onConflicts(conflicts));
    // An empty journal is told too.
    this.#sendSlice();
    this.onWritable();
  }

  cancel(): void {
    this.#unsubscribe();
    this.#toSend = [];
    this.#nextAt = 0;
  }

  onWritable(): void {
    while (this.#nextAt < this.#toSend.length && !this.#outlet.isFull()) this.#sendSlice();
  }

  #onConflicts(conflicts: readonly Conflict[]): void {
    this.#toSend.push(...conflicts);
    if (this.#toSend.length - this.#nextAt > this.#source.count + pendingConflictsMax) {
      this.#toSend = [...this.#source.list()];
      this.#nextAt = 0;
    }
    this.onWritable();
  }

  #sendSlice(): void {
    const parts: string[] = [];
    let bytes = 0;
    while (this.#nextAt < this.#toSend.length && bytes < conflictsMessageBytes) {
      // In bounds: just compared.
      const part = conflictToJson(this.#toSend[this.#nextAt] as Conflict);
      this.#nextAt += 1;
      parts.push(part);
      bytes += part.length;
    }
    if (this.#nextAt === this.#toSend.length) {
      this.#toSend = [];
      this.#nextAt = 0;
    }
    const { dropped } = this.#source;
    this.#outlet.send(`{"type":"conflicts","id":${this.#id},"conflicts":[${parts.join(",")}],"dropped":${dropped}}`);
  }
}

const conflictToJson = (conflict: Conflict): string => {
  const { id, key, atMs, winner, loser, why, restored } = conflictReport(conflict);
  const side = ({ value, ...written }: typeof winner): string =>
    `{"value":${value === undefined ? "null" : latin1ToJson(value)},${JSON.stringify(written).slice(1)}`;
  const rest = JSON.stringify({ id, atMs, why, restored }).slice(0, -1);
  return `${rest},"key":${latin1ToJson(key)},"winner":${side(winner)},"loser":${side(loser)}}`;
};
