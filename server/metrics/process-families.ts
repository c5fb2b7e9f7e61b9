/**
 * The process itself, under the names every Prometheus client uses, so that common dashboards fit. prom-client's own
 * collectors are left out for what they cost: one watches each garbage collection, another lists every socket.
 */
import { readdirSync, readFileSync } from "node:fs";
import type { Family } from "./family.ts";

const startTimeSeconds = Math.round(Date.now() / 1000 - process.uptime());

/** Sockets, log files and LevelDB's tables. Undefined where there is no /proc. */
const openDescriptors = (): number | undefined => {
  try {
    // One is that of the directory itself.
    return readdirSync("/proc/self/fd").length - 1;
  } catch {
    return undefined;
  }
};

const descriptorsMax = ((): number | undefined => {
  try {
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return limit === undefined ? undefined : Number(limit);
  } catch {
    return undefined;
  }
})();

export const processFamilies: readonly Family<{ readonly process: ProcessFigures }>[] = [
  {
    name: "process_cpu_seconds_total",
    type: "counter",
    help: "Processor time, of all threads.",
    read: ({ process: { cpu } }) => (cpu.user + cpu.system) / 1e6,
  },
  {
    name: "process_resident_memory_bytes",
    type: "gauge",
    help: "Memory of the process.",
    read: ({ process: { memory } }) => memory.rss,
  },
  {
    name: "process_start_time_seconds",
    type: "gauge",
    help: "Unix time of the start.",
    read: () => startTimeSeconds,
  },
  { name: "process_open_fds", type: "gauge", help: "Open file descriptors.", read: openDescriptors },
  { name: "process_max_fds", type: "gauge", help: "Limit of open file descriptors.", read: () => descriptorsMax },
  {
    name: "nodejs_heap_size_total_bytes",
    type: "gauge",
    help: "JavaScript heap, with what is free in it.",
    read: ({ process: { memory } }) => memory.heapTotal,
  },
  {
    name: "nodejs_heap_size_used_bytes",
    type: "gauge",
    help: "JavaScript heap in use: keys and values among it.",
    read: ({ process: { memory } }) => memory.heapUsed,
  },
  {
    name: "nodejs_external_memory_bytes",
    type: "gauge",
    help: "Buffers outside the JavaScript heap: the cells' columns, what links and log hold.",
    read: ({ process: { memory } }) => memory.external,
  },
];

/** Read once per scrape: each look at the memory walks the heap's spaces. */
export interface ProcessFigures {
  readonly memory: NodeJS.MemoryUsage;
  readonly cpu: NodeJS.CpuUsage;
}

export const processFigures = (): ProcessFigures => ({ memory: process.memoryUsage(), cpu: process.cpuUsage() });
