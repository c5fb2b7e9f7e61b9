/** Processor time: on a machine that does other things too it tells more about a program than the clock does. */
import { readFileSync } from "node:fs";
import type { Server } from "./servers.ts";

/** Linux counts them for us in hundredths of a second, whatever its own clock does (USER_HZ). */
const ticksPerSecond = 100;

/** Seconds of processor time the servers have used, all threads; undefined where there is no /proc. */
export const cpuSecondsOf = (servers: readonly Server[]): number | undefined => {
  let ticks = 0;
  for (const { pid } of servers) {
    if (pid === undefined) continue;
    try {
      // The name, in brackets, may hold spaces: the fields are counted from behind it. proc(5): utime is 14, stime 15.
      const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      ticks += Number(fields[11]) + Number(fields[12]);
    } catch {
      return undefined;
    }
  }
  return ticks / ticksPerSecond;
};

/** Of this process. */
export const ownCpuSeconds = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
