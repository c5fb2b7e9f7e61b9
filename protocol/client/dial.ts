/**
 * One round of trying all peers: the first that welcomes us is taken.
 *
 * They are tried in their order. The next one's turn comes when one has failed, or has said nothing for a moment: a peer
 * that hangs takes connections and never answers, and waiting for it would be the failover's time. The others are then
 * given up.
 */
import type { Connection } from "./connection.ts";
import { ChorusError } from "./errors.ts";

/** Another peer is tried beside one that has not answered for this long. */
const hedgeMs = 200;
/** One that has not answered by then has failed, though nobody else answered either. */
const dialMsMax = 5000;

export interface DialFailure {
  readonly url: string;
  readonly error: ChorusError;
}

/** Resolves with the connection, or with all failures once everybody failed. Never rejects. */
export const dialRound = (
  urls: readonly string[],
  open: (url: string, signal: AbortSignal) => Promise<Connection>,
  signal: AbortSignal,
): Promise<Connection | readonly DialFailure[]> =>
  new Promise((resolve) => {
    const failures: DialFailure[] = [];
    const givingUp = new Map<string, AbortController>();
    let next = 0;
    let isOver = false;
    let hedge: ReturnType<typeof setTimeout> | undefined;
    const dialEnd = setTimeout(() => abortAll(), dialMsMax);

    const finish = (result: Connection | readonly DialFailure[]): void => {
      isOver = true;
      clearTimeout(hedge);
      clearTimeout(dialEnd);
      signal.removeEventListener("abort", abortAll);
      abortAll();
      resolve(result);
    };
    const abortAll = (): void => {
      next = urls.length;
      for (const controller of givingUp.values()) controller.abort();
      if (!isOver && givingUp.size === 0) finish(failures);
    };
    const tryNext = (): void => {
      clearTimeout(hedge);
      const url = urls[next++];
      if (url === undefined) {
        if (givingUp.size === 0 && !isOver) finish(failures);
        return;
      }
      const controller = new AbortController();
      givingUp.set(url, controller);
      hedge = setTimeout(tryNext, hedgeMs);
      open(url, controller.signal).then(
        (connection) => {
          givingUp.delete(url);
          // Another one was faster by a hair.
          if (isOver) connection.cut("another peer was faster");
          else finish(connection);
        },
        (error: unknown) => {
          givingUp.delete(url);
          if (isOver) return;
          failures.push({ url, error: error instanceof ChorusError ? error : asUnreachable(error) });
          tryNext();
        },
      );
    };
    if (signal.aborted) return finish(failures);
    signal.addEventListener("abort", abortAll, { once: true });
    tryNext();
  });

const asUnreachable = (error: unknown): ChorusError =>
  new ChorusError("UNREACHABLE", error instanceof Error ? error.message : String(error), "not-applied", error);
