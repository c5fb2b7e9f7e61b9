/**
 * `npm run lincheck`: are strong keys linearizable in real processes, under kill -9, SIGSTOP, cut links and a lost disk?
 *
 * Clients record what they did and what they were told; afterwards an order of each key's operations is looked for that
 * explains every answer (scripts/lincheck/linearizability.ts). Nothing the peers know of themselves is believed.
 * Exit code: 0 linearizable and nothing else wrong, 1 not or undecided, 2 wrong usage.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CommandFailure, failureText, usageFailure } from "../server/cli/failure.ts";
import { type HistoryEntry, parseHistory, writeHistory } from "./lincheck/history.ts";
import { helpText, type Options, parseOptions } from "./lincheck/live/options.ts";
import { operationLines, runLines } from "./lincheck/live/report.ts";
import { runLive } from "./lincheck/live/run.ts";
import { judge } from "./lincheck/verdict.ts";

const say = (words: string): void => void process.stderr.write(`${words}\n`);
const tell = (lines: readonly string[]): void => void process.stdout.write(`${lines.join("\n")}\n`);

const judgeStored = (file: string): number => {
  const entries = readHistory(file);
  tell(operationLines(entries));
  const { isSound, lines } = judge(entries);
  tell(lines);
  return isSound ? 0 : 1;
};

const readHistory = (file: string): readonly HistoryEntry[] => {
  try {
    return parseHistory(readFileSync(file, "utf8"));
  } catch (error) {
    throw usageFailure(`--read ${file}: ${failureText(error)}`);
  }
};

const live = async (options: Options): Promise<number> => {
  const stopping = new AbortController();
  process.once("SIGINT", () => {
    say("stopping: mending what is broken first");
    stopping.abort();
  });
  say(`seed ${options.seed}`);
  const result = await runLive(options, stopping.signal, say);
  const { recorder, cluster } = result;
  let isRight = false;
  try {
    tell(runLines(options, result));
    say("looking for an order that explains every answer");
    const { isSound, lines } = judge(recorder.entries);
    const problems = [
      ...recorder.problems,
      ...recorder
        .acknowledgedWithoutMajority()
        .map((entry) => `acknowledged while there was no majority: ${JSON.stringify(entry)}`),
    ];
    tell([...lines, ...problems.slice(0, 20).map((problem) => `WRONG: ${problem}`)]);
    isRight = isSound && problems.length === 0;
  } finally {
    if (!isRight) {
      const file = join(cluster.directory, "history.jsonl");
      writeFileSync(file, writeHistory(recorder.entries));
      say(`the history is kept in ${file}, the peers' logs and data beside it`);
    }
    await cluster.end({ keep: !isRight });
  }
  return isRight ? 0 : 1;
};

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === undefined) process.stdout.write(helpText);
  else process.exitCode = options.readFile === undefined ? await live(options) : judgeStored(options.readFile);
} catch (error) {
  process.stderr.write(`lincheck: ${failureText(error)}\n`);
  process.exitCode = error instanceof CommandFailure ? error.exitCode : 1;
}
