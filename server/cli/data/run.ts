/** What the data commands do. Each resolves with its exit code; failures are thrown, see options.ts. */
import { readFile } from "node:fs/promises";
import type { Change, ClientState, Conflict, Left, Reset } from "../../../protocol/client.ts";
import { failureText, usageFailure } from "../failure.ts";
import { onStopSignals } from "../signals.ts";
import { type DataOptions, exitCodes, withClient } from "./options.ts";
import { jsonBytes, shown, write, writeBytes, writeJson } from "./output.ts";

export const runGet = (key: string, options: DataOptions): Promise<number> =>
  withClient(options, async (kv) => {
    const value = await kv.get(key, { as: "bytes" });
    if (options.json) await writeJson({ key, value: jsonBytes(value) });
    else if (value !== null) await writeBytes(value);
    return value === null ? exitCodes.absent : exitCodes.done;
  });

/** `-`, `@file`, `@@text`, or the text itself. */
const loadValue = async (text: string): Promise<string | Uint8Array> => {
  if (text === "-") {
    const chunks: Buffer[] = [];
    for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  }
  if (!text.startsWith("@")) return text;
  if (text.startsWith("@@")) return text.slice(1);
  try {
    return await readFile(text.slice(1));
  } catch (error) {
    throw usageFailure(failureText(error));
  }
};

export const runSet = async (key: string, text: string, options: DataOptions): Promise<number> => {
  const value = await loadValue(text);
  const { ex, px, keepTtl, nx, xx, json } = options;
  return await withClient(options, async (kv) => {
    const isSet = await kv.set(key, value, {
      ...(ex === undefined ? {} : { ex }),
      ...(px === undefined ? {} : { px }),
      ...(keepTtl === undefined ? {} : { keepTtl }),
      ...(nx === undefined ? {} : { nx }),
      ...(xx === undefined ? {} : { xx }),
    });
    if (json) await writeJson({ key, set: isSet });
    return isSet ? exitCodes.done : exitCodes.absent;
  });
};

export const runDelete = (keys: readonly string[], options: DataOptions): Promise<number> =>
  withClient(options, async (kv) => {
    const deleted = await kv.delete(keys);
    await write(options.json ? `${JSON.stringify({ deleted })}\n` : `${deleted}\n`);
    return deleted === 0 ? exitCodes.absent : exitCodes.done;
  });

export const runIncr = async (key: string, options: DataOptions & { readonly by: string }): Promise<number> => {
  if (!/^[+-]?\d{1,19}$/.test(options.by))
    throw usageFailure(`flag --by: expected a whole number, got "${options.by}"`);
  return await withClient(options, async (kv) => {
    const value = await kv.incr(key, { by: BigInt(options.by.replace("+", "")), as: "bigint" });
    // As text: beyond 2^53 a reader of JSON would round it.
    await write(options.json ? `{"key":${JSON.stringify(key)},"value":"${value}"}\n` : `${value}\n`);
    return exitCodes.done;
  });
};

export const runScan = async (
  prefix: string | undefined,
  options: DataOptions & { readonly match?: string; readonly limit?: number; readonly null: boolean },
): Promise<number> => {
  const { match, limit = Number.POSITIVE_INFINITY, json } = options;
  if (prefix !== undefined && match !== undefined) throw usageFailure("a prefix and --match exclude each other");
  const what = match === undefined ? { prefix: prefix ?? "" } : { match };
  return await withClient(options, async (kv) => {
    let found = 0;
    for await (const key of kv.scan({ ...what, as: "bytes" })) {
      if (json) await writeJson({ key: jsonBytes(key) });
      else await writeBytes(key, options.null ? "\0" : "\n");
      found += 1;
      if (found >= limit) break;
    }
    return exitCodes.done;
  });
};

// ---- Watching -------------------------------------------------------------------------------------------------------

/** Ended by the first stop signal; a second one ends the process. */
const stopSignal = (): AbortSignal => {
  const stop = new AbortController();
  onStopSignals(
    () => stop.abort(),
    () => process.exit(1),
  );
  return stop.signal;
};

/** Says on standard error when the peer changes, but for the first. */
const reportPeers = (): ((state: ClientState) => void) => {
  let before: string | undefined;
  return (state) => {
    if (state.kind === "connected") {
      if (before !== undefined) process.stderr.write(`chorus: goes on at peer ${state.peer}\n`);
      before = state.peer;
    } else if (state.kind === "connecting" && before !== undefined) {
      process.stderr.write(`chorus: lost peer ${before}: ${state.why}\n`);
      before = "";
    }
  };
};

export const runWatch = async (
  prefix: string | undefined,
  options: DataOptions & {
    readonly key?: string;
    readonly token?: string;
    readonly values: boolean;
    readonly count?: number;
  },
): Promise<number> => {
  const { key, token, values, count = Number.POSITIVE_INFINITY, json } = options;
  if (prefix !== undefined && key !== undefined) throw usageFailure("a prefix and --key exclude each other");
  const signal = stopSignal();
  return await withClient(
    options,
    async (kv) => {
      const target = key === undefined ? { prefix: prefix ?? "" } : { key };
      const feed = kv.watch(target, { as: "bytes", values, signal, ...(token === undefined ? {} : { token }) });
      let shownCount = 0;
      for await (const item of feed) {
        await (json ? writeJson(itemToJson(item)) : write(`${itemToText(item)}\n`));
        shownCount += 1;
        if (shownCount >= count) break;
      }
      return exitCodes.done;
    },
    reportPeers(),
  );
};

type Item = Change<"bytes"> | Reset | Left;

const itemToJson = (item: Item): unknown => {
  if (item.type === "reset" || item.type === "left") return item;
  const { type, key, value, expiresAtMs, origin, seq, stamp, at, token } = item;
  return { type, key: jsonBytes(key), value: jsonBytes(value), expiresAtMs, origin, seq, stamp, at, token };
};

const itemToText = (item: Item): string => {
  if (item.type === "reset") return `reset: ${item.why}; what was missed is not known`;
  if (item.type === "left") return `left out: ${item.count}`;
  const { type, key, value, origin, seq, at, expiresAtMs } = item;
  const until = expiresAtMs === undefined ? "" : ` until ${new Date(expiresAtMs).toISOString()}`;
  const what = value === undefined ? shown(key) : `${shown(key)} = ${shown(value)}`;
  return `${new Date(at).toISOString()} ${type} ${what}${until} (${origin.split(".")[0]}:${seq})`;
};

// ---- Conflicts ------------------------------------------------------------------------------------------------------

export const runConflicts = async (
  key: string | undefined,
  options: DataOptions & { readonly watch: boolean; readonly restore?: string },
): Promise<number> => {
  const { watch, restore, json } = options;
  if (restore !== undefined && (watch || key !== undefined)) throw usageFailure("--restore takes nothing beside it");
  if (watch && key !== undefined) throw usageFailure("--watch shows conflicts of all keys");
  const print = async (conflict: Conflict<"bytes">): Promise<void> =>
    await (json ? writeJson(conflictToJson(conflict)) : write(`${conflictToText(conflict)}\n`));
  if (watch) {
    const signal = stopSignal();
    return await withClient(
      options,
      async (kv) => {
        for await (const conflict of kv.watchConflicts({ as: "bytes", signal })) await print(conflict);
        return exitCodes.done;
      },
      reportPeers(),
    );
  }
  return await withClient(options, async (kv) => {
    if (restore !== undefined) await kv.restore(restore);
    else
      for (const conflict of await kv.conflicts({ as: "bytes", ...(key === undefined ? {} : { key }) }))
        await print(conflict);
    return exitCodes.done;
  });
};

const conflictToJson = ({ key, winner, loser, ...rest }: Conflict<"bytes">): unknown => ({
  ...rest,
  key: jsonBytes(key),
  winner: { ...winner, value: jsonBytes(winner.value) },
  loser: { ...loser, value: jsonBytes(loser.value) },
});

const conflictToText = ({ id, key, at, winner, loser, restored }: Conflict<"bytes">): string => {
  const side = ({ value, origin }: typeof winner): string =>
    `${value === null ? "(deleted)" : shown(value)} (${origin.split(".")[0]})`;
  const end = restored ? ", restored" : "";
  return `${new Date(at).toISOString()} ${shown(key)}: kept ${side(winner)}, lost ${side(loser)}${end}  id ${id}`;
};
