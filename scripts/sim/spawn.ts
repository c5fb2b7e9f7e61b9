/** Starting worker processes and reading what they say. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Report } from "./worker.ts";

export interface WorkerOptions {
  /** The compiled or TypeScript worker, with what node needs to run it. */
  readonly command: readonly string[];
  readonly first: number;
  readonly count: number;
  readonly peers: number;
  readonly failuresMax: number;
  readonly secondsMax: number;
  /** Strong keys instead of the replicated map. */
  readonly registers: boolean;
  readonly onReport: (report: Report) => void;
}

export interface WorkerEnd {
  /** It said itself that it was at its end. */
  readonly finished: boolean;
  /** It had to be ended. */
  readonly hung: boolean;
  readonly stderr: string;
}

/** Silent for so long beyond its time: it loops. */
const graceMs = 20_000;

export const runWorker = (options: WorkerOptions): Promise<WorkerEnd> => {
  const { command, first, count, peers, failuresMax, secondsMax, registers, onReport } = options;
  const given = [...command, first, count, peers, failuresMax, secondsMax, registers ? "registers" : ""].map(String);
  const child = spawn(process.execPath, given, { stdio: ["ignore", "pipe", "pipe"] });
  return new Promise((resolve, reject) => {
    let finished = false;
    let stderr = "";
    let hung = false;
    const timer = setTimeout(
      () => {
        hung = true;
        child.kill("SIGKILL");
      },
      secondsMax * 1000 + graceMs,
    );
    const stop = (): void => {
      child.kill("SIGKILL");
    };
    process.once("exit", stop);
    createInterface({ input: child.stdout }).on("line", (line) => {
      const report = JSON.parse(line) as Report;
      finished ||= report.ended;
      onReport(report);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr = (stderr + text).slice(-4000);
    });
    child.on("error", reject);
    child.on("close", () => {
      clearTimeout(timer);
      process.off("exit", stop);
      resolve({ finished, hung, stderr });
    });
  });
};
