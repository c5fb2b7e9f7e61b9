/** redis-benchmark: one run of one command against one port, and what its CSV says. */
import { spawn } from "node:child_process";
import { valueBytes } from "./dataset.ts";
import type { Stage } from "./stage.ts";

export interface Load {
  readonly command: "set" | "get" | "incr";
  readonly port: number;
  readonly connections: number;
  readonly pipeline: number;
  readonly requests: number;
  /** Keys are drawn at random from so many. */
  readonly keyspace: number;
}

export interface LoadResult {
  readonly requests: number;
  /** First request to last reply, by redis-benchmark's own clock: its start and its connecting are not in it. */
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** When its result was seen here, on the clock of performance.now(): a millisecond or two after the last reply. */
  readonly seenAtMs: number;
}

/** A run is sized to take seconds; one that takes this long is stuck. */
const loadMsMax = 180_000;

export const runLoad = (stage: Stage, load: Load): Promise<LoadResult> =>
  new Promise((resolve, reject) => {
    const child = spawn(
      "redis-benchmark",
      [
        ...["-h", "127.0.0.1", "-p", String(load.port), "-t", load.command, "--csv"],
        ...["-c", String(load.connections), "-P", String(load.pipeline), "-n", String(load.requests)],
        ...["-r", String(load.keyspace), "-d", String(valueBytes)],
      ],
      { stdio: ["ignore", "pipe", "pipe"], detached: true },
    );
    const { pid } = child;
    if (pid !== undefined) stage.began(pid);
    const deadline = setTimeout(() => child.kill("SIGKILL"), loadMsMax);
    let out = "";
    let err = "";
    let seenAtMs = 0;
    child.stdout.setEncoding("latin1").on("data", (text: string) => {
      seenAtMs = performance.now();
      out += text;
    });
    child.stderr.setEncoding("latin1").on("data", (text: string) => {
      err += text;
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(deadline);
      if (pid !== undefined) stage.ended(pid);
      const row = parseLoadCsv(out);
      if (code === 0 && row !== undefined) {
        const { perSecond, ...latency } = row;
        resolve({ requests: load.requests, seconds: load.requests / perSecond, ...latency, seenAtMs });
        return;
      }
      const words = (err || out).trim().split("\n").at(-1) ?? "";
      reject(
        new Error(`redis-benchmark ${load.command} on port ${load.port}: ${signal ?? `exit code ${code}`} ${words}`),
      );
    });
  });

/** The one row of `--csv`; undefined when there is none, or its columns are not those of redis-benchmark 6.2 and later. */
export const parseLoadCsv = (
  text: string,
): { readonly perSecond: number; readonly p50Ms: number; readonly p99Ms: number } | undefined => {
  const rows = text
    .split(/\r?\n/)
    .filter((line) => line.startsWith('"'))
    .map((line) => [...line.matchAll(/"([^"]*)"/g)].map((match) => match[1] ?? ""));
  const heading = rows.find((row) => row[0] === "test");
  const values = rows.find((row) => row[0] !== "test");
  const field = (name: string): number => Number(values?.[heading?.indexOf(name) ?? -1] ?? Number.NaN);
  const row = { perSecond: field("rps"), p50Ms: field("p50_latency_ms"), p99Ms: field("p99_latency_ms") };
  return Object.values(row).every(Number.isFinite) && row.perSecond > 0 ? row : undefined;
};
