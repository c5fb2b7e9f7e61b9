/** How far something has come, on standard error, for whoever waits longer than two seconds for it. */

const quietMs = 2000;
const everyMs = { terminal: 250, file: 5000 } as const;

export class Progress {
  readonly #startedMs = performance.now();
  readonly #isTerminal = process.stderr.isTTY;
  #shownAtMs = Number.NEGATIVE_INFINITY;
  #isShown = false;

  get elapsedMs(): number {
    return performance.now() - this.#startedMs;
  }

  /** Cheap when nothing is to be shown: the words are made only then. */
  show(words: () => string): void {
    const nowMs = performance.now();
    const every = this.#isTerminal ? everyMs.terminal : everyMs.file;
    if (nowMs - this.#startedMs < quietMs || nowMs - this.#shownAtMs < every) return;
    this.#shownAtMs = nowMs;
    this.#isShown = true;
    process.stderr.write(this.#isTerminal ? `\r\x1b[K${words()}` : `${words()}\n`);
  }

  /** Leaves a terminal's line clean for what is said last. */
  end(): void {
    if (this.#isShown && this.#isTerminal) process.stderr.write("\r\x1b[K");
    this.#isShown = false;
  }
}

/** `42 %`, or nothing when the whole is not known. More than expected is not shown as more than all. */
export const percentOf = (done: number, all: number | undefined): string =>
  all === undefined || all === 0 ? "" : ` (${Math.min(99, Math.floor((done / all) * 100))} %)`;
