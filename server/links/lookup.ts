/**
 * Resolves names one at a time.
 *
 * Node resolves names by blocking calls on the pool of four threads that also runs our fsyncs. A name server that does
 * not answer would fill the pool with one waiting call per peer and so delay every write; this way it holds one thread.
 * Addresses given as numbers never come here.
 */
import { type LookupAddress, type LookupOptions, lookup as systemLookup } from "node:dns";

type LookupCallback = (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number) => void;

interface WaitingLookup {
  readonly hostname: string;
  readonly options: LookupOptions;
  readonly callback: LookupCallback;
}

const waiting: WaitingLookup[] = [];
let isBusy = false;

/** To be given to `net.connect` and everything built on it. */
export const lookupInTurn = (hostname: string, options: LookupOptions, callback: LookupCallback): void => {
  waiting.push({ hostname, options, callback });
  lookupNext();
};

const lookupNext = (): void => {
  if (isBusy) return;
  const next = waiting.shift();
  if (next === undefined) return;
  isBusy = true;
  systemLookup(next.hostname, next.options, (error, address, family) => {
    isBusy = false;
    lookupNext();
    next.callback(error, address, family);
  });
};
