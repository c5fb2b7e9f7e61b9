/** What a figure is worth depends on where it was taken. No names of hosts or people. */
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";
import { join } from "node:path";
import { projectRoot } from "./chorus-system.ts";
import { programVersion } from "./program-server.ts";

export interface Machine {
  readonly cores: number;
  readonly cpu: string;
  readonly memoryBytes: number;
  readonly system: string;
  readonly node: string;
  readonly chorus: string;
  /** Null when it is not installed. */
  readonly redis: string | null;
  readonly etcd: string | null;
  /** Processes that wanted a core in the minute before the start. */
  readonly loadAverage: number;
}

export const machineFacts = (): Machine => {
  const { version } = JSON.parse(readFileSync(join(projectRoot, "package.json"), "utf8")) as { version: string };
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    memoryBytes: totalmem(),
    system: `${process.platform} ${release()} ${process.arch}`,
    node: process.versions.node,
    chorus: version,
    redis: programVersion("redis-server") ?? null,
    etcd: programVersion("etcd") ?? null,
    loadAverage: loadavg()[0] ?? 0,
  };
};

/** Undefined when the machine was idle enough. */
export const noiseWarning = ({ loadAverage, cores }: Machine): string | undefined =>
  loadAverage > cores / 4
    ? `the machine was busy before the start (load average ${loadAverage.toFixed(1)} on ${cores} cores): read ratios with care, absolute figures not at all`
    : undefined;
