/**
 * What commands did, in plain numbers: by command how often, with what end and how long. Written by the executor, read by
 * INFO, LATENCY HISTOGRAM and the metrics, which pay for it.
 */
import { commands } from "../../protocol/commands.ts";
import { errorCodesMax } from "../../protocol/limits.ts";
import { DurationHistogram, durationBuckets } from "../metrics/duration-histogram.ts";

/** Full names in the order of `RunnableCommand.index`. */
export const countedCommands: readonly string[] = commands.flatMap(({ fullName, subcommands }) => [
  fullName,
  ...subcommands.map((subcommand) => subcommand.fullName),
]);

/** A call whose work is bounded is timed once in so many: a prime, so that no pattern of a pipeline hides from it. */
const timedOneIn = 31;

export class CommandFigures {
  /** By command: runs, those of them that answered an error, and those refused before they ran. */
  readonly calls = new Float64Array(countedCommands.length);
  readonly failed = new Float64Array(countedCommands.length);
  readonly refused = new Float64Array(countedCommands.length);
  /** Words that name no command. */
  unknown = 0;
  /** By command: of those that were timed. */
  readonly durations: readonly DurationHistogram[];
  /** Error replies by their first word. */
  readonly errors = new Map<string, number>();
  keyspaceHits = 0;
  keyspaceMisses = 0;
  /** Connections that wait in WAIT now. */
  blocked = 0;
  /** By command: calls until the next one is timed. */
  readonly #untilTimed = new Int32Array(countedCommands.length);

  constructor() {
    const counts = new Float64Array(countedCommands.length * durationBuckets);
    this.durations = countedCommands.map(
      (_name, index) => new DurationHistogram(counts.subarray(index * durationBuckets, (index + 1) * durationBuckets)),
    );
  }

  /** Commands run, by clients or inside EXEC. */
  get commands(): number {
    return this.calls.reduce((sum, count) => sum + count, 0);
  }

  /** Commands refused before they ran: unknown, wrong arity, no login, writes not taken. */
  get rejected(): number {
    return this.refused.reduce((sum, count) => sum + count, this.unknown);
  }

  /** Counts a call whose work is bounded. For how many it is to be timed, itself included; 0: it is not. */
  timedFor(index: number): number {
    const left = this.#untilTimed[index] as number;
    if (left > 1) {
      this.#untilTimed[index] = left - 1;
      return 0;
    }
    this.#untilTimed[index] = timedOneIn;
    // The very first stands for itself: a command given once shows as once.
    return left === 0 ? 1 : timedOneIn;
  }

  /** The codes are ours, so they are few; the bound is there for a bug that puts a client's word in their place. */
  countError(line: string): void {
    const spaceAt = line.indexOf(" ");
    const code = spaceAt < 0 ? line : line.slice(0, spaceAt);
    const known = this.errors.get(code);
    if (known === undefined && this.errors.size >= errorCodesMax)
      this.errors.set("other", 1 + (this.errors.get("other") ?? 0));
    else this.errors.set(code, 1 + (known ?? 0));
  }
}
