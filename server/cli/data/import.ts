/**
 * `chorus import`: lines of JSON, or the strings of a running Redis, into a cluster. Writing a line twice leaves what
 * writing it once would, so an import that broke off is done again, from the line it names or from the beginning.
 */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { ChorusError } from "../../../protocol/client.ts";
import { importLineBytesMax } from "../../../protocol/limits.ts";
import { CommandFailure, usageFailure } from "../failure.ts";
import { Progress, percentOf } from "../progress.ts";
import { onStopSignals } from "../signals.ts";
import { countToText, durationToText } from "../sizes.ts";
import { linesOf, parseEntryLine } from "./entry-line.ts";
import { type DataOptions, exitCodes, withClient } from "./options.ts";
import { shown } from "./output.ts";
import { parseRedisUrl, RedisSource } from "./redis-source.ts";
import { EntryWriter, NotWritten, type WrittenCounts } from "./writer.ts";

export interface ImportOptions extends DataOptions {
  readonly from?: string;
  readonly prefix?: string;
  readonly fromLine: number;
  readonly nx?: true;
}

export const runImport = async (path: string | undefined, options: ImportOptions): Promise<number> => {
  if ((path === undefined) === (options.from === undefined))
    throw usageFailure("either FILE (- is standard input), or --from");
  const stop = new AbortController();
  onStopSignals(
    () => stop.abort(),
    () => process.exit(1),
  );
  const progress = new Progress();
  try {
    return path === undefined
      ? await importRedis(options, progress, stop.signal)
      : await importFile(path, options, progress, stop.signal);
  } finally {
    progress.end();
  }
};

// ---- Lines ------------------------------------------------------------------------------------------------------------

const importFile = async (
  path: string,
  options: ImportOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<number> => {
  const bytesExpected = path === "-" ? undefined : await sizeOf(path);
  return await withClient(options, async (kv) => {
    const writer = new EntryWriter(kv, { nx: options.nx === true });
    const prefix = Buffer.from(options.prefix ?? "");
    const chunks = path === "-" ? process.stdin : createReadStream(path, { highWaterMark: 256 * 1024 });
    let line = 0;
    let bytes = 0;
    /** Ends with a message: what was given before is written first. */
    const stopAt = async (why: string, code: number): Promise<never> => {
      const done = await writer.abandon();
      throw new CommandFailure(`${why}. ${resumeText(done, options.fromLine)}`, code);
    };
    try {
      for await (const lines of linesOf(chunks as AsyncIterable<Uint8Array>, importLineBytesMax)) {
        for (const text of lines) {
          line += 1;
          bytes += text.length + 1;
          if (line < options.fromLine) continue;
          const entry = parseEntryLine(text);
          if (typeof entry === "string") await stopAt(`line ${line}: ${entry}`, exitCodes.notDone);
          else if (entry !== undefined && startsWith(entry.key, prefix)) await writer.add(entry, line);
        }
        if (signal.aborted) await stopAt("stopped", exitCodes.notDone);
        progress.show(() => `imported ${countToText(writer.counts.written)} keys${percentOf(bytes, bytesExpected)}`);
      }
      const counts = await writer.finish();
      progress.end();
      report(counts, progress);
      return exitCodes.done;
    } catch (error) {
      if (error instanceof RangeError) return await stopAt(`line ${line + 1}: ${error.message}`, exitCodes.notDone);
      throw notWritten(error, (place, done) => [`line ${place}`, resumeText(done, options.fromLine)]);
    }
  });
};

const sizeOf = async (path: string): Promise<number | undefined> => {
  try {
    const found = await stat(path);
    return found.isFile() ? found.size : undefined;
  } catch (error) {
    throw new CommandFailure(`${path} cannot be read: ${(error as Error).message}`, exitCodes.notDone, {
      cause: error,
    });
  }
};

const startsWith = (key: Uint8Array, prefix: Uint8Array): boolean =>
  key.length >= prefix.length && prefix.every((byte, at) => key[at] === byte);

const resumeText = (done: number, fromLine: number): string =>
  done < fromLine
    ? "Nothing was written"
    : `Lines ${fromLine} to ${done} are written: go on with --from-line ${done + 1}`;

/** As withClient tells it, with the place. */
const notWritten = (error: unknown, words: (place: number, done: number) => readonly [string, string]): unknown => {
  if (!(error instanceof NotWritten)) return error;
  const [where, resume] = words(error.place, error.done);
  const { cause } = error;
  const code = cause instanceof ChorusError ? `${cause.code}: ` : "";
  return new CommandFailure(`${where}: ${code}${error.message}. ${resume}`, exitCodes.notDone, { cause: error });
};

const report = ({ written, present, expired }: WrittenCounts, progress: Progress): void => {
  const parts = [`imported ${countToText(written)} keys`];
  if (present > 0) parts.push(`${countToText(present)} were there already`);
  if (expired > 0) parts.push(`${countToText(expired)} had expired`);
  process.stderr.write(`${parts.join(", ")}, in ${durationToText(progress.elapsedMs)}\n`);
};

// ---- Redis ------------------------------------------------------------------------------------------------------------

const importRedis = async (options: ImportOptions, progress: Progress, signal: AbortSignal): Promise<number> => {
  const address = parseRedisUrl(options.from ?? "", process.env);
  const source = await RedisSource.open(address);
  try {
    return await withClient(options, async (kv) => {
      const writer = new EntryWriter(kv, { nx: options.nx === true });
      let place = 0;
      try {
        for await (const entry of source.entries(options.prefix ?? "")) {
          place += 1;
          await writer.add(entry, place);
          if (signal.aborted) {
            await writer.abandon();
            throw new CommandFailure(`stopped. ${redisResumeText(writer.counts)}`, exitCodes.notDone);
          }
          progress.show(
            () => `copied ${countToText(writer.counts.written)} strings${percentOf(source.seen, source.expected)}`,
          );
        }
        const counts = await writer.finish();
        progress.end();
        report(counts, progress);
        reportLeftOut(source);
        return exitCodes.done;
      } catch (error) {
        throw notWritten(error, () => ["the copy", redisResumeText(writer.counts)]);
      }
    });
  } finally {
    source.close();
  }
};

const redisResumeText = ({ written }: WrittenCounts): string =>
  `${countToText(written)} keys are written; begin again, with --nx to leave those as they are`;

const reportLeftOut = ({ others, tooLong, tooLongKeys }: RedisSource): void => {
  if (others.size > 0) {
    const types = [...others]
      .sort(([, a], [, b]) => b - a)
      .map(([type, count]) => `${countToText(count)} of type ${type}`);
    process.stderr.write(`left out, since only strings can be held: ${types.join(", ")}\n`);
  }
  if (tooLong > 0) {
    const more = tooLong > tooLongKeys.length ? ", ..." : "";
    process.stderr.write(
      `left out, since key or value are too long: ${countToText(tooLong)} (${tooLongKeys.map((key) => shown(key.subarray(0, 100))).join(", ")}${more})\n`,
    );
  }
};
