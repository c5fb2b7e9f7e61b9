/**
 * SLOWLOG: the last commands that took long, as Redis keeps them. Newest first, bounded, arguments cut.
 *
 * Which commands are timed, and what the time means, is told in server/commands/run.ts.
 */
import { slowLogArgumentBytesMax, slowLogArgumentsMax, slowLogEntriesMax } from "../../protocol/limits.ts";
import { secretWords } from "../secret-words.ts";

export interface SlowEntry {
  /** Never used again, not even after RESET. */
  readonly id: number;
  readonly atSeconds: number;
  readonly micros: number;
  readonly words: readonly string[];
  readonly address: string;
  readonly clientName: string;
}

/** Redis's defaults. */
export const slowMicrosDefault = 10_000;
export const slowEntriesDefault = 128;

/** Below this threshold every command is timed, not only those that may take long. */
const timeEachBelowMicros = 1000;

export class SlowLog {
  /** Oldest first. */
  #entries: SlowEntry[] = [];
  #nextId = 0;
  #slowerThanMicros = slowMicrosDefault;
  #entriesMax = slowEntriesDefault;

  /** Redis's `slowlog-log-slower-than`: 0 logs all, a negative one nothing. */
  get slowerThanMicros(): number {
    return this.#slowerThanMicros;
  }

  set slowerThanMicros(micros: number) {
    this.#slowerThanMicros = micros;
    this.timesEach = micros >= 0 && micros < timeEachBelowMicros;
  }

  /** Wants every command timed. A plain field, for it is looked at with each one. */
  timesEach = false;

  /** Redis's `slowlog-max-len`. */
  get entriesMax(): number {
    return this.#entriesMax;
  }

  set entriesMax(count: number) {
    this.#entriesMax = Math.min(count, slowLogEntriesMax);
    this.#trim();
  }

  get length(): number {
    return this.#entries.length;
  }

  /** Entries there have been, those that went among them. */
  get recorded(): number {
    return this.#nextId;
  }

  /** Call it with every command that was timed. `fullName`: as the table has it. */
  note(
    micros: number,
    command: { readonly words: readonly string[]; readonly fullName: string },
    client: { readonly address: string; readonly name: string },
    wallMs: number,
  ): void {
    if (this.#slowerThanMicros < 0 || micros < this.#slowerThanMicros) return;
    this.#entries.push({
      id: this.#nextId++,
      atSeconds: Math.floor(wallMs / 1000),
      micros: Math.round(micros),
      words: shownWords(command.words, command.fullName),
      address: client.address,
      clientName: client.name,
    });
    this.#trim();
  }

  /** Newest first. */
  newest(count: number): readonly SlowEntry[] {
    return this.#entries.slice(Math.max(0, this.#entries.length - count)).reverse();
  }

  reset(): void {
    this.#entries = [];
  }

  #trim(): void {
    if (this.#entries.length > this.#entriesMax) this.#entries.splice(0, this.#entries.length - this.#entriesMax);
  }
}

/** Cut as Redis cuts: the last place tells how many were left out. */
const shownWords = (words: readonly string[], fullName: string): readonly string[] => {
  const isSecret = secretWords(words, fullName);
  const isCut = words.length > slowLogArgumentsMax;
  const shown = words
    .slice(0, isCut ? slowLogArgumentsMax - 1 : words.length)
    .map((word, at) => (isSecret(at) ? "(redacted)" : shownWord(word)));
  if (isCut) shown.push(`... (${words.length - slowLogArgumentsMax + 1} more arguments)`);
  return shown;
};

/** A copy: a slice would keep the whole of a long value in memory. */
const shownWord = (word: string): string =>
  word.length <= slowLogArgumentBytesMax
    ? Buffer.from(word, "latin1").toString("latin1")
    : `${Buffer.from(word.slice(0, slowLogArgumentBytesMax), "latin1").toString("latin1")}... (${word.length - slowLogArgumentBytesMax} more bytes)`;
