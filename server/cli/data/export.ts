/**
 * `chorus export`: keys and values as lines of JSON. Each key is as it was at some moment; all of them at one moment is what
 * `chorus backup` gives, of all keys but the strong ones. A key that is there all the while is written at least once.
 *
 * Strong keys are read one by one, each from a majority. What is left of their time to live is written as a point in time of
 * the peer's clock, as nearly as there is one.
 */
import type { Client, Reply } from "../../../protocol/client.ts";
import { exportBatchBytes, exportBatchKeys, exportStrongAtOnce } from "../../../protocol/limits.ts";
import { CommandFailure, usageFailure } from "../failure.ts";
import { Progress } from "../progress.ts";
import { onStopSignals } from "../signals.ts";
import { countToText, durationToText } from "../sizes.ts";
import { openTarget, type Target } from "../target-file.ts";
import { entryToLine } from "./entry-line.ts";
import { type DataOptions, exitCodes, withClient } from "./options.ts";

const flushBytes = 256 * 1024;

export const runExport = async (
  path: string,
  options: DataOptions & { readonly prefix?: string; readonly force: boolean },
): Promise<number> => {
  if (options.json) throw usageFailure("an export is JSON");
  const progress = new Progress();
  const stop = new AbortController();
  onStopSignals(
    () => stop.abort(),
    () => process.exit(1),
  );
  return await withClient(options, async (kv) => {
    const target = await openTarget(path, options);
    const run = new Export(kv, target, stop.signal);
    try {
      await run.run(options.prefix ?? "", () => progress.show(() => `exported ${countToText(run.keys)} keys`));
      await target.finish();
      progress.end();
      process.stderr.write(
        `exported ${countToText(run.keys)} keys, ${countToText(run.expiring)} of them with an expiry, in ${durationToText(progress.elapsedMs)}\n`,
      );
      return exitCodes.done;
    } finally {
      progress.end();
      await target.discard();
    }
  });
};

class Export {
  readonly #kv: Client;
  readonly #target: Target;
  readonly #signal: AbortSignal;
  keys = 0;
  expiring = 0;
  #text = "";

  constructor(kv: Client, target: Target, signal: AbortSignal) {
    this.#kv = kv;
    this.#target = target;
    this.#signal = signal;
  }

  async run(prefix: string, onProgress: () => void): Promise<void> {
    let page: Uint8Array[] = [];
    for await (const key of this.#kv.scan({ prefix, as: "bytes", count: exportBatchKeys })) {
      page.push(key);
      if (page.length < exportBatchKeys) continue;
      await this.#page(page);
      onProgress();
      page = [];
    }
    await this.#page(page);
    await this.#flush();
  }

  async #page(keys: readonly Uint8Array[]): Promise<void> {
    if (this.#signal.aborted) throw new CommandFailure("stopped", exitCodes.notDone);
    await this.#plain(keys.filter((key) => !this.#kv.isStrong(key)));
    const strong = keys.filter((key) => this.#kv.isStrong(key));
    for (let at = 0; at < strong.length; at += exportStrongAtOnce) {
      await this.#strong(strong.slice(at, at + exportStrongAtOnce));
    }
  }

  async #strong(keys: readonly Uint8Array[]): Promise<void> {
    const found = await Promise.all(keys.map((key) => this.#kv.versioned(key, { as: "bytes", retry: true })));
    for (const [index, key] of keys.entries()) {
      const shown = found[index];
      if (shown !== null && shown !== undefined) await this.#entry(key, shown.value, shown.expiresAtMs ?? 0);
    }
  }

  /** Values may be long: first their lengths, then as many at a time as memory should hold. */
  async #plain(keys: readonly Uint8Array[]): Promise<void> {
    if (keys.length === 0) return;
    const lengths = await this.#kv.transaction(
      keys.map((key) => ["STRLEN", key]),
      { retry: true },
    );
    let batch: Uint8Array[] = [];
    let bytes = 0;
    for (const [index, key] of keys.entries()) {
      const length = Number(lengths[index] ?? 0);
      if (batch.length > 0 && bytes + length > exportBatchBytes) {
        await this.#batch(batch);
        batch = [];
        bytes = 0;
      }
      batch.push(key);
      bytes += length;
    }
    await this.#batch(batch);
  }

  /** Value and expiry of one moment. */
  async #batch(keys: readonly Uint8Array[]): Promise<void> {
    const replies = await this.#kv.transaction(
      keys.flatMap((key) => [
        ["GET", key],
        ["PEXPIRETIME", key],
      ]),
      { as: "bytes", retry: true },
    );
    for (const [index, key] of keys.entries()) {
      const value: Reply | undefined = replies[2 * index];
      const expiry = Number(replies[2 * index + 1]);
      // Gone since the scan saw it.
      if (!(value instanceof Uint8Array)) continue;
      await this.#entry(key, value, expiry);
    }
  }

  /** `expiresAtMs`: 0 or less, none. */
  async #entry(key: Uint8Array, value: Uint8Array, expiresAtMs: number): Promise<void> {
    this.keys += 1;
    if (expiresAtMs > 0) this.expiring += 1;
    this.#text += entryToLine({ key, value, ...(expiresAtMs > 0 ? { expiresAtMs } : {}) });
    if (this.#text.length >= flushBytes) await this.#flush();
  }

  async #flush(): Promise<void> {
    const text = this.#text;
    this.#text = "";
    if (text !== "") await this.#target.write(Buffer.from(text));
  }
}
